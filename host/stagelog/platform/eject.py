"""Takes a card out of the system's hands, so that it may be pulled out.

Linux by udisksctl, or umount and eject where there is none; macOS by diskutil; Windows by the
shell, as its own menu does. Raises OutputError with what the system's program says.
"""

import os
import shutil
import sys

from stagelog.errors import OutputError
from stagelog.platform.drives import Drive
from stagelog.platform.programs import run_program

_SHELL = (
    "(New-Object -ComObject Shell.Application).Namespace(17).ParseName('{}').InvokeVerb('Eject')"
)


def eject(drive: Drive) -> None:
    """Flush, unmount and release a drive that can be taken out.

    Raises  OutputError for a built-in disk, and where the system refuses: a file on it is open.
    """
    if not drive.is_removable:
        raise OutputError(f"{drive.path} is built in", "only a card can be ejected")
    for command in _commands(drive):
        run_program(
            command,
            f"cannot eject {drive.path}",
            hint="close what uses it, and repeat",
            by_hand="do it by hand",
        )


def _commands(drive: Drive) -> list[list[str]]:
    if sys.platform == "win32":
        letters = [mount.rstrip("\\") for mount in drive.mounts]
        scripts = [_SHELL.format(letter) for letter in letters]
        return [["powershell", "-NoProfile", "-Command", script] for script in scripts]
    if sys.platform == "darwin":
        return [["diskutil", "eject", drive.path]]
    os.sync()
    if shutil.which("udisksctl"):
        unmount = [["udisksctl", "unmount", "-b", part] for part in _parts(drive)]
        return [*unmount, ["udisksctl", "power-off", "-b", drive.path]]
    unmount = [["umount", mount] for mount in drive.mounts]
    return [*unmount, *([["eject", drive.path]] if shutil.which("eject") else [])]


def _parts(drive: Drive) -> list[str]:
    """Return the mounted partitions of a drive: /dev/sdb1."""
    import psutil

    return [p.device for p in psutil.disk_partitions(all=True) if p.mountpoint in drive.mounts]
