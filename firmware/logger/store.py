"""The store: takes full blocks from the ring and brings them onto the card, one write at a time.

It seals, writes, retries, steps over bad places, reads back samples, counts, and gives the block
back to the ring only when the card has it. It never waits: `step` starts or polls one write. What
it cannot store stays in the ring, where the producer counts what no longer fits. Which places of
the card are in use is known to `places`, the write under way to `card_write`.
"""

import struct

from logger.card_write import CardWrite, holds_block
from logger.extent import Extent, ExtentError
from logger.places import STOP_WHEN_FULL, Places
from logger.volume import is_ours
from slog import faults
from slog.block import N_RECORDS, STORED0, seal
from slog.layout import (
    ERROR_ABSENT,
    ERROR_READ_ONLY,
    ERROR_REJECTED,
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
_REMOUNT_US = const(1_000_000)
_MOUNTS = const(5)  # failed mounts before a stopped session's unsaved blocks are discarded


class SessionCounts:
    """What became of the blocks and frames of one session; frames are [bus 0, bus 1], changed in
    place: a new object for each block would lie wherever memory is free then, and split it.
    """

    def __init__(self):
        self.stored = [0, 0]  # frames on the card
        self.counted = [0, 0]  # frames in the blocks taken from the ring
        self.discarded = [0, 0]  # those of them that never went onto the card
        self.blocks_written = 0
        self.write_errors = 0
        self.write_retries = 0
        self.places_skipped = 0
        self.verify_errors = 0

    def take(self, block):
        """Take over the counts of a block that leaves the ring."""
        self.counted[:] = struct.unpack_from("<II", block, STORED0)

    def store(self, block):
        """Count a block that is on the card."""
        self.take(block)
        for bus, n in enumerate(self.counted):
            self.stored[bus] = n - self.discarded[bus]
        self.blocks_written += 1

    def discard(self, block):
        """Count a block that never goes onto the card."""
        self.take(block)
        for bus, n in enumerate(self.counted):
            self.discarded[bus] = n - self.stored[bus]


class Store:
    """Invariant: `next_seq` is above every number on the card."""

    make_extent = Extent

    def __init__(self, card, ring, clock, device_id, when_full=STOP_WHEN_FULL):
        self.card = card
        self.device_id = device_id
        self.ring = ring
        self.clock = clock
        self.places = Places(when_full)
        self.write = CardWrite(card, clock)
        self.counts = SessionCounts()
        self.boot = 0
        self.nonce = 0
        self.fault = faults.CARD_ABSENT
        self.next_seq = 1
        self.last_boot = 0
        self.n_sessions = 0
        self.first_stored_us = 0
        self._release = None  # (position, sector, mark) that waits or is being written
        self._is_release = False  # what is written, or was last
        self._n_tries = 0
        self._n_skips = 0
        self._t_failed = None
        self._n_failed_mounts = 0  # since a block was stored or the session stopped
        self._closing = False
        self._first = True

    @property
    def extent(self):
        """The mounted extent, None without a card that can take blocks."""
        return self.places.extent

    def mount(self):
        """Read the card; True if it can take blocks. Reads a bounded number of places, writes
        nothing.
        """
        places = self.places
        places.extent = None
        self.write.view = None
        self._release = None
        try:
            self.card.init()
            if self.card.read_only:
                self.fault = faults.CARD_READ_ONLY
                return False
            self.fault = faults.CARD_UNPREPARED
            extent = self.make_extent(self.card)
            if not is_ours(extent):
                self.fault = faults.CARD_FOREIGN
                return False
            head = extent.find_head()
            places.begin(extent, head)
        except ExtentError:
            return False
        except OSError:
            self.fault = faults.CARD_ABSENT
            return False
        self.next_seq = max(self.next_seq, extent.released_seq, 1)
        if head is not None:
            self._go_on_after(head)
        if not self.boot:
            self.boot = self.last_boot + 1
        places.extent = extent
        self.fault = self._lasting_fault()
        self._n_tries = self._n_skips = 0
        if places.leave_out_stretch():
            self.fault = self.fault or faults.CARD_WRITE
        return True

    def _go_on_after(self, head):
        """Number on from the newest block, or write it again if it is the one that this session
        could not finish.
        """
        position, seq, boot, nonce = head
        if seq == self.next_seq and (boot, nonce) == (self.boot, self.nonce):
            if self.places.n_used:
                self.places.write_again(position)
                return
        self.next_seq = max(self.next_seq, seq + 1)
        self.last_boot = boot

    def _lasting_fault(self):
        """Return the fault that stays until the session ends: the card lost blocks without an
        error.
        """
        return faults.CARD_LIES if self.counts.verify_errors else faults.NONE

    def start_session(self, nonce):
        """Count from here on for a new session. Only when nothing waits in the ring."""
        self.nonce = nonce
        self.counts = SessionCounts()
        self.write.worst_us = 0
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
        return self.write.view is not None

    @property
    def can_read(self):
        """True when there is a card and it is not writing."""
        return self.write.view is None and self.places.extent is not None

    @property
    def release_waits(self):
        """True from `request_release` until the mark is on the card or has failed."""
        return self._release is not None

    def request_release(self, released_seq, position):
        """Erase all blocks below `released_seq`; done when the extent's `released_seq` says so."""
        self._release = (position,) + self.extent.make_release(released_seq, position)

    def read(self, position, buf):
        """Read the 4096 bytes of a position as they stand on the card. Not while `is_writing`."""
        self.card.read(self.extent.sector_of(position), buf)

    def step(self):
        """Start a write if one is due, or poll the one that is under way."""
        write = self.write
        if write.view is not None:
            result = write.poll()
            if result != WRITE_BUSY:
                self._end_write(result)
            elif write.is_stalled:
                self.fault = faults.CARD_STALL
        elif self.places.extent is None:
            self._try_again()
        elif self._release is not None:
            self._start(self._release[1], self._release[2], True)
        elif self.ring.n_waiting():
            self._start_block()
        elif self.places.is_full:
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
        places = self.places
        is_last = self._closing and self.ring.n_waiting() == 1
        if places.is_full and not (is_last and places.has_last):
            self.fault = faults.CARD_FULL
            if self._closing:
                self.discard()
            return
        places.make_room()
        block = self.ring.first_waiting()
        flags = FLAG_FIRST if self._first else 0
        if block[N_RECORDS] < RECORDS_PER_BLOCK:
            flags |= FLAG_PARTIAL
        if is_last:
            flags |= FLAG_LAST
            self.ring.stamp_counts(block)
        position = places.next_position
        version = self.ring.version
        seal(block, self.device_id, self.boot, self.nonce, self.next_seq, position, flags, version)
        self._start(places.extent.sector_of(position), block, False)

    def discard(self):
        """Discard a block of a session that ends on a full card, or without one; the counts of
        the session's last block include its frames.
        """
        self.counts.discard(self.ring.first_waiting())
        self.ring.release()

    def _start(self, sector, view, is_release):
        self._is_release = is_release
        result = self.write.start(sector, view)
        if result != WRITE_BUSY:
            self._failed(result)

    def _end_write(self, result):
        view = self.write.view
        self.write.view = None
        try:
            if result == WRITE_DONE and self._holds(view):
                self._done(view)
                return
        except OSError:
            result = ERROR_REJECTED
        self._failed(result)

    def _holds(self, view):
        """Return whether the card holds what was written; reads back the first block and every
        32nd, and release marks.
        """
        extent = self.places.extent
        if self._is_release:
            holds = extent.holds(self._release[1], view)
        elif not self._first and self.counts.blocks_written % VERIFY_EVERY:
            return True
        else:
            holds = holds_block(extent, self.places.next_position, view)
        if not holds:
            self.counts.verify_errors += 1
            self.fault = faults.CARD_LIES
        return holds

    def _done(self, view):
        self._n_tries = self._n_skips = 0
        self.fault = self._lasting_fault()
        if self._is_release:
            self.extent.read_release()
            self.places.erase_to(self._release[0])
            self._release = None
            return
        if not self.first_stored_us:
            self.first_stored_us = self.clock.t_us()
        self.counts.store(view)
        self.ring.release()
        self.places.end_stretch()
        self.places.advance()
        self._n_failed_mounts = 0
        self._first = False
        self.next_seq += 1

    def _failed(self, result):
        self.counts.write_errors += 1
        if result == ERROR_READ_ONLY or result == ERROR_ABSENT:
            self._unmount(
                faults.CARD_READ_ONLY if result == ERROR_READ_ONLY else faults.CARD_ABSENT
            )
            return
        self._n_tries += 1
        if self._n_tries < _TRIES:
            self.counts.write_retries += 1
            return
        self._n_tries = 0
        if self._is_release:
            self._release = None
            self._unmount(faults.CARD_WRITE)
            return
        self.counts.places_skipped += 1
        self._n_skips += 1
        self.places.advance()
        if self._n_skips >= _SKIPS:
            self.places.give_up_group()
            self._unmount(self.fault or faults.CARD_WRITE)
            self._discard_if_stopped()

    def _unmount(self, fault):
        self.places.extent = None
        self.fault = fault
        self._t_failed = self.clock.t_us()
