"""The board of the device benchmark: shipped firmware, emulated chip, traffic, and the closed
account afterwards.

Owns nothing of the figures (device_rows). A firmware that does not start is a RigTimeout.
"""

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
# First and last instructions of drivers.pio_receive.decode and of drivers.pio_frame.code.
_DECODER = (
    (bytes.fromhex("41464a4653465c46"), bytes.fromhex("884691469a46a346")),
    (bytes.fromhex("00b5002038630136"), bytes.fromhex("7046")),
)
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
        self._is_pio = board == "pico_pio"
        self._target = Rp2040Target(folder, card_blocks=CARD_BLOCKS, **SPEEDS[speed], **options)
        self.card_path = self._target.card_path
        self.board, self.can, self.card = self._target.board, self._target.can, self._target.card
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
        """Let the tape's frames arrive; return the share of time spent in handlers, of a board
        without a controller also that spent in its decoder, sampled.
        """
        board = self.board
        start_us, handler_us = board.t_us, board.handler_us
        self.can.play(tape)
        figures = {"decoder_pct": self._decoder_pct()} if self._is_pio else {}
        while not self.can.is_played_out:
            board.run_us(5_000)
        passed_us = board.t_us - start_us
        return {"handler_pct": 100 * (board.handler_us - handler_us) / passed_us, **figures}

    def _decoder_pct(self):
        """Return the share of a second in which the core is in one of the decoder's routines."""
        chip = self.board.chip
        memory = bytes(chip.sram)
        routines = []
        for first, last in _DECODER:
            start = memory.index(first)
            routines.append((RAM + start, RAM + memory.index(last, start)))
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
        bus = ledger.buses[0]
        held = log.sessions[-1].read_frames()
        n_delivered, n_overrun = self.can.count(DELIVERED), self.can.count(LOST)
        lost = n_delivered + n_overrun - len(held)
        return {
            "seen": n_delivered + n_overrun,
            "held": len(held),
            "lost": lost,
            "overrun": n_overrun,
            "dropped": bus.n_dropped,
            "uncounted": abs(n_delivered - bus.n_stored - bus.n_dropped)
            + max(0, bus.n_at_least - n_overrun)
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
    rows = np.zeros((len(frames), 13), np.uint8)
    rows[:, :4] = frames["can_id"].astype("<u4").view(np.uint8).reshape(-1, 4)
    rows[:, 4] = frames["dlc"]
    rows[:, 5:] = frames["data"]
    return rows.view("S13").ravel()


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
