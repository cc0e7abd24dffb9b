"""One logger on one card through many power-ons, in virtual time, with a witness of every frame on
its bus.

Owns the world around the shipped application: traffic, card, cable, key. The witness knows what
was offered; what the application made of it is in `card.journal` and `card.sectors`.
"""

import json
import random
import struct
import zlib
from dataclasses import dataclass, field

from campaigns.engine.journal import SECTORS_PER_BLOCK, JournalCard
from campaigns.engine.reader import FD_FRAME
from drivers.fd_ring import FdRing
from logger.app import App
from logger.ring import BlockRing
from slog.framing import FrameWriter
from slog.messages import CONFIG_SETTINGS
from stagelog.link import Link
from stagelog.model import BRS, ESI, EXT, FD, FD_LENGTHS
from stagelog.rig.logger import RunningApp
from stagelog.rig.sim.models import MemoryNv, QueueLink, SimBoard, SimClock, SimController

LBA = 8192
GROUP_BLOCKS = 1024  # 4 MiB
DEVICE_ID = b"WITNESS1"
_MAX_STEP_US = 1 << 27


@dataclass(slots=True)
class Layout:
    """Where things lie in an extent; positions in blocks."""

    extent_id: bytes
    n_blocks: int
    copy: int
    release_a: int
    release_b: int
    first: int
    end: int

    @property
    def n(self):
        """Places in the ring."""
        return self.end - self.first

    def sector(self, position):
        """Return the first sector of a position on the medium."""
        return LBA + position * SECTORS_PER_BLOCK

    def position(self, sector):
        """Return (position, sector within it)."""
        return divmod(sector - LBA, SECTORS_PER_BLOCK)

    def signature(self):
        """Return the 512 bytes of the signature, packed by hand from SPEC.md."""
        packed = struct.pack(
            "<16sI8sIIIIIII",
            b"STAGELOG extent\n",
            1,
            self.extent_id,
            LBA,
            self.n_blocks,
            self.copy,
            self.first,
            self.end,
            self.release_a,
            self.release_b,
        )
        return (packed + struct.pack("<I", zlib.crc32(packed))).ljust(512, b"\0")


def lay_out(n_places, extent_id=b"CAMPAIGN"):
    """Return a Layout with a ring of `n_places`; signature, copy and marks in erase groups of
    their own.
    """
    first = 4 * GROUP_BLOCKS
    end = first + n_places
    group = GROUP_BLOCKS
    return Layout(extent_id, end, group, 2 * group, 3 * group, first, end)


def prepared_card(clock, layout, write_us=3000):
    """Return a JournalCard as `stagelog card prepare` leaves it."""
    card = JournalCard(clock, LBA + layout.n_blocks * SECTORS_PER_BLOCK, write_us)
    card.sectors[layout.sector(0)] = card.sectors[layout.sector(layout.copy)] = layout.signature()
    return card


@dataclass(slots=True)
class Life:
    """One power-on as the witness saw it.

    offered   [(t_us, bus, can_id, bits, dlc, payload)], every frame that ended on the bus while
              capture ran
    """

    index: int
    offered: list = field(default_factory=list)


class Traffic:
    """Frames on one bus: calm, bursts and silence, as (t_us, ...) events of
    rig.sim.world.World.
    """

    def __init__(self, rng, rate_Hz=60, burst=0.02, n_burst=300):
        self._rng = rng
        self.rate_Hz = rate_Hz
        self.burst = burst
        self._n_burst = n_burst

    def events(self, start_us, life):
        """Yield events for ever; each is noted in `life.offered`."""
        rng = self._rng
        t_us = start_us
        left = 0
        while True:
            if left:
                left -= 1
                t_us += 250
            else:
                t_us += 1 + int(rng.expovariate(self.rate_Hz) * 1e6)
                if rng.random() < self.burst:
                    left = rng.randrange(self._n_burst)
            ext = rng.random() < 0.5
            rtr = rng.random() < 0.02
            can_id = rng.getrandbits(29 if ext else 11)
            dlc = rng.randrange(9)
            n_bytes = 0 if rtr else dlc
            data = rng.randbytes(n_bytes).ljust(8, b"\0")
            life.offered.append((t_us, 0, can_id, rtr | ext << 1, dlc, data))
            yield (t_us, 0, 0, ext | rtr << 1, can_id, dlc, 0, 0, 0, data)


class FdTraffic(Traffic):
    """Frames of CAN FD with all lengths, among classic ones."""

    def events(self, start_us, life):
        """As Traffic."""
        rng = self._rng
        for event in super().events(start_us, life):
            if rng.random() < 0.7:
                t_us, _, _, flags, can_id = event[:5]
                code = rng.randrange(16)
                speed = rng.choice((0, BRS, ESI, BRS | ESI))
                data = rng.randbytes(int(FD_LENGTHS[code]))
                first = code | (speed & BRS) << 1 | (speed & ESI) << 1
                ext = flags & EXT
                life.offered[-1] = (t_us, 0, can_id, ext << 1, FD_FRAME | first, data)
                event = (t_us, 0, 0, ext | FD | speed, can_id, code, 0, 0, 0, data)
            yield event


class FdController(SimController):
    """A controller that understands CAN FD and takes every frame at once."""

    def start(self, ring):
        """As SimController."""
        ring.hold_fd()
        super().start(ring)

    def receive(self, t_us, can_id, kind, dlc, data):
        """As SimController."""
        if self._ring is None or not kind & 8:
            super().receive(t_us, can_id, kind, dlc, data)
            return
        self.n_seen += 1
        t_us -= self._clock.boot_us
        first = dlc | kind & 0x30
        n = int(FD_LENGTHS[dlc])
        kind = kind & 6 | self.bus
        self._ring.put_fd(t_us & 0xFFFFFFF, t_us >> 28, can_id, kind, first, data, 0, n)


class _Acks:
    """What notes in the journal which write the store took as done."""

    def __init__(self, n_blocks, card):
        super().__init__(n_blocks)
        self._card = card
        self._is_discarded = False

    def watch(self, store):
        """Separate blocks that the store discards on a full card from those that it has stored."""
        discard = store.discard

        def note_and_discard():
            self._is_discarded = True
            discard()
            self._is_discarded = False

        store.discard = note_and_discard

    def release(self):
        """Give the block back: the store says that the card has it, or discards it."""
        if not self._is_discarded:
            self._card.journal[-1].t_acked_us = self._card.clock.now_us
        super().release()


class AckRing(_Acks, BlockRing):
    """A ring of classic frames."""


class AckFdRing(_Acks, FdRing):
    """A ring of a session with CAN FD."""


class Plug:
    """The logger's end of whatever `cable` is plugged in."""

    def __init__(self, cable):
        self.cable = cable

    def read(self, buf):
        """As the cable."""
        return self.cable.read(buf)

    def write(self, *args):
        """As the cable."""
        return self.cable.write(*args)


class Bench:
    """A rig of models for one seed. `power_on` makes a life, `power_cut` ends it; the card
    stays. `can_fd`: its bus carries CAN FD, and it understands that.
    """

    def __init__(
        self,
        seed,
        n_places,
        settings=None,
        write_us=3000,
        ring_blocks=24,
        loop_us=1000,
        can_fd=False,
    ):
        self.rng = random.Random(seed)
        self.clock = SimClock()
        self.layout = lay_out(n_places)
        self.card = prepared_card(self.clock, self.layout, write_us)
        self.settings = dict(settings or {})
        self.nv = MemoryNv({CONFIG_SETTINGS: json.dumps(self.settings).encode()})
        self.lives = []
        self.erasable = set()  # identities of the sessions that the host has asked to erase
        self.n_filled = 0  # writes at the start of the journal that only filled the card
        self._can_fd = can_fd
        self.traffic = (FdTraffic if can_fd else Traffic)(self.rng)
        self.depth, self.service_us = 2, 0  # of the controller; 0: every frame is taken at once
        self.captures = []
        self.app = None
        self._seed = seed
        self._ring_blocks = ring_blocks
        self.frame_writer = FrameWriter
        self.loop_us = loop_us

    def power_on(self, t0_us=0):
        """Boot the application; time starts at `t0_us`."""
        self.clock.now_us = t0_us
        life = Life(len(self.lives))
        self.lives.append(life)
        self.card.life = life.index
        self.cable = QueueLink()
        self.plug = Plug(self.cable)
        ring = (AckFdRing if self._can_fd else AckRing)(self._ring_blocks, self.card)
        seed = self._seed * 1000 + life.index + 1
        controller = FdController if self._can_fd else SimController
        self.captures = [controller(self.clock, 0, self.depth, self.service_us)]
        board = SimBoard(
            self.clock, ring, self.card, self.captures, self.plug, self.nv, DEVICE_ID, seed
        )
        board.frame_writer = self.frame_writer
        self.app = App(board)
        ring.watch(self.app.store)
        events = self.traffic.events(t0_us, life)
        self.logger = RunningApp(self.app, self.cable, events, self.loop_us, wait_ms=20)
        self.world = self.logger.world
        self.link = Link(self, "bench", self.seconds)

    def plug_in(self, cable):
        """Put another cable between logger and host."""
        self.cable = self.plug.cable = self.logger.cable = cable

    def power_cut(self):
        """Take the power away."""
        life = self.lives[-1]
        now = self.clock.now_us
        life.offered = [frame for frame in life.offered if frame[0] <= now]
        self.card.power_off()
        self.app = None

    def run_ms(self, ms):
        """Let time pass."""
        self.world.run_for(int(ms * 1000))

    def seconds(self):
        """Return virtual seconds, for Link."""
        return self.clock.now_us / 1e6

    def write(self, data):
        """Send bytes to the logger (Link's stream)."""
        self.logger.write(data)

    def read(self, n):
        """Return what the logger sends within 20 ms (Link's stream)."""
        return self.logger.read(n)
