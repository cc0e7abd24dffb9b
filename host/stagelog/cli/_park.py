"""What the verbs over many loggers share: their options, the fleet's units, the table, the end."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from stagelog.cli._common import F
from stagelog.cli._fleet import fleet_in_force
from stagelog.counts import count_text
from stagelog.errors import UsageError

if TYPE_CHECKING:
    from stagelog.park.fleet import Fleet
    from stagelog.park.publish import Published
    from stagelog.park.runs import Work
    from stagelog.park.unit import Unit
    from stagelog.replies import Hello

WAIT_S = 15.0


def all_options(function: F) -> F:
    """Add --all, --only and --wait-s to a command that otherwise takes one PORT."""
    function = many_options(function)
    return click.option("--all", "all_", is_flag=True, help="All loggers of the fleet.")(function)


def many_options(function: F) -> F:
    """Add --only and --wait-s to a command."""
    for add in (
        click.option(
            "--wait-s",
            type=click.FloatRange(0),
            default=WAIT_S,
            show_default=True,
            help="How long to wait for a logger that is missing or was unplugged.",
        ),
        click.option(
            "--only",
            multiple=True,
            metavar="NAME",
            help="Only this car, place or device id; may be repeated.",
        ),
    ):
        function = add(function)
    return function


def refuse_port(
    port: str | None, all_: bool, only: tuple[str, ...], all_by_default: bool = False
) -> None:
    """Raise UsageError for a PORT with --all or --only, and for --only without --all where all
    are not the default.
    """
    if port is not None and (all_ or (only and all_by_default)):
        given = "--all" if all_ else "--only"
        raise UsageError(f"a port with {given}", "leave one of them out")
    if only and not all_ and not all_by_default:
        raise UsageError("--only without --all", "add --all")


def unlock() -> None:
    """Ask for the passphrase of this computer's key, if it has one, before rows are drawn."""
    from stagelog.proof import own_key

    own_key()


def expected_units(fleet: "Fleet | None", only: tuple[str, ...] = ()) -> "list[Unit]":
    """Return a Unit for each logger of the fleet, or for those that `only` names."""
    from stagelog.park.unit import Unit

    if fleet is None:
        if only:
            raise UsageError("--only without a fleet file", "make one: 'stagelog fleet new'")
        return []
    chosen = []
    for name in only:
        named = [
            logger
            for logger in fleet.logger
            if name.lower() in (logger.car.lower(), logger.place.lower(), logger.device_id)
        ]
        if not named:
            raise UsageError(f"no logger, car or place is called {name}", f"see {fleet.path}")
        chosen += named
    wanted = dict.fromkeys(chosen if only else fleet.logger)
    return [Unit(each.device_id, _folder_car(fleet, each.car), each.place) for each in wanted]


def _folder_car(fleet: "Fleet", name: str) -> str:
    car = fleet.find_car(name)
    return name if car is None else car.name


def run_many(
    title: str,
    make_work: "Callable[[Unit, Fleet | None], Work]",
    only: tuple[str, ...] = (),
    wait_s: float = WAIT_S,
    as_json: bool = False,
    units: "list[Unit] | None" = None,
    identify: Callable[[str], str | None] = lambda port: None,
    archive: str | None = None,
) -> "list[Unit]":
    """Do a work on all loggers of the fleet, or on all that answer if there is no fleet file; draw
    a table on a terminal, print lines elsewhere, or JSON events; return the units.

    archive  where `stagelog serve` reads what the run is doing; None: it does not
    """
    from stagelog.park.runs import Run

    fleet = fleet_in_force()
    expected = expected_units(fleet, only) if units is None else units
    with shown(title, as_json, archive) as show:
        run = Run(
            expected,
            lambda device_id, hello: adopted(fleet, device_id, hello, bool(only)),
            lambda unit: make_work(unit, fleet),
            show=show,
            wait_s=wait_s,
            identify=identify,
        )
        return run.run()


def run_one(
    title: str,
    port: str,
    make_work: "Callable[[Unit, Fleet | None], Work]",
    as_json: bool,
    archive: str,
) -> "list[Unit]":
    """Do a work on the logger of one port as run_many does; DeviceError if none answers there."""
    from stagelog.listen import LiveLink
    from stagelog.ports import open_stream, port_of

    fleet = fleet_in_force()
    port = port_of(port)
    link = LiveLink(open_stream(port), port)
    try:
        hello = link.hello()
        device_id = hello.device_id.hex()
        if fleet is not None and fleet.find_logger(device_id) is None:
            unit = adopted(fleet, device_id, hello)
            with shown(title, as_json) as show:
                show([unit])
            return [unit]
        unit = unit_on(port, fleet, hello)
        work = make_work(unit, fleet)
        with published(title, archive, unit, shown(title, as_json)):
            unit.end(work(link))
    finally:
        link.close()
    return [unit]


def unit_on(port: str, fleet: "Fleet | None", hello: "Hello") -> "Unit":
    """Return the Unit of the logger on a port, its car and place as the fleet file has them."""
    from stagelog.park.unit import Unit

    device_id = hello.device_id.hex()
    known = fleet.find_logger(device_id) if fleet is not None else None
    car = known.car if known else hello.car_name or device_id
    unit = Unit(device_id, car, known.place if known else "")
    unit.hello, unit.port = hello, port
    return unit


@contextlib.contextmanager
def published(title: str, archive: str, unit: "Unit", view: Any = None) -> "Iterator[Published]":
    """Leave what a verb on one port does where `stagelog serve` reads it; show its end in `view`
    (of `shown`), if one is given.
    """
    from stagelog.park.publish import Published

    run = Published(view or contextlib.nullcontext(lambda units: None), archive, title)
    with run as show:
        run.keep([unit])
        yield run
        show([unit])


def shown(title: str, as_json: bool, archive: str | None = None) -> Any:
    """Return what shows the units of a run: a context whose value takes them."""
    from stagelog.park.publish import Published
    from stagelog.park.table import JsonEvents, Lines, LiveTable

    if as_json:
        plain: Any = JsonEvents()
    else:
        plain = LiveTable(title) if sys.stderr.isatty() else Lines()
    return plain if archive is None else Published(plain, archive, title)


def adopted(
    fleet: "Fleet | None", device_id: str, hello: "Hello | None", is_chosen: bool = False
) -> "Unit":
    """Return the Unit of a logger that is not expected: without a fleet file all are welcome."""
    from stagelog.park.unit import WARN, Outcome, Unit

    own = "" if hello is None else hello.car_name
    unit = Unit(device_id, own or device_id)
    if fleet is None:
        return unit
    logger = fleet.find_logger(device_id)
    if logger is not None:
        unit = Unit(device_id, logger.car, logger.place)
        why = (
            "--only names others" if is_chosen else "nothing of it was downloaded"
        )  # sync's erase
        unit.end(Outcome(WARN, f"left out: {why}"))
        return unit
    text = "not in the fleet file: nothing is done with it; add it as a [[logger]]"
    if fleet.find_car(own) is not None:
        rest = [each.place or each.device_id for each in fleet.logger if each.car == own]
        text += f". It says that it is of car {own}, whose loggers are {', '.join(rest) or 'none'}"
    unit.end(Outcome(WARN, text))
    return unit


def finish(units: "list[Unit]", as_json: bool, schema: str = "stagelog.park/1") -> int:
    """Print how the units ended; return the exit code."""
    from stagelog.park.runs import counts_of, worst_of

    code = worst_of(units) if units else 1
    if as_json:
        rows = [
            {**unit.as_dict(), **(unit.outcome.facts if unit.outcome else {})} for unit in units
        ]
        facts = {"schema": schema, "t_unix_us": time.time_ns() // 1000, "loggers": rows}
        click.echo(json.dumps(facts, default=str))
        return code
    counts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts_of(units).items()))
    click.echo(f"{count_text(len(units), 'logger')}: {counts or 'none found'}")
    return code
