"""Which sessions of an archive are to be decoded, and with what; the decoding, in this process or
by workers.

One build at a time has an archive. Fails with OutputError (a disk that cannot be written, another
build at work), InputError (a Parquet file that is not ours).
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from stagelog.archive import Entry, counted, find_sessions
from stagelog.errors import InputError, OutputError
from stagelog.export.files import writing
from stagelog.lake.tables import (
    car_of,
    decode_session,
    facts_of,
    first_file,
    folder_of,
    is_fresh,
    remove_leftovers,
)
from stagelog.platform.files import lock_file

if TYPE_CHECKING:
    from stagelog.dbc import Database
    from stagelog.decode import Plan

_LOCK = ".lake.lock"


class Job(NamedTuple):
    """A session to decode, what --dbc takes to load the database for it, and --j1939."""

    entry: Entry
    words: tuple[str, ...]
    database_sha256: str
    j1939: bool | None


class Outcome(NamedTuple):
    """What became of a job. is_fatal: the disk cannot be written, so no other can end well."""

    n_messages: int
    problem: str | None = None
    is_fatal: bool = False


class Decoded(NamedTuple):
    """A session that was decoded into n_messages files, or the reason why it was not."""

    entry: Entry
    n_messages: int
    problem: str | None


Workers: TypeAlias = Callable[[Sequence[Job]], Iterator[tuple[Job, Outcome]]]


def build(
    root: str | Path, jobs: Iterable[tuple[Entry, "Database"]], workers: Workers | None = None
) -> Iterator[Decoded]:
    """Decode sessions of the archive below `root`; yield a Decoded of each as it comes.

    jobs     of stale_sessions
    workers  decodes a list of Job elsewhere (stagelog.lake.workers); None: in this process
    """
    wanted = list(jobs)
    if not wanted:
        return
    with _alone(Path(root)):
        remove_leftovers({entry.folder for entry, _ in wanted})
        done = _here(wanted) if workers is None else workers([_job(*one) for one in wanted])
        for job, (n_messages, problem, is_fatal) in done:
            if is_fatal:
                raise OutputError(problem or "")
            yield Decoded(job.entry, n_messages, problem)


def stale_sessions(
    root: str | Path,
    database: "Database",
    cars: Sequence[str] | None = None,
    force: bool = False,
) -> Iterator[tuple[Entry, "Database"]]:
    """Yield (Entry, database) of the sessions below `root` whose decoded files are not what log,
    database and code make now.

    cars   only those of these cars, by the names of their folders; None for all
    force  all of them
    """
    for entry in counted(find_sessions(root)):
        if cars is not None and car_of(entry) not in cars:
            continue
        if force or not is_fresh(entry, database):
            yield entry, database


def decode_archive(
    root: str | Path, database: "Database", force: bool = False, cars: Sequence[str] | None = None
) -> Iterator[Decoded]:
    """Decode in this process what stale_sessions finds."""
    yield from build(root, stale_sessions(root, database, cars, force))


def work(job: Job) -> Outcome:
    """Do a job in a worker's process."""
    try:
        database, plan = _load(job.words, job.database_sha256, job.j1939)
    except InputError as error:
        return Outcome(0, str(error))
    return _decode(job.entry, database, plan)


def _here(jobs: Iterable[tuple[Entry, "Database"]]) -> Iterator[tuple[Job, Outcome]]:
    from stagelog.decode import compile_plan

    plans: dict[tuple[str, bool | None], Plan] = {}
    for entry, database in jobs:
        key = database.sha256, database.j1939
        if key not in plans:
            plans[key] = compile_plan(database)
        yield _job(entry, database), _decode(entry, database, plans[key])


def _decode(entry: Entry, database: "Database", plan: "Plan") -> Outcome:
    try:
        return Outcome(decode_session(entry, plan, database))
    except InputError as error:
        return Outcome(0, str(error))
    except OutputError as error:
        return Outcome(0, str(error), True)


@lru_cache(maxsize=4)
def _load(words: tuple[str, ...], sha256: str, j1939: bool | None) -> tuple["Database", "Plan"]:
    from stagelog.dbc import load_databases
    from stagelog.decode import compile_plan
    from stagelog.decode.protocol import as_said

    database = load_databases(words)
    if database.sha256 != sha256:
        raise InputError(f"{', '.join(words)} was changed meanwhile", "repeat the command")
    database = as_said(database, j1939)
    return database, compile_plan(database)


def _job(entry: Entry, database: "Database") -> Job:
    return Job(entry, tuple(database.words), database.sha256, database.j1939)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keep other builds away from an archive."""
    path = root / _LOCK
    with writing(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not lock_file(handle):
            raise OutputError(
                f"another stagelog is decoding in {root}", "wait until it has ended, then repeat"
            )
        yield
    finally:
        os.close(handle)


class Known(NamedTuple):
    """What the sessions of a car were decoded with: words of --dbc, and what --j1939 said."""

    words: list[str]
    j1939: bool | None


def known_databases(root: str | Path) -> dict[str, Known]:
    """Return {car: Known} of the decoded sessions below `root`, the newest of each car; "" is the
    car of sessions that lie in no folder of one.
    """
    found: dict[str, tuple[float, Known]] = {}
    for entry in counted(find_sessions(root)):
        first = first_file(folder_of(entry))
        if first is None:
            continue
        facts, written_s = facts_of(first)[1], first.stat().st_mtime
        words, newest = facts.get("dbc"), found.get(car_of(entry))
        if words and (newest is None or written_s >= newest[0]):
            found[car_of(entry)] = written_s, Known(words, facts.get("j1939"))
    return {car: known for car, (_, known) in found.items()}


def undecoded_cars(root: str | Path) -> set[str]:
    """Return the cars below `root` that have sessions which were never decoded."""
    entries = counted(find_sessions(root))
    return {car_of(entry) for entry in entries if not folder_of(entry).is_dir()}


def cars_of(root: str | Path) -> set[str]:
    """Return the cars of the sessions below `root`."""
    return {car_of(entry) for entry in counted(find_sessions(root))}
