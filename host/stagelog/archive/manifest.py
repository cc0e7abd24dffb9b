"""The manifest of a stage's folder: one entry per session file.

    {"schema": "stagelog.manifest/1", "sessions": [{"file": ..., "sha256": ..., "ledger": ...,
     "signature": ...}]}

A manifest is data from outside: names in it are checked before they are used. Fails with
InputError if it cannot be read.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from stagelog.archive.names import split_stage
from stagelog.errors import InputError
from stagelog.platform.files import locked_folder, write_atomic
from stagelog.platform.names import is_safe_name

if TYPE_CHECKING:
    from stagelog.proof import Standing

MANIFEST = "manifest.json"
SCHEMA = "stagelog.manifest/1"
_PIECE_BYTES = 1 << 20
_FIELDS = {
    "file": str,
    "sha256": str,
    "n_bytes": int,
    "device_id": str,
    "boot": int,
    "nonce": int,
    "first_seq": int,
    "n_blocks": int,
    "complete": bool,
}


Key: TypeAlias = tuple[str, int, int, int]  # device_id, boot, nonce, first_seq


@dataclass(frozen=True, slots=True)
class Entry:
    """One session in the archive; `values` are its fields in the manifest."""

    folder: Path
    values: dict[str, Any]

    @property
    def path(self) -> Path:
        """Return the Path of the session file."""
        return self.folder / str(self.values["file"])

    @property
    def key(self) -> Key:
        """Return (device_id, boot, nonce, first_seq)."""
        v = self.values
        return v["device_id"], v["boot"], v["nonce"], v["first_seq"]

    def overlaps(self, other: "Entry") -> bool:
        """Return whether both name blocks of the same numbers."""
        (first, last), (others_first, others_last) = self._numbers, other._numbers
        return first <= others_last and others_first <= last

    @property
    def _numbers(self) -> tuple[int, int]:
        """Return the first and the last block's number; by the length if no other is given."""
        first, last = self.values["first_seq"], self.values.get("last_seq")
        return first, last if type(last) is int else first + self.values["n_blocks"] - 1

    def is_unchanged(self, always: bool = False) -> bool:
        """Return whether the file is what was entered: by its size, and by its SHA-256 too if it
        was written since, or `always`.
        """
        try:
            stat = self.path.stat()
        except OSError:
            return False
        if stat.st_size != self.values["n_bytes"]:
            return False
        if not always and stat.st_mtime_ns == self.values.get("mtime_ns"):
            return True
        return sha256_of(self.path) == self.values["sha256"]


def load_manifest(folder: str | Path) -> list[Entry]:
    """Return [Entry] of a folder, empty if it has no manifest."""
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"{path} is not of the schema {SCHEMA}", "install a newer stagelog")
    sessions = content.get("sessions")
    if not isinstance(sessions, list):
        raise InputError(f"{path}: 'sessions' is not a list")
    return [Entry(Path(folder), _checked(path, values)) for values in sessions]


def _checked(path: Path, values: object) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InputError(f"{path}: an entry of 'sessions' is not an object")
    for name, kind in _FIELDS.items():
        if type(values.get(name)) is not kind:
            raise InputError(f"{path}: '{name}' of a session is not {kind.__name__}")
    if not is_safe_name(values["file"]) or not values["file"].endswith(".slog"):
        raise InputError(f"{path}: {values['file']!r} is no name of a session file")
    return values


def put_entry(folder: str | Path, values: dict[str, Any]) -> Entry:
    """Add a session to the manifest, or replace the entry of the same file; return the Entry.

    It is signed if this computer has a key (proof.keys).
    """
    from stagelog.proof.entries import signed_entry
    from stagelog.proof.keys import own_key

    key = own_key()
    with locked_folder(folder):
        entries = [e.values for e in load_manifest(folder) if e.values["file"] != values["file"]]
        if key is not None:
            values = signed_entry(key, values, folder, [entry["file"] for entry in entries])
        entries.append(values)
        entries.sort(key=lambda entry: (entry["first_seq"], entry["file"]))
        text = json.dumps({"schema": SCHEMA, "sessions": entries}, indent=2, allow_nan=False)
        write_atomic(Path(folder) / MANIFEST, text.encode() + b"\n")
    return Entry(Path(folder), values)


def find_sessions(root: str | Path) -> list[Entry]:
    """Return [Entry] of all manifests in a folder and below it, in the order of their paths."""
    folders = sorted(path.parent for path in _files_below(root) if path.name == MANIFEST)
    return [entry for folder in folders for entry in load_manifest(folder)]


def find_unlisted(root: str | Path, entries: Iterable[Entry]) -> list[Path]:
    """Return the Paths of session files in a folder and below it that none of its entries names.

    entries  of find_sessions(root)
    """
    listed = {entry.path for entry in entries}
    found = (path for path in _files_below(root) if path.suffix == ".slog")
    return sorted(path for path in found if path not in listed)


def _files_below(root: str | Path) -> Iterator[Path]:
    """Yield the Paths in a folder and below it; InputError for a folder that cannot be read."""

    def fail(error: OSError) -> None:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return
        raise InputError(
            f"{error.filename} cannot be read: {error.strerror}", "check who may read it"
        )

    for folder, _, names in os.walk(root, onerror=fail):
        yield from (Path(folder, name) for name in names)


def find_session(
    root: str | Path, device_id: str, boot: int, nonce: int, first_seq: int | None = None
) -> Entry | None:
    """Return the Entry of a session anywhere below `root`, the longest if several, or None."""
    key = (device_id, boot, nonce)
    found = [
        entry
        for entry in find_sessions(root)
        if entry.key[:3] == key and first_seq in (None, entry.key[3])
    ]
    return max(found, key=lambda entry: entry.values["n_blocks"], default=None)


def home_of(root: str | Path, key: Key, folder: str | Path) -> Path:
    """Return the folder below `root` that already holds a session, else `folder`.

    key  Entry.key
    """
    held = find_session(root, *key)
    return Path(folder) if held is None else held.folder


def superseded(entries: list[Entry]) -> list[Entry]:
    """Return those of the entries whose session another entry holds more of.

    Copies of one session are not counted twice: the one with the most blocks counts.
    """
    groups: dict[tuple[str, int, int], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.key[:3], []).append(entry)
    found: list[Entry] = []
    for copies in groups.values():
        kept: list[Entry] = []
        for entry in sorted(copies, key=_held, reverse=True):
            (found if any(map(entry.overlaps, kept)) else kept).append(entry)
    return found


def counted(entries: list[Entry]) -> list[Entry]:
    """Return those of the entries that count, one of the copies of a session."""
    copies = {entry.path for entry in superseded(entries)}
    return [entry for entry in entries if entry.path not in copies]


def of_logger(folder: str | Path, device_id: str) -> list[Entry]:
    """Return the entries of one logger in a folder, without copies of which another folder of the
    archive holds more; all of them if none else is left.
    """
    own = [entry for entry in load_manifest(folder) if entry.key[0] == device_id]
    try:
        every = find_sessions(split_stage(folder)[0])
    except InputError:  # of another folder: no reason not to read this one
        return own
    paths = {entry.path for entry in counted(every)}
    return [entry for entry in own if entry.path.absolute() in paths] or own


def _held(entry: Entry) -> int:
    n_blocks, n_damaged = entry.values["n_blocks"], entry.values.get("n_damaged")
    return int(n_blocks) - (n_damaged if isinstance(n_damaged, int) else 0)


def entry_of(path: str | Path) -> Entry | None:
    """Return the Entry of a session file in the manifest of its own folder, or None."""
    path = Path(path)
    try:
        entries = load_manifest(path.parent)
    except InputError:
        return None
    return next((entry for entry in entries if entry.path.name == path.name), None)


def check_sha256(entries: Iterable[Entry]) -> list[tuple[Entry, str]]:
    """Return [(Entry, what is wrong)] of session files that are missing or have changed."""
    wrong = []
    for entry in entries:
        if not entry.path.is_file():
            wrong.append((entry, "the file is missing"))
        elif sha256_of(entry.path) != entry.values["sha256"]:
            wrong.append((entry, "the file has changed: its SHA-256 is another"))
    return wrong


def check_signature(entry: Entry) -> "Standing":
    """Return what the signature of an entry is worth."""
    from stagelog.proof.entries import check_entry
    from stagelog.proof.keys import trusted_keys

    listed = [other.values["file"] for other in load_manifest(entry.folder)]
    return check_entry(entry.values, entry.folder, listed, trusted_keys())


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
