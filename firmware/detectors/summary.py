"""The running summary of a session: a few counters, written into the log again and again.

The newest set in a session's log is its summary, so a power cut loses a few seconds of it, and the
last blocks of a session contain it without the rest. Sums over sessions are component lives.
"""

from slog import events as ev


class Summary:
    """Emits SUMMARY + index for every row of slog.event_names.SUMMARY_ITEMS every `period_s`."""

    def __init__(self, events, period_s, emit):
        self._events = events
        self._emit = emit
        self._period = period_s * 10
        self._left = self._period

    def step(self):
        """Count a tenth of a second; write when it is time."""
        self._left -= 1
        if self._left > 0:
            return
        self._left = self._period
        index = 0
        for value, extra in self.values():
            self._emit(ev.SUMMARY + index, ev.ON, value, extra)
            index += 1

    def values(self):
        """Return (value, extra) for every counter."""
        events = self._events
        motion = events.motion
        flight = events.flight
        fuel = events.fuel
        alarms = events.alarms
        diffs = events.diffs
        severity = flight.by_severity
        return (
            (motion.engine_ds // 10, motion.power_ds // 10),
            (motion.distance_m, motion.top_speed),
            (flight.n_flights, flight.longest_ms),
            (severity[0], flight.peak_cg),
            (severity[1], 0),
            (severity[2], 0),
            (severity[3], 0),
            (flight.air_ms, flight.n_missed),
            (fuel.used_cl, max(fuel.volume(), 0)),
            (fuel.added_cl, 0),
            (alarms.warning_ds // 10, alarms.n_came),
            (alarms.critical_ds // 10, events.sensors.n_faults),
            (diffs.max[0], diffs.over_s[0]),
            (diffs.max[1], diffs.over_s[1]),
            (motion.n_shifts, events.incidents.n_abuses),
        )
