"""What verbs that decode share: the database as the user and the traffic mean it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from stagelog.cli._common import F
from stagelog.cli._fleet import fleet_option

if TYPE_CHECKING:
    from stagelog.dbc import Database
    from stagelog.model import FrameTable


def dbc_option(text: str, recall: Callable[..., Any], required: bool = False) -> Callable[[F], F]:
    """Return the option --dbc, once FILE or more than once BUS=FILE: see stagelog.dbc.buses.

    recall  what the fleet file gives for it, see _fleet
    """
    return fleet_option(
        "--dbc",
        recall,
        required=required,
        multiple=True,
        metavar="FILE|BUS=FILE",
        help=f"{text} One for each bus as can0=a.dbc, repeated.",
    )


def j1939_option(function: F) -> F:
    """Add --j1939 and --no-j1939 to a command, as the argument `j1939`: True, False or None."""
    return click.option(
        "--j1939/--no-j1939",
        "j1939",
        default=None,
        help="Take 29-bit identifiers as J1939 or NMEA 2000, or as they are.  "
        "[default: by DBC and traffic]",
    )(function)


def as_protocol(
    database: Database, j1939: bool | None, tables: Callable[[], Iterable[FrameTable]]
) -> Database:
    """Return a Database with J1939 as the user says, else as the traffic in frame tables does."""
    from stagelog.decode.protocol import as_j1939, find_protocol, may_be_j1939

    if j1939 is not None:
        return as_j1939(database, j1939)
    found = find_protocol(tables()) if may_be_j1939(database) else None
    if found is None:
        return database
    click.echo(
        f"the traffic is {found.name}: {database.path.name} is read so; --no-j1939 takes its "
        "identifiers as they are",
        err=True,
    )
    return as_j1939(database)


def incomplete_text(n_frames: int) -> str:
    """Return a line for people on frames of messages that never became whole."""
    what = "frame is part of a message" if n_frames == 1 else "frames are parts of messages"
    return f"{n_frames:,} {what} of which another part is missing"


def missing_rows(missing: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """Return counts of values that frames say are none as JSON types."""
    return [
        {"signal": name, **{kind.replace(" ", "_"): n for kind, n in counts.items()}}
        for name, counts in missing.items()
    ]


def missing_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return lines for people of missing_rows()."""
    lines = []
    for row in rows[:20]:
        counts = [f"{n:,} {kind.replace('_', ' ')}" for kind, n in row.items() if kind != "signal"]
        lines.append(f"{row['signal']} has no value: {', '.join(counts)}")
    if len(rows) > 20:
        lines.append(f"and {len(rows) - 20} more; --json lists all")
    return lines
