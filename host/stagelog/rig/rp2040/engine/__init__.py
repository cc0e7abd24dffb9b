"""The emulator's fast part, written in C: compiled once for this machine, loaded with ctypes.

Owns the compiler call, the mirror of `struct shared` and `struct spi_device` of chip.h, and the
calls back into Python. An exception in a callback stops the run and is raised by it. Fails with
RuntimeUnavailable where there is no C compiler.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stagelog.rig.runtimes import RuntimeUnavailable, cache_path

FS_PER_US = 1_000_000_000
NEVER = (1 << 64) - 1

_FOLDER = Path(__file__).parent
_FLAGS = ("-O3", "-fPIC", "-shared", "-fno-strict-aliasing")

FAULTS = {1: "undefined instruction", 2: "access to nothing", 3: "breakpoint", 4: "locked up"}


class Shared(ctypes.Structure):
    """`struct shared` of chip.h. Times in femtoseconds."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("now", "deadline", "cycle", "peri", "idle")),
        *((name, ctypes.c_uint64) for name in ("instructions", "misses", "handler", "sys")),
        *((name, ctypes.c_uint32) for name in ("miss_cycles", "stop", "watch", "levels")),
        *((name, ctypes.c_uint32) for name in ("fault", "fault_pc", "fault_address")),
        *((name, ctypes.c_uint32) for name in ("reset_request", "pc", "ipsr")),
    )


class Core(ctypes.Structure):
    """The core's registers, which follow `struct shared` in `struct chip`."""

    _fields_ = (
        ("r", ctypes.c_uint32 * 16),
        *((name, ctypes.c_uint32) for name in ("other_sp", "n", "z", "c", "v")),
        *((name, ctypes.c_uint32) for name in ("primask", "control", "ipsr")),
    )


class SpiDevice(ctypes.Structure):
    """`struct spi_device` of chip.h."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("cs", "sck", "mosi", "miso")),
        ("selected", ctypes.c_uint32),
        ("break_on_command", ctypes.c_uint32),
        ("busy_until", ctypes.c_uint64),
        ("busy_byte", ctypes.c_uint32),
        ("idle_bytes", ctypes.c_uint32),
        ("out", ctypes.c_void_p),
        ("in_", ctypes.c_void_p),
        ("at", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("bytes", ctypes.c_uint64),
    )


_READ = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)
_WRITE = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)
_SPI = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)
_FAULT = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)

_P, _N = ctypes.c_void_p, ctypes.c_uint32
# name: result, arguments
_FUNCTIONS = {
    "chip_new": (_P, _P, _P, _P, _N, _P),
    "chip_free": (None, _P),
    "chip_callbacks": (None, _P, _READ, _WRITE, _SPI, _WRITE, _FAULT),
    "chip_run": (None, _P),
    "chip_reset": (None, _P, _N),
    "chip_core1_reset": (None, _P),
    "chip_drive": (None, _P, _N, _N, _N),
    "chip_wave": (None, _P, _N, _N, _P, ctypes.c_uint64),
    "chip_wave_left": (ctypes.c_uint64, _P, _N),
    "bus_read": (_N, _P, _N, _N),
    "bus_write": (None, _P, _N, _N, _N),
    "chip_spi_device": (ctypes.POINTER(SpiDevice), _P, _N),
    "chip_spi_bit": (ctypes.c_uint64, _P, _N),
    "set_line": (None, _P, _N, _N),
}


class Handlers(Protocol):
    """What the engine calls. An exception ends the run and is raised by it."""

    def read(self, address: int) -> int:
        """Return a peripheral's register."""

    def write(self, address: int, value: int) -> None:
        """Write a peripheral's register."""

    def spi_byte(self, unit: int, byte: int) -> int:
        """Exchange a byte with the device on an SPI."""

    def pin_changed(self, pin: int, level: int) -> None:
        """Take a new level of a pin that is watched."""

    def guest_fault(self, kind: int, pc: int, address: int) -> None:
        """Take a fault of the guest, by FAULTS."""


class Engine:
    """One chip's core, memory and fast peripherals.

    Invariant: the buffers given in are the chip's memory; both sides see each other's writes.
    """

    def __init__(
        self, rom: bytearray, ram: bytearray, flash: bytearray, usb: bytearray, handlers: Handlers
    ) -> None:
        """Make a chip, not running, all zero.

        rom, ram, flash, usb  bytearrays; they are kept and must not be resized
        """
        self._lib = _library()
        self._buffers = [
            (ctypes.c_uint8 * len(part)).from_buffer(part) for part in (rom, ram, flash, usb)
        ]
        rom_at, ram_at, flash_at, usb_at = (ctypes.addressof(part) for part in self._buffers)
        self._chip = self._lib.chip_new(rom_at, ram_at, flash_at, len(flash), usb_at)
        if not self._chip:
            raise MemoryError("no memory for an emulated chip")
        self.shared = Shared.from_address(self._chip)
        self.core = Core.from_address(self._chip + ctypes.sizeof(Shared))
        self._error: BaseException | None = None
        self._waves: dict[int, NDArray[np.uint64]] = {}  # keeps the memory that the engine reads
        self._callbacks = (
            _READ(self._guard(handlers.read, 0xFFFFFFFF)),
            _WRITE(self._guard(handlers.write, None)),
            _SPI(self._guard(handlers.spi_byte, 0xFF)),
            _WRITE(self._guard(handlers.pin_changed, None)),
            _FAULT(self._guard(handlers.guest_fault, None)),
        )
        self._lib.chip_callbacks(self._chip, *self._callbacks)

    def close(self) -> None:
        """Free the chip; nothing of it may be used afterwards."""
        if self._chip:
            self._lib.chip_free(self._chip)
            self._chip = None

    def run(self) -> None:
        """Run to shared.deadline or until shared.stop is set. Raises what a callback raised."""
        self._lib.chip_run(self._chip)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def reset(self, core: bool = True, sio: bool = True, peripherals: bool = True) -> None:
        """Put the selected parts into the state after a reset; wiring and time stay."""
        self._lib.chip_reset(self._chip, core | sio << 1 | peripherals << 2)

    def set_line(self, irq: int, level: bool) -> None:
        """Raise or drop an interrupt line of the NVIC."""
        self._lib.set_line(self._chip, irq, bool(level))

    def drive(self, pin: int, level: bool | None) -> None:
        """Drive a pin from outside; None stops driving it: its pull resistor gives the level."""
        self._lib.chip_drive(self._chip, pin, bool(level), level is not None)

    def wave(self, index: int, pin: int, edges: NDArray[np.uint64]) -> None:
        """Let a pin take levels at times known in advance, instead of the wave `index` before.

        edges   uint64[n], ascending: the time in femtoseconds with its lowest bit as the level
        """
        edges = np.ascontiguousarray(edges, np.uint64)
        self._lib.chip_wave(self._chip, index, pin, edges.ctypes.data, len(edges))
        self._waves[index] = edges

    def wave_left(self, index: int) -> int:
        """Return how many edges of a wave are still to come."""
        return self._lib.chip_wave_left(self._chip, index)

    def peek(self, address: int) -> int:
        """Read a word as a master of the chip's bus does, side effects included."""
        return self._lib.bus_read(self._chip, address, 4)

    def poke(self, address: int, value: int) -> None:
        """Write a word as a master of the chip's bus does."""
        self._lib.bus_write(self._chip, address, value, 4)

    def core1_reset(self) -> None:
        """Core 1 came out of reset; it reports that to core 0 and does nothing else."""
        self._lib.chip_core1_reset(self._chip)

    def spi_device(self, unit: int) -> SpiDevice:
        """Return the struct of what hangs on SPI `unit`."""
        return self._lib.chip_spi_device(self._chip, unit).contents

    def spi_rate_Hz(self, unit: int) -> float:
        """Return the bit rate that an SPI is set up for."""
        return 1e15 / self._lib.chip_spi_bit(self._chip, unit)

    def _guard(
        self, handler: Callable[..., int | None], otherwise: int | None
    ) -> Callable[..., int | None]:
        def call(*args: int) -> int | None:
            try:
                return handler(*args)
            except BaseException as error:  # raised again by run()
                if self._error is None:
                    self._error = error
                self.shared.stop = 1
                return otherwise

        return call


_loaded: ctypes.CDLL | None = None


def _library() -> ctypes.CDLL:
    global _loaded
    if _loaded is None:
        lib = ctypes.CDLL(str(_compile()))
        for name, (result, *args) in _FUNCTIONS.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, args
        _loaded = lib
    return _loaded


def _compile() -> Path:
    """Return the compiled library, made first if the sources or the machine are new."""
    sources = sorted(_FOLDER.glob("*.c"))
    digest = hashlib.sha256(" ".join(_FLAGS).encode() + platform.machine().encode())
    for path in (*sources, _FOLDER / "chip.h"):
        digest.update(path.read_bytes())
    target = cache_path() / "engine" / f"rp2040-{digest.hexdigest()[:16]}.so"
    if target.exists():
        return target
    compiler = (
        os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    )
    if not compiler:
        raise RuntimeUnavailable(
            "the emulated RP2040 needs a C compiler and there is none",
            hint="install gcc or set CC",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    made = subprocess.run(
        [compiler, *_FLAGS, "-o", part, *sources], capture_output=True, text=True, check=False
    )
    if made.returncode:
        part.unlink(missing_ok=True)
        raise RuntimeUnavailable(
            f"{compiler} cannot compile the emulated RP2040: {made.stderr.strip()[-400:]}",
            hint="set CC to another compiler",
        )
    part.replace(target)
    return target
