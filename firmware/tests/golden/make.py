"""Make the golden files of format version 1 with the firmware's own ring and store.

    .venv/bin/python firmware/tests/golden/make.py      for a new version; files of old ones stay

    v1_session.slog      a session that was stopped, with everything a record can be
    v1_extent.img.gz     a card: an erased session, that one round the end of the ring, one cut off
    v1_frames.csv        what a reader must find in the session: t_us, bus, id, flags, dlc, data
    v1_wire.bin          frames of the service link at the corners of COBS

Deterministic: a test makes them anew and compares.
"""

import gzip
import random
from pathlib import Path

from logger.extent import checked
from logger.ring import BlockRing
from logger.store import Store
from slog import layout
from slog.framing import frame

HERE = Path(__file__).parent
DEVICE = bytes.fromhex("e66038b7130f2e29")
N_BLOCKS, FIRST, END = 20, 4, 20
START_US = (5 << layout.TIME_BITS) - 20_000
LOW = (1 << layout.TIME_BITS) - 1


class MemoryCard:
    """A card in memory; writes take `write_polls` polls."""

    read_only = False

    def __init__(self, image, write_polls=1):
        self.image = image
        self.write_polls = write_polls
        self.n_sectors = len(image) // layout.SECTOR_BYTES

    def init(self):
        """Answer."""

    def read(self, sector, buf):
        """Read whole sectors."""
        at = sector * layout.SECTOR_BYTES
        buf[:] = self.image[at : at + len(buf)]

    def write_start(self, sector, view):
        """Begin a write."""
        self._write = (sector * layout.SECTOR_BYTES, view)
        self._left = self.write_polls

    def write_poll(self):
        """Go on; 1 while busy, 0 when the card has it."""
        self._left -= 1
        if self._left > 0:
            return 1
        at, view = self._write
        self.image[at : at + len(view)] = view
        return 0

    def write_abort(self):
        """Give up; never needed here."""


class SetClock:
    """A clock that is set."""

    hi = lo = 0

    def set(self, t_us):
        """Show this time."""
        self.lo, self.hi = t_us & LOW, t_us >> layout.TIME_BITS

    def t_us(self):
        """Return the time."""
        return self.hi << layout.TIME_BITS | self.lo


class Recorder:
    """One power-on of a logger: ring, store, clock, and a list of the frames that were stored."""

    def __init__(self, image, nonce, n_ring=2):
        self.card = MemoryCard(image)
        self.clock = SetClock()
        self.ring = BlockRing(n_ring)
        self.store = Store(self.card, self.ring, self.clock, DEVICE)
        self.ring.start_session()
        self.store.start_session(nonce)
        self.frames = []

    def meta(self, t_us, kind, arg=0, bus=0, **values):
        """Store a meta record."""
        table = layout.meta_table(kind)
        payload = layout.pack(table, values) if table else bytes(range(8))
        self.ring.put_meta(t_us & LOW, t_us >> layout.TIME_BITS, kind, arg, bus, payload)

    def frame(self, t_us, can_id, kind, dlc, payload):
        """Offer a frame; kind: bus | rtr << 1 | ext << 2."""
        data = payload.ljust(8, b"\0")
        where = (t_us & LOW, t_us >> layout.TIME_BITS)
        if self.ring.put_frame(*where, can_id, kind, dlc, data):
            flags = (kind >> 2 & 1) | (kind & 2)
            self.frames.append((t_us, kind & 1, can_id, flags, dlc, payload))

    def store_all(self):
        """Bring all that waits onto the card."""
        for _ in range(1000):
            if not self.ring.n_waiting() and not self.store.is_writing:
                return
            self.store.step()
        raise RuntimeError(f"the store does not store, fault {self.store.fault}")


def new_image():
    """Return a prepared extent whose ring begins near its end and whose first numbers are used."""
    image = bytearray(N_BLOCKS * layout.BLOCK_BYTES)
    signature = {
        "magic": layout.SIGNATURE_MAGIC,
        "version": layout.VERSION,
        "extent_id": b"goldenv1",
        "lba": 0,
        "n_blocks": N_BLOCKS,
        "copy": 3,
        "data_first": FIRST,
        "data_end": END,
        "release_a": 1,
        "release_b": 2,
    }
    release = {
        "magic": layout.RELEASE_MAGIC,
        "extent_id": b"goldenv1",
        "generation": 1,
        "released_seq": 100,
        "position": END - 3,
    }
    for place, table, values in (
        (0, layout.SIGNATURE, signature),
        (2, layout.RELEASE, release),
        (3, layout.SIGNATURE, signature),
    ):
        packed = checked(table, values)
        at = place * layout.BLOCK_BYTES
        image[at : at + len(packed)] = packed
    return image


def erased_block():
    """Return a block that a release has erased, for the place before the ring's tail."""
    ring = BlockRing(1)
    ring.put_frame(0, 0, 0x7FF, 0, 1, b"\xee" + bytes(7))
    ring.close_block()
    from slog.block import seal

    block = ring.first_waiting()
    seal(block, DEVICE, 1, 0x01D, 99, END - 4, 7)
    return bytes(block)


def record_session(recorder):
    """Record a session with everything that a record can be; END at its end."""
    rng = random.Random(1)
    t_us = START_US
    recorder.clock.set(t_us)
    recorder.store.mount()
    recorder.meta(
        t_us, layout.META_SESSION, 3, n_buses=2, listen_only=1, flush_ms=250, firmware=256
    )
    recorder.meta(t_us, layout.META_HASH, 1, sha256_head=bytes(range(8)))
    for n in range(90):  # through the end of the 28 bits, all kinds and lengths
        t_us += rng.randrange(47, 900)
        kind = n % 8
        can_id = rng.randrange(1 << 29) if kind & 4 else rng.randrange(1 << 11)
        dlc = n % 9
        recorder.frame(t_us, can_id, kind, dlc, b"" if kind & 2 else rng.randbytes(dlc))
    recorder.meta(t_us - 12, layout.META_ANCHOR, 1, t_unix_us=1_768_658_602_120_000)
    recorder.meta(t_us, layout.META_BUS, layout.BUS_WARNING, 1, tec=0, rec=97, bitrate_bps=500_000)
    recorder.meta(t_us, layout.META_EVENT, 5 | 1 << 16, 0, value=-1234, extra=0xDEADBEEF)
    recorder.meta(t_us, 200, 0x1FFFFF, 1)
    recorder.ring.close_block()
    recorder.store_all()
    for n in range(700):  # a burst while the card does not take anything: the ring fills
        t_us += rng.randrange(47, 230)
        kind = rng.choice((0, 0, 0, 1))
        recorder.frame(t_us, 0x100 + n % 40, kind, n % 7, rng.randbytes(n % 7))
    recorder.clock.set(t_us)
    recorder.store_all()
    for _ in range(3):
        t_us += 110
        recorder.frame(t_us, 0x0F0, 0, 2, b"\x12\x34")
    recorder.ring.count_lost(1, 2)
    recorder.meta(
        t_us, layout.META_GAP, layout.GAP_CONTROLLER, 1, n=2, t_first=(t_us - 400) & 0xFFFFFFFF
    )
    recorder.meta(t_us, layout.META_HEALTH, 2, value=120, worst=120)
    recorder.ring.close_block()
    recorder.store_all()
    t_us += 90_000_000  # a quiet bus
    recorder.clock.set(t_us)
    recorder.frame(t_us, 0x0F0, 0, 2, b"\x56\x78")
    t_us += 100_000_000  # more than the times of a block may differ by in sum, not in steps
    recorder.frame(t_us, 0x0F0, 0, 2, b"\x9a\xbc")
    t_us += 100_000_000
    recorder.frame(t_us, 0x0F0, 0, 2, b"\xde\xf0")
    recorder.meta(t_us, layout.META_END, 1, n_blocks=recorder.store.counts.blocks_written + 1)
    recorder.ring.close_block()
    recorder.store.close_session()
    recorder.store_all()
    return t_us


def record_cut_session(recorder):
    """Record a few blocks; the power goes off while the last one is written."""
    recorder.clock.set(0)
    recorder.store.mount()
    recorder.meta(0, layout.META_SESSION, 1, n_buses=1, listen_only=1, flush_ms=250, firmware=256)
    for n in range(40):
        recorder.frame(n * 1000, n, 0, 1, bytes((n,)))
        if n % 20 == 19:
            recorder.ring.close_block()
            recorder.store_all()
    torn = recorder.store.extent.sector_of(recorder.store.places.next_position - 1) + 1
    at = torn * layout.SECTOR_BYTES - 300
    recorder.card.image[at : at + 20] = bytes(20)


def session_file(image, n_blocks):
    """Return the places of the session from the ring's tail on."""
    ring = END - FIRST
    places = [FIRST + (END - 3 - FIRST + i) % ring for i in range(n_blocks)]
    return b"".join(
        bytes(image[place * layout.BLOCK_BYTES : (place + 1) * layout.BLOCK_BYTES])
        for place in places
    )


def wire_payloads():
    """Return the payloads of v1_wire.bin: (type, request, payload)."""
    sizes = (0, 1, 2, 247, 248, 249, 250, 501, 502, 503, 504)
    found = [(0x01, 0, b""), (0xFF, 255, b"\0"), (0x85, 7, bytes(300))]
    found += [(0x05, n & 0xFF, bytes(1 + i % 255 for i in range(n))) for n in sizes]
    found.append((0x85, 1, random.Random(2).randbytes(700)))
    return found


def build():
    """Return {file name: bytes} of all golden files."""
    image = new_image()
    at = (END - 4) * layout.BLOCK_BYTES
    image[at : at + layout.BLOCK_BYTES] = erased_block()
    recorder = Recorder(image, 0x5EED0001)
    record_session(recorder)
    session = session_file(image, recorder.store.counts.blocks_written)
    record_cut_session(Recorder(image, 0x5EED0002))
    lines = ["t_us,bus,can_id,flags,dlc,data\n"]
    for t_us, bus, can_id, flags, dlc, payload in recorder.frames:
        lines.append(f"{t_us},{bus},{can_id:X},{flags},{dlc},{payload.hex()}\n")
    return {
        "v1_session.slog": session,
        "v1_extent.img.gz": gzip.compress(bytes(image), 9, mtime=0),
        "v1_frames.csv": "".join(lines).encode(),
        "v1_wire.bin": b"".join(frame(*entry) for entry in wire_payloads()),
    }


def main():
    """Write the files beside this script."""
    for name, content in build().items():
        (HERE / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
