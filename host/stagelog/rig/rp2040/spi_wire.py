"""The wires between one SPI of the board and a device: chip select, single bytes, and streams that
the engine handles alone.

Does not own what the bytes mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from stagelog.rig.rp2040.engine import FS_PER_US, SpiDevice

if TYPE_CHECKING:
    from stagelog.rig.rp2040.emulator import Emulator


class SpiPeer(Protocol):
    """A device on an SPI."""

    def selected(self, is_selected: bool) -> None:
        """Take a change of chip select."""

    def exchange(self, byte: int) -> int:
        """Take one byte and return the answer."""


class SpiWire:
    """The wires between an SPI unit's pins and a device."""

    def __init__(
        self, device: SpiPeer, unit: int, cs: int, sck: int, mosi: int, miso: int
    ) -> None:
        self._device = device
        self._unit = unit
        self._pins = (cs, sck, mosi, miso)
        self._struct: SpiDevice

    def attach(self, emulator: Emulator) -> None:
        """Solder the device to the board."""
        self._engine = emulator.chip.engine
        emulator.chip.spi_devices[self._unit] = self._device
        self._struct = self._engine.spi_device(self._unit)
        cs, self._struct.sck, self._struct.mosi, self._struct.miso = self._pins
        self._struct.cs = cs
        self._engine.drive(cs, True)
        emulator.chip.listen(cs, self._select)

    @property
    def rate_Hz(self) -> float:
        """The bit rate that the SPI is set up for."""
        return self._engine.spi_rate_Hz(self._unit)

    @property
    def n_bytes(self) -> int:
        """Bytes exchanged while the device was selected."""
        return self._struct.bytes

    @property
    def n_idle_bytes(self) -> int:
        """Bytes clocked while it was not selected."""
        return self._struct.idle_bytes

    def stream(
        self,
        out_address: int | None,
        in_address: int | None,
        count: int,
        ends_on_command: bool = False,
    ) -> None:
        """Answer the next `count` bytes from one buffer and store them in another; `exchange` is
        not called for them.

        out_address, in_address  of the buffers, which must stay where they are; None: 0xFF goes
                                 out, input is dropped
        ends_on_command          a byte other than 0xFF ends the stream and goes to `exchange`
        """
        struct = self._struct
        struct.out = out_address
        struct.in_ = in_address
        struct.break_on_command = ends_on_command
        struct.at = 0
        struct.count = count

    def stop_stream(self) -> None:
        """End the stream."""
        self._struct.count = self._struct.at

    def busy_until(self, t_us: float, answer: int) -> None:
        """Answer `answer` to every 0xFF until t_us, without calling exchange."""
        self._struct.busy_byte = answer
        self._struct.busy_until = int(t_us * FS_PER_US)

    def _select(self, level: int) -> None:
        self._device.selected(not level)
