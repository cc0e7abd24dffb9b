"""Names of an archive's folders, event=E / car=C / stage=S, made of data from users and loggers.

The value of a folder `car=...` never has the form of a number or a date: query engines would read
it as one.
"""

from pathlib import Path

from stagelog.platform.names import MAX_CHARACTERS, safe_name

_NUMBER_WORDS = {"nan", "inf", "infinity", "true", "false", "null", "none"}
_INITIALS = {"event": "E", "car": "C", "stage": "S"}


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
