"""The list of jumps: each with its take-off, its landing, and what the car did about it."""

import numpy as np

from stagelog.events.reading import Flight
from stagelog.report import tables as t
from stagelog.report.damper import Damper
from stagelog.report.events import SEVERITIES, StageEvents
from stagelog.report.series import Spans
from stagelog.report.sight import BlindSpot, sentence
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

FOLD = 25
_FLIGHT_MODE = {True: "reacted", False: "did not react", None: "not on the bus"}
_EARLY_US = 100_000  # the car may report airborne before the onset that the logger finds


def jumps(stage: Stage, events: StageEvents, studied: dict[str, Damper]) -> Facts:
    """Return the section of flights; `studied` is damper.study_dampers of its landings."""
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
    rows = _rows(stage, events.flights, studied)
    edges = ", ".join(f"{g:g}" for g in stage.profile.airborne.landing_severity_g)
    return {
        "id": "jumps",
        "title": "Jumps",
        "lines": _lines(events.flights) + [sentence(stage, spot) for spot in events.blind],
        "note": f"Severity by the landing's peak: light, medium, hard, severe from {edges} g on. "
        "Compression is that of the fastest damper. Flight mode: whether the car itself reported "
        "airborne, and how long after the onset.",
        "tables": [t.table(columns, rows, empty=_none(events.blind), fold=FOLD)],
    }


def _none(blind: list[BlindSpot]) -> str:
    """Return what stands where no flight was found."""
    if any(spot.hides == "flights" for spot in blind):
        return "None was found, but for some time none could be: see above."
    if any(spot.hides == "short" for spot in blind):
        return "None was found, but for some time not all could be: see above."
    return "The car did not leave the ground."


def _rows(stage: Stage, flights: list[Flight], studied: dict[str, Damper]) -> list[Facts]:
    """Return a row for each flight; each signal is read once, for all of them."""
    spans = [(f.onset_us, f.onset_us + f.airtime_ms * 1000) for f in flights]
    landings_us = np.array([landing_us for _, landing_us in spans], np.int64)
    torque = stage.find_valid(stage.profile.roles.engine_torque)
    torques = [None] * len(flights) if torque is None else torque.at(landings_us).tolist()
    reactions = _reactions_ms(stage, spans)
    rows = []
    for k, flight in enumerate(flights):
        onset_us = flight.onset_us
        level = SEVERITIES[flight.severity]
        if flight.car_agrees is False and level == "good":
            level = "warn"
        x_s = stage.seconds(onset_us)
        cells = (
            k + 1,
            stage.km(onset_us),
            x_s / 60,
            flight.speed_kmh,
            flight.airtime_ms,
            flight.peak_g,
            flight.severity,
            _fastest(studied, k),
            _FLIGHT_MODE[flight.car_agrees],
            reactions[k],
            torques[k],
            flight.confidence_pct,
        )
        rows.append(t.row(*cells, level=level, x_s=x_s, chart="c-damper"))
    return rows


def _fastest(studied: dict[str, Damper], k: int) -> float | None:
    """Return the fastest compression of a damper at landing k, m/s."""
    found = (one.by_landing[k] for one in studied.values())
    return max((v for v in found if v is not None), default=None)


def _reactions_ms(stage: Stage, spans: Spans) -> list[float | None]:
    """Return how long after each onset the car reported airborne, ms; None if it did not."""
    name = stage.profile.roles.flight_state
    state = stage.find_valid(name)
    texts = stage.choices(name).items()
    code = next((value for value, text in texts if text.lower() == "airborne"), None)
    if state is None or code is None:
        return [None] * len(spans)
    found = []
    for onset_us, landing_us in spans:
        part = state.within(onset_us - _EARLY_US, landing_us)
        reported = part.t_us[part.values == code]
        found.append((int(reported[0]) - onset_us) / 1000 if len(reported) else None)
    return found


def _lines(flights: list[Flight]) -> list[str]:
    if not flights:
        return []
    known = [f for f in flights if f.car_agrees is not None]
    agreed = sum(bool(f.car_agrees) for f in known)
    counts = {name: sum(f.severity == name for f in flights) for name in SEVERITIES}
    text = ", ".join(f"{n} {name}" for name, n in counts.items() if n) + " landings"
    lines: list[str] = [t.line(text, **{f"landings_{name}": n for name, n in counts.items()})]
    longest = max(flights, key=lambda f: f.airtime_ms)
    air_s = sum(f.airtime_ms for f in flights) / 1000
    text = f"{air_s:.1f} s in the air, longest {longest.airtime_ms:,} ms"
    lines.append(t.line(text, in_the_air_s=air_s, longest_flight_ms=longest.airtime_ms))
    if known:
        text = f"the car's flight mode reacted in {agreed} of {len(known)}"
        numbers = {"flight_mode_reacted": agreed, "flight_mode_on_bus": len(known)}
        lines.append(t.line(text, **numbers))
    return lines
