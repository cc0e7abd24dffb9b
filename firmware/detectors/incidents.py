"""Incidents of driving that no limit of a signal shows: rolled over, handbrake at speed."""

from slog import events as ev
from slog import signal_table as st


class Incidents:
    """`n_abuses`: how often the handbrake was pulled too fast or for too long."""

    def __init__(self, sensors, motion, body, roles, rows, emit):
        self.n_abuses = 0
        self._sensors = sensors
        self._motion = motion
        self._body = body
        self._upward = roles[0][st.ACC_Z]
        self._rows = rows
        self._emit = emit
        self.resume()

    def resume(self):
        """Begin anew after a pause."""
        self._n_rolled = 0
        self._rolled = False
        self._n_hand = 0
        self._hand_reported = False

    def step(self):
        """Do a tenth of a second."""
        self._find_roll()
        self._find_handbrake()

    def _find_roll(self):
        rows = self._rows
        if not self._sensors.valid[self._upward]:
            return
        force = self._body.force[2]
        over = force < rows["roll_mg"]
        if over == self._rolled:
            self._n_rolled = 0
            return
        self._n_rolled += 1
        if self._n_rolled >= rows["roll_n"]:
            self._rolled = over
            self._n_rolled = 0
            self._emit(ev.ROLL_OVER, ev.ON if over else ev.OFF, force, 0)

    def _find_handbrake(self):
        rows = self._rows
        kPa = self._sensors.value(st.HANDBRAKE)
        if kPa < rows["hand_kPa"]:
            self._n_hand = 0
            self._hand_reported = False
            return
        self._n_hand += 1
        fastest = self._motion.fastest
        long = self._n_hand > rows["hand_n"] and fastest > rows["spin_speed"]
        fast = self._n_hand >= 2 and fastest > rows["hand_speed"]
        if (long or fast) and not self._hand_reported:
            self._hand_reported = True
            self.n_abuses += 1
            self._emit(ev.HANDBRAKE, ev.ON, fastest, kPa)
