"""A session file while it is fetched: knows which blocks it has, survives a kill at any moment.

    <session>.part         the blocks, each at its place; blocks not fetched yet are a hole
    <session>.part.json    journal: which session this is, and where it lies on the card

Each block is checked by itself (CRC, identity, position) when a fetch continues, so a torn block
is never accepted and no order of writes matters. A part belongs to one session from one card; a
block of another session is refused. Fails with OutputError (cannot write) and DeviceError (the
session was overwritten meanwhile).
"""

import contextlib
import io
import json
import os
import shutil
import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from slog.block import DEVICE_ID, POSITION, SEQ
from slog.layout import BLOCK_BYTES
from stagelog.archive.facts import complete_session
from stagelog.archive.manifest import Entry, load_manifest
from stagelog.blocks import Identity
from stagelog.blocks.medium import is_good
from stagelog.counts import count_text
from stagelog.errors import DeviceError, OutputError
from stagelog.platform.files import (
    lock_file,
    locked_folder,
    replace,
    sync_folder,
    write_atomic,
    writing,
)
from stagelog.replies import ListedSession

SYNC_EVERY = 1024  # blocks; what a laptop's own power cut may cost is fetched again
JOURNAL_SCHEMA = "stagelog.part/1"
MAX_BLOCKS = 1 << 22  # 16 GiB; the file system of a card ends at 4


class PartFile:
    """One session that is being fetched into a folder.

    Invariant: a block that `missing` does not name is on its place in the file, checked.
    """

    def __init__(self, folder: str | Path, name: str, session: ListedSession) -> None:
        self.folder = Path(folder)
        self.name = name
        self.session = session
        self.n_blocks: int = session.n_blocks
        self.entry: Entry | None = None
        self._held = bytearray(self.n_blocks)
        self._bad: set[int] = set()
        self._file: io.FileIO | None = None
        self._n_unsynced = 0
        self._first: int = session.data_first
        self._ring: int = session.data_end - session.data_first
        self._offset: int = session.position - self._first
        who = (session.device_id, session.boot, session.nonce)
        self._identity_bytes = struct.pack("<8sII", *who)

    @classmethod
    def open(cls, folder: str | Path, session: ListedSession, again: bool = False) -> Self:
        """Begin or continue the session that LIST names.

        again     fetch the damaged places of a finished session once more, and check all of it
        If the folder holds all of it, `is_finished` is true and `entry` says what it holds.
        """
        _check(session)
        folder = Path(folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        part = cls(folder, _name_for(folder, session), session)
        entry = part._entry()
        if (
            entry is not None
            and _holds(entry.values, session, again)
            and entry.is_unchanged(again)
        ):
            part.entry = entry
            part._journal.unlink(missing_ok=True)
            return part
        part._open()
        return part

    @property
    def is_finished(self) -> bool:
        """True once the session file and its entry in the manifest are there."""
        return self.entry is not None

    @property
    def path(self) -> Path:
        """Return the Path that the finished session file has."""
        return self.folder / f"{self.name}.slog"

    @property
    def n_held(self) -> int:
        """Return how many good blocks are on their places."""
        return sum(self._held)

    @property
    def n_bad(self) -> int:
        """Return how many places were fetched in this run and hold no block of the session."""
        return len(self._bad)

    def missing(self) -> list[int]:
        """Return the positions on the card that are still to be fetched, in order."""
        if self.is_finished:
            return []
        wanted = (i for i in range(self.n_blocks) if not self._held[i] and i not in self._bad)
        return [self._position_of(i) for i in wanted]

    def put(self, position: int, block: bytes) -> bool:
        """Store the 4096 bytes of a position; True if they are a good block of the session.

        Other bytes are kept as they are, once: a place that the logger skipped. DeviceError if a
        block of a newer session lies there.
        """
        index = (position - self._first - self._offset) % self._ring
        if len(block) != BLOCK_BYTES or index >= self.n_blocks:
            raise ValueError(f"position {position}, {len(block)} bytes")
        good = self._is_ours(block, index)
        if not good and self._is_newer(block):
            raise DeviceError(
                f"session {self.name} was overwritten on the card at place {position}",
                f"{count_text(self.n_held, 'block')} of it kept in {self._part}",
            )
        with writing(self._part):
            left = memoryview(block)
            self._disk.seek(index * BLOCK_BYTES)
            while left:
                left = left[self._disk.write(left) :]
        self._held[index] = good
        self._bad.discard(index)
        if not good:
            self._bad.add(index)
        self._n_unsynced += 1
        if self._n_unsynced >= SYNC_EVERY:
            self.sync()
        return good

    def sync(self) -> None:
        """Flush what was put to the disk."""
        with writing(self._part):
            os.fsync(self._disk.fileno())
        self._n_unsynced = 0

    def finish(self, facts: Mapping[str, Any] | None = None) -> Entry:
        """Check all blocks again, give the file its name and enter it into the manifest.

        `facts` go into the entry (firmware, car, DBC hash, ...). Returns the Entry; OutputError if
        blocks are missing.
        """
        if self.entry is not None:
            return self.entry
        n_missing = len(self.missing())
        if n_missing or not self.n_held:
            n_missing = n_missing or self.n_blocks
            raise OutputError(f"{self.path}: {n_missing:,} of {self.n_blocks:,} blocks missing")
        with writing(self._part):
            self._disk.truncate(self.n_blocks * BLOCK_BYTES)
            os.fsync(self._disk.fileno())
        self._load()
        if len(self.missing()):
            raise OutputError(f"{self._part} does not hold what was written", "replace the disk")
        with writing(self.path), locked_folder(self.folder):
            self.close()
            replace(self._part, self.path)
            sync_folder(self.folder)
        self.entry = complete_session(self.path, self.session, facts)
        self._journal.unlink(missing_ok=True)
        return self.entry

    def close(self) -> None:
        """Close the file; what is there is kept."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _disk(self) -> io.FileIO:
        if self._file is None:
            raise ValueError(f"{self._part} is not open")
        return self._file

    @property
    def _part(self) -> Path:
        return self.folder / f"{self.name}.part"

    @property
    def _journal(self) -> Path:
        return self.folder / f"{self.name}.part.json"

    def _entry(self) -> Entry | None:
        entries = load_manifest(self.folder)
        return next((e for e in entries if e.values["file"] == self.path.name), None)

    def _open(self) -> None:
        with writing(self._part), locked_folder(self.folder):
            write_atomic(self._journal, _journal_text(self.session))
            if not self._part.exists() and self.path.exists():
                self._copy_finished()
            self._file = io.FileIO(self._part, "rb+" if self._part.exists() else "wb+")
            if not lock_file(self._file.fileno()):
                self._file.close()
                raise OutputError(f"{self._part} is being written by another stagelog")
        self._load()

    def _copy_finished(self) -> None:
        copy = self._part.with_name(f".{self._part.name}.tmp")
        try:
            shutil.copyfile(self.path, copy)
            replace(copy, self._part)
        except BaseException:
            with contextlib.suppress(OSError):
                copy.unlink()
            raise

    def _load(self) -> None:
        """Check what the file holds."""
        self._disk.seek(0)
        for index in range(self.n_blocks):
            block = self._disk.read(BLOCK_BYTES)
            if len(block) < BLOCK_BYTES:
                break
            self._held[index] = self._is_ours(block, index)

    def _is_ours(self, block: bytes, index: int) -> bool:
        position = struct.unpack_from("<I", block, POSITION)[0]
        return (
            block[DEVICE_ID:SEQ] == self._identity_bytes
            and position == self._position_of(index)
            and is_good(block, 0)
        )

    def _is_newer(self, block: bytes) -> bool:
        return (
            block[DEVICE_ID:SEQ] != self._identity_bytes
            and is_good(block, 0)
            and struct.unpack_from("<I", block, SEQ)[0] > self.session.first_seq
        )

    def _position_of(self, index: int) -> int:
        return self._first + (self._offset + index) % self._ring


def identity_of(session: ListedSession) -> Identity:
    """Return the Identity of a session as LIST names it."""
    return Identity(session.device_id.hex(), session.boot, session.nonce)


def _check(session: ListedSession) -> None:
    """Raise DeviceError if no card can hold what LIST names: sizes of memory follow from it."""
    first, end = session.data_first, session.data_end
    ring = end - first
    if not (first <= session.position < end and 0 < session.n_blocks <= ring <= MAX_BLOCKS):
        raise DeviceError(
            f"session {identity_of(session).name} cannot be: {session.n_blocks:,} blocks from "
            f"place {session.position:,} in a ring of places {first:,} to {end:,}",
        )


def _name_for(folder: Path, session: ListedSession) -> str:
    """Return the name of the session's files; what two cards hold of one gets two names."""
    name = identity_of(session).name
    listed = [entry.values for entry in load_manifest(folder)]
    taken = [values["first_seq"] for values in listed if values["file"] == f"{name}.slog"]
    journal = folder / f"{name}.part.json"
    if journal.exists():
        taken.append(_first_seq_in(journal))
    if any(first_seq not in (None, session.first_seq) for first_seq in taken):
        return f"{name}-{session.first_seq}"
    return name


def _first_seq_in(journal: Path) -> int | None:
    """Return the first_seq of a journal, None if it has none."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(journal.read_bytes())
        if isinstance(content, dict):
            return content.get("first_seq")
    return None


def _journal_text(session: ListedSession) -> bytes:
    values = {**asdict(session), "device_id": session.device_id.hex()}
    return json.dumps({"schema": JOURNAL_SCHEMA, **values}, indent=2).encode() + b"\n"


def _holds(values: Mapping[str, Any], session: ListedSession, again: bool) -> bool:
    """Return whether an entry holds all that LIST names now; `again`: and no damaged place."""
    if values["n_blocks"] < session.n_blocks or (again and values.get("n_damaged")):
        return False
    return session.running or not values.get("running")
