"""Electrical faults: the value of a signal when its sensor, wire or node is broken.

Owns the step from a true reading to a false one, just before encoding, and silent nodes. Faults:

    open     the reading of an open circuit; the status signal, if the profile has one, says so
    short    the signal's upper end, status as above
    stuck    the value at the start of the fault, for ever
    sna      the node sends "not available"
    drift    adds per_s each second
    noise    adds white noise of sigma
    value    replaces by value
    dropout  not available for share of the time, in bursts of a tenth of a second
"""

import numpy as np
from numpy.typing import NDArray

from stagelog.car.encode import MessageEncoder
from stagelog.car.incidents import Incidents, end_s
from stagelog.car.minute import Minute
from stagelog.car.noise import Array, generator, key, lattice
from stagelog.car.nominal import NominalCar
from stagelog.car.story import Incident

_STATUS = {"open": 1.0, "short": 2.0, "sna": 3.0}


class Faults:
    """The signal faults and silent nodes of one drive."""

    def __init__(self, profile: NominalCar, incidents: Incidents, seed: int) -> None:
        self.profile, self.incidents, self.seed = profile, incidents, seed
        self._stuck: dict[tuple[float, str], float] = {}
        # the incidents of each signal; with a code for a status signal, which takes that value
        self._by_signal: dict[str, list[tuple[Incident, float | None]]] = {}
        self._known: list[Incident] | None = None

    def _index(self) -> None:
        """Assign the incidents that have begun to their signals, status signals included."""
        begun = [*self.incidents.of("signal"), *self.incidents.of("button")]
        if begun == self._known:
            return
        self._known, self._by_signal = begun, {}
        for incident in begun:
            for name in incident.extra["signals"]:
                self._by_signal.setdefault(name, []).append((incident, None))
                status = self.profile.status.get(name)
                code = _STATUS.get(incident.extra["fault"])
                if status is not None and code is not None:
                    self._by_signal.setdefault(status[0], []).append((incident, code))

    def apply(
        self,
        encoder: MessageEncoder,
        values: dict[str, Array],
        minute: Minute,
        t_us: NDArray[np.int64],
    ) -> None:
        """Replace what is faulty in `values`, the readings of one message at t_us."""
        self._index()
        t_s = minute.t0_s + t_us * 1e-6
        for name in sorted(encoder.signals.keys() & self._by_signal.keys()):
            for incident, code in self._by_signal[name]:
                when = (t_s >= incident.at_s) & (t_s < end_s(incident))
                if not when.any():
                    continue
                column = values.setdefault(name, np.zeros(len(t_us)))
                if code is not None:
                    column[when] = code
                else:
                    self._falsify(incident, encoder, name, column, when, t_s)

    def _falsify(
        self,
        incident: Incident,
        encoder: MessageEncoder,
        name: str,
        column: Array,
        when: NDArray[np.bool_],
        t_s: Array,
    ) -> None:
        fault, extra = incident.extra["fault"], incident.extra
        layout = encoder.signals[name]
        if fault == "open":
            column[when] = max(layout.low, self.profile.sensors.temperature.open_degC)
        elif fault == "short":
            column[when] = layout.high
        elif fault == "sna":
            column[when] = np.nan
        elif fault == "stuck":
            held = self._stuck.setdefault((incident.at_s, name), column[np.flatnonzero(when)[0]])
            column[when] = held
        elif fault == "drift":
            column[when] += extra["per_s"] * (t_s[when] - incident.at_s)
        elif fault == "noise":
            rng = generator(self.seed, "fault", name, int(t_s[0] * 1e3))
            column[when] += extra["sigma"] * rng.standard_normal(int(when.sum()))
        elif fault == "value":
            column[when] = extra["value"]
        elif fault == "dropout":
            gone = lattice(key(self.seed, "dropout", name), (t_s * 10.0).astype(np.int64))
            column[when & (gone < 2.0 * extra["share"] - 1.0)] = np.nan
        else:
            raise KeyError(f"signal fault {fault!r} is not known")

    def sent(
        self, encoder: MessageEncoder, minute: Minute, t_us: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return bool[n]: whether the node was powered and not silent when each frame was due."""
        power = minute.slow["power"]
        sent = power[np.minimum((t_us // 50_000), len(power) - 1)] > 0.0
        t_s = minute.t0_s + t_us * 1e-6
        for incident in self.incidents.of("node_silent"):
            if set(encoder.senders) & set(incident.extra["nodes"]):
                sent &= (t_s < incident.at_s) | (t_s >= end_s(incident))
        return sent
