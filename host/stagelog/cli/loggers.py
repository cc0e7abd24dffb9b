"""stagelog loggers: which ports a logger answers on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stagelog.cli._common import Facts, json_option, print_json

if TYPE_CHECKING:
    from stagelog.ports import LoggerPort
    from stagelog.replies import Hello


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the ports on which a logger answers."""
    from stagelog.ports import find_loggers

    rows = [_row(entry) for entry in find_loggers()]
    if as_json:
        return print_json("stagelog.loggers/1", {"loggers": rows})
    if not rows:
        click.echo("no logger answers; check cable and power", err=True)
    for row in rows:
        if row["problem"]:
            click.echo(f"{row['port']}  {row['problem']}")
        else:
            click.echo(
                f"{row['port']}  car {row['car'] or '-'}  {row['state']}  "
                f"device {row['device_id']}  boot {row['boot']}  "
                f"firmware {row['firmware']}  {row['board']}"
            )
    return None


def _row(entry: LoggerPort) -> Facts:
    if entry.hello is None:
        return {"port": entry.port, "problem": entry.problem}
    return {"port": entry.port, "problem": None, **describe_hello(entry.hello)}


def describe_hello(hello: Hello) -> Facts:
    """Return a replies.Hello as readable values."""
    from slog.messages import STATE_TEXT

    return {
        "car": hello.car_name,
        "state": STATE_TEXT.get(hello.state, f"state {hello.state}"),
        "device_id": hello.device_id.hex(),
        "boot": hello.boot,
        "firmware": hello.firmware_text,
        "board": hello.board_name,
        "contract": hello.contract.hex(),
    }
