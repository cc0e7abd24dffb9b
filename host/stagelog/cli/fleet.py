"""stagelog fleet: make and check the fleet file, which remembers cars, loggers and stages."""

from pathlib import Path

import click

from stagelog.cli._common import Facts, json_option, print_json
from stagelog.counts import count_text


@click.group()
def command() -> None:
    """Make and check the fleet file: event, cars, loggers, stages."""


@command.command(short_help="Write a fleet file with the loggers that answer.")
@click.argument("path", type=click.Path(readable=False), default="fleet.toml")
@click.option("--event", default="EVENT26", show_default=True, help="Name of the event.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
def new(path: str, event: str, force: bool, as_json: bool) -> None:
    """Write a fleet file to PATH, with a [[logger]] for each logger that answers."""
    from stagelog.errors import OutputError
    from stagelog.park.fleet_new import text_of_new
    from stagelog.platform.files import write_atomic
    from stagelog.ports import find_loggers

    if Path(path).exists() and not force:
        raise OutputError(f"{path} exists", "choose another name, or --force to replace it")
    hellos = [found.hello for found in find_loggers() if found.hello is not None]
    write_atomic(Path(path), text_of_new(event, hellos).encode())
    if as_json:
        ids = [hello.device_id.hex() for hello in hellos]
        return print_json("stagelog.fleet.new/1", {"path": str(path), "loggers": ids})
    click.echo(
        f"{path}: {count_text(len(hellos), 'logger')}; edit it, then 'stagelog fleet check'"
    )
    return None


@command.command(short_help="Check a fleet file and the files that it names.")
@click.argument("path", type=click.Path(readable=False), required=False)
@json_option
def check(path: str | None, as_json: bool) -> None:
    """Check the fleet file PATH and the files that it names; each defect with its line.

    Without PATH the one in force: fleet.toml here or in the nearest folder above, or the file
    that STAGELOG_FLEET names. Exit 1 if it has a defect.
    """
    from stagelog.park.fleet import FleetError, check_files, need_fleet

    defects: list[Facts] = []
    facts: Facts = {}
    try:
        fleet = need_fleet(path)
        stage = fleet.stage_now()
        facts = {
            "path": fleet.path,
            "event": fleet.event.name,
            "stage": stage.name if stage else None,
            "n_cars": len(fleet.car),
            "n_loggers": len(fleet.logger),
            "n_stages": len(fleet.stage),
        }
        check_files(fleet)
    except FleetError as error:
        defects = [
            {"path": str(file), "line": line, "text": text} for file, line, text in error.defects
        ]
    if as_json:
        print_json("stagelog.fleet.check/1", {**facts, "defects": defects})
    else:
        for defect in sorted(defects, key=lambda defect: defect["line"]):
            click.echo(f"{defect['path']}:{defect['line']}: {defect['text']}")
        if not defects:
            click.echo(
                f"{facts['path']}: {facts['event']}, {count_text(facts['n_cars'], 'car')}, "
                f"{count_text(facts['n_loggers'], 'logger')}, "
                f"{count_text(facts['n_stages'], 'stage')}; "
                f"stage in hand: {facts['stage'] or 'none'}"
            )
    raise SystemExit(1 if defects else 0)
