"""CAN FD on the simulated bus: the bits of a frame, and a node that sends and receives it.

Owns the frame bits of CAN FD (ISO 11898-1:2015, 10.4) and what its nodes make of them: the switch
of bit rate at the sample points of BRS and CRC delimiter, the stuff count, CRC-17 and CRC-21 with
fixed stuff bits, the error state indicator. Classic nodes stay what they are: with listeners alone
the frames get through, an active classic node destroys them with error flags.

    base      SOF ID(11) RRS IDE=0 FDF=1 res=0 BRS ESI DLC(4) data
    extended  SOF ID(11) SRR=1 IDE=1 ID(18) RRS FDF=1 res=0 BRS ESI DLC(4) data
              `--------------- stuffed as a classic frame ---------------'
    both      then stuff count (4) and CRC (17 or 21), a fixed stuff bit before every four of them;
              CRC delimiter, ACK slot, ACK delimiter, EOF(7), intermission(3)

A sender drives its own acknowledge slot, so that it needs no partner. Not modelled: a second bit
of CRC delimiter or ACK slot, protocol exceptions (a recessive res bit is a form error), delay
compensation.
"""

from collections.abc import Iterable
from typing import NamedTuple

from stagelog.errors import UsageError
from stagelog.model import BRS, ESI, EXT, FD, FD_LENGTHS
from stagelog.rig.bus import canbits
from stagelog.rig.bus.controller import Controller, Frame, Transmission, to_transmit
from stagelog.rig.bus.faults import NEVER_PS
from stagelog.rig.bus.node import Node, Queue
from stagelog.rig.tape import BIT_ERROR, FORM_ERROR, PASSIVE, STUFF_ERROR

_LENGTHS: list[int] = FD_LENGTHS.tolist()
_CRC17, _CRC21 = (17, 0x1685B), (21, 0x102899)
_COUNT_BITS = 4  # of the stuff count, parity included
_IDE_BITS = 14  # SOF ID(11) RRS IDE, as in a classic frame
_FDF_BITS = (15, 34)  # up to FDF: base, extended
_ARBITRATION_BITS = (12, 32)  # the last bit of the arbitration field: RRS


class FdFrame(NamedTuple):
    """A CAN FD frame; with `brs` its data phase has the faster bit rate. `esi`: its sender says
    that it is error passive.
    """

    can_id: int
    data: bytes
    brs: bool = True
    esi: bool = False
    extended: bool = False


def to_frame(frame: FdFrame) -> Frame:
    """Return a frame with the flags and the dlc code of a log."""
    flags = FD | BRS * frame.brs | ESI * frame.esi | EXT * frame.extended
    return Frame(frame.can_id, flags, _LENGTHS.index(len(frame.data)), frame.data)


def fd_wire_bits(frame: FdFrame) -> tuple[list[int], list[bool]]:
    """Return (levels, fast): what the sender drives from SOF to EOF, which bits are fast. The
    first of these is fast from its sample point on, the last up to it.
    """
    if len(frame.data) not in _LENGTHS:
        raise UsageError(f"a CAN FD frame of {len(frame.data)} bytes", f"use one of {_LENGTHS}")
    n_head = _FDF_BITS[frame.extended] - 1
    bits = canbits.frame_fields(frame.can_id, EXT * frame.extended, 0)[:n_head]
    bits += [1, 0, int(frame.brs), int(frame.esi)]  # FDF res BRS ESI
    bits += canbits.to_bits(_LENGTHS.index(len(frame.data)), 4)
    for byte in frame.data:
        bits += canbits.to_bits(byte, 8)
    body, is_stuff = canbits.stuff(bits)
    if is_stuff[-1]:  # the fixed stuff bit that follows takes its place
        body, is_stuff = body[:-1], is_stuff[:-1]
    check = _check_bits(body, sum(is_stuff), len(frame.data))
    body += _fix_stuffed(body[-1], check)
    places = [i for i, stuffed in enumerate(is_stuff) if not stuffed]
    esi = places[n_head + 3]
    levels = body + [1, 0, 1] + [1] * canbits.EOF_BITS
    fast = [frame.brs and esi <= i <= len(body) for i in range(len(levels))]
    return levels, fast


def bit_widths(fast: list[bool], ratio: float, sample: float = 0.8) -> list[float]:
    """Return the width of each bit in slow bits, the rate being `ratio` times as fast from the
    sample point of BRS to that of the CRC delimiter.
    """
    widths = [1 / ratio if is_fast else 1.0 for is_fast in fast]
    if any(fast):
        first, after = fast.index(True), len(fast) - fast[::-1].index(True)
        widths[first - 1] = sample + (1 - sample) / ratio
        widths[after - 1] = sample / ratio + 1 - sample
    return widths


def to_fd_frame(can_id: int, flags: int, data: bytes) -> FdFrame:
    """Return a frame of a log, with the flag FD, as one to send."""
    return FdFrame(can_id, data, bool(flags & BRS), bool(flags & ESI), bool(flags & EXT))


def _check_bits(stuffed: list[int], n_stuff: int, n_bytes: int) -> list[int]:
    """Return stuff count and CRC of what stands before them."""
    count = n_stuff % 8
    gray = canbits.to_bits(count ^ count >> 1, _COUNT_BITS - 1)
    gray.append(sum(gray) % 2)
    width, polynomial = _CRC17 if n_bytes <= 16 else _CRC21
    return gray + canbits.to_bits(_crc(stuffed + gray, width, polynomial), width)


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
    """Sends and receives classic frames and CAN FD. Invariant: `fast` is the speed of the bus from
    the sample point of this bit on.
    """

    fast = False

    def _in_frame_from_start(self) -> None:
        super()._in_frame_from_start()
        self._raw: list[int] = []  # the bits with their stuff bits
        self._is_fd = False

    def _follow_frame(self) -> None:
        super()._follow_frame()
        self._raw.append(0)

    def _in_frame(self, level: int) -> None:
        self._raw.append(level)
        super()._in_frame(level)

    def _end_of_field(self) -> None:
        if self._end is not None:
            super()._end_of_field()
        elif self._stop == _IDE_BITS:
            self._extended = self._acc & 1
            self._stop = _FDF_BITS[self._extended]
        elif self._stop not in _FDF_BITS:
            super()._end_of_field()
        elif self._acc & 1:
            self._is_fd = True
            self._n_bytes = 0
            self._step = self._fd_stuffed
        else:
            self._stop = 39 if self._extended else 19

    def _fd_stuffed(self, level: int) -> None:
        """Take a bit from res to the end of the data."""
        if self._transmitting is not None and level != self.out:
            return self._error(BIT_ERROR)
        self._raw.append(level)
        if self._run == canbits.STUFF_RUN:
            if level == self._last:
                return self._error(STUFF_ERROR)
            self._last, self._run = level, 1
            return self._drive_next()
        self._stop = -1
        self._take_bit(level)
        at = self._n - _FDF_BITS[self._extended]  # 1 res, 2 BRS, 3 ESI, 4 to 7 dlc
        if at == 1 and level:
            return self._error(FORM_ERROR)
        if at == 2:
            self.fast = bool(level)
        elif at == 7:
            self._header = self._acc
            self._n_bytes = _LENGTHS[self._acc & 15]
        if at == 7 + 8 * self._n_bytes:
            n_stuff = len(self._raw) - self._n
            self._expected = _check_bits(self._raw, n_stuff, self._n_bytes)
            self._check: list[int] = []
            self._count = 0
            self._step = self._fd_fixed
        self._drive_next()

    def _fd_fixed(self, level: int) -> None:
        """Take a bit of stuff count and CRC, every fifth of them fixed."""
        if self._transmitting is not None and level != self.out:
            return self._error(BIT_ERROR)
        if self._count % 5 == 0:
            if level == self._last:
                return self._error(FORM_ERROR)
        else:
            self._check.append(level)
        self._last = level
        self._count += 1
        if len(self._check) == len(self._expected):
            self._crc_ok = self._check == self._expected
            self._step = self._crc_delimiter
        self._drive_next()

    def _crc_delimiter(self, level: int) -> None:
        self.fast = False
        super()._crc_delimiter(level)

    def _error(self, code: int, forgiven: bool = False) -> None:
        self.fast = False
        super()._error(code, forgiven)

    def _received_frame(self) -> Frame:
        if not self._is_fd:
            return super()._received_frame()
        header, dlc = (
            self._header,
            self._header & 15,
        )  # ... ID [SRR IDE ID] RRS FDF res BRS ESI DLC
        flags = FD | BRS * (header >> 5 & 1) | ESI * (header >> 4 & 1) | EXT * self._extended
        if self._extended:
            can_id = (header >> 29 & 0x7FF) << 18 | header >> 9 & 0x3FFFF
        else:
            can_id = header >> 10 & 0x7FF
        n_bytes = self._n_bytes
        data = (self._acc & (1 << 8 * n_bytes) - 1).to_bytes(n_bytes, "big")
        return Frame(can_id, flags, dlc, data)


class FdQueue(Queue):
    """Frames to send, oldest first, of CAN FD or classic."""

    def __init__(self, items: Iterable[tuple[int, FdFrame | Frame]]) -> None:
        super().__init__(None)
        self._items = [(due_ns * 1000, frame) for due_ns, frame in items]
        self._next()

    def _next(self) -> None:
        self.head_ps = NEVER_PS
        if self._items:
            self.head_ps, frame = self._items[0]
            is_extended = self.head.flags & EXT
            self.head_key = frame.can_id if is_extended else frame.can_id << 21
            self.head_bits = len(self.transmission().bits) + canbits.IFS_BITS

    @property
    def head(self) -> Frame:
        """The first frame."""
        frame = self._items[0][1]
        return to_frame(frame) if isinstance(frame, FdFrame) else frame

    def transmission(self, is_passive: bool = False) -> Transmission:
        """Return the first frame with its bits; a sender that is error passive says so in it."""
        frame = self._items[0][1]
        if not isinstance(frame, FdFrame):
            return to_transmit(frame)
        frame = frame._replace(esi=frame.esi or is_passive)
        bits, _ = fd_wire_bits(frame)
        return Transmission(to_frame(frame), bits, _ARBITRATION_BITS[frame.extended])

    def pop(self) -> None:
        """Drop the first frame."""
        del self._items[0]
        self._next()


class FdNode(Node):
    """A node that understands CAN FD and sends (due_ns, frame) pairs; see Bus.add_fd_node."""

    alien = True
    controller: FdController
    queue: FdQueue

    def __init__(
        self,
        name: str,
        index: int,
        bitrate_bps: int,
        items: Iterable[tuple[int, FdFrame | Frame]],
        data_bitrate_bps: int,
        listen_only: bool = False,
    ) -> None:
        self._fast_ps = 10**12 // data_bitrate_bps
        super().__init__(name, index, bitrate_bps, controller=FdController(listen_only))
        self.queue = FdQueue(items)

    @property
    def bit_ps(self) -> int:
        """Length of a bit at the speed of now."""
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

    @property
    def jump_ps(self) -> int:
        """How far an edge may move the bit."""
        return self.bit_ps * min(20, 100 - self._sample_pct) // 100

    @jump_ps.setter
    def jump_ps(self, _: int) -> None:
        """Taken from bit_ps."""

    def offer(self) -> None:
        """Hand the head of the queue to the controller."""
        controller = self.controller
        controller.ready = self.queue.transmission(controller.state == PASSIVE)
