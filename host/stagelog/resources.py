"""Where the files that ship with the package are: the firmware's sources and the DBC folder.

A wheel carries them as `stagelog/_firmware` and `stagelog/_dbc`; a checkout has them at its root
and is read in place. Fails with InputError if neither is there, which means a broken installation.
"""

from pathlib import Path

from stagelog.errors import InputError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent.parent


def firmware_path():
    """Return the folder of the firmware's packages and main.py (for MICROPYPATH)."""
    return _find("_firmware", "firmware")


def dbc_path():
    """Return the folder that holds d7xr.dbc and the car profiles."""
    return _find("_dbc", "dbc")


def _find(packaged, in_checkout):
    for path in (_PACKAGE / packaged, _CHECKOUT / in_checkout):
        if path.is_dir():
            return path
    raise InputError(
        f"stagelog's own files are missing: no {packaged} in {_PACKAGE}",
        hint="install stagelog again",
    )
