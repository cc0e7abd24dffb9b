"""Where the files that ship with the package are: the firmware, the DBC folder, uPlot.

A wheel carries the first two as `stagelog/_firmware` and `stagelog/_dbc`; a checkout has them at
its root and is read in place. uPlot lies in the report's folder in both; the build puts it there
(tools/hatch_build.py). Fails with InputError if a folder is missing, which means a broken
installation.
"""

import sys
from pathlib import Path

from stagelog.errors import InputError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent.parent


def firmware_path() -> Path:
    """Return the folder of the firmware's packages and main.py (for MICROPYPATH)."""
    return _find(_PACKAGE / "_firmware", _CHECKOUT / "firmware")


def import_firmware() -> None:
    """Make `logger`, `drivers` and `boards` importable, which a wheel has as data only.

    They come last on the path, so they hide nothing.
    """
    path = str(firmware_path())
    if path not in sys.path:
        sys.path.append(path)


def dbc_path() -> Path:
    """Return the folder that holds d7xr.dbc and the car profiles."""
    return _find(_PACKAGE / "_dbc", _CHECKOUT / "dbc")


def uplot_path() -> Path:
    """Return the folder of uplot.js and uplot.css."""
    return _find(_PACKAGE / "report" / "page" / "vendor")


def _find(*places: Path) -> Path:
    for path in places:
        if path.is_dir():
            return path
    raise InputError(
        f"stagelog's own files are missing: no {places[0].name} in {places[0].parent}",
        hint="install stagelog again; in a checkout: tools/setup",
    )
