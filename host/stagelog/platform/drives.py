"""Disks of this computer: which can be taken out, how large they are, where they are mounted.

Linux is asked by /sys and /proc, macOS by diskutil, Windows by PowerShell's Get-Disk; what cannot
be found out is left empty, never guessed. Raises OutputError for a disk that is in use.
"""

import json
import os
import plistlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from stagelog.errors import OutputError

_BLOCK_DEVICES = Path("/sys/class/block")
_SECTOR_BYTES = 512  # the unit of /sys/class/block/*/size, whatever the disk's own is
_TIMEOUT_s = 30
_LIST_DISKS = (
    "@{disks=@(Get-Disk | Select-Object Number,FriendlyName,Size,BusType,IsBoot,IsSystem);"
    "parts=@(Get-Partition | Select-Object DiskNumber,DriveLetter)} | ConvertTo-Json -Depth 3"
)
_POWERSHELL = ("powershell", "-NoProfile", "-Command", _LIST_DISKS)
_REMOVABLE_BUSES = ("USB", "SD", "MMC", "7", "12", "13")  # numbers: older PowerShell


@dataclass(frozen=True, slots=True)
class Drive:
    """A whole disk. `mounts` are folders or drive letters; `n_bytes` is 0 if not known."""

    path: str
    n_bytes: int
    model: str
    is_removable: bool
    mounts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return one line for people: /dev/sdb, 31.9 GB, Generic STORAGE, mounted on /media/x."""
        size = f"{self.n_bytes / 1e9:.1f} GB" if self.n_bytes else "size not known"
        kind = "" if self.is_removable else "BUILT IN"
        mounted = f"mounted on {', '.join(self.mounts)}" if self.mounts else ""
        return ", ".join(word for word in (self.path, size, self.model, kind, mounted) if word)


def is_disk(path: str | Path) -> bool:
    """Return whether a path names a disk and not a file."""
    if sys.platform == "win32":
        return re.fullmatch(r"\\\\\.\\PhysicalDrive\d+|[A-Za-z]:\\?", str(path)) is not None
    try:
        return Path(path).is_block_device()
    except (OSError, ValueError):
        return False


def find_drives() -> list[Drive]:
    """Return the disks of this computer, those that can be taken out first."""
    if sys.platform == "win32":
        found = _of_powershell(_output_of(_POWERSHELL))
    elif sys.platform == "darwin":
        found = _of_diskutil()
    else:
        found = list(_of_sysfs())
    return sorted(found, key=lambda drive: (not drive.is_removable, drive.path))


def drive_of(path: str | Path) -> Drive | None:
    """Return the Drive that a path or a drive letter names, None if it is not found."""
    is_windows = sys.platform == "win32"
    name = str(path).rstrip("\\").upper() if is_windows else os.path.realpath(path)
    for drive in find_drives():
        if name in (drive.path, drive.path.upper(), *drive.mounts):
            return drive
    return None


def refuse_in_use(path: Path) -> None:
    """Raise OutputError if a disk or one of its partitions is mounted, or if it is a partition.

    Windows protects the sectors of a mounted volume, so files go there by its drive letter only.
    """
    if sys.platform == "win32":
        raise OutputError(f"{path} is a whole disk", "name the drive letter of the card, as in E:")
    name = str(path.resolve())
    for mount in psutil.disk_partitions(all=True):
        if re.fullmatch(rf"{re.escape(name)}(p?\d+|s\d+)?", mount.device):
            hint = "unmount it first"
            if sys.platform == "darwin":
                hint = f"'diskutil unmountDisk {name}' first"
            raise OutputError(f"{mount.device} is mounted on {mount.mountpoint}", hint)
    if (_BLOCK_DEVICES / path.resolve().name / "partition").exists():
        raise OutputError(f"{path} is a partition", "give the whole disk")


def _of_sysfs() -> Iterator[Drive]:
    for folder in sorted(_BLOCK_DEVICES.iterdir()) if _BLOCK_DEVICES.is_dir() else ():
        n_bytes = int(_word(folder / "size") or 0) * _SECTOR_BYTES
        is_whole = not (folder / "partition").exists() and (folder / "device").exists()
        if not n_bytes or not is_whole:
            continue  # a partition, a loop, a mapped volume, a reader without a card
        names = (_word(folder / "device" / name) for name in ("vendor", "model", "name"))
        mounts = tuple(
            mount.mountpoint
            for mount in psutil.disk_partitions(all=True)
            if re.fullmatch(rf"/dev/{re.escape(folder.name)}(p?\d+)?", mount.device)
        )
        is_removable = (
            _word(folder / "removable") == "1"
            or _word(folder / "device" / "type") == "SD"
            or "/usb" in str(folder.resolve())
        )
        model = " ".join(name for name in names if name and not name.startswith("0x"))
        yield Drive(f"/dev/{folder.name}", n_bytes, model, is_removable, mounts)


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _of_diskutil() -> list[Drive]:
    disks = _plist_of("list", "-plist", "physical").get("AllDisksAndPartitions", ())
    return [
        _of_info(_plist_of("info", "-plist", disk["DeviceIdentifier"]), disk) for disk in disks
    ]


def _plist_of(*words: str) -> dict[str, Any]:
    output = _output_of(("diskutil", *words))
    return dict(plistlib.loads(output)) if output else {}


def _of_info(info: dict[str, Any], disk: dict[str, Any]) -> Drive:
    parts = [disk, *disk.get("Partitions", ())]
    mounts = tuple(part["MountPoint"] for part in parts if part.get("MountPoint"))
    # a reader that is built in is "Internal", as the disk of the system is
    is_removable = bool(info.get("RemovableMediaOrExternalDevice") or info.get("RemovableMedia"))
    path = f"/dev/{disk['DeviceIdentifier']}"
    return Drive(path, disk.get("Size", 0), info.get("MediaName", ""), is_removable, mounts)


def _of_powershell(output: bytes) -> list[Drive]:
    try:
        given = json.loads(output or b"{}")
    except ValueError:
        return []
    drives = []
    for disk in given.get("disks", ()):
        number = disk["Number"]
        letters = (p["DriveLetter"] for p in given.get("parts", ()) if p["DiskNumber"] == number)
        mounts = tuple(f"{letter}:" for letter in letters if letter and str(letter).isalpha())
        is_removable = str(disk["BusType"]).upper() in _REMOVABLE_BUSES
        is_removable &= not (disk["IsBoot"] or disk["IsSystem"])
        path = rf"\\.\PhysicalDrive{number}"
        name = (disk["FriendlyName"] or "").strip()
        drives.append(Drive(path, disk["Size"] or 0, name, is_removable, mounts))
    return drives


def _output_of(command: tuple[str, ...]) -> bytes:
    """Return what a program of the system prints, nothing if there is no such program."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""
