"""A simulated logger that keeps its flash in a folder takes packages from its card, as a Pico."""

from dataclasses import replace

import pytest

from slog import messages as m
from slog import package as p
from slog.faults import UPDATE_REFUSED
from stagelog.card import prepare
from stagelog.card.put import get_file, put_file
from stagelog.flash.build import pack_app
from stagelog.flash.package import Package, device_key, packed
from stagelog.proof import new_key, own_key
from stagelog.rig.live import LiveLogger

ID = "53494d3030303031"
NEW = pack_app({"start.py": b"new;" * 900})
PACK = Package(2000, ID, "C01", "pico_mcp2515", 0x1306, NEW, b'{"car": "C01", "flush_ms": 100}')


@pytest.fixture
def power_on(tmp_path, monkeypatch):
    """Return a function that gives power for a second, and cuts it; returns the application."""
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "keys"))
    new_key("X")
    card = tmp_path / "card.img"
    prepare(card, 48 << 20)
    args = {"card": str(card), "device_id": ID, "seed": 1, "settings": {"car": "C01"}}

    def call():
        logger = LiveLogger(args, flash=tmp_path / "flash")
        logger.play_until(logger.world.clock.now_us + 1_000_000)
        logger.close()
        return logger.app

    call.card = card
    return call


def test_a_package_on_the_card_is_installed_at_power_on(power_on, tmp_path):
    """As hil_tests/test_card_update on the emulated Pico: refused without a key and for another
    logger, installed once for this one, and kept at the next power-on.
    """
    app = power_on()
    assert (app.board.slot, app.settings["flush_ms"]) == (0, 250)
    first = app.board.nv.load(m.CONFIG_FIRMWARE)
    put_file(power_on.card, p.FILE, packed(PACK, own_key()))
    board = power_on().board
    assert board.slot == 0 and p.load_update(board.nv.load(m.CONFIG_UPDATE))["reason"] == p.NO_KEY
    board.nv.save(m.CONFIG_KEY, device_key(own_key(), ID))

    other = replace(PACK, device_id="00" * 8)
    put_file(power_on.card, p.FILE, packed(other, own_key()))
    app = power_on()
    update = p.load_update(app.board.nv.load(m.CONFIG_UPDATE))
    assert (app.board.slot, update["reason"]) == (0, p.OTHER_LOGGER)
    assert app.state == m.STATE_RECORDING and app.board.nv.load(m.CONFIG_FIRMWARE) == first
    assert app.fault == UPDATE_REFUSED

    put_file(power_on.card, p.FILE, packed(PACK, own_key()))
    for _ in range(2):
        app = power_on()
        update = p.load_update(app.board.nv.load(m.CONFIG_UPDATE))
        assert (app.board.slot, update["number"], update["reason"]) == (1, 2000, p.INSTALLED)
        assert app.board.nv.load(m.CONFIG_FIRMWARE) == NEW[:32]
        assert app.settings["flush_ms"] == 100 and app.state == m.STATE_RECORDING
    names = sorted(path.name for path in (tmp_path / "flash").iterdir())
    assert names == ["a.app", "b.app", "settings", "slot.b"]


def test_a_file_comes_from_a_card_as_it_was_put_there(tmp_path):
    """Lengths around a cluster, and one that is replaced by a longer one."""
    card = tmp_path / "card.img"
    prepare(card, 48 << 20)
    assert get_file(card, "A.BIN") is None
    for n in (0, 1, 511, 512, 4096, 4097, 70_001):
        content = bytes(i % 251 for i in range(n))
        put_file(card, "A.BIN", content)
        assert get_file(card, "A.BIN") == content
