"""stagelog download: fetch sessions into the archive."""

from pathlib import Path

import click

from stagelog.cli._common import json_option, print_json, size_text, transfer_progress
from stagelog.cli._fleet import archive_options, car_of_logger
from stagelog.cli._park import all_options, finish, refuse_port, run_many
from stagelog.errors import UsageError


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
@all_options
@json_option
def command(port, archive, event, car, stage, boots, stop, again, all_, only, wait_s, as_json):
    """Fetch the sessions on the logger at PORT, or --all, into the archive.

    Continues where it stopped. Every block is checked; a session's file gets its final name when
    it is complete, and stays in the folder where it was stored first. A file that was changed or
    cut off since is fetched again. Exit 1 if a session that was fetched is not complete.

    With --all, all loggers of the fleet file at once, or all that answer without one, the newest
    session first. A cable that is pulled and put back continues by itself.
    """
    refuse_port(port, all_, only)
    if all_:
        if boots or car:
            raise UsageError("--boot or --car with --all", "leave it out")
        raise SystemExit(_download_all(archive, event, stage, stop, again, only, wait_s, as_json))
    from slog.messages import CONTROL_START
    from stagelog.archive import stage_folder
    from stagelog.download import (
        HELD,
        choose_sessions,
        facts_of,
        fetch_if_missing,
        finish_running,
        set_clock,
    )
    from stagelog.ports import open_link

    link = open_link(port)
    try:
        hello = link.hello()
        facts = facts_of(hello)
        folder = stage_folder(archive, event, car or car_of_logger(hello), stage)
        set_clock(link)
        stopped = None if stop is False else finish_running(link, always=bool(stop))
        try:
            sessions = choose_sessions(link.list_sessions(), boots)
            fetched = []
            for session in reversed(sessions):
                with transfer_progress(f"boot {session.boot}") as progress:
                    fetched.append(
                        fetch_if_missing(link, archive, session, folder, facts, progress, again)
                    )
        finally:
            if stopped is not None:
                link.control(CONTROL_START, stopped)
    finally:
        link.close()
    _print(fetched, as_json)
    new = [one for one in fetched if one.verdict != HELD]
    raise SystemExit(
        0 if all(one.entry.values["complete"] or one.session.running for one in new) else 1
    )


def _download_all(archive, event, stage, stop, again, only, wait_s, as_json):
    from stagelog.park.works import Download

    def make(unit, _):
        return Download(unit, Path(archive), event, stage, stop, again)

    return finish(run_many("download", make, only, wait_s, as_json), as_json)


def _print(fetched, as_json):
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
