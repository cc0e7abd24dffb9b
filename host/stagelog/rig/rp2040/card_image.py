"""The sectors of an emulated card: in memory, or a file that other programs prepare and read.

Blank sectors read as zero and cost nothing, so a card can have any size. A file is written
through at once and may be sparse. Fails with InputError for a file that is no whole number of
sectors.
"""

import os
from pathlib import Path
from typing import Protocol

from stagelog.errors import InputError

SECTOR_BYTES = 512
_BLANK = bytes(SECTOR_BYTES)


class CardImage(Protocol):
    """The sectors of a card, of SECTOR_BYTES each."""

    n_sectors: int

    def read(self, sector: int) -> bytes:
        """Return a sector."""

    def write(self, sector: int, data: bytes) -> None:
        """Replace a sector."""

    def close(self) -> None:
        """Release it."""


class MemoryImage:
    """Sectors in memory."""

    def __init__(self, n_sectors: int) -> None:
        self.n_sectors = n_sectors
        self._sectors: dict[int, bytes] = {}

    def read(self, sector: int) -> bytes:
        """Return a sector."""
        return self._sectors.get(sector, _BLANK)

    def write(self, sector: int, data: bytes) -> None:
        """Replace a sector."""
        self._sectors[sector] = bytes(data)

    def save(self, path: str | Path) -> None:
        """Write all of it to a sparse file."""
        with open(path, "wb") as file:
            for sector, data in sorted(self._sectors.items()):
                file.seek(sector * SECTOR_BYTES)
                file.write(data)
            file.truncate(self.n_sectors * SECTOR_BYTES)

    def close(self) -> None:
        """Nothing to release."""


class FileImage:
    """Sectors of a file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        size = self.path.stat().st_size
        if not size or size % SECTOR_BYTES:
            raise InputError(
                f"{path} has {size} bytes, no whole number of sectors of {SECTOR_BYTES}",
                hint="make a card image with `stagelog card prepare`",
            )
        self.n_sectors = size // SECTOR_BYTES
        self._file = os.open(self.path, os.O_RDWR)

    def read(self, sector: int) -> bytes:
        """Return a sector."""
        return os.pread(self._file, SECTOR_BYTES, sector * SECTOR_BYTES)

    def write(self, sector: int, data: bytes) -> None:
        """Replace a sector."""
        os.pwrite(self._file, data, sector * SECTOR_BYTES)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
