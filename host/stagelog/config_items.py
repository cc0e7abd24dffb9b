"""What a logger is given beside its firmware: settings and signal table, as bytes of CONFIG_SET.

Fails with InputError for a file that cannot be read or that the firmware would refuse.
"""

from pathlib import Path
from typing import Any

from slog.settings import SettingsError, load
from stagelog.errors import InputError


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
