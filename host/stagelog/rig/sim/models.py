"""Models of what a logger touches: clock, card, controller, link ends, settings memory, and a
board made of them.

All are deterministic and keep to one clock. They run on MicroPython too, which has no module
`typing` and does not evaluate annotations: no dataclasses, no NumPy; types are imported for the
checker only.
"""

import io
import struct

from logger.clock import Clock
from slog.framing import FrameWriter, cobs_decode
from slog.layout import (
    BUS_ACTIVE,
    BUS_OFF,
    BUS_PASSIVE,
    BUS_STOPPED,
    BUS_WARNING,
    ERROR_ABSENT,
    ERROR_READ_ONLY,
    GAP_CONTROLLER,
    META_GAP,
    SECTOR_BYTES,
    WRITE_BUSY,
    WRITE_DONE,
)
from stagelog.rig.sim.numbers import Xorshift

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Any, BinaryIO, Protocol, TypeAlias

    Buffer: TypeAlias = bytearray | memoryview
    Ring: TypeAlias = Any  # logger.ring.BlockRing: the firmware has no annotations
    TapeEvent: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, bytes]

    class Image(Protocol):
        """The sectors of a card."""

        n_sectors: int

        def read(self, sector: int, buf: Buffer) -> None:
            """Fill `buf` from `sector` on."""

        def write(self, sector: int, data: bytes) -> None:
            """Write `data` from `sector` on."""

        def close(self) -> None:
            """Release it."""

    class LoggerLink(Protocol):
        """The logger's end of its link."""

        def read(self, buf: bytearray) -> int:
            """Fill `buf` with what has arrived; return how many bytes."""

        def write(self, buf: bytearray, at: int, n: int) -> int:
            """Send `n` bytes of `buf` from `at`; return how many were taken."""


FRAME = 0
ERROR = 1
STATE = 2
TAPE_BYTES = 32
_TAPE_STATES = (BUS_ACTIVE, BUS_WARNING, BUS_PASSIVE, BUS_OFF)


class SimClock:
    """Virtual time in microseconds. Only the world moves it; boards read it as wrapping ticks."""

    def __init__(self, now_us: int = 0) -> None:
        self.now_us = now_us
        self.boot_us = now_us  # where the clock of the board begins

    def ticks_us(self) -> int:
        """Return the tick as MicroPython's `time.ticks_us` does: it wraps at 2^30."""
        return self.now_us & 0x3FFFFFFF


class FileImage:
    """A card image in a file; 512-byte sectors."""

    def __init__(self, path: "str | Path") -> None:
        self._file = open(path, "r+b")
        self._file.seek(0, 2)
        self.n_sectors = self._file.tell() // SECTOR_BYTES

    def read(self, sector: int, buf: "Buffer") -> None:
        """Fill `buf` from `sector` on."""
        self._file.seek(sector * SECTOR_BYTES)
        self._file.readinto(buf)

    def write(self, sector: int, data: bytes) -> None:
        """Write `data` from `sector` on, through to the operating system."""
        self._file.seek(sector * SECTOR_BYTES)
        self._file.write(data)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class MemoryImage:
    """A card image in memory; sectors that were never written read as zeros."""

    def __init__(self, n_sectors: int) -> None:
        self.n_sectors = n_sectors
        self.sectors: dict[int, bytes] = {}

    def read(self, sector: int, buf: "Buffer") -> None:
        """Fill `buf` from `sector` on."""
        view = memoryview(buf)
        for i in range(0, len(buf), SECTOR_BYTES):
            view[i : i + SECTOR_BYTES] = self.sectors.get(
                sector + i // SECTOR_BYTES, bytes(SECTOR_BYTES)
            )

    def write(self, sector: int, data: bytes) -> None:
        """Write `data` from `sector` on."""
        for i in range(0, len(data), SECTOR_BYTES):
            self.sectors[sector + i // SECTOR_BYTES] = bytes(data[i : i + SECTOR_BYTES])

    def close(self) -> None:
        """Nothing to release."""


class SimCard:
    """A card whose writes take time. In each (from_us, to_us) of `stalls` it finishes no write."""

    def __init__(
        self,
        image: "Image",
        clock: SimClock,
        write_us: int = 3000,
        stalls: "Iterable[tuple[int, int]]" = (),
        present: bool = True,
    ) -> None:
        self.image = image
        self.clock = clock
        self.write_us = write_us
        self.stalls = list(stalls)
        self.present = present
        self.read_only = False
        self.n_writes = 0
        self._due_us = 0
        self._job: tuple[int, bytes] | None = None
        self._is_set_up = False

    def swap(self, image: "Image") -> None:
        """Put another card in, which was not set up yet."""
        self.image = image
        self.read_only = self._is_set_up = False

    @property
    def n_sectors(self) -> int:
        """Size of the card in sectors."""
        return self.image.n_sectors

    def init(self) -> None:
        """Start the card; OSError when it is not there."""
        self._job = None
        if not self.present:
            raise OSError("no card")
        self._is_set_up = True

    def read(self, sector: int, buf: "Buffer") -> None:
        """Fill `buf` from `sector` on."""
        if not self.present or not self._is_set_up:
            raise OSError("no card")
        self.image.read(sector, buf)

    def write_start(self, sector: int, view: "Buffer") -> None:
        """Start one write. The bytes are copied at once; a DMA would read them later."""
        self._due_us = self._finish_time(self.clock.now_us)
        self._job = (sector, bytes(view))

    def write_poll(self) -> int:
        """Return 1 busy, 0 done, below 0 an error."""
        if not self.present or not self._is_set_up:
            self._job = None
            return ERROR_ABSENT
        if self.read_only:
            self._job = None
            return ERROR_READ_ONLY
        if self.clock.now_us < self._due_us:
            return WRITE_BUSY
        self.commit()
        return WRITE_DONE

    def write_abort(self) -> None:
        """Discard the write in progress."""
        self._job = None

    def commit(self) -> None:
        """Finish the write in progress: put it onto the image."""
        if self._job is not None:
            self.image.write(*self._job)
            self.n_writes += 1
            self._job = None

    def _finish_time(self, now_us: int) -> int:
        end = now_us + self.write_us
        for start, stop in self.stalls:
            if start <= end and now_us < stop:
                end = max(end, stop + self.write_us)
        return end


class SimController:
    """A controller with a receive queue of `depth` frames and an overflow flag that does not say
    how many were lost.

    service_us  time that the interrupt takes to put a frame into the ring, from its end or from
                the end of the frame before it
    present     whether it is soldered in
    wire_bps    bit rate of its bus, None for whatever it is set to: frames of another rate are
                errors to it
    """

    listen_only = True

    def __init__(self, clock: SimClock, bus: int = 0, depth: int = 2, service_us: int = 0) -> None:
        self._clock = clock
        self.bus = bus
        self.bitrate_bps = 0
        self.present = self.answers = True
        self.wire_bps: int | None = None
        self.counters = [0] * 8
        self.n_errors = self.doubts = self.wire_fault = 0
        self.n_seen = 0
        self.n_lost = 0
        self._depth = depth
        self._service_us = service_us
        self._queue: list[tuple[int, int, int, int, Sequence[int]]] = []
        self._overflow = False
        self._t_overflow = 0
        self._t_poll = 0
        self._n_polled = 0
        self._is_noisy = False
        self._state = BUS_STOPPED
        self._ring: Ring = None
        self._ids: list[int] | None = None

    def set_up(self, settings: "dict[str, Any]") -> None:
        """Set the bit rate and the filter from the settings of the bus."""
        self.bitrate_bps = settings["bitrate_bps"]
        self._ids = settings.get("ids")
        self.counters = [0] * 8
        self.n_errors = 0

    def counts(self) -> tuple[int, ...]:
        """As drivers.can_source: a controller counts nothing by kind."""
        return ()

    def start(self, ring: "Ring") -> None:
        """Pass frames to `ring` from now on."""
        self._ring = ring
        self._state = BUS_ACTIVE if self.present else BUS_STOPPED
        self._t_poll = self._clock.now_us - self._clock.boot_us

    def stop(self) -> None:
        """Stop passing frames on."""
        self._ring = None
        self._queue = []
        self._state = BUS_STOPPED

    def state(self) -> int:
        """Return the BUS_ state of layout.py."""
        return BUS_WARNING if self._is_noisy and self._state == BUS_ACTIVE else self._state

    def receive(self, t_us: int, can_id: int, kind: int, dlc: int, data: "Sequence[int]") -> None:
        """Take a frame that ended on the bus at `t_us`. `kind` as in BlockRing.put_frame."""
        if self._ring is None or not self.present:
            return
        if kind & 8 or self.wire_bps not in (None, self.bitrate_bps):  # 8: CAN FD
            self.see_error()
            self._is_noisy = True
            return
        if self._ids is not None and can_id not in self._ids:
            return
        dlc = min(dlc, 8)
        t_us -= self._clock.boot_us
        self.n_seen += 1
        if not self._service_us:
            self._ring.put_frame(t_us & 0xFFFFFFF, t_us >> 28, can_id, kind, dlc, data)
            return
        self.serve(t_us)
        if len(self._queue) >= self._depth:
            self.n_lost += 1
            if not self._overflow:
                self._overflow = True
                self._t_overflow = t_us
            return
        ready = t_us
        if self._queue:
            ready = max(ready, self._queue[-1][0])
        self._queue.append((ready + self._service_us, can_id, kind, dlc, data))

    def see_error(self) -> None:
        """Count an error on the bus."""
        if self._ring is not None and self.present:
            self.n_errors += 1

    def change_state(self, state: int, tec: int, rec: int) -> None:
        """Take a new error state and new counters."""
        self.counters[0] = tec
        self.counters[1] = rec
        if self._state != BUS_STOPPED:
            self._state = _TAPE_STATES[state]

    def serve(self, t_us: int) -> None:
        """Do what the interrupt has done up to `t_us` of its own clock."""
        while self._queue and self._queue[0][0] <= t_us:
            ready, can_id, kind, dlc, data = self._queue.pop(0)
            self._ring.put_frame(ready & 0xFFFFFFF, ready >> 28, can_id, kind, dlc, data)

    def poll(self, ring: "Ring") -> None:
        """Report and clear the overflow flag: at least one frame was lost. A controller that is
        present again is set up again.
        """
        now = self._clock.now_us - self._clock.boot_us
        if self.answers != self.present:
            self.answers = self.present
            self._state = BUS_ACTIVE if self.present else BUS_STOPPED
            self._queue = []
            if self.present:
                self._put_gap(ring, now, 0, self._t_poll)
        if not self.present:
            return
        if self._overflow:
            self._overflow = False
            self.counters[7] += 1
            ring.count_lost(self.bus, 1)
            self._put_gap(ring, now, 1, self._t_overflow)
        if self._is_noisy and self.n_errors == self._n_polled:
            self._is_noisy = False
        self._n_polled = self.n_errors
        self._t_poll = now

    def _put_gap(self, ring: "Ring", now: int, n: int, t_first: int) -> None:
        data = struct.pack("<II", n, t_first & 0xFFFFFFFF)
        ring.put_meta(now & 0xFFFFFFF, now >> 28, META_GAP, GAP_CONTROLLER, self.bus, data)


class MemoryNv:
    """Settings memory that lives as long as the object."""

    def __init__(self, items: "dict[int, bytes] | None" = None) -> None:
        self.items = dict(items or {})

    def load(self, item: int) -> "bytes | None":
        """Return the bytes of an item, or None."""
        return self.items.get(item)

    def open(self, item: int) -> "tuple[io.BytesIO, int] | bytes | None":
        """Return (file, n bytes) of an item, or None."""
        data = self.items.get(item)
        return data and (io.BytesIO(data), len(data))

    def save(self, item: int, data: bytes) -> None:
        """Keep the bytes of an item."""
        self.items[item] = bytes(data)


class NoLink:
    """A service link with no cable in it."""

    def read(self, buf: "Buffer") -> int:
        """Return 0: nothing has arrived."""
        return 0

    def write(self, buf: "Buffer", at: int, n: int) -> int:
        """Discard `n` bytes of `buf` from `at`; return how many."""
        return n


class QueueLink:
    """The logger's end of a byte link whose other end is `host_write` and `host_read`."""

    def __init__(self) -> None:
        self._to_logger = bytearray()
        self._to_host = bytearray()

    def read(self, buf: "Buffer") -> int:
        """Fill `buf` with what has arrived; return how many bytes."""
        n = min(len(buf), len(self._to_logger))
        buf[:n] = self._to_logger[:n]
        self._to_logger = self._to_logger[n:]
        return n

    def write(self, buf: "Buffer", at: int, n: int) -> int:
        """Send `n` bytes of `buf` from `at`."""
        self._to_host.extend(memoryview(buf)[at : at + n])
        return n

    def host_write(self, data: bytes) -> None:
        """Send bytes to the logger."""
        self._to_logger.extend(data)

    def host_read(self) -> bytes:
        """Return all that the logger has sent."""
        sent = bytes(self._to_host)
        self._to_host = bytearray()
        return sent


class SimBoard:
    """What the application is given, made of models."""

    name = "sim"
    slot = 255
    reset_cause = 1

    def __init__(
        self,
        clock: SimClock,
        ring: "Ring",
        card: SimCard,
        captures: "list[Any]",
        link: "LoggerLink",
        nv: MemoryNv,
        device_id: bytes = b"SIM00001",
        seed: int = 1,
    ) -> None:
        self.sim_clock = clock
        self.clock = Clock(clock.ticks_us)
        self.ring = ring
        self.card = card
        self.captures = captures
        self.link = link
        self.nv = nv
        self.device_id = device_id
        self.shown: tuple[int, int] | None = None
        self.asked: int | None = None  # the last action that the application requested
        self.n_fed = 0
        self.button_level = 1
        self.random_u32 = Xorshift(seed)
        self.frame_writer = FrameWriter
        self.cobs_decode = cobs_decode

    def button(self) -> int:
        """Return the level at the button's pin, 0 while it is pressed."""
        return self.button_level

    def heap_free(self) -> int:
        """Return 0: a simulated board has no heap of its own."""
        return 0

    def feed(self) -> None:
        """Feed the watchdog: count the passes."""
        self.n_fed += 1

    def show(self, state: int, fault: int) -> None:
        """Keep the state that the LED would show."""
        self.shown = (state, fault)

    def control(self, action: int) -> None:
        """Keep the action that is requested; the world does it."""
        self.asked = action


def read_tape(stream: "BinaryIO", record_bytes: int = TAPE_BYTES) -> "Iterator[TapeEvent]":
    """Yield (t_us, kind, bus, flags, can_id, dlc, state, tec, rec, data) of each record of a tape.

    stream         a file with the layout of `stagelog.rig.tape`; an incomplete last record is left
                   out
    record_bytes   of TAPE, or in memory of TAPE_FD
    """
    while True:
        chunk = stream.read(record_bytes * 512)
        n = len(chunk) // record_bytes
        if not n:
            return
        for i in range(n):
            at = i * record_bytes
            lo, hi, kind, bus, dlc, flags, can_id, tec, rec, state = struct.unpack_from(
                "<IIBBBBIBBB", chunk, at
            )
            yield (
                hi << 32 | lo,
                kind,
                bus,
                flags,
                can_id,
                dlc,
                state,
                tec,
                rec,
                chunk[at + 20 : at + record_bytes - 4],
            )
