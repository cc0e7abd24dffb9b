"""The shipped receiver of a board without a controller, alone on an emulated Pico at its prompt:
no application, no card. For what is asked of many buses or millions of frames.

    receiver = Receiver()
    receiver.listen(1_000_000)
    starts_us = receiver.bus.put(rows)
    receiver.run(bits)
    receiver.frames()         # what is in the ring of blocks
    receiver.counts()         # by the names of slog.messages.BUS_COUNTERS

Fails with RuntimeUnavailable where there is no MicroPython for the Pico.
"""

import ast
import struct
from typing import Any, NamedTuple

from slog.layout import BLOCK_BYTES, HEADER_BYTES, META_DLC, META_GAP, RECORD_BYTES
from slog.messages import BUS_COUNTERS
from stagelog.flash.build import build_app
from stagelog.resources import firmware_path
from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.rp2040.pio_bus import PioBus
from stagelog.rig.runtimes import ensure_runtime

_RAM = 0x20000000
_N_RECORDS = 3  # of a block's header, SPEC.md 3
_SET_UP = """
from drivers.raw_ring import RawRing
raw = RawRing(14)
from drivers.pio_can import PioCan, PioRing, _PROGRAM, find_divider
from drivers.rp2_hot import HotClock
import gc, machine, rp2, time, uctypes
ring = PioRing({n_blocks})
clock = HotClock()
can = PioCan(6, clock, raw)
ring.fetch = can.drain

def empty():
    ring.close_block()
    while ring.n_waiting():
        ring.release()

def begin(rate):
    can.set_up({{"bitrate_bps": rate, "ids": None}})
    empty()
    ring.start_session()
    can.start(ring)

def follow(ms):
    for _ in range(ms // 50):
        time.sleep_ms(50)
        can.drain()
    time.sleep_ms(ms % 50)
    can.drain()
    ring.close_block()
"""


class Record(NamedTuple):
    """A record of the ring: bits 27..0 of its time, and SPEC.md's w1, dlc and data."""

    t_us: int
    w1: int
    dlc: int
    data: bytes

    @property
    def is_frame(self) -> bool:
        """Whether it is no meta record."""
        return self.dlc != META_DLC

    @property
    def is_gap(self) -> bool:
        """Whether it records a loss."""
        return self.dlc == META_DLC and self.w1 & 0xFF == META_GAP


class Receiver:
    """A board at its prompt and its bus. Invariant: emulated time passes in `run` only, and while
    code is sent to the prompt.

    bus     the bus; put bits on it
    board   the board
    """

    def __init__(self, n_blocks: int = 8, second: PioBus | None = None) -> None:
        app = build_app("pico_pio", "armv6m", readable=True)
        self.bus = PioBus(1_000_000)
        self.board = PicoBoard(
            ensure_runtime("pico-1.25"),
            files={"a.app": app.content},
            can=self.bus,
            devices=[second] if second else (),
        )
        main = (firmware_path() / "main.py").read_text(encoding="utf-8")
        slot = main.split("\ntry:\n")[0]
        self.exec(f"{slot}\nos.mount(Slot('a'), '/app')\nsys.path[:] = ['/app']\n")
        self.exec(_SET_UP.format(n_blocks=n_blocks))
        self._memory = self.value("uctypes.addressof(ring.memory)") - _RAM

    def close(self) -> None:
        """Free the board."""
        self.board.close()

    def exec(self, code: str) -> str:
        """Run code at the prompt; return what it prints."""
        return self.board.repl.exec(code)

    def value(self, code: str) -> Any:
        """Return the value of an expression at the prompt."""
        return ast.literal_eval(self.exec(f"print({code})"))

    def listen(self, rate_bps: int) -> None:
        """Begin anew: nothing in the ring, counters at zero, the receiver at a bit rate."""
        self.exec(f"begin({rate_bps})")

    def run(self, us: float) -> None:
        """Let time pass, the main loop asleep for 50 ms at a time; close the open block."""
        self.exec(f"follow({round(us / 1000) + 1})")

    def frames(self) -> list[Record]:
        """Take the records of frames out of the ring."""
        return [record for record in self.records() if record.is_frame]

    def records(self) -> list[Record]:
        """Take all records out of the ring."""
        self.exec("can.drain(); ring.close_block()")
        n_waiting, head, n_blocks = self.value("(ring.n_waiting(), ring.state[0], ring.n_blocks)")
        memory = self.board.chip.sram
        found = []
        for i in range(n_waiting):
            at = self._memory + (head - n_waiting + i) % n_blocks * BLOCK_BYTES
            rows = at + HEADER_BYTES
            end = rows + memory[at + _N_RECORDS] * RECORD_BYTES
            for w0, w1, data in struct.iter_unpack("<II8s", memory[rows:end]):
                found.append(Record(w0 & 0x0FFFFFFF, w1, w0 >> 28, data))
        self.exec("empty()")
        return found

    def counts(self) -> dict[str, int]:
        """Return the counters by kind."""
        names = [row[0] for row in BUS_COUNTERS]
        return dict(zip(names, self.value("can.counts()"), strict=True))
