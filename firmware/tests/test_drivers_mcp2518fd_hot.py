"""What the MCP2518FD's driver does for each byte: CRC of a burst, its objects in the ring."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp2518fd_rig import Rig

from drivers.mcp2518fd_hot import _BYTES, crc_of
from drivers.polled_ring import PolledRing
from stagelog.rig.runtimes import find_qemu, find_runtime
from stagelog.rig.sim.mcp2518fd import BRS, ESI, EXT, FD


def test_the_crc_is_that_of_the_manual():
    """Polynomial 0x8005, first bit first, from 0xFFFF: CRC-16/CMS, whose check value is 0xAEE7."""
    assert crc_of(b"123456789", 0, 9, _BYTES) == 0xAEE7


@pytest.mark.parametrize("bit", [0, 4 * 8, (3 + 4) * 8 + 3, (3 + 19) * 8 + 7])
def test_a_burst_with_a_wrong_bit_is_read_again(bit):
    """In the command that comes back, the identifier, the length and the last byte of the data."""
    rig = Rig()
    rig.receive(0x123)
    rig.chip.wrong_bit = bit
    rig.can.drain()
    rig.can.drain()
    assert [frame[1:] for frame in rig.ring.frames] == [(0x123, 0, 8, b"\1\2\3\4\5\6\7\10")]
    assert not rig.chip.violations and rig.can.doubts == 0


def test_a_burst_that_is_wrong_twice_is_left_in_the_chip():
    rig = Rig()
    rig.receive(0x123)
    transfer = rig.chip.transfer

    def transfer_wrong(view):
        transfer(view)
        if view[0] >> 4 == 11:
            view[12] ^= 1

    rig.chip.transfer = transfer_wrong
    assert rig.can.drain() == 0 and rig.can.doubts == 1 and not rig.ring.frames
    rig.chip.transfer = transfer
    assert rig.can.drain() == 1 and len(rig.ring.frames) == 1


class Slow(PolledRing):
    """One that stores frame by frame."""

    def take(self, *_):
        return 0


@given(
    frames=st.lists(
        st.tuples(
            st.integers(0, 0x1FFFFFFF), st.booleans(), st.integers(0, 15), st.binary(min_size=8)
        ),
        max_size=300,
    ),
    per_drain=st.integers(1, 32),
    bus=st.integers(0, 1),
    t0_us=st.sampled_from([0, (1 << 28) - 9_000, (1 << 28) * 3 - 1]),
)
@settings(deadline=None, max_examples=60)
def test_what_native_code_stores_is_what_python_stores(frames, per_drain, bus, t0_us):
    """Byte for byte, and all counts, across blocks and the wrap of the time."""
    rigs = []
    for kind in (PolledRing, Slow):
        rig = Rig(t0_us=t0_us)
        rig.can.stop()
        rig.ring = kind(3)
        rig.can.bus = bus
        rig.can.start(rig.ring)
        for i, (can_id, remote, dlc, data) in enumerate(frames):
            flags = (4 if can_id > 0x7FF else 0) | (2 if remote else 0)
            rig.receive(can_id, flags, dlc, data[:8])
            if i % per_drain == per_drain - 1:
                rig.t_us += i % 3
                rig.can.drain()
        rig.can.drain()
        rig.ring.put_meta(rig.can._clock.lo, rig.can._clock.hi, 1, 0, bus, bytes(8))
        rigs.append(rig)
    quick, slow = (rig.ring for rig in rigs)
    assert quick.state == slow.state and sum(quick.state[4:8]) == len(frames)
    assert bytes(quick.memory) == bytes(slow.memory)
    assert not rigs[0].chip.violations


ON_THE_MACHINE = """
from array import array
from drivers.fd_ring import take_fd
from drivers.mcp2518fd_hot import has_crc, take
from slog.native import words_of

burst = bytearray(bytes.fromhex({burst!r}))
words = array("I", {words!r})
state = array("I", {state!r})
memory = bytearray(8192)
n = {take}(words_of(burst), 4, 10, words, state, words_of(memory))
answer = has_crc(burst, 4 + {n_bytes}), n, list(words), list(state), memory[4160:5200].hex()
"""
# Ten objects each: identifiers of both lengths, a remote frame, a length of 15.
CLASSIC = [(2 * (i == 3), 15 if i == 4 else i % 9) for i in range(10)]
# All ends of a payload in a record of 12 bytes: 0, 7, 8, 12, 16, 20, 24, 48, 64; BRS, ESI.
CAN_FD = [(FD | BRS * (i % 2) | ESI * (i == 4), code) for i, code in enumerate((0, 7, 8, 9, 10))]
CAN_FD += [(FD, 11), (FD | BRS, 12), (0, 5), (FD | BRS, 14), (FD | BRS | ESI, 15)]


@pytest.mark.parametrize(
    ("take", "frames", "data_bitrate_bps", "object_bytes"),
    [("take", CLASSIC, None, 20), ("take_fd", CAN_FD, 2_000_000, 76)],
)
def test_native_code_of_a_risc_v_stores_the_same(
    tmp_path, take, frames, data_bitrate_bps, object_bytes
):
    image, qemu = find_runtime("rv32"), find_qemu()
    if image is None or qemu is None:
        pytest.skip("no MicroPython for the RISC-V machine: run tools/runtimes rv32")
    from stagelog.rig.rv32.machine import Machine

    rig, bursts = Rig(data_bitrate_bps=data_bitrate_bps), []
    transfer = rig.chip.transfer
    rig.chip.transfer = lambda view: (transfer(view), bursts.append(bytes(view)))
    for i, (kind, dlc) in enumerate(frames):
        can_id = 0x1ABCDE00 + i if i % 2 else 0x700 + i
        data = bytes((37 * k + i + 128) & 255 for k in range(64 if kind & FD else 8))
        rig.receive(can_id, (EXT if i % 2 else 0) | kind, dlc, data)
    rig.can.drain()
    burst = next(burst for burst in bursts if burst[0] >> 4 == 11)
    given = {"words": [0, 0x0FFFFFF, 0x123456, 0x0F00000, 7, 1], "state": [1, 9] + [0] * 15}
    names = {}
    burst = bytes(1) + burst + bytes(2)  # to whole words
    n_bytes = 10 * object_bytes
    code = ON_THE_MACHINE.format(burst=burst.hex(), take=take, n_bytes=n_bytes, **given)
    exec(code, names)
    assert names["answer"][:2] == (True, 10)
    machine = Machine(tmp_path, image, qemu)
    try:
        machine.start()
        said = machine.call(code)
    finally:
        machine.close()
    assert said == str(names["answer"])
