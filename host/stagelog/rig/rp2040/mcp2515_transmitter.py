"""The transmitter of the MCP2515's model: which of its three buffers is sent, and when it ends.

Frames take the bits that the standard gives them, one after the other as long as buffers wait.
Does not own the registers, nor who hears the frame: the bus, or in loopback mode itself.
"""

from collections.abc import Callable
from math import ceil
from typing import Any, NamedTuple

from stagelog.rig.bus.canbits import IFS_BITS, n_bytes_of, n_frame_bits
from stagelog.rig.rp2040 import mcp2515_registers as reg
from stagelog.rig.rp2040.engine import FS_PER_US

_BUFFERS = (0x30, 0x40, 0x50)
_SENT_FLAG = 0x04  # of buffer 0 in CANINTF; the others follow


class SentFrame(NamedTuple):
    """A frame that the firmware has sent."""

    t_us: float
    can_id: int
    flags: int
    dlc: int
    data: bytes


class Transmitter:
    """Invariant: a frame that has begun is sent whole, or with `stop` not at all.

    sent   called with each SentFrame at its end, its buffer free and flagged
    """

    def __init__(self, registers: Any, clock: Any, sent: Callable[[SentFrame], None]) -> None:
        self._registers = registers
        self._clock = clock
        self._sent = sent
        self._alarm = clock.create_alarm(self._end)
        self._buffer = 0
        self._t_free_us = 0.0  # start of a bit that no frame has taken

    def start(self, rate_bps: float) -> None:
        """Begin the frame of the highest priority at the next bit, after the intermission of the
        last one; of equal priorities that of the highest buffer (DS20001801H, 3.2).
        """
        registers = self._registers
        waiting = [at for at in _BUFFERS if registers[at] & reg.TXREQ]
        if not waiting or self._alarm.scheduled:
            return
        self._buffer = max(waiting, key=lambda at: (registers[at] & 3, at))
        n_bits = n_frame_bits(*self._frame()[1:])
        n_waited = max(0, self._clock.t_us - self._t_free_us) * rate_bps / 1e6
        self._t_free_us += (ceil(n_waited - 1e-6) + n_bits) * 1e6 / rate_bps
        end_us = self._t_free_us - IFS_BITS * 1e6 / rate_bps
        self._alarm.schedule_fs(int(end_us * FS_PER_US))

    def stop(self) -> None:
        """Forget the frame that is on its way; bits begin anew."""
        self._alarm.cancel()
        self._t_free_us = self._clock.t_us

    def _frame(self) -> SentFrame:
        at = self._buffer
        can_id, flags, dlc = reg.read_identifier(self._registers, at + 1)
        data = bytes(self._registers[at + 6 : at + 6 + n_bytes_of(flags, dlc)])
        return SentFrame(self._clock.t_us, can_id, flags, dlc, data)

    def _end(self) -> None:
        frame = self._frame()
        self._registers[self._buffer] &= ~reg.TXREQ
        self._registers[reg.CANINTF] |= _SENT_FLAG << _BUFFERS.index(self._buffer)
        self._sent(frame)
