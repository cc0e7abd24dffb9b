"""CAN FD on the simulated bus: what its receivers make of a mixed bus, and of damaged bits.

The times and lengths by hand: ISO 11898-1:2015, 10.4; the check values of the CRCs are those of
the reveng catalogue (CRC-17/CAN-FD, CRC-21/CAN-FD).
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagelog.model import BRS, ESI, EXT, FD, FD_LENGTHS, RTR
from stagelog.rig import tape
from stagelog.rig.bus import Bus
from stagelog.rig.bus.controller import Frame
from stagelog.rig.bus.faults import BitFault, Effect
from stagelog.rig.bus.fd import FdFrame, _crc, fd_wire_bits, to_frame

MS = 1_000_000
LENGTHS = FD_LENGTHS.tolist()


def payload(n, k=0):
    return bytes((37 * i + 11 * k + 1) & 255 for i in range(n))


def rows_of(log, name):
    """Identifier, flags, dlc and payload of the frames that a node received."""
    seen = log.seen_by(name)
    seen = seen[seen["kind"] == tape.FRAME]
    return [
        (int(r["can_id"]), int(r["flags"]), int(r["dlc"]), bytes(r["data"][: r["n_bytes"]]))
        for r in seen
    ]


def n_errors(log, name):
    return int((log.seen_by(name)["kind"] == tape.ERROR).sum())


@pytest.mark.parametrize(
    ("width", "polynomial", "check"), [(17, 0x1685B, 0x04F03), (21, 0x102899, 0x0ED841)]
)
def test_polynomials_are_those_of_the_catalogue(width, polynomial, check):
    """The catalogue begins with 0, CAN FD with its top bit: a CRC is linear in both."""
    bits = [byte >> i & 1 for byte in b"123456789" for i in range(7, -1, -1)]
    preset = _crc([0] * len(bits), width, polynomial)
    assert _crc(bits, width, polynomial) ^ preset == check


@pytest.mark.parametrize(
    ("frame", "n_bits", "bits"),
    [
        (
            FdFrame(0x7AA, bytes([0x55]), brs=True),
            58,
            "1EA8A15504C10C5",
        ),
        (
            FdFrame(0x56F, b"", brs=True),
            50,
            "15BCA086A9737",
        ),
        (
            FdFrame(0x0, bytes(12), brs=False),
            167,
            "2084482082082082082082082082082082FBA96F5",
        ),
        (
            FdFrame(0x7FF, b"\xff" * 16, brs=True, esi=True),
            205,
            "FBE975F7DF7DF7DF7DF7DF7DF7DF7DF7DF7DF7DF7DF7294A13B",
        ),
        (
            FdFrame(0x123, bytes.fromhex("00112233445566778899AABBCCDDEEFF0123451F"), brs=True),
            219,
            "9195608289119A22AB33BC44CD55DE66EF77DC12468A3ECA4D1D49",
        ),
        (
            FdFrame(0x1ABCDEF0, bytes(range(64)), brs=True, extended=True),
            613,
            (
                "D5F4DEF06BC1041828260C128382E10490A0D860B4383E104889098A0D45"
                "85C60B23436383D1E1F10484888C9094989CA0D25456585A5C5E60B13233"
                "34353637383C9D1D9E1E9F0FA574CD89B"
            ),
        ),
        (
            FdFrame(0xF0F0F0F, bytes.fromhex("A55A1F"), brs=False, esi=True, extended=True),
            94,
            "F0FA1E1E93A55A1F1A41B2B",
        ),
    ],
)
def test_the_bits_are_those_of_another_authors_program(frame, n_bits, bits):
    """From SOF to the CRC delimiter. Computed with the algorithm of Pierre Molinaro's
    CANFDFrameGenerator (repository codes-can, commit 7f46575), which its author compared with the
    controller of a Teensy 4.0; 3,000 random frames of ours were equal to its own. Among these:
    both CRCs, stuff counts of 0 to 27, a payload that ends with a run of five.
    """
    levels, _ = fd_wire_bits(frame)
    assert levels[:n_bits] == [int(bit) for bit in f"{int(bits, 16):0{n_bits}b}"]
    assert levels[n_bits:] == [0, 1] + [1] * 7  # acknowledged, delimiter, end of frame


@pytest.mark.parametrize("data_bitrate_bps", [1_000_000, 2_000_000, 5_000_000, 8_000_000])
def test_a_receiver_gets_each_frame_of_a_mixed_bus_as_it_was_sent(data_bitrate_bps):
    sent = []
    for k in range(64):
        data = payload(LENGTHS[k % 16], k)
        is_long = bool(k & 16)
        can_id = 0x1FFFFFFF - 977 * k if is_long else 0x7FF - k
        sent.append(FdFrame(can_id, data, bool(k & 1), bool(k & 2), is_long))
        if k % 3 == 0:
            sent.append(Frame(0x100 + k, 0, k % 9, payload(k % 9)))
        if k % 5 == 0:
            sent.append(Frame(0x1ABC000 + k, EXT | RTR, k % 9, b""))
    bus = Bus(500_000)
    sender = bus.add_fd_node("ecu", [(0, frame) for frame in sent], data_bitrate_bps)
    bus.add_fd_node("peer", (), data_bitrate_bps)
    bus.add_fd_node("logger", (), data_bitrate_bps, listen_only=True)
    log = bus.run(200 * MS)
    wanted = [tuple(to_frame(f) if isinstance(f, FdFrame) else f) for f in sent]
    assert rows_of(log, "logger") == rows_of(log, "peer") == wanted
    assert n_errors(log, "logger") == n_errors(log, "peer") == 0
    assert (sender.tec, sender.rec) == (0, 0)
    listener = next(n for n in bus.nodes if n.name == "logger")
    assert not listener.drove_dominant


def test_the_rate_changes_at_sample_points():
    """Base frame of no payload, 500 kbit/s and 2 Mbit/s, sampled at 80 %. Slow: SOF to BRS, 17
    bits without a stuff bit, as 0x555 alternates, and 20 % of the delimiter; fast: ESI, dlc, and
    4 + 17 bits with 6 fixed ones.
    """
    frame = FdFrame(0x555, b"")
    levels, fast = fd_wire_bits(frame)
    first = fast.index(True)
    last = len(levels) - 1 - fast[::-1].index(True)  # the CRC delimiter
    assert first == 17 and last == len(levels) - 10
    bus = Bus(500_000)
    bus.add_fd_node("ecu", [(0, frame)])
    bus.add_fd_node("logger", (), listen_only=True)
    levels_seen = bus.watch("logger")
    bus.run(2 * MS)
    brs_end_ps = 16 * 2_000_000 + 1_600_000 + 100_000  # 80 % slow, 20 % fast
    esi = next(t for t, level in levels_seen if t >= 16 * 2_000_000 + 1 and level == 0)
    assert esi == brs_end_ps  # ESI of an active sender is dominant, BRS recessive


def test_a_sender_that_is_error_passive_says_so():
    """TEC 128 and above makes a node passive, which shows from the end of a frame on; each frame
    sent takes 1 off: 129 after the first, 127 after the third.
    """
    bus = Bus(500_000)
    ecu = bus.add_fd_node("ecu", [(0, FdFrame(0x10 + i, b"\1")) for i in range(4)])
    bus.add_fd_node("logger", (), listen_only=True)
    ecu.controller.tec = 130
    log = bus.run(5 * MS)
    assert [flags for _, flags, _, _ in rows_of(log, "logger")] == [
        FD | BRS,
        FD | BRS | ESI,
        FD | BRS | ESI,
        FD | BRS,
    ]


@given(
    seed=st.integers(0, 2**32 - 1),
    code=st.integers(0, 15),
    place=st.floats(0, 1, exclude_max=True),
    brs=st.booleans(),
    extended=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_one_wrong_bit_makes_no_wrong_frame(seed, code, place, brs, extended):
    """A single bit that the listener alone sees inverted, from the identifier to the CRC: it
    reports an error and stores nothing of that frame, and the next one comes whole.
    """
    data = bytes((seed * (i + 3) >> 7) & 255 for i in range(LENGTHS[code]))
    frame = FdFrame(seed % 0x7FF, data, brs, False, extended)
    levels, fast = fd_wire_bits(frame)
    n_slow = fast.index(True) if brs else len(levels) - 12  # a fault lasts one slow bit
    bit = 1 + int(place * (n_slow - 2))
    bus = Bus(500_000)
    bus.add_fd_node("ecu", [(0, frame), (3 * MS, FdFrame(0x7F0, b"whole"[:5], False))])
    bus.add_fd_node("logger", (), listen_only=True)
    bus.add_fault(BitFault(Effect.HEAR_INVERTED, "logger", 0, bit))
    log = bus.run(6 * MS)
    assert rows_of(log, "logger") == [(0x7F0, FD, 5, b"whole")]
    assert n_errors(log, "logger") >= 1


@pytest.mark.parametrize("what", ["count", "crc", "fixed"])
def test_what_is_checked_behind_the_data_is_checked(what, monkeypatch):
    """A sender with a wrong stuff count, CRC or fixed stuff bit is not believed."""
    from stagelog.rig.bus import fd

    true = fd.fd_wire_bits

    def wrong(frame):
        levels, fast = true(frame)
        # delimiter, ACK (2), EOF: 10; 17 bits of CRC and 4 of the count behind 6 fixed stuff bits
        start = len(levels) - 10 - 17 - 4 - 6
        at = {"fixed": start, "count": start + 1, "crc": start + 7}[what]
        levels[at] ^= 1
        return levels, fast

    monkeypatch.setattr(fd, "fd_wire_bits", wrong)
    bus = Bus(500_000)
    bus.add_fd_node("ecu", [(0, FdFrame(0x123, b"abc", False))])
    bus.add_fd_node("logger", (), listen_only=True)
    log = bus.run(2 * MS)
    assert not rows_of(log, "logger") and n_errors(log, "logger") >= 1


def test_classic_listeners_report_errors_and_get_the_classic_frames():
    """A listener that knows no CAN FD never drives the bus, whatever passes."""
    sent = []
    for k in range(40):
        sent.append((k * MS, FdFrame(0x100 + k, payload(LENGTHS[k % 16], k))))
        sent.append((k * MS + MS // 2, Frame(0x300 + k, 0, 8, payload(8, k))))
    bus = Bus(500_000)
    ecu = bus.add_fd_node("ecu", sent)
    bus.add_fd_node("peer")  # acknowledges the classic frames
    old = bus.add_node("logger", listen_only=True)
    log = bus.run(45 * MS)
    assert not old.drove_dominant and (ecu.tec, ecu.rec) == (0, 0) and ecu.n_attempts == 80
    received = [can_id for can_id, *_ in rows_of(log, "logger")]
    assert set(received) <= set(range(0x300, 0x328)) and len(received) > 30
    assert n_errors(log, "logger") >= 40
