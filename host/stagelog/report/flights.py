"""The list of jumps: each with its take-off, its landing, and what the car did about it."""

import numpy as np

from stagelog.report import tables as t
from stagelog.report.events import SEVERITIES

FOLD = 25
_FLIGHT_MODE = {True: "reacted", False: "did not react", None: "not on the bus"}
_EARLY_US = 100_000  # the car may report airborne before the onset that the logger finds
_LANDING_US = 300_000


def jumps(stage, events):
    """Return the section of flights."""
    columns = [
        t.column("flight"),
        t.column("at", "km", 2),
        t.column("after", "min"),
        t.column("take-off", "km/h", 0),
        t.column("airtime", "ms", 0),
        t.column("landing peak", "g"),
        t.words("severity"),
        t.column("compression", "m/s"),
        t.words("flight mode"),
        t.column("reacted after", "ms", 0),
        t.column("torque at landing", "Nm", 0),
        t.column("confidence", "%", 0),
    ]
    rows = [_row(stage, number, flight) for number, flight in enumerate(events.flights, 1)]
    edges = ", ".join(f"{g:g}" for g in stage.profile.airborne.landing_severity_g)
    return {
        "id": "jumps",
        "title": "Jumps",
        "lines": _lines(events.flights),
        "note": f"Severity by the landing's peak: light, medium, hard, severe from {edges} g on. "
        "Compression is that of the fastest damper. Flight mode: whether the car itself reported "
        "airborne, and how long after the onset.",
        "tables": [t.table(columns, rows, empty="The car did not leave the ground.", fold=FOLD)],
    }


def _row(stage, number, flight):
    onset_us = flight["onset_us"]
    landing_us = onset_us + flight["airtime_ms"] * 1000
    level = SEVERITIES[flight["severity"]]
    if flight["car_agrees"] is False and level == "good":
        level = "warn"
    x_s = stage.seconds(onset_us)
    torque = stage.find_valid(stage.profile.roles.engine_torque)
    cells = (
        number,
        stage.km(onset_us),
        x_s / 60,
        flight["speed_kmh"],
        flight["airtime_ms"],
        flight["peak_g"],
        flight["severity"],
        _compression_m_per_s(stage, landing_us),
        _FLIGHT_MODE[flight["car_agrees"]],
        _reaction_ms(stage, onset_us, landing_us),
        torque and float(torque.at(np.array([landing_us]))[0]),
        flight["confidence_pct"],
    )
    return t.row(*cells, level=level, x_s=x_s, chart="c-damper")


def _reaction_ms(stage, onset_us, landing_us):
    """Return how long after the onset the car reported airborne, ms; None if it did not."""
    name = stage.profile.roles.flight_state
    state = stage.find_valid(name)
    texts = stage.choices(name).items()
    code = next((value for value, text in texts if text.lower() == "airborne"), None)
    if state is None or code is None:
        return None
    part = state.within(onset_us - _EARLY_US, landing_us)
    reported = part.t_us[part.values == code]
    return (int(reported[0]) - onset_us) / 1000 if len(reported) else None


def _compression_m_per_s(stage, landing_us):
    """Return the fastest compression of a damper around a landing, m/s."""
    fastest = []
    for name in stage.profile.roles.damper:
        series = stage.find_valid(name)
        if series is None:
            continue
        part = series.within(landing_us - _EARLY_US, landing_us + _LANDING_US)
        steps_us = np.diff(part.t_us)
        if len(steps_us):
            fastest.append(float((np.diff(part.values) / np.maximum(steps_us, 1)).max() * 1000))
    return max(fastest, default=None)


def _lines(flights):
    if not flights:
        return []
    known = [f for f in flights if f["car_agrees"] is not None]
    agreed = sum(f["car_agrees"] for f in known)
    counts = {name: sum(f["severity"] == name for f in flights) for name in SEVERITIES}
    lines = [", ".join(f"{n} {name}" for name, n in counts.items() if n) + " landings"]
    longest = max(flights, key=lambda f: f["airtime_ms"])
    air_s = sum(f["airtime_ms"] for f in flights) / 1000
    lines.append(f"{air_s:.1f} s in the air, longest {longest['airtime_ms']:,} ms")
    if known:
        lines.append(f"the car's flight mode reacted in {agreed} of {len(known)}")
    return lines
