"""The MCP2518FD on one of the board's SPIs: `rig.sim.mcp2518fd` byte by byte, and the account of
what happened to each frame.

Does not own the chip's registers, nor the bus: its traffic comes as a tape. Of a reading of
registers eight bytes are those of its beginning.
"""

import ctypes

from stagelog.rig import tape as tapes
from stagelog.rig.rp2040.emulator import Emulator
from stagelog.rig.rp2040.mcp2515 import DELIVERED, INACTIVE, LOST
from stagelog.rig.rp2040.mcp2515_registers import MODE_CONFIGURATION, MODE_LISTEN_ONLY
from stagelog.rig.rp2040.spi_wire import SpiWire
from stagelog.rig.rp2040.tape_player import TapePlayer
from stagelog.rig.sim.kinds import kind_of
from stagelog.rig.sim.mcp2518fd import Mcp2518fdModel
from stagelog.rig.tape import Tape

_READ, _READ_CRC = 3, 11
_REGISTER_BYTES = 8


class Mcp2518fd:
    """One controller. Invariant: every frame offered to it has exactly one outcome; DELIVERED is
    what has a place in its FIFO.
    """

    def __init__(
        self, bitrate_bps: int = 500_000, bus: int = 0, data_bitrate_bps: int = 2_000_000
    ) -> None:
        self.bitrate_bps = bitrate_bps
        self.data_bitrate_bps = data_bitrate_bps
        self.bus = bus
        self.outcomes: list[int] = []
        self.max_spi_Hz = 0.0
        self._wire = SpiWire(self, unit=0, cs=5, sck=2, mosi=3, miso=4)
        self._answer = (ctypes.c_uint8 * 1024)()
        self._given = bytearray()
        self._tape: TapePlayer | None = None

    def attach(self, emulator: Emulator) -> None:
        """Wire it to the board."""
        self._clock = emulator.clock
        self._wire.attach(emulator)
        self._next_frame = self._clock.create_alarm(self._frame_due)
        self.chip = Mcp2518fdModel(
            lambda: int(self._clock.t_us),
            self.bitrate_bps,
            wire_data_bps=self.data_bitrate_bps,
        )

    def power_on(self) -> None:
        """The chip gets power."""
        self.chip.reset()

    def power_off(self) -> None:
        """All state is lost; the bus continues without it."""
        self.chip.reset()

    def unplug(self) -> None:
        """Take the chip off the board, with what it holds."""
        self.chip.present = False

    def plug(self) -> None:
        """Put the chip back: it starts as after power-on."""
        self.chip.present = True
        self.chip.reset()

    @property
    def can_be_reached(self) -> bool:
        """Whether it is there."""
        return self.chip.present

    @property
    def mode(self) -> int:
        """One of MODE_* of mcp2515_registers: what it does, in the words of the other chip."""
        return MODE_LISTEN_ONLY if self.chip.is_listening else MODE_CONFIGURATION

    @property
    def rate_bps(self) -> float:
        """The bit rate of the bus if it is set up for that, else 0."""
        return self.bitrate_bps if self.chip.rate_fits else 0

    @property
    def n_dominant(self) -> int:
        """Frames in which it has driven the bus dominant."""
        return self.chip.n_dominant

    def play(self, tape: Tape) -> None:
        """Let the records of a tape for this bus arrive from now on."""
        self._tape = TapePlayer(tape[tape["bus"] == self.bus], self._clock.now_fs)
        self._schedule()

    @property
    def is_played_out(self) -> bool:
        """True once every record given to play() has arrived."""
        return self._tape is None

    def count(self, outcome: int) -> int:
        """Return how many frames have this outcome."""
        return self.outcomes.count(outcome)

    def _schedule(self) -> None:
        if self._tape is not None and self._tape.next_fs is None:
            self._tape = None
        if self._tape is not None and self._tape.next_fs is not None:
            self._next_frame.schedule_fs(self._tape.next_fs)

    def _frame_due(self) -> None:
        player = self._tape
        while player and player.next_fs is not None and player.next_fs <= self._clock.now_fs:
            kind, can_id, flags, dlc, data, _ = player.take()
            if kind == tapes.FRAME:
                n_lost = self.chip.n_lost
                kind = kind_of(flags)
                is_heard = self.chip.is_listening and self.chip.hears(kind)
                self.chip.receive(int(self._clock.t_us), can_id, kind, dlc, data)
                lost = self.chip.n_lost > n_lost
                self.outcomes.append(LOST if lost else DELIVERED if is_heard else INACTIVE)
            elif kind == tapes.ERROR:
                self.chip.see_error()
        self._schedule()

    # SPI

    def selected(self, is_selected: bool) -> None:
        """Chip select changed: what was written counts at its end."""
        if not is_selected and self._given and self._given[0] >> 4 not in (_READ, _READ_CRC):
            self.chip.transfer(self._given)
        self._given = bytearray()
        self.max_spi_Hz = max(self.max_spi_Hz, self._wire.rate_Hz)

    def exchange(self, byte: int) -> int:
        """Take one byte and return the chip's answer."""
        self._given.append(byte)
        command, n = self._given[0] >> 4, len(self._given)
        if command == _READ and n == 2:
            self._read(_REGISTER_BYTES)
        elif command == _READ_CRC and n == 3:
            self._read(4 * byte + 2)
        return 0 if self.chip.present else 0xFF

    def _read(self, n: int) -> None:
        """Let the next `n` bytes of the wire be the chip's answer to what was given."""
        view = self._given + bytes(n)
        self.chip.transfer(view)
        ctypes.memmove(self._answer, bytes(view[-n:]), n)
        self._wire.stream(ctypes.addressof(self._answer), None, n)
