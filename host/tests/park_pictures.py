"""What tools/pictures draws of the park: real runs over simulated loggers in virtual time."""

import time

from rich.text import Text

from stagelog.park.check import Check
from stagelog.park.provision import Provision
from stagelog.park.runs import Run
from stagelog.park.signoff import CarCheck
from stagelog.park.summary import Summarise
from stagelog.park.table import rich_table
from stagelog.park.unit import Unit
from stagelog.park.wanted import Wanted
from stagelog.park.works import Download
from stagelog.resources import dbc_path
from stagelog.rig.target import tape_events
from stagelog.rig.virtual_park import VirtualPark, recorded

CARS = ("C01", "C01", "C01", "C02", "C02", "C02", "C03", "C03")
PLACES = ("powertrain", "chassis", "spare") * 3
COLOURS = {"GREEN": "bold green", "AMBER": "bold yellow", "RED": "bold red"}


def drive_tape(seconds):
    """Return the bus of the virtual car on a stage."""
    from stagelog.car import drive
    from stagelog.rig.play import play_on_bus

    frames = drive("stage", duration_s=seconds).frames
    return play_on_bus(frames, 500_000, int(frames["t_us"][0]))[0]


def draw_sync(folder, console):
    """Draw the table when a third is done and cables are out."""
    tape = drive_tape(25)
    targets = [
        recorded(
            folder / str(n), car, n + 1, tape[: len(tape) * (8 - n) // 8], signals=_table(folder)
        )
        for n, car in enumerate(CARS)
    ]
    cuts = [iter(()) for _ in CARS]
    cuts[1], cuts[5] = iter([250_000]), iter([180_000])
    park = VirtualPark(targets, cuts, n_away=10**9)
    units = [
        Unit(f"{n + 1:016x}", car, place)
        for n, (car, place) in enumerate(zip(CARS, PLACES, strict=False))
    ]
    kept = []

    def show(units):
        done = sum(unit.done for unit in units)
        total = sum(unit.total for unit in units if unit.unit == "B")
        if not kept and park.n_pulled == 2 and total and done > total / 3:
            kept.append(rich_table(units))
            park._n_away = 0
            park._away = [0] * len(targets)

    def work(unit):
        return Download(unit, folder / "archive", "E", "SS03", summary=Summarise(unit).text)

    Run(units, None, work, park, show).run()
    console.print(kept[0])
    for target in targets:
        target.close()


def draw_check(folder, console):
    """Draw the lights of a car as wanted and of one with another profile."""
    tape = drive_tape(15)
    wanted = _wanted(folder)
    checks = []
    for n, car in enumerate(("C01", "C02")):
        target = recorded(folder / str(n), car, n + 1, tape[:1000], card_blocks=1 << 14)
        unit = Unit(f"{n + 1:016x}", car, "powertrain")
        park = VirtualPark([target])
        archive = folder / "archive"
        works = [Download(unit, archive, "E", "SS03"), Check(unit, wanted(car), archive)]
        if car == "C01":
            works.insert(0, Provision(unit, wanted(car), archive, lambda s: None))
        link = park.open("port0")
        for work in works:
            if isinstance(work, Check):
                link.control(2, link.hello().boot)
                world = target.logger.world
                world.add_events(tape_events(tape, target.now_us))
                target.run_for(2_000_000)
                time.sleep(1.9)  # the clocks of the log and of this computer agree
            unit.hello = link.hello()
            done = work(link)
        unit.end(done)
        checks.append(CarCheck(car, [unit], {"the organiser's box has power": True}))
        target.close()
    console.print(Text("$ stagelog check --confirmed all --by Ann", "bold"))
    for check in checks:
        light = check.light.upper()
        console.print(Text.assemble(f"{check.car}  ", (light, COLOURS[light])))
        for finding in check.findings:
            console.print(Text(f"  {finding}"))


def _wanted(folder):
    content = _table(folder)
    table = open(content, "rb").read()
    dbc = {None: dbc_path() / "d7xr.dbc"}
    return lambda car: Wanted(car, None, table, None, dbc, hours=0.3, stage="SS03")


def _table(folder):
    from stagelog.config_items import signal_table

    path = folder / "signals.bin"
    if not path.exists():
        path.write_bytes(signal_table("d7xr"))
    return str(path)


PICTURES = (  # name, title, columns, what draws it
    ("park_sync", "stagelog sync", 150, draw_sync),
    ("park_check", "stagelog check", 112, draw_check),
)
