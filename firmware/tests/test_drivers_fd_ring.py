"""CAN FD on a board: the driver's set-up, objects of 76 bytes, records of version 2 in the ring.

Bytes are worked out by hand from SPEC.md section 1, registers from DS20006027B.
"""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp2518fd_rig import Rig

from drivers.fd_ring import FdRing, length_of
from drivers.mcp2518fd import FD_DEPTH
from logger.ring import AT_LEAST, COUNT, DROPPED, STORED
from stagelog.blocks import Identity, read_log
from stagelog.blocks import seal as seal_all
from stagelog.model import FD_LENGTHS
from stagelog.rig.sim.mcp2518fd import BRS, ESI, EXT, FD, RTR

MODEL_FLAGS = {EXT: 1, RTR: 2, FD: 4, BRS: 8, ESI: 16}  # of stagelog.model
LENGTHS = FD_LENGTHS.tolist()
FRAMES = st.tuples(
    st.integers(0, 0x1FFFFFFF),
    st.sampled_from([0, RTR, FD, FD | BRS, FD | ESI, FD | BRS | ESI]),
    st.integers(0, 15),
    st.binary(min_size=64, max_size=64),
)


def rig_of(ring=None, **options):
    ring = FdRing(3) if ring is None else ring
    ring.start_session()
    return Rig(ring=ring, data_bitrate_bps=2_000_000, **options)


def records(ring, n, block=0):
    at = 4096 * block + 64
    return [bytes(ring.memory[at + 16 * i : at + 16 * i + 16]) for i in range(n)]


def read_back(tmp_path, ring, version=2):
    """What the host's reader makes of the blocks of a ring, closed."""
    ring.close_block()
    n = ring.n_waiting()
    blocks = np.frombuffer(bytes(ring.memory[: 4096 * n]), np.uint8).reshape(n, 4096).copy()
    identity = Identity("0a" * 8, 1, 7)
    for i, block in enumerate(blocks):
        head = struct.pack("<HB", 0x4C53, version), bytes.fromhex(identity.device_id)
        block[:3] = list(head[0])
        block[4:12] = list(head[1])
        block[12:28] = list(struct.pack("<IIII", 1, 7, 1 + i, i))
    seal_all(blocks)
    path = tmp_path / "x.slog"
    path.write_bytes(blocks.tobytes())
    (session,) = read_log(path).sessions
    return session


def test_the_dlc_codes_are_those_of_the_standard():
    assert [length_of(code) for code in range(16)] == LENGTHS


def test_the_chip_is_set_up_for_both_rates():
    """40 MHz: 500 kbit/s 80 quanta, 64 before the sample at 80 %; 2 Mbit/s 20 quanta, 16. ISOCRCEN
    is bit 5 of CON; PLSIZE 7 is 64 bytes, FSIZE one less than 26: 26 * 76 = 1,976 of 2,048 bytes.
    """
    rig = rig_of()
    memory = rig.chip._memory
    assert memory[0x004:0x008] == bytes((16 - 1, 16 - 1, 63 - 1, 0))  # SJW TSEG2 TSEG1 BRP
    assert memory[0x008:0x00C] == bytes((4 - 1, 4 - 1, 15 - 1, 0))
    assert memory[0x000] & 0x20
    assert memory[0x05F] == 7 << 5 | 25 and memory[0x05C] == 0x20
    assert not rig.chip.violations and rig.can.listen_only and rig.can.answers


@pytest.mark.parametrize(
    "data_bitrate_bps", [1_000_000, 2_000_000, 4_000_000, 5_000_000, 8_000_000]
)
def test_each_rate_of_the_settings_has_a_timing(data_bitrate_bps):
    rig = Rig(data_bitrate_bps=data_bitrate_bps, wire_data_bps=data_bitrate_bps)
    rig.receive(0x123, FD | BRS, 9, bytes(range(12)))
    rig.can.drain()
    assert [frame[3:] for frame in rig.ring.frames] == [(9 | 0x10, bytes(range(12)))]


def test_a_frame_of_24_bytes_in_three_records():
    """dlc code 12 is 24 bytes: 7 in the head, 12 and 5 behind it; 0x3C is ESI | BRS | 12, w1 is
    ext << 31 | bus 1 << 29 | 0x1ABCDEF.
    """
    rig = rig_of(bus=1)
    t_us = rig.receive(0x1ABCDEF, EXT | FD | BRS | ESI, 12, bytes(range(1, 25)))
    assert rig.can.drain() == 1
    lo = rig.can._clock.lo - (rig.t_us - t_us)
    wanted = [
        struct.pack("<IIB7s", 9 << 28 | lo, 0xA1ABCDEF, 0x3C, bytes(range(1, 8))),
        struct.pack("<I12s", 10 << 28 | lo, bytes(range(8, 20))),
        struct.pack("<I12s", 10 << 28 | lo, bytes(range(20, 25))),
    ]
    assert records(rig.ring, 3) == wanted
    assert rig.ring.state[COUNT] == 3 and list(rig.ring.state[STORED : STORED + 2]) == [0, 1]


def test_26_frames_of_64_bytes_are_read_in_two_bursts_and_one_more_is_lost():
    """A burst has 255 words at most: 13 objects of 19."""
    ring = FdRing(3)
    rig = rig_of(ring)
    for i in range(FD_DEPTH + 2):
        rig.receive(0x100 + i, FD, 15, bytes([i]) * 64)
    n_before = rig.chip.n_transfers
    assert rig.can.drain() == FD_DEPTH and rig.chip.n_lost == 2
    # state, time, two bursts, 26 times UINC
    assert rig.chip.n_transfers - n_before == 4 + FD_DEPTH
    rig.poll()
    assert ring.state[AT_LEAST] == 1 and ring.state[STORED] == FD_DEPTH


def test_a_block_with_too_little_room_is_closed_before_the_frame():
    """252 records: 42 frames of six; 41 and a classic one leave 5."""
    ring = FdRing(2)
    rig = rig_of(ring)
    rig.receive(0x1)
    for i in range(42):
        rig.receive(0x100 + i, FD, 15, bytes([i]) * 64)
        rig.t_us += 1
        rig.can.drain()
    assert ring.memory[3] == 1 + 41 * 6 and ring.state[COUNT] == 6
    assert ring.state[STORED] == 43


def test_without_a_data_rate_it_is_no_frame_but_an_error():
    """The chip's data rate after a reset is 2 Mbit/s; what fits it by chance has 8 bytes of 64."""
    rig = Rig()
    rig.receive(0x100)
    rig.receive(0x123, FD | BRS, 15, bytes(range(64)))
    rig.receive(0x101)
    rig.can.drain()
    assert [frame[1] for frame in rig.ring.frames] == [0x100, 0x101]
    assert rig.can.n_errors == 1


@pytest.mark.parametrize("wrong", ["rate", "classic"])
def test_what_the_chip_cannot_read_counts_as_errors(wrong):
    rate = {"rate": 5_000_000, "classic": 2_000_000}[wrong]
    rig = rig_of(wire_data_bps=rate)
    if wrong == "classic":
        rig.chip._memory[0x000] &= ~0x20  # the CRC from before ISO 11898-1:2015
    for _ in range(3):
        rig.receive(0x123, FD | BRS, 9, bytes(12))
    rig.receive(0x124)
    rig.poll()
    assert rig.ring.state[STORED] == 1 and rig.can.n_errors == 3


def test_dropped_frames_count_once_each():
    """A ring of one block, which waits: each frame that finds no room is one, of however many
    records.
    """
    ring = FdRing(1)
    rig = rig_of(ring)
    for i in range(60):
        rig.receive(0x100, FD, 15, bytes([i]) * 64)
        rig.t_us += 1
        rig.can.drain()
    assert ring.state[STORED] == 42 and ring.state[DROPPED] == 18


class Slow(FdRing):
    """One that stores frame by frame."""

    def take(self, *_):
        return 0


@given(
    frames=st.lists(FRAMES, max_size=150),
    per_drain=st.integers(1, FD_DEPTH),
    bus=st.integers(0, 1),
    t0_us=st.sampled_from([0, (1 << 28) - 9_000, (1 << 28) * 3 - 1]),
    n_blocks=st.integers(1, 4),
)
@settings(deadline=None, max_examples=60)
def test_what_native_code_stores_is_what_python_stores(frames, per_drain, bus, t0_us, n_blocks):
    """Byte for byte, and all counts, across blocks, a full ring and the wrap of the time."""
    rigs = []
    for kind in (FdRing, Slow):
        rig = rig_of(kind(n_blocks), t0_us=t0_us, bus=bus)
        for i, (can_id, flags, dlc, data) in enumerate(frames):
            rig.receive(can_id, flags | (EXT if can_id > 0x7FF else 0), dlc, data)
            if i % per_drain == per_drain - 1:
                rig.t_us += 1 + i % 3
                rig.can.drain()
        rig.t_us += 1
        rig.can.drain()
        rigs.append(rig)
    quick, slow = (rig.ring for rig in rigs)
    assert quick.state == slow.state and bytes(quick.memory) == bytes(slow.memory)
    assert sum(quick.state[STORED : DROPPED + 2]) == len(frames)
    assert not rigs[0].chip.violations


@given(frames=st.lists(FRAMES, min_size=1, max_size=150), per_drain=st.integers(1, FD_DEPTH))
@settings(deadline=None, max_examples=40)
def test_the_reader_finds_what_was_on_the_bus(tmp_path_factory, frames, per_drain):
    rig = rig_of(FdRing(8))
    sent = []
    for i, (can_id, flags, dlc, data) in enumerate(frames):
        flags |= EXT if can_id > 0x7FF else 0
        rig.receive(can_id, flags, dlc, data)
        if not flags & FD:
            dlc = min(dlc, 8)
        n = LENGTHS[dlc] if flags & FD else 0 if flags & RTR else dlc
        told = sum(value for flag, value in MODEL_FLAGS.items() if flags & flag)
        sent.append((can_id, told, dlc, data[:n]))
        if i % per_drain == per_drain - 1:
            rig.t_us += 1
            rig.can.drain()
    rig.t_us += 1
    rig.can.drain()
    session = read_back(tmp_path_factory.mktemp("fd"), rig.ring)
    got = [
        (int(f["can_id"]), int(f["flags"]), int(f["dlc"]), bytes(f["data"][: f["n_bytes"]]))
        for f in session.read_frames()
    ]
    assert got == sent and session.scan.n_unknown == 0
