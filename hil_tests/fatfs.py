"""Run FatFs, which many cameras and loggers run, on a card's image: in MicroPython's unix port."""

import subprocess

import pytest

from stagelog.card import fat32
from stagelog.rig.runtimes import find_runtime

_DISK = """
import os, sys, vfs
class Disk:
    def __init__(self, path, at):
        self.file = open(path, "r+b")
        self.at = at
        self.n = (self.file.seek(0, 2) - at) // 512
    def readblocks(self, n, buf):
        self.file.seek(self.at + n * 512)
        self.file.readinto(buf)
    def writeblocks(self, n, buf):
        self.file.seek(self.at + n * 512)
        self.file.write(buf)
    def ioctl(self, op, arg):
        return self.n if op == 4 else 512 if op == 5 else 0
disk = Disk(sys.argv[1], int(sys.argv[2]))
def mount():
    vfs.mount(vfs.VfsFat(disk), "/sd")
"""


def run_fatfs(card, script, folder, at=fat32.ALIGN * 512):
    """Run a script of MicroPython on a card's image; return what it prints. Skips without a
    runtime.

    script   finds `disk`, the partition at byte `at`, and `mount()`, which mounts it as /sd
    folder   for the script's file
    """
    runtime = find_runtime("unix64")
    if runtime is None:
        pytest.skip("no unix64 MicroPython: run tools/runtimes unix64")
    file = folder / "fatfs_script.py"
    file.write_text(_DISK + script)
    command = [runtime, file, card, str(at)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
