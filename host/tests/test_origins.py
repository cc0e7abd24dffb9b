"""One message from two buses or two J1939 sources: never one series, and never without a word.

Engine (0x123) is on bus 0 with 2 N rows of Speed 0x0010 * 0.25 = 4 rpm and on bus 1 with N rows of
0x0064 * 0.25 = 25 rpm. EEC1 is PGN 0xF004: 0x0CF00400 has priority 3 and source 0x00, 0x18F00403
priority 6 and source 0x03; word 0x1F40 * 0.125 = 1,000 rpm, 0x0FA0 * 0.125 = 500 rpm.
"""

import csv
import json
import warnings

import numpy as np
import pytest

from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode, find_origins, split
from stagelog.importers import load_frames

DBC = f"""BU_: E
BO_ 291 Engine: 8 E
 SG_ Speed : 0|16@1+ (0.25,0) [0|0] "rpm" E
BO_ 292 Muxed: 8 E
 SG_ Sel M : 0|8@1+ (1,0) [0|0] "" E
 SG_ A m0 : 8|8@1+ (1,0) [0|0] "" E
 SG_ B m1 : 8|8@1+ (1,0) [0|0] "" E
BO_ {0x98F004FE} EEC1: 8 E
 SG_ Rpm : 24|16@1+ (0.125,0) [0|0] "rpm" E
BA_DEF_ "ProtocolType" STRING ;
BA_ "ProtocolType" "J1939";
"""
N = 20


@pytest.fixture
def dbc(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(DBC)
    return path


@pytest.fixture
def log(tmp_path):
    lines = []
    for k in range(N):
        lines += [
            f"({1_700_000_000 + k}.000000) can0 123#1000000000000000",
            f"({1_700_000_000 + k}.200000) can0 123#1000000000000000",
            f"({1_700_000_000 + k}.300000) can1 123#6400000000000000",
            f"({1_700_000_000 + k}.400000) can0 0CF00400#FFFFFF401FFFFFFF",
            f"({1_700_000_000 + k}.500000) can0 18F00403#FFFFFFA00FFFFFFF",
        ]
    path = tmp_path / "x.log"
    path.write_text("\n".join(lines) + "\n")
    return path


SOURCES = "warning: EEC1 comes from J1939 sources 00 and 03: "
WARNING = "warning: Engine comes on buses 0 and 1: "


def test_parquet_has_bus_and_source_as_columns(run, tmp_path, log, dbc):
    pq = pytest.importorskip("pyarrow.parquet")
    code, _, err = run("decode", log, "--dbc", dbc, "--out", tmp_path / "out")
    assert code == 0 and WARNING + "the column bus says which; --bus takes one of them\n" in err
    table = pq.read_table(tmp_path / "out" / "Engine.parquet").to_pydict()
    assert list(table) == ["t_us", "bus", "Speed"]
    assert table["bus"] == [0, 0, 1] * N and table["Speed"] == [4.0, 4.0, 25.0] * N
    table = pq.read_table(tmp_path / "out" / "EEC1.parquet").to_pydict()
    assert list(table) == ["t_us", "bus", "source", "Rpm"]
    assert table["source"] == [0, 3] * N and table["Rpm"] == [1000.0, 500.0] * N


def test_csv_has_bus_and_source_as_columns(run, tmp_path, log, dbc):
    assert run("decode", log, "--dbc", dbc, "--out", tmp_path / "out", "--csv")[0] == 0
    with open(tmp_path / "out" / "EEC1.csv", encoding="utf-8-sig", newline="") as file:
        header, first, second, *_ = csv.reader(file)
    assert header == ["t_s", "bus", "source", "Rpm [rpm]"]
    assert first == ["1700000000.400000", "0", "0", "1000.0"]
    assert second == ["1700000000.500000", "0", "3", "500.0"]


def test_a_bus_can_be_chosen(run, tmp_path, log, dbc):
    pq = pytest.importorskip("pyarrow.parquet")
    code, _, err = run("decode", log, "--dbc", dbc, "--out", tmp_path / "out", "--bus", "1")
    assert code == 0 and "warning" not in err
    assert set(pq.read_table(tmp_path / "out" / "Engine.parquet")["Speed"].to_pylist()) == {25.0}
    assert run("convert", log, tmp_path / "y.log", "--bus", "1")[0] == 0
    lines = (tmp_path / "y.log").read_text().splitlines()
    assert len(lines) == N and all(" can1 123#64" in line for line in lines)
    code, _, err = run("convert", log, tmp_path / "z.log", "--bus", "7")
    assert code == 5 and "no frame of bus 7" in err


@pytest.mark.parametrize(
    "verb",
    [
        "info LOG",
        "decode LOG --dbc DBC --out out",
        "convert LOG OUT.slog",
        "convert LOG OUT.csv --dbc DBC",
        "plot LOG --dbc DBC --strip Speed --out OUT.svg",
        "report LOG --out OUT.html",
        "dbc check DBC --log LOG",
        "replay LOG --closed-loop",
    ],
)
def test_a_bus_that_is_not_in_the_log_is_refused_with_those_that_are(
    run, tmp_path, log, dbc, verb
):
    words = {"LOG": log, "DBC": dbc, "out": tmp_path / "out"}
    args = [words.get(w, w.replace("OUT", f"{tmp_path}/y")) for w in verb.split()]
    option = "--only-bus" if verb.startswith("replay") else "--bus"
    code, out, err = run(*args, option, "7")
    assert (code, out) == (5, "")
    assert f"{log} holds no frame of bus 7" in err and "it has frames of bus 0, 1" in err
    assert err.count("\n") <= 2 and not (tmp_path / "out").exists()


def test_a_report_warns_of_two_buses_and_takes_one(run, tmp_path):
    # the message of the car's first wheel speed, 30 times on each of two buses
    can_id, name = _wheel_message()
    lines = [
        f"({1_700_000_000 + k / 10:.6f}) can{bus} {can_id}#000000000000000{bus}\n"
        for k in range(30)
        for bus in (0, 1)
    ]
    path, page = tmp_path / "two.log", tmp_path / "r.html"
    path.write_text("".join(lines))
    code, _, err = run("report", path, "-o", page, "--profile", "d7xr")
    wanted = f"{name} comes on buses 0 and 1: one signal in this report"
    assert code == 0 and f"warning: {wanted}" in err and wanted in page.read_text("utf-8")
    code, _, err = run("report", path, "-o", page, "--profile", "d7xr", "--force", "--bus", "1")
    assert code == 0 and not err and wanted not in page.read_text("utf-8")


def _wheel_message():
    """Return (identifier, name) of the message with the first wheel speed of the profile d7xr."""
    from stagelog.profile import dbc_file, load_profile

    profile = load_profile("d7xr")
    wheel = profile.roles.wheel_speed[0]
    messages = load_database(dbc_file(profile)).messages
    found = next(m for m in messages if any(signal.name == wheel for signal in m.signals))
    return f"{found.can_id:0{8 if found.is_ext else 3}X}", found.name


def test_dbc_check_warns_of_two_buses_and_takes_one(run, log, dbc):
    _, out, err = run("dbc", "check", dbc, "--log", log)
    assert WARNING + "compared together; --bus takes one of them\n" in err
    assert SOURCES + "compared together\n" in err
    _, out, err = run("dbc", "check", dbc, "--log", log, "--bus", "1", "--json")
    assert json.loads(out)["log"]["n_frames"] == N and not err
    assert run("dbc", "check", dbc, "--bus", "1")[0] == 2


def test_j1939_sources_are_reported(run, tmp_path, log, dbc):
    out = tmp_path / "out"
    assert SOURCES in run("decode", log, "--dbc", dbc, "--out", out)[2]
    err = run("convert", log, tmp_path / "y.csv", "--dbc", dbc, "--bus", "0")[2]
    assert err == SOURCES + "written apart, as in EEC1@sa03\n"


RESAMPLED = ["t_s", "Engine@bus0.Speed [rpm]", "Engine@bus1.Speed [rpm]"]
RESAMPLED += ["EEC1@sa00.Rpm [rpm]", "EEC1@sa03.Rpm [rpm]"]


@pytest.mark.parametrize("verb", ["convert", "decode"])
def test_a_resampled_table_has_a_column_for_each(run, tmp_path, log, dbc, verb):
    signals = ("--signal", "Speed", "--signal", "Rpm", "--rate-Hz", "1")
    if verb == "convert":
        path = tmp_path / "y.csv"
        code, _, err = run("convert", log, path, "--dbc", dbc, *signals)
    else:
        path = tmp_path / "out" / "signals.csv"
        code, _, err = run("decode", log, "--dbc", dbc, "-o", path.parent, "--csv", *signals)
    assert code == 0 and WARNING + "written apart, as in Engine@bus1" in err
    with open(path, encoding="utf-8-sig", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == RESAMPLED
    assert lines[5][1:] == ["4.0", "25.0", "1000.0", "500.0"]
    code, _, err = run("convert", log, tmp_path / "b.csv", "--dbc", dbc, "--bus", "1", "--json")
    assert code == 0 and not err
    assert (tmp_path / "b.csv").read_text("utf-8-sig").startswith("t_s,Speed [rpm]")


def test_mf4_has_a_group_for_each(run, tmp_path, log, dbc):
    asammdf = pytest.importorskip("asammdf")
    code, out, _ = run("convert", log, tmp_path / "y.mf4", "--dbc", dbc, "--json")
    assert code == 0
    assert [w.partition(":")[0] for w in json.loads(out)["warnings"]] == [
        "Engine comes on buses 0 and 1",
        "EEC1 comes from J1939 sources 00 and 03",
    ]
    with asammdf.MDF(tmp_path / "y.mf4") as measured:
        found = {
            group.channel_group.acq_name: set(measured.get("Speed", group=k).samples.tolist())
            for k, group in enumerate(measured.groups)
            if group.channel_group.acq_name.startswith("Engine")
        }
    assert found == {"Engine@bus0": {4.0}, "Engine@bus1": {25.0}}


def test_mcap_has_a_topic_for_each(run, tmp_path, log, dbc):
    reader = pytest.importorskip("mcap.reader")
    assert run("convert", log, tmp_path / "y.mcap", "--dbc", dbc)[0] == 0
    found = {}
    with open(tmp_path / "y.mcap", "rb") as file:
        for _, channel, message in reader.make_reader(file).iter_messages():
            found.setdefault(channel.topic, set()).update(json.loads(message.data).values())
    assert found == {
        "/Engine@bus0": {4.0},
        "/Engine@bus1": {25.0},
        "/EEC1@sa00": {1000.0},
        "/EEC1@sa03": {500.0},
    }


def test_a_plot_has_a_line_for_each(run, tmp_path, log, dbc):
    strips = ("--strip", "Speed", "--strip", "EEC1.Rpm")
    code, out, err = run("plot", log, "--dbc", dbc, *strips, "-o", tmp_path / "y.svg")
    assert code == 0 and WARNING + "a line for each" in err
    assert f"4 signals, {5 * N:,} samples" in out
    code, out, err = run(
        "plot", log, "--dbc", dbc, *strips, "--bus", "0", "-o", tmp_path / "z.svg"
    )
    assert code == 0 and f"3 signals, {4 * N:,} samples" in out
    assert err == SOURCES + "a line for each\n"


def test_a_split_table_keeps_its_gaps(tmp_path, dbc):
    # Muxed (0x124): selector 0 holds A, selector 1 holds B
    path = tmp_path / "m.log"
    rows = (("can0", "000A"), ("can1", "010B"), ("can0", "010C"), ("can1", "000D"), ("can1", "01"))
    path.write_text("".join(f"({k}.0) {bus} 124#{data}\n" for k, (bus, data) in enumerate(rows)))
    decoded = decode(load_frames(path).frames, compile_plan(load_database(dbc)))
    names = find_origins([decoded]).names()
    found = {}
    for name, table in split(decoded, names).messages.items():
        found[name] = [table.dense(signal).tolist() for signal in ("Sel", "A", "B")]
    nan = np.nan
    wanted = {
        "Muxed@bus0": [[0, 1], [0x0A, nan], [nan, 0x0C]],
        "Muxed@bus1": [[1, 0, 1], [nan, 0x0D, nan], [0x0B, nan, nan]],
    }
    assert found.keys() == wanted.keys()
    for name, columns in wanted.items():
        np.testing.assert_array_equal(found[name], columns)


def test_a_signal_called_bus_does_not_hide_the_bus(run, tmp_path, log):
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "bus.dbc"
    path.write_text('BU_: E\nBO_ 291 Engine: 8 E\n SG_ bus : 0|16@1+ (1,0) [0|0] "" E\n')
    assert run("decode", log, "--dbc", path, "--out", tmp_path / "out")[0] == 0
    table = pq.read_table(tmp_path / "out" / "Engine.parquet").to_pydict()
    assert list(table) == ["t_us", "frame_bus", "bus"]
    assert table["frame_bus"][:3] == [0, 0, 1] and table["bus"][:3] == [16.0, 16.0, 100.0]


def test_watch_keeps_buses_and_sources_apart(dbc, log):
    from stagelog.cli.watch import _values

    frames = load_frames(log).frames[:5]
    lines = _values((str(dbc),), ("Speed", "Rpm")).lines(frames)
    assert [line.split(" ", 1)[1] for line in lines] == [
        "can0 Engine.Speed 4 rpm",
        "can0 Engine.Speed 4 rpm",
        "can1 Engine.Speed 25 rpm",
        "can0 EEC1@sa00.Rpm 1000 rpm",
        "can0 EEC1@sa03.Rpm 500 rpm",
    ]
    view = _values((str(dbc),), ("Speed", "Rpm"))
    view.take(frames)
    assert [list(column.cells) for column in view.table().columns[1:3]] == [
        ["0", "0", "0", "1"],
        ["1000", "500", "4", "25"],
    ]
    entries = _values((str(dbc),), ("Rpm",), (0,)).entries(frames)
    assert [(e["bus"], e["source"], e["signal"]) for e in entries] == [
        (0, 0, "EEC1.Rpm"),
        (0, 3, "EEC1.Rpm"),
    ]
    assert _values((str(dbc),), ("Speed",), (1,)).lines(frames) == [lines[2]]


def test_pandas_has_bus_and_source(dbc, log):
    pytest.importorskip("pandas")
    import stagelog

    table = stagelog.open(log, dbc=dbc).to_pandas("EEC1")
    assert table["bus"].tolist() == [0, 0] * N and table["source"].tolist() == [0, 3] * N


def test_python_warns_of_two_buses_and_takes_one(dbc, log):
    import stagelog

    with pytest.warns(UserWarning, match="Engine comes on buses 0 and 1.*open"):
        assert len(stagelog.open(log, dbc=dbc).signal("Speed").t_us) == 3 * N
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        speed = stagelog.open(log, dbc=dbc, bus=1).signal("Speed")
    assert speed.values.tolist() == [25.0] * N
