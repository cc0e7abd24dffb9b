"""The one time axis of a stage, and the only place where times are brought onto it.

Key cycles follow each other on the axis; of the time without power between two, PAUSE_US is left.
Times of a key cycle of our logger count from its boot, those of another recorder's log from
whatever that log says; which of both, and whether UTC is known, is said by whoever opens the key
cycle, never guessed from how large a number is.
"""

from dataclasses import dataclass

from slog import events as ev
from stagelog.events import Detected
from stagelog.report.series import Times
from stagelog.report.stage import KeyCycle

PAUSE_US = 5_000_000


@dataclass(frozen=True, slots=True)
class OnAxis:
    """Brings times of one key cycle onto the axis."""

    shift_us: int

    def times(self, t_us: Times) -> Times:
        """Return times on the axis."""
        return t_us + self.shift_us

    def time(self, t_us: int | None) -> int | None:
        """Return a time on the axis; None stays None."""
        return None if t_us is None else t_us + self.shift_us

    def event(self, event: Detected) -> Detected:
        """Return an event; a take-off carries 32 bits of the time of its onset, too."""
        is_takeoff = (event.code, event.state) == (ev.FLIGHT, ev.TAKEN_OFF)
        extra = (event.extra + self.shift_us) & 0xFFFFFFFF if is_takeoff else event.extra
        return Detected(event.t_us + self.shift_us, event.code, event.state, event.value, extra)

    def event_if_any(self, event: Detected | None) -> Detected | None:
        """Return an event, None for None."""
        return None if event is None else self.event(event)


class Axis:
    """Key cycles in order of time; the axis grows with them."""

    def __init__(self) -> None:
        self.key_cycles: list[KeyCycle] = []

    def append(
        self, start_us: int, end_us: int, *, boot: int | None, t_unix_us: int | None
    ) -> OnAxis:
        """Append a key cycle, from start to end of its own clock.

        boot       its number, None for another recorder's log
        t_unix_us  UTC of its start, None where not known
        """
        at_us, off_us = start_us, None
        if self.key_cycles:
            last = self.key_cycles[-1]
            at_us = last.end_us + PAUSE_US
            if t_unix_us is not None and last.t_unix_us is not None:
                off_us = max(0, t_unix_us - last.t_unix_us - (last.end_us - last.start_us))
        shift = OnAxis(at_us - start_us)
        self.key_cycles.append(KeyCycle(at_us, end_us + shift.shift_us, boot, t_unix_us, off_us))
        return shift
