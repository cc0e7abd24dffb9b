"""Rules of a car profile that mark a log, [mark.NAME]: a level, a change, a message, an event.

The host evaluates them, over the frames and events of a log or of a part of it, at each report and
each `--around`: the log itself stays as the car recorded it. A mark of a rule has the same facts
as one by the button or by a host, `state` "rule" and the name of the rule as its text.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from stagelog.blocks import Session
from stagelog.dbc.model import Database
from stagelog.decode import compile_plan, decode
from stagelog.events.reading import Facts
from stagelog.profile.limits import Mark

_SILENT_US = 1_000_000
_WORDS = ("name", "state", "alarm", "signal", "text")  # by which an event is called
Times = NDArray[np.int64]


def is_called(event: Facts, name: str) -> bool:
    """Return whether an event's name, state, alarm, signal or text is `name`."""
    words = (event.get(key) for key in _WORDS)
    return event["name"] != "summary" and name.lower() in (str(word).lower() for word in words)


def level_times(rule: Mark, t_us: Times, values: NDArray[np.float64], cut: bool = False) -> Times:
    """Return when a signal had been beyond the level of a rule for its time, each time anew.

    cut  the samples are a later part of a log: a level that is exceeded from the first sample on
         may have begun before
    """
    level = rule.above
    if level is None:
        level, values = -(rule.below or 0.0), -values
    beyond, back = values > level, values <= level - rule.clear
    known = np.flatnonzero(beyond | back)  # between the two it stays what it was
    state = beyond[known]
    begins = state & ~np.concatenate(([cut], state[:-1]))
    starts, backs = known[begins], known[~state]
    after = np.searchsorted(backs, starts)
    ends = np.append(t_us[backs], t_us[-1:])[after]
    hold_us = round(rule.for_s * 1e6)
    return t_us[starts][ends - t_us[starts] >= hold_us] + hold_us


def change_times(t_us: Times, values: NDArray[np.float64]) -> Times:
    """Return when a signal had another value than before."""
    return t_us[1:][np.diff(values) != 0]


def seen_times(t_us: Times, cut: bool = False) -> Times:
    """Return when a message came that had been silent for a second; `cut` as in level_times."""
    is_new = np.diff(t_us, prepend=t_us[:1] if cut else t_us[:1] - 2 * _SILENT_US) > _SILENT_US
    return t_us[is_new]


def find_rule_marks(
    rules: Mapping[str, Mark],
    series: Callable[[str], tuple[Times, NDArray[np.float64]] | None],
    message_times: Callable[[str], Times | None],
    events: Iterable[Facts],
    cut: bool = False,
) -> list[Facts]:
    """Return the marks that rules set, as facts like those of read_events, in order of time.

    series         (t_us, values) of a signal, None where it is absent
    message_times  t_us of a message, None where it is absent
    events         facts of the events of the log
    cut            as in level_times
    """
    events = list(events)
    found = []
    for name, rule in rules.items():
        times: Iterable[int] = ()
        if rule.event:
            times = [event["t_us"] for event in events if is_called(event, rule.event)]
        elif rule.message:
            seen = message_times(rule.message)
            times = () if seen is None or not len(seen) else seen_times(seen, cut).tolist()
        elif (samples := series(rule.signal)) is not None and len(samples[0]):
            is_level = not rule.changes
            hits = level_times(rule, *samples, cut) if is_level else change_times(*samples)
            times = hits.tolist()
        mark = {"name": "mark", "state": "rule", "number": 0, "text": name}
        found += [{"t_us": t_us, **mark} for t_us in times]
    return sorted(found, key=lambda mark: mark["t_us"])


class SessionRules:
    """The rules of a profile over blocks of a logger, before they are downloaded."""

    def __init__(self, rules: Mapping[str, Mark], database: Database) -> None:
        self.rules = rules
        self._plan = compile_plan(database)

    def marks_in(self, part: Session, events: Iterable[Facts], cut: bool) -> list[Facts]:
        """Return the marks in a part of a session; `cut`: it is not the beginning."""
        if not self.rules:
            return []
        decoded = decode(part.read_frames(), self._plan, "phys")

        def series(name: str) -> tuple[Times, NDArray[np.float64]] | None:
            try:
                return decoded.series(name)
            except KeyError:
                return None

        def message_times(name: str) -> Times | None:
            return decoded.messages[name].t_us if name in decoded.messages else None

        return find_rule_marks(self.rules, series, message_times, events, cut)
