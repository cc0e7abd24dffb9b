"""A table of figures: ours, a peer's, the ratio, and what was wanted."""

import json
import os
from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Row:
    """One figure.

    `ratio` is ours over the peer's, or the peer's over ours where less is better.
    """

    what: str
    ours: float
    unit: str
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    wanted: str = ""
    note: str = ""


def print_rows(rows):
    """Print a table as rows come."""
    head = f"{'what':44} {'ours':>9} {'unit':14} {'peer':20} {'theirs':>8} {'ratio':>7}  wanted"
    print(head, flush=True)
    for row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs:8.3f}"
        ratio = "" if row.ratio is None else f"{row.ratio:6.1f}x"
        line = f"{row.what:44} {row.ours:9.3f} {row.unit:14} {row.peer:20} {theirs:>8} {ratio:>7}"
        print(f"{line}  {row.wanted}" + (f"  ({row.note})" if row.note else ""), flush=True)
        yield row


def show_rows(rows, name, as_json):
    """Print rows as they come, or as JSON with the schema of `name`; return them as a list."""
    if as_json:
        found = list(rows)
        facts = {"schema": f"stagelog.bench.{name}/1", "rows": [asdict(row) for row in found]}
        print(json.dumps(facts))
        return found
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start\n")
    return list(print_rows(rows))
