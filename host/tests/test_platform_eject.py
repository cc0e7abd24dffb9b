"""A card is released by the programs of each system, named after their manual pages.

No card in a reader, macOS or Windows was at hand: the commands are compared, and on Linux run as
scripts made here.
"""

import os
from types import SimpleNamespace

import psutil
import pytest

from stagelog.card import prepare_raw
from stagelog.errors import OutputError
from stagelog.platform import eject
from stagelog.platform.drives import Drive

CARD = Drive("/dev/sdb", 31_914_983_424, "Generic STORAGE", True, ("/media/me/CARD",))


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH that holds only programs that note how they were called; those named fail."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    mounted = [
        SimpleNamespace(device="/dev/sda1", mountpoint="/"),
        SimpleNamespace(device="/dev/sdb1", mountpoint="/media/me/CARD"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounted)

    def make(*names, fail=()):
        for name in names:
            path = tmp_path / "bin" / name
            end = 'echo "target is busy" >&2; exit 1' if name in fail else "exit 0"
            path.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n{end}\n')
            path.chmod(0o755)

    make.calls = lambda: (tmp_path / "calls").read_text().splitlines()
    return make


@pytest.mark.skipif(os.name != "posix", reason="runs shell scripts")
@pytest.mark.parametrize(
    ("names", "calls"),
    [
        (("udisksctl",), ["udisksctl unmount -b /dev/sdb1", "udisksctl power-off -b /dev/sdb"]),
        (("umount", "eject"), ["umount /media/me/CARD", "eject /dev/sdb"]),
        (("umount",), ["umount /media/me/CARD"]),
    ],
)
def test_linux(programs, names, calls):
    programs(*names)
    eject.eject(CARD)
    assert programs.calls() == calls


def test_what_the_system_refuses_is_reported_and_ends_it(programs):
    programs("umount", "eject", fail=("umount",))
    with pytest.raises(OutputError, match="cannot eject /dev/sdb: target is busy"):
        eject.eject(CARD)
    assert programs.calls() == ["umount /media/me/CARD"]


def test_a_program_that_is_not_there_and_a_built_in_disk(programs):
    with pytest.raises(OutputError, match="cannot eject"):
        eject.eject(CARD)
    with pytest.raises(OutputError, match="built in"):
        eject.eject(Drive("/dev/sda", 1, "SSD", False, ("/",)))


@pytest.mark.skipif(os.name != "posix", reason="runs shell scripts")
def test_macos_and_windows(programs, monkeypatch):
    programs("diskutil", "powershell")
    monkeypatch.setattr(eject.sys, "platform", "darwin")
    eject.eject(Drive("/dev/disk4", 1, "card", True, ("/Volumes/CARD",)))
    assert programs.calls() == ["diskutil eject /dev/disk4"]
    monkeypatch.setattr(eject.sys, "platform", "win32")
    eject.eject(Drive(r"\\.\PhysicalDrive2", 1, "card", True, ("E:\\",)))
    command = programs.calls()[1]
    assert command.startswith("powershell ") and "ParseName('E:').InvokeVerb('Eject')" in command


def test_card_read_ejects_after_reading(tmp_path, monkeypatch, run):
    path = tmp_path / "card.img"
    prepare_raw(path, 2048)
    assert run("card", "read", path, "--eject")[0] == 2  # a file is no card
    released = []
    monkeypatch.setattr("stagelog.cli.card.drive_of", lambda _: CARD)
    monkeypatch.setattr(eject, "eject", released.append)
    code, out, err = run("card", "read", path, "--eject")
    assert code == 0 and released == [CARD] and "/dev/sdb may be taken out" in err
    assert run("card", "read", "--all", "--eject")[0] == 2
