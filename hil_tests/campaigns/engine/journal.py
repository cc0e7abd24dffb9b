"""A card that keeps a journal of every write, and misbehaves exactly as it is set to.

Owns the image of the medium and the list of writes in the order in which the logger asked for
them. The power-cut engine goes back to any of them; the card campaign reads what the logger
made of it.
"""

from dataclasses import dataclass, field

from slog.layout import WRITE_BUSY, WRITE_DONE

SECTOR_BYTES = 512
SECTORS_PER_BLOCK = 8
ZEROS = bytes(SECTOR_BYTES)
BAD = None  # a sector that the card can't read any more


def split_sectors(data):
    """Return the sectors of `data` as a tuple of bytes."""
    return tuple(data[i : i + SECTOR_BYTES] for i in range(0, len(data), SECTOR_BYTES))


@dataclass(slots=True)
class Write:
    """One write that the logger asked for.

    life                    index of the power-on
    t_start_us, t_done_us   since that power-on; t_done_us is None while the card is busy
    result                  what the card said: 0 done, below 0 an error, None while busy
    landed                  sector -> bytes that reached the medium
    t_acked_us              when the logger counted it as stored, None if it did not
    """

    index: int
    life: int
    sector: int
    data: bytes
    t_start_us: int
    t_done_us: int | None = None
    result: int | None = None
    landed: dict = field(default_factory=dict)
    t_acked_us: int | None = None


class Verdict:
    """What the card makes of one write: how long it takes, what it says, which of the 8 sectors
    land where.
    """

    def __init__(self, took_us=3000, result=WRITE_DONE, mask=0xFF, sector=None):
        self.took_us = took_us
        self.result = result
        self.mask = mask
        self.sector = sector


class JournalCard:
    """A card in virtual time.

    judge      None, or a function (write) -> Verdict
    on_read    None, or a function (sector, data) -> data; may raise OSError
    """

    def __init__(self, clock, n_sectors, write_us=3000):
        self.clock = clock
        self.n_sectors = n_sectors
        self.write_us = write_us
        self.present = True
        self.read_only = False
        self.sectors = {}
        self.journal = []
        self.life = 0
        self.n_reads = 0
        self.judge = None
        self.on_read = None
        self._busy = None
        self._verdict = None

    def init(self):
        """Start the card; OSError when it is not there."""
        self._busy = None
        if not self.present:
            raise OSError("no card")

    def read(self, sector, buf):
        """Fill `buf` from `sector` on; OSError without a card and at a BAD sector."""
        if not self.present:
            raise OSError("no card")
        if self._busy is not None:
            raise AssertionError("read while a write is busy")
        self.n_reads += 1
        found = [self.sectors.get(sector + i, ZEROS) for i in range(len(buf) // SECTOR_BYTES)]
        if self.on_read is not None:
            found = [self.on_read(sector + i, data) for i, data in enumerate(found)]
        if BAD in found:
            raise OSError("unreadable")
        buf[:] = b"".join(found)

    def write_start(self, sector, view):
        """Take one write into the journal."""
        if self._busy is not None:
            raise AssertionError("two writes at a time")
        data = bytes(view)
        if len(data) == SECTOR_BYTES:  # a release mark; the rest of its block is as exposed
            data += b"".join(self.sectors.get(sector + i) or ZEROS for i in range(1, 8))
        if len(data) != SECTOR_BYTES * SECTORS_PER_BLOCK:
            raise AssertionError(f"a write of {len(view)} bytes")
        write = Write(len(self.journal), self.life, sector, data, self.clock.now_us)
        self.journal.append(write)
        self._busy = write
        self._verdict = (self.judge and self.judge(write)) or Verdict(self.write_us)

    def write_poll(self):
        """Return 1 busy, 0 done, below 0 an error."""
        write, verdict = self._busy, self._verdict
        if not self.present:
            return self._finish(-3, 0)
        if self.read_only:
            return self._finish(-4, 0)
        if self.clock.now_us < write.t_start_us + verdict.took_us:
            return WRITE_BUSY
        return self._finish(verdict.result, verdict.mask)

    def write_abort(self):
        """Abort the write in progress; what is stored by then stays stored."""
        self._finish(-2, self._verdict.mask)

    def power_off(self):
        """The write under way never reaches the medium."""
        if self._busy is not None:
            self._busy.t_done_us = self.clock.now_us
        self._busy = None

    def _finish(self, result, mask):
        write, verdict = self._busy, self._verdict
        self._busy = None
        write.t_done_us = self.clock.now_us
        write.result = result
        at = write.sector if verdict.sector is None else verdict.sector
        for i, data in enumerate(split_sectors(write.data)):
            if mask >> i & 1:
                write.landed[at + i] = data
        self.land(write)
        return result

    def land(self, write):
        """Bring what has landed of a write onto the medium."""
        self.sectors.update(write.landed)
