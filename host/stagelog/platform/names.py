"""Names of files that every system takes, made of data from users and loggers.

A name has 1 to 64 characters of A-Z a-z 0-9 . _ - and is not one that Windows reserves.
"""

import re
import unicodedata

MAX_CHARACTERS = 64
_RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_RESERVED |= {f"{device}{digit}" for device in ("com", "lpt") for digit in range(10)}


def safe_name(text: object, fallback: str = "unknown") -> str:
    """Return `text` as a safe name; what cannot stand in one becomes an underscore."""
    plain = unicodedata.normalize("NFKD", str(text)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")[:MAX_CHARACTERS].rstrip("._-")
    if not name:
        return fallback
    if name.split(".")[0].lower() in _RESERVED:
        return f"{name[: MAX_CHARACTERS - 1].rstrip('._-')}_"
    return name


def is_safe_name(name: object) -> bool:
    """Return whether `name`, read from a file, may be used as the name of a file in a folder."""
    return isinstance(name, str) and name == safe_name(name)
