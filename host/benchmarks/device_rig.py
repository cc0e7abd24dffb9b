"""The board of the device benchmark: shipped firmware, emulated chip, traffic, and the closed
account afterwards.

Owns nothing of the figures (device_rows). A firmware that does not start is a RigTimeout.
"""

import re
import tempfile
from pathlib import Path

import numpy as np

from boards.files import Settings
from slog.messages import CONFIG_SIGNALS, CONTROL_STOP
from stagelog.blocks import read_log
from stagelog.events import load_events
from stagelog.ledger import account
from stagelog.rig import tape as tapes
from stagelog.rig.rp2040.mcp2515 import DELIVERED, LOST
from stagelog.rig.rp2040.target import Rp2040Target

SPEEDS = {
    "nominal": {"slow": 1.0, "miss_cycles": 0},
    "cache": {"slow": 1.0, "miss_cycles": 60},
    "slow": {"slow": 2.5, "miss_cycles": 0},
}
RAM = 0x20000000
# First and last instructions of what receives: drivers.rp2_receive.code from its label HANDLER on;
# drivers.pio_receive.decode and drivers.pio_frame.code.
_RECEIVERS = {
    False: ((rb"\xf0\xb5....\x38\x6c\x84\x46", rb"\x28\x60\x70\x47"),),
    True: (
        (rb"\x41\x46\x4a\x46\x53\x46\x5c\x46", rb"\x88\x46\x91\x46\x9a\x46\xa3\x46"),
        (rb"\x00\xb5\x00\x20\x38\x63\x01\x36", rb"\x70\x46"),
    ),
}
_SAMPLES = 19_000
_SAMPLE_us = 53
SETTLE_us = 1_500_000
CARD_BLOCKS = 16384


class Bench:
    """One run: a board with the logger on it, recording. Use as a context.

    speed    key of SPEEDS, for another board than the usual "BOARD SPEED"
    options  of Rp2040Target
    """

    def __init__(self, speed, **options):
        self._folder = tempfile.TemporaryDirectory(prefix="stagelog-bench-")
        folder = Path(self._folder.name)
        board, _, speed = speed.rpartition(" ")
        if board:
            options["board"] = board
        self._is_pio = board.startswith("pico_pio")
        self._is_polled = board == "pico_mcp2518fd"
        self._target = Rp2040Target(folder, card_blocks=CARD_BLOCKS, **SPEEDS[speed], **options)
        self.card_path = self._target.card_path
        self.board, self.can, self.card = self._target.board, self._target.can, self._target.card
        self.buses = [bus for bus in (self.can, self._target.second) if bus is not None]
        self.link = self._target.link
        self.board.run_us(SETTLE_us)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._target.close()
        self._folder.cleanup()

    def give_table(self, data):
        """Let the logger start anew with a signal table in its settings."""
        with tempfile.TemporaryDirectory() as folder:
            Settings(folder).save(CONFIG_SIGNALS, data)
            files = {f"settings/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}
        self._target.power_cut()
        self.board.install(files)
        self._target.power_on()
        self.link = self._target.link
        self.board.run_us(SETTLE_us)

    def play(self, tape):
        """Let the tape's frames arrive; return the share of time spent in handlers, and that spent
        receiving, sampled: in the handler of a controller, or in the decoder without one; nothing
        of that for a controller that is polled.
        """
        board = self.board
        start_us, handler_us = board.t_us, board.handler_us
        self._target.offer(tape)
        figures = {} if self._is_polled else {"receive_pct": self._receive_pct()}
        while not all(bus.is_played_out for bus in self.buses):
            board.run_us(5_000)
        passed_us = board.t_us - start_us
        return {"handler_pct": 100 * (board.handler_us - handler_us) / passed_us, **figures}

    def _receive_pct(self):
        """Return the share of a second in which the core is in a routine that receives."""
        chip = self.board.chip
        memory = bytes(chip.sram)
        routines = []
        for first, last in _RECEIVERS[self._is_pio]:
            start = re.search(first, memory, re.DOTALL).start()
            end = re.compile(last, re.DOTALL).search(memory, start).start()
            routines.append((RAM + start, RAM + end))
        n_inside = 0
        for _ in range(_SAMPLES):
            self.board.run_us(_SAMPLE_us)
            pc = chip.engine.shared.pc
            n_inside += any(start <= pc < end for start, end in routines)
        return 100 * n_inside / _SAMPLES

    def finish(self):
        """Stop the session and close the account: return the figures of loss and of the ledger.

        lost           frames that the controller saw and the card does not hold
        uncounted      those of them that the log does not account for, exactly or at least
        wrong          frames on the card that differ from what was on the bus, or out of order
        """
        self.link.control(CONTROL_STOP, self.link.hello().boot)
        status = self.link.status()
        self.board.power_off()
        log = read_log(self.card_path)
        ledger = account(log.sessions[-1], log.damaged)
        n_stored = sum(bus.n_stored for bus in ledger.buses)
        n_dropped = sum(bus.n_dropped for bus in ledger.buses)
        n_at_least = sum(bus.n_at_least for bus in ledger.buses)
        held = log.sessions[-1].read_frames()
        n_delivered, n_overrun = (
            sum(bus.count(outcome) for bus in self.buses) for outcome in (DELIVERED, LOST)
        )
        lost = n_delivered + n_overrun - len(held)
        return {
            "seen": n_delivered + n_overrun,
            "held": len(held),
            "lost": lost,
            "overrun": n_overrun,
            "dropped": n_dropped,
            "uncounted": abs(n_delivered - n_stored - n_dropped)
            + max(0, n_at_least - n_overrun)
            + (not ledger.closes),
            "ring_worst": status.ring_worst,
            "ring_blocks": status.ring_blocks,
            "heap_free_bytes": status.heap_free_bytes,
            "loop_worst_us": status.loop_worst_us,
            "write_worst_ms": status.write_worst_ms,
        }

    def held_frames(self):
        """Return the frames on the card of the newest session; after finish()."""
        return read_log(self.card_path).sessions[-1].read_frames()

    def held_events(self):
        """Return the on-car events of the newest session; after finish()."""
        return load_events(read_log(self.card_path).sessions[-1])


def n_wrong(held, tape, outcomes):
    """Return how many held frames are not, in this order, delivered frames of the tape."""
    sent = tape[np.array(outcomes[-len(tape) :]) == DELIVERED]
    if len(held) != len(sent):
        return len(held) - np.isin(key_of(held), key_of(sent)).sum()
    return int((key_of(held) != key_of(sent)).sum())


def key_of(frames):
    """Return identifier, length and payload of each row as bytes that can be compared."""
    n_bytes = frames["data"].shape[1]
    rows = np.zeros((len(frames), 5 + n_bytes), np.uint8)
    rows[:, :4] = frames["can_id"].astype("<u4").view(np.uint8).reshape(-1, 4)
    rows[:, 4] = frames["dlc"]
    rows[:, 5:] = frames["data"]
    return rows.view(f"S{5 + n_bytes}").ravel()


def steady_tape(rate_Hz, duration_us, n_bytes=8, seed=0):
    """Return the tape of frames at equal distances, identifiers and payloads at random."""
    rng = np.random.default_rng(seed)
    n = int(rate_Hz * duration_us / 1e6)
    tape = np.zeros(n, tapes.TAPE)
    tape["t_us"] = 1 + np.arange(n) * 1e6 / rate_Hz
    tape["can_id"] = rng.integers(0, 0x800, n)
    tape["dlc"] = n_bytes
    tape["data"][:, :n_bytes] = rng.integers(0, 256, (n, n_bytes))
    return tape
