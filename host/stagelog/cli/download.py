"""stagelog download: fetch sessions into the archive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from stagelog.cli._common import (
    json_option,
    print_json,
    size_text,
    transfer_progress,
)
from stagelog.cli._fleet import archive_options, car_of_logger, fleet_in_force
from stagelog.cli._park import (
    all_options,
    finish,
    published,
    refuse_port,
    run_many,
    unit_on,
    unlock,
)
from stagelog.counts import count_text
from stagelog.errors import UsageError

if TYPE_CHECKING:
    from stagelog.download import Fetched
    from stagelog.events import SignalTable
    from stagelog.events.rules import SessionRules
    from stagelog.link import Link
    from stagelog.park.publish import Published
    from stagelog.park.unit import Unit

_MARGIN = "30s"


@click.command()
@click.argument("port", required=False)
@archive_options
@click.option("--car", help="Folder car=...  [default: the logger's car, or its id]")
@click.option("--boot", "boots", type=int, multiple=True, help="Only the sessions of this boot.")
@click.option(
    "--stop/--no-stop",
    default=None,
    help="Close the running session first.  [default: if its buses are silent]",
)
@click.option(
    "--again",
    is_flag=True,
    help="Check the SHA-256 of all files, and fetch damaged places of finished sessions again.",
)
@click.option("--last", metavar="SPAN", help="Only the last SPAN, as in 5min, into OUT.")
@click.option("--around", metavar="EVENT", help="Only around the newest EVENT, into OUT.")
@click.option(
    "--margin",
    help=f"Before and after the EVENT of --around.  [default: the rule's own, or {_MARGIN}]",
)
@click.option(
    "--out", "-o", type=click.Path(readable=False), help="Of --last and --around: .slog."
)
@all_options
@json_option
def command(
    port: str | None,
    archive: str,
    event: str,
    car: str | None,
    stage: str,
    boots: tuple[int, ...],
    stop: bool | None,
    again: bool,
    last: str | None,
    around: str | None,
    margin: str | None,
    out: str | None,
    all_: bool,
    only: tuple[str, ...],
    wait_s: float,
    as_json: bool,
) -> None:
    """Fetch the sessions on the logger at PORT, or --all, into the archive.

    Continues where it stopped. Every block is checked; a session's file gets its final name when
    it is complete, and stays in the folder where it was stored first. A file that was changed or
    cut off since is fetched again. Exit 1 if a session that was fetched is not complete.

    With --all, all loggers of the fleet file at once, or all that answer without one, the newest
    session first. A cable that is pulled and put back continues by itself.

    --last and --around fetch a window of the newest session only, as a log of its own beside the
    archive; the session itself comes whole with the next download.
    """
    refuse_port(port, all_, only)
    if last or around:
        if all_ or not out or (last and around):
            raise UsageError(
                "--last or --around without --out, or together", "choose one, with --out FILE"
            )
        return _fetch_window(port, last, around, margin, out, as_json)
    if out:
        raise UsageError("--out without --last or --around", "leave it out")
    unlock()
    if all_:
        if boots or car:
            raise UsageError("--boot or --car with --all", "leave it out")
        raise SystemExit(_download_all(archive, event, stage, stop, again, only, wait_s, as_json))
    from slog.layout import BLOCK_BYTES
    from slog.messages import CONTROL_START
    from stagelog.archive import stage_folder
    from stagelog.download import (
        HELD,
        choose_sessions,
        facts_of,
        fetch_if_missing,
        finish_running,
        is_held,
        set_clock,
    )
    from stagelog.line_rate import slow_text
    from stagelog.park.unit import BAD, GOOD, Outcome
    from stagelog.ports import open_link

    link = open_link(port)
    try:
        hello = link.hello()
        facts = facts_of(hello)
        folder = stage_folder(archive, event, car or car_of_logger(hello), stage)
        unit = unit_on(link.name, fleet_in_force(), hello)
        unit.car = car or unit.car
        fetched: list[Fetched] = []
        with published("download", archive, unit) as run:
            set_clock(link)
            stopped = None if stop is False else finish_running(link, always=bool(stop))
            try:
                chosen = choose_sessions(link.list_sessions(), boots)
                missing = [s.n_blocks for s in chosen if again or is_held(archive, s) is None]
                if text := slow_text(hello.board_name, sum(missing)):
                    click.echo(f"{link.name}: {text}", err=True)
                for session in reversed(chosen):
                    name = f"boot {session.boot}"
                    unit.begin(name, session.n_blocks * BLOCK_BYTES, "B")
                    with transfer_progress(name) as progress:
                        show = partial(_show, run, unit, progress)
                        got = fetch_if_missing(link, archive, session, folder, facts, show, again)
                    fetched.append(got)
            finally:
                if stopped is not None:
                    link.control(CONTROL_START, stopped)
            new = [one for one in fetched if one.verdict != HELD]
            whole = all(one.entry.values["complete"] or one.session.running for one in new)
            text = f"{count_text(len(fetched), 'session')}, {len(new)} new"
            text += "" if whole else "; not all are complete"
            unit.end(Outcome(GOOD if whole else BAD, text))
    finally:
        link.close()
    _print(fetched, as_json)
    raise SystemExit(0 if whole else 1)


def _show(
    run: Published, unit: Unit, progress: Callable[[int, int], None] | None, done: int, n: int
) -> None:
    """Show how far a session is: on the terminal and on the wall page."""
    from slog.layout import BLOCK_BYTES

    unit.advance(done * BLOCK_BYTES)
    run.keep([unit])
    if progress is not None:
        progress(done, n)


def _fetch_window(
    port: str | None,
    last: str | None,
    around: str | None,
    margin: str | None,
    out: str,
    as_json: bool,
) -> None:
    from stagelog.errors import OutputError
    from stagelog.park.peek import window_of
    from stagelog.park.windows import fetch_window, find_event, last_window, span_us
    from stagelog.platform.files import write_atomic
    from stagelog.ports import open_link

    if Path(out).exists():
        raise OutputError(f"{out} exists", "choose another name")
    span, found = span_us(last or margin or _MARGIN), None
    link = open_link(port)
    try:
        sessions = link.list_sessions()
        if last:
            session, window = last_window(link, sessions, span)
        else:
            known = _known(link)
            found = find_event(link, sessions, around or "", known.table, known.rules)
            before, after = span, span
            rule = known.rules.rules.get(found.facts.get("text", "")) if known.rules else None
            if rule is not None and margin is None:
                before, after = round(rule.before_s * 1e6), round(rule.after_s * 1e6)
            session = found.session
            window = window_of(link, session, found.t_us - before, found.t_us + after)
        content = fetch_window(link, session, window)
    finally:
        link.close()
    write_atomic(out, content)
    n_blocks = window.end - window.first
    facts = {"out": str(out), "n_blocks": n_blocks, "event": found.facts if found else None}
    if as_json:
        return print_json("stagelog.download.window/1", facts)
    if found:
        words = ", ".join(f"{name} {value}" for name, value in found.facts.items())
        click.echo(f"{words}")
    click.echo(f"{out}  {size_text(len(content))}  {n_blocks} of {session.n_blocks} blocks")
    return None


class _Known(NamedTuple):
    """What the fleet file knows of a logger: names for its events, and rules that mark its log."""

    table: SignalTable | None = None
    rules: SessionRules | None = None


def _known(link: Link) -> _Known:
    """Return what the fleet file knows of a logger; its events have numbers for names without."""
    fleet = fleet_in_force()
    logger = fleet.find_logger(link.hello().device_id.hex()) if fleet is not None else None
    car = fleet.find_car(logger.car) if fleet is not None and logger is not None else None
    if fleet is None or car is None:
        return _Known()
    from stagelog.dbc import load_database
    from stagelog.events import compile_table
    from stagelog.events.rules import SessionRules
    from stagelog.profile.schema import Profile
    from stagelog.profile.short import load_any_profile

    profile = load_any_profile(fleet.profile_of(car))
    database = load_database(fleet.dbc_of(car))
    table = compile_table(profile, database) if isinstance(profile, Profile) else None
    return _Known(table, SessionRules(profile.mark, database))


def _download_all(
    archive: str,
    event: str,
    stage: str,
    stop: bool | None,
    again: bool,
    only: tuple[str, ...],
    wait_s: float,
    as_json: bool,
) -> int:
    from stagelog.park.summary import Summarise
    from stagelog.park.works import Download

    def make(unit: Unit, _: object) -> Download:
        return Download(unit, Path(archive), event, stage, stop, again, Summarise(unit).text)

    return finish(run_many("download", make, only, wait_s, as_json, archive=archive), as_json)


def _print(fetched: list[Fetched], as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "path": str(one.entry.path),
                "outcome": one.verdict,
                "n_new_blocks": one.n_new,
                "n_unread_blocks": one.n_unread,
                **one.entry.values,
            }
            for one in fetched
        ]
        print_json("stagelog.download/2", {"sessions": rows})
        return
    if not fetched:
        click.echo("the card holds no session", err=True)
    for one in fetched:
        values = one.entry.values
        whole = "complete" if values["complete"] else "NOT COMPLETE, see 'stagelog verify'"
        if one.session.running:
            whole = one.verdict
        click.echo(f"{one.entry.path}  {size_text(values['n_bytes'])}  {whole}")
