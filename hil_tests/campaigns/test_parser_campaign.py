"""The parser campaign, short form, and what it found: D1 to D14, each by its name.

D9, D10 (decoding against cantools), D12 (encodings) and D13 (spreadsheet formulas) are with the
code they are about: host/tests/test_decode_oracle.py, test_dbc.py, test_export_tables.py.
"""

import dataclasses
import math
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slog.framing
from campaigns.engine.bench import DEVICE_ID, Bench
from campaigns.engine.parsers import blocks as parser_blocks
from campaigns.engine.parsers import campaign
from campaigns.engine.parsers import guided as parser_guided
from campaigns.engine.parsers import replay as parser_replay
from campaigns.engine.parsers import state as parser_state
from campaigns.engine.parsers import tables as parser_tables
from campaigns.engine.parsers import wire as parser_wire
from campaigns.engine.parsers.target import LETTERS, Target, Violation
from campaigns.engine.parsers.targets import TARGETS
from campaigns.engine.results import Tally, format_table
from slog import messages as m
from slog import signal_table
from slog.framing import Receiver, frame
from stagelog.archive import hive_value
from stagelog.blocks import read_log
from stagelog.dbc import load_database
from stagelog.errors import InputError
from stagelog.importers import load_frames
from stagelog.platform.names import is_safe_name, safe_name
from stagelog.profile import load_profile
from stagelog.resources import dbc_path
from stagelog.rig.runtimes import find_runtime

SEED = 20261120
EVIL = Path(__file__).resolve().parents[2] / "host" / "tests" / "evil"
N_EACH = {"mf4": 1, "service": 30}
FOLDERS = {  # of the evil files: the target that reads them
    "cards": "card",
    "dbc": "dbc",
    "logs": "candump",
    "manifests": "manifest",
    "names": "names",
    "sealed": "sealed",
    "settings": "settings",
    "tables": "signal-table",
    "wire": "answers",
}


def test_no_parser_believes_or_fails_on_mutants(show):
    tally = Tally(SEED)
    for name in TARGETS:
        campaign.run(tally, N_EACH.get(name, 60), names=[name])
    show(format_table(campaign.rows(tally)))
    assert tally.states == {name: N_EACH.get(name, 60) for name in TARGETS}
    assert not tally.findings, "\n".join(map(str, tally.findings[:20]))


@pytest.mark.parametrize("path", sorted(EVIL.glob("*/*")), ids=lambda path: path.name)
def test_d14_what_was_found_stays_found(path):
    assert campaign.run_file(FOLDERS[path.parent.name], path) == []


# D1 to D8, one by one


def test_d02_a_parser_that_hangs_is_noticed():
    class Endless(parser_wire.Framing):
        limit_s = 0.05

        def run(self, data):
            while True:
                pass

    finding = campaign.execute(Endless(), b"", "case")
    assert finding.invariant == "D2" and "0.05 s of the processor" in finding.text


def test_d07_every_changed_byte_in_a_used_part_is_reported(tmp_path):
    """Each byte of a full and of a partial block, one random bit each; beyond it nothing is."""
    whole = parser_blocks.sample_session(300)
    path = tmp_path / "x.slog"
    n_used = [64 + 16 * whole[at + 3] for at in (0, len(whole) - 4096)]
    assert n_used[0] == 4096 > n_used[1]
    rng = random.Random(7)
    for start, n in zip((0, len(whole) - 4096), n_used, strict=True):
        for at in range(start, start + n, 3):
            data = bytearray(whole)
            data[at] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            log = read_log(path)
            assert log.damaged, f"byte {at - start} of the block at {start}"
    unused = bytearray(whole)
    unused[-1] ^= 1
    path.write_bytes(unused)
    assert not read_log(path).damaged


def test_d07_control_a_reader_that_skips_the_crc_is_caught(monkeypatch, tmp_path):
    import numpy as np

    from stagelog.blocks import medium, reader

    def lazy(*args):
        return np.ones(len(args[-1]), bool)

    for module in (medium, reader):
        if hasattr(module, "good_mask"):
            monkeypatch.setattr(module, "good_mask", lazy)
    target = parser_blocks.Blocks()
    target.prepare(tmp_path)
    found = [
        finding
        for n in range(300)
        if (finding := campaign.execute(target, campaign.input_of(target, SEED, n), str(n)))
    ]
    assert {finding.invariant for finding in found} & {"D6", "D7"}


def test_d04_rows_beyond_the_table_are_refused_before_memory_is_taken():
    """65,535 rows declared in a table of 100 bytes took 5 MB, more than the car has."""
    for n_rows in (2, 3, 65535):
        table = signal_table.pack(0, {signal_table.ROLES: [[0] * 4]})
        body = bytearray(table[:-4])
        struct.pack_into("<H", body, 10, n_rows)
        with pytest.raises(signal_table.TableError, match="more than there are bytes"):
            signal_table.load(bytes(body) + struct.pack("<I", zlib.crc32(body)))


def test_d02_ten_thousand_signals_of_one_name_take_seconds(tmp_path):
    """The time grew with the square of their number: 18 s for half a megabyte."""
    line = ' SG_ A : 0|8@1+ (1,0) [0|1] "" X\n'
    target = parser_tables.Dbc()
    target.prepare(tmp_path)
    text = 'VERSION "1"\nBO_ 291 Engine: 8 ECU\n' + 10_000 * line
    assert campaign.execute(target, text.encode(), "names") is None


def test_d01_a_table_that_ends_anywhere_is_refused():
    rows = {tag: [[1] * len(names)] for tag, names in signal_table.COLUMNS.items()}
    whole = signal_table.pack(0, rows)
    assert signal_table.load(whole)[0] == 0
    for n in range(len(whole) - 4):
        body = whole[:n]
        with pytest.raises(signal_table.TableError):
            signal_table.load(body + struct.pack("<I", zlib.crc32(body)))


@given(
    st.one_of(st.text(), st.from_regex(r"(con|aux|com1|[0-9])[._ /\\-]{0,70}.*", fullmatch=True))
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_d11_a_name_made_safe_is_safe(text):
    name = safe_name(text)
    assert is_safe_name(name) and 0 < len(name) <= 64
    for kind in ("event", "car", "stage"):
        value = hive_value(kind, text)
        assert is_safe_name(value) and not value[0].isdigit()


@pytest.mark.parametrize(
    "text", ["con." + "a" * 58 + "_b", "0" + "a" * 62 + "_b", "aux" + "." * 70]
)
def test_d11_a_name_cut_at_an_underscore_is_safe_still(text):
    """A long reserved name ended in two underscores; its manifest could not be read back."""
    assert is_safe_name(safe_name(text)) and is_safe_name(hive_value("car", text))


@given(st.binary(max_size=600))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_d01_any_bytes_end_in_a_result_or_an_input_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(data)
    for load in (read_log, load_frames, load_database):
        try:
            load(path)
        except InputError as error:
            assert "x" in str(error)


# car profiles: the rig, which has the targets, knows no car


class Profile(Target):
    """A car profile: numbers within their bounds, or one error that names the file."""

    name = "profile"
    words = (
        *LETTERS,
        b"nan",
        b"inf",
        b"1e999",
        b"[[",
        b"]]",
        b"[car]\n",
        b'extends = "x.toml"\n',
        b'extends = "../../x"\n',
        b"{a=",
        b"1979-05-27",
        b"true",
    )

    def make_seeds(self):
        folder = dbc_path() / "profiles"
        return [path.read_bytes() for path in sorted(folder.glob("d7xr*.toml"))]

    def prepare(self, folder):
        self.path = folder / "x.toml"
        (folder / "d7xr.toml").write_bytes((dbc_path() / "profiles" / "d7xr.toml").read_bytes())

    def run(self, data):
        self.path.write_bytes(data)
        try:
            profile = load_profile(self.path)
        except InputError as error:
            if str(self.path.parent) not in str(error):
                raise Violation("D1", f"the error names no file: {error}") from None
            return
        if not all(math.isfinite(value) for value in _numbers(dataclasses.asdict(profile))):
            raise Violation("D7", "a number that is none")


def _numbers(value):
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, str | bool) or value is None:
        return
    if isinstance(value, int | float):
        yield value
        return
    for item in value:
        yield from _numbers(item)


def test_a_profile_is_taken_with_numbers_or_refused_by_name(tmp_path):
    target = Profile()
    target.prepare(tmp_path)
    found = [campaign.execute(target, campaign.input_of(target, SEED, n), n) for n in range(40)]
    assert not any(found), "\n".join(str(finding) for finding in found if finding)


# the logger's side


def asked(bench, kind, payload):
    """Send one request; return (status byte, payload) of its answer."""
    got = []
    receiver = Receiver()
    bench.cable.host_read()
    bench.write(frame(kind, 9, payload))
    for _ in range(300):
        bench.run_ms(1)
        receiver.feed(bench.cable.host_read(), lambda k, n, view: got.append((k, n, bytes(view))))
        if got:
            break
    assert got[0][:2] == (kind | m.REPLY, 9)
    return got[0][2][0], got[0][2]


def stopped():
    bench = Bench(5, 60)
    bench.power_on()
    bench.run_ms(1500)
    bench.link.control(m.CONTROL_STOP, bench.app.boot)
    return bench


def test_settings_with_half_a_character_are_refused():
    """The main loop ended with a UnicodeEncodeError."""
    bench = stopped()
    item = b'{"car":"\\ud800"}'
    head = {"item": m.CONFIG_SETTINGS, "total": len(item), "crc": zlib.crc32(item)}
    status, _ = asked(bench, m.CONFIG_SET, m.build(m.CONFIG_SET_REQUEST, head, item))
    assert status in (m.BAD_REQUEST, m.REFUSED)
    assert bench.link.hello().car == bytes(8)


def test_a_card_that_cannot_be_read_while_an_erase_is_checked():
    """The main loop ended with an OSError; now ERASE says so, and may be asked again."""
    bench = stopped()
    (session,) = bench.link.list_sessions()
    values = {name: getattr(session, name) for name in ("boot", "nonce", "first_seq", "n_blocks")}
    request = m.build(m.ERASE_REQUEST, {"device_id": DEVICE_ID, **values, "digest": bytes(32)})
    n_reads = 0

    def fail(sector, data):
        nonlocal n_reads
        n_reads += 1
        if n_reads == 2:
            raise OSError("bit error")
        return data

    assert asked(bench, m.ERASE, request)[0] == m.PENDING
    bench.card.on_read = fail
    bench.run_ms(50)
    assert n_reads == 2
    assert asked(bench, m.ERASE, request)[0] == m.READ_ERROR
    statuses = [asked(bench, m.ERASE, request)[0] for _ in range(20)]
    assert m.WRONG_DIGEST in statuses and m.OK not in statuses


@pytest.mark.parametrize("runtime", ["unix64", "unix32"])
def test_d06_micropython_takes_from_garbage_what_cpython_takes(runtime):
    binary = find_runtime(runtime)
    if binary is None:
        pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
    tally = Tally(SEED)
    parser_replay.run(tally, 2000, {runtime: binary})
    assert tally.states == {f"{name}, {runtime}": 500 for name in parser_replay.NAMES}
    assert not tally.findings, "\n".join(map(str, tally.findings))


# controls and the campaign itself


def test_control_a_receiver_without_crc_is_caught(monkeypatch):
    class Believer:
        @staticmethod
        def crc32(data, crc=0):
            return struct.unpack("<I", bytes(4))[0]

    monkeypatch.setattr(slog.framing, "binascii", Believer)
    target = parser_wire.Framing()
    good = frame(2, 3, b"payload")
    broken = good[:6] + bytes([good[6] ^ 1 or 2]) + good[7:]
    assert campaign.execute(target, good, "good") is None
    got = []
    Receiver().feed(broken, lambda *a: got.append(a))
    assert got, "without its CRC the receiver believes a changed byte"


def test_control_a_service_that_erases_unasked_is_caught(monkeypatch):
    from logger.service import Service

    def erase(self, payload):
        store = self._app.store
        store.request_release(store.next_seq, store.places.next_position)
        return self._put_status(m.ERASE, m.OK)

    monkeypatch.setattr(Service, "_erase", erase)
    target = parser_wire.Service()
    found = [campaign.execute(target, data, "seed") for data in target.seeds()]
    assert any(finding and finding.invariant == "L17" for finding in found)


@pytest.mark.parametrize("text", [b"[" * 16000, b"[" + b"[]," * 5400, b'{"a":' * 3000])
def test_d03_settings_that_fill_the_heap_of_the_car_are_refused(text, tmp_path):
    """The main loop ended with a MemoryError: 16 KB of brackets, sent as settings."""
    binary = find_runtime("unix32")
    if binary is None:
        pytest.skip("no unix32 MicroPython: run tools/runtimes unix32")
    said, error = parser_replay.take("settings", "unix32", binary, [text] * 3, tmp_path)
    assert (said[-1], error) == ("3 0 0 3", "")


def test_control_micropython_that_takes_something_else_is_noticed(monkeypatch):
    binary = find_runtime("unix64")
    if binary is None:
        pytest.skip("no unix64 MicroPython: run tools/runtimes unix64")
    other = parser_replay.SCRIPT.replace("data[1:])", "data[len(sys.implementation[0]) // 8:])")
    assert other != parser_replay.SCRIPT  # MicroPython drops the first byte of what it builds
    monkeypatch.setattr(parser_replay, "SCRIPT", other)
    tally = Tally(SEED)
    parser_replay.run(tally, 400, {"unix64": binary}, names=["messages"])
    assert [finding.invariant for finding in tally.findings] == ["D6"]


def test_a_case_is_reproduced_by_seed_and_number(monkeypatch):
    def broken(data):
        raise KeyError("x")

    monkeypatch.setattr(parser_tables, "load_settings", broken)
    tally = Tally(3)
    campaign.run(tally, 5, names=["settings"])
    assert [finding.case for finding in tally.findings] == [f"settings:{n}" for n in range(5)]
    again = campaign.reproduce(3, "settings:4")
    assert str(again[0]) == str(tally.findings[4])


def test_counts_of_changed_sources_are_void(monkeypatch, tmp_path):
    tally = Tally(3)
    campaign.run(tally, 40, names=["settings"])
    campaign.run(tally, 30, names=["names"])
    parser_state.save(tally, tmp_path / "state.json")
    assert parser_state.load(tmp_path / "state.json") == (tally, [])
    before = parser_state.digest_of
    monkeypatch.setattr(
        parser_state, "digest_of", lambda name: "new" if name == "names" else before(name)
    )
    again, changed = parser_state.load(tmp_path / "state.json")
    assert changed == ["names"]
    assert again.states == {"settings": 40}
    assert not [figure for figure in again.worst if figure.startswith("names")]


def test_the_guided_form_finds_by_coverage_and_keeps_what_it_learns(tmp_path):
    pytest.importorskip("atheris")
    tally = Tally(1)
    parser_guided.run(tally, 400, tmp_path, names=["settings"])
    assert not tally.findings, tally.findings
    assert tally.states == {"settings, by coverage": 400}
    assert tally.worst["settings, by coverage: edges"] > 10
    assert len(list((tmp_path / "corpus" / "settings").iterdir())) > 3
