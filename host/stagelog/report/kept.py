"""Facts of reports that were made before, so that the second report of the same logs is instant.

Kept in the user's cache folder, never in an archive: a file is a report's facts, its name stands
for all that they depend on (the bytes of the logs and what the archive says of them, profile, DBC,
options, stagelog's own sources). What cannot be read or written is as if it were not there.
"""

import contextlib
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import detectors
import slog
import stagelog
from stagelog.archive import entry_of
from stagelog.errors import OutputError
from stagelog.platform import files
from stagelog.platform.files import write_atomic

KEPT_BYTES = 200_000_000  # the oldest files beyond that are removed
_SUFFIX = ".facts"


def facts_folder() -> Path | None:
    """Return the folder, which need not exist; None if the user wants none."""
    given = os.environ.get("STAGELOG_CACHE")
    if given is None:
        return files.cache_folder() / "report"
    return Path(given) if given else None


def key_of(paths: Iterable[str | Path], *others: object) -> str | None:
    """Return a name for what a report is made of; None if that is not files alone.

    paths   of the logs
    others  what else the facts depend on, with a repr that says all of it
    """
    digest = hashlib.sha256(_sources().encode())
    for path in map(Path, paths):
        if not path.is_file():
            return None
        entry = entry_of(path)
        digest.update(repr((str(path), entry and sorted(entry.values.items()))).encode())
        digest.update(digest_of(path).encode())
    digest.update(repr(others).encode())
    return digest.hexdigest()


def digest_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, hex; "" if it is not there."""
    if not Path(path).is_file():
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _sources() -> str:
    """Return a digest of the programs that make the facts."""
    digest = hashlib.sha256(f"{sys.version} {np.__version__}".encode())
    roots = [Path(str(package.__file__)).parent for package in (stagelog, slog, detectors)]
    for path in (path for root in roots for path in sorted(root.rglob("*.py"))):
        digest.update(f"{path}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def load(key: str | None) -> Any:
    """Return what `save` was given, or None."""
    folder = facts_folder()
    if folder is None or key is None:
        return None
    path = folder / f"{key}{_SUFFIX}"
    try:
        kept = json.loads(zlib.decompress(path.read_bytes()))
        os.utime(path)  # used lately
    except (OSError, ValueError, zlib.error):
        return None
    return kept


def save(key: str | None, values: object) -> None:
    """Keep values of JSON types."""
    folder = facts_folder()
    if folder is None or key is None:
        return
    with contextlib.suppress(OSError, OutputError):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{key}{_SUFFIX}", zlib.compress(json.dumps(values).encode(), 1))
        _forget_old(folder)


def _forget_old(folder: Path) -> None:
    found = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: -path.stat().st_mtime)
    total = 0
    for path in found:
        total += path.stat().st_size
        if total > KEPT_BYTES:
            path.unlink(missing_ok=True)
