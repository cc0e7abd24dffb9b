"""stagelog life: hours, km, landings and minutes over temperature of a car's parts."""

from __future__ import annotations

import difflib
import getpass
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from stagelog.cli._common import json_option, print_json, print_table
from stagelog.cli._dbc import dbc_option
from stagelog.cli._fleet import (
    archive_option,
    dbcs_of_logs,
    fleet_in_force,
    fleet_option,
    profiles_of_logs,
)
from stagelog.counts import count_text
from stagelog.errors import InputError, StagelogError, UsageError

if TYPE_CHECKING:
    from stagelog.archive import Entry
    from stagelog.report.car_life import Component, Driven, Replacement
    from stagelog.report.lives import StageLife


class _Left(NamedTuple):
    """What is not in the sums, and why."""

    event: str
    stage: str
    logger: str
    why: str


@click.command()
@click.argument("car")
@archive_option
@fleet_option(
    "--profile",
    lambda fleet, params: profiles_of_logs(fleet, {"logs": (f"car={params.get('car')}",)}),
    dest="profiles",
    multiple=True,
    help="Car profile, as 'stagelog report' takes it.",
)
@dbc_option(
    "Database.  [default: the profile's]",
    lambda fleet, params: dbcs_of_logs(fleet, {"logs": (f"car={params.get('car')}",)}),
)
@click.option("--replaced", metavar="PART", help="Record that this part was replaced.")
@click.option(
    "--at",
    metavar="STAGE|DATE",
    help="With --replaced: the new part's first stage, or a time in UTC as 2026-01-15T18:30.  "
    "[default: now]",
)
@click.option("--note", default="", help="With --replaced: a remark.")
@click.option("--undo", is_flag=True, help="With --replaced: take that record back.")
@click.option("--again", is_flag=True, help="Read all sessions again.")
@json_option
def command(
    car: str,
    archive: str,
    profiles: tuple[str, ...],
    dbc: tuple[str, ...],
    replaced: str | None,
    at: str | None,
    note: str,
    undo: bool,
    again: bool,
    as_json: bool,
) -> None:
    """Show what each part of CAR went through over all its stages in the archive: hours, km,
    landings by severity, minutes over the limits of its temperatures.

    A part that was replaced counts from then on: --replaced gearbox --at SS05. The numbers of a
    stage are those of its report; what the report of a logger left in the archive is read, what
    is missing is made now. Two loggers that saw the same stage count once. Exit 1 if a stage could
    not be counted or if one of its logs is not complete.
    """
    from stagelog.report.car_life import (
        components,
        driven_stages,
        is_same,
        load_replaced,
        record,
    )

    if replaced is None and (at or note or undo):
        raise UsageError("--at, --note or --undo without --replaced", "name the part")
    if undo and not at:
        raise UsageError("--undo without --at", "say which record: its stage or its time")
    root, folder = Path(archive), _folder_of(car, archive)
    lives, left = _lives(root, folder, profiles, dbc, again)
    stages = driven_stages(lives)
    if replaced is not None:
        known = components(lives, stages, ())
        new = _replacement(folder, replaced, at, note, undo, known, stages)
        if undo and not any(is_same(one, new) for one in load_replaced(root, folder)):
            raise UsageError(
                f"{folder} has no record that {new.place} was replaced at {new.text}",
                "'stagelog life --json' lists them",
            )
        path = record(root, new)
        done = "taken back" if undo else "recorded"
        click.echo(f"{path}: {new.place} replaced at {new.text}, {done}", err=True)
    found = load_replaced(root, folder)
    parts = components(lives, stages, found)
    is_whole = not left and all(stage.complete for stage in stages)
    if as_json:
        facts = {
            "car": folder,
            "stages": [stage.as_dict() for stage in stages],
            "components": [part.as_dict() for part in parts],
            "replaced": [one._asdict() for one in map(_row_of, found)],
            "not_counted": [one._asdict() for one in left],
        }
        print_json("stagelog.life/1", facts)
    else:
        _print(folder, stages, parts)
        for one in left:
            click.echo(f"{one.event} {one.stage} {one.logger}: not counted: {one.why}", err=True)
    raise SystemExit(0 if is_whole else 1)


class _Row(NamedTuple):
    part: str
    at: str
    by: str
    note: str
    is_undone: bool


def _row_of(one: Replacement) -> _Row:
    return _Row(one.place, one.text, one.by, one.note, one.is_undone)


def _folder_of(car: str, archive: str) -> str:
    """Return the name of a car's folder; UsageError if the archive has no session of it."""
    from stagelog.archive import hive_value
    from stagelog.lake import cars_of

    if not Path(archive).is_dir():
        raise InputError(f"{archive} is no folder", "name the archive")
    known = sorted(cars_of(archive) - {""})
    wanted = hive_value("car", car).lower()
    found = next((name for name in known if name.lower() == wanted), None)
    if found is None:
        listed = f"its cars are {', '.join(known)}" if known else "it holds no session of a car"
        raise UsageError(f"{archive} has no car {car}", listed)
    return found


def _lives(
    root: Path, car: str, profiles: tuple[str, ...], dbc: tuple[str, ...], again: bool
) -> tuple[list[StageLife], list[_Left]]:
    """Return what each stage took of a car's life, and what could not be counted."""
    from stagelog.report.history import place_of
    from stagelog.report.lives import load_life, made_with

    made = made_with(profiles, dbc)
    lives, left = [], []
    for entries in _groups(root, car):
        place = place_of(entries[0].folder)
        assert place is not None
        logger = entries[0].key[0]
        life = None if again else load_life(entries, made)
        try:
            life = life or _made(entries, profiles, dbc, made)
        except StagelogError as error:
            left.append(_Left(place.event, place.stage, logger, str(error)))
            continue
        if life is None:
            why = "its report has no life of parts: it needs a whole profile of the car"
            left.append(_Left(place.event, place.stage, logger, why))
        else:
            lives.append(life)
    return lives, left


def _groups(root: Path, car: str) -> Iterator[list[Entry]]:
    """Yield the sessions of each logger in each folder of a car, none that others hold more of."""
    from stagelog.archive import counted, find_sessions
    from stagelog.report.history import place_of
    from stagelog.report.lives import by_logger

    for entries in by_logger(counted(find_sessions(root))):
        place = place_of(entries[0].folder)
        if place is not None and Path(place.car).name == car:
            yield entries


def _made(
    entries: Sequence[Entry], profiles: tuple[str, ...], dbc: tuple[str, ...], made: str
) -> StageLife | None:
    """Make the report's facts of one logger's sessions; keep and return their StageLife."""
    from stagelog.cli.report import facts_of
    from stagelog.report.lives import keep_life

    log = str(entries[0].folder / entries[0].key[0])
    if sys.stderr.isatty():
        click.echo(f"reading {log}", err=True)
    facts = facts_of((log,), profiles, dbc)["facts"]
    return keep_life(facts, [entry.path for entry in entries], made)


def _replacement(
    car: str,
    part: str,
    at: str | None,
    note: str,
    undo: bool,
    known: Sequence[Component],
    stages: Sequence[Driven],
) -> Replacement:
    """Return the Replacement that the words of the command mean."""
    from stagelog.report.car_life import Replacement

    wanted = part.strip().lower().replace(" ", "_")
    names = {each.place: each.place for each in known}
    names |= {each.name.lower().replace(" ", "_"): each.place for each in known}
    place = names.get(wanted)
    if place is None:
        near = difflib.get_close_matches(wanted, names, 1)
        listed = ", ".join(each.place for each in known)
        hint = f"did you mean {names[near[0]]}?" if near else f"its parts are {listed}"
        raise UsageError(f"{car} has no part {part}", hint if known else "no stage was counted")
    by, now_us = getpass.getuser(), time.time_ns() // 1000
    if at is None:
        return Replacement(car, place, None, now_us, by, note, undo)
    at_us = _time_of(at)
    if at_us is not None:
        return Replacement(car, place, None, at_us, by, note, undo)
    return Replacement(car, place, _stage_of(car, at, stages), now_us, by, note, undo)


def _time_of(text: str) -> int | None:
    """Return UTC of a date or a time, None if the text is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp()) * 1_000_000


def _stage_of(car: str, text: str, stages: Sequence[Driven]) -> tuple[str, str]:
    """Return (event, stage) of a stage in the archive or in the fleet file."""
    from stagelog.archive import hive_value

    *events, name = text.replace(" ", "/").split("/")
    stage = hive_value("stage", name).lower()
    of = [hive_value("event", event).lower() for event in events]
    found = [
        (one.event, one.stage)
        for one in stages
        if one.stage.lower() == stage and (not of or one.event.lower() in of)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join("/".join(each) for each in found)
        raise UsageError(f"{car} drove several stages {name}", f"name one of {listed}")
    fleet = fleet_in_force()
    coming = fleet.find_stage(name) if fleet is not None else None
    if fleet is not None and coming is not None:
        return hive_value("event", fleet.event.name), hive_value("stage", coming.name)
    listed = ", ".join(one.stage for one in stages) or "none"
    raise UsageError(
        f"{text} is no time, and neither the archive nor the fleet file has such a stage",
        f"{car} drove {listed}; a time is written 2026-01-15T18:30",
    )


def _print(car: str, stages: Sequence[Driven], parts: Sequence[Component]) -> None:
    if not stages:
        click.echo(f"{car}: no stage is counted")
        return
    first, last = stages[0], stages[-1]
    span = f"{first.event} {first.stage}"
    span += f" to {last.event} {last.stage}" if len(stages) > 1 else ""
    click.echo(f"{car}: {count_text(len(stages), 'stage')}, {span}")
    for stage in stages:
        if not stage.complete:
            text = "a log is not complete: what it lacks is not counted"
            click.echo(f"{stage.event} {stage.stage}: {text}", err=True)
    header = ["part", "since", "stages", "engine h", "km", *"light medium hard severe".split()]
    header += ["too warm min", "critical min"]
    rows = []
    for part in parts:
        values = part.as_dict()
        landings = values["landings"]
        rows.append(
            [
                part.name,
                values["replaced"] or "new",
                values["n_stages"],
                f"{values['engine_h']:.2f}",
                f"{values['driven_km']:.1f}",
                *(landings[severity] for severity in ("light", "medium", "hard", "severe")),
                f"{values['over_warning_min']:.1f}",
                f"{values['over_critical_min']:.1f}",
            ]
        )
    print_table(rows, header)
    for part in parts:
        if part.replaced is not None and part.replaced.note:
            click.echo(f"{part.name}, replaced {part.replaced.text}: {part.replaced.note}")
