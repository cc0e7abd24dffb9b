"""An emulated RP2040 board that is driven by its caller: it runs only as long as the caller asks,
and always the same way.

Owns power, resets, the devices on the pins and the end of the USB cable. Does not own what the
chip does (chip.py). A crash of the firmware is a GuestFault, a wait that times out a RigTimeout;
both name the emulated time.

    emulator = Emulator(find_runtime("pico-1.25"))
    emulator.run_until(lambda: emulator.usb.connected)
    emulator.run_us(1000)

Modelled: the core's cycles, RAM, the boot ROM, flash with its busy times, clocks, GPIO, timer,
SPI to the bit, DMA, PIO to the clock, USB to the packet, watchdog. As an option the misses of the
flash cache (miss_cycles=60 agrees with interrupt latencies measured on boards) or a core slowed by
any factor while all else keeps its speed. Not modelled: the second core, what a PIO drives, bus
contention, the start-up time of the crystal, analogue inputs.
"""

import random
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from stagelog.errors import InputError, StagelogError
from stagelog.rig.rp2040.chip import FLASH_BYTES, RESET_PIN, RESET_POWER_ON, Chip
from stagelog.rig.rp2040.engine import FS_PER_US
from stagelog.rig.rp2040.usb import UsbHost

_FLASH_START = 0x10000000
_UF2_MAGIC = (0x0A324655, 0x9E5D5157)
UNIQUE_ID = bytes.fromhex("e6614c311b4a6f2a")


class RigTimeout(StagelogError):
    """The firmware did not do in time what the caller waited for."""


class Device(Protocol):
    """What is wired to the board."""

    def attach(self, emulator: "Emulator") -> None:
        """Connect its pins; once."""

    def power_on(self) -> None:
        """Start as after power-on."""

    def power_off(self) -> None:
        """Lose all state that needs power."""


def read_uf2(path: str | Path) -> bytearray:
    """Return a UF2 file as a flash image of 2 MiB, blank where it has no data.

    Raises   InputError if it is not a UF2 for this flash.
    """
    data = Path(path).read_bytes()
    flash = bytearray(b"\xff" * FLASH_BYTES)
    for at in range(0, len(data), 512):
        block = data[at : at + 512]
        if len(block) < 512 or struct.unpack_from("<II", block) != _UF2_MAGIC:
            raise InputError(
                f"{path} is not a UF2 image (byte {at})",
                hint="give the .uf2 of a MicroPython release",
            )
        address, size = struct.unpack_from("<II", block, 12)
        offset = address - _FLASH_START
        if not 0 <= offset <= FLASH_BYTES - size:
            raise InputError(f"{path} writes to {address:#010x}, outside a flash of 2 MiB")
        flash[offset : offset + size] = block[32 : 32 + size]
    return flash


class Emulator:
    """A board with power on. Invariant: emulated time moves only inside the run methods.

    image        path of a UF2, or a flash image of 2 MiB (copied)
    slow         factor by which the core is slower than its clock says; all else keeps its speed
    miss_cycles  core cycles of a flash cache miss; 0: the cache always hits
    seed         of the firmware's random numbers and of what RAM holds at power-on
    """

    def __init__(
        self,
        image: str | Path | bytes | bytearray | memoryview,
        devices: Iterable[Device] = (),
        *,
        slow: float = 1.0,
        miss_cycles: int = 0,
        unique_id: bytes = UNIQUE_ID,
        seed: int = 0,
    ) -> None:
        flash = (
            bytearray(image)
            if isinstance(image, (bytes, bytearray, memoryview))
            else read_uf2(image)
        )
        if len(flash) != FLASH_BYTES:
            raise InputError(f"a flash image has {FLASH_BYTES} bytes, this one {len(flash)}")
        self.chip = Chip(flash, unique_id, slow, miss_cycles, seed)
        self.clock = self.chip.clock
        self.flash = flash
        self.devices: list[Device] = []
        self.powered = True
        self.n_resets = 0
        self._rng = random.Random(f"power/{seed}")
        self.chip.sram[:] = self._rng.randbytes(len(self.chip.sram))
        self.usb = UsbHost(self.chip)
        self.usb.plug()
        for device in devices:
            self.attach(device)

    def attach(self, device: Device) -> None:
        """Wire a device to the board."""
        self.devices.append(device)
        device.attach(self)

    @property
    def t_us(self) -> float:
        """Emulated microseconds since the board was made."""
        return self.chip.t_us

    @property
    def idle_us(self) -> float:
        """Microseconds that the core has slept in WFI or WFE."""
        return self.chip.engine.shared.idle / FS_PER_US

    @property
    def handler_us(self) -> float:
        """Microseconds that the core has spent in interrupt handlers."""
        return self.chip.engine.shared.handler / FS_PER_US

    def run_us(self, duration_us: float) -> None:
        """Let emulated time pass."""
        self.run_to_us(self.t_us + duration_us)

    def run_to_us(self, end_us: float) -> None:
        """Let emulated time pass until `end_us`."""
        end_fs = int(end_us * FS_PER_US)
        shared = self.chip.engine.shared
        while shared.now < end_fs:
            if not self.powered:
                shared.now = min(max(self.clock.next_fs(), shared.now), end_fs)
                self.clock.fire_due()
                continue
            self.chip.run_to(end_fs)
            if self.chip.wants_reset:
                self.n_resets += 1
                self._chip_reset(None)

    def run_until(
        self,
        predicate: Callable[[], object],
        timeout_us: float = 5_000_000,
        step_us: float = 500,
        what: str = "what was waited for",
    ) -> None:
        """Let emulated time pass until predicate() is true; it is asked every `step_us`.

        Raises   RigTimeout with the end of what the firmware has printed.
        """
        end_us = self.t_us + timeout_us
        while not predicate():
            if self.t_us >= end_us:
                printed = bytes(self.usb.received[-300:]).decode(errors="replace")
                raise RigTimeout(
                    f"{what} did not come within {timeout_us / 1e6:g} s of emulated time "
                    f"(now {self.t_us / 1e6:.6f} s)",
                    hint=f"the board last printed {printed!r}",
                )
            self.run_us(step_us)

    def reset(self) -> None:
        """Press the reset button: RAM stays, everything else of the chip starts again."""
        self._chip_reset(RESET_PIN)

    def power_off(self) -> None:
        """Cut the power: RAM is lost, flash and card keep what they have.

        An operation in flight is torn.
        """
        if not self.powered:
            return
        self.chip.ssi.cut_power(self._rng)
        self.powered = False
        self.usb.chip_reset()
        for device in self.devices:
            device.power_off()
        self.chip.reset(RESET_POWER_ON)
        self.chip.sram[:] = self._rng.randbytes(len(self.chip.sram))

    def power_on(self) -> None:
        """Give power; the chip boots."""
        if self.powered:
            return
        self._chip_reset(RESET_POWER_ON)
        self.powered = True
        for device in self.devices:
            device.power_on()

    def close(self) -> None:
        """Free the emulated chip."""
        self.chip.engine.close()

    def _chip_reset(self, cause: int | None) -> None:
        self.usb.chip_reset()
        self.chip.reset(cause)
