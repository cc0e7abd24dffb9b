"""Disks of the three systems, and what `card prepare` says of them before it asks.

/sys of Linux is made in a folder, after Documentation/ABI/stable/sysfs-block; what diskutil and
PowerShell print is written after their manual pages: no macOS and no Windows was at hand.
"""

import json
import plistlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from stagelog.card import prepare_raw, read_card
from stagelog.cli import main
from stagelog.platform import drives
from stagelog.platform.drives import Drive

CARD = {
    "size": "62333952",
    "removable": "1",
    "device/vendor": "Generic ",
    "device/model": "STORAGE",
}
SD = {"size": "15523840", "removable": "0", "device/type": "SD", "device/name": "SC16G"}
BUILT_IN = {"size": "1000215216", "removable": "0", "device/model": "Samsung SSD 980"}
EMPTY_READER = {"size": "0", "removable": "1", "device/model": "STORAGE"}
PARTITION = {"size": "62331904", "partition": "1"}
LOOP = {"size": "4096", "removable": "0"}
# 62,333,952 sectors of 512 bytes are 31,914,983,424 bytes; 15,523,840 are 7,948,206,080.
WANTED = [
    Drive("/dev/mmcblk0", 7_948_206_080, "SC16G", True),
    Drive("/dev/sdb", 31_914_983_424, "Generic STORAGE", True, ("/media/me/CARD",)),
    Drive("/dev/sda", 512_110_190_592, "Samsung SSD 980", False, ("/",)),
]


@pytest.fixture
def linux(tmp_path, monkeypatch):
    given = {"sda": BUILT_IN, "sdb": CARD, "sdb1": PARTITION, "sdc": EMPTY_READER, "loop0": LOOP}
    for name, files in (given | {"mmcblk0": SD}).items():
        for file, content in files.items():
            path = tmp_path / "sys" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    lines = ("/dev/sda / ext4 rw 0 0", "/dev/sdb1 /media/me/CARD vfat rw 0 0")
    lines += ("/dev/sdbx /x vfat rw 0 0", "proc /proc proc rw 0 0")
    (tmp_path / "proc/self/mounts").write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.setattr(drives.psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    monkeypatch.setattr(drives, "_BLOCK_DEVICES", tmp_path / "sys")


def test_linux_shows_cards_first_and_no_partition_loop_or_empty_reader(linux):
    assert drives.find_drives() == WANTED
    assert drives.drive_of("/dev/sdb") == WANTED[1]
    assert drives.drive_of("/media/me/CARD") == WANTED[1]
    assert drives.drive_of("/dev/sdb1") is None


@pytest.mark.parametrize(
    ("drive", "text"),
    [
        (WANTED[1], "/dev/sdb, 31.9 GB, Generic STORAGE, mounted on /media/me/CARD"),
        (WANTED[2], "/dev/sda, 512.1 GB, Samsung SSD 980, BUILT IN, mounted on /"),
        (Drive("/dev/sdd", 0, "", True), "/dev/sdd, size not known"),
    ],
)
def test_a_drive_is_one_line_with_size_and_model(drive, text):
    assert drive.text == text


def test_macos_is_read_from_diskutil(monkeypatch):
    listed = {
        "AllDisksAndPartitions": [
            {"DeviceIdentifier": "disk0", "Size": 500_277_790_720, "Partitions": []},
            {
                "DeviceIdentifier": "disk4",
                "Size": 31_914_983_424,
                "Partitions": [{"DeviceIdentifier": "disk4s1", "MountPoint": "/Volumes/CARD"}],
            },
        ]
    }
    information = {
        "disk0": {"MediaName": "APPLE SSD", "RemovableMediaOrExternalDevice": False},
        "disk4": {"MediaName": "Built In SDXC Reader", "RemovableMediaOrExternalDevice": True},
    }
    answers = {"list": listed} | {f"info {name}": facts for name, facts in information.items()}

    def run(command, **_):
        assert command[0] == "diskutil"
        key = " ".join([command[1], *command[3:]]).replace(" physical", "")
        return SimpleNamespace(returncode=0, stdout=plistlib.dumps(answers[key]))

    monkeypatch.setattr(drives.subprocess, "run", run)
    monkeypatch.setattr(drives.sys, "platform", "darwin")
    assert drives.find_drives() == [
        Drive("/dev/disk4", 31_914_983_424, "Built In SDXC Reader", True, ("/Volumes/CARD",)),
        Drive("/dev/disk0", 500_277_790_720, "APPLE SSD", False),
    ]


def test_windows_is_read_from_powershell(monkeypatch):
    disk = {"IsBoot": False, "IsSystem": False, "Size": 31_914_983_424}
    given = {
        "disks": [
            {"Number": 0, "FriendlyName": "Samsung", "BusType": "NVMe", **disk, "IsBoot": True},
            {
                "Number": 1,
                "FriendlyName": "Windows To Go",
                "BusType": "USB",
                **disk,
                "IsBoot": True,
            },
            {"Number": 2, "FriendlyName": "Generic STORAGE ", "BusType": "USB", **disk},
            {"Number": 3, "FriendlyName": None, "BusType": 12, **disk, "Size": None},
        ],
        "parts": [
            {"DiskNumber": 0, "DriveLetter": "C"},
            {"DiskNumber": 2, "DriveLetter": "\u0000"},
            {"DiskNumber": 2, "DriveLetter": "E"},
        ],
    }
    printed = SimpleNamespace(returncode=0, stdout=json.dumps(given).encode())
    monkeypatch.setattr(drives.subprocess, "run", lambda *_, **__: printed)
    monkeypatch.setattr(drives.sys, "platform", "win32")
    found = drives.find_drives()  # those that can be taken out first
    assert [(d.path, d.model, d.is_removable, d.mounts) for d in found] == [
        ("\\\\.\\PhysicalDrive2", "Generic STORAGE", True, ("E:",)),
        ("\\\\.\\PhysicalDrive3", "", True, ()),
        ("\\\\.\\PhysicalDrive0", "Samsung", False, ("C:",)),
        ("\\\\.\\PhysicalDrive1", "Windows To Go", False, ()),
    ]
    for printed.stdout in (b"", b"not JSON"):
        assert drives.find_drives() == []


def failure(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code, capsys.readouterr().err


def test_prepare_without_a_disk_lists_the_cards_and_not_what_is_built_in(linux, capsys):
    code, error = failure(capsys, "card", "prepare")
    assert code == 2 and WANTED[0].text in error and WANTED[1].text in error
    assert "Samsung" not in error


def test_prepare_asks_with_size_and_model(linux, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("stagelog.cli.card.is_disk", lambda path: True)
    monkeypatch.setattr("stagelog.cli.card.confirm", lambda text, yes: asked.append(text) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["card", "prepare", "/dev/sdb"])
    assert asked == [f"All files on {WANTED[1].text} will be lost. Continue?"]


def test_a_mounted_card_is_read_by_its_folder(tmp_path):
    prepare_raw(tmp_path / "STAGELOG.BIN", 64)
    assert read_card(tmp_path).kind == read_card(Path(tmp_path, "STAGELOG.BIN")).kind
