"""Names of folders and files: made of data from users and loggers, safe on every system.

A name has 1 to 64 characters of A-Z a-z 0-9 . _ - and is not one that Windows reserves. The value
of a folder `car=...` never has the form of a number or a date: query engines would read it as one.
"""

import re
import unicodedata
from pathlib import Path

MAX_CHARACTERS = 64
_RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_RESERVED |= {f"{device}{digit}" for device in ("com", "lpt") for digit in range(10)}
_NUMBER_WORDS = {"nan", "inf", "infinity", "true", "false", "null", "none"}
_INITIALS = {"event": "E", "car": "C", "stage": "S"}


def safe_name(text: object, fallback: str = "unknown") -> str:
    """Return `text` as a safe name; what cannot stand in one becomes an underscore."""
    plain = unicodedata.normalize("NFKD", str(text)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")[:MAX_CHARACTERS].rstrip("._-")
    if not name:
        return fallback
    if name.split(".")[0].lower() in _RESERVED:
        return f"{name[: MAX_CHARACTERS - 1].rstrip('._-')}_"
    return name


def hive_value(kind: str, text: object) -> str:
    """Return the value of a folder `kind=...`: car 03 becomes C03, event 2026 becomes E2026."""
    name = safe_name(text)
    if name[0].isdigit() or name.lower() in _NUMBER_WORDS:
        return (_INITIALS[kind] + name)[:MAX_CHARACTERS].rstrip("._-")
    return name


def stage_folder(root: str | Path, event: object, car: object, stage: object) -> Path:
    """Return the Path of a stage's folder below `root`."""
    values = zip(("event", "car", "stage"), (event, car, stage), strict=True)
    return Path(root).joinpath(*(f"{kind}={hive_value(kind, text)}" for kind, text in values))


def split_stage(path: str | Path) -> tuple[Path, dict[str, str]]:
    """Return the archive's folder and {kind: value} of the folders event=, car=, stage= of a path
    in it: those that stand last and beside each other. Folders above may have any name.
    """
    parts = Path(path).absolute().parts
    found: dict[str, str] = {}
    first = len(parts)
    for number, part in reversed(list(enumerate(parts))):
        kind, _, value = part.partition("=")
        if kind in _INITIALS and value and kind not in found:
            found[kind] = value
            first = number
        elif found:
            break
    return Path(*parts[:first]), found


def is_safe_name(name: object) -> bool:
    """Return whether `name`, read from a file, may be used as the name of a file in a folder."""
    return isinstance(name, str) and name == safe_name(name)
