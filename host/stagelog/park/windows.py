"""A window of a session before all of it is fetched: the last minutes, or around an event.

What comes is a log of its own, the logger's blocks byte by byte, beside the archive: the session
itself is downloaded whole later. Fails with UsageError and as Link does.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from stagelog.errors import UsageError
from stagelog.link import Link
from stagelog.park.peek import (
    FIRST_BLOCKS,
    Window,
    fetch_blocks,
    last_time,
    read_part,
    window_of,
)
from stagelog.replies import ListedSession

_UNITS_us = {"s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6}
_STEP_BLOCKS = 256


class Found(NamedTuple):
    """An event in a session: its time since boot and its facts."""

    session: ListedSession
    t_us: int
    facts: dict[str, Any]


def span_us(text: str) -> int:
    """Return the microseconds of "30s", "5min", "1.5h"; UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", text.strip())
    if not match:
        raise UsageError(f"{text} is no span of time", "give one as in 30s, 5min or 1h")
    return int(float(match[1]) * _UNITS_us[match[2]])


def last_window(
    link: Link, sessions: Sequence[ListedSession], span: int
) -> tuple[ListedSession, Window]:
    """Return the newest session that has blocks, and the window of its last `span` us."""
    session = next((s for s in sessions if s.n_blocks), None)
    if session is None:
        raise UsageError("the card holds no session", "'stagelog status' shows it")
    end_us = last_time(link, session)
    first = window_of(link, session, end_us - span, end_us).first
    return session, Window(first, session.n_blocks)


def find_event(
    link: Link,
    sessions: Sequence[ListedSession],
    name: str,
    table: Any = None,
    rules: Any = None,
) -> Found:
    """Return the newest event whose name, state, alarm, signal or text is `name`, reading from
    the end of the newest session on; UsageError if no session has one.

    rules  events.rules.SessionRules: the marks that the rules of a profile set count, too
    """
    from stagelog.events import load_events, read_events
    from stagelog.events.rules import is_called

    for session in sessions:
        end = session.n_blocks
        while end > 0:
            first = max(0, end - _STEP_BLOCKS)
            part = read_part(link, session, [Window(first, end)])
            end = first
            events = read_events(load_events(part), table) if part else []
            if part and rules is not None:
                events += rules.marks_in(part, events, first > 0)
                events.sort(key=lambda event: event["t_us"])
            for facts in reversed(events):
                if is_called(facts, name):
                    return Found(session, int(facts["t_us"]), facts)
    raise UsageError(
        f"no session on the card has an event {name}",
        "names are those of 'stagelog info --events', as flight, landed, alarm, mark, the text of "
        "a mark, or the name of an alarm or of a rule [mark.NAME]",
    )


def fetch_window(link: Link, session: ListedSession, window: Window) -> bytes:
    """Return the first blocks of a session and those of a window, as a log."""
    head = range(min(FIRST_BLOCKS, window.first))
    return b"".join(fetch_blocks(link, session, [*head, *range(window.first, window.end)]))
