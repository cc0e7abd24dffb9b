"""The flash of a board that was flashed: main.py and the shipped firmware in slot A.

Built by stagelog.flash for the emulated chip, and like it fails with FlashError.
"""

from stagelog.flash.build import build_app, pack_app
from stagelog.resources import firmware_path


def logger_files(board: str = "pico_mcp2515", start: str | None = None) -> dict[str, bytes]:
    """Return {path: bytes} of a flash that starts the logger at power-on.

    start  source of a start.py to run instead; the slot's own is then the module own_start
    """
    content = build_app(board, "armv6m").content
    if start is not None:
        modules = _unpack(content)
        modules["own_start.mpy"] = modules.pop("start.mpy")
        content = pack_app({**modules, "start.py": start.encode()})
    main = (firmware_path() / "main.py").read_bytes()
    return {"main.py": main, "a.app": content, "slot.a": b""}


def _unpack(content: bytes) -> dict[str, bytes]:
    """Return {path: bytes} of the modules in a slot file."""
    at = 34 + int.from_bytes(content[32:34], "little")
    lines = [line.split() for line in content[34:at].decode().split("\n")]
    modules = {}
    for path, size in lines:
        if int(size):
            modules[path] = content[at : at + int(size)]
            at += int(size)
    return modules
