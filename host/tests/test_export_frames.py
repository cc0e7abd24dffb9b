"""Every format that we write, read back by a program that is not ours, and compared."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from recorded_drives import DRIVES

from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode, iter_decode
from stagelog.errors import OutputError, UsageError
from stagelog.export import McapSink, Mf4SignalSink, MotecSink, open_frame_sink
from stagelog.export.motec import rate_of
from stagelog.importers import load_frames
from stagelog.importers.candump import read_candump
from stagelog.model import BRS, ERR, ESI, EXT, FD, FD_LENGTHS, FRAME, FRAME_FD, RTR

can = pytest.importorskip("can")

ROOT = Path(__file__).parents[2]
T0 = 1_700_000_000_000_000
SUFFIX = {"candump": ".log", "blf": ".blf", "asc": ".asc", "trc": ".trc", "mf4": ".mf4"}


def some_frames(n, kinds, seed=1):
    """Return n frames of the given kinds."""
    rng = np.random.default_rng(seed)
    frames = np.zeros(n, FRAME_FD if "fd" in kinds else FRAME)
    frames["t_us"] = T0 + np.cumsum(rng.integers(1, 2000, n))
    frames["bus"] = rng.integers(0, 3, n)
    for frame, kind in zip(frames, rng.choice(kinds, n), strict=True):
        is_ext = rng.random() < 0.3
        frame["can_id"] = rng.integers(0, 1 << (29 if is_ext else 11))
        length = int(rng.choice(FD_LENGTHS[1:])) if kind == "fd" else int(rng.integers(0, 9))
        flags = EXT * is_ext
        if kind == "fd":
            flags |= FD | BRS * int(rng.integers(0, 2)) | ESI * int(rng.integers(0, 2))
        frame["dlc"] = np.searchsorted(FD_LENGTHS, length)
        if kind == "remote":
            flags, length = flags | RTR, 0
        if kind == "error":
            flags, length = ERR, 0
            frame["can_id"], frame["dlc"] = 0x80, 0  # a bus error, as candump has it
        frame["flags"], frame["n_bytes"] = flags, length
        frame["data"][:length] = rng.integers(0, 256, length)
    return frames


def write_frames(path, kind, frames, n_chunks=3):
    with open_frame_sink(path, kind, ("can0", "can1", "can2"), from_epoch=True) as sink:
        for part in np.array_split(frames, n_chunks):
            sink.write(part)
    return sink


KINDS = {
    "candump": ("classic", "fd", "remote", "error"),
    "blf": ("classic", "fd", "remote", "error"),
    "asc": ("classic", "fd", "remote", "error"),
    "trc": ("classic",),
    "mf4": ("classic", "fd", "remote", "error"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_python_can_reads_what_we_write(tmp_path, kind):
    if kind == "mf4":
        pytest.importorskip("asammdf")
    frames = some_frames(600, KINDS[kind])
    path = tmp_path / f"x{SUFFIX[kind]}"
    sink = write_frames(path, kind, frames)
    assert sink.paths == [path] and sink.n_left_out == 0
    messages = list(can.LogReader(str(path)))
    assert len(messages) == len(frames)
    start = messages[0].timestamp - frames["t_us"][0] / 1e6
    for frame, message in zip(frames, messages, strict=True):
        flags = int(frame["flags"])
        assert message.is_error_frame == bool(flags & ERR)
        late = message.timestamp - start - frame["t_us"] / 1e6
        assert abs(late) < (2e-3 if kind == "trc" else 2e-6)
        if flags & ERR:
            continue
        assert message.arbitration_id == frame["can_id"]
        assert message.is_extended_id == bool(flags & EXT)
        assert message.is_remote_frame == bool(flags & RTR)
        assert message.is_fd == bool(flags & FD)
        if kind != "asc" or not flags & RTR:
            assert bytes(message.data or b"") == bytes(frame["data"][: frame["n_bytes"]])
        if flags & FD:
            assert message.bitrate_switch == bool(flags & BRS)
            assert message.error_state_indicator == bool(flags & ESI)


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_write_we_read(tmp_path, kind):
    if kind == "mf4":
        pytest.importorskip("asammdf")
    frames = some_frames(600, KINDS[kind], seed=2)
    if kind == "asc":
        frames = frames[frames["flags"] & ERR == 0]  # it has no class of error
    path = tmp_path / f"x{SUFFIX[kind]}"
    write_frames(path, kind, frames)
    log = load_frames(path)
    assert log.kind == kind and log.diagnostics.ok
    for name in ("can_id", "bus", "n_bytes", "data"):
        np.testing.assert_array_equal(log.frames[name], frames[name], err_msg=name)
    if kind != "asc":  # it has no length of a remote request
        assert log.frames.tobytes() == frames.tobytes()
    np.testing.assert_array_equal(log.frames["t_us"], frames["t_us"])


def test_what_a_format_cannot_hold_is_counted(tmp_path):
    frames = some_frames(300, KINDS["blf"])
    sink = write_frames(tmp_path / "x.trc", "trc", frames)
    n_classic = int((frames["flags"] & (FD | RTR | ERR) == 0).sum())
    assert sink.n_left_out == 300 - n_classic
    assert len(load_frames(tmp_path / "x.trc").frames) == n_classic


def test_unknown_kind_and_existing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        open_frame_sink(tmp_path / "x", "pdf", from_epoch=True)
    for kind, suffix in SUFFIX.items():
        path = tmp_path / f"y{suffix}"
        path.write_text("mine")
        with pytest.raises(OutputError, match="exists"):
            open_frame_sink(path, kind, from_epoch=True)
        assert path.read_text() == "mine"


@pytest.mark.parametrize("kind", ["candump", "blf", "asc"])
def test_nothing_is_left_of_a_failed_export(tmp_path, kind):
    with (
        pytest.raises(RuntimeError),
        open_frame_sink(tmp_path / "x", kind, from_epoch=True) as sink,
    ):
        sink.write(some_frames(10, ("classic",)))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["candump", "blf", "mf4"])
def test_no_frames_make_an_empty_log(tmp_path, kind):
    if kind == "mf4":
        pytest.importorskip("asammdf")
    path = tmp_path / f"x{SUFFIX[kind]}"
    write_frames(path, kind, np.empty(0, FRAME))
    assert path.exists()
    if kind == "blf":
        assert len(load_frames(path).frames) == 0 and list(can.LogReader(str(path))) == []


@pytest.fixture(scope="module", params=DRIVES)
def recorded(request):
    frames, _ = read_candump(request.param.log)
    return frames, load_database(request.param.dbc), request.param


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_drive_comes_out_the_same(tmp_path, recorded, kind):
    if kind == "mf4":
        pytest.importorskip("asammdf")
    frames, database, drive = recorded
    frames = frames if kind in ("candump", "blf", "mf4") else frames[:20_000]
    path = tmp_path / f"x{SUFFIX[kind]}"
    write_frames(path, kind, frames)
    log = load_frames(path)
    plan = compile_plan(database)
    ours, wanted = decode(log.frames, plan), decode(frames, plan)
    assert ours.n_values == wanted.n_values
    for name, table in wanted.messages.items():
        for signal, values in table.signals.items():
            np.testing.assert_array_equal(ours[name].signals[signal], values)
    if kind == "candump":
        assert path.read_bytes() == drive.text()


DBC = """BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
 SG_ Torque : 16|16@1- (0.1,-10) [0|0] "Nm" ECU
 SG_ State : 56|2@1+ (1,0) [0|0] "" ECU
BO_ 257 Temps: 4 ECU
 SG_ Sel M : 0|8@1+ (1,0) [0|0] "" ECU
 SG_ Oil m0 : 8|8@1+ (1,-40) [0|0] "\N{DEGREE SIGN}C" ECU
 SG_ Water m1 : 8|16@1+ (0.1,-40) [0|0] "degC" ECU
BO_ 258 Slow: 4 ECU
 SG_ F : 0|32@1- (1,0) [0|0] "" ECU
SIG_VALTYPE_ 258 F : 1;
VAL_ 256 State 0 "off" 1 "on" 2 "limp" 3 "fault" ;
"""


@pytest.fixture
def drive(tmp_path):
    """Return (plan, frames) of two seconds: Engine at 100 Hz, Temps at 50 Hz, Slow at 2 Hz."""
    path = tmp_path / "x.dbc"
    path.write_text(DBC, encoding="utf-8")
    rng = np.random.default_rng(3)
    parts = []
    for can_id, step_us in ((256, 10_000), (257, 20_000), (258, 500_000)):
        t_us = np.arange(0, 2_000_000, step_us) + T0 + can_id
        part = np.zeros(len(t_us), FRAME)
        part["t_us"], part["can_id"], part["n_bytes"] = t_us, can_id, 8
        part["data"] = rng.integers(0, 256, (len(t_us), 8))
        if can_id == 257:
            part["data"][:, 0] = np.arange(len(t_us)) % 3
        if can_id == 258:
            values = rng.normal(0, 10, len(t_us)).astype("<f4")
            part["data"][:, :4] = values.view(np.uint8).reshape(-1, 4)
        parts.append(part)
    frames = np.concatenate(parts)
    frames = frames[np.argsort(frames["t_us"], kind="stable")]
    return compile_plan(load_database(path)), frames


def write_signals(sink, plan, frames, n_chunks=3):
    with sink:
        for decoded in iter_decode(np.array_split(frames, n_chunks), plan, sink.mode):
            sink.write(decoded)


def test_asammdf_reads_signals_as_decoded(tmp_path, drive):
    asammdf = pytest.importorskip("asammdf")
    plan, frames = drive
    write_signals(Mf4SignalSink(tmp_path / "x.mf4", from_epoch=True), plan, frames)
    decoded = decode(frames, plan)
    with asammdf.MDF(tmp_path / "x.mf4") as log:
        assert abs(log.header.start_time.timestamp() - T0 / 1e6) < 0.01
        for name, table in decoded.messages.items():
            for signal in table.signals:
                t_us, values = decoded.series(f"{name}.{signal}")
                got = log.get(signal)
                choices = table.message.signal(signal).choices
                if choices:
                    texts = [choices[int(v)].encode() for v in values]
                    assert got.samples.tolist() == texts
                    got = log.get(signal, raw=True)
                np.testing.assert_allclose(got.samples, values, rtol=1e-12)
                start_us = t_us.min() - round(got.timestamps[0] * 1e6)
                np.testing.assert_allclose(got.timestamps * 1e6 + start_us, t_us, atol=1)
        assert log.get("Speed", raw=True).samples.dtype == np.uint16
        assert log.get("Torque").unit == "Nm"


def test_bus_log_decodes_in_asammdf(tmp_path, drive):
    """The bus log that we write is one that asammdf itself can decode with the DBC."""
    asammdf = pytest.importorskip("asammdf")
    plan, frames = drive
    write_frames(tmp_path / "x.mf4", "mf4", frames)
    with asammdf.MDF(tmp_path / "x.mf4") as log:
        extracted = log.extract_bus_logging({"CAN": [(str(tmp_path / "x.dbc"), 0)]})
        speed = extracted.get("Speed")
    np.testing.assert_allclose(speed.samples, decode(frames, plan).series("Speed")[1])


def mcap_messages(path):
    from mcap.reader import make_reader

    with open(path, "rb") as file:
        return [
            (channel.topic, message.log_time, json.loads(message.data), json.loads(schema.data))
            for schema, channel, message in make_reader(file).iter_messages()
        ]


def expected_messages(decoded):
    """Return {(topic, ns): values} of what an MCAP file should hold."""
    expected = {}
    for name, table in decoded.messages.items():
        dense = {s: table.dense(s) for s in table.signals}
        for k, t_us in enumerate(table.t_us.tolist()):
            row = {s: v[k] for s, v in dense.items() if not np.isnan(v[k])}
            expected[f"/{name}", t_us * 1000] = row
    return expected


def test_mcap_comes_back_as_decoded(tmp_path, drive):
    pytest.importorskip("mcap")
    plan, frames = drive
    write_signals(McapSink(tmp_path / "x.mcap"), plan, frames)
    messages = mcap_messages(tmp_path / "x.mcap")
    assert {(m[0], m[1]): m[2] for m in messages} == expected_messages(decode(frames, plan))
    schema = next(m[3] for m in messages if m[0] == "/Engine")
    assert schema["properties"]["Speed"] == {"type": "number", "description": "rpm"}
    assert [m[1] for m in messages] == sorted(m[1] for m in messages)


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_mcap_has_chunks_and_an_index_of_each_channel(tmp_path, drive, compression):
    """60 times the drive of 2 s: about 2 MB of messages, so that there are several chunks. The
    library checks the CRC of each and finds a second of one topic by the index alone.
    """
    pytest.importorskip("mcap")
    from mcap.reader import make_reader

    plan, frames = drive
    frames = np.concatenate([frames] * 60)
    frames["t_us"] += np.repeat(np.arange(60), len(frames) // 60) * 2_000_000
    write_signals(McapSink(tmp_path / "x.mcap", compression=compression), plan, frames, 2)
    with open(tmp_path / "x.mcap", "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        start_ns = (T0 + 61_000_000) * 1000
        found = [m.log_time - start_ns for *_, m in reader.iter_messages(["/Engine"], start_ns)]
        n_all = sum(1 for _ in reader.iter_messages())
    assert len(summary.chunk_indexes) >= 2
    topics = {number: channel.topic for number, channel in summary.channels.items()}
    counts = summary.statistics.channel_message_counts
    assert {topics[k]: n for k, n in counts.items()} == {
        "/Engine": 200 * 60,
        "/Temps": 100 * 60,
        "/Slow": 4 * 60,
    }
    assert summary.statistics.message_count == n_all == 304 * 60
    assert summary.statistics.message_start_time == frames["t_us"].min() * 1000
    assert summary.statistics.message_end_time == frames["t_us"].max() * 1000
    assert min(found) >= 0 and sum(t_ns < 1_000_000_000 for t_ns in found) == 100  # at 100 Hz


def test_mcap_says_null_for_what_is_no_number(tmp_path, drive):
    """JSON has no NaN and no infinity: a float signal that holds one is null."""
    pytest.importorskip("mcap")
    plan, frames = drive
    slow = np.flatnonzero(frames["can_id"] == 258)
    values = np.array([np.nan, np.inf, -np.inf, 1.5], "<f4")
    frames["data"][slow, :4] = values.view(np.uint8).reshape(-1, 4)
    write_signals(McapSink(tmp_path / "x.mcap"), plan, frames)
    found = [m[2]["F"] for m in mcap_messages(tmp_path / "x.mcap") if m[0] == "/Slow"]
    assert found == [None, None, None, 1.5]


@pytest.mark.parametrize(
    ("from_epoch", "date", "system_time"),
    [  # date -u -d @631152000.5: Mon Jan 1 1990; year, month, weekday, day, h, m, s, ms
        (True, "Mon Jan 01 00:00:00.500 1990", (1990, 1, 1, 1, 0, 0, 0, 500)),
        (False, "Thu Jan 01 00:00:00.000 1970", (0,) * 8),
    ],
)
def test_a_header_has_a_date_where_the_times_are_said_to_have_one(
    tmp_path, from_epoch, date, system_time
):
    """20 years of a clock that counts from a zero of its own are no date."""
    frames = np.zeros(1, FRAME)
    frames["t_us"] = 631_152_000_500_000
    for kind in ("asc", "blf"):
        with open_frame_sink(tmp_path / kind, kind, from_epoch=from_epoch) as sink:
            sink.write(frames)
    assert (tmp_path / "asc").read_text().startswith(f"date {date}\n")
    assert struct.unpack_from("<8H", (tmp_path / "blf").read_bytes(), 40) == system_time


NODE_READER = """
const fs = require("fs/promises");
const { McapIndexedReader } = require("@mcap/core");
(async () => {
  const file = await fs.open(process.argv[2], "r");
  const readable = {
    size: async () => BigInt((await file.stat()).size),
    read: async (offset, length) => {
      const buffer = Buffer.alloc(Number(length));
      await file.read(buffer, 0, Number(length), Number(offset));
      return new Uint8Array(buffer);
    },
  };
  const reader = await McapIndexedReader.Initialize({ readable });
  const rows = [];
  for await (const m of reader.readMessages()) {
    const text = new TextDecoder().decode(m.data);
    rows.push([reader.channelsById.get(m.channelId).topic, m.logTime.toString(),
    JSON.parse(text)]);
  }
  console.log(JSON.stringify(rows));
})();
"""


def test_mcap_is_read_by_the_javascript_library(tmp_path, drive):
    pytest.importorskip("mcap")
    modules = ROOT / ".cache" / "npm" / "node_modules"
    if not shutil.which("node") or not (modules / "@mcap" / "core").exists():
        pytest.skip("needs node and `npm install --prefix .cache/npm @mcap/core`")
    plan, frames = drive
    write_signals(McapSink(tmp_path / "x.mcap", compression="none"), plan, frames)
    (tmp_path / "read.js").write_text(NODE_READER)
    (tmp_path / "node_modules").symlink_to(modules)
    done = subprocess.run(
        ["node", "read.js", "x.mcap"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    rows = {(topic, int(t)): values for topic, t, values in json.loads(done.stdout)}
    assert rows == expected_messages(decode(frames, plan))


def read_ld(path):
    """Read a .ld by the public description: ({field: text}, {channel: (rate_Hz, unit, values)}).

    Written from the tables of gotzl/ldparser, apart from the writer. No reader is on PyPI or npm.
    """
    data = path.read_bytes()

    def text(at, n):
        return data[at : at + n].split(b"\0")[0].decode("ascii")

    at, _ = struct.unpack_from("<II", data, 0x08)
    event = struct.unpack_from("<I", data, 0x24)[0]
    venue = struct.unpack_from("<H", data, event + 64 + 64 + 1024)[0]
    vehicle = struct.unpack_from("<H", data, venue + 64 + 1034)[0]
    facts = {
        "date": text(0x5E, 16),
        "time": text(0x7E, 16),
        "driver": text(0x9E, 64),
        "event": text(event, 64),
        "session": text(event + 64, 64),
        "venue": text(venue, 64),
        "vehicle": text(vehicle, 64),
        "n": struct.unpack_from("<I", data, 0x56)[0],
    }
    channels, before = {}, 0
    while at:
        back, after, place, n, _, kind, size, rate_Hz = struct.unpack_from("<IIIIHHHH", data, at)
        shift, factor, scale, decimals = struct.unpack_from("<hhhh", data, at + 0x18)
        assert back == before and (kind, size) == (7, 4)
        values = np.frombuffer(data, "<f4", n, place) / scale * 10.0**-decimals + shift
        channels[text(at + 0x20, 32)] = (rate_Hz, text(at + 0x48, 12), values * factor)
        before, at = at, after
    return facts, channels


def test_motec_file_as_described(tmp_path, drive):
    plan, frames = drive
    about = {"driver": "L. M.", "vehicle": "D7X-R", "venue": "SS03", "event": "DAKAR26"}
    sink = MotecSink(
        tmp_path / "x.ld", plan, about=about, markers=[(T0 + 1_000_000, "stage <start>")]
    )
    write_signals(sink, plan, frames)
    facts, channels = read_ld(tmp_path / "x.ld")
    assert facts == {
        "date": "14/11/2023",
        "time": "22:13:20",
        "driver": "L. M.",
        "event": "DAKAR26",
        "session": "",
        "venue": "SS03",
        "vehicle": "D7X-R",
        "n": 7,
    }
    rates = {name: c[0] for name, c in channels.items()}
    assert rates == {
        "Speed": 100,
        "Torque": 100,
        "State": 100,
        "Sel": 50,
        "Oil": 50,
        "Water": 50,
        "F": 2,
    }
    assert channels["Oil"][1] == "degC"
    decoded = decode(frames, plan)
    t_us, values = decoded.series("Speed")
    assert len(channels["Speed"][2]) == len(values)
    grid_us = frames["t_us"][0] + np.arange(len(values)) * 10_000
    held = values[np.maximum(np.searchsorted(t_us, grid_us, side="right") - 1, 0)]
    np.testing.assert_array_equal(channels["Speed"][2], held.astype(np.float32))
    # before its first frame a channel shows that of its first frame: the format has no absence
    first = decoded.series("Water")[1][0]
    assert channels["Water"][2][0] == np.float32(first)
    from xml.etree import ElementTree

    marker = ElementTree.parse(tmp_path / "x.ldx").find(".//Marker")
    assert (marker.get("Name"), marker.get("Time")) == ("stage <start>", "999744")


def test_motec_at_one_rate_and_in_any_chunks(tmp_path, drive):
    plan, frames = drive
    texts = []
    for n_chunks in (1, 7):
        path = tmp_path / f"{n_chunks}.ld"
        write_signals(MotecSink(path, plan, rate_Hz=20), plan, frames, n_chunks)
        texts.append(path.read_bytes())
        assert {c[0] for c in read_ld(path)[1].values()} == {20}
    assert texts[0] == texts[1]


def test_motec_rates_keep_up_with_the_message(drive):
    plan, frames = drive
    decoded = decode(frames, plan)
    messages = {p.message.name: p.message for p in plan.messages}
    assert [rate_of(messages[n], decoded) for n in ("Engine", "Temps", "Slow")] == [100, 50, 2]
    assert rate_of(messages["Engine"], decode(frames[:0], plan)) == 10
