"""The parser campaign, short form, and what it found: D1 to D14, each by its name.

D9, D10 (decoding against cantools), D12 (encodings) and D13 (spreadsheet formulas) are with the
code they are about: host/tests/test_decode_oracle.py, test_dbc.py, test_export_tables.py.
"""

import os
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slog.framing
from slog import messages as m
from slog import signal_table
from slog.framing import Receiver, frame
from stagelog.archive import hive_value, safe_name
from stagelog.archive.names import is_safe_name
from stagelog.blocks import read_log
from stagelog.dbc import load_database
from stagelog.errors import InputError
from stagelog.importers import load_frames
from stagelog.resources import firmware_path
from stagelog.rig.faults import parser_campaign as campaign
from stagelog.rig.faults import parser_targets as targets
from stagelog.rig.faults.bench import DEVICE_ID, Bench
from stagelog.rig.faults.results import Tally, format_table
from stagelog.rig.runtimes import find_runtime

SEED = 20261120
EVIL = Path(__file__).resolve().parents[2] / "host" / "tests" / "evil"
N_EACH = 60


def test_no_parser_believes_or_fails_on_mutants(capsys):
    tally = Tally(SEED)
    campaign.run(tally, N_EACH * len(targets.TARGETS))
    with capsys.disabled():
        print("\n" + format_table(campaign.rows(tally)))
    assert tally.states == dict.fromkeys(targets.TARGETS, N_EACH)
    assert not tally.findings, "\n".join(map(str, tally.findings[:20]))


@pytest.mark.parametrize("path", sorted(EVIL.glob("*/*")), ids=lambda path: path.name)
def test_d14_what_was_found_stays_found(path):
    kind = path.parent.name
    name = {"dbc": "dbc", "logs": "candump", "names": "archive", "tables": "configuration"}[kind]
    assert campaign.run_file(name, path) == []


# D1 to D8, one by one


def test_d02_a_parser_that_hangs_is_noticed():
    class Endless(targets.Framing):
        def run(self, data):
            while True:
                pass

    monkey = campaign.limited
    try:
        campaign.limited = lambda: monkey(0.05)
        finding = campaign.execute(Endless(), b"", "case")
    finally:
        campaign.limited = monkey
    assert finding.invariant == "D2" and "0.05 s" in finding.text


def test_d07_every_changed_byte_in_a_used_part_is_reported(tmp_path):
    """Each byte of a full and of a partial block, one random bit each; beyond it nothing is."""
    whole = targets.sample_session(300)
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
    target = targets.Blocks()
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
    assert bench.link.hello()["car"] == bytes(8)


def test_a_card_that_cannot_be_read_while_an_erase_is_checked():
    """The main loop ended with an OSError; now ERASE says so, and may be asked again."""
    bench = stopped()
    (session,) = bench.link.list_sessions()
    values = {name: session[name] for name in ("boot", "nonce", "first_seq", "n_blocks")}
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


SCRIPT = """
import sys
from slog import messages as m
from slog.framing import Receiver
from slog import signal_table
import binascii

crc = 0
n_good = n_bad = n_parsed = 0

def take(kind, request, payload):
    global crc, n_good, n_parsed
    n_good += 1
    data = bytes(payload)
    crc = binascii.crc32(bytes([kind, request]) + data, crc)
    for row in m.MESSAGES:
        for table in row[2:]:
            try:
                values, rest = m.parse(table, data)
            except m.MessageError:
                continue
            n_parsed += 1
            crc = binascii.crc32(m.build(table, values, rest), crc)

with open(sys.argv[1], "rb") as stream:
    while True:
        head = stream.read(4)
        if len(head) < 4:
            break
        data = stream.read(head[0] | head[1] << 8 | head[2] << 16)
        receiver = Receiver()
        receiver.feed(data, take)
        n_bad += receiver.n_bad
        try:
            signal_table.load(data)
        except signal_table.TableError:
            pass
print(crc, n_good, n_bad, n_parsed)
"""


@pytest.mark.parametrize("runtime", ["unix64", "unix32"])
def test_d06_micropython_takes_from_garbage_what_cpython_takes(runtime, tmp_path):
    binary = find_runtime(runtime)
    if binary is None:
        pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
    framing, tables = targets.Framing(), targets.Configuration()
    with open(tmp_path / "inputs", "wb") as stream:
        for n in range(1500):
            data = campaign.input_of(tables if n % 5 == 0 else framing, SEED, n)
            stream.write(struct.pack("<I", len(data)) + data)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    said = []
    for python in (os.fspath(binary), os.sys.executable):
        path = str(firmware_path())
        done = subprocess.run(
            [python, script, tmp_path / "inputs"],
            env=dict(os.environ, MICROPYPATH=path, PYTHONPATH=path),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
        said.append(done.stdout.split())
    assert said[0] == said[1]
    assert int(said[0][1]) > 500


# controls and the campaign itself


def test_control_a_receiver_without_crc_is_caught(monkeypatch):
    class Believer:
        @staticmethod
        def crc32(data, crc=0):
            return struct.unpack("<I", bytes(4))[0]

    monkeypatch.setattr(slog.framing, "binascii", Believer)
    target = targets.Framing()
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
        store.request_release(store.next_seq, store.next_position)
        return self._put_status(m.ERASE, m.OK)

    monkeypatch.setattr(Service, "_erase", erase)
    target = targets.Service()
    found = [campaign.execute(target, data, "seed") for data in target.seeds()]
    assert any(finding and finding.invariant == "L17" for finding in found)


def test_a_case_is_reproduced_by_seed_and_number(monkeypatch):
    def broken(data):
        raise KeyError("x")

    monkeypatch.setattr(targets, "load_settings", broken)
    tally = Tally(3)
    campaign.run(tally, 5, names=["configuration"])
    assert [finding.case for finding in tally.findings] == [f"configuration:{n}" for n in range(5)]
    again = campaign.reproduce(3, "configuration:4")
    assert str(again[0]) == str(tally.findings[4])


def test_the_guided_form_runs_and_keeps_what_it_learns(tmp_path):
    pytest.importorskip("atheris")
    code, said = campaign.run_guided("configuration", 300, 1, tmp_path / "corpus")
    assert code == 0, said
    assert len(list((tmp_path / "corpus").iterdir())) >= 2
