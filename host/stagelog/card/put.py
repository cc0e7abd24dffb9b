"""Put a file into the root directory of a prepared card: mounted, in a reader, or an image.

Content first, then the chain of clusters, the entry of the directory last: cut short anywhere, the
card has the file or not. Everything else on the card stays. Source: Microsoft FAT32 File System
Specification 1.03. Fails with InputError for a card without our file, OutputError without room.
"""

import struct
import time
from pathlib import Path
from typing import IO

import numpy as np

from slog.layout import SECTOR_BYTES
from stagelog.errors import InputError, OutputError
from stagelog.platform.drives import is_disk, refuse_in_use
from stagelog.platform.files import write_atomic, writing

_FAT32_TYPES = (0x0B, 0x0C)
_END, _CLUSTER = 0x0FFFFFF8, 0x0FFFFFFF
_ENTRY = 32
_LABEL, _ARCHIVE = 0x08, 0x20
_DELETED = 0xE5
_UNKNOWN = 0xFFFFFFFF  # free clusters: whoever mounts the card next counts them


def put_file(card: str | Path, name: str, content: bytes) -> None:
    """Write a file, its name in capitals and 8.3, replacing one of that name.

    card   folder or drive letter of a mounted card, its device, or an image
    """
    path = Path(card)
    if path.is_dir():
        if not (path / "STAGELOG.BIN").is_file():
            raise InputError(f"{path} is no card of a logger", "'stagelog card prepare' makes one")
        write_atomic(path / name, content)
        return
    if is_disk(path):
        refuse_in_use(path)
    elif not path.is_file():
        raise InputError(f"{path} does not exist", "name the card's folder, device or image")
    stem, _, suffix = name.partition(".")
    with writing(path), open(path, "r+b") as file:
        _Volume(path, file).put(f"{stem:8}{suffix:3}".encode(), content)
        file.flush()


def get_file(card: str | Path, name: str) -> bytes | None:
    """Return a file's content, its name in capitals and 8.3, from an image; None without one."""
    path = Path(card)
    stem, _, suffix = name.partition(".")
    try:
        with open(path, "rb") as file:
            return _Volume(path, file).get(f"{stem:8}{suffix:3}".encode())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


class _Volume:
    """The FAT32 of a card."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._start = self._partition()
        boot = self._read(self._start, 1)
        if boot[82:87] != b"FAT32" or boot[510:] != b"\x55\xaa":
            raise InputError(f"{path} has no FAT32", "'stagelog card prepare' makes a card")
        self._per_cluster, reserved, self._n_fats = struct.unpack_from("<BHB", boot, 13)
        n_sectors, self._fat_sectors = struct.unpack_from("<II", boot, 32)
        self._root, self._info = struct.unpack_from("<IH", boot, 44)
        self._fat = self._start + reserved
        self._data = self._fat + self._n_fats * self._fat_sectors
        n = (self._start + n_sectors - self._data) // self._per_cluster + 2
        self._table = np.frombuffer(self._read(self._fat, self._fat_sectors), "<u4")[:n].copy()

    def get(self, name: bytes) -> bytes | None:
        """Return the content of the file `name`, eleven letters, None if there is none."""
        directory = self._directory()
        at, first = self._place(name, directory)
        if not first:
            return None
        n_bytes = struct.unpack_from("<I", directory, at + 28)[0]
        clusters = (self._read(sector, self._per_cluster) for sector in self._chain(first))
        return b"".join(clusters)[:n_bytes]

    def _directory(self) -> bytearray:
        places = self._chain(self._root)
        return bytearray(b"".join(self._read(at, self._per_cluster) for at in places))

    def put(self, name: bytes, content: bytes) -> None:
        """Write the file `name`, eleven letters."""
        places = self._chain(self._root)
        directory = self._directory()
        at, old = self._place(name, directory)
        room = self._per_cluster * SECTOR_BYTES
        n = max(1, -(-len(content) // room))
        free = np.flatnonzero(self._table[2:] & _CLUSTER == 0)[:n] + 2
        if len(free) < n:
            raise OutputError(
                f"{self._path} has no room for {len(content):,} bytes", "remove files"
            )
        for i, cluster in enumerate(free.tolist()):
            piece = content[i * room : (i + 1) * room].ljust(room, b"\0")
            self._write(self._sector(cluster), piece)
        self._table[free] = np.append(free[1:], _CLUSTER)
        self._write_table()
        directory[at : at + _ENTRY] = _entry(name, int(free[0]), len(content))
        for i, sector in enumerate(places):
            piece = bytes(directory[i * room : (i + 1) * room])
            if piece != self._read(sector, self._per_cluster):
                self._write(sector, piece)
        if old:
            self._table[[self._cluster(sector) for sector in self._chain(old)]] = 0
            self._write_table()

    def _place(self, name: bytes, directory: bytearray) -> tuple[int, int]:
        """Return (offset of the entry to write, first cluster of a file that it replaces)."""
        first_free = None
        for at in range(0, len(directory), _ENTRY):
            first = directory[at]
            if first in (0, _DELETED):
                first_free = at if first_free is None else first_free
                if first == 0:
                    break
            elif directory[at : at + 11] == name and not directory[at + 11] & _LABEL:
                high, low = struct.unpack_from("<H4xH", directory, at + 20)
                return at, high << 16 | low
        if first_free is None:
            raise OutputError(f"the root directory of {self._path} is full", "remove files")
        return first_free, 0

    def _partition(self) -> int:
        first = self._read(0, 1)
        if first[82:87] == b"FAT32":
            return 0
        for at in range(446, 510, 16):
            if first[at + 4] in _FAT32_TYPES:
                return int(struct.unpack_from("<I", first, at + 8)[0])
        raise InputError(f"{self._path} has no FAT32", "'stagelog card prepare' makes a card")

    def _chain(self, cluster: int) -> list[int]:
        """Return the first sectors of a chain of clusters."""
        sectors: list[int] = []
        while 2 <= cluster < len(self._table) and len(sectors) < len(self._table):
            sectors.append(self._sector(cluster))
            cluster = int(self._table[cluster]) & _CLUSTER
            if cluster >= _END:
                return sectors
        raise InputError(f"a chain of clusters on {self._path} has no end", "prepare it again")

    def _write_table(self) -> None:
        packed = self._table.tobytes()
        for i in range(self._n_fats):
            self._write(self._fat + i * self._fat_sectors, packed)
        info = bytearray(self._read(self._start + self._info, 1))
        struct.pack_into("<I", info, 488, _UNKNOWN)
        self._write(self._start + self._info, bytes(info))

    def _sector(self, cluster: int) -> int:
        return self._data + (cluster - 2) * self._per_cluster

    def _cluster(self, sector: int) -> int:
        return (sector - self._data) // self._per_cluster + 2

    def _read(self, sector: int, n: int) -> bytes:
        self._file.seek(sector * SECTOR_BYTES)
        return self._file.read(n * SECTOR_BYTES)

    def _write(self, sector: int, data: bytes) -> None:
        self._file.seek(sector * SECTOR_BYTES)
        self._file.write(data)


def _entry(name: bytes, cluster: int, n_bytes: int) -> bytes:
    now = time.localtime()
    date = max(0, now.tm_year - 1980) << 9 | now.tm_mon << 5 | now.tm_mday
    clock = now.tm_hour << 11 | now.tm_min << 5 | now.tm_sec // 2
    values = (clock, date, date, cluster >> 16, clock, date, cluster & 0xFFFF, n_bytes)
    return name + struct.pack("<BBBHHHHHHHI", _ARCHIVE, 0, 0, *values)
