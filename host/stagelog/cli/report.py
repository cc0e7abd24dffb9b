"""stagelog report: what the car went through, as one page that opens offline."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from stagelog.cli._common import Facts, json_option, print_json, size_text
from stagelog.cli._dbc import dbc_option
from stagelog.cli._fleet import dbcs_of_logs, fleet_option, profiles_of_logs
from stagelog.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from stagelog.dbc import Database
    from stagelog.model import FrameTable
    from stagelog.profile.schema import Profile
    from stagelog.report.source import Source

WHOLE = "d7xr"  # the whole profile that ships
N_SAMPLED = 100_000  # frames of a log, to see which car it is of
_SAMPLED_BYTES = 1 << 21  # about 129,000 of our frames
MIN_MESSAGES = 5  # of the car's 35, which take turns many times a second


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(readable=False))
@fleet_option(
    "--profile",
    profiles_of_logs,
    dest="profiles",
    multiple=True,
    help="Car profile: name or .toml; one for all LOGS, or one for each.  "
    "[default: d7xr for a log of that car, else none]",
)
@dbc_option("Database.  [default: the profile's]", dbcs_of_logs)
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@click.option(
    "--out", "-o", default="report.html", show_default=True, type=click.Path(readable=False)
)
@click.option(
    "--refuel",
    "refuels_l",
    metavar="LITRES",
    multiple=True,
    type=click.FloatRange(0, 1000),
    help="Litres of a refuel by the bowser's meter; once for each refuel that the report shows, in"
    " order, 0 where the volume is not known.",
)
@click.option("--title", help="Heading.  [default: the folders of the archive]")
@click.option("--force", is_flag=True, help="Replace an existing page.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    logs: tuple[str, ...],
    profiles: tuple[str, ...],
    dbc: tuple[str, ...],
    buses: tuple[int, ...],
    refuels_l: tuple[float, ...],
    out: str,
    title: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the report of a stage: one HTML file. Several LOGS are cars, compared by distance.

    A LOG is a session file, a card or its image, a folder of the archive, or a log of another
    recorder (candump, ASC, BLF, TRC, MF4). With --json the same facts go to stdout; a page is
    written then only if --out is given. A message that comes on two buses, or from two J1939
    sources, is one signal there, with a warning; --bus takes one bus, also for the detectors,
    which watch the first that is named, else bus 0. Without a profile, or with a short one
    ('stagelog profile new'), the page shows health, traffic, channels and charts. Exit 1 if a log
    is not complete.
    """
    from stagelog.cli._logs import find_logs
    from stagelog.report.build import SCHEMA, plain_facts
    from stagelog.report.history import add_history
    from stagelog.report.lives import keep_life, made_with

    if len(profiles) not in (0, 1, len(logs)):
        raise UsageError(
            f"{len(profiles)} profiles for {len(logs)} logs", "give one --profile, or one for each"
        )
    page = Path(out)
    wants_page = not as_json or context.get_parameter_source("out") is ParameterSource.COMMANDLINE
    if wants_page and out == "-":
        raise UsageError("a page cannot go to standard output", "name a file, or use --json")
    if wants_page and os.path.exists(out) and not force:
        raise OutputError(f"{out} exists", "choose another name, or --force to replace it")
    kept = facts_of(logs, profiles, dbc, title, buses, refuels_l)
    facts = kept["facts"]
    for warning in kept["mixed"]:
        click.echo(f"warning: {warning}", err=True)
    add_history(facts, logs)
    if len(logs) == 1 and not buses:
        keep_life(facts, (path for path, _ in find_logs(logs[0])), made_with(profiles, dbc))
    size = _write_page(page, facts) if wants_page else 0
    if as_json:
        print_json(SCHEMA, plain_facts(facts))
    else:
        verdict = facts["verdict"]
        click.echo(f"{verdict['question']} {verdict['answer']}")
        click.echo(f"{out}  {size_text(size)}")
        click.echo(facts["log"]["text"])
    raise SystemExit(kept["exit_code"])


def facts_of(
    logs: tuple[str, ...],
    profiles: tuple[str, ...] = (),
    dbc: tuple[str, ...] = (),
    title: str | None = None,
    buses: tuple[int, ...] = (),
    refuels_l: tuple[float, ...] = (),
) -> Facts:
    """Return facts, warnings ("mixed") and exit code of the report on some logs, kept from before
    or made now.
    """
    is_plain = _is_plain(logs, profiles, dbc)
    if refuels_l and (is_plain or len(logs) > 1):
        why = "no fuel estimate without a whole profile" if is_plain else f"{len(logs)} LOGS"
        raise UsageError(f"--refuel, but {why}", "give it with one log of a car with a profile")
    if is_plain:
        return _plain_facts(logs, profiles, dbc, title, buses)
    profiles = profiles or (WHOLE,)
    each = profiles if len(profiles) == len(logs) else profiles * len(logs)
    note = f"From {', '.join(map(str, logs))} with profile {', '.join(profiles)}."
    refuels = tuple(round(100 * litres) for litres in refuels_l)
    return _facts(list(zip(logs, each, strict=True)), dbc, title, buses, note, refuels)


def _write_page(out: Path, facts: Facts) -> int:
    from stagelog.platform.files import write_atomic, writing
    from stagelog.report.html import render

    page = render(facts).encode()
    with writing(out):
        write_atomic(out, page)
    return len(page)


def _is_plain(logs: tuple[str, ...], profiles: tuple[str, ...], dbc: tuple[str, ...]) -> bool:
    """Return whether there is no whole profile for these logs: none that is named, none that
    their DBC or their frames fit to.
    """
    from stagelog.profile import ProfileError, load_profile
    from stagelog.profile.short import is_short

    if profiles:
        return any(is_short(profile) for profile in profiles)
    if dbc:
        from stagelog.dbc import load_databases

        try:
            load_profile(WHOLE, load_databases(dbc))
        except ProfileError:
            return True
        return False
    return not all(_is_of_the_car(log) for log in logs)


def _is_of_the_car(log: str) -> bool:
    """Return whether half of a log's first frames are messages of the car that ships, several
    of them, each as long as its DBC says.
    """
    import numpy as np

    from stagelog.cli._logs import find_logs
    from stagelog.dbc import load_database
    from stagelog.decode.lookup import Lookup
    from stagelog.profile import dbc_file, load_profile

    messages = load_database(dbc_file(load_profile(WHOLE))).messages
    lookup, n_seen, n_fitting, found = Lookup(messages), 0, 0, set()
    lengths = np.array([*(message.n_bytes for message in messages), *[-1] * 4])
    for frames in _first_frames(find_logs(log)[0][0]):
        n_seen += len(frames)
        codes = lookup.codes(frames, True)
        codes = codes[lengths[codes] == frames["n_bytes"]]
        n_fitting += len(codes)
        found.update(np.unique(codes).tolist())
        if n_seen > N_SAMPLED:
            break
    return 2 * n_fitting >= n_seen and (len(found) >= MIN_MESSAGES or not n_seen)


def _first_frames(path: Path) -> Iterator[FrameTable]:
    """Yield the frames of a log; of our own those of its first bytes, if they hold N_SAMPLED."""
    from stagelog.blocks import read_log
    from stagelog.importers import sniff, stream_frames

    if sniff(path) == "slog":
        with contextlib.suppress(InputError):
            log = read_log(path, most_bytes=_SAMPLED_BYTES)
            tables = [session.read_frames() for session in log.sessions]
            if sum(map(len, tables)) > N_SAMPLED:
                yield from tables
                return
    yield from stream_frames(path)


def _plain_facts(
    logs: tuple[str, ...],
    profiles: tuple[str, ...],
    dbc: tuple[str, ...],
    title: str | None,
    buses: tuple[int, ...],
) -> Facts:
    """Return what _facts does, of one log without a whole profile."""
    from stagelog.cli._dbc import as_protocol
    from stagelog.cli._logs import check_buses, find_logs
    from stagelog.dbc import load_databases
    from stagelog.importers import stream_frames
    from stagelog.profile.short import load_short_profile, no_profile, short_dbc_file
    from stagelog.propose.profile import propose_roles
    from stagelog.report import kept
    from stagelog.report.plain import no_database, plain_stage_facts, read_plain

    if len(logs) > 1:
        raise UsageError("several LOGS", "cars are compared with a whole profile only")
    [log] = logs
    paths = [path for path, _ in find_logs(log)]
    database = load_databases(dbc) if dbc else None
    profile = load_short_profile(profiles[0], database) if profiles else None
    if database is None:
        database = load_databases([str(short_dbc_file(profile))]) if profile else no_database()
    note = f"From {log} with {f'profile {profiles[0]}' if profiles else 'no profile'}."
    key = kept.key_of(paths, database.sha256, database.words, profile, title, buses, note)
    known = kept.load(key)
    if known is None:
        check_buses(log, buses, (frames for path in paths for frames in stream_frames(path)))
        database = as_protocol(
            database, None, lambda: (f for path in paths for f in stream_frames(path))
        )
        profile = profile or no_profile(propose_roles(database))
        source = read_plain(paths, profile, database, title or _title(log), buses)
        facts = plain_stage_facts(source, note)
        code = source.health.verdict.exit_code
        known = {"facts": facts, "mixed": list(source.health.mixed), "exit_code": code}
        kept.save(key, known)
    return known


def _facts(
    cars: list[tuple[str, str]],
    dbc: tuple[str, ...],
    title: str | None,
    buses: tuple[int, ...],
    note: str,
    refuels: tuple[int, ...],
) -> Facts:
    """Return facts, warnings and exit code of [(log, profile)], kept from before or made now."""
    from stagelog.cli._logs import find_logs
    from stagelog.dbc import load_databases
    from stagelog.profile import dbc_file, load_profile
    from stagelog.report import kept

    named = load_databases(dbc) if dbc else None
    profiles = [load_profile(profile, named) for _, profile in cars]
    databases = [named or load_databases([str(dbc_file(profile))]) for profile in profiles]
    paths = [[path for path, _ in find_logs(log)] for log, _ in cars]
    key = kept.key_of(
        [*(path for of_car in paths for path in of_car)],
        [(database.sha256, database.words) for database in databases],
        *(profiles, cars, [len(of_car) for of_car in paths], title, buses, note, refuels),
    )
    known = kept.load(key)
    if known is None:
        heading, names = _names([log for log, _ in cars], title)
        of_cars = zip(cars, names, paths, profiles, databases, strict=True)
        known = _make(
            [
                _read(log, own, profile, database, name, buses, refuels)
                for (log, _), name, own, profile, database in of_cars
            ],
            note,
            heading,
        )
        kept.save(key, known)
    return known


def _make(sources: list[Source], note: str, heading: str) -> Facts:
    from stagelog.report.build import compare_facts, stage_facts

    one = len(sources) == 1
    return {
        "facts": stage_facts(sources[0], note) if one else compare_facts(sources, note, heading),
        "mixed": [line for source in sources for line in source.health.mixed],
        "exit_code": max(source.health.verdict.exit_code for source in sources),
    }


def _read(
    log: str,
    paths: list[Path],
    profile: Profile,
    database: Database,
    name: str,
    buses: tuple[int, ...],
    refuels: tuple[int, ...],
) -> Source:
    """Return the Source of one car."""
    from stagelog.cli._logs import check_buses
    from stagelog.importers import stream_frames
    from stagelog.report.source import read_source

    check_buses(log, buses, (frames for path in paths for frames in stream_frames(path)))
    with _progress() as progress:
        return read_source(paths, profile, database, name, progress, buses, refuels)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float], None] | None]:
    """Yield a function that shows a share of 1 on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label="detectors", file=sys.stderr) as bar:
        yield lambda share: bar.update(int(1000 * share) - bar.pos)


def _names(logs: list[str], title: str | None) -> tuple[str, list[str]]:
    """Return a heading and a name for each log: of one both are `title` or its folders; of several
    the heading is `title` or the folders that are the same, and a name is what differs.
    """
    each = [_folders(log) for log in logs]
    if len(logs) == 1:
        name = title or _title(logs[0])
        return name, [name]
    same = {
        kind: word
        for kind, word in each[0].items()
        if all(kind in o and o[kind] == word for o in each)
    }
    names = [", ".join(w for kind, w in own.items() if kind not in same) for own in each]
    if len(set(names)) < len(names) or not all(names):
        same, names = {}, []
        for log in logs:
            name, n = _title(log), sum(_title(one) == _title(log) for one in logs[: len(names)])
            names.append(f"{name} ({n + 1})" if n else name)
    return title or ", ".join(same.values()), names


def _folders(log: str) -> dict[str, str]:
    """Return what the folders of the archive say of a log, the car first."""
    found = dict(part.split("=", 1) for part in Path(log).absolute().parts if part.count("=") == 1)
    return {kind: found[kind] for kind in ("car", "stage", "event") if kind in found}


def _title(log: str) -> str:
    """Return a heading from the folders of the archive: 'C03, SS01, DAKAR26'."""
    return ", ".join(_folders(log).values()) or Path(log).stem
