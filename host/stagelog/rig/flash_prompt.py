"""The MicroPython prompt of a simulated Pico: the raw REPL on its port, its files in a folder.

Owns the dialogue, which is MicroPython's (docs: "The MicroPython Interactive Interpreter Mode"),
and what the code that arrives finds there: files, `machine`, `sys`. The code is run by this
Python, not by a MicroPython; `rig.rp2040` emulates the board with the real one. What the code does
wrong is printed as a board prints it.
"""

import builtins
import errno
import io
import os
import struct
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, Protocol

MACHINE = "Raspberry Pi Pico with RP2040"
MPY = 0x1306  # of MicroPython 1.25 on it: bytecode 6.3, native code of ARMv6-M
_WINDOW = 4096  # bytes of code that the host may send before it waits for another window
_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
_FRIENDLY = b"\r\nMicroPython, a model of it; " + MACHINE.encode() + b"\r\n>>> "
_ALIKE = ("binascii", "hashlib", "json", "struct", "time")  # the same in MicroPython and here


class Cable(Protocol):
    """The board's end of the cable, as `rig.live_cable.LiveCable`."""

    def read(self, buf: Any) -> int:
        """Fill `buf` with what has arrived; return how many bytes."""

    def write(self, buf: Any, at: int, n: int) -> int:
        """Send what the wire takes of `n` bytes of `buf` from `at`; return how many bytes."""


class _Reset(BaseException):
    """The code asks for a reset of the chip."""


class Prompt:
    """A board at its prompt. Invariant: nothing outside of `root` is opened.

    root       folder that is the board's "/"
    device_id  8 bytes
    """

    def __init__(self, cable: Cable, root: Path, device_id: bytes) -> None:
        self._cable = cable
        self._root = root
        self._device_id = device_id
        self._in = bytearray(_WINDOW)
        self._out = b""
        self._line = bytearray()
        self._take: Callable[[int], None] = self._take_friendly
        self._n_pasted = 0
        self._is_reset = False
        self._globals: dict[str, Any] = {}
        self._forget()

    def step(self) -> bool:
        """Take in what has arrived and answer it; return True once code has reset the chip."""
        n = self._cable.read(self._in)
        for byte in self._in[:n]:
            self._take(byte)
        if self._out:
            self._out = self._out[self._cable.write(self._out, 0, len(self._out)) :]
        return self._is_reset

    def _say(self, data: bytes) -> None:
        self._out += data

    def _take_friendly(self, byte: int) -> None:
        """Nobody types here: only what leads to the raw REPL is answered."""
        if byte == 1:
            self._line.clear()
            self._take = self._take_raw
            self._say(_BANNER)
        elif byte == 2:
            self._say(_FRIENDLY)
        elif byte == 3:
            self._say(b"\r\n>>> ")
        elif byte == 4:
            self._is_reset = True  # a soft reset starts main.py here

    def _take_raw(self, byte: int) -> None:
        if self._line == b"\x05A" and byte == 1:
            self._line.clear()
            self._n_pasted = 0
            self._take = self._take_pasted
            self._say(b"R\x01" + struct.pack("<H", _WINDOW))
        elif byte == 1:
            self._line.clear()
            self._say(_BANNER)
        elif byte == 2:
            self._take = self._take_friendly
            self._say(_FRIENDLY)
        elif byte == 3:
            self._line.clear()
        elif byte != 4:
            self._line.append(byte)
        elif self._line:
            self._say(b"OK")
            self._run()
        else:
            self._forget()
            self._say(b"OK\r\nMPY: soft reboot\r\n" + _BANNER)

    def _take_pasted(self, byte: int) -> None:
        if byte in (3, 4):
            self._take = self._take_raw
            self._say(b"\x04")
            if byte == 3:
                self._line.clear()
            self._run()
            return
        self._line.append(byte)
        self._n_pasted += 1
        if self._n_pasted % _WINDOW == 0:
            self._say(b"\x01")

    def _run(self) -> None:
        """Run the line; answer what it prints, its error, and the next prompt."""
        code = bytes(self._line)
        self._line.clear()
        self._printed = io.StringIO()
        error = ""
        try:
            exec(compile(code, "<stdin>", "exec"), self._globals)
        except _Reset:
            self._is_reset = True
            return
        except Exception as fault:
            error = _text_of(fault)
        for text in (self._printed.getvalue(), error):
            self._say(text.replace("\n", "\r\n").encode() + b"\x04")
        self._say(b">")

    def _forget(self) -> None:
        """Clear all variables, as a soft reset does."""
        self._printed = io.StringIO()
        modules = {
            "os": SimpleNamespace(
                ilistdir=self._ilistdir,
                listdir=lambda path="/": sorted(os.listdir(self._path(path))),
                mkdir=lambda path: os.mkdir(self._path(path)),
                remove=lambda path: os.remove(self._path(path)),
                rename=lambda old, new: os.replace(self._path(old), self._path(new)),
                rmdir=lambda path: os.rmdir(self._path(path)),
                stat=lambda path: tuple(os.stat(self._path(path))),
            ),
            "machine": SimpleNamespace(
                mem32=defaultdict(int), reset=self._reset, unique_id=lambda: self._device_id
            ),
            "sys": SimpleNamespace(
                implementation=SimpleNamespace(
                    name="micropython", version=(1, 25, 0, ""), _machine=MACHINE, _mpy=MPY
                )
            ),
        }

        def import_(name: str, *args: Any) -> Any:
            if name in modules:
                return modules[name]
            if name in _ALIKE:
                return __import__(name, *args)
            raise ImportError(f"no module named '{name}'")

        def say(*values: object, sep: str = " ", end: str = "\n") -> None:
            print(*values, sep=sep, end=end, file=self._printed)

        replaced = {"__import__": import_, "open": self._open, "print": say}
        self._globals = {"__builtins__": {**vars(builtins), **replaced}}

    def _ilistdir(self, path: str = "/") -> list[tuple[str, int, int, int]]:
        folder = self._path(path)
        stats = {name: os.stat(folder / name) for name in sorted(os.listdir(folder))}
        return [(name, s.st_mode & 0xF000, 0, s.st_size) for name, s in stats.items()]

    def _open(self, path: str, mode: str = "r") -> Any:
        return open(self._path(path), mode)

    def _path(self, path: str) -> Path:
        """Return where a path of the board is; "..", as on the board, does not leave its root."""
        parts: list[str] = []
        for part in PurePosixPath("/", path).parts[1:]:
            if part == "..":
                del parts[-1:]
            else:
                parts.append(part)
        return self._root.joinpath(*parts)

    def _reset(self) -> None:
        raise _Reset


def _text_of(fault: Exception) -> str:
    """Return what a board prints of an error of the code."""
    text = f"{type(fault).__name__}: {fault}"
    if isinstance(fault, OSError) and fault.errno:
        text = f"OSError: [Errno {fault.errno}] {errno.errorcode.get(fault.errno, '')}"
    return f"Traceback (most recent call last):\n{text}\n"
