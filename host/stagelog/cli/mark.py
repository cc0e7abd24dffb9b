"""stagelog mark: set a mark in the log that is recorded."""

import click

from stagelog.cli._common import json_option, print_json


@click.command()
@click.argument("port")
@click.argument("text", default="")
@json_option
def command(port: str, text: str, as_json: bool) -> None:
    """Set a mark with TEXT, at most 32 bytes, in the log that the logger at PORT records.

    The board's button sets one, too, without a text. 'info --events' lists marks, the report shows
    them, and 'download --around TEXT' or '--around mark' fetches what was recorded around one.
    Recording goes on as before.
    """
    from slog import messages
    from stagelog.errors import DeviceError
    from stagelog.link import RequestError
    from stagelog.ports import open_link

    link = open_link(port)
    try:
        number = link.mark(text)
    except RequestError as error:
        if error.status != messages.REFUSED:
            raise
        hint = "it records again a minute after the last request"
        raise DeviceError(f"{link.name} sets no mark: it does not record", hint) from None
    finally:
        link.close()
    if as_json:
        print_json("stagelog.mark/1", {"port": link.name, "number": number, "text": text})
    else:
        click.echo(f"mark {number} is set")
