"""What the fleet file remembers, so that it need not be typed: the defaults of options.

An option that is given counts; without a fleet file all works as if this module were not there.
Fails with FleetError, if a fleet file is there that cannot be used.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stagelog.cli._common import F
from stagelog.errors import InputError

if TYPE_CHECKING:
    from stagelog.park.fleet import Car, Fleet
    from stagelog.replies import Hello

UNSORTED = "unsorted"
_CAR_FOLDER = re.compile(r"car=(.+)")


def fleet_in_force() -> "Fleet | None":
    """Return the fleet of the file in force, or None; nothing is imported if there is none."""
    from stagelog.park.place import find_fleet

    path = find_fleet()
    if path is None:
        return None
    from stagelog.park.fleet import load_fleet

    return load_fleet(path)


def fleet_addresses() -> dict[str, str]:
    """Return {port: device_id} of the fleet's loggers with a radio, for `stagelog.addresses`; none
    of a fleet file that cannot be used: verbs that need it say so.
    """
    from stagelog.radio import url_of

    try:
        fleet = fleet_in_force()
    except InputError:
        return {}
    loggers = fleet.logger if fleet is not None else ()
    return {url_of(each.address): each.device_id for each in loggers if each.address}


class FleetOption(click.Option):
    """An option whose default is what `recall` (fleet, parameters so far) returns, if that is not
    None.
    """

    def __init__(
        self, *args: Any, recall: Callable[["Fleet", dict[str, Any]], Any], **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self._recall = recall

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        """Return what the fleet remembers, else the plain default."""
        fleet = fleet_in_force() if call and not ctx.resilient_parsing else None
        known = self._recall(fleet, ctx.params) if fleet is not None else None
        return super().get_default(ctx, call) if known is None else known


def fleet_option(
    name: str,
    recall: Callable[["Fleet", dict[str, Any]], Any],
    dest: str | None = None,
    **more: Any,
) -> Callable[[F], F]:
    """Return a click.option, its value in parameter `dest`, that the fleet file gives a default;
    see FleetOption.
    """
    names = (name,) if dest is None else (name, dest)
    return click.option(*names, cls=FleetOption, recall=recall, **more)


def stage_name(fleet: "Fleet", _: object = None) -> str | None:
    """Return the name of the stage in hand, or None."""
    stage = fleet.stage_now()
    return stage.name if stage is not None else None


def archive_options(function: F) -> F:
    """Add --archive, --event and --stage to a command, with what the fleet remembers."""
    for add in (
        fleet_option(
            "--stage", stage_name, default=UNSORTED, show_default=True, help="Folder stage=..."
        ),
        fleet_option(
            "--event",
            lambda fleet, _: fleet.event.name,
            default=UNSORTED,
            show_default=True,
            help="Folder event=...",
        ),
        archive_option,
    ):
        function = add(function)
    return function


def archive_option(function: F) -> F:
    """Add --archive to a command: that of the fleet, else the folder `archive`."""
    return fleet_option(
        "--archive",
        lambda fleet, _: str(fleet.archive_path),
        default="archive",
        show_default=True,
        type=click.Path(readable=False),
        help="The archive.",
    )(function)


def car_of_log(fleet: "Fleet", log: object) -> "Car | None":
    """Return the car of a log: by its folder in the archive, or by the logger that its file is
    named after; that of a fleet of one car in any case.
    """
    for part in Path(str(log)).absolute().parts:
        match = _CAR_FOLDER.fullmatch(part)
        car = fleet.find_car(match[1]) if match else None
        if car is not None:
            return car
    logger = fleet.find_logger(Path(str(log)).name.partition("-")[0])
    if logger is not None:
        return fleet.find_car(logger.car)
    return fleet.car[0] if len(fleet.car) == 1 else None


def dbcs_of_log(fleet: "Fleet", params: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the DBCs of the log that a command names as --dbc takes them, or None."""
    car = car_of_log(fleet, params.get("log"))
    return None if car is None else dbcs_of_car(fleet, car)


def dbcs_of_car(fleet: "Fleet", car: "Car") -> tuple[str, ...]:
    """Return the DBCs of a car as --dbc takes them: one for each bus, or one for all."""
    each = fleet.dbcs_of(car)
    if len(set(each.values())) > 1:
        return tuple(f"{bus}={path}" for bus, path in sorted(each.items()))
    return (str(fleet.dbc_of(car)),)


def dbcs_of_all(fleet: "Fleet", _: object = None) -> tuple[str, ...] | None:
    """Return the DBCs that all cars have as --dbc takes them, None if the cars differ."""
    each = {dbcs_of_car(fleet, car) for car in fleet.car}
    return each.pop() if len(each) == 1 else None


def profiles_of_logs(fleet: "Fleet", params: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the profile of each log that a command names, None if one is of no known car."""
    cars = [car_of_log(fleet, log) for log in params.get("logs") or ()]
    found = [fleet.profile_of(car) for car in cars if car is not None]
    return tuple(found) if found and len(found) == len(cars) else None


def dbcs_of_out(fleet: "Fleet", params: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the DBCs of a log that is converted, if the command asks for signals."""
    of_signals = (".csv", ".ld", ".mcap")
    wanted = str(params.get("out")).lower().endswith(of_signals) or params.get("kind") == "csv"
    return dbcs_of_log(fleet, params) if wanted or params.get("signals") else None


def dbcs_of_signals(fleet: "Fleet", params: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the DBCs that all cars have, if the command names signals."""
    return dbcs_of_all(fleet) if params.get("signals") else None


def dbcs_of_logs(fleet: "Fleet", params: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the DBCs that the fleet gives all cars of a command's logs; None: the profile's."""
    logs = params.get("logs") or ()
    each = {dbcs_of_log(fleet, {"log": log}) if _has_own(fleet, log) else None for log in logs}
    return each.pop() if len(each) == 1 else None


def _has_own(fleet: "Fleet", log: object) -> bool:
    car = car_of_log(fleet, log)
    return car is not None and bool(car.dbc)


def car_of_logger(hello: "Hello") -> str:
    """Return the name of a logger's folder car=...: its car in the fleet, in its own settings, or
    its id.
    """
    fleet = fleet_in_force()
    logger = None if fleet is None else fleet.find_logger(hello.device_id.hex())
    return (logger.car if logger is not None else hello.car_name) or hello.device_id.hex()


def place_of_card(
    event: str | None, car: str | None, stage: str | None
) -> tuple[str, str, Callable[[str], str]]:
    """Return event, stage and a function that gives the car of a device_id: as named, else as the
    fleet has them.
    """
    fleet = fleet_in_force()
    if fleet is not None:
        event, stage = event or fleet.event.name, stage or stage_name(fleet)

    def car_of(device_id: str) -> str:
        logger = None if fleet is None else fleet.find_logger(device_id)
        return car or (device_id if logger is None else logger.car)

    return event or UNSORTED, stage or UNSORTED, car_of
