"""A register model of the MCP2515 on one of the board's SPIs, with an exact account of what
happened to each frame.

Owns registers, buffers, filters, modes, bit timing, interrupt and buffer-full pins, as in data
sheet DS20001801H. Does not own the bus: its traffic comes as a tape (stagelog.rig.tape) of what a
listener saw, or frame by frame. A wrong bit rate gives errors and no frames. Frames that the
firmware sends are kept in `sent`; in loopback mode they stay inside. They take their bits at its
own rate. Not modelled: arbitration and errors of its own transmissions (they always succeed),
one-shot, sleep and wake-up.
"""

import ctypes
import random
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from stagelog.model import EXT, FD, SUSPECT
from stagelog.rig import tape as tapes
from stagelog.rig.rp2040 import mcp2515_registers as reg
from stagelog.rig.rp2040.emulator import Emulator
from stagelog.rig.rp2040.engine import FS_PER_US
from stagelog.rig.rp2040.mcp2515_transmitter import SentFrame, Transmitter
from stagelog.rig.rp2040.spi_wire import SpiWire
from stagelog.rig.rp2040.tape_player import TapePlayer
from stagelog.rig.tape import Tape

# Outcome of a frame.
WAITING, DELIVERED, LOST, FILTERED, INACTIVE, FORGOTTEN = range(6)

_OSCILLATOR_RESET_clk = 128
# From chip select to the rise of INT, RX0BF and RX1BF. DS20001801H has no figure (table 13-6, the
# AC figures of SPI, ends at SO); 2 us, 32 clocks of a crystal of 16 MHz, is taken as the longest.
MAX_RELEASE_ns = 2_000


class Mcp2515:
    """One controller. Invariant: every frame offered to it has exactly one outcome.

    bitrate_bps       of the bus it is connected to
    crystal_Hz        its own crystal
    interrupt, rx0bf, rx1bf   pins of the board that INT, RX0BF and RX1BF go to, or None
    release_ns        chip select to the rise of a pin whose buffer was released; None: drawn by
                      `seed` from 0 to MAX_RELEASE_ns
    bit_errors        share of the bits of its answers that arrive wrong: a fault of the wiring, so
                      0 unless it is set
    open_wires        those of "SCK", "SI", "SO", "CS" that are not connected
    present           False: nothing is soldered there, see unplug
    n_dominant        frames in which it has driven the bus dominant: sent, acknowledged, destroyed
    outcomes, t_release_us   lists, one entry for each frame offered
    """

    def __init__(
        self,
        bitrate_bps: int = 500_000,
        crystal_Hz: int = 16_000_000,
        spi: int = 0,
        sck: int = 2,
        mosi: int = 3,
        miso: int = 4,
        cs: int = 5,
        interrupt: int | None = 6,
        rx0bf: int | None = 7,
        rx1bf: int | None = 8,
        bus: int = 0,
        crystal_start_us: float = 500,
        release_ns: float | None = None,
        open_wires: Collection[str] = (),
        seed: int = 1,
    ) -> None:
        self.bitrate_bps = bitrate_bps
        self.crystal_Hz = crystal_Hz
        self.bus = bus
        drawn_ns = random.Random(f"release {seed}").uniform(0, MAX_RELEASE_ns)
        self.release_ns = drawn_ns if release_ns is None else release_ns
        self.present = True
        self._is_deaf = bool({"SCK", "SI", "CS"} & set(open_wires))
        self._is_mute = "SO" in open_wires
        self.sent: list[SentFrame] = []
        self.outcomes: list[int] = []
        self.t_offered_us: list[float] = []
        self.t_release_us: list[float] = []
        self.n_dominant = 0
        self.max_spi_Hz = 0.0
        self.bit_errors = 0.0
        self._noise = np.random.default_rng(seed)
        self._wire = SpiWire(self, spi, cs, sck, mosi, miso)
        self._pins = [interrupt, rx0bf, rx1bf]
        self._crystal_start_us = crystal_start_us
        self._registers = (ctypes.c_uint8 * 256)()
        self._noisy = (ctypes.c_uint8 * 128)()
        self._command: int | None = None
        self._position = self._address = self._mask = 0
        self._deaf_until_us = self._active_from_us = 0.0
        self._slots: list[int | None] = [None, None]  # index of the frame in each buffer
        self._tapes: list[TapePlayer] = []

    def attach(self, emulator: Emulator) -> None:
        """Wire it to the board."""
        self._clock = emulator.clock
        self._engine = emulator.chip.engine
        self._wire.attach(emulator)
        self._levels: reg.Levels = (None, None, None)
        self._rises_fs: list[int | None] = [None] * 3
        self._next_rise = self._clock.create_alarm(self._update_pins)
        self._next_frame = self._clock.create_alarm(self._frame_due)
        self._transmitter = Transmitter(self._registers, self._clock, self._end_own)
        self.power_on()

    def power_on(self) -> None:
        """The chip gets power; its crystal takes a while to start."""
        self._reset()
        self._deaf_until_us = self._clock.t_us + self._crystal_start_us

    def power_off(self) -> None:
        """All state is lost; the bus continues without it."""
        self._reset()
        self._deaf_until_us = float("inf")

    def unplug(self) -> None:
        """Take the chip off the board, with what it holds."""
        self._reset()
        self.present = False
        self._update_pins()

    def plug(self) -> None:
        """Put the chip back, or another one: it starts as after power-on."""
        self.present = True
        self.power_on()

    @property
    def can_be_reached(self) -> bool:
        """Whether it is there with all wires of its SPI."""
        return self.present and not self._is_deaf and not self._is_mute

    # Traffic

    def cut_wire(self, pin: int) -> None:
        """Break the wire to a pin of the board for ever."""
        self._engine.drive(pin, None)
        self._pins[self._pins.index(pin)] = None

    def play(self, tape: Tape, at_us: float | None = None) -> None:
        """Let the records of a tape for this bus arrive, the tape's time 0 being at_us (now).

        A frame is complete, and the interrupt pin falls, at the record's time.
        """
        records = tape[tape["bus"] == self.bus]
        start_fs = self._clock.now_fs if at_us is None else int(at_us * FS_PER_US)
        self._tapes.append(TapePlayer(records, start_fs))
        self._schedule()

    @property
    def is_played_out(self) -> bool:
        """True once every record given to play() has arrived."""
        return not self._tapes

    def receive(
        self, can_id: int, data: bytes = b"", flags: int = 0, dlc: int | None = None
    ) -> int:
        """Let one frame be complete now; return its outcome so far."""
        return self._offer(can_id, flags, len(data) if dlc is None else dlc, bytes(data))

    @property
    def latency_us(self) -> NDArray[np.float64]:
        """float64[n]: end of frame to released buffer, of all frames delivered so far."""
        outcomes = np.array(self.outcomes, np.uint8)
        latency = np.array(self.t_release_us) - np.array(self.t_offered_us)
        return latency[outcomes == DELIVERED]

    def count(self, outcome: int) -> int:
        """Return how many frames have this outcome."""
        return self.outcomes.count(outcome)

    @property
    def mode(self) -> int:
        """The mode it is in: one of MODE_* of mcp2515_registers."""
        return self._registers[reg.CANSTAT] & reg.MODE_MASK

    @property
    def rate_bps(self) -> float:
        """The bit rate that CNF1 to CNF3 and the crystal give; 0 if the timing is invalid."""
        return reg.bit_rate_bps(self._registers, self.crystal_Hz)

    def register(self, address: int) -> int:
        """Return a register as the firmware would read it."""
        return self._registers[address]

    def _schedule(self) -> None:
        self._tapes = [player for player in self._tapes if player.next_fs is not None]
        if self._tapes:
            times_fs = (player.next_fs for player in self._tapes)
            self._next_frame.schedule_fs(min(fs for fs in times_fs if fs is not None))

    def _frame_due(self) -> None:
        now_fs = self._clock.now_fs
        for player in self._tapes:
            while player.next_fs is not None and player.next_fs <= now_fs:
                kind, can_id, flags, dlc, data, event = player.take()
                if kind == tapes.FRAME:
                    self._offer(can_id, flags & ~SUSPECT, dlc, data)
                else:
                    self._bus_event(kind, event)
        self._schedule()

    def _listens(self) -> bool:
        is_receiving = self.mode in (reg.MODE_NORMAL, reg.MODE_LISTEN_ONLY)
        return self._clock.t_us >= self._deaf_until_us and is_receiving

    def _rate_fits(self) -> bool:
        rate_bps = self.rate_bps
        return bool(rate_bps) and abs(rate_bps / self.bitrate_bps - 1) < 0.005

    def _offer(self, can_id: int, flags: int, dlc: int, data: bytes) -> int:
        """Take a frame from the bus."""
        self.t_offered_us.append(self._clock.t_us)
        self.t_release_us.append(0.0)
        self.outcomes.append(INACTIVE)
        if not self.present or not self._listens():
            return INACTIVE
        if flags & FD or not self._rate_fits():
            self.n_dominant += self.mode == reg.MODE_NORMAL  # its error flag
            self._message_error()
            return INACTIVE
        n_bits = (67 if flags & EXT else 47) + 8 * len(data)
        if self._clock.t_us - n_bits * 1e6 / self.bitrate_bps < self._active_from_us:
            return INACTIVE
        self.n_dominant += self.mode == reg.MODE_NORMAL
        outcome = self._store(can_id, flags, dlc, data, len(self.outcomes) - 1)
        self.outcomes[-1] = outcome
        return outcome

    def _store(self, can_id: int, flags: int, dlc: int, data: bytes, index: int) -> int:
        registers = self._registers
        match = reg.find_match(registers, can_id, flags, data)
        if match is None:
            return FILTERED
        buffer, hit = match
        flags_up = registers[reg.CANINTF]
        rolled = False
        if buffer == 0 and flags_up & 1:
            if not registers[reg.RXB0CTRL] & reg.BUKT:
                return self._overflow(reg.RX0OVR)
            buffer, rolled = 1, True
        if buffer == 1 and flags_up & 2:
            return self._overflow(reg.RX1OVR)
        reg.fill_buffer(registers, buffer, can_id, flags, dlc, data, hit, rolled)
        self._slots[buffer] = index
        registers[reg.CANINTF] = flags_up | 1 << buffer
        self._update_pins()
        return WAITING

    def _overflow(self, flag: int) -> int:
        self._registers[reg.EFLG] |= flag
        self._registers[reg.CANINTF] |= reg.ERRIF
        self._update_pins()
        return LOST

    def _message_error(self) -> None:
        self._registers[reg.CANINTF] |= reg.MERRF
        if self.mode == reg.MODE_NORMAL:
            self.n_dominant += not self._registers[reg.EFLG] & reg.PASSIVE_BITS
            self._set_counters(self._registers[reg.TEC], min(255, self._registers[reg.REC] + 1))
        self._update_pins()

    def _bus_event(self, kind: int, event: tuple[int, int, int]) -> None:
        tec, rec, _ = event
        if not self.present or not self._listens():
            return
        if kind == tapes.ERROR:
            self._registers[reg.CANINTF] |= reg.MERRF
        if self.mode == reg.MODE_NORMAL:
            if kind == tapes.ERROR and not self._registers[reg.EFLG] & reg.PASSIVE_BITS:
                self.n_dominant += 1
            self._set_counters(tec, rec)
        self._update_pins()

    def _set_counters(self, tec: int, rec: int) -> None:
        registers = self._registers
        before = registers[reg.EFLG] & reg.STATE_BITS
        registers[reg.TEC], registers[reg.REC] = tec, rec
        state = reg.state_bits(tec, rec)
        registers[reg.EFLG] = (registers[reg.EFLG] & ~reg.STATE_BITS) | state
        if state != before:
            registers[reg.CANINTF] |= reg.ERRIF

    # SPI

    def selected(self, is_selected: bool) -> None:
        """Chip select changed."""
        if self._is_deaf:
            return
        if is_selected:
            self._position = 0
            self._command = None
            self.max_spi_Hz = max(self.max_spi_Hz, self._wire.rate_Hz)
        elif self._command is not None and self._command & 0xF9 == reg.READ_RX_BUFFER:
            self._release(1 << (self._command >> 2 & 1))
            self._update_pins()

    def exchange(self, byte: int) -> int:
        """Take one byte and return the chip's answer."""
        answer = self._exchange(byte)
        return 0xFF if self._is_mute else answer

    def _exchange(self, byte: int) -> int:
        if not self.present or self._is_deaf or self._clock.t_us < self._deaf_until_us:
            return 0xFF
        position = self._position
        self._position += 1
        if position == 0:
            return self._instruction(byte)
        command = self._command
        if command is None:
            return 0
        if command == reg.READ:
            if position == 1:
                self._stream(byte & 0x7F, 0x80 - (byte & 0x7F))
            return 0
        if command in (reg.WRITE, reg.BIT_MODIFY):
            return self._take_write(command, position, byte)
        if command & 0xF8 == reg.LOAD_TX_BUFFER:
            self._registers[self._address & 0x7F] = byte
            self._address += 1
        return 0

    def _instruction(self, byte: int) -> int:
        self._command = byte
        registers = self._registers
        if byte & 0xF9 == reg.READ_RX_BUFFER:
            start = (reg.RXB1 if byte & 4 else reg.RXB0) + (5 if byte & 2 else 0)
            self._stream(start, 8 if byte & 2 else 13)
        elif byte in (reg.READ_STATUS, reg.RX_STATUS):
            status = (
                reg.quick_status(registers)
                if byte == reg.READ_STATUS
                else reg.receive_status(registers)
            )
            ctypes.memset(ctypes.addressof(registers) + 0x80, status, 16)
            self._stream(0x80, 16)
        elif byte == reg.RESET:
            self._reset()
            self._deaf_until_us = self._clock.t_us + _OSCILLATOR_RESET_clk / self.crystal_Hz * 1e6
            self._command = None
        elif byte & 0xF8 == reg.LOAD_TX_BUFFER:
            self._address = 0x31 + 0x10 * (byte >> 1 & 3) + (5 if byte & 1 else 0)
        elif byte & 0xF8 == reg.REQUEST_TO_SEND:
            for buffer in range(3):
                if byte >> buffer & 1:
                    self._write(0x30 + 0x10 * buffer, reg.TXREQ, reg.TXREQ)
        return 0

    def _take_write(self, command: int, position: int, byte: int) -> int:
        if position == 1:
            self._address = byte
        elif command == reg.WRITE:
            self._write(self._address & 0x7F, byte, 0xFF)
            self._address += 1
        elif position == 2:
            self._mask = byte if self._address & 0x7F in reg.BIT_MODIFIABLE else 0xFF
        elif position == 3:
            self._write(self._address & 0x7F, byte, self._mask)
        return 0

    def _stream(self, address: int, count: int) -> None:
        if self._is_mute:
            return
        if self.bit_errors:
            wrong = np.packbits(self._noise.random(8 * count) < self.bit_errors)
            answer = np.ctypeslib.as_array(self._registers)[address : address + count]
            np.ctypeslib.as_array(self._noisy)[:count] = answer ^ wrong
            self._wire.stream(ctypes.addressof(self._noisy), None, count)
            return
        self._wire.stream(ctypes.addressof(self._registers) + address, None, count)

    def _write(self, address: int, value: int, mask: int) -> None:
        registers = self._registers
        low = address & 0x0F
        if low == reg.CANCTRL & 0x0F:
            control = (registers[reg.CANCTRL] & ~mask) | (value & mask)
            reg.mirror(registers, reg.CANCTRL, control)
            self._set_mode(control & reg.MODE_MASK)
            return
        mask &= reg.writable_bits(address, self.mode == reg.MODE_CONFIGURATION)
        old = registers[address]
        new = registers[address] = (old & ~mask) | (value & mask)
        if address == reg.CANINTF:
            registers[address] = old
            self._release(old & ~new & 3)
            registers[address] = new
        if address & 0x0F == 0 and 0x30 <= address <= 0x50 and new & ~old & reg.TXREQ:
            self._request()
        if address in (reg.CANINTE, reg.CANINTF, reg.BFPCTRL):
            self._update_pins()

    def _set_mode(self, mode: int) -> None:
        if mode == self.mode:
            return
        self._transmitter.stop()
        receiving = (reg.MODE_NORMAL, reg.MODE_LISTEN_ONLY)
        if mode in receiving and self.mode not in receiving:
            self._active_from_us = self._clock.t_us + 11e6 / self.bitrate_bps
        if mode == reg.MODE_LISTEN_ONLY or mode == reg.MODE_CONFIGURATION:
            self._set_counters(0, 0)
        status = (self._registers[reg.CANSTAT] & ~reg.MODE_MASK) | mode
        reg.mirror(self._registers, reg.CANSTAT, status)

    def _release(self, buffers: int) -> None:
        """Mark receive buffers (a bit mask) as read by the firmware."""
        for buffer in (0, 1):
            index = self._slots[buffer]
            if buffers >> buffer & 1 and index is not None:
                self._slots[buffer] = None
                self.outcomes[index] = DELIVERED
                self.t_release_us[index] = self._clock.t_us
        self._registers[reg.CANINTF] &= ~buffers

    def _reset(self) -> None:
        for index in self._slots:
            if index is not None:
                self.outcomes[index] = FORGOTTEN
        self._slots = [None, None]
        ctypes.memset(self._registers, 0, 128)
        reg.mirror(self._registers, reg.CANCTRL, 0x87)
        reg.mirror(self._registers, reg.CANSTAT, reg.MODE_CONFIGURATION)
        self._command = None
        self._position = 0
        self._active_from_us = 0.0
        self._transmitter.stop()
        self._update_pins()

    def _update_pins(self) -> None:
        registers = self._registers
        if self.present:
            levels = reg.pin_levels(
                registers[reg.CANINTF], registers[reg.CANINTE], registers[reg.BFPCTRL]
            )
        else:
            levels = (None, None, None)
        before = self._levels
        if self.release_ns:
            levels = self._delayed(levels)
        if levels != before:
            self._levels = levels
            for pin, level, old in zip(self._pins, levels, before, strict=True):
                if level != old and pin is not None:
                    self._engine.drive(pin, level)

    def _delayed(self, levels: reg.Levels) -> reg.Levels:
        """Return the levels with those still low that must wait for their rise."""
        if levels == self._levels:
            self._rises_fs[:] = (None, None, None)
            return levels
        now_fs = self._clock.now_fs
        for i in range(3):
            if self._levels[i] is not False or levels[i] is not True:
                self._rises_fs[i] = None
            elif self._rises_fs[i] is None:
                self._rises_fs[i] = now_fs + int(self.release_ns * FS_PER_US / 1000)
        waiting = [rise_fs for rise_fs in self._rises_fs if rise_fs and rise_fs > now_fs]
        if waiting:
            self._next_rise.schedule_fs(min(waiting))
        pairs = zip(self._rises_fs, levels, strict=True)
        return tuple(False if rise_fs and rise_fs > now_fs else level for rise_fs, level in pairs)

    # Transmission

    def _request(self) -> None:
        if self.mode == reg.MODE_LOOPBACK and self.rate_bps:
            self._transmitter.start(self.rate_bps)
        elif self.mode == reg.MODE_NORMAL and self._rate_fits():
            self._transmitter.start(self.bitrate_bps)

    def _end_own(self, frame: SentFrame) -> None:
        """A frame of its own has ended."""
        if self.mode == reg.MODE_LOOPBACK:
            self.t_offered_us.append(self._clock.t_us)
            self.t_release_us.append(0.0)
            self.outcomes.append(INACTIVE)
            self.outcomes[-1] = self._store(*frame[1:], len(self.outcomes) - 1)
        elif self.mode == reg.MODE_NORMAL:
            self.n_dominant += 1
            self.sent.append(frame)
        self._update_pins()
        self._request()
