"""One node's CAN controller, bit by bit: what it drives, what it makes of each sampled level.

Owns the receive and transmit machine of classic CAN, the error flags, the error counters and
confinement (ISO 11898-1, 10 and 12). Does not own time, the wire, nor what a node wants to send:
`bus.medium` calls begin() at each bit start and sample() at each sample point, and puts the next
frame into `ready`. Nothing here raises: an imperfect bus is reports.

    INTEGRATING --11 recessive--> IDLE --SOF--> frame --> EOF --> INTERMISSION --3 bits--> IDLE
                                                  | error             ^    `--8 if passive sender
                                                  v                   |
                                  flag (6 dominant, or 6 equal) -> wait -> delimiter (8 recessive)
    BUS_OFF --128 times 11 recessive--> IDLE

A listen-only controller flags nothing, acknowledges nothing and leaves its counters alone. It
follows an error as a passive node would, and therefore never drives a dominant bit.
"""

from collections.abc import Callable
from typing import NamedTuple

from stagelog.model import EXT, RTR
from stagelog.rig.bus.canbits import STUFF_RUN, crc15_of, n_bytes_of, wire_bits
from stagelog.rig.tape import (
    ACK_ERROR,
    ACTIVE,
    BIT_ERROR,
    BUS_OFF,
    CRC_ERROR,
    ERROR,
    FORM_ERROR,
    FRAME,
    NO_ERROR,
    PASSIVE,
    STATE,
    STUFF_ERROR,
    WARNING,
)

SENT, OVERLOAD = 3, 4  # kinds of report that no tape has
WARNING_LIMIT = 96
PASSIVE_LIMIT = 128
BUS_OFF_LIMIT = 256
REC_AFTER_PASSIVE = 119  # the standard asks for 119 to 127
RECOVERY_SEQUENCES = 128
INTEGRATION_BITS = 11
SUSPEND_BITS = 8


class Frame(NamedTuple):
    """A frame as it is on the wire; `data` holds just the bytes that are sent."""

    can_id: int
    flags: int
    dlc: int
    data: bytes


class Transmission(NamedTuple):
    """A frame to send: its bits from SOF to EOF, and the last one of its arbitration field."""

    frame: Frame
    bits: list[int]
    last_arbitration: int


class Report(NamedTuple):
    """What a controller noticed in the bit just sampled; `position`: unstuffed bits from SOF."""

    kind: int
    code: int
    position: int
    frame: Frame | None
    tec: int
    rec: int
    state: int


class Controller:
    """A node's protocol machine. Invariant: `out` is the level it drives in the next bit."""

    def __init__(self, listen_only: bool = False, auto_recover: bool = True) -> None:
        self.listen_only = listen_only
        self.auto_recover = auto_recover
        self.ready: Transmission | None = None  # set while one is due
        self.reports: list[Report] = []
        self.tec = self.rec = 0
        self.state = ACTIVE
        self.n_attempts = 0
        self._recovering = False
        self._transmitting: Frame | None = None
        self._bits: list[int] = []
        self._step: Callable[[int], None]  # what takes the next sampled level
        self._end: int | None = None  # unstuffed bits up to the end of the CRC, once known
        self._last = -1  # the level before, -1 for none
        self._go_idle()

    @property
    def parked(self) -> bool:
        """True if it is bus-off and nobody has asked it to come back."""
        return self.state == BUS_OFF and not self._recovering

    @property
    def idle(self) -> bool:
        """True if it would start or follow a frame at once; also if it is parked."""
        return self._step == self._idle or self.parked

    @property
    def busy(self) -> bool:
        """True while it follows, sends or flags something."""
        return self._step not in (self._idle, self._integrating, self._off)

    @property
    def at_rest(self) -> bool:
        """True if a clean frame can pass without changing more than counters far from a limit."""
        return self.idle and (self.state == ACTIVE or self.parked)

    @property
    def awaits_sof(self) -> bool:
        """True if a falling edge can only be a start of frame: the clock follows it at once."""
        step = self._step
        if step == self._intermission:
            return self._count == 2
        return step in (self._idle, self._suspend, self._integrating, self._off)

    def integrate(self) -> None:
        """Start, or start again, and wait for eleven recessive bits before taking part."""
        self._transmitting, self._sender, self.out = None, False, 1
        self._count = 0
        self._step = self._integrating

    def reset(self) -> None:
        """Behave as after power-on: counters zero, nothing in flight."""
        self.tec = self.rec = 0
        self._set_state()
        self.integrate()

    def recover(self) -> None:
        """Ask a bus-off controller without automatic recovery to start its recovery."""
        if self.state == BUS_OFF:
            self._recovering = True

    def begin(self) -> int:
        """Return the level to drive in the bit that starts now."""
        if self.ready is not None and self._step == self._idle:
            self._start_sending(self.ready)
            self._in_frame_from_start()
            self.out = 0
        return self.out

    def sample(self, level: int) -> None:
        """Take the level seen at the sample point; sets `out`, appends to `reports`."""
        self._step(level)

    # between frames

    def _go_idle(self) -> None:
        self._transmitting, self._sender, self.out = None, False, 1
        self._step = self._idle

    def _idle(self, level: int) -> None:
        if level == 0:
            self._follow_frame()

    def _integrating(self, level: int) -> None:
        self._count = self._count + 1 if level else 0
        if self._count == INTEGRATION_BITS:
            self._go_idle()

    def _intermission(self, level: int) -> None:
        self._count += 1
        if level == 0 and self._count < 3:
            self._overload()
        elif level == 0:
            suspended = self._sender and self.state == PASSIVE
            if self.ready is not None and not suspended:
                self._start_sending(self.ready)
            else:
                self._transmitting, self._sender = None, False
            self._follow_frame()
        elif self._count == 3:
            if self._sender and self.state == PASSIVE:
                self._count = 0
                self._step = self._suspend
            else:
                self._go_idle()

    def _suspend(self, level: int) -> None:
        self._count += 1
        if level == 0:
            self._sender = False
            self._follow_frame()
        elif self._count == SUSPEND_BITS:
            self._go_idle()

    def _off(self, level: int) -> None:
        if not self._recovering:
            return
        self._count = self._count + 1 if level else 0
        if self._count < INTEGRATION_BITS:
            return
        self._count = 0
        self._sequences += 1
        if self._sequences == RECOVERY_SEQUENCES:
            self.tec = self.rec = 0
            self._set_state()
            self._go_idle()

    # the frame

    def _start_sending(self, ready: Transmission) -> None:
        self._transmitting, self._bits, self._last_arbitration = ready
        self._sender = True
        self._index = 0
        self.n_attempts += 1

    def _in_frame_from_start(self) -> None:
        self._acc = self._n = self._run = 0
        self._last = -1
        self._stop = 14  # up to IDE
        self._end = None
        self._step = self._in_frame

    def _follow_frame(self) -> None:
        """Count the dominant bit just sampled as SOF."""
        self._in_frame_from_start()
        self._take_bit(0)
        self._drive_next()

    def _drive_next(self) -> None:
        if self._transmitting is None:
            self.out = 1
        else:
            self._index += 1
            self.out = self._bits[self._index]

    def _take_bit(self, level: int) -> None:
        self._run = self._run + 1 if level == self._last else 1
        self._last = level
        self._acc = self._acc << 1 | level
        self._n += 1
        if self._n == self._stop:
            self._end_of_field()

    def _end_of_field(self) -> None:
        if self._end is not None:
            self._crc_ok = crc15_of(self._acc >> 15) == self._acc & 0x7FFF
        elif self._stop == 14:
            self._extended = self._acc & 1
            self._stop = 39 if self._extended else 19
        else:
            self._header = self._acc
            rtr = self._acc >> 6 & 1
            self._end = self._stop + 8 * n_bytes_of(RTR if rtr else 0, self._acc & 15) + 15
            self._stop = self._end

    def _in_frame(self, level: int) -> None:
        if self._transmitting is not None and level != self.out:
            if self.out == 0 or not 1 <= self._n <= self._last_arbitration:
                return self._error(BIT_ERROR)
            if self._run == STUFF_RUN:
                return self._error(STUFF_ERROR, forgiven=True)
            self._transmitting, self._sender = None, False
        if self._run < STUFF_RUN:
            self._take_bit(level)
        elif level == self._last:
            return self._error(STUFF_ERROR)
        else:
            self._last, self._run = level, 1
        if self._n == self._end and self._run < STUFF_RUN:
            self._step = self._crc_delimiter
        self._drive_next()

    def _crc_delimiter(self, level: int) -> None:
        if level == 0:
            return self._error(FORM_ERROR)
        self._drive_next()
        if self._transmitting is None and self._crc_ok and not self.listen_only:
            self.out = 0
        self._step = self._ack_slot

    def _ack_slot(self, level: int) -> None:
        if self._transmitting is not None and level == 1:
            return self._error(ACK_ERROR)
        if self.out == 0 and level == 1:
            return self._error(BIT_ERROR)
        self._drive_next()
        self._step = self._ack_delimiter

    def _ack_delimiter(self, level: int) -> None:
        if level == 0:
            return self._error(FORM_ERROR)
        if self._transmitting is None and not self._crc_ok:
            return self._error(CRC_ERROR)
        self.out = 1
        self._count = 0
        self._step = self._end_of_frame

    def _end_of_frame(self, level: int) -> None:
        """Take a bit of EOF. A receiver accepts the frame at the sixth, the sender at the seventh:
        an error in the seventh makes a duplicate.
        """
        self._count += 1
        if level == 0 and (self._count < 7 or self._transmitting is not None):
            return self._error(FORM_ERROR)
        if self._count == 6 and self._transmitting is None:
            self._count_received()
        elif self._count == 7:
            if self._transmitting is not None:
                self._count_sent()
            else:
                self._report(FRAME, frame=self._received_frame())
            if level == 0:
                self._overload()
            else:
                self._start_intermission()

    def _start_intermission(self) -> None:
        self._transmitting = None
        self._count = 0
        self.out = 1
        self._step = self._intermission

    def _received_frame(self) -> Frame:
        header, dlc = self._header, self._header & 15
        flags = (EXT if self._extended else 0) | (RTR if header >> 6 & 1 else 0)
        if self._extended:
            can_id = (header >> 27 & 0x7FF) << 18 | header >> 7 & 0x3FFFF
        else:
            can_id = header >> 7 & 0x7FF
        n_bytes = n_bytes_of(flags, dlc)
        data = (self._acc >> 15 & (1 << 8 * n_bytes) - 1).to_bytes(n_bytes, "big")
        return Frame(can_id, flags, dlc, data)

    # errors

    def _error(self, code: int, forgiven: bool = False) -> None:
        """Count the error and begin the flag: an active one even if that makes it passive."""
        passive = self.state == PASSIVE
        self._unseen_ack = code == ACK_ERROR and passive
        if not self._sender:
            self._count_errors(0, 1)
        elif not forgiven and not self._unseen_ack:
            self._count_errors(8, 0)
        self._report(ERROR, code)
        self._set_state()
        self._transmitting = None
        self._punish_late_flag = not self._sender
        self._start_flag(0 if not passive and not self.listen_only else 1)

    def _overload(self) -> None:
        self._report(OVERLOAD)
        self._transmitting = None
        self._unseen_ack = self._punish_late_flag = False
        self._start_flag(1 if self.listen_only else 0)

    def _start_flag(self, level: int) -> None:
        if self.state == BUS_OFF:
            return
        self._count = self._run = 0
        self._last = -1
        self.out = level
        self._step = self._passive_flag if level else self._active_flag

    def _active_flag(self, level: int) -> None:
        if level == 1:
            self._lost_flag()
            return
        self._count += 1
        if self._count == 6:
            self._end_flag()

    def _lost_flag(self) -> None:
        """Restart the flag, and count an error: a dominant bit of it was sampled recessive."""
        passive = self.state == PASSIVE
        self._add_8()
        self._punish_late_flag = not self._sender
        self._start_flag(1 if passive else 0)

    def _passive_flag(self, level: int) -> None:
        if level == 0 and self._unseen_ack:
            self._unseen_ack = False
            self._add(8, 0)
        self._run = self._run + 1 if level == self._last else 1
        self._last = level
        if self._run == 6 and self.state != BUS_OFF:
            self._end_flag()

    def _end_flag(self) -> None:
        self._count = 0
        self.out = 1
        self._step = self._wait_recessive

    def _wait_recessive(self, level: int) -> None:
        if level == 1:
            self._count = 1
            self._step = self._delimiter
            return
        if self._count == 0 and self._punish_late_flag:
            self._add(0, 8)
        self._count += 1
        if self._count % 8 == 0:
            self._add_8()

    def _delimiter(self, level: int) -> None:
        self._count += 1
        if level == 0 and self._count == 8:
            self._overload()
        elif level == 0:
            self._error(FORM_ERROR)
        elif self._count == 8:
            self._start_intermission()

    # counters

    def _count_sent(self) -> None:
        frame = self._transmitting
        self.tec = max(0, self.tec - 1)
        self._set_state()
        self._report(SENT, frame=frame)

    def _count_received(self) -> None:
        if self.listen_only:
            return
        self.rec = REC_AFTER_PASSIVE if self.rec >= PASSIVE_LIMIT else max(0, self.rec - 1)
        self._set_state()

    def _add_8(self) -> None:
        self._add(8 * self._sender, 8 * (not self._sender))

    def _add(self, tec: int, rec: int) -> None:
        self._count_errors(tec, rec)
        self._set_state()

    def _count_errors(self, tec: int, rec: int) -> None:
        if self.listen_only:
            return
        self.tec = min(self.tec + tec, BUS_OFF_LIMIT)
        self.rec = min(self.rec + rec, BUS_OFF_LIMIT - 1)

    def _set_state(self) -> None:
        if self.tec >= BUS_OFF_LIMIT:
            state = BUS_OFF
        elif max(self.tec, self.rec) >= PASSIVE_LIMIT:
            state = PASSIVE
        else:
            state = WARNING if max(self.tec, self.rec) >= WARNING_LIMIT else ACTIVE
        if state == self.state:
            return
        self.state = state
        self._report(STATE)
        if state == BUS_OFF:
            self._count = self._sequences = 0
            self._recovering = self.auto_recover
            self._transmitting, self._sender, self.out = None, False, 1
            self._step = self._off

    def _report(self, kind: int, code: int = NO_ERROR, frame: Frame | None = None) -> None:
        position = self._n if kind == ERROR else 0
        self.reports.append(Report(kind, code, position, frame, self.tec, self.rec, self.state))


def to_transmit(frame: Frame) -> Transmission:
    """Return a frame as `ready` takes it."""
    return Transmission(frame, wire_bits(*frame), 32 if frame.flags & EXT else 12)
