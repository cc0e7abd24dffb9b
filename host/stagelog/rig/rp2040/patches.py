"""What rp2040py 0.3.6 gets wrong or leaves out, patched in subclasses of its peripherals.

    PatchedUsb          an armed endpoint waits for the host instead of being answered by an empty
                        packet every 10 us; packets take the time of a full-speed wire, one by one
    PatchedUart         the transmit interrupt can be cleared (machine.UART() hung in it)
    PatchedPsm          core 1 answers its reset (a soft reboot hung)
    PatchedFlash        erase and program take time, and a power cut tears the one in progress; the
                        flash has a unique id
    PatchedClocks, Pll  clk_sys and clk_peri follow the registers (they were fixed at 125 MHz, and
                        machine.freq() had no effect)
    RingOscillator      random bits, seeded, different in every boot (os.urandom() was constant)

host/tests/test_rig_patches.py shows each defect. Does not own what is on the other end of the wire
(usb.py).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from rp2040py.peripherals import clocks, psm, ssi, uart, usb
from rp2040py.peripherals.peripheral import BasePeripheral

if TYPE_CHECKING:
    from rp2040py.rp2040 import RP2040

    from stagelog.rig.rp2040.usb import UsbHost

_Buffer: TypeAlias = tuple[int, bool, int]  # endpoint, whether it is OUT, half of a double buffer

XOSC_Hz = 12_000_000
ROSC_Hz = 6_500_000

_AVAILABLE = usb.USB_BUF_CTRL_AVAILABLE
_BUFFER_CONTROL = range(usb.EP0_IN_BUFFER_CONTROL, usb.EP15_OUT_BUFFER_CONTROL + 4)
_READ_UNIQUE_ID = 0x4B
_ERASES = {ssi.CMD_SECTOR_ERASE: 4096, 0x52: 32768, ssi.CMD_BLOCK_ERASE: 65536}


class PatchedUsb(usb.RPUSBController):
    """The device controller.

    Invariant: a buffer given to it stays with it until its packet has passed on the wire.

    host  None while no cable is there
    """

    # Token, sync, CRC, handshake and turnarounds of one bulk packet at 12 Mbit/s.
    OVERHEAD_us = 9.0
    BYTE_us = 0.72  # with bit stuffing: 64 bytes take 55 us

    def __init__(self, chip: RP2040, name: str) -> None:
        super().__init__(chip, name)
        self.host: UsbHost | None = None
        self._armed: deque[_Buffer] = deque()
        self._in_flight: _Buffer | None = None
        self._data = b""
        self._wire = chip.clock.create_alarm(self._packet_done)

    def reset(self) -> None:
        """Set the registers to their reset state; armed buffers are discarded."""
        super().reset()
        if hasattr(self, "_armed"):
            self._armed.clear()
            self._in_flight = None
            self._wire.cancel()

    def write_uint32(self, offset: int, value: int) -> None:
        if offset == usb.SIE_STATUS:
            self._sie_status &= ~(self.raw_write_value & usb.SIE_SUSPENDED)
        super().write_uint32(offset, value)

    def suspend(self) -> None:
        """The bus went idle: cable pulled or host asleep."""
        self._sie_status |= usb.SIE_SUSPENDED
        self._sie_status_updated()

    def dpram_updated(self, offset: int, value: int) -> None:
        """The firmware wrote a buffer control word: take the buffers that it gives away."""
        if offset not in _BUFFER_CONTROL:
            return
        endpoint = (offset - usb.EP0_IN_BUFFER_CONTROL) >> 3
        is_out = bool(offset & 4)
        for half in (0, 1):
            buffer = (endpoint, is_out, half)
            given = value >> 16 * half & _AVAILABLE and (
                half == 0 or self._is_double(endpoint, is_out)
            )
            if given and buffer not in self._armed and buffer != self._in_flight:
                self._armed.append(buffer)
            elif not given and buffer in self._armed:
                self._armed.remove(buffer)
        self.serve()

    def serve(self) -> None:
        """Put the next packet on the wire, if there is one; the host calls it when its state
        changes.
        """
        if self._in_flight or not self.host:
            return
        for buffer in sorted(self._armed, key=lambda item: item[0] != 0):
            endpoint, is_out, half = buffer
            n_bytes = self._control(endpoint, is_out, half) & usb.USB_BUF_CTRL_LEN_MASK
            at = self._buffer_at(endpoint, is_out, half)
            if is_out:
                data = self.host.take_out(endpoint, n_bytes)
                if data is None:
                    continue
            elif self.host.reads_in(endpoint):
                data = bytes(self.rp2040.usb_dpram[at : at + n_bytes])
            else:
                continue
            self._armed.remove(buffer)
            self._in_flight = buffer
            self._data = data
            self._wire.schedule((self.OVERHEAD_us + self.BYTE_us * len(data)) * 1000)
            return

    def _packet_done(self) -> None:
        if self._in_flight is None:
            return
        endpoint, is_out, half = self._in_flight
        self._in_flight = None
        control = self._control(endpoint, is_out, half) & ~_AVAILABLE
        if is_out:
            at = self._buffer_at(endpoint, is_out, half)
            self.rp2040.usb_dpram[at : at + len(self._data)] = self._data
            control = (
                (control & ~usb.USB_BUF_CTRL_LEN_MASK) | usb.USB_BUF_CTRL_FULL | len(self._data)
            )
        else:
            control &= ~usb.USB_BUF_CTRL_FULL
        self._set_control(endpoint, is_out, half, control)
        other = (endpoint, is_out, 1 - half)
        if not (other in self._armed and not self._interrupts_each(endpoint, is_out)):
            self._indicate_buffer_ready(endpoint, is_out)
        if self.host:
            if is_out:
                self.host.got_out(endpoint)
            else:
                self.host.got_in(endpoint, self._data)
        self.serve()

    def _word_at(self, endpoint: int, is_out: bool) -> int:
        return usb.EP0_IN_BUFFER_CONTROL + endpoint * 8 + (4 if is_out else 0)

    def _control(self, endpoint: int, is_out: bool, half: int) -> int:
        at = self._word_at(endpoint, is_out) + 2 * half
        return int.from_bytes(self.rp2040.usb_dpram[at : at + 2], "little")

    def _set_control(self, endpoint: int, is_out: bool, half: int, value: int) -> None:
        at = self._word_at(endpoint, is_out) + 2 * half
        self.rp2040.usb_dpram[at : at + 2] = value.to_bytes(2, "little")

    def _is_double(self, endpoint: int, is_out: bool) -> bool:
        control = self._read_endpoint_control_reg(endpoint, is_out) if endpoint else 0
        return bool(control & usb.USB_CTRL_DOUBLE_BUF)

    def _interrupts_each(self, endpoint: int, is_out: bool) -> bool:
        control = self._read_endpoint_control_reg(endpoint, is_out) if endpoint else 0
        is_single = not control & usb.USB_CTRL_DOUBLE_BUF
        return is_single or bool(control & usb.USB_CTRL_INTERRUPT_PER_TRANSFER)

    def _buffer_at(self, endpoint: int, is_out: bool, half: int) -> int:
        return self._get_endpoint_buffer_offset(endpoint, is_out) + usb.USB_BUF1_OFFSET * half


class PatchedUart(uart.RPUART):
    """The UART: the transmit interrupt follows the FIFO and can be cleared."""

    def check_interrupts(self) -> None:
        """Set the interrupt line as the masked status says."""
        self.rp2040.set_interrupt(self.irq, bool(self._interrupt_status & self._interrupt_mask))

    def write_uint32(self, offset: int, value: int) -> None:
        super().write_uint32(offset, value)
        if offset == uart.UARTDR:
            self._interrupt_status |= uart.UARTTXINTR
            self.check_interrupts()


class PatchedFlash(ssi.RPSSI):
    """The serial flash, with the times of a W25Q16 and a unique id.

    skip   lets this many nanoseconds pass during a read of the core
    """

    ERASE_us = {4096: 45_000, 32768: 120_000, 65536: 150_000}  # typical, W25Q16JV datasheet
    PROGRAM_us = 700
    _SKIP_ns = 100_000

    def __init__(
        self, chip: RP2040, name: str, unique_id: bytes, skip: Callable[[float], None]
    ) -> None:
        super().__init__(chip, name)
        self.unique_id = unique_id
        self._skip = skip
        self._busy_until_ns = 0.0
        self._torn: tuple[int, bytes] | None = None  # address and content before the operation

    def cut_power(self, rng: random.Random) -> None:
        """The power fails now: an erase or program that runs leaves garbage."""
        if self._torn and self.rp2040.clock.nanos < self._busy_until_ns:
            address, before = self._torn
            flash = self.rp2040.flash
            for at in range(address, address + len(before)):
                flash[at] = (
                    before[at - address] if rng.random() < 0.5 else flash[at] | rng.randrange(256)
                )
        self._torn = None

    def _shift_byte(self, byte_out: int) -> int:
        answer = super()._shift_byte(byte_out)
        position = len(self._tx_buffer) - 1
        opcode = self._tx_buffer[0]
        if opcode == _READ_UNIQUE_ID and 5 <= position < 13:
            return self.unique_id[position - 5]
        if opcode == ssi.CMD_READ_STATUS_1 and position:
            answer |= self._poll_busy()
        return answer

    def _poll_busy(self) -> int:
        """Return 1 while an operation runs.

        The boot ROM asks in a loop with interrupts off: skip some of it.
        """
        left_ns = self._busy_until_ns - self.rp2040.clock.nanos
        if left_ns <= 0:
            return 0
        self._skip(min(left_ns, self._SKIP_ns))
        return 1

    def _apply_command(self) -> None:
        opcode = self._tx_buffer[0] if self._tx_buffer else None
        writes = self._write_enabled and len(self._tx_buffer) >= 4
        if writes and opcode in _ERASES:
            self._begin(_ERASES[opcode], self.ERASE_us[_ERASES[opcode]])
        elif writes and opcode == ssi.CMD_PAGE_PROGRAM:
            self._begin(256, self.PROGRAM_us)
        super()._apply_command()

    def _begin(self, size: int, busy_us: int) -> None:
        address = self._address_from_buffer() & ~(size - 1)
        self._torn = (address, bytes(self.rp2040.flash[address : address + size]))
        self._busy_until_ns = self.rp2040.clock.nanos + busy_us * 1000


class PatchedPsm(psm.RPPSM):
    """Power-on state machine: core 1 answers when it is released from reset."""

    def __init__(self, chip: RP2040, name: str, core1_reset: Callable[[], object]) -> None:
        super().__init__(chip, name)
        self._core1_reset = core1_reset

    def write_uint32(self, offset: int, value: int) -> None:
        was_off = self._frce_off & psm.WDSEL_PROC1
        super().write_uint32(offset, value)
        if was_off and not self._frce_off & psm.WDSEL_PROC1:
            self._core1_reset()


class Pll(BasePeripheral):
    """One PLL; locked as soon as it is powered."""

    _CS, _PWR, _FBDIV, _PRIM = 0, 4, 8, 12

    def __init__(self, chip: RP2040, name: str, on_change: Callable[[], object]) -> None:
        super().__init__(chip, name)
        self._on_change = on_change
        self.reset()

    def reset(self) -> None:
        """Off."""
        self._registers = {self._CS: 1, self._PWR: 0x2D, self._FBDIV: 0, self._PRIM: 0x77000}

    @property
    def rate_Hz(self) -> int:
        """The output, 0 while it is off."""
        prim = self._registers[self._PRIM]
        after = (prim >> 16 & 7) * (prim >> 12 & 7)
        if self._registers[self._PWR] & 0x21 or not after:
            return 0
        return (
            XOSC_Hz
            // (self._registers[self._CS] & 63 or 1)
            * self._registers[self._FBDIV]
            // after
        )

    def read_uint32(self, offset: int) -> int:
        value = self._registers.get(offset, 0)
        return value | 1 << 31 if offset == self._CS else value

    def write_uint32(self, offset: int, value: int) -> None:
        self._registers[offset] = value & 0x7FFFFFFF
        self._on_change()


class PatchedClocks(clocks.RPClocks):
    """The clock tree as far as the core and the peripherals' bus need it."""

    def __init__(self, chip: RP2040, name: str, on_change: Callable[[], object]) -> None:
        super().__init__(chip, name)
        self._on_change = on_change

    def write_uint32(self, offset: int, value: int) -> None:
        super().write_uint32(offset, value)
        self._on_change()

    def rates_Hz(self, pll_sys: float, pll_usb: float) -> tuple[float, float]:
        """Return (clk_sys, clk_peri)."""
        ref = (ROSC_Hz, pll_usb, XOSC_Hz, ROSC_Hz)[self.ref_ctrl & 3]
        sources = (pll_sys, pll_usb, ROSC_Hz, XOSC_Hz)
        chosen = sources[self.sys_ctrl >> 5 & 3] if self.sys_ctrl & 1 else ref
        sys = chosen * 256 / (self.sys_div or 256)
        peri = (sys, *sources)[(self.peri_ctrl >> 5 & 7) % 5]
        return sys or ROSC_Hz, peri or ROSC_Hz


class RingOscillator(BasePeripheral):
    """The ring oscillator: stable, with a random bit from a seed and the number of the boot."""

    _STATUS, _RANDOMBIT = 0x18, 0x1C

    def __init__(self, chip: RP2040, name: str, seed: int) -> None:
        super().__init__(chip, name)
        self._seed = seed
        self._n_boots = 0
        self.power_on()

    def power_on(self) -> None:
        """Start the sequence of another boot."""
        self._rng = random.Random(f"{self._seed}/{self._n_boots}")
        self._n_boots += 1

    def read_uint32(self, offset: int) -> int:
        if offset == self._RANDOMBIT:
            return self._rng.getrandbits(1)
        return 0x80001000 if offset == self._STATUS else 0

    def write_uint32(self, offset: int, value: int) -> None:
        """Its frequency can't be changed here."""
