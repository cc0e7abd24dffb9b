"""The world runs a logger in virtual time: the next thing that happens is the next thing that is
done.
"""

from slog.messages import CONTROL_RESET, CONTROL_START
from stagelog.rig.sim.models import ERROR, FRAME, STATE


class World:
    """Plays a tape to a board and lets the application pass once every `loop_us`.

    Invariant: time never goes back, and an arrival at t is seen by the interrupt before a pass at
    t.
    """

    def __init__(self, app, events=(), loop_us=1000):
        self.app = app
        self.board = app.board
        self.clock = app.board.sim_clock
        self.loop_us = loop_us
        self._events = iter(events)
        self._next = next(self._events, None)
        self._t_loop = self.clock.now_us

    @property
    def tape_ended(self):
        """True when the tape has nothing more."""
        return self._next is None

    def add_events(self, events):
        """Play `events` from now on; what was left of the tape before is gone."""
        self._events = iter(events)
        self._next = next(self._events, None)

    def run_tape(self):
        """Run until the tape has ended."""
        while self._next is not None:
            self.run_until(self._next[0])

    def run_for(self, us):
        """Run `us` of virtual time."""
        self.run_until(self.clock.now_us + us)

    def run_until(self, t_us):
        """Run up to and with virtual time `t_us`."""
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

    def step(self):
        """Let the interrupts catch up and the application pass once. A reset that was asked for
        is a new session here.
        """
        for capture in self.board.captures:
            capture.serve(self.clock.now_us - self.clock.boot_us)
        self.app.step()
        if self.board.asked == CONTROL_RESET:
            self.board.asked = None
            self.app.control(CONTROL_START)

    def _deliver(self, event):
        t_us, kind, bus, flags, can_id, dlc, state, tec, rec, data = event
        if bus >= len(self.board.captures):
            return
        capture = self.board.captures[bus]
        if kind == FRAME:
            capture.receive(t_us, can_id, bus | (flags & 2) | (flags & 1) << 2, dlc, data)
        elif kind == ERROR:
            capture.see_error()
        if kind == STATE or kind == ERROR:
            capture.change_state(state, tec, rec)
