"""Runs a logger in virtual time, event by event: time moves on to whatever happens next."""

from slog.messages import CONTROL_RESET, CONTROL_START
from stagelog.rig.sim.kinds import kind_of
from stagelog.rig.sim.models import ERROR, FRAME, STATE

TYPE_CHECKING = False  # MicroPython has no module typing
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from stagelog.rig.tape import Event


class World:
    """Plays a tape to a board and runs one pass of the application's main loop every `loop_us`.

    Invariant: time never goes back, and the interrupt for a frame that ends at t comes before a
    pass at t.
    """

    def __init__(self, app: "Any", events: "Iterable[Event]" = (), loop_us: int = 1000) -> None:
        self.app = app
        self.board = app.board
        self.clock = app.board.sim_clock
        self.loop_us = loop_us
        self._events = iter(events)
        self._next = next(self._events, None)
        self._t_loop = self.clock.now_us

    @property
    def tape_ended(self) -> bool:
        """True when the tape has nothing more."""
        return self._next is None

    def add_events(self, events: "Iterable[Event]") -> None:
        """Play `events` from now on; the rest of the tape before is dropped."""
        self._events = iter(events)
        self._next = next(self._events, None)

    def run_tape(self) -> None:
        """Run until the tape has ended."""
        while self._next is not None:
            self.run_until(self._next[0])

    def run_for(self, us: int) -> None:
        """Run `us` of virtual time."""
        self.run_until(self.clock.now_us + us)

    def run_until(self, t_us: int) -> None:
        """Run up to virtual time `t_us`, this moment included."""
        clock = self.clock
        while True:
            event = self._next
            if event is not None and event[0] <= self._t_loop and event[0] <= t_us:
                clock.now_us = max(clock.now_us, event[0])
                self._deliver(event)
                self._next = next(self._events, None)
            elif self._t_loop <= t_us:
                clock.now_us = self._t_loop
                self.step()
                self._t_loop += self.loop_us
            else:
                clock.now_us = t_us
                return

    def step(self) -> None:
        """Serve all interrupts that are due, then run one pass of the main loop. A reset that the
        application requests starts a new session here.
        """
        for capture in self.board.captures:
            capture.serve(self.clock.now_us - self.clock.boot_us)
        self.app.step()
        if self.board.asked == CONTROL_RESET:
            self.board.asked = None
            self.app.control(CONTROL_START)

    def _deliver(self, event: "Event") -> None:
        t_us, kind, bus, flags, can_id, dlc, state, tec, rec, data = event
        if bus >= len(self.board.captures):
            return
        capture = self.board.captures[bus]
        if kind == FRAME:
            capture.receive(t_us, can_id, bus | kind_of(flags), dlc, data)
        elif kind == ERROR:
            capture.see_error()
        if kind == STATE or kind == ERROR:
            capture.change_state(state, tec, rec)
