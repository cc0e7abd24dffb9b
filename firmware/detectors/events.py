"""On-car events: the watch, and the detectors that read it, from one signal table.

Owns the order in which things are done at a tick and the numbering of groups: every signal, gate
and alarm has its turn at one tick in ten. `emit(code, state, value, extra)` is called for every
event; codes in slog.events. Does not own the table (slog.signal_table).
"""

from detectors.airborne import AIRBORNE, Flight
from detectors.alarms import Alarms
from detectors.body import Body
from detectors.fuel import Fuel
from detectors.incidents import Incidents
from detectors.motion import Motion
from detectors.sensors import Sensors, roles_of
from detectors.summary import Summary
from detectors.thermal import Diffs
from detectors.watch import Watch
from slog import events as ev
from slog import signal_table as st


class Events:
    """All detectors of one session. Same records in the same order: same events.

    table    what slog.signal_table reads
    refuels  as detectors.fuel.Fuel takes them; the car knows none
    """

    def __init__(self, table, emit, refuels=()):
        bus, sections = table
        self.emit = emit  # may be another one between two records
        self.n_events = 0
        send = self._send
        rows = st.named(sections[st.WATCH], st.WATCH_ROWS)
        roles = roles_of(sections)
        flight_rows = st.named(sections[st.FLIGHT], st.FLIGHT_ROWS)
        watch = self.watch = Watch(bus, sections, self._tick, self._resume)
        sensors = self.sensors = Sensors(watch, roles, rows, send)
        motion = self.motion = Motion(watch, sensors, roles, rows, flight_rows, send)
        body = self.body = Body(watch, sensors, roles, flight_rows)
        self.flight = Flight(watch, sensors, motion, body, roles, flight_rows, send)
        self.incidents = Incidents(sensors, motion, body, roles, rows, send)
        self.alarms = Alarms(watch, sensors, motion, roles, rows, sections, send)
        self.diffs = Diffs(sensors, motion, sections, send)
        self.fuel = Fuel(sensors, motion, body, roles, sections, send, refuels)
        self.summary = Summary(self, rows["summary_s"], send)
        send(ev.TABLE, ev.ON, self.watch.n_signals, self.alarms.n)

    def scan(self, block, at, n, hi, most=-1):
        """Take records as Watch.scan does."""
        return self.watch.scan(block, at, n, hi, most)

    def _tick(self):
        group = self.watch.tick % 10
        self.sensors.step(group, self.motion.speed)
        if not group:
            self.motion.step(self.flight.is_on_ground())
            self.incidents.step()
            self.fuel.step()
        elif group == 5:
            self.diffs.step()
        elif group == 7:
            self.summary.step()
        self.flight.step()
        self.alarms.step(group, self.flight.state == AIRBORNE)

    def _resume(self, seconds):
        self.sensors.resume()
        self.body.resume()
        self.flight.resume()
        self.motion.resume()
        self.incidents.resume()
        self.alarms.resume(seconds)
        self.diffs.resume()
        self.fuel.resume()
        self._send(ev.RESUMED, ev.ON, min(seconds, 0x7FFFFFFF), 0)

    def _send(self, code, state, value, extra):
        self.n_events += 1
        self.emit(code, state, value, extra)
