"""Which limits a signal exceeded, in words: one signal has several, a mechanic needs the worst."""

from collections.abc import Sequence

from stagelog.report.event_tables import limit_text
from stagelog.report.events import Episode
from stagelog.report.stage import Stage

_ON_THE_VALUE = ("above", "below")


def main_limit(stage: Stage, same: Sequence[Episode]) -> tuple[Episode, int, str]:
    """Return the worst of one signal's alarms, how often its limit was exceeded, and that limit.

    Of two limits of one level that on the value counts more than one on its rise.
    """

    def rank(alarm: Episode) -> tuple[bool, bool]:
        limits = stage.profile.alarm.get(alarm.key)
        return alarm.level != "bad", limits is None or limits.kind not in _ON_THE_VALUE

    worst = min(same, key=rank)
    n = sum(alarm.key == worst.key for alarm in same)
    return worst, n, _text(stage, worst)


def other_limits(stage: Stage, same: Sequence[Episode]) -> list[str]:
    """Return the other limits that a signal exceeded, each once."""
    worst, _, text = main_limit(stage, same)
    rest = [_text(stage, alarm) for alarm in same if alarm.key != worst.key]
    return [one for one in dict.fromkeys(rest) if one != text]


def _text(stage: Stage, alarm: Episode) -> str:
    limits = stage.profile.alarm.get(alarm.key)
    return limit_text(limits, alarm.level) or f"of {alarm.key.replace('_', ' ')}"
