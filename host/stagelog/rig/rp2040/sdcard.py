"""An SD card in SPI mode, byte by byte: what drivers rely on, and the faults of cards.

Owns the protocol of Physical Layer Simplified Specification 6.00, chapter 7, for SDHC and SDXC
cards, the time things take and the faults below. Does not own the sectors (card_image).

    stall_next, stall_sector  the next write, or that of one sector, stays busy for so long
    stall_between             no write ends in a span of time
    reject_next               the next n written sectors are answered 0x0B (CRC) or 0x0D (write)
    insert, remove            the card goes into the socket or out of it
    write_protected           the CSD says so and writes are refused
    bit_error_rate            of sectors on the wire, both ways
    lies_above, wraps         sectors from here on are dropped, or wrap to the start (fake cards)
    dead                      MISO stays at 0xFF or 0x00

A command or data with a wrong CRC is refused once CRC is on, as the card would.
"""

import binascii
import ctypes
import random
from collections.abc import Collection

from stagelog.rig.rp2040.card_image import SECTOR_BYTES, CardImage
from stagelog.rig.rp2040.card_timing import ORDINARY, CardTiming, damage
from stagelog.rig.rp2040.emulator import Emulator
from stagelog.rig.rp2040.spi_wire import SpiWire

IDLE, ILLEGAL, CRC_ERROR, ADDRESS_ERROR, PARAMETER_ERROR = 0x01, 0x04, 0x08, 0x20, 0x40
ACCEPTED, REJECTED_CRC, REJECTED_WRITE = 0x05, 0x0B, 0x0D
_START_BLOCK, _START_MULTIPLE, _STOP_MULTIPLE = 0xFE, 0xFC, 0xFD
_FRAME = SECTOR_BYTES + 2
_INIT_MAX_Hz = 400_000
_MAX_Hz = 25_000_000
_CLOCKS_BEFORE_CMD0 = 74
# What the card waits for, between commands.
_COMMAND, _READING, _TOKEN, _DATA, _RESPONSE = range(5)


def crc7(data: bytes | bytearray) -> int:
    """Return the last byte of a command: CRC-7 of the five before it, and the end bit."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x112 if crc & 0x80 else 0)
    return crc & 0xFE | 1


class SdCard:
    """A card and its socket.

    Invariant: a sector is either old or new, but for one torn by a power cut.

    open_wires  those of "CLK", "DI", "DO", "CS" that are not connected: nothing comes back
    detect      pin that the socket pulls low while a card is in it, or None
    violations  what the driver did that the specification forbids, in words
    """

    def __init__(
        self,
        image: CardImage,
        timing: CardTiming = ORDINARY,
        spi: int = 1,
        sck: int = 10,
        mosi: int = 11,
        miso: int = 12,
        cs: int = 13,
        detect: int | None = 14,
        open_wires: Collection[str] = (),
        seed: int = 0,
    ) -> None:
        self.image = image
        self.timing = timing
        self.write_protected = False
        self.dead: int | None = None
        self.bit_error_rate = 0.0
        self.n_bit_errors = 0
        self.lies_above: int | None = None
        self.wraps = False
        self._is_open = bool(open_wires)
        self.inserted = True
        self.violations: set[str] = set()
        self.n_read = self.n_written = self.n_rejected = 0
        self.busy_us = 0.0
        self._detect = detect
        self._wire = SpiWire(self, spi, cs, sck, mosi, miso)
        self._rng = random.Random(f"card/{seed}")
        self._stalls: dict[int, float] = {}
        self._next_stall_us = 0.0
        self._standstills: list[tuple[float, float]] = []
        self._rejections: list[int] = []
        self._command = bytearray()
        self._state = _COMMAND
        self._was_reset = self._crc_on = self._is_app = False
        self._is_multiple = self._needs_gap = False
        self._idle = IDLE
        self._error_status = self._sector = self._n_idle_before = 0
        self._ready_at_us: float | None = None
        # (sector, old content, new content) of the write that the card is busy with
        self._in_flight: tuple[int, bytes, bytes] | None = None
        self._in = (ctypes.c_uint8 * _FRAME)()
        self._out = (ctypes.c_uint8 * (_FRAME + 32))()
        self._busy_until_us = 0.0

    def attach(self, emulator: Emulator) -> None:
        """Wire the socket to the board."""
        self._clock = emulator.clock
        self._engine = emulator.chip.engine
        self._wire.attach(emulator)
        self._power_up()
        self._show_inserted()

    # Faults

    def stall_next(self, duration_us: float, at_us: float | None = None) -> None:
        """Let the next write that ends, after at_us if given, stay busy for so long."""
        if at_us is None:
            self._next_stall_us = duration_us
        else:
            self._clock.create_alarm(lambda: self.stall_next(duration_us)).schedule_at(at_us)

    def stall_sector(self, sector: int, duration_us: float) -> None:
        """Let the write of one sector stay busy for so long."""
        self._stalls[sector] = duration_us

    def stall_between(self, start_us: float, end_us: float) -> None:
        """Let no write end between two moments; one that would have ends at the second."""
        self._standstills.append((start_us, end_us))

    def reject_next(self, n: int, response: int = REJECTED_WRITE) -> None:
        """Refuse the next n sectors that are written."""
        self._rejections += [response] * n

    def remove(self) -> None:
        """Pull the card out; a sector being written is torn."""
        self._tear()
        self.inserted = False
        self._forget()
        self._show_inserted()

    def insert(self) -> None:
        """Put the card in."""
        self.inserted = True
        self._power_up()
        self._show_inserted()

    def power_off(self) -> None:
        """The supply fails; a sector being written is torn."""
        self._tear()
        self._forget()

    def power_on(self) -> None:
        """The supply comes back."""
        self._power_up()

    # SPI

    def selected(self, is_selected: bool) -> None:
        """Chip select changed; an unfinished command is dropped, a running operation continues."""
        self._command.clear()
        if not is_selected:
            self._wire.stop_stream()
            if self._state in (_READING, _DATA, _RESPONSE):
                self._state = _COMMAND

    def exchange(self, byte: int) -> int:
        """Take one byte, return the card's answer."""
        if not self.inserted or self._is_open:
            return 0xFF
        if self.dead is not None:
            return self.dead
        if self._command:
            return self._take_command(byte)
        if self._state == _RESPONSE:
            return self._answer_data()
        if self._state == _TOKEN and byte in (_START_BLOCK, _START_MULTIPLE, _STOP_MULTIPLE):
            return self._take_token(byte)
        if byte & 0xC0 == 0x40:
            return self._take_command(byte)
        if self._state == _READING and byte == 0xFF:
            return self._begin_data()
        return 0xFF

    def _take_command(self, byte: int) -> int:
        self._command.append(byte)
        if len(self._command) < 6:
            return 0xFF
        frame = bytes(self._command)
        self._command.clear()
        number = frame[0] & 0x3F
        argument = int.from_bytes(frame[1:5], "big")
        if self._clock.t_us < self._busy_until_us and number not in (0, 12, 13):
            self.violations.add(f"CMD{number} while the card was busy")
            return 0xFF
        must_check = self._crc_on or number in (0, 8)
        if must_check and crc7(frame[:5]) != frame[5]:
            self._reply(CRC_ERROR | self._idle)
            return 0xFF
        is_app, self._is_app = self._is_app, False
        self._run(number, argument, is_app)
        return 0xFF

    def _run(self, number: int, argument: int, is_app: bool) -> None:
        if number == 0:
            self._reset_command()
        elif not self._was_reset:
            return
        elif is_app and number in _APP:
            _APP[number](self, argument)
        elif number not in _COMMANDS or (self._idle and number not in (8, 55, 58, 59)):
            self._reply(ILLEGAL | self._idle)
        else:
            _COMMANDS[number](self, argument)

    def _reply(self, *answer: int) -> None:
        """Give the bytes of an answer after some of 0xFF."""
        reply = b"\xff" * self._rng.randint(1, self.timing.reply_bytes) + bytes(answer)
        ctypes.memmove(self._out, reply, len(reply))
        self._wire.stream(ctypes.addressof(self._out), None, len(reply), True)

    def _reset_command(self) -> None:
        if not self._was_reset and self._n_clocks() < _CLOCKS_BEFORE_CMD0:
            self.violations.add("CMD0 before 74 clocks with chip select high")
            return
        if self._wire.rate_Hz > _INIT_MAX_Hz * 1.01:
            self.violations.add(f"initialised at {self._wire.rate_Hz / 1000:.0f} kHz")
        self._was_reset = True
        self._idle = IDLE
        self._crc_on = False
        self._state = _COMMAND
        self._ready_at_us = None
        self._reply(IDLE)

    def _n_clocks(self) -> int:
        return (self._wire.n_idle_bytes - self._n_idle_before) * 8

    def _app_command(self, argument: int) -> None:
        self._is_app = True
        self._reply(self._idle)

    def _start_up(self, argument: int) -> None:
        """ACMD41: initialise; answers idle until it is done."""
        if self._ready_at_us is None:
            self._ready_at_us = self._clock.t_us + self.timing.init_us
        if self._clock.t_us >= self._ready_at_us and argument & 1 << 30:
            self._idle = 0
        self._reply(self._idle)

    def _interface(self, argument: int) -> None:
        self._reply(self._idle, 0, 0, argument >> 8 & 15, argument & 0xFF)

    def _conditions(self, argument: int) -> None:
        powered_up = 0x00 if self._idle else 0xC0
        self._reply(self._idle, powered_up, 0xFF, 0x80, 0)

    def _set_crc(self, argument: int) -> None:
        self._crc_on = bool(argument & 1)
        self._reply(self._idle)

    def _set_length(self, argument: int) -> None:
        self._reply(0 if argument == SECTOR_BYTES else PARAMETER_ERROR)

    def _status(self, argument: int) -> None:
        status, self._error_status = self._error_status, 0
        self._reply(0, status)

    def _stop(self, argument: int) -> None:
        """CMD12: the byte after it is a stuff byte of any value (7.3.1.1)."""
        self._state = _COMMAND
        n = self._rng.randint(1, self.timing.reply_bytes)
        reply = bytes((self._rng.randrange(256),)) + b"\xff" * n + b"\0"
        ctypes.memmove(self._out, reply, len(reply))
        self._wire.stream(ctypes.addressof(self._out), None, len(reply), True)
        if self.timing.stop_busy_us:
            self._wait_us(self._draw(self.timing.stop_busy_us), 0x00)

    def _accept(self, argument: int) -> None:
        self._reply(0)

    def _csd(self, argument: int) -> None:
        size = max(self.image.n_sectors // 1024, 1) - 1
        csd = bytearray.fromhex("400e00325b590000000000007f800a4000")[:16]
        csd[7:10] = size.to_bytes(3, "big")
        csd[14] = 0x10 if self.write_protected else 0x00
        csd[15] = crc7(csd[:15])
        self._send_register(csd)

    def _cid(self, argument: int) -> None:
        cid = bytearray(b"\x03SDRIG32" + b"\x10" + b"\x12\x34\x56\x78" + b"\x01\x6b\0")
        cid[15] = crc7(cid[:15])
        self._send_register(cid)

    def _send_register(self, data: bytes | bytearray) -> None:
        frame = bytes((0xFF, 0, 0xFF, _START_BLOCK)) + data
        frame += binascii.crc_hqx(bytes(data), 0).to_bytes(2, "big")
        ctypes.memmove(self._out, frame, len(frame))
        self._wire.stream(ctypes.addressof(self._out), None, len(frame), True)

    def _begin_read(self, argument: int, is_multiple: bool) -> None:
        if argument >= self.image.n_sectors:
            self._reply(ADDRESS_ERROR)
            return
        self._sector = argument
        self._is_multiple = is_multiple
        self._reply(0)
        self._state = _READING
        self._needs_gap = False
        self._wait_us(self._draw(self.timing.read_us), 0xFF)

    def _read_one(self, argument: int) -> None:
        self._begin_read(argument, False)

    def _read_many(self, argument: int) -> None:
        self._begin_read(argument, True)

    def _begin_data(self) -> int:
        """The access time is over: the token goes out, the sector follows as a stream."""
        if self._needs_gap:
            self._needs_gap = False
            self._wait_us(self._draw(self.timing.next_read_us), 0xFF)
            return 0xFF
        if self._sector >= self.image.n_sectors:
            self._state = _COMMAND
            return 0x08  # data error token: out of range
        data = self.image.read(self._sector)
        frame = bytearray(data + binascii.crc_hqx(data, 0).to_bytes(2, "big"))
        self.n_bit_errors += damage(frame, self.bit_error_rate, self._rng)
        ctypes.memmove(self._out, bytes(frame), _FRAME)
        self._wire.stream(ctypes.addressof(self._out), None, _FRAME, True)
        self._check_rate()
        self.n_read += 1
        self._sector += 1
        if self._is_multiple:
            self._needs_gap = True
        else:
            self._state = _COMMAND
        return _START_BLOCK

    def _begin_write(self, argument: int, is_multiple: bool) -> None:
        if argument >= self.image.n_sectors:
            self._reply(ADDRESS_ERROR)
            return
        self._sector = argument
        self._is_multiple = is_multiple
        self._reply(0)
        self._state = _TOKEN

    def _write_one(self, argument: int) -> None:
        self._begin_write(argument, False)

    def _write_many(self, argument: int) -> None:
        self._begin_write(argument, True)

    def _take_token(self, token: int) -> int:
        if token == _STOP_MULTIPLE:
            if not self._is_multiple:
                return 0xFF
            self._state = _COMMAND
            self._finish_write()
            return 0xFF
        if (token == _START_MULTIPLE) != self._is_multiple:
            self.violations.add(f"token {token:#04x} for the wrong kind of write")
            return 0xFF
        self._wire.stream(None, ctypes.addressof(self._in), _FRAME)
        self._check_rate()
        self._state = _RESPONSE
        return 0xFF

    def _answer_data(self) -> int:
        """Return the response to a sector that has arrived; store it if it is accepted."""
        frame = bytearray(self._in)
        self.n_bit_errors += damage(frame, self.bit_error_rate, self._rng)
        data = bytes(frame[:SECTOR_BYTES])
        response = ACCEPTED
        if self._rejections:
            response = self._rejections.pop(0)
        elif self.write_protected:
            response = REJECTED_WRITE
            self._error_status |= 0x20
        elif self._crc_on and binascii.crc_hqx(data, 0) != int.from_bytes(frame[-2:], "big"):
            response = REJECTED_CRC
        self._state = _TOKEN if self._is_multiple else _COMMAND
        if response != ACCEPTED:
            self.n_rejected += 1
            return 0xE0 | response
        self._program(data)
        if not self._is_multiple:
            self._finish_write()
        return 0xE0 | response

    def _program(self, data: bytes) -> None:
        sector = self._sector
        self._sector += 1
        self.n_written += 1
        if self.lies_above is not None and sector >= self.lies_above:
            if not self.wraps:
                return
            sector %= self.lies_above
        before = self.image.read(sector)
        self.image.write(sector, data)
        busy_us = self._stalls.pop(self._sector - 1, 0) or self._draw(self.timing.sector_us)
        self._in_flight = (sector, before, data)
        self._wait_us(busy_us, 0x00)

    def _finish_write(self) -> None:
        busy_us = self._draw(self.timing.finish_us)
        if self.timing.slow_one_in and self._rng.randrange(self.timing.slow_one_in) == 0:
            busy_us *= self.timing.slow_factor
        busy_us = self._next_stall_us or busy_us
        self._next_stall_us = 0.0
        self._wait_us(busy_us, 0x00)

    def _wait_us(self, duration_us: float, answer: int) -> None:
        now_us = self._clock.t_us
        until_us = max(self._busy_until_us if answer == 0 else 0, now_us + duration_us)
        if answer == 0:
            for start_us, end_us in self._standstills:
                if start_us <= until_us < end_us:
                    until_us = end_us
            self.busy_us += until_us - max(now_us, self._busy_until_us)
            self._busy_until_us = until_us
        self._wire.busy_until(until_us, answer)

    def _draw(self, median_us: float) -> float:
        return self._rng.lognormvariate(0, self.timing.sigma) * median_us if median_us else 0

    def _check_rate(self) -> None:
        if self._wire.rate_Hz > _MAX_Hz * 1.01:
            self.violations.add(f"clocked at {self._wire.rate_Hz / 1e6:.1f} MHz")

    def _tear(self) -> None:
        """The power fails: the sector that was being written becomes part old, part new."""
        if self._in_flight and self._clock.t_us < self._busy_until_us:
            sector, before, data = self._in_flight
            at = self._rng.randrange(SECTOR_BYTES + 1)
            self.image.write(sector, data[:at] + before[at:])

    def _forget(self) -> None:
        self._was_reset = False
        self._wire.stop_stream()
        self._wire.busy_until(0, 0xFF)
        self._busy_until_us = 0.0
        self._in_flight = None
        self._state = _COMMAND
        self._command = bytearray()

    def _power_up(self) -> None:
        self._forget()
        self._n_idle_before = self._wire.n_idle_bytes
        self._idle = IDLE
        self._crc_on = False
        self._is_app = False
        self._is_multiple = False
        self._error_status = 0
        self._ready_at_us = None
        self._sector = 0

    def _show_inserted(self) -> None:
        if self._detect is not None:
            self._engine.drive(self._detect, False if self.inserted else None)


_COMMANDS = {
    8: SdCard._interface,
    9: SdCard._csd,
    10: SdCard._cid,
    12: SdCard._stop,
    13: SdCard._status,
    16: SdCard._set_length,
    17: SdCard._read_one,
    18: SdCard._read_many,
    24: SdCard._write_one,
    25: SdCard._write_many,
    55: SdCard._app_command,
    58: SdCard._conditions,
    59: SdCard._set_crc,
}
_APP = {13: SdCard._status, 23: SdCard._accept, 41: SdCard._start_up}
