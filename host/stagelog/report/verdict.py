"""Can the car start tomorrow? An answer with its reasons and what to inspect, and nothing more
than the log supports.

The worst reason decides. A hole in the log, a silent sensor or a limit without data is a reason,
too: what was not seen does not count as good. What to inspect stands in the car's profile.
"""

from collections.abc import Iterable

from stagelog.events.compare import Disagreement
from stagelog.report import tables as t
from stagelog.report.events import SEVERITIES, Episode, StageEvents
from stagelog.report.exceeded import main_limit
from stagelog.report.sight import joined, sentence
from stagelog.report.source import Health
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

_ANSWERS = {
    "bad": "Not before the work below is done.",
    "warn": "Yes, after the checks below.",
    "good": "Yes: nothing in this log speaks against it.",
}
_BLIND = "The log does not say: too little of the car is in it."
_NO_END = "The log does not say: its end is missing."


def verdict(
    stage: Stage,
    health: Health,
    events: StageEvents,
    disagreed: list[Disagreement] | None,
    dampers: dict[str, int],
) -> Facts:
    """Return {level, answer, reasons}; reasons are rows of (why, inspect), worst first.

    events   events.StageEvents
    disagreed  events.Disagreement of car and laptop, None if the car recorded no events
    dampers    {signal: times at full travel}
    """
    reasons = [*_of_health(health), *_of_agreement(disagreed, health)]
    reasons += _of_dampers(stage, dampers)
    reasons += _of_alarms(stage, events)
    reasons += _of_flights(stage, events)
    reasons += _of_blind(stage, events)
    reasons += _of_singles(stage, events)
    reasons += _of_faults(stage, events)
    unseen, n_limits = _unseen(stage)
    blind = len(unseen) > n_limits / 2
    if unseen:
        why = f"No data, so no limit was watched: {_listed(unseen)}"
        reasons.append(t.row(why, "the sensor, its wiring, its control unit", level="warn"))
    order = ("bad", "warn", "info")
    reasons.sort(key=lambda reason: order.index(reason["level"]))
    level = next(
        (one for one in ("bad", "warn") if any(r["level"] == one for r in reasons)), "good"
    )
    answer = _BLIND if blind and level != "bad" else _ANSWERS[level]
    if level != "bad" and not health.is_end_known:
        answer = _NO_END
    elif health.complete is False and level != "bad" and not blind:
        answer = f"As far as the log goes: {answer[0].lower()}{answer[1:]}"
    return {
        "level": "warn" if blind and level != "bad" else level,
        "question": "Can the car start tomorrow?",
        "answer": answer,
        "reasons": t.table(
            [t.words("why", long=True), t.words("inspect", long=True)], reasons, empty="", fold=12
        ),
    }


def _of_health(health: Health) -> list[Facts]:
    if health.complete is None:
        return [t.row(f"The log: {health.verdict.text}", None, level="info")]
    if health.complete:
        return []
    why = f"The log is not complete ({health.verdict.text})"
    why += ": what happened in its holes is not known"
    if not health.is_end_known:
        why = f"The end of the log is missing ({health.verdict.text})"
    return [t.row(why, "the logger's card, cable and supply", level="warn")]


def _of_agreement(disagreed: list[Disagreement] | None, health: Health) -> list[Facts]:
    """Return the reason that the car and the laptop differ, if they do."""
    if not disagreed:
        return [
            t.row(f"Car and laptop can't be compared, {why}", None, level="info")
            for why in health.not_compared
        ]
    why = f"Car and laptop differ in {len(disagreed):,} events"
    if not health.same_table:
        return [t.row(f"{why}: the car watches with another signal table", None, level="info")]
    return [t.row(why, "the logger's firmware; report it to its maintainer", level="warn")]


def _of_alarms(stage: Stage, events: StageEvents) -> list[Facts]:
    components = {name: c for c in stage.profile.report.component for name in c.alarms}
    groups: dict[str, list[Episode]] = {}
    for alarm in events.alarms:
        component = components.get(alarm.key)
        groups.setdefault(component.name if component else "Other", []).append(alarm)
    rows = []
    for name, some in groups.items():
        bad = [alarm for alarm in some if alarm.level == "bad"]
        first = (bad or some)[0]
        words: dict[str, list[Episode]] = {}
        for alarm in some:
            words.setdefault(alarm.signal, []).append(alarm)
        listed = [_alarm_words(stage, same) for same in words.values()]
        more = f", and {len(listed) - 4} more" if len(listed) > 4 else ""
        why = f"{name}: {', '.join(listed[:4])}{more}; first at km {stage.km(first.t_us):.1f}"
        level = "bad" if bad else "warn"
        inspect = None
        if component := components.get(first.key):
            inspect = component.inspect
            if bad and component.if_critical:
                inspect = f"{component.if_critical}; {inspect}"
        x_s = stage.seconds(first.t_us)
        rows.append(t.row(why, inspect, level=level, x_s=x_s, chart=f"c-alarm-{first.key}"))
    return rows


def _alarm_words(stage: Stage, same: list[Episode]) -> str:
    """Return what one signal exceeded: its worst limit alone, the others are on its card."""
    worst, n, limit = main_limit(stage, same)
    word = "critical" if worst.level == "bad" else "warning"
    times = f", {n} times" if n > 1 else ""
    return f"{worst.signal} {word} ({worst.peak:.4g} {worst.unit}, limit {limit}{times})"


def _of_flights(stage: Stage, events: StageEvents) -> list[Facts]:
    rows = []
    report = stage.profile.report
    for severity in ("severe", "hard"):
        some = [f for f in events.flights if f.severity == severity]
        if not some:
            continue
        worst = max(some, key=lambda f: f.peak_g or 0.0)
        landings = "landing" if len(some) == 1 else "landings"
        why = f"{len(some)} {severity} {landings}, the worst {worst.peak_g:.1f} g"
        why += f" at km {stage.km(worst.onset_us):.1f}"
        x_s = stage.seconds(worst.onset_us)
        level = SEVERITIES[severity]
        rows.append(t.row(why, report.landing_inspect, level=level, x_s=x_s, chart="c-damper"))
    missed = [f for f in events.flights if f.car_agrees is False]
    if missed:
        why = f"Flight mode did not react in {len(missed)} of {len(events.flights)} flights"
        x_s = stage.seconds(missed[0].onset_us)
        rows.append(t.row(why, report.flight_mode_inspect, level="warn", x_s=x_s))
    return rows


def _of_singles(stage: Stage, events: StageEvents) -> list[Facts]:
    report = stage.profile.report
    words = {
        "roll_over": ("bad", "Roll-over", report.roll_over_inspect),
        "fuel_leak": ("bad", "Fuel leak: {lost_l:.0f} l beside the flow", report.leak_inspect),
        "stuck": ("warn", "Stuck with wheels turning", report.stuck_inspect),
        "handbrake_abuse": ("warn", "Handbrake at {speed_kmh:.0f} km/h", report.handbrake_inspect),
        "diff_model": (
            "warn",
            "{axle} diff {residual_degC:.0f} degC hotter than its load explains: low oil?",
            report.diff_model_inspect,
        ),
        "skipped": ("warn", "The detectors on board were too slow", None),
    }
    rows = []
    for name, (level, text, inspect) in words.items():
        some = [event for event in events.singles if event["name"] == name]
        if not some:
            continue
        first = some[0]
        why = f"{text.format(**first)}, km {stage.km(first['t_us']):.1f}"
        why += f", {len(some)} times" if len(some) > 1 else ""
        x_s = stage.seconds(first["t_us"])
        rows.append(t.row(why[0].upper() + why[1:], inspect, level=level, x_s=x_s))
    return rows


def _of_blind(stage: Stage, events: StageEvents) -> list[Facts]:
    """Return what could not be seen of flights: where none could be found, none is no news."""
    rows = []
    for spot in joined(events.blind):
        why = sentence(stage, spot)
        level = "warn" if spot.hides == "flights" else "info"
        x_s = stage.seconds(spot.t_us)
        inspect = "the sensor, its connector and wiring"
        rows.append(t.row(f"{why[0].upper()}{why[1:]}", inspect, level=level, x_s=x_s))
    return rows


def _of_faults(stage: Stage, events: StageEvents) -> list[Facts]:
    rows = []
    for is_lasting, words, level in (
        (True, "Faulty to the end", "warn"),
        (False, "Faulty for a while", "info"),
    ):
        some = [fault for fault in events.faults if (fault["end_us"] is None) == is_lasting]
        if some:
            x_s = stage.seconds(some[0]["t_us"])
            why = f"{words}: {_listed(fault['what'] for fault in some)}"
            rows.append(t.row(why, "the sensor, its connector and wiring", level=level, x_s=x_s))
    return rows


def _listed(names: Iterable[str]) -> str:
    """Return names once each, the first eight of them."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _of_dampers(stage: Stage, dampers: dict[str, int]) -> list[Facts]:
    hit = {name: n for name, n in dampers.items() if n}
    if not hit:
        return []
    words = ", ".join(f"{name} {n} {'time' if n == 1 else 'times'}" for name, n in hit.items())
    inspect = stage.profile.report.bottoming_inspect
    return [t.row(f"Dampers at full travel: {words}", inspect, level="warn", chart="c-damper")]


def _unseen(stage: Stage) -> tuple[list[str], int]:
    """Return the signals with a limit that the log does not hold, and how many have one."""
    names = {name: None for alarm in stage.profile.alarm.values() for name in alarm.signals}
    return [name for name in names if not stage.has_valid(name)], len(names)
