"""Which DBC each car of an archive is decoded with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._fleet import dbcs_of_car, fleet_in_force

if TYPE_CHECKING:
    from stagelog.dbc import Database


def databases_of_cars(
    archive: str,
    dbc: tuple[str, ...],
    cars: tuple[str, ...],
    wanted: Collection[str] | None = None,
    j1939: bool | None = None,
) -> Iterator[tuple[Database, list[str]]]:
    """Yield (Database, cars that it is for).

    dbc     of --dbc, for all cars but those that were decoded with another and are not in `cars`;
            without it each car gets what the fleet file has for it, else what it was decoded with
            before, and a car for which nothing is known is left out
    cars    of --car
    wanted  only these cars, where --dbc is not given
    j1939   of --j1939; without it as each car was decoded before
    """
    from stagelog.dbc import load_databases
    from stagelog.decode.protocol import as_said
    from stagelog.lake import cars_of, known_databases

    known = known_databases(archive)
    kept: list[str] = []

    def said(car: str) -> bool | None:
        before = known[car].j1939 if car in known else None
        return before if j1939 is None or car in kept else j1939

    if dbc:
        database, chosen = load_databases(dbc), sorted(set(cars) or cars_of(archive))
        if not cars and len(chosen) > 1:
            kept += [car for car in chosen if car in known and known[car].words != database.words]
        for car in kept:
            text = f"car {car} stays decoded with {', '.join(known[car].words)}"
            click.echo(f"{text}: --car {car} decodes it with this DBC", err=True)
        for choice in (None, True, False):
            alike = [car for car in chosen if car not in kept and said(car) is choice]
            if alike:
                yield as_said(database, choice), alike
        wanted = kept
    fleet = None if dbc else fleet_in_force()
    for car in sorted(cars_of(archive) if wanted is None else wanted):
        words: Sequence[str] = known[car].words if car in known else ()
        if fleet is not None and (listed := fleet.find_car(car)) is not None:
            words = dbcs_of_car(fleet, listed)
        if words and all(map(_is_there, words)):
            yield as_said(load_databases(words), said(car)), [car]


def _is_there(word: str) -> bool:
    return Path(word.partition("=")[2] or word).is_file()
