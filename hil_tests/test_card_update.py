"""Update by card on the emulated Pico: the shipped firmware, a FAT32 card, a package in its root.

The new program is the shipped one behind another start.py: same work, another SHA-256.
"""

from dataclasses import replace

import pytest

from slog import messages as m
from slog import package as p
from slog.faults import BUS_SILENT, NONE, UPDATE_REFUSED
from stagelog.blocks import read_log
from stagelog.card import prepare
from stagelog.card.put import put_file
from stagelog.ending import STOPPED, find_end
from stagelog.flash.package import Package, device_key, packed
from stagelog.proof import new_key, own_key
from stagelog.rig.rp2040.firmware import logger_files
from stagelog.rig.rp2040.target import Rp2040Target
from stagelog.rig.runtimes import find_runtime

NEW = logger_files(start="from own_start import run\n")["a.app"]
SETTINGS = b'{"car": "C01", "flush_ms": 100}'


@pytest.fixture
def rig(tmp_path, monkeypatch):
    """Return (target, id of the logger, its key), the logger provisioned and without power."""
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "keys"))
    new_key("X")
    prepare(tmp_path / "card.img", 48 << 20)
    target = Rp2040Target(tmp_path)
    device_id = target.link.hello().device_id.hex()
    target.link.replace_config(m.CONFIG_KEY, device_key(own_key(), device_id))
    target.power_cut()
    yield target, device_id
    target.close()


def power_on_with(target, package):
    """Put a package onto the card and give power until the logger has done with it and started
    again; return HELLO.
    """
    put_file(target.card_path, p.FILE, packed(package, own_key()))
    target.power_on()
    target.board.run_until(lambda: not target.board.usb.connected, 20_000_000, what="its restart")
    target.wait_for_start()
    return target.link.hello()


def test_a_package_is_installed_if_it_is_for_this_logger(rig):
    """First one of another logger: refused, and said; it stays refused. Then the right one."""
    target, device_id = rig
    package = Package(2000, "00" * 8, "C01", "pico_mcp2515", 0x1306, NEW, SETTINGS)
    hello = power_on_with(target, package)
    assert hello.slot == 0 and hello.car_name == ""
    update = p.load_update(target.link.get_config(m.CONFIG_UPDATE))
    assert update["reason"] == p.OTHER_LOGGER
    status = target.link.status()
    assert status.state == m.STATE_RECORDING
    assert status.fault in (UPDATE_REFUSED, BUS_SILENT)  # a silent bus comes first
    target.power_cut()

    hello = power_on_with(target, replace(package, device_id=device_id))
    assert hello.slot == 1 and hello.car_name == "C01"
    assert target.link.get_config(m.CONFIG_FIRMWARE) == NEW[:32]
    update = p.load_update(target.link.get_config(m.CONFIG_UPDATE))
    assert (update["number"], update["reason"], update["n_tries"]) == (2000, p.INSTALLED, 1)
    status = target.link.status()
    assert status.state == m.STATE_RECORDING and status.fault in (NONE, BUS_SILENT)
    target.power_cut()
    log = read_log(target.card_path)
    assert find_end(log.sessions[-2], log.sessions).kind == STOPPED
    target.power_on()  # the card still has it: nothing to do
    assert target.link.hello().slot == 1 and target.link.status().state == m.STATE_RECORDING
