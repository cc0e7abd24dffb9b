"""A register model of the MCP2518FD on a simulated bus: what its driver sees through SPI.

Owns registers, message memory, one receive FIFO, filters, modes, both bit timings, time base and
error counters, from data sheet DS20006027B, manual DS20005678E and errata DS80000789. Not
modelled: sending, further FIFOs, sleep, ECC, CRC commands but for reading. What the driver does
that the manual forbids is in `violations`. Runs on MicroPython too.
"""

import struct

TYPE_CHECKING = False  # MicroPython has no module typing
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_RAM = 0x400
_SPACE = 0x1000
_RAM_BYTES = 2048
_PAYLOADS = (8, 12, 16, 20, 24, 32, 48, 64)  # by PLSIZE
_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # of CAN FD, by dlc code
RTR, EXT, FD, BRS, ESI = 2, 4, 8, 16, 32  # of a frame's kind, above the number of its bus
_RECEIVING = (0, 3, 6, 7)  # OPMOD: normal, listen-only, normal classic, restricted
_LISTEN_ONLY = 3
_CLASSIC = 6
_CONFIG = 4


class Mcp2518fdModel:
    """One chip. Invariant: a frame offered to it is in the FIFO, was read, or counts in n_lost.

    now_us         function: time of the simulation
    wire_bps       of its bus; wire_data_bps of the data of CAN FD on it
    crystal_Hz     its own, `drift_ppm` fast
    head_errors    in 1,024 readings of FIFOSTA so many have a FIFOCI that is 1 or 2 too large
                   (DS80000789, item 6, names no rate); which ones is drawn by `seed`
    present        False: nothing is soldered there
    """

    def __init__(
        self,
        now_us: "Callable[[], int]",
        wire_bps: int = 500_000,
        crystal_Hz: int = 40_000_000,
        drift_ppm: int = 0,
        head_errors: int = 1,
        seed: int = 1,
        wire_data_bps: int = 2_000_000,
    ) -> None:
        self.wire_bps = wire_bps
        self.wire_data_bps = wire_data_bps
        self.crystal_Hz = crystal_Hz
        self.present = True
        self.n_lost = 0
        self.n_dominant = 0
        self.n_transfers = 0
        self.violations: set[str] = set()
        self._now_us = now_us
        self._drift_ppm = drift_ppm
        self.head_errors = head_errors
        self.n_head_errors = 0
        self.wrong_bit: int | None = None  # of the next burst, counted from its first byte
        self._random = seed
        self._memory = bytearray(_SPACE)
        self._head = self._tail = self._n = 0
        self.reset()

    # The bus

    def receive(self, t_us: int, can_id: int, kind: int, dlc: int, data: "Sequence[int]") -> None:
        """Take a frame that ended on the bus at `t_us`. `kind` as in BlockRing.put_frame, with FD,
        BRS and ESI.
        """
        if not self.is_listening:
            return
        if not self.hears(kind):
            self.see_error(bool(self.rate_fits and kind & BRS))
            return
        self.n_dominant += self._mode != _LISTEN_ONLY
        if not self._passes(can_id, kind & EXT):
            return
        if self._n == self._depth:
            self.n_lost += 1
            self._memory[0x060] |= 0x08
            return
        at = _RAM + self._head * self._object_bytes
        word = can_id
        if kind & EXT:
            word = can_id >> 18 | (can_id & 0x3FFFF) << 11
        control = dlc | (0x10 if kind & EXT else 0)
        if kind & FD:
            control |= 0x80 | (kind & BRS) << 2 | (kind & ESI) << 3
            n = min(_LENGTHS[dlc], self._object_bytes - 12)
        else:
            control |= 0x20 if kind & RTR else 0
            n = 0 if kind & RTR else min(dlc, 8)
        struct.pack_into("<III", self._memory, at, word, control, self._time_base(t_us))
        self._memory[at + 12 : at + 12 + n] = bytes(data[:n])
        self._head = (self._head + 1) % self._depth
        self._n += 1

    def hears(self, kind: int) -> bool:
        """Return whether it receives a frame of this kind without an error, if it listens."""
        if not kind & FD:
            return self.rate_fits
        is_iso = bool(self._memory[0x000] & 0x20)
        is_fast = not kind & BRS or self._fits(0x008, self.wire_data_bps)
        return self.rate_fits and is_iso and is_fast and self._mode != _CLASSIC

    def see_error(self, in_data: bool = False) -> None:
        """Count an error on the bus, in its fast part or not."""
        if self.is_listening:
            at = 0x03A if in_data else 0x038
            self._memory[at] = (self._memory[at] + 1) & 0xFF
            self._memory[0x01D] |= 0x80
            self.n_dominant += self._mode != _LISTEN_ONLY

    # SPI

    def transfer(self, view: "bytearray | memoryview") -> None:
        """Exchange bytes in place, chip select low."""
        self.n_transfers += 1
        if not self.present:
            for i in range(len(view)):
                view[i] = 0xFF
            return
        command, address = view[0] >> 4, (view[0] & 15) << 8 | view[1]
        n = len(view) - 2
        if command == 0 and not address:
            if self._mode != _CONFIG:
                self.violations.add("reset outside of configuration")
            self.reset()
        elif command == 2:
            for i in range(n):
                self._write(address + i, view[2 + i])
        elif command == 3:
            self._read(address, view, n)
        elif command == 11:
            self._read_with_crc(address, view, n - 3)
        else:
            self.violations.add(f"command {command:x}")

    def repeat(self, view: bytes, n: int) -> None:
        """Take the same bytes so many times."""
        for _ in range(n):
            self.transfer(bytearray(view))

    def wait_us(self, us: int) -> None:
        """No time passes here."""

    def reset(self) -> None:
        """Come back as after power-on."""
        for i in range(_RAM):
            self._memory[i] = 0
        self._memory[0x000:0x004] = bytes((0x60, 0x07, _CONFIG << 5 | 0x18, _CONFIG))
        self._memory[0x004:0x00C] = b"\x0f\x0f\x3e\0\x03\x03\x0e\0"  # NBTCFG, DBTCFG
        self._memory[0xE00:0xE04] = b"\x60\x04\0\0"
        self._head = self._tail = self._n = 0
        self._t_base = self._now_us()

    @property
    def _mode(self) -> int:
        return self._memory[0x002] >> 5

    @property
    def _depth(self) -> int:
        return (self._memory[0x05F] & 31) + 1

    @property
    def _object_bytes(self) -> int:
        return 8 + (4 if self._memory[0x05C] & 0x20 else 0) + _PAYLOADS[self._memory[0x05F] >> 5]

    @property
    def is_listening(self) -> bool:
        """Whether frames of its bus reach it."""
        return self.present and self._mode in _RECEIVING

    @property
    def rate_fits(self) -> bool:
        """Whether it is set up for the bit rate of its bus."""
        return self._fits(0x004, self.wire_bps)

    def _fits(self, register: int, wire_bps: int) -> bool:
        _, tseg2, tseg1, prescaler = self._memory[register : register + 4]
        quanta = 1 + tseg1 + 1 + (tseg2 & 0x7F) + 1
        rate_bps = self.crystal_Hz / ((prescaler + 1) * quanta)
        return abs(rate_bps / wire_bps - 1) < 0.005

    def _time_base(self, t_us: int) -> int:
        us = t_us - self._t_base
        return us + us * self._drift_ppm // 1_000_000 & 0xFFFFFFFF

    def _passes(self, can_id: int, is_extended: int) -> bool:
        for i in range(32):
            if self._memory[0x1D0 + i] & 0x9F != 0x81:
                continue
            wanted, mask = struct.unpack_from("<II", self._memory, 0x1F0 + 8 * i)
            if mask & 1 << 30 and bool(wanted & 1 << 30) != bool(is_extended):
                continue
            word = can_id
            if is_extended:
                word = can_id >> 18 | (can_id & 0x3FFFF) << 11
            else:
                mask &= 0x7FF
            if not (word ^ wanted) & mask & 0x1FFFFFFF:
                return True
        return False

    def _read(self, address: int, view: "bytearray | memoryview", n: int) -> None:
        memory = self._memory
        if address >= _RAM and address < 0xC00 and n % 4:
            self.violations.add(f"message memory read in {n} bytes")
        flags = (self._n > 0) | (self._n == self._depth) << 2
        memory[0x060] = memory[0x060] & 0xF8 | flags
        memory[0x061] = (self._head + self._head_error(address)) % self._depth
        struct.pack_into("<I", memory, 0x064, self._tail * self._object_bytes)
        struct.pack_into("<I", memory, 0x010, self._time_base(self._now_us()))
        view[2:] = memory[address : address + n]

    def _read_with_crc(self, address: int, view: "bytearray | memoryview", n: int) -> None:
        """The length, in words of the message memory, comes before the data, their CRC behind."""
        if not _RAM <= address < 0xC00 or view[2] * 4 != n:
            self.violations.add(f"{view[2]} words asked with CRC, {n} bytes clocked")
        crc = 0xFFFF
        for i in range(n + 3):
            if i >= 3:
                view[i] = self._memory[address + i - 3]
            crc ^= view[i] << 8
            for _ in range(8):
                crc = crc << 1 & 0xFFFF ^ (0x8005 if crc & 0x8000 else 0)
        if self.wrong_bit is not None:
            view[self.wrong_bit >> 3] ^= 1 << (self.wrong_bit & 7)
            self.wrong_bit = None
        view[n + 3] = crc >> 8
        view[n + 4] = crc & 0xFF

    def _head_error(self, address: int) -> int:
        self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
        drawn = self._random >> 12
        if address != 0x060 or not 0 < self._n < self._depth - 2:
            return 0
        if drawn & 1023 >= self.head_errors:
            return 0
        self.n_head_errors += 1
        return 1 + (drawn >> 10 & 1)

    def _write(self, address: int, value: int) -> None:
        memory = self._memory
        if address == 0x003:
            memory[0x003] = value & 0x0F
            mode = value & 7
            if mode in _RECEIVING and self._depth * self._object_bytes > _RAM_BYTES:
                self.violations.add("more objects than the message memory holds")
            if mode != self._mode:
                memory[0x002] = memory[0x002] & 0x1F | mode << 5
                self._head = self._tail = self._n = 0
        elif address == 0x002:
            memory[0x002] = memory[0x002] & 0xE0 | value & 0x1F
        elif address == 0x05D:
            if value & 1 and self._n:
                self._tail = (self._tail + 1) % self._depth
                self._n -= 1
            elif value & 1:
                self.violations.add("gave back what it did not have")
        elif address == 0x060:
            memory[0x060] &= value | 0xF7
        elif address in (0x01C, 0x01D):
            memory[address] &= value
        elif 0x004 <= address < 0x010 or 0x05C <= address < 0x060:
            if self._mode == _CONFIG:
                memory[address] = value
            else:
                self.violations.add(f"{address:03x} written outside of configuration")
        elif not 0x034 <= address < 0x038:
            memory[address] = value
