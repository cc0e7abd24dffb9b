"""Take firmware, settings and signal table from a package on the card, at power-on.

All of the package is checked before it counts: logger, car, board, number, and the HMAC by the
logger's own key. The slot that runs stays as it is; the other one is written under another name,
read back, and gets its name; the last step is the rename of /slot.a or /slot.b. A power cut at any
moment leaves a board that starts the old program or the new one. Nothing on the card is written.
"""

import os
from hashlib import sha256
from sys import implementation

from slog import messages as m
from slog import package as p
from slog.layout import HASH_BYTES, SECTOR_BYTES, size, unpack
from slog.mac import Mac
from slog.settings import SettingsError, digest_of, load

_DIGEST_BYTES = 32


class ReadOnly:
    """The card as MicroPython's FAT wants it; without `writeblocks` it mounts it read-only."""

    def __init__(self, card):
        self._card = card
        self._sector = bytearray(SECTOR_BYTES)

    def readblocks(self, number, buf):
        """Fill `buf` with whole sectors."""
        view = memoryview(buf)
        for at in range(0, len(buf), SECTOR_BYTES):
            self._card.read(number, self._sector)
            view[at : at + SECTOR_BYTES] = self._sector
            number += 1

    def ioctl(self, op, arg):
        """Answer how many sectors there are, and their bytes."""
        return {4: self._card.n_sectors, 5: SECTOR_BYTES}.get(op, 0)


def update_from_card(board, seen, feed):
    """Install the package on the card of a board that has stopped recording; return what became
    of it, a code of `slog.package`. OSError if the board's flash takes nothing.

    seen   number of the file's directory entry, kept so that it is not judged again
    feed   called all the time
    """
    from vfs import VfsFat

    volume = VfsFat(ReadOnly(board.card))  # type: ignore[abstract, arg-type]
    with volume.open(p.FILE, "rb") as file:
        return take_package(board, file, seen, feed)


def take_package(board, file, seen, feed, root=""):
    """Do what update_from_card does with an open file; `root` is where the slots are."""
    nv = board.nv
    state = p.load_update(nv.load(m.CONFIG_UPDATE))
    if state["seen"] != seen:
        state["n_tries"] = 0
    state["seen"] = seen
    state["n_tries"] += 1
    state["digest"] = bytes(8)
    state["reason"] = p.UNREADABLE
    nv.save(m.CONFIG_UPDATE, p.save_update(state))
    try:
        state["reason"] = _take(board, file, state, feed, root)
    except (OSError, MemoryError):
        return p.UNREADABLE
    if state["reason"] != p.INSTALLED:
        nv.save(m.CONFIG_UPDATE, p.save_update(state))
    return state["reason"]


def _take(board, file, state, feed, root):
    nv = board.nv
    head = file.read(size(p.PACKAGE))
    mac = file.read(p.MAC_BYTES)
    if len(mac) != p.MAC_BYTES:
        return p.NO_PACKAGE
    values = unpack(p.PACKAGE, head)
    lengths = [values[name] for name in ("n_firmware", "n_settings", "n_signals")]
    if values["magic"] != p.MAGIC or values["version"] != p.VERSION:
        return p.NO_PACKAGE
    if values["device_id"] != board.device_id:
        return p.OTHER_LOGGER
    try:
        car = load(nv.load(m.CONFIG_SETTINGS))["car"]
    except SettingsError:
        car = ""
    if car and values["car"].rstrip(b"\0") != car.encode():
        return p.OTHER_CAR
    try:
        mpy = implementation._mpy & 0xFFFF
    except AttributeError:  # a test on CPython
        mpy = values["mpy"]
    if values["board"].rstrip(b"\0") != board.name.encode() or values["mpy"] != mpy:
        return p.OTHER_BOARD
    if values["number"] < state["number"]:
        return p.OLDER
    key = nv.load(m.CONFIG_KEY)
    if key is None:
        return p.NO_KEY
    if max(lengths[1:]) > m.MAX_CONFIG_BYTES or _mac(key, head, file, sum(lengths), feed) != mac:
        return p.ALTERED
    start = size(p.PACKAGE) + p.MAC_BYTES
    file.seek(start)
    digest = file.read(_DIGEST_BYTES)
    state["digest"] = digest[:HASH_BYTES]
    if digest != nv.open(m.CONFIG_FIRMWARE)[0].read():
        file.seek(start)
        _write_slot(file, lengths[0], "ba"[board.slot], feed, root)
    file.seek(start + lengths[0])
    memory = memoryview(board.ring.memory)
    for item, n in ((m.CONFIG_SETTINGS, lengths[1]), (m.CONFIG_SIGNALS, lengths[2])):
        data = memory[:n]
        if file.readinto(data) != n:
            return p.NO_PACKAGE
        if n and sha256(data).digest() != digest_of(nv, item):
            feed()
            nv.save(item, data)
    state["number"] = values["number"]
    state["reason"] = p.INSTALLED
    nv.save(m.CONFIG_UPDATE, p.save_update(state))
    if digest != nv.open(m.CONFIG_FIRMWARE)[0].read():
        os.rename("%s/slot.%s" % (root, "ab"[board.slot]), "%s/slot.%s" % (root, "ba"[board.slot]))
    return p.INSTALLED


def _mac(key, head, file, n, feed):
    """Return HMAC-SHA256 of the head and the next `n` bytes, None if there are less."""
    mac = Mac(key)
    mac.update(head)
    for piece in _pieces(file, n, feed):
        mac.update(piece)
        n -= len(piece)
    return None if n else mac.digest()


def _pieces(file, n, feed):
    """Yield the next `n` bytes of a file, fewer at its end; a piece is valid until the next."""
    buf = memoryview(bytearray(1024))
    while n:
        found = file.readinto(buf[: min(n, len(buf))])
        if not found:
            return
        feed()
        yield buf[:found]
        n -= found


def _write_slot(file, n, letter, feed, root):
    """Write `n` bytes of a file into a slot; OSError if they read back wrong."""
    fresh = "%s/%s.new" % (root, letter)
    with open(fresh, "wb") as slot:
        for piece in _pieces(file, n, feed):
            slot.write(piece)
    digest = sha256()
    with open(fresh, "rb") as slot:
        wanted = slot.read(_DIGEST_BYTES)
        for piece in _pieces(slot, n - _DIGEST_BYTES, feed):
            digest.update(piece)
        if digest.digest() != wanted or slot.read(1):
            raise OSError("the slot reads back wrong")
    os.rename(fresh, "%s/%s.app" % (root, letter))
