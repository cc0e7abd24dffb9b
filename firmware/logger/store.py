"""The store: takes full blocks from the ring and brings them onto the card, one write at a time.

It seals, writes, retries, steps over bad places, reads back samples, counts, and gives the block
back to the ring only when the card has it. It never waits: `step` starts or polls one write. What
it cannot store stays in the ring, where the producer counts what no longer fits.
"""

import struct

from logger.extent import Extent, ExtentError
from logger.volume import is_ours
from slog import faults
from slog.block import CRC, STORED0, is_block, seal
from slog.layout import (
    BLOCK_BYTES,
    ERROR_ABSENT,
    ERROR_READ_ONLY,
    ERROR_REJECTED,
    ERROR_TIMEOUT,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_PARTIAL,
    RECORDS_PER_BLOCK,
    WRITE_BUSY,
    WRITE_DONE,
    const,
)

VERIFY_EVERY = const(32)  # blocks between two that are read back
_TRIES = const(3)  # writes to one place before it is stepped over
_SKIPS = const(4)  # places stepped over in a row before the card counts as failed
_GROUP_BLOCKS = const(16)  # 64 KiB; a card that fails is tried again in its next erase group
_MOST_SKIPPED = const(960)  # places; recovery reads no further than 1,088 ahead
_STALL_US = const(1_000_000)
_TIMEOUT_US = const(10_000_000)
_REMOUNT_US = const(1_000_000)
_MOUNTS = const(5)  # failed mounts before a stopped session's unsaved blocks are discarded
_ZEROS = bytes(64)
_SMALLEST_CARD = const(8192)  # sectors, 4 MiB; a fake card wraps at a power of two of them

STOP_WHEN_FULL = const(0)
OVERWRITE_OLDEST = const(1)


class Store:
    """Invariant: `next_seq` is above every number on the card; a place in use is written only
    under OVERWRITE_OLDEST.
    """

    make_extent = Extent

    def __init__(self, card, ring, clock, device_id, when_full=STOP_WHEN_FULL):
        self.card = card
        self.device_id = device_id
        self.boot = 0
        self.nonce = 0
        self.ring = ring
        self.clock = clock
        self.when_full = when_full
        self.extent = None
        self.fault = faults.CARD_ABSENT
        self.next_seq = 1
        self.next_position = 0
        self.tail = 0
        self.n_used = 0
        self.last_boot = 0
        self.n_sessions = 0
        self.stored = (0, 0)  # frames on the card in this session, per bus
        self.blocks_written = 0
        self.write_errors = 0
        self.write_retries = 0
        self.slots_skipped = 0
        self.verify_errors = 0
        self.write_worst_us = 0
        self.first_stored_us = 0
        self._check = bytearray(BLOCK_BYTES)
        self._writing = None  # the view being written, or None
        self._is_release = False
        self._release = None  # (seq, position, sector, mark) that waits or is being written
        self._n_tries = 0
        self._n_skips = 0
        self._beyond = None  # (extent_id, position) where to go on after a stretch of bad places
        self.counted = (0, 0)  # frames in the blocks taken from the ring in this session, per bus
        self._discarded = (0, 0)  # those of them that never went onto the card
        self._t_start = 0
        self._t_failed = None
        self._closing = False
        self._n_failed_mounts = 0  # since a block was stored or the session stopped
        self._first = True

    def mount(self):
        """Read the card; True if it can take blocks. Reads a bounded number of places, writes
        nothing.
        """
        self.extent = None
        self._writing = None
        self._release = None
        try:
            self.card.init()
            if self.card.read_only:
                self.fault = faults.CARD_READ_ONLY
                return False
            self.fault = faults.CARD_UNPREPARED
            extent = self.make_extent(self.card, self._check)
            if not is_ours(extent):
                self.fault = faults.CARD_FOREIGN
                return False
            head = extent.find_head()
            self.tail, position, self.n_used = extent.find_tail(head)
        except ExtentError:
            return False
        except OSError:
            self.fault = faults.CARD_ABSENT
            return False
        self.next_position = position
        self.next_seq = max(self.next_seq, extent.released_seq, 1)
        if head is not None:
            self._go_on_after(head)
        if not self.boot:
            self.boot = self.last_boot + 1
        self.extent = extent
        self.fault = self._lasting_fault()
        if self._beyond is not None and self._beyond[0] == extent.extent_id:
            self.fault = self.fault or faults.CARD_WRITE
        self._n_tries = self._n_skips = 0
        self._go_beyond()
        return True

    def _go_on_after(self, head):
        """Number on from the newest block, or write it again if it is the one that this session
        could not finish.
        """
        position, seq, boot, nonce = head
        if seq == self.next_seq and (boot, nonce) == (self.boot, self.nonce) and self.n_used:
            self.next_position = position
            self.n_used -= 1
            return
        self.next_seq = max(self.next_seq, seq + 1)
        self.last_boot = boot

    def _go_beyond(self):
        """Leave out a stretch of bad places found before, if it lies just ahead."""
        extent = self.extent
        if self._beyond is None or self._beyond[0] != extent.extent_id:
            return
        n_ahead = extent.distance(self.next_position, self._beyond[1])
        n_free = extent.n - self.n_used
        if n_ahead >= _MOST_SKIPPED or (n_ahead > n_free and self.when_full == STOP_WHEN_FULL):
            self._beyond = None
            return
        self.next_position = self._beyond[1]
        if n_ahead > n_free:
            self.tail = extent.after(self.tail, n_ahead - n_free)
        self.n_used += min(n_ahead, n_free)

    def _lasting_fault(self):
        """Return the fault that stays until the session ends: the card lost blocks without an
        error.
        """
        return faults.CARD_LIES if self.verify_errors else faults.NONE

    def start_session(self, nonce):
        """Count from here on for a new session. Only when nothing waits in the ring."""
        self.nonce = nonce
        self.stored = self.counted = self._discarded = (0, 0)
        self.blocks_written = self.write_errors = self.write_retries = 0
        self.slots_skipped = self.verify_errors = self.write_worst_us = 0
        self.n_sessions += 1
        self._first = True
        self._closing = False

    def close_session(self):
        """Mark the last waiting block as the session's last. Capture has stopped, nothing more
        comes.
        """
        self._closing = True
        self._n_failed_mounts = 0

    @property
    def is_writing(self):
        """True while the card is busy with a write and must not be read."""
        return self._writing is not None

    @property
    def can_read(self):
        """True when there is a card and it is not writing."""
        return self._writing is None and self.extent is not None

    @property
    def release_waits(self):
        """True from `request_release` until the mark is on the card or has failed."""
        return self._release is not None

    @property
    def n_free(self):
        """Places left before the card is full."""
        return 0 if self.extent is None else max(0, self.extent.n - self.n_used - self._n_kept)

    @property
    def _n_kept(self):
        """Places kept free for the last block of a session, which says what was lost before it."""
        return 1 if self.when_full == STOP_WHEN_FULL else 0

    @property
    def is_full(self):
        """True when no place is left and the settings forbid to overwrite."""
        return (
            self.extent is not None
            and self.when_full == STOP_WHEN_FULL
            and self.n_used + self._n_kept >= self.extent.n
        )

    def request_release(self, released_seq, position):
        """Erase all blocks below `released_seq`; done when the extent's `released_seq` says so."""
        sector, mark = self.extent.make_release(released_seq, position)
        self._release = (released_seq, position, sector, mark)

    def read(self, position, buf):
        """Read the 4096 bytes of a position as they stand on the card. Not while `is_writing`."""
        self.card.read(self.extent.sector_of(position), buf)

    def step(self):
        """Start a write if one is due, or poll the one that is under way."""
        if self._writing is not None:
            self._poll()
        elif self.extent is None:
            self._try_again()
        elif self._release is not None:
            self._start_release()
        elif self.ring.n_waiting():
            self._start_block()
        elif self.is_full:
            self.fault = faults.CARD_FULL

    def _try_again(self):
        now = self.clock.t_us()
        if self._t_failed is None or now - self._t_failed >= _REMOUNT_US:
            self.mount()
            self._t_failed = self.clock.t_us()
            self._n_failed_mounts += 1
            if self.extent is None:
                self._discard_if_stopped()

    def _discard_if_stopped(self):
        """Discard what a stopped session left in memory after mounts that failed in a row."""
        while self._closing and self._n_failed_mounts >= _MOUNTS and self.ring.n_waiting():
            self.discard()

    def _start_block(self):
        extent = self.extent
        is_last = self._closing and self.ring.n_waiting() == 1
        if self.is_full and not (is_last and self.n_used < extent.n):
            self.fault = faults.CARD_FULL
            if self._closing:
                self.discard()
            return
        if self.n_used >= extent.n:
            self.tail = extent.after(self.tail)
            self.n_used -= 1
        block = self.ring.first_waiting()
        flags = FLAG_FIRST if self._first else 0
        if block[3] < RECORDS_PER_BLOCK:
            flags |= FLAG_PARTIAL
        if is_last:
            flags |= FLAG_LAST
            self.ring.stamp_counts(block)
        seal(
            block,
            self.device_id,
            self.boot,
            self.nonce,
            self.next_seq,
            self.next_position,
            flags,
        )
        self._start(block, extent.sector_of(self.next_position), False)

    def discard(self):
        """Discard a block of a session that ends on a full card, or without one; the counts of
        the session's last block include its frames.
        """
        before = self.counted
        self._count()
        self._discarded = (
            self._discarded[0] + self.counted[0] - before[0],
            self._discarded[1] + self.counted[1] - before[1],
        )
        self.ring.release()

    def _count(self):
        self.counted = struct.unpack_from("<II", self.ring.first_waiting(), STORED0)

    def _start_release(self):
        """Write the mark from the check buffer: the heap may have no 4 KiB in one piece."""
        check = self._check
        mark = self._release[3]
        for at in range(0, BLOCK_BYTES, len(_ZEROS)):
            check[at : at + len(_ZEROS)] = _ZEROS
        check[: len(mark)] = mark
        self._start(check, self._release[2], True)

    def _start(self, view, sector, is_release):
        self._writing = view
        self._is_release = is_release
        self._t_start = self.clock.t_us()
        try:
            self.card.write_start(sector, view)
        except OSError:
            self._writing = None
            self._failed(ERROR_REJECTED)

    def _poll(self):
        result = self.card.write_poll()
        took = self.clock.t_us() - self._t_start
        if result == WRITE_BUSY:
            if took < _TIMEOUT_US:
                if took > _STALL_US:
                    self.fault = faults.CARD_STALL
                return
            self.card.write_abort()
            result = ERROR_TIMEOUT
        self.write_worst_us = max(self.write_worst_us, took)
        self._end_write(result)

    def _end_write(self, result):
        view = self._writing
        self._writing = None
        try:
            if result == WRITE_DONE and self._holds(view):
                self._done()
                return
        except OSError:
            result = ERROR_REJECTED
        self._failed(result)

    def _holds(self, view):
        """Return whether the card holds what was written, and still what it was prepared with;
        reads back the first block and every 32nd, and release marks.
        """
        if self._is_release:
            self.card.read(self._release[2], self._check)
            mark = self._release[3]
            whole = self._check[: len(mark)] == mark
        elif not self._first and self.blocks_written % VERIFY_EVERY:
            return True
        else:
            self.read(self.next_position, self._check)
            whole = (
                is_block(self._check, self.next_position)
                and self._check[CRC : CRC + 4] == view[CRC : CRC + 4]
                and not self._is_aliased(view)
                and self.extent.is_signed()
            )
        if not whole:
            self.verify_errors += 1
            self.fault = faults.CARD_LIES
        return whole

    def _is_aliased(self, view):
        """Return whether the block also appears a power of two below its place: the card is
        smaller than it says.
        """
        extent = self.extent
        sector = extent.sector_of(self.next_position)
        size = _SMALLEST_CARD
        while size <= sector:
            if extent.starts_like(sector - size, view):
                return True
            size *= 2
        return False

    def _done(self):
        self._n_tries = self._n_skips = 0
        self.fault = self._lasting_fault()
        if self._is_release:
            self.extent.read_release()
            self.tail = self._release[1]
            self.n_used = self.extent.distance(self.tail, self.next_position)
            self._release = None
            return
        if not self.first_stored_us:
            self.first_stored_us = self.clock.t_us()
        self._count()
        self.stored = (
            self.counted[0] - self._discarded[0],
            self.counted[1] - self._discarded[1],
        )
        self.ring.release()
        self._beyond = None
        self._n_failed_mounts = 0
        self.blocks_written += 1
        self._first = False
        self._advance()
        self.next_seq += 1

    def _advance(self):
        self.next_position = self.extent.after(self.next_position)
        self.n_used += 1

    def _failed(self, result):
        self.write_errors += 1
        if result == ERROR_READ_ONLY or result == ERROR_ABSENT:
            self._unmount(
                faults.CARD_READ_ONLY if result == ERROR_READ_ONLY else faults.CARD_ABSENT
            )
            return
        self._n_tries += 1
        if self._n_tries < _TRIES:
            self.write_retries += 1
            return
        self._n_tries = 0
        if self._is_release:
            self._release = None
            self._unmount(faults.CARD_WRITE)
            return
        self.slots_skipped += 1
        self._n_skips += 1
        self._advance()
        if self._n_skips >= _SKIPS:
            offset = self.next_position - self.extent.first
            n_left = -offset % _GROUP_BLOCKS
            self._beyond = (self.extent.extent_id, self.extent.after(self.next_position, n_left))
            self._unmount(self.fault or faults.CARD_WRITE)
            self._discard_if_stopped()

    def _unmount(self, fault):
        self.extent = None
        self.fault = fault
        self._t_failed = self.clock.t_us()
