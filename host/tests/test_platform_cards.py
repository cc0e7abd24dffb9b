"""Cards prepared on Windows and macOS, as far as that can be shown on another system.

The system's programs are scripts of ours that print fields and sizes as in public samples, and
note how they were called; the disk is a file of its name. The samples:

    Windows  Get-Disk and Get-Partition | ConvertTo-Json of PowerShell 5.1, whose enumerations are
             words and whose missing drive letter is a zero character (reports with a card reader
             "Generic STORAGE DEVICE" of 31,914,983,424 bytes beside a disk of the system)
    macOS    diskutil list -plist and diskutil info -plist of a MacBook Pro with a card of
             127,999,672,320 bytes in its own slot: "Internal" is true there, too

The disks are smaller here. No Windows and no macOS has run this.
"""

import io
import json
import os
import plistlib
import sys
from pathlib import Path

import numpy as np
import pytest

from stagelog.blocks import Identity, pack_session
from stagelog.blocks.medium import open_medium
from stagelog.card import prepare, read_card
from stagelog.cli import main
from stagelog.errors import OutputError
from stagelog.model import FRAME
from stagelog.platform import drives

SIZE = 80 << 20
EXTENT_ID = b"CARD-ID!"
ZERO = "\u0000"
DISK_2 = r"\\.\PhysicalDrive2"
PREPARE = sys.modules["stagelog.card.prepare"]


def program(folder, name, script):
    """Make a program that notes its words in calls.txt."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls.txt\n{script}\n')
    path.chmod(0o755)


def calls(folder):
    return (folder / "calls.txt").read_text().splitlines()


@pytest.fixture
def windows(tmp_path, monkeypatch):
    """A Windows whose disk 2 is a card in a reader, mounted as E:, which is a folder here."""
    disk = {"IsBoot": False, "IsSystem": False, "BusType": "USB"}
    printed = {
        "disks": [
            {"Number": 0, "FriendlyName": "NVMe SAMSUNG MZVL21T0", "Size": 1024209543168}
            | {"BusType": "NVMe", "IsBoot": True, "IsSystem": True},
            {"Number": 2, "FriendlyName": "Generic STORAGE DEVICE", "Size": SIZE} | disk,
        ],
        "parts": [
            {"DiskNumber": 0, "DriveLetter": ZERO},
            {"DiskNumber": 0, "DriveLetter": "C"},
            {"DiskNumber": 2, "DriveLetter": "E"},
        ],
    }
    (tmp_path / "disks.json").write_text(json.dumps(printed))
    script = f'case "$*" in *ConvertTo-Json*) cat {tmp_path}/disks.json;; esac'
    program(tmp_path, "powershell", script)
    (tmp_path / "E:").mkdir()
    with open(tmp_path / DISK_2, "wb") as file:
        file.truncate(SIZE)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(drives.sys, "platform", "win32")
    return tmp_path


def as_image(folder):
    """Return the bytes of an image of the same size and id, which Linux makes."""
    prepare(folder / "card.img", SIZE, extent_id=EXTENT_ID)
    return (folder / "card.img").read_bytes()


@pytest.mark.parametrize("name", [DISK_2, "E:", "E:\\"])
def test_windows_makes_the_card_that_linux_makes(windows, name):
    made = prepare(name, extent_id=EXTENT_ID)
    assert str(made.path) == DISK_2
    cleared = [line for line in calls(windows) if "Clear-Disk" in line]
    assert len(cleared) == 1 and "Clear-Disk -Number 2 -RemoveData -RemoveOEM" in cleared[0]
    assert (windows / DISK_2).read_bytes() == as_image(windows)


def test_windows_is_asked_for_whole_sectors_only(windows, monkeypatch):
    """A disk of Windows refuses any other place or length (Win32 ReadFile, "Unbuffered")."""

    class Sectors(io.FileIO):
        def seek(self, at, whence=0):
            assert whence != 2, "a disk has no end to seek"
            at = super().seek(at, whence)
            assert at % 512 == 0
            return at

        def readinto(self, buffer):
            assert len(buffer) % 512 == 0
            return super().readinto(buffer)

        def write(self, content):
            assert len(content) % 512 == 0
            return super().write(content)

    monkeypatch.setattr(PREPARE, "open_alone", lambda path: io.BufferedRandom(Sectors(path, "r+")))
    prepare(DISK_2, extent_id=EXTENT_ID)
    assert (windows / DISK_2).read_bytes() == as_image(windows)


def store_card(folder):
    """Put a card with one session of a logger into a folder, as it is mounted."""
    prepare(folder.parent / "x.img", SIZE, extent_id=EXTENT_ID)
    image = bytearray((folder.parent / "x.img").read_bytes())
    medium = open_medium(folder.parent / "x.img")
    frames = np.zeros(300, FRAME)
    frames["t_us"] = np.arange(300) * 1000
    blocks = pack_session(frames, Identity("ab" * 8, 1, 1)).tobytes()
    at = int(medium.offsets[medium.ring[0]])
    image[at : at + len(blocks)] = blocks
    (folder / "STAGELOG.BIN").write_bytes(image[int(medium.offsets[0]) :])


def test_windows_reads_the_mounted_card_and_asks_before_sessions_are_lost(windows, capsys):
    store_card(windows / "E:")
    assert len(read_card(DISK_2).sessions) == len(read_card("E:").sessions) == 1
    with pytest.raises(OutputError, match="not released; keep them with 'stagelog card read'"):
        prepare("E:")
    assert not [line for line in calls(windows) if "Clear-Disk" in line]
    made = prepare("E:", force=True)
    assert made.released_seq == 3  # above its two blocks: 300 frames, 252 in each
    assert capsys.readouterr().out == ""


def test_windows_asks_with_size_and_model(windows, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("stagelog.cli.card.confirm", lambda text, yes: asked.append(text) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["card", "prepare", "E:"])
    known = rf"{DISK_2}, 0.1 GB, Generic STORAGE DEVICE, mounted on E:"
    assert asked == [f"All files on {known} will be lost. Continue?"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("C:", "BUILT IN.*only a card or a USB disk is prepared"),
        (r"\\.\PhysicalDrive7", "is not found; 'stagelog card prepare' lists the cards"),
    ],
)
def test_windows_refuses_what_is_no_card(windows, name, why):
    with pytest.raises(OutputError, match=why):
        prepare(name, force=True)
    assert not [line for line in calls(windows) if "Clear-Disk" in line]


def test_windows_says_who_may_take_the_disk(windows):
    """The words are those of Clear-Disk without the rights of an administrator."""
    denied = "Clear-Disk : Access Denied. PermissionDenied: (:) [Clear-Disk], CimException"
    fails = f'*Clear*) echo "{denied}" >&2; exit 1;;'
    script = f'case "$*" in {fails} *) cat {windows}/disks.json;; esac'
    program(windows, "powershell", script)
    with pytest.raises(OutputError, match="Access Denied.*; start the terminal with 'Run as adm"):
        prepare(DISK_2)
    assert not any((windows / DISK_2).read_bytes()[:4096])


def test_a_card_that_is_not_mounted_is_not_overwritten_unseen(windows):
    (windows / DISK_2).write_bytes(as_image(windows))
    with pytest.raises(OutputError, match="not mounted: it cannot be seen what is on it"):
        prepare(DISK_2, force=True)


@pytest.fixture
def macos(tmp_path, monkeypatch):
    """A MacBook with a card in its own slot: disk4, mounted on a folder of this test."""
    mounted = tmp_path / "Volumes" / "STAGELOG"
    mounted.mkdir(parents=True)
    listed = {
        "AllDisksAndPartitions": [
            {"DeviceIdentifier": "disk0", "Size": 1000555581440,
             "OSInternal": False, "Partitions": [{"DeviceIdentifier": "disk0s2"}]},
            {"DeviceIdentifier": "disk4", "Size": SIZE, "Content": "FDisk_partition_scheme",
             "OSInternal": False,
             "Partitions": [{"DeviceIdentifier": "disk4s1", "Content": "DOS_FAT_32",
                             "MountPoint": str(mounted), "VolumeName": "STAGELOG"}]},
        ],
        "WholeDisks": ["disk0", "disk4"],
    }  # fmt: skip
    system = {"Internal": True, "Removable": False, "RemovableMedia": False, "WholeDisk": True}
    system |= {"MediaName": "APPLE SSD AP1024Z", "BusProtocol": "Apple Fabric"}
    card = {"Internal": True, "Removable": True, "RemovableMedia": True, "Ejectable": True}
    card |= {
        "MediaName": "Built In SDXC Reader",
        "BusProtocol": "Secure Digital",
        "WholeDisk": True,
    }
    for name, facts in (("list", listed), ("disk0", system), ("disk4", card)):
        (tmp_path / f"{name}.plist").write_bytes(plistlib.dumps(facts))
    last = 'for last in "$@"; do :; done'
    printed = f"list) cat {tmp_path}/list.plist;; info) {last}; cat {tmp_path}/$last.plist;;"
    script = f'case "$1" in {printed} esac'
    program(tmp_path, "diskutil", script)
    with open(tmp_path / "disk4", "wb") as file:
        file.truncate(SIZE)
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda name, *rest: real_open(moved(tmp_path, name), *rest))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    is_device = Path.is_block_device
    monkeypatch.setattr(
        Path, "is_block_device", lambda path: str(path).startswith("/dev/disk") or is_device(path)
    )
    monkeypatch.setattr(drives.sys, "platform", "darwin")
    return tmp_path


def moved(folder, name):
    return str(folder / "disk4") if str(name) == "/dev/disk4" else name


def test_macos_makes_the_card_that_linux_makes(macos):
    store_card(macos / "Volumes" / "STAGELOG")
    assert drives.find_drives()[0].text.startswith("/dev/disk4, 0.1 GB, Built In SDXC Reader")
    with pytest.raises(OutputError, match="holds 1 session.*not released"):
        prepare("/dev/disk4")
    made = prepare("/dev/disk4", extent_id=EXTENT_ID, force=True)
    assert made.released_seq == 3
    assert "unmountDisk /dev/disk4" in calls(macos)
    assert (macos / "disk4").read_bytes()[:512] == as_image(macos)[:512]
    with pytest.raises(OutputError, match="only a card or a USB disk is prepared"):
        prepare("/dev/disk0")
