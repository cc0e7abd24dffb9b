"""The flash of a board that was flashed: main.py and the shipped firmware in slot A.

Made by stagelog.flash for the emulated chip; fails as that does, with FlashError.
"""

import functools

from stagelog.flash.build import build_app, pack_app
from stagelog.resources import firmware_path


def logger_files(board="pico_mcp2515", start=None):
    """Return {path: bytes} of a flash that starts the logger at power-on.

    start  source of another start.py, with run(slot, memory, at), for measurements on the board
    """
    content = _app(board)
    if start is not None:
        places = {**unpack_app(content), "start.py": start.encode()}
        del places["start.mpy"]
        content = pack_app(places)
    main = (firmware_path() / "main.py").read_bytes()
    return {"main.py": main, "a.app": content, "slot": b"a"}


def unpack_app(content):
    """Return {path: bytes} of the modules in a slot file."""
    at = 34 + int.from_bytes(content[32:34], "little")
    places = {}
    for line in content[34:at].decode().split("\n"):
        path, size = line.split()
        if int(size):
            places[path] = content[at : at + int(size)]
            at += int(size)
    return places


@functools.cache
def _app(board):
    return build_app(board, "armv6m").content
