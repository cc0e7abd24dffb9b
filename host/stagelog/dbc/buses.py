"""One database for each bus: `can0=a.dbc`, `can1=b.dbc`, and the database that they are together.

Owns how --dbc is read. A message belongs to the bus of its file; where two files name a message
the same, each gets its bus behind its name, as in Engine@bus1. Raises UsageError for words that
contradict each other, InputError as load_database does.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stagelog.dbc.loader import load_database
from stagelog.dbc.model import Database
from stagelog.errors import UsageError

_BUS = re.compile(r"(?:can|bus)?(\d{1,3})=(.+)")


def paths_by_bus(words: Sequence[str]) -> dict[int | None, str]:
    """Return {bus, or None for all: path} of the words that --dbc got: FILE, or BUS=FILE each."""
    found = [_BUS.fullmatch(word) for word in words]
    if not any(found):
        if len(words) > 1:
            raise UsageError("several DBCs", "say for which bus each is: can0=a.dbc can1=b.dbc")
        return {None: words[0]}
    pairs = [(int(match[1]), match[2]) for match in found if match]
    if len(pairs) < len(words) or len(dict(pairs)) < len(pairs):
        raise UsageError("DBCs with and without a bus, or a bus twice", "give each bus one DBC")
    return dict(pairs)


def load_databases(words: Sequence[str]) -> Database:
    """Load what --dbc got: one Database, of one file or of a file for each bus."""
    by_bus = {bus: load_database(path) for bus, path in paths_by_bus(words).items()}
    if None in by_bus:
        return by_bus[None]
    return merge({bus: database for bus, database in by_bus.items() if bus is not None})


def merge(by_bus: Mapping[int, Database]) -> Database:
    """Return one Database of which each message belongs to the bus of its file."""
    count = Counter(m.name for database in by_bus.values() for m in database.messages)
    messages = tuple(
        replace(
            message,
            name=message.name if count[message.name] == 1 else f"{message.name}@bus{bus}",
            bus=bus,
        )
        for bus, database in by_bus.items()
        for message in database.messages
    )
    whole = ",".join(f"{bus}={database.sha256}" for bus, database in by_bus.items())
    first = next(iter(by_bus.values()))
    return Database(
        Path(",".join(f"can{bus}={database.path}" for bus, database in by_bus.items())),
        first.kind,
        hashlib.sha256(whole.encode()).hexdigest(),
        first.encoding,
        messages,
        tuple(
            replace(defect, what=f"{database.path.name}: {defect.what}")
            for database in by_bus.values()
            for defect in database.defects
        ),
        parts=tuple((bus, database.path) for bus, database in by_bus.items()),
    )
