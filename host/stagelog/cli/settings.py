"""stagelog settings: show the settings of a logger, or replace them."""

import json

import click

from stagelog.cli._common import confirm, json_option, print_json
from stagelog.config_items import checked_network, checked_settings, signal_table
from stagelog.errors import UsageError


@click.command()
@click.argument("port", required=False)
@click.option(
    "--set", "source", type=click.Path(readable=False), help="JSON file with the new settings."
)
@click.option("--signals", "profile", help="Car profile whose signal table the logger gets.")
@click.option(
    "--wifi",
    type=click.Path(readable=False),
    help="JSON file with the network of a board with a radio; it gets its key, too.",
)
@click.option("--yes", is_flag=True, help="Do not ask before the recording pauses.")
@json_option
def command(
    port: str | None,
    source: str | None,
    profile: str | None,
    wifi: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Show the settings of the logger on PORT, or replace them with --set FILE.

    --signals compiles the table that the on-car detectors work with. The recording pauses for a
    moment: it continues in a new session, after a restart of the logger if it got a table.

    --wifi is for boards with a radio (ESP32), by cable only: {"mode": "access point", "ssid":
    "C03", "password": "..."}, "network" to join one, "off" for never. The radio is used while the
    service switch is closed; it is off while the logger records.
    """
    from slog.messages import CONFIG_SETTINGS, CONFIG_SIGNALS
    from stagelog.link import RequestError
    from stagelog.ports import open_link
    from stagelog.radio import is_radio, refuse_radio, set_network

    given = {}
    if source is not None:
        given[CONFIG_SETTINGS] = checked_settings(source)
    if profile is not None:
        given[CONFIG_SIGNALS] = signal_table(profile)
    network = checked_network(wifi) if wifi is not None else None
    link = open_link(port)
    try:
        if network is not None:
            refuse_radio(link.name, "a network")
        if given or network is not None:
            confirm(f"Replace the settings of {link.name}? Recording pauses for a moment.", yes)
        for item, data in given.items():
            try:
                link.replace_config(item, data)
            except RequestError as error:
                raise UsageError(
                    f"{link.name} refuses {source or profile}: {error}", "see firmware/SPEC.md"
                ) from None
        if network is not None:
            set_network(link, network)
        text = link.get_config(CONFIG_SETTINGS)
        if CONFIG_SIGNALS in given and not is_radio(link.name):
            link.restart()
    finally:
        link.close()
    settings = json.loads(text) if text else {}
    if as_json:
        return print_json("stagelog.settings/1", {"port": link.name, "settings": settings})
    click.echo(json.dumps(settings, indent=2) if settings else "defaults (nothing is set)")
    return None
