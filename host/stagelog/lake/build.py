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
    """A session to decode, and what --dbc takes to load the database for it."""

    entry: Entry
    words: tuple[str, ...]
    database_sha256: str


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
        database, plan = _load(job.words, job.database_sha256)
    except InputError as error:
        return Outcome(0, str(error))
    return _decode(job.entry, database, plan)


def _here(jobs: Iterable[tuple[Entry, "Database"]]) -> Iterator[tuple[Job, Outcome]]:
    from stagelog.decode import compile_plan

    plans: dict[str, Plan] = {}
    for entry, database in jobs:
        if database.sha256 not in plans:
            plans[database.sha256] = compile_plan(database)
        yield _job(entry, database), _decode(entry, database, plans[database.sha256])


def _decode(entry: Entry, database: "Database", plan: "Plan") -> Outcome:
    try:
        return Outcome(decode_session(entry, plan, database))
    except InputError as error:
        return Outcome(0, str(error))
    except OutputError as error:
        return Outcome(0, str(error), True)


@lru_cache(maxsize=4)
def _load(words: tuple[str, ...], sha256: str) -> tuple["Database", "Plan"]:
    from stagelog.dbc import load_databases
    from stagelog.decode import compile_plan

    database = load_databases(words)
    if database.sha256 != sha256:
        raise InputError(f"{', '.join(words)} was changed meanwhile", "repeat the command")
    return database, compile_plan(database)


def _job(entry: Entry, database: "Database") -> Job:
    return Job(entry, tuple(database.words), database.sha256)


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


def known_databases(root: str | Path) -> dict[str, list[str]]:
    """Return {car: words of --dbc} that the decoded sessions below `root` were decoded with, the
    newest of each car; "" is the car of sessions that lie in no folder of one.
    """
    found: dict[str, tuple[float, list[str]]] = {}
    for entry in counted(find_sessions(root)):
        first = first_file(folder_of(entry))
        if first is None:
            continue
        words, written_s = facts_of(first)[1].get("dbc"), first.stat().st_mtime
        if words and written_s >= found.get(car_of(entry), (0.0, []))[0]:
            found[car_of(entry)] = written_s, words
    return {car: words for car, (_, words) in found.items()}


def undecoded_cars(root: str | Path) -> set[str]:
    """Return the cars below `root` that have sessions which were never decoded."""
    entries = counted(find_sessions(root))
    return {car_of(entry) for entry in entries if not folder_of(entry).is_dir()}


def cars_of(root: str | Path) -> set[str]:
    """Return the cars of the sessions below `root`."""
    return {car_of(entry) for entry in counted(find_sessions(root))}
