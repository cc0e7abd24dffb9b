"""The machine's side of `rig.rv32`: runs the code that the host writes into the shared memory.

The serial port carries the bytes of the service link and nothing else. A read waits for bytes that
the host has sent and that are still on their way, so that a run depends on virtual time alone.
"""

import io
import json
import sys

import micropython  # type: ignore[import-not-found]
import uctypes  # type: ignore[import-not-found]
from machine import mem32  # type: ignore[import-not-found]

from slog.layout import SECTOR_BYTES
from stagelog.rig.rv32.layout import (
    CARD,
    DONE,
    FAILED,
    GIVEN,
    LENGTH,
    REQUEST,
    SENT,
    TAKEN,
    TAPE,
    TEXT,
)
from stagelog.rig.sim.assemble import build
from stagelog.rig.sim.models import read_tape
from stagelog.rig.sim.world import World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from stagelog.rig.sim.models import TapeEvent

    ptr8: Any  # of viper code


# QEMU's virt machine has a 16550 at this address; its line status says 1: a byte has come, 0x20:
# there is room for one.
@micropython.viper  # type: ignore[untyped-decorator]
def _receive(buf, at: int, n: int):  # type: ignore[no-untyped-def]
    data = ptr8(buf)
    uart = ptr8(0x10000000)
    for i in range(at, at + n):
        while uart[5] & 1 == 0:
            pass
        data[i] = uart[0]


@micropython.viper  # type: ignore[untyped-decorator]
def _send(buf, at: int, n: int):  # type: ignore[no-untyped-def]
    data = ptr8(buf)
    uart = ptr8(0x10000000)
    for i in range(at, at + n):
        while uart[5] & 0x20 == 0:
            pass
        uart[0] = data[i]


class UartLink:
    """The logger's end of the link."""

    def read(self, buf: bytearray) -> int:
        """Fill `buf` with what has arrived; return how many bytes."""
        n = min(len(buf), mem32[SENT] - mem32[TAKEN])
        _receive(buf, 0, n)
        mem32[TAKEN] += n
        return n

    def write(self, buf: bytearray, at: int, n: int) -> int:
        """Send `n` bytes of `buf` from `at`."""
        _send(buf, at, n)
        mem32[GIVEN] += n
        return n


class RamImage:
    """A card image in the shared memory."""

    def __init__(self, n_sectors: int) -> None:
        self.n_sectors = n_sectors

    def read(self, sector: int, buf: "bytearray | memoryview") -> None:
        """Fill `buf` from `sector` on."""
        buf[:] = uctypes.bytearray_at(CARD + sector * SECTOR_BYTES, len(buf))

    def write(self, sector: int, data: bytes) -> None:
        """Write `data` from `sector` on."""
        uctypes.bytearray_at(CARD + sector * SECTOR_BYTES, len(data))[:] = data

    def close(self) -> None:
        """Nothing to release."""


class _Tape:
    """The tape in the shared memory, as `read_tape` reads files."""

    def __init__(self, n_bytes: int) -> None:
        self._at = TAPE
        self._end = TAPE + n_bytes

    def read(self, n: int) -> bytearray:
        n = min(n, self._end - self._at)
        self._at += n
        return uctypes.bytearray_at(self._at - n, n)


def _events(n_bytes: int, record_bytes: int, start_us: int) -> "Iterator[TapeEvent]":
    """Yield the events of the tape in the shared memory, its beginning at `start_us`."""
    for event in read_tape(_Tape(n_bytes), record_bytes):  # type: ignore[arg-type]
        yield (event[0] + start_us,) + event[1:]  # MicroPython has no star here


class Logger:
    """The application on a simulated board, for the host's requests."""

    def __init__(self, text: str, n_sectors: int) -> None:
        args = json.loads(text)
        self.app = build(args, UartLink(), image=RamImage(n_sectors))
        self.board = self.app.board
        self.world = World(self.app, (), args.get("loop_us", 1000))
        self.app.start()

    def play(self, n_bytes: int, record_bytes: int) -> None:
        """Play the tape from now on, up to its last event."""
        self.world.add_events(_events(n_bytes, record_bytes, self.world.clock.now_us))
        self.world.run_tape()

    def answer(self, n_passes: int) -> None:
        """Run until the logger sends something, `n_passes` at most."""
        before = mem32[GIVEN]
        for _ in range(n_passes):
            if mem32[GIVEN] != before:
                break
            self.world.run_for(self.world.loop_us)


def serve() -> None:
    """Run what the host requests, for ever. What the code leaves in `answer` is the answer."""
    names: dict[str, Any] = {"Logger": Logger}
    n_done = mem32[DONE]
    while True:
        if mem32[REQUEST] == n_done:
            continue
        text = bytes(uctypes.bytearray_at(TEXT, mem32[LENGTH]))
        names["answer"] = None
        mem32[FAILED] = 0
        try:
            exec(text, names)
            answer = str(names["answer"]).encode()
        except Exception as error:
            out = io.StringIO()
            sys.print_exception(error, out)  # type: ignore[attr-defined]
            answer = out.getvalue().encode()
            mem32[FAILED] = 1
        uctypes.bytearray_at(TEXT, len(answer))[:] = answer
        mem32[LENGTH] = len(answer)
        n_done += 1
        mem32[DONE] = n_done
