"""CAN FD frames on a classic bus, whose nodes do not understand them: bits, and a node that sends.

Owns the frame bits of CAN FD (ISO 11898-1:2015) and how its sender behaves among classic nodes:
with listeners alone its frames get through, an active classic node destroys them with error flags
until the sender is off the bus. Does not own reception of CAN FD: the sender drives its own
acknowledge slot and so stands for itself and a partner that understands it. The switch of bit rate
is made at bit boundaries, not at sample points. Not a model to test a CAN FD controller with.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stagelog.errors import UsageError
from stagelog.model import BRS, FD, FD_LENGTHS
from stagelog.rig.bus import canbits
from stagelog.rig.bus.controller import Controller, Frame, Transmission
from stagelog.rig.bus.faults import NEVER_PS
from stagelog.rig.bus.node import Node, Queue
from stagelog.rig.tape import BIT_ERROR

_CRC17, _CRC21 = (17, 0x1685B), (21, 0x102899)
_HEAD_BITS = 14  # SOF ID(11) RRS IDE, as in a classic frame


class FdFrame(NamedTuple):
    """A CAN FD frame with a base identifier; with `brs` its data phase has the faster bit rate."""

    can_id: int
    data: bytes
    brs: bool = True


def fd_wire_bits(frame: FdFrame) -> tuple[list[int], list[bool]]:
    """Return (levels, fast): what the sender drives from SOF to EOF, which bits are fast."""
    lengths = FD_LENGTHS.tolist()
    if len(frame.data) not in lengths:
        raise UsageError(f"a CAN FD frame of {len(frame.data)} bytes", f"use one of {lengths}")
    bits = canbits.frame_fields(frame.can_id, 0, 0)[:_HEAD_BITS]
    bits += [1, 0, int(frame.brs), 0]  # FDF res BRS ESI
    bits += canbits.to_bits(lengths.index(len(frame.data)), 4)
    for byte in frame.data:
        bits += canbits.to_bits(byte, 8)
    body, is_stuff = canbits.stuff(bits)
    if is_stuff[-1]:  # the fixed stuff bit that follows takes its place
        body, is_stuff = body[:-1], is_stuff[:-1]
    count = sum(is_stuff) % 8
    gray = canbits.to_bits(count ^ count >> 1, 3)
    gray.append(sum(gray) % 2)
    width, polynomial = _CRC17 if len(frame.data) <= 16 else _CRC21
    crc = canbits.to_bits(_crc(body + gray, width, polynomial), width)
    body += _fix_stuffed(body[-1], gray + crc)
    esi = [i for i, stuffed in enumerate(is_stuff) if not stuffed][_HEAD_BITS + 3]
    levels = body + [1, 0, 1] + [1] * canbits.EOF_BITS
    fast = [frame.brs and esi <= i <= len(body) for i in range(len(levels))]
    return levels, fast


def _crc(bits: Iterable[int], width: int, polynomial: int) -> int:
    top = 1 << width - 1
    crc = top  # the preset of CAN FD
    for bit in bits:
        divide = bit ^ (crc >= top)
        crc = (crc << 1) & (2 * top - 1)
        if divide:
            crc ^= polynomial
    return crc


def _fix_stuffed(last: int, bits: Iterable[int]) -> list[int]:
    """Insert a fixed stuff bit before every four bits: the opposite of the bit before it."""
    out = []
    for i, bit in enumerate(bits):
        if i % 4 == 0:
            out.append(1 - last)
        out.append(bit)
        last = bit
    return out


class FdController(Controller):
    """Sends CAN FD and follows classic frames. Invariant: `fast` is the speed of the next bit."""

    fast = False
    fast_bits: Sequence[bool] = ()  # of the frame that is ready or sent: which bits are fast

    def _end_of_field(self) -> None:
        if self._n == _HEAD_BITS and self._transmitting is not None:
            self._step = self._fd_frame
        else:
            super()._end_of_field()

    def _fd_frame(self, level: int) -> None:
        self.fast = False
        if level != self.out:
            self._error(BIT_ERROR)
        elif self._index + 1 == len(self._bits):
            self._count_sent()
            self._start_intermission()
        else:
            self._drive_next()
            self.fast = self.fast_bits[self._index]


class FdQueue(Queue):
    """CAN FD frames to send, oldest first. Its frames have no payload for the log."""

    def __init__(self, items: Iterable[tuple[int, FdFrame]]) -> None:
        super().__init__(None)
        self._items = [(due_ns * 1000, frame) for due_ns, frame in items]
        self._next()

    def _next(self) -> None:
        self.head_ps = NEVER_PS
        if self._items:
            self.head_ps, frame = self._items[0]
            self.levels, self.fast = fd_wire_bits(frame)
            self.head_key = frame.can_id << 21
            self.head_bits = len(self.levels) + canbits.IFS_BITS

    @property
    def head(self) -> Frame:
        """The first frame."""
        frame = self._items[0][1]
        return Frame(frame.can_id, FD | BRS if frame.brs else FD, 0, b"")

    def pop(self) -> None:
        """Drop the first frame."""
        del self._items[0]
        self._next()


class FdNode(Node):
    """A node that sends (due_ns, FdFrame) pairs; connect it by Bus.add_fd_node."""

    alien = True
    controller: FdController
    queue: FdQueue

    def __init__(
        self,
        name: str,
        index: int,
        bitrate_bps: int,
        items: Iterable[tuple[int, FdFrame]],
        data_bitrate_bps: int,
    ) -> None:
        self._fast_ps = 10**12 // data_bitrate_bps
        super().__init__(name, index, bitrate_bps, controller=FdController())
        self.queue = FdQueue(items)

    @property
    def bit_ps(self) -> int:
        """Length of the bit that is on the wire."""
        return self._fast_ps if self.controller.fast else self._slow_ps

    @bit_ps.setter
    def bit_ps(self, slow_ps: int) -> None:
        self._slow_ps = slow_ps

    @property
    def sample_ps(self) -> int:
        """Distance of the sample point from the start of the bit."""
        return self.bit_ps * self._sample_pct // 100

    @sample_ps.setter
    def sample_ps(self, _: int) -> None:
        """Taken from bit_ps."""

    def offer(self) -> None:
        """Hand the head of the queue to the controller."""
        queue = self.queue
        self.controller.fast_bits = queue.fast
        self.controller.ready = Transmission(queue.head, queue.levels, _HEAD_BITS - 2)
