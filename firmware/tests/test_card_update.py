"""A package on the card is installed if it is signed, newer and for this logger; else all stays.

`take_package` runs on files in a folder here; hil_tests/campaigns cut its power on littlefs.
"""

import hashlib
import io
import struct
import types
from dataclasses import replace

import pytest

from logger.card_update import take_package
from logger.ring import BlockRing
from slog import messages as m
from slog import package as p
from slog.layout import offsets, size
from stagelog.flash.build import pack_app
from stagelog.flash.package import Package, device_key, packed
from stagelog.proof import new_key, own_key
from stagelog.rig.sim.models import MemoryNv

ID = "53494d3030303031"
OLD, NEW = (pack_app({"start.py": text * 900}) for text in (b"old;", b"new;"))
SETTINGS = b'{"car": "C01", "flush_ms": 100}'
SEEN = 0x1234567


@pytest.fixture(autouse=True)
def key(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path_factory.mktemp("keys")))
    new_key("X")
    return own_key()


@pytest.fixture
def board(tmp_path, key):
    """A board of car C01 that runs OLD from slot A and got package 1000 last."""
    (tmp_path / "a.app").write_bytes(OLD)
    (tmp_path / "slot.a").write_bytes(b"")
    items = {
        m.CONFIG_SETTINGS: b'{"car": "C01"}',
        m.CONFIG_FIRMWARE: OLD[:32],
        m.CONFIG_KEY: device_key(key, ID),
        m.CONFIG_UPDATE: p.save_update({"number": 1000}),
    }
    return types.SimpleNamespace(
        nv=MemoryNv(items), device_id=bytes.fromhex(ID), name="pico_mcp2515", slot=0,
        ring=BlockRing(8),
    )  # fmt: skip


PACK = Package(2000, ID, "C01", "pico_mcp2515", 0x1306, NEW, SETTINGS, b"SLST" * 999)


def take(board, folder, content, seen=SEEN):
    """Return (reason, fields of UPDATE)."""
    reason = take_package(board, io.BytesIO(content), seen, lambda: None, str(folder))
    return reason, p.load_update(board.nv.load(m.CONFIG_UPDATE))


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_package_is_installed_beside_what_runs(board, tmp_path, key):
    reason, update = take(board, tmp_path, packed(PACK, key))
    assert reason == p.INSTALLED
    assert files(tmp_path) == {"a.app": OLD, "b.app": NEW, "slot.b": b""}
    assert board.nv.items[m.CONFIG_SETTINGS] == SETTINGS
    assert board.nv.items[m.CONFIG_SIGNALS] == b"SLST" * 999
    assert (update["number"], update["seen"], update["n_tries"]) == (2000, SEEN, 1)
    assert update["digest"] == NEW[:8] and update["reason"] == p.INSTALLED


def test_settings_and_table_alone_need_no_new_program(board, tmp_path, key):
    same = replace(PACK, app=OLD)
    assert take(board, tmp_path, packed(same, key))[0] == p.INSTALLED
    assert files(tmp_path) == {"a.app": OLD, "slot.a": b""}
    assert board.nv.items[m.CONFIG_SETTINGS] == SETTINGS
    bare = replace(PACK, number=2001, settings=None, signals=None)
    assert take(board, tmp_path, packed(bare, key))[0] == p.INSTALLED
    assert board.nv.items[m.CONFIG_SETTINGS] == SETTINGS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": 999}, p.OLDER),
        ({"device_id": "00" * 8}, p.OTHER_LOGGER),
        ({"car": "C02"}, p.OTHER_CAR),
        ({"board": "pico_pio"}, p.OTHER_BOARD),
    ],
)
def test_a_package_that_is_not_for_this_logger_changes_nothing(
    board, tmp_path, key, change, reason
):
    before = files(tmp_path), {i: x for i, x in board.nv.items.items() if i != m.CONFIG_UPDATE}
    found, update = take(board, tmp_path, packed(replace(PACK, **change), key))
    assert found == reason == update["reason"] and update["number"] == 1000
    items = {i: x for i, x in board.nv.items.items() if i != m.CONFIG_UPDATE}
    assert (files(tmp_path), items) == before


def test_every_altered_byte_of_a_package_is_refused(board, tmp_path, key):
    """Of all that the logger reads; the team's signature behind it is the host's."""
    content = packed(PACK, key)
    n = size(p.PACKAGE) + p.MAC_BYTES + len(NEW) + len(SETTINGS) + 4 * 999
    assert content[n : n + 1] == b"{"
    before = files(tmp_path)
    for at in [*range(size(p.PACKAGE) + 100), *range(150, n, 97), n - 1]:
        altered = content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]
        reason, update = take(board, tmp_path, altered, at)
        assert reason not in (p.INSTALLED, p.UNREADABLE), at
        assert update["reason"] == reason and update["number"] == 1000
    assert files(tmp_path) == before and m.CONFIG_SIGNALS not in board.nv.items
    for cut in (0, 10, size(p.PACKAGE), 200, n - 1):
        assert take(board, tmp_path, content[:cut])[0] in (p.NO_PACKAGE, p.ALTERED)


def test_a_logger_without_a_key_or_with_another_teams_takes_nothing(board, tmp_path, key):
    del board.nv.items[m.CONFIG_KEY]
    assert take(board, tmp_path, packed(PACK, key))[0] == p.NO_KEY
    board.nv.items[m.CONFIG_KEY] = bytes(32)
    assert take(board, tmp_path, packed(PACK, key))[0] == p.ALTERED
    assert files(tmp_path) == {"a.app": OLD, "slot.a": b""}


def test_flash_that_takes_nothing_leaves_what_runs(board, tmp_path, key):
    """The slot cannot be written; it is tried again, as after a power cut."""
    (tmp_path / "b.new").mkdir()
    reason, update = take(board, tmp_path, packed(PACK, key))
    assert reason == update["reason"] == p.UNREADABLE and update["n_tries"] == 1
    assert take(board, tmp_path, packed(PACK, key))[1]["n_tries"] == 2
    (tmp_path / "b.new").rmdir()
    assert files(tmp_path) == {"a.app": OLD, "slot.a": b""}
    assert take(board, tmp_path, packed(PACK, key))[0] == p.INSTALLED


def test_the_codes_that_the_application_reads_by_place_are_those_of_the_table():
    """logger.app unpacks '<4xI8sBB' and takes 1 for installed, more for refused, 3 for the most
    tries.
    """
    assert struct.calcsize("<4xI8sBB") <= size(p.UPDATE) == 20
    places = offsets(p.UPDATE)
    assert [places[name] for name in ("seen", "digest", "n_tries", "reason")] == [4, 8, 16, 17]
    assert (p.UNREADABLE, p.INSTALLED, p.MOST_TRIES) == (0, 1, 3)
    assert min(set(p.REASON_TEXT) - {p.UNREADABLE, p.INSTALLED}) == 2


def test_the_mac_is_checked_before_a_byte_is_written(board, tmp_path, key):
    """Even if the flash took the program: settings, table and slot stay."""
    content = bytearray(packed(PACK, key))
    content[size(p.PACKAGE)] ^= 1
    written = []
    board.nv.save = lambda item, data: written.append(item) or MemoryNv.save(board.nv, item, data)
    assert take(board, tmp_path, bytes(content))[0] == p.ALTERED
    assert written == [m.CONFIG_UPDATE] * 2
    assert hashlib.sha256((tmp_path / "a.app").read_bytes()[32:]).digest() == OLD[:32]
