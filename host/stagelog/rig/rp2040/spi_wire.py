"""What hangs on one SPI of the board: chip select, single bytes, and streams that the engine
handles alone.

The device has selected(is_selected) and exchange(byte) -> byte. Does not own what the bytes mean.
"""

from stagelog.rig.rp2040.engine import FS_PER_US


class SpiWire:
    """The wires between an SPI unit's pins and a device."""

    def __init__(self, device, unit, cs, sck, mosi, miso):
        self._device = device
        self._unit = unit
        self._pins = (cs, sck, mosi, miso)
        self._struct = None

    def attach(self, emulator):
        """Solder the device to the board."""
        self._engine = emulator.chip.engine
        emulator.chip.spi_devices[self._unit] = self._device
        self._struct = self._engine.spi_device(self._unit)
        cs, self._struct.sck, self._struct.mosi, self._struct.miso = self._pins
        self._struct.cs = cs
        self._engine.drive(cs, True)
        emulator.chip.listen(cs, self._select)

    @property
    def rate_Hz(self):
        """The bit rate that the SPI is set up for."""
        return self._engine.spi_rate_Hz(self._unit)

    @property
    def n_bytes(self):
        """Bytes exchanged while the device was selected."""
        return self._struct.bytes

    @property
    def n_idle_bytes(self):
        """Bytes clocked while it was not selected."""
        return self._struct.idle_bytes

    def stream(self, out_address, in_address, count, ends_on_command=False):
        """Answer the next `count` bytes from memory, put what comes into memory; no exchange.

        out_address, in_address  of buffers that stay where they are; None: 0xFF goes out, input
                                 is dropped
        ends_on_command          a byte other than 0xFF ends the stream and goes to exchange
        """
        struct = self._struct
        struct.out = out_address
        struct.in_ = in_address
        struct.break_on_command = ends_on_command
        struct.at = 0
        struct.count = count

    @property
    def streamed(self):
        """How far the last stream got."""
        return self._struct.at

    def stop_stream(self):
        """End the stream."""
        self._struct.count = self._struct.at

    def busy_until(self, t_us, answer):
        """Answer `answer` to every 0xFF until t_us, without calling exchange."""
        self._struct.busy_byte = answer
        self._struct.busy_until = int(t_us * FS_PER_US)

    def _select(self, level):
        self._device.selected(not level)
