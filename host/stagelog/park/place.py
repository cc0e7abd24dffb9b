"""Where the fleet file in force lies. Imports nothing: every verb asks this first."""

import os
from pathlib import Path

FLEET = "fleet.toml"


def find_fleet(start: str | Path = ".") -> Path | None:
    """Return the fleet file in force: the one STAGELOG_FLEET names, none if that is empty, else
    the nearest in a folder and those above it.
    """
    named = os.environ.get("STAGELOG_FLEET")
    if named is not None:
        return Path(named) if named else None
    folder = Path(start).absolute()
    found = (each / FLEET for each in (folder, *folder.parents))
    return next((path for path in found if path.is_file()), None)
