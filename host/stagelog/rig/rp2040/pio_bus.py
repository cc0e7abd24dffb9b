"""A CAN bus on a pin of the emulated board, bit by bit, as a transceiver's RXD gives it, and the
witness of every frame on it.

Its traffic comes as a tape; a frame ends at its record's time, or as soon after the one before as
the bus allows. An error record is an error frame: six dominant bits. Does not own what a line does
to edges (`bus.wave`). The transceiver's TXD is tied to recessive, so nothing of the logger comes
back but its pin, which must be an input.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.model import FD, FD_LENGTHS
from stagelog.rig import tape as tapes
from stagelog.rig.bus.canbits import n_bytes_of
from stagelog.rig.bus.fd import bit_widths, fd_wire_bits, to_fd_frame
from stagelog.rig.bus.wave import Line, acknowledged_bits, edges_of
from stagelog.rig.rp2040.engine import FS_PER_US
from stagelog.rig.rp2040.mcp2515 import DELIVERED, INACTIVE
from stagelog.rig.rp2040.mcp2515_registers import MODE_CONFIGURATION, MODE_LISTEN_ONLY

_PIO, _MACHINE, _MACHINE_BYTES, _PADOE = 0x50200000, 0xC8, 24, 0x40
_CLOCKS = 125  # of the firmware's program in a bit
_IO_BANK, _PADS, _SIO_OE = 0x40014000, 0x4001C004, 0xD0000020
_OUTPUT_DISABLE = 0x80
_SIO, _PIO_FUNCTIONS, _NULL = 5, (6, 7), 31
_ERROR_FRAME = [0] * 6 + [1] * 8
_SPACE_BITS = 3


class PioBus:
    """One bus. Invariant: every frame played has one outcome, DELIVERED if it was whole on the bus
    while the logger listened, else INACTIVE.

    bitrate_bps   of the bus; `line` may bend it
    present       False: no transceiver is there, see unplug
    t_sof_us, t_offered_us   when each frame began and ended
    """

    def __init__(
        self,
        bitrate_bps: int = 500_000,
        pin: int = 6,
        bus: int = 0,
        line: Line | None = None,
        seed: int = 1,
        data_bitrate_bps: int = 2_000_000,
    ) -> None:
        self.bitrate_bps = bitrate_bps
        self.data_bitrate_bps = data_bitrate_bps
        self.present = True
        self.bus = bus
        self.pin = pin
        self.line = line or Line(bitrate_bps)
        self.outcomes: list[int] = []
        self.n_fd = 0  # frames of CAN FD, which have no outcome: the logger understands none
        self.t_sof_us: list[float] = []
        self.t_offered_us: list[float] = []
        self._seed = seed
        self._edges = np.zeros(0, np.uint64)
        self._free_fs = 0.0

    def attach(self, emulator: Any) -> None:
        """Wire it to the board."""
        self._clock = emulator.clock
        self._chip = emulator.chip
        self._chip.engine.drive(self.pin, 1)

    def power_on(self) -> None:
        """The board gets power."""

    def power_off(self) -> None:
        """The bus continues without the logger."""
        now_us = self._clock.t_us
        for i in range(len(self.outcomes) - 1, -1, -1):
            if self.t_offered_us[i] <= now_us:
                break
            self.outcomes[i] = INACTIVE

    @property
    def can_be_reached(self) -> bool:
        """Whether it is there."""
        return self.present

    def unplug(self) -> None:
        """Take the transceiver away: the pin stays at its pull-up, the rest is not heard."""
        self.power_off()
        self.present = False
        self._edges = np.zeros(0, np.uint64)
        self._chip.engine.wave(self.bus, self.pin, self._edges)
        self._chip.engine.drive(self.pin, None)

    def plug(self) -> None:
        """Put a transceiver back: what is played from now on is heard."""
        self.present = True
        self._chip.engine.drive(self.pin, 1)

    def play(self, tape: tapes.Tape, at_us: float | None = None) -> None:
        """Put the records of a tape for this bus on it, the tape's time 0 being at_us (now)."""
        records = tape[(tape["bus"] == self.bus) & (tape["kind"] != tapes.STATE)]
        now_fs = self._clock.now_fs
        start_fs = now_fs if at_us is None else int(at_us * FS_PER_US)
        bit_fs = self.line.bit_fs
        free_fs = max(self._free_fs, now_fs + bit_fs)
        listens = self.present and self.mode == MODE_LISTEN_ONLY
        rows, starts, widths = [], [], []
        for record in records.tolist():
            t_us, kind, _, dlc, flags, can_id, _, _, _, _, data, _ = record
            width = None
            is_fd = kind == tapes.FRAME and flags & FD
            if is_fd:
                frame = to_fd_frame(can_id, flags, bytes(data[: FD_LENGTHS[dlc]]))
                row, fast = fd_wire_bits(frame)
                width = bit_widths(fast, self.data_bitrate_bps / self.bitrate_bps)
            elif kind == tapes.FRAME:
                row = acknowledged_bits(can_id, flags, dlc, bytes(data[: n_bytes_of(flags, dlc)]))
            else:
                row = _ERROR_FRAME
            span_fs = (sum(width) if width else len(row)) * bit_fs
            begin_fs = max(start_fs + t_us * FS_PER_US - span_fs, free_fs)
            end_fs = begin_fs + span_fs
            free_fs = end_fs + _SPACE_BITS * bit_fs
            rows.append(row)
            starts.append(int(begin_fs))
            widths.append(width)
            if is_fd:
                self.n_fd += 1
            elif kind == tapes.FRAME:
                self.outcomes.append(DELIVERED if listens else INACTIVE)
                self.t_sof_us.append(begin_fs / FS_PER_US)
                self.t_offered_us.append(end_fs / FS_PER_US)
        self._free_fs = free_fs
        if self.present:
            at = np.array(starts, np.int64)
            self._add(edges_of(rows, at, self.line, self._seed, widths))
        self._seed += 1

    def put(self, rows: Sequence[Sequence[int]], space_bits: int = _SPACE_BITS) -> list[float]:
        """Put rows of bits on the bus from now on, each after a space; return when each begins.

        For what no tape has; they have no outcome.
        """
        bit_fs = self.line.bit_fs
        begin_fs = max(self._free_fs, self._clock.now_fs + bit_fs)
        starts = []
        for row in rows:
            starts.append(int(begin_fs))
            begin_fs += (len(row) + space_bits) * bit_fs
        self._free_fs = begin_fs
        self._add(edges_of(rows, np.array(starts, np.int64), self.line, self._seed))
        self._seed += 1
        return [start_fs / FS_PER_US for start_fs in starts]

    def put_levels(self, changes: Sequence[tuple[int, int]]) -> float:
        """Let the pin take levels, (t_ps, level) from now on; return the time at which 0 ps is.

        For what another simulation has made; the last level must be recessive.
        """
        start_fs = int(max(self._free_fs, self._clock.now_fs)) + FS_PER_US
        times = np.array([start_fs + 1000 * t_ps for t_ps, _ in changes], np.uint64)
        levels = np.array([level for _, level in changes], np.uint64)
        self._free_fs = float(times[-1]) if len(times) else start_fs
        self._add((times & ~np.uint64(1)) | levels)
        return start_fs / FS_PER_US

    def _add(self, edges: NDArray[np.uint64]) -> None:
        engine = self._chip.engine
        left = engine.wave_left(self.bus)
        self._edges = np.concatenate((self._edges[len(self._edges) - left :], edges))
        engine.wave(self.bus, self.pin, self._edges)

    @property
    def is_played_out(self) -> bool:
        """True once every record given to play() has ended."""
        return self._clock.now_fs >= self._free_fs - _SPACE_BITS * self.line.bit_fs

    def count(self, outcome: int) -> int:
        """Return how many frames have this outcome."""
        return self.outcomes.count(outcome)

    @property
    def mode(self) -> int:
        """Whether the logger listens, in the words of mcp2515_registers."""
        is_on = self._chip.engine.peek(_PIO) >> self.bus & 1
        return MODE_LISTEN_ONLY if is_on else MODE_CONFIGURATION

    @property
    def rate_bps(self) -> int:
        """The bit rate that the divider of the state machine gives."""
        divider = self._chip.engine.peek(_PIO + _MACHINE + self.bus * _MACHINE_BYTES) >> 8
        return round(self._chip.clk_sys * 256 / (divider * _CLOCKS)) if divider else 0

    @property
    def n_dominant(self) -> int:
        """Not 0 if anything of the chip is an output on the pin now."""
        peek = self._chip.engine.peek
        if peek(_PADS + 4 * self.pin) & _OUTPUT_DISABLE:
            return 0
        control = peek(_IO_BANK + 8 * self.pin + 4)
        function, override = control & 31, control >> 12 & 3
        if function == _SIO:
            drives = peek(_SIO_OE)
        elif function in _PIO_FUNCTIONS:
            drives = peek(_PIO + ((function - 6) << 20) + _PADOE)
        else:
            drives = 0 if function == _NULL else -1
        level = drives >> self.pin & 1
        return (level, 1 - level, 0, 1)[override]
