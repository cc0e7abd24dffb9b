"""stagelog settings: show the settings of a logger, or give it others."""

import json
from pathlib import Path

import click

from ..errors import InputError, UsageError
from ._common import confirm, json_option, print_json


@click.command()
@click.argument("port", required=False)
@click.option("--set", "source", type=click.Path(), help="JSON file with the new settings.")
@click.option("--yes", is_flag=True, help="Do not ask before the recording pauses.")
@json_option
def command(port, source, yes, as_json):
    """Show the settings of the logger on PORT, or replace them with --set FILE.

    The recording pauses for a moment: it goes on in a new session.
    """
    from slog.messages import CONFIG_SETTINGS

    from ..link import RequestError
    from ..ports import open_link

    given = None if source is None else _load(source)
    link = open_link(port)
    try:
        if given is not None:
            confirm(f"Replace the settings of {link.name}? Recording pauses for a moment.", yes)
            try:
                link.replace_config(CONFIG_SETTINGS, given)
            except RequestError as error:
                raise UsageError(
                    f"{link.name} refuses {source}: {error}", "see firmware/SPEC.md"
                ) from None
        text = link.get_config(CONFIG_SETTINGS)
    finally:
        link.close()
    settings = json.loads(text) if text else {}
    if as_json:
        return print_json("stagelog.settings/1", {"port": link.name, "settings": settings})
    click.echo(json.dumps(settings, indent=2) if settings else "defaults (nothing is set)")
    return None


def _load(source):
    """Return the bytes of a settings file that the firmware's own check accepts."""
    from ..rig.logger import import_firmware

    import_firmware()
    from logger.settings import SettingsError, load

    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from None
    try:
        load(data)
    except SettingsError as error:
        raise InputError(f"{source}: {error}", "see firmware/SPEC.md, Settings") from None
    return data
