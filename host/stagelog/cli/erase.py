"""stagelog erase: erase from the card what the archive holds."""

import click

from stagelog.cli._common import confirm, json_option, print_json
from stagelog.cli._fleet import archive_option
from stagelog.counts import count_text
from stagelog.errors import UsageError


@click.command()
@click.argument("port", required=False)
@archive_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(port: str | None, archive: str, yes: bool, as_json: bool) -> None:
    """Erase sessions from the logger at PORT, the oldest first, as far as the archive holds them.

    A session is erased only if its file in the archive still has the SHA-256 of its manifest, and
    the logger finds the same digest on its card. Exit 1 if a session that is not being recorded
    stays.
    """
    from pathlib import Path

    from stagelog.download import erase_held
    from stagelog.ports import open_link

    if not Path(archive).is_dir():
        raise UsageError(f"there is no archive {archive}", "name it with --archive")
    link = open_link(port)
    try:
        sessions = link.list_sessions()
        n = sum(not session.running for session in sessions)
        if n:
            confirm(f"Erase up to {count_text(n, 'session')} from {link.name}?", yes)
        rows = [
            {
                "boot": session.boot,
                "nonce": session.nonce,
                "erased": entry is not None,
                "running": bool(session.running),
                "text": text,
            }
            for session, entry, text in erase_held(link, archive, sessions)
        ]
    finally:
        link.close()
    if as_json:
        print_json("stagelog.erase/1", {"port": link.name, "sessions": rows})
    else:
        for row in rows:
            click.echo(f"boot {row['boot']}: {row['text']}")
        if not rows:
            click.echo("nothing to erase", err=True)
    raise SystemExit(0 if all(row["erased"] or row["running"] for row in rows) else 1)
