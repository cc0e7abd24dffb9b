"""Models of what a logger touches: clock, card, controller, link ends, settings memory, and a
board made of them.

All are deterministic and keep to one clock. They run on MicroPython too, so: no typing, no
dataclasses, no NumPy.
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

FRAME = 0
ERROR = 1
STATE = 2
TAPE_BYTES = 32
_TAPE_STATES = (BUS_ACTIVE, BUS_WARNING, BUS_PASSIVE, BUS_OFF)


class SimClock:
    """Virtual time in microseconds. Only the world moves it; boards read it as wrapping ticks."""

    def __init__(self, now_us=0):
        self.now_us = now_us
        self.boot_us = now_us  # where the clock of the board begins

    def ticks_us(self):
        """Return the tick as MicroPython's `time.ticks_us` does: it wraps at 2^30."""
        return self.now_us & 0x3FFFFFFF


class FileImage:
    """A card image in a file; 512-byte sectors."""

    def __init__(self, path):
        self._file = open(path, "r+b")
        self._file.seek(0, 2)
        self.n_sectors = self._file.tell() // SECTOR_BYTES

    def read(self, sector, buf):
        """Fill `buf` from `sector` on."""
        self._file.seek(sector * SECTOR_BYTES)
        self._file.readinto(buf)

    def write(self, sector, data):
        """Write `data` from `sector` on, through to the operating system."""
        self._file.seek(sector * SECTOR_BYTES)
        self._file.write(data)
        self._file.flush()

    def close(self):
        """Close the file."""
        self._file.close()


class MemoryImage:
    """A card image in memory; sectors that were never written read as zeros."""

    def __init__(self, n_sectors):
        self.n_sectors = n_sectors
        self.sectors = {}

    def read(self, sector, buf):
        """Fill `buf` from `sector` on."""
        view = memoryview(buf)
        for i in range(0, len(buf), SECTOR_BYTES):
            view[i : i + SECTOR_BYTES] = self.sectors.get(
                sector + i // SECTOR_BYTES, bytes(SECTOR_BYTES)
            )

    def write(self, sector, data):
        """Write `data` from `sector` on."""
        for i in range(0, len(data), SECTOR_BYTES):
            self.sectors[sector + i // SECTOR_BYTES] = bytes(data[i : i + SECTOR_BYTES])


class SimCard:
    """A card whose writes take time. `stalls` is a list of (from_us, to_us) in which nothing is
    finished.
    """

    def __init__(self, image, clock, write_us=3000, stalls=(), present=True):
        self.image = image
        self.clock = clock
        self.write_us = write_us
        self.stalls = list(stalls)
        self.present = present
        self.read_only = False
        self.n_writes = 0
        self._due_us = 0
        self._job = None
        self._is_set_up = False

    def swap(self, image):
        """Be another card, which was not set up yet."""
        self.image = image
        self.read_only = self._is_set_up = False

    @property
    def n_sectors(self):
        """Size of the card in sectors."""
        return self.image.n_sectors

    def init(self):
        """Start the card; OSError when it is not there."""
        self._job = None
        if not self.present:
            raise OSError("no card")
        self._is_set_up = True

    def read(self, sector, buf):
        """Fill `buf` from `sector` on."""
        if not self.present or not self._is_set_up:
            raise OSError("no card")
        self.image.read(sector, buf)

    def write_start(self, sector, view):
        """Take one write; the bytes are taken over at once, as a DMA would not."""
        self._due_us = self._finish_time(self.clock.now_us)
        self._job = (sector, bytes(view))

    def write_poll(self):
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

    def write_abort(self):
        """Forget the write that is under way."""
        self._job = None

    def commit(self):
        """Bring the write that is under way onto the image."""
        if self._job is not None:
            self.image.write(*self._job)
            self.n_writes += 1
            self._job = None

    def _finish_time(self, now_us):
        end = now_us + self.write_us
        for start, stop in self.stalls:
            if start <= end and now_us < stop:
                end = max(end, stop + self.write_us)
        return end


class SimController:
    """A controller with a receive queue of `depth` frames and an overflow flag that says nothing
    about how many.

    `service_us` is the time from the end of a frame (or of the service before) to its place in the
    ring: the interrupt. `present` is whether it is soldered in; `wire_bps` the bit rate of its
    bus, None for whatever it is set to: frames of another rate are errors to it.
    """

    listen_only = True

    def __init__(self, clock, bus=0, depth=2, service_us=0):
        self._clock = clock
        self.bus = bus
        self.bitrate_bps = 0
        self.present = self.answers = True
        self.wire_bps = None
        self.counters = [0] * 8
        self.n_errors = self.doubts = self.wire_fault = 0
        self.n_seen = 0
        self.n_lost = 0
        self._depth = depth
        self._service_us = service_us
        self._queue = []
        self._overflow = False
        self._t_overflow = 0
        self._t_poll = 0
        self._n_polled = 0
        self._is_noisy = False
        self._state = BUS_STOPPED
        self._ring = None
        self._ids = None

    def set_up(self, settings):
        """Take bit rate and filter from the settings of the bus."""
        self.bitrate_bps = settings["bitrate_bps"]
        self._ids = settings.get("ids")
        self.counters = [0] * 8
        self.n_errors = 0

    def start(self, ring):
        """Pass frames to `ring` from now on."""
        self._ring = ring
        self._state = BUS_ACTIVE if self.present else BUS_STOPPED
        self._t_poll = self._clock.now_us - self._clock.boot_us

    def stop(self):
        """Stop passing frames on."""
        self._ring = None
        self._queue = []
        self._state = BUS_STOPPED

    def state(self):
        """Return the BUS_ state of layout.py."""
        return BUS_WARNING if self._is_noisy and self._state == BUS_ACTIVE else self._state

    def receive(self, t_us, can_id, kind, dlc, data):
        """A frame has ended on the bus at `t_us`. `kind` as in BlockRing.put_frame."""
        if self._ring is None or not self.present:
            return
        if self.wire_bps not in (None, self.bitrate_bps):
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

    def see_error(self):
        """There was an error on the bus."""
        if self._ring is not None and self.present:
            self.n_errors += 1

    def change_state(self, state, tec, rec):
        """The controller's error state or counters have changed."""
        self.counters[0] = tec
        self.counters[1] = rec
        if self._state != BUS_STOPPED:
            self._state = _TAPE_STATES[state]

    def serve(self, t_us):
        """Do what the interrupt has done up to `t_us` of its own clock."""
        while self._queue and self._queue[0][0] <= t_us:
            ready, can_id, kind, dlc, data = self._queue.pop(0)
            self._ring.put_frame(ready & 0xFFFFFFF, ready >> 28, can_id, kind, dlc, data)

    def poll(self, ring):
        """Report and clear the overflow flag: at least one frame was lost. A controller that was
        away is set up again.
        """
        now = self._clock.now_us - self._clock.boot_us
        if self.answers != self.present:
            self.answers = self.present
            self._state = BUS_ACTIVE if self.present else BUS_STOPPED
            self._queue = []
            if self.present:
                self._tell_gap(ring, now, 0, self._t_poll)
        if not self.present:
            return
        if self._overflow:
            self._overflow = False
            self.counters[7] += 1
            ring.count_lost(self.bus, 1)
            self._tell_gap(ring, now, 1, self._t_overflow)
        if self._is_noisy and self.n_errors == self._n_polled:
            self._is_noisy = False
        self._n_polled = self.n_errors
        self._t_poll = now

    def _tell_gap(self, ring, now, n, t_first):
        data = struct.pack("<II", n, t_first & 0xFFFFFFFF)
        ring.put_meta(now & 0xFFFFFFF, now >> 28, META_GAP, GAP_CONTROLLER, self.bus, data)


class MemoryNv:
    """Settings memory that lives as long as the object."""

    def __init__(self, items=None):
        self.items = dict(items or {})

    def load(self, item):
        """Return the bytes of an item, or None."""
        return self.items.get(item)

    def open(self, item):
        """Return (file, n bytes) of an item, or None."""
        data = self.items.get(item)
        return data and (io.BytesIO(data), len(data))

    def save(self, item, data):
        """Keep the bytes of an item."""
        self.items[item] = bytes(data)


class NoLink:
    """A service link with no cable in it."""

    def read(self, buf):
        """Return 0: nothing came."""
        return 0

    def write(self, view):
        """Return how much was taken: all, into nothing."""
        return len(view)


class QueueLink:
    """The logger's end of a byte link whose other end is `host_write` and `host_read`."""

    def __init__(self):
        self._to_logger = bytearray()
        self._to_host = bytearray()

    def read(self, buf):
        """Fill `buf` with what has come; return how much."""
        n = min(len(buf), len(self._to_logger))
        buf[:n] = self._to_logger[:n]
        self._to_logger = self._to_logger[n:]
        return n

    def write(self, buf, at, n):
        """Take `n` bytes of `buf` from `at`."""
        self._to_host.extend(memoryview(buf)[at : at + n])
        return n

    def host_write(self, data):
        """Send bytes to the logger."""
        self._to_logger.extend(data)

    def host_read(self):
        """Return all that the logger has sent."""
        sent = bytes(self._to_host)
        self._to_host = bytearray()
        return sent


class SimBoard:
    """What the application is given, made of models."""

    name = "sim"
    slot = 255
    reset_cause = 1

    def __init__(self, clock, ring, card, captures, link, nv, device_id=b"SIM00001", seed=1):
        self.sim_clock = clock
        self.clock = Clock(clock.ticks_us)
        self.ring = ring
        self.card = card
        self.captures = captures
        self.link = link
        self.nv = nv
        self.device_id = device_id
        self.shown = None
        self.asked = None
        self.n_fed = 0
        self._random = seed * 2654435761 & 0xFFFFFFFF or 1
        self.frame_writer = FrameWriter
        self.cobs_decode = cobs_decode

    def random_u32(self):
        """Return the next number of a xorshift generator: same seed, same sessions."""
        x = self._random
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self._random = x
        return x

    def heap_free(self):
        """Return 0: a simulated board has no heap of its own."""
        return 0

    def feed(self):
        """Feed the watchdog: count the passes."""
        self.n_fed += 1

    def show(self, state, fault):
        """Keep what the LED would show."""
        self.shown = (state, fault)

    def control(self, action):
        """Keep what was asked; the world acts on it."""
        self.asked = action


def read_tape(stream):
    """Yield (t_us, kind, bus, flags, can_id, dlc, state, tec, rec, data) from a stream of tape
    records.

    Layout in `stagelog.rig.tape`. A record that the end of the stream cuts off is left out.
    """
    while True:
        chunk = stream.read(TAPE_BYTES * 512)
        n = len(chunk) // TAPE_BYTES
        if not n:
            return
        for i in range(n):
            at = i * TAPE_BYTES
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
                chunk[at + 20 : at + 28],
            )
