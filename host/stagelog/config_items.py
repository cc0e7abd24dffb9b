"""What a logger is given beside its firmware: settings and signal table, as bytes of CONFIG_SET,
and its network.

Fails with InputError for a file that cannot be read or that the firmware would refuse.
"""

import json
from pathlib import Path
from typing import Any

from slog import radio
from slog.settings import SettingsError, load
from stagelog.errors import InputError

_MODES = {"off": radio.OFF, "access point": radio.ACCESS_POINT, "network": radio.STATION}
_CHANNEL = 6  # of an own access point, unless one is given


def checked_settings(source: str | Path) -> bytes:
    """Return the bytes of a settings file that the firmware's own check accepts."""
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from None
    try:
        load(data)
    except SettingsError as error:
        raise InputError(f"{source}: {error}", "see firmware/SPEC.md, Settings") from None
    return data


def checked_network(source: str | Path) -> dict[str, Any]:
    """Return the values of slog.radio.WIFI_REQUEST in a JSON file: {"mode": "access point",
    "ssid": "C03", "password": "...", "channel": 6}, or mode "network", or "off" alone.
    """
    what = f'{source}: {{"mode": "access point" or "network" or "off", "ssid", "password"}}'
    try:
        given = json.loads(Path(source).read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{source} is not JSON", f"wanted is {what}") from None
    if not isinstance(given, dict) or not set(given) <= {"mode", "ssid", "password", "channel"}:
        raise InputError(f"{source} is no network", f"wanted is {what}")
    try:
        values = {
            "mode": _MODES[given.get("mode", "")],
            "channel": int(given.get("channel", _CHANNEL)),
            "ssid": str(given.get("ssid", "")).encode(),
            "password": str(given.get("password", "")).encode(),
        }
        fits = len(values["ssid"]) <= 32 and 0 <= values["channel"] <= 13
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits or not radio.is_network(values):
        raise InputError(
            f"{source} is no network that a logger keeps",
            f"{what}; a name of up to 32 bytes, a password of 8 to 63, a channel of 1 to 13",
        )
    return values


def signal_table(profile: str | Path, dbc: str | Path | None = None) -> bytes:
    """Return the bytes of the signal table that a car profile (name or path) is compiled to.

    dbc  default: the one that the profile names
    """
    from stagelog import events
    from stagelog.profile import dbc_file, load_profile
    from stagelog.profile.short import is_short

    if is_short(profile):
        raise InputError(
            f"{profile} is a short profile: it has no numbers for detectors on board",
            "a logger records without a signal table as well; 'report' works with this profile",
        )
    compile_table: Any = events.compile_table  # not annotated yet
    loaded = load_profile(profile, dbc)
    return bytes(compile_table(loaded, dbc or dbc_file(loaded)).data)
