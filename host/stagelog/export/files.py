"""Output files that appear whole or not at all, under names that come from data.

Owns the base of all writers and the names of their files. Raises OutputError for a file that
exists, a folder that cannot be written, a full disk; then nothing of the export remains.
"""

import contextlib
import os
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from stagelog.errors import OutputError
from stagelog.model import FrameTable
from stagelog.platform.files import beside, is_full, replace
from stagelog.platform.names import safe_name

if TYPE_CHECKING:
    from stagelog.decode import Decoded


class Sink:
    """Takes chunk after chunk and ends with whole files, or with none: the base of every writer.

    A writer asks `new(path)` for the path to write to, and overrides `finish` (write what is left,
    close handles) and `release` (close handles after a failure).
    """

    n_left_out = 0  # what the format cannot hold

    def __init__(self, overwrite: bool = False) -> None:
        self.overwrite = overwrite
        self.paths: list[Path] = []  # the written files, after the end
        self._parts: list[tuple[Path, Path]] = []  # (part, final)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        if kind is None:
            self.close()
        else:
            self.abort()
        return False

    def finish(self) -> None:
        """Write what is left and close the files."""

    def release(self) -> None:
        """Close the files, whatever is in them."""

    def new(self, path: str | Path) -> Path:
        """Return the path to write to for a file that will be `path`; its folder is made."""
        path = Path(path)
        with writing(path):
            if path.exists() and not self.overwrite:
                raise OutputError(
                    f"{path} exists", "choose another name, or --force to replace it"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
        part = beside(path, ".part")
        self._parts.append((part, path))
        return part

    def not_before(self, frames: FrameTable, start_us: int) -> FrameTable:
        """Return the frames of `start_us` or later; count the others as left out."""
        is_before = frames["t_us"] < start_us
        n = int(is_before.sum())
        self.n_left_out += n
        return frames[~is_before] if n else frames

    def close(self) -> None:
        """Complete the files and give them their names."""
        try:
            with writing(self._parts[0][1] if self._parts else "nothing"):
                self.finish()
                for part, path in self._parts:
                    with open(part, "rb+") as file:
                        os.fsync(file.fileno())
                    replace(part, path)
                    self.paths.append(path)
        except BaseException:
            self.abort()
            raise
        self._parts = []

    def abort(self) -> None:
        """Remove what was begun."""
        with contextlib.suppress(Exception):
            self.release()
        for part, _ in self._parts:
            with contextlib.suppress(OSError):
                part.unlink()
        self._parts = []


class FrameSink(Sink):
    """Takes frame table after frame table."""

    @abstractmethod
    def write(self, frames: FrameTable) -> None:
        """Add the frames of one table."""


class SignalSink(Sink):
    """Takes Decoded after Decoded; `mode` is the one to decode with: "phys" or "raw"."""

    mode: str

    @abstractmethod
    def write(self, decoded: "Decoded") -> None:
        """Add the values of one decoded table."""


@contextlib.contextmanager
def writing(path: object) -> Iterator[None]:
    """Turn an OSError in the body into an OutputError that names the file."""
    try:
        yield
    except OSError as error:
        hint = "free some space and repeat the command" if is_full(error) else None
        raise OutputError(f"cannot write {path}: {error.strerror or error}", hint) from error


class FileNames:
    """Makes file names of message names.

    Two messages never share one, on any file system.
    """

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return a safe name without suffix, the same for the same message."""
        if name not in self._taken:
            safe = base = safe_name(name, "message")
            k = 2
            lower = {t.lower() for t in self._taken.values()}
            while safe.lower() in lower:
                safe = f"{base[:58]}_{k}"
                k += 1
            self._taken[name] = safe
        return self._taken[name]


def plain_text(text: object) -> str:
    """Return text that no spreadsheet reads as a formula: such a beginning gets an apostrophe."""
    text = "".join(c if c.isprintable() else " " for c in str(text))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
