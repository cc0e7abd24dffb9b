"""A whole disk, opened to be written by this program alone: how each system gives it out.

    Linux    with O_EXCL, which refuses whatever is in use, by whatever name: mounted, swap, a part
             of an LVM, RAID or encrypted volume, with one of its partitions or whole
    macOS    diskutil unmountDisk, then /dev/diskN
    Windows  Clear-Disk removes the partitions, for the sectors of a mounted volume are protected,
             then \\\\.\\PhysicalDriveN: at every place only whole sectors are read and written

Raises OutputError with what is to be done. No macOS and no Windows has run this yet.
"""

import errno
import os
import re
import sys
from pathlib import Path
from typing import IO

from stagelog.errors import OutputError
from stagelog.platform.programs import run_program


def can_map_disks() -> bool:
    """Return whether a disk can be mapped like a file; elsewhere its mounted file is read."""
    return sys.platform.startswith("linux")


def open_alone(path: Path) -> IO[bytes]:
    """Open a disk for reading and writing; its volumes are gone then, or it was refused."""
    if sys.platform == "win32":
        number = _number_of(path)
        script = f"Clear-Disk -Number {number} -RemoveData -RemoveOEM -Confirm:$false"
        is_raw = f"(Get-Disk -Number {number}).PartitionStyle -eq 'RAW'"
        script = f"$ErrorActionPreference = 'Stop'; if (-not ({is_raw})) {{ {script} }}"
        _run(path, "powershell", "-NoProfile", "-Command", script)
    elif sys.platform == "darwin":
        _run(path, "diskutil", "unmountDisk", str(path))
    try:
        flags = os.O_EXCL if sys.platform.startswith("linux") else 0
        return open(path, "r+b", opener=lambda name, mode: os.open(name, mode | flags))
    except PermissionError:
        raise OutputError(f"{path}: no permission to write to it", how_permitted()) from None
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise OutputError(
            f"{path} is in use: mounted, swap, or part of another volume",
            "unmount it, or name another disk",
        ) from None


def _number_of(path: Path) -> int:
    """Return N of \\\\.\\PhysicalDriveN."""
    found = re.search(r"PhysicalDrive(\d+)$", str(path), re.I)
    if found is None:
        raise OutputError(f"{path} is no whole disk", "'stagelog card prepare' lists the cards")
    return int(found[1])


def how_permitted() -> str:
    """Return what a user does to be allowed to use a disk."""
    if sys.platform == "win32":
        return "start the terminal with 'Run as administrator', and repeat"
    return "repeat with sudo" if sys.platform == "darwin" else "repeat as root, or in group 'disk'"


def _run(path: Path, *command: str) -> None:
    run_program(
        list(command),
        f"{path} cannot be taken",
        hint="close what uses it, and repeat",
        by_hand="unmount it by hand",
        hint_denied=how_permitted(),
    )
