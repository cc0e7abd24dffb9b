"""stagelog sync: download, verify, report, then erase what the archive proves to hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import confirm, json_option
from stagelog.cli._fleet import archive_options
from stagelog.cli._park import finish, many_options, run_many, unlock

if TYPE_CHECKING:
    from stagelog.archive import Entry
    from stagelog.park.unit import Unit


@click.command()
@archive_options
@many_options
@click.option(
    "--stop/--no-stop",
    default=None,
    help="Close the running sessions first.  [default: where the buses are silent]",
)
@click.option("--keep", is_flag=True, help="Erase nothing.")
@click.option("--no-report", "no_report", is_flag=True, help="Make no reports.")
@click.option("--yes", is_flag=True, help="Do not ask before sessions are erased.")
@json_option
def command(
    archive: str,
    event: str,
    stage: str,
    only: tuple[str, ...],
    wait_s: float,
    stop: bool | None,
    keep: bool,
    no_report: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring the sessions of all loggers into the archive, verify them, report on each logger,
    then erase from the cards what the archive proves to hold.

    All loggers at once; one that fails does not stop another, and a cable that is pulled and put
    back continues. Repeat it at any time: what is there is not fetched again. Exit 1 if a logger
    of the fleet was not found, if its sessions are not complete, or if a report could not be
    written.
    """
    from stagelog.park.summary import Summarise
    from stagelog.park.unit import Unit
    from stagelog.park.works import Download, Erase

    if not keep:
        confirm("Erase from all cards what the archive proves to hold?", yes)
    unlock()
    works = {}

    def download(unit: Unit, _: object) -> Download:
        works[unit.device_id] = Download(
            unit, Path(archive), event, stage, stop, summary=Summarise(unit).text
        )
        return works[unit.device_id]

    units = run_many("download", download, only, wait_s, as_json, archive=archive)
    code = finish(units, as_json)
    if not no_report:
        entries = [one.entry for work in works.values() for one in work.fetched.values()]
        code = max([code, *_reports(entries, units, as_json)])
    fetched = [unit for unit in units if unit.outcome and "n_sessions" in unit.outcome.facts]
    if not keep and fetched:
        again = [Unit(unit.device_id, unit.car, unit.place) for unit in fetched]
        erased = run_many(
            "erase",
            lambda unit, _: Erase(unit, Path(archive)),
            (),
            wait_s,
            as_json,
            again,
            archive=archive,
        )
        mine = [unit for unit in erased if unit in again]
        code = max(code, finish(mine, as_json, "stagelog.park.erase/1"))
    raise SystemExit(code)


def _reports(entries: list[Entry], units: list[Unit], as_json: bool) -> Iterator[int]:
    """Write a report of each logger beside its sessions, two at a time, each in a process of its
    own; yield the exit codes, 1 for a report that was not written.
    """
    from stagelog.archive import load_manifest
    from stagelog.platform.names import safe_name

    names = {unit.device_id: unit.name for unit in units}
    jobs = []
    for folder, device_id in sorted({(entry.folder, entry.key[0]) for entry in entries}):
        is_alone = {entry.key[0] for entry in load_manifest(folder)} == {device_id}
        name = "" if is_alone else f"-{safe_name(names.get(device_id, device_id))}"
        jobs.append((folder / device_id, folder / f"report{name}.html"))
    with ThreadPoolExecutor(2) as pool:
        for (_, page), done in zip(jobs, pool.map(_report, jobs), strict=True):
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
            if not as_json:
                text = lines[0] if lines else "no answer"
                click.echo(f"{page}: {text}", err=done.returncode > 1)
            yield min(done.returncode, 1)


def _report(job: tuple[Path, Path]) -> subprocess.CompletedProcess[str]:
    log, page = job
    words = ["report", str(log), "--out", str(page), "--force"]
    program = "import sys; from stagelog.cli import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, encoding="utf-8"
    )
