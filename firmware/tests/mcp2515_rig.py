"""The MCP2515's driver on a register model behind its port."""

from drivers.mcp2515 import Mcp2515
from logger.clock import Clock
from logger.ring import BlockRing

MASKS = (0x20, 0x24)
FILTERS = ((0x00, 0x04), (0x08, 0x10, 0x14, 0x18))


class FakePort:
    """A register model behind `transfer`, written from the data sheet (DS20001801).

    `dead` makes it read as ones; without `bus_idle` it never leaves its mode. `wires` holds the
    pins that are connected, bit 0 INT, 1 RX0BF, 2 RX1BF; `used` what the driver chose.
    """

    has_full_pins = True

    def __init__(self):
        self.registers = bytearray(128)
        self.dead = False
        self.stuck = False
        self.started = False
        self.wakes = 0
        self.wires = 7
        self.used = None
        self.doubts = 0
        self.wrong_once = None
        self.resets = -1
        self.bus_idle = True
        self._reset()

    def transfer(self, buf, n):
        if self.dead:
            buf[:n] = b"\xff" * n
            return
        command, address = buf[0], buf[1]
        if command == 0xC0:
            self._reset()
        elif command == 0x03:
            for i in range(2, n):
                buf[i] = self.registers[address + i - 2]
                if self.wrong_once and self.wrong_once[0] == address + i - 2:
                    buf[i] ^= self.wrong_once[1]
                    self.wrong_once = None
        elif command == 0x02:
            for i in range(2, n):
                self._write(address + i - 2, buf[i])
        elif command == 0x05:
            old = self.registers[address]
            self._write(address, old & ~buf[2] | buf[3] & buf[2])
        else:
            raise AssertionError(f"command {command:#x}")

    def start(self, bus):
        self.started = True

    def stop(self):
        self.started = False

    def is_stuck(self):
        return self.stuck

    def wake(self):
        self.wakes += 1
        self.stuck = False

    def low_pins(self):
        control, enabled, raised = (self.registers[at] for at in (0x0C, 0x2B, 0x2C))
        low = int(bool(enabled & raised))
        for buffer in (0, 1):
            if control >> 2 + buffer & 1:
                is_flag = control >> buffer & 1
                high = not raised >> buffer & 1 if is_flag else control >> 4 + buffer & 1
                low |= (not high) << 1 + buffer
        return low & self.wires

    def is_unheard(self, buffers):
        full, interrupt = self.used
        return bool(buffers & ~self.low_pins() >> 1) if full else False

    def use(self, full, interrupt):
        assert not self.started
        self.used = full, interrupt

    def n_doubts(self):
        return self.doubts

    def wait_us(self, us):
        """No time passes here."""

    @property
    def mode(self):
        return self.registers[0x0E] >> 5

    def accepts(self, can_id, extended, data=b"\0\0"):
        """Tell whether the set-up lets a frame pass, buffer by buffer, as the chip does."""
        word = can_id << 3 if extended else can_id << 21
        if not extended:
            word |= data[0] << 11 | data[1] << 3
        for buffer in (0, 1):
            assert self.registers[0x60 + 0x10 * buffer] & 0x60 == 0, "takes frames with errors too"
            mask = self._identifier(MASKS[buffer])
            for address in FILTERS[buffer]:
                if bool(self.registers[address + 1] & 8) != extended:
                    continue
                if not (self._identifier(address) ^ word) & mask:
                    return True
        return False

    def _identifier(self, address):
        """Return the 29 bits of a mask or filter, standard part on top, shifted left by 3."""
        b0, b1, b2, b3 = self.registers[address : address + 4]
        return (b0 << 21 | (b1 >> 5) << 18 | (b1 & 3) << 16 | b2 << 8 | b3) << 3

    def _reset(self):
        self.resets += 1
        self.registers[:] = bytes(128)
        self.registers[0x0E] = 0x80
        self.registers[0x0F] = 0x87

    def _write(self, address, value):
        needs_config = address < 0x0C or 0x10 <= address < 0x1C or 0x20 <= address <= 0x2A
        if needs_config and self.mode != 4:
            return
        if address == 0x0E:
            return
        self.registers[address] = value
        if address == 0x0F and (self.bus_idle or value & 0xE0 == 0x80):
            self.registers[0x0E] = value & 0xE0


class Rig:
    def __init__(self, ids=None, bitrate_bps=500000, crystal_Hz=16_000_000, wires=7, bus=0):
        self.t_us = 0
        self.port = FakePort()
        self.port.wires = wires
        self.ring = BlockRing(2)
        clock = Clock(lambda: self.t_us & 0x3FFFFFFF)
        self.can = Mcp2515(self.port, clock, crystal_Hz, bus)
        self.can.set_up({"bitrate_bps": bitrate_bps, "ids": ids})
        self.can.start(self.ring)

    def poll(self, t_us=100_000):
        self.t_us += t_us
        self.can.poll(self.ring)
