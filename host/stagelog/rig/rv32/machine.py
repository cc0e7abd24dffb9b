"""MicroPython on QEMU's RISC-V machine, its memory shared with this process.

Owns the process, its serial port and the exchange of code and answers. The machine is stopped
except while it has a request, so that it takes no processor from its tests. Fails with
DeviceError: the code raised, or the machine does not answer.
"""

import functools
import mmap
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from stagelog.errors import DeviceError
from stagelog.extras import need
from stagelog.flash.build import compile_module
from stagelog.resources import firmware_path
from stagelog.rig.build.toolchain import Program
from stagelog.rig.rv32 import layout

_HOST = Path(__file__).resolve().parents[3]
_FIRMWARE = (
    "slog/*",
    "detectors/*",
    "logger/*",
    "drivers/__init__.py",
    "drivers/can_*",
    "drivers/fd_ring.py",
    "drivers/mcp2518fd*.py",
    "drivers/polled_ring.py",
    "drivers/sdcard.py",
    "drivers/shared_spi.py",
    "drivers/spi_ports.py",
    "drivers/wifi.py",
    "boards/__init__.py",
    "boards/esp32*_mcp*.py",
    "boards/esp32_board.py",
    "boards/files.py",
    "boards/light.py",
    "boards/pico2_mcp*.py",
    "boards/polled_board.py",
)
_OURS = (
    "__init__.py",
    "rig/__init__.py",
    "rig/sim/*.py",
    "rig/rv32/__init__.py",
    "rig/rv32/layout.py",
    "rig/rv32/guest.py",
)
_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_MOUNT = """
import sys, uctypes, vfs
vfs.mount(vfs.VfsRom(uctypes.bytearray_at({at}, {n})), "/rom")
sys.path.append("/rom")
"""
_BOOT_S = 60
_ANSWER_S = 300  # of a minute of bus on a machine that does much else
_WORD = struct.Struct("<I")


@functools.cache
def firmware_files() -> dict[str, bytes]:
    """Return {path: content} of the firmware and the models, compiled."""
    folders = ((firmware_path(), "", _FIRMWARE), (_HOST / "stagelog", "stagelog/", _OURS))
    sources = {
        prefix + path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for folder, prefix, patterns in folders
        for pattern in patterns
        for path in folder.glob(pattern)
        if path.suffix == ".py"
    }
    return {
        path.removesuffix(".py") + ".mpy": compile_module(path, source, "rv32imc")
        for path, source in sources.items()
    }


def romfs_of(files: Mapping[str, bytes]) -> bytes:
    """Return {path: content} as an image of MicroPython's read-only file system."""
    writer = need("mpremote.romfs", "flash").VfsRomWriter()
    _add_folder(writer, {tuple(path.split("/")): content for path, content in files.items()})
    return bytes(writer.finalise())


def _add_folder(writer: object, files: dict[tuple[str, ...], bytes]) -> None:
    for name in sorted({path[0] for path in files}):
        if (name,) in files:
            writer.mkfile(name, files[name,])  # type: ignore[attr-defined]
            continue
        writer.opendir(name)  # type: ignore[attr-defined]
        _add_folder(writer, {path[1:]: files[path] for path in files if path[0] == name})
        writer.closedir()  # type: ignore[attr-defined]


class Machine:
    """One machine. Invariant: its process is stopped, or a request is under way.

    folder   where the file of its memory is
    image    path of MicroPython for it; qemu: the emulator
    """

    def __init__(self, folder: Path, image: Path, qemu: Program) -> None:
        self._path = folder / "memory"
        self._image = image
        self._qemu = qemu
        self._process: subprocess.Popen[bytes] | None = None
        self._port: socket.socket
        self._received = bytearray()
        self._outgoing = bytearray()
        self._n_read = 0  # of the bytes that the logger has sent
        with open(self._path, "wb") as file:
            file.truncate(layout.RAM_BYTES)
        with open(self._path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), layout.RAM_BYTES)

    def start(self, files: Mapping[str, bytes] | None = None) -> None:
        """Switch on, mount the firmware with other `files` at /rom; `call` works then."""
        memory = (
            f"memory-backend-file,id=ram,size={layout.RAM_BYTES},mem-path={self._path},share=on"
        )
        command = [self._qemu.path, "-machine", "virt,memory-backend=ram", "-object", memory]
        command += ["-m", f"{layout.RAM_BYTES >> 20}M", "-nodefaults", "-display", "none"]
        command += ["-bios", "none", "-kernel", str(self._image)]
        self._port, far_end = socket.socketpair()
        self._port.setblocking(False)
        number = far_end.fileno()
        command += ["-chardev", f"socket,id=port,fd={number}", "-serial", "chardev:port"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._qemu.env,
            pass_fds=(number,),
            process_group=0,  # an orphaned group is ended by the system, stopped or not
        )
        far_end.close()
        rom = romfs_of({**firmware_files(), **(files or {})})
        self.write(layout.ROMFS, rom)
        self.write(layout.MAIL, bytes(layout.TEXT - layout.MAIL))
        self._received.clear()
        self._outgoing.clear()
        self._n_read = 0
        self._type(b"\r\x03\x03\x01", _PROMPT)
        code = _MOUNT.format(at=layout.ROMFS, n=len(rom))
        self._type(code.encode() + b"\x04", b"OK\x04\x04>")
        self._type(b"from stagelog.rig.rv32.guest import serve\nserve()\n\x04", b"OK")
        self.call("")

    def stop(self) -> None:
        """Switch off: what runs ends where it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stderr:
                self._process.stderr.close()
            self._process = None
            self._port.close()

    def close(self) -> None:
        """Switch off and release everything."""
        self.stop()
        self.memory.close()
        self._path.unlink(missing_ok=True)

    def read(self, address: int, n: int) -> bytes:
        """Return `n` bytes of the memory."""
        at = address - layout.RAM
        return self.memory[at : at + n]

    def write(self, address: int, content: bytes) -> None:
        """Write into the memory."""
        at = address - layout.RAM
        self.memory[at : at + len(content)] = content

    def word(self, address: int) -> int:
        """Return a word of the memory."""
        return int(_WORD.unpack_from(self.memory, address - layout.RAM)[0])

    def call(self, code: str) -> str:
        """Run code on the machine; return what it leaves in `answer`, as text."""
        text = code.encode()
        self.write(layout.TEXT, text)
        self._set(layout.LENGTH, len(text))
        n = self.word(layout.REQUEST) + 1
        self._set(layout.REQUEST, n)
        self._signal(signal.SIGCONT)
        deadline = time.monotonic() + _ANSWER_S
        pause_s = 0.0001
        while self.word(layout.DONE) != n or len(self._received) < self._n_unread:
            self._check(deadline, code)
            if self._fill() or self._drain():
                pause_s = 0.0001
            else:
                select.select([self._port], [], [], pause_s)
                pause_s = min(pause_s * 1.5, 0.005)
        self._signal(signal.SIGSTOP)
        answer = self.read(layout.TEXT, self.word(layout.LENGTH)).decode()
        if self.word(layout.FAILED):
            raise DeviceError(f"code on the machine raised: {answer.strip()}")
        return answer

    def send(self, data: bytes) -> None:
        """Put bytes into the serial port; they go while the machine has a request."""
        self._set(layout.SENT, self.word(layout.SENT) + len(data))
        self._outgoing += data

    def take(self, n: int) -> bytes:
        """Return up to `n` bytes that came out of the serial port."""
        data = bytes(self._received[:n])
        del self._received[:n]
        self._n_read += len(data)
        return data

    @property
    def _n_unread(self) -> int:
        return self.word(layout.GIVEN) - self._n_read

    def _type(self, text: bytes, wanted: bytes) -> None:
        """Type at MicroPython's prompt and wait for its answer."""
        self._outgoing += text
        deadline = time.monotonic() + _BOOT_S
        while wanted not in self._received:
            self._check(deadline, text.decode())
            if not (self._fill() or self._drain()):
                time.sleep(0.002)
        self._received.clear()

    def _fill(self) -> bool:
        """Write what the serial port takes; return whether that was something."""
        if not self._outgoing:
            return False
        try:
            n = self._port.send(self._outgoing)
        except BlockingIOError:
            return False
        del self._outgoing[:n]
        return True

    def _drain(self) -> bool:
        """Take what has come out of the serial port; return whether that was something."""
        try:
            data = self._port.recv(65536)
        except BlockingIOError:
            return False
        self._received += data
        return bool(data)

    def _check(self, deadline: float, what: str) -> None:
        """Raise DeviceError if the machine has ended or is late."""
        process = self._process
        if process is None:
            raise DeviceError("the machine has no power")
        if process.poll() is not None:
            said = process.stderr.read() if process.stderr else b""
            raise DeviceError(f"QEMU has ended: {said.decode(errors='replace').strip()}")
        if time.monotonic() > deadline:
            said = bytes(self._received[-300:])
            raise DeviceError(f"the machine does not answer to {what[:80]!r}; it said {said!r}")

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _set(self, address: int, value: int) -> None:
        _WORD.pack_into(self.memory, address - layout.RAM, value)
