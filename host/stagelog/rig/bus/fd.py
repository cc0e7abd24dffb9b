"""CAN FD frames as aliens on a classic bus: bits, and a node that sends them.

Owns the frame bits of CAN FD (ISO 11898-1:2015) and how its sender behaves among classic nodes:
with listeners alone its frames get through, an active classic node destroys them with error flags
until the sender is off the bus. Does not own reception of CAN FD: the sender drives its own
acknowledge slot and so stands for itself and a partner that understands it. The switch of bit rate
is made at bit boundaries, not at sample points. Not a model to test a CAN FD controller with.
"""

from typing import NamedTuple

from stagelog.errors import UsageError
from stagelog.model import BRS, FD, FD_LENGTHS
from stagelog.rig.bus import canbits
from stagelog.rig.bus.controller import BIT_ERROR, Controller, Frame
from stagelog.rig.bus.faults import NEVER_PS
from stagelog.rig.bus.node import Node

_CRC17, _CRC21 = (17, 0x1685B), (21, 0x102899)
_HEAD_BITS = 14  # SOF ID(11) RRS IDE, as in a classic frame


class FdFrame(NamedTuple):
    """A CAN FD frame with a base identifier; with `brs` its data phase has the faster bit rate."""

    can_id: int
    data: bytes
    brs: bool = True


def fd_wire_bits(frame):
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


def _crc(bits, width, polynomial):
    top = 1 << width - 1
    crc = top  # the preset of CAN FD
    for bit in bits:
        divide = bit ^ (crc >= top)
        crc = (crc << 1) & (2 * top - 1)
        if divide:
            crc ^= polynomial
    return crc


def _fix_stuffed(last, bits):
    """Put the opposite of the bit before it in front of every four bits."""
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

    def _start_sending(self):
        super()._start_sending()
        self._bits, self._fast_bits = self._bits

    def _end_of_field(self):
        if self._n == _HEAD_BITS and self._transmitting is not None:
            self._step = self._fd_frame
        else:
            super()._end_of_field()

    def _fd_frame(self, level):
        self.fast = False
        if level != self.out:
            self._error(BIT_ERROR)
        elif self._index + 1 == len(self._bits):
            self._count_sent()
            self._start_intermission()
        else:
            self._drive_next()
            self.fast = self._fast_bits[self._index]


class FdQueue:
    """CAN FD frames to send, oldest first; what the bus wants of a bus.node.Queue."""

    def __init__(self, items):
        self._items = [(due_ns * 1000, frame) for due_ns, frame in items]
        self._next()

    def _next(self):
        self.head_ps = NEVER_PS
        if self._items:
            self.head_ps, frame = self._items[0]
            levels, fast = fd_wire_bits(frame)
            flags = FD | BRS if frame.brs else FD
            self.head = Frame(frame.can_id, flags, 0, b""), (levels, fast), _HEAD_BITS - 2
            self.head_key = frame.can_id << 21
            self.head_bits = len(levels) + canbits.IFS_BITS

    def pop(self):
        """Drop the first frame."""
        del self._items[0]
        self._next()


class FdNode(Node):
    """A node that sends (due_ns, FdFrame) pairs; connect it by Bus.add_fd_node."""

    alien = True

    def __init__(self, name, index, bitrate_bps, items, data_bitrate_bps):
        self._fast_ps = 10**12 // data_bitrate_bps
        super().__init__(name, index, bitrate_bps, controller=FdController())
        self.queue = FdQueue(items)

    @property
    def bit_ps(self):
        """Length of the bit that is on the wire."""
        return self._fast_ps if self.controller.fast else self._slow_ps

    @bit_ps.setter
    def bit_ps(self, slow_ps):
        self._slow_ps = slow_ps

    @property
    def sample_ps(self):
        """Distance of the sample point from the start of the bit."""
        return self.bit_ps * self._sample_pct // 100

    @sample_ps.setter
    def sample_ps(self, _):
        """Taken from bit_ps."""

    def offer(self):
        """Hand the head of the queue to the controller."""
        self.controller.ready = self.queue.head
