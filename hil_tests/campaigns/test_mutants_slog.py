"""The contract in numbers, and the corners of ledger, extent and framing that mutants found
untested.
"""

import hashlib
import random
from types import SimpleNamespace

import numpy as np
import pytest

from campaigns.engine.bench import Bench
from campaigns.engine.parsers.blocks import sample_session
from logger.extent import Extent, ExtentError, find_signature
from slog import faults, layout
from slog import messages as m
from slog.framing import MAX_PAYLOAD, PACKET_BYTES, FrameWriter, Receiver, cobs_decode, frame
from slog.layout import BUS_OFF, META_BUS, META_DLC
from stagelog import ledger
from stagelog.blocks import read_log
from stagelog.ending import STOPPED, End


def test_the_contract_hash_is_what_it_says():
    """Made a second time from the tables; another recipe would lock out loggers in the field."""
    text = [f"stagelog {layout.VERSION}"]

    def add(title, table):
        text.append(title + "".join("|{} {} {}".format(*row[:3]) for row in table))

    for table in (layout.BLOCK_HEADER, layout.RECORD, layout.SIGNATURE, layout.RELEASE):
        add("", table)
    for kind, name, _, table in layout.META:
        add(f"meta {kind} {name}", table)
    for kind, name, request, reply in m.MESSAGES:
        add(f"ask {kind} {name}", request)
        add(f"answer {kind} {name}", reply)
    assert m.contract_hash() == hashlib.sha256("".join(text).encode()).digest()[:8]


def numbers_of(module, prefix):
    """Return the numbers of the constants whose names start so, in the order of the file."""
    return [value for name, value in vars(module).items() if name.startswith(prefix)]


def test_numbers_that_both_ends_and_every_card_know():
    kinds = "HELLO STATUS TIME LIST READ ERASE CONFIG_GET CONFIG_SET CONTROL LIVE"
    assert [getattr(m, name) for name in kinds.split()] == list(range(1, 11))
    statuses = (
        "OK PENDING BAD_REQUEST NO_CARD OUT_OF_RANGE READ_ERROR WRONG_DIGEST WRONG_SESSION BUSY "
        "WRONG_CONTRACT REFUSED"
    )
    assert [getattr(m, name) for name in statuses.split()] == list(range(11))
    assert m.REPLY == 0x80 and m.MAX_READ == 4096 and m.MAX_CONFIG_BYTES == 16384
    assert (m.CONFIG_SETTINGS, m.CONFIG_SIGNALS) == (0, 1)
    actions = "STOP START RESET REPL BOOTLOADER"
    assert [getattr(m, f"CONTROL_{name}") for name in actions.split()] == [1, 2, 3, 4, 5]
    states = "BOOT IDLE RECORDING FULL CARD_FAULT NO_CARD"
    assert [getattr(m, f"STATE_{name}") for name in states.split()] == list(range(6))
    assert [row[0] for row in layout.META] == list(range(1, 9))
    assert numbers_of(layout, "BUS_") == list(range(6))
    assert numbers_of(layout, "FLAG_") == [1, 2, 4]
    assert numbers_of(layout, "GAP_")[:3] == [1, 2, 3]
    assert [layout.VERSION, layout.MAGIC, layout.TIME_BITS, layout.META_DLC] == [1, 0x4C53, 28, 15]
    assert [layout.BLOCK_BYTES, layout.HEADER_BYTES, layout.RECORD_BYTES] == [4096, 64, 16]
    assert [layout.RECORDS_PER_BLOCK, layout.SECTOR_BYTES, layout.N_BUSES] == [252, 512, 2]
    assert sorted(faults.TEXT) == list(range(14))
    assert layout.meta_table(99) is None and layout.meta_table(3) is layout.META[2][3]


def test_an_empty_frame_of_one_byte_type_is_the_shortest():
    got = []
    receiver = Receiver()
    wire = frame(1, 2, b"")
    receiver.feed(wire + b"\x01\x01\0" + wire, lambda *a: got.append((a[0], a[1], bytes(a[2]))))
    assert got == [(1, 2, b"")] * 2 and receiver.n_bad == 1


def test_what_is_not_cobs_is_minus_one():
    for data in (b"\0", b"\3\1", b"\3\0\1"):
        assert cobs_decode(bytearray(data), len(data)) == -1


def test_a_frame_that_fills_the_buffer_to_its_last_byte_is_received():
    wire = frame(1, 2, b"\xff" * 40)
    for room, n_good in ((len(wire) - 2, 1), (len(wire) - 3, 0)):
        got = []
        receiver = Receiver(max_wire=room)
        receiver.feed(wire + frame(3, 4, b"x"), lambda *a, got=got: got.append(a[0]))
        assert got == [1, 3][1 - n_good :]
        assert receiver.n_bad == 1 - n_good


# the ledger's words


@pytest.mark.parametrize(
    ("us", "words"),
    [(0, "0 us"), (999, "999 us"), (1000, "1 ms"), (9_999_999, "10,000 ms"), (10**7, "10.0 s")],
)
def test_a_duration_in_words(us, words):
    assert ledger._milliseconds(us) == words


def test_the_wall_clock_in_words():
    class Noon:
        def to_unix_us(self, t_us):
            return (86400 * 20_000 + 23 * 3600 + 59 * 60 + 58) * 10**6 + t_us

    gap = ledger.Gap(0, 1_007_999, None, 3, True, ledger.CARD)
    assert ledger.describe(gap, Noon()).startswith("23:59:59.007 bus 0: 3 frames given up")
    assert ledger.describe(gap).startswith("1.008 s after power-on bus 0")
    one = ledger.Gap(None, None, None, 1, False, ledger.CONTROLLER)
    assert "at an unknown time all buses: 1 or more frame lost" in ledger.describe(one)


def test_values_of_the_ledger_cannot_be_changed():
    gap = ledger.Gap(0, 1, 2, 3, True, ledger.CARD)
    bus = ledger.BusLedger(0, 1, 1, 0, 0, 0)
    whole = ledger.Ledger("x", (bus,), (gap,), (), 1, 0, End(STOPPED), 250)
    for thing, name in ((gap, "n"), (bus, "n_held"), (whole, "end")):
        with pytest.raises(AttributeError):
            setattr(thing, name, 5)


def test_an_account_as_json_says_all(tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(sample_session(300))
    (session,) = read_log(path).sessions
    found = ledger.account(session).as_dict()
    assert found["closes"] and found["complete"] and found["stopped"]
    assert found["session"] == session.identity.name and found["breaks"] == []
    assert [bus["n_seen"] for bus in found["buses"]] == [300, 0]
    assert found["gaps"] == [] and found["n_blocks"] == session.n_blocks


def test_counters_that_contradict_the_records_are_named(tmp_path):
    from stagelog.blocks.layouts import HEADER
    from stagelog.blocks.writer import seal

    blocks = np.frombuffer(bytearray(sample_session(900)), np.uint8).reshape(-1, 4096).copy()
    headers = blocks[:, :64].view(HEADER)[:, 0]
    headers["dropped0"][2:] = 4
    headers["stored0"][1:] += 2
    seal(blocks)
    path = tmp_path / "x.slog"
    path.write_bytes(blocks.tobytes())
    (session,) = read_log(path).sessions
    found = ledger.account(session)
    assert not found.closes and not found.complete
    assert found.breaks == (
        "block 2: bus 0 counts +2 frames more than it holds",
        "block 3: bus 0 counts +4 drops more than told",
    )


def test_a_lost_block_that_held_drops_alone_is_a_gap_and_no_break(tmp_path):
    from stagelog.blocks.layouts import HEADER
    from stagelog.blocks.writer import seal

    blocks = np.frombuffer(bytearray(sample_session(900)), np.uint8).reshape(-1, 4096).copy()
    headers = blocks[:, :64].view(HEADER)[:, 0]
    headers["stored0"][2:] -= headers["n_records"][1]
    headers["dropped0"][2:] = 1
    seal(blocks)
    path = tmp_path / "x.slog"
    path.write_bytes(np.delete(blocks, 1, 0).tobytes())
    log = read_log(path)
    found = ledger.account(log.sessions[0], log.damaged)
    assert found.closes and not found.complete
    told = [(gap.n, gap.cause, gap.detail) for gap in found.gaps if gap.cause == ledger.RING_FULL]
    assert told == [(1, ledger.RING_FULL, "known by a counter only")]
    (lost,) = (gap for gap in found.gaps if gap.cause == ledger.BLOCK)
    assert (lost.bus, lost.n, lost.detail) == (0, 0, "block 2 damaged or missing")


@pytest.mark.parametrize("n_states", [1, 2])
def test_bus_off_lasts_until_the_next_state_of_the_same_bus(n_states):
    from stagelog.blocks.records import META_TABLE

    meta = np.zeros(4, META_TABLE)
    meta["kind"], meta["t_us"], meta["arg"] = META_BUS, [10, 20, 30, 40], [BUS_OFF, BUS_OFF, 1, 2]
    meta["bus"] = [0, 1, 0, 0] if n_states == 2 else [0, 1, 1, 1]
    gaps = ledger._recorded_gaps(meta)
    ends = {gap.bus: gap.t_end_us for gap in gaps}
    assert not any(gap.exact for gap in gaps)
    assert ends == ({0: 30, 1: None} if n_states == 2 else {0: None, 1: 30})
    assert META_DLC == 15


# the extent


def test_positions_go_round_the_ring():
    bench = Bench(1, 12)
    extent = Extent(bench.card)
    assert extent.n == extent.end - extent.first == 12
    assert extent.after(extent.end - 1) == extent.first
    assert extent.after(extent.first, -1) == extent.end - 1
    assert extent.after(extent.first, 25) == extent.first + 1
    assert extent.distance(extent.end - 1, extent.first) == 1
    assert extent.distance(extent.first + 3, extent.first + 1) == 10
    assert extent.sector_of(3) == extent.lba + 24
    mark, packed = extent.make_release(9, extent.first + 2)
    bench.card.sectors[mark] = bytes(packed).ljust(512, b"\0")
    again = Extent(bench.card)
    assert (again.generation, again.released_seq, again.tail) == (1, 9, extent.first + 2)
    other, _ = again.make_release(10, extent.first)
    assert other != mark and {other, mark} == {extent.sector_of(p) for p in extent._marks}


def test_a_block_is_told_by_its_whole_header():
    bench = Bench(1, 40)
    bench.power_on()
    bench.run_ms(800)
    extent = bench.app.store.extent
    sector = extent.sector_of(extent.first)
    view = memoryview(bytearray(bench.card.sectors[sector]))
    assert extent.starts_like(sector, view)
    for at in (0, 20, 59):
        other = bytearray(view)
        other[at] ^= 1
        assert not extent.starts_like(sector, other)
    assert extent.is_signed()
    bench.card.sectors[extent._signature_at] = bytes(512)
    assert not extent.is_signed()


@pytest.mark.parametrize("lost", ["card", "sector"])
def test_a_signature_is_looked_for_as_long_as_the_card_answers(lost):
    bench = Bench(1, 12)
    n_reads = 0

    def fail(sector, data):
        nonlocal n_reads
        n_reads += 1
        if lost == "card" or n_reads == 1:
            raise OSError("no answer")
        return data

    bench.card.on_read = fail
    if lost == "sector":
        assert find_signature(bench.card, bytearray(512))[0]["data_end"]
    else:
        with pytest.raises((OSError, ExtentError)):
            find_signature(bench.card, bytearray(512))


@pytest.mark.parametrize("n", [0, 1, 57, 58, 59, 60, 120, 248, 253, 254, 255, 509, MAX_PAYLOAD])
def test_a_frame_made_in_pieces_is_the_frame_made_at_once(n):
    writer = FrameWriter()
    rng = random.Random(n)
    for fill in (rng.randbytes(n), b"\xff" * n, bytes(n)):
        for size in (1, 7, 512, n + 1):
            writer.begin(5, 7)
            for at in range(0, n, size):
                writer.put(b"??" + fill, 2 + at, min(size, n - at))
            wire = bytes(writer.wire[: writer.end()])
            whole = frame(5, 7, fill)
            assert wire.startswith(whole) and not any(wire[len(whole) :])
            assert len(wire) % PACKET_BYTES == 0 and len(wire) - len(whole) < PACKET_BYTES
            got = []
            Receiver().feed(wire, lambda *f, got=got: got.append((f[0], f[1], bytes(f[2]))))
            assert got == [(5, 7, fill)]


def test_a_gap_is_told_at_the_time_of_day():
    timeline = SimpleNamespace(to_unix_us=lambda t_us: 86_400_000_000 * 20_000 + t_us)
    gap = ledger.Gap(0, 3_723_998_500, 3_724_100_000, 5, True, ledger.RING_FULL)
    assert ledger.describe(gap, timeline).startswith("01:02:03.998 bus 0: ")


def test_frames_seen_are_stored_dropped_and_lost_at_least():
    assert ledger.BusLedger(0, 50, 40, 10, 7, 3).n_seen == 60


def test_a_frame_takes_whole_sectors():
    sectors = [bytes([i]) * 512 for i in (1, 2)]
    writer = FrameWriter()
    writer.begin(5, 7)
    for sector in sectors:
        writer.put_sector(sector)
    assert bytes(writer.wire[: writer.end()]).startswith(frame(5, 7, b"".join(sectors)))
