"""The application: brings ring, store, captures and service together and runs one pass at a time.

Capture starts first and needs nothing but memory; the card is mounted afterwards. Whatever
fails, recording goes on with what is left, and STATUS and the LED say so. Nothing here waits.
"""

import gc
import struct

from logger import ring as r
from logger.marks import Marks
from logger.onboard import OnCarEvents
from logger.places import OVERWRITE_OLDEST, STOP_WHEN_FULL
from logger.service import Service
from logger.sessions import Sessions
from logger.store import Store
from slog import faults
from slog import messages as m
from slog.layout import (
    ANCHOR_HOST,
    BUS_OFF,
    BUS_PASSIVE,
    BUS_SILENT,
    BUS_STOPPED,
    BUS_WARNING,
    END_ASKED,
    HASH_BYTES,
    HASH_SETTINGS,
    HASH_SIGNALS,
    HEALTH_BUS,
    HEALTH_RING_WORST,
    HEALTH_WRITE_WORST,
    META_ANCHOR,
    META_BUS,
    META_END,
    META_HASH,
    META_HEALTH,
    META_SESSION,
    TIME_BITS,
    VERSION,
    const,
)
from slog.settings import DEFAULTS, SettingsError, digest_of, load

FIRMWARE = const(0x000100)  # 0.1.0

_ITEM_BYTES = {m.CONFIG_UPDATE: 20, m.CONFIG_KEY: 32}  # 20: slog.package.UPDATE
_POWER_ON = const(1)  # machine.PWRON_RESET
_POLL_US = const(100_000)
_HEALTH_US = const(10_000_000)
_SILENT_US = const(2_000_000)
_ERRORS_US = const(1_000_000)  # errors that go on are reported once in this time
_BACKLOG = const(24)  # further steps of the store in a pass while blocks wait
_IDLE_US = const(
    60_000_000
)  # a logger that was stopped and forgotten records again after this time
_LOW = (1 << TIME_BITS) - 1


class App:
    """One logger. `start` once, then `step` for ever."""

    def __init__(self, board):
        self.board = board
        self.state = m.STATE_BOOT
        self.store = Store(board.card, board.ring, board.clock, board.device_id)
        self.sessions = Sessions(self.store)
        self.service = Service(self, board.link, board.frame_writer, board.cobs_decode)
        self.onboard = OnCarEvents(board)
        self.marks = Marks(board)
        self.settings = DEFAULTS
        self.settings_fault = faults.NONE
        self._silent = [False] * len(board.captures)
        self._bus_state = [BUS_STOPPED] * len(board.captures)
        self._reported_state = [BUS_STOPPED] * len(board.captures)
        self._reported_errors = [0] * len(board.captures)
        self._reported_counts = [[0] * len(m.BUS_COUNTERS) for _ in board.captures]
        self._t_reported = [0] * len(board.captures)
        self._seen = [0] * len(board.captures)
        self._t_seen = [0] * len(board.captures)
        self._data = bytearray(8)
        self._recording = False
        self._stopping = False
        self.package = 0  # the package on the card that is to be installed: extent.package
        self._is_refused = False  # the one that is there was not
        self._t_poll = 0
        self._t_health = 0
        self._t_step = None
        self._flush_us = 0
        self._loop_worst_us = 0

    @property
    def boot(self):
        """The boot counter; 0 until a card was seen."""
        return self.store.boot

    @property
    def fault(self):
        """The fault that matters most now, from faults.py."""
        if self.store.fault:
            return self.store.fault
        for state in self._bus_state:
            if state == BUS_OFF:
                return faults.BUS_OFF
        for capture in self.board.captures:
            if not capture.answers:
                return faults.CONTROLLER_ABSENT
        if self.settings_fault:
            return self.settings_fault
        for state in self._bus_state:
            if state in (BUS_WARNING, BUS_PASSIVE):
                return faults.BUS_ERRORS
        for capture in self.board.captures:
            if capture.wire_fault:
                return capture.wire_fault
        if any(self._silent):
            return faults.BUS_SILENT
        words = self.board.ring.state
        if words[r.DROPPED] or words[r.DROPPED + 1]:
            return faults.RING_OVERFLOW
        if words[r.AT_LEAST] or words[r.AT_LEAST + 1]:
            return faults.CONTROLLER_OVERRUN
        for capture in self.board.captures:
            if capture.doubts:
                return faults.SPI_NOISE
        return faults.UPDATE_REFUSED if self._is_refused else faults.NONE

    def start(self):
        """Load the settings, start capture, then search for the card."""
        try:
            self.settings = load(self.board.nv.load(m.CONFIG_SETTINGS))
        except (SettingsError, MemoryError):
            self.settings_fault = faults.SETTINGS_BAD
        self._start_session()
        gc.collect()  # what the mount leaves lies at the bottom then, and splits no free memory
        if self.store.mount() and self.store.extent.package:
            self._take_package()
        self._show()

    def _take_package(self):
        """End the session for a package that is new on the card, at power-on only."""
        board = self.board
        running = board.nv.open(m.CONFIG_FIRMWARE)
        if not running:
            return
        kept = board.nv.load(m.CONFIG_UPDATE) or bytes(20)  # slog.package.UPDATE
        seen, digest, n_tries, reason = struct.unpack_from("<4xI8sBB", kept)
        package = self.store.extent.package
        is_done = reason == 1 and running[0].read(8) == digest
        if seen == package and (is_done or reason > 1 or n_tries >= 3):
            self._is_refused = not is_done
        elif board.reset_cause == _POWER_ON:
            self.package = package
            self._stop_session()

    def step(self):
        """Do one pass of the main loop. Never blocks longer than a few reads of the card."""
        board = self.board
        clock = board.clock
        clock.read()
        now = clock.lo
        if self._t_step is not None:
            self._loop_worst_us = max(self._loop_worst_us, (now - self._t_step) & _LOW)
        self._t_step = now
        for _ in range(1 + min(_BACKLOG, board.ring.n_waiting())):
            self.store.step()
        if self._recording:
            self.marks.step()
            if self.onboard.events is not None and not self._is_behind():
                self.onboard.step()
            if board.ring.open_age_us(now) >= self._flush_us:
                board.ring.close_block()
            if (now - self._t_poll) & _LOW >= _POLL_US:
                self._t_poll = now
                self._poll()
            if (now - self._t_health) & _LOW >= _HEALTH_US:
                self._t_health = now
                self._log_health()
        elif self._stopping:
            if not board.ring.n_waiting() and not self.store.is_writing:
                self._stopping = False
                self._show()
                if self.package:
                    self.board.control(m.CONTROL_UPDATE)
        elif (now - self.service.t_asked) & _LOW >= _IDLE_US:
            self._start_session()
            self._show()
        self.service.step()
        board.feed()

    def _is_behind(self):
        """Return whether a quarter of the ring waits for the card; the detectors wait, too."""
        return 4 * self.board.ring.n_waiting() >= self.board.ring.n_blocks

    def hello(self):
        """Return the values of HELLO_REPLY."""
        board = self.board
        return {
            "version": VERSION,
            "state": self.state,
            "slot": board.slot,
            "contract": m.contract_hash(),
            "device_id": board.device_id,
            "boot": self.boot,
            "nonce": self.store.nonce if self._recording else 0,
            "firmware": FIRMWARE,
            "max_read": m.MAX_READ,
            "board": board.name.encode(),
            "car": self.settings["car"].encode(),
        }

    def status(self):
        """Return the values of STATUS_REPLY."""
        board = self.board
        store = self.store
        ring = board.ring
        words = ring.state
        values = {
            "state": self.state,
            "fault": self.fault,
            "n_buses": len(board.captures),
            "t_us": board.clock.t_us(),
            "stored0": store.counts.stored[0],
            "stored1": store.counts.stored[1],
            "dropped0": words[r.DROPPED],
            "dropped1": words[r.DROPPED + 1],
            "at_least0": words[r.AT_LEAST],
            "at_least1": words[r.AT_LEAST + 1],
            "ring_blocks": ring.n_blocks,
            "ring_worst": words[r.WORST],
            "blocks_written": store.counts.blocks_written,
            "blocks_free": store.places.n_free,
            "write_worst_ms": store.write.worst_us // 1000,
            "write_errors": store.counts.write_errors,
            "write_retries": store.counts.write_retries,
            "slots_skipped": store.counts.places_skipped,
            "verify_errors": store.counts.verify_errors,
            "bad_frames": self.service.bad_frames,
            "heap_free_bytes": board.heap_free(),
            "loop_worst_us": self._loop_worst_us,
            "boot_to_frame_ms": store.first_stored_us // 1000,
        }
        for i, capture in enumerate(board.captures):
            values["bus_state%d" % i] = BUS_SILENT if self._silent[i] else self._bus_state[i]
            values["tec%d" % i] = capture.counters[0]
            values["rec%d" % i] = capture.counters[1]
            values["doubts%d" % i] = min(65535, capture.doubts)
        return values

    @property
    def is_busy(self):
        """True while a session is recorded or brought to its end; the ring is in use."""
        return self._recording or self._stopping

    def is_running(self, boot, nonce):
        """Return whether the session is the one being recorded."""
        return self.is_busy and boot == self.boot and nonce == self.store.nonce

    def anchor(self, t_unix_us):
        """Store what the wall clock says now."""
        self._put_meta(META_ANCHOR, ANCHOR_HOST, 0, "<Q", t_unix_us)

    def mark(self, token, text):
        """Set a mark for a host; return its number, 0 if nothing is recorded or has no place."""
        return self.marks.ask(token, text) if self._recording else 0

    def take_config(self, item, data):
        """Check and save a settings item; return the status. On-board flash can't be written while
        recording.
        """
        if self.is_busy:
            return m.BUSY
        if item == m.CONFIG_SETTINGS:
            try:
                self.settings = load(bytes(data), self.board.ring.has_fd)
            except (SettingsError, MemoryError):
                return m.REFUSED
            self.settings_fault = faults.NONE
        elif len(data) != _ITEM_BYTES.get(item, len(data)):
            return m.REFUSED
        self.board.nv.save(item, data)
        return m.OK

    def control(self, action):
        """Carry out a CONTROL action; return its status."""
        if action == m.CONTROL_STOP:
            if self._recording:
                self._stop_session()
            return m.PENDING if self._stopping else m.OK
        if action == m.CONTROL_START:
            if self._stopping:
                return m.BUSY
            if not self._recording:
                self._start_session()
                self._show()
            return m.OK
        if action in (m.CONTROL_RESET, m.CONTROL_REPL, m.CONTROL_BOOTLOADER):
            if self._recording or self._stopping:
                return m.REFUSED
            self.board.control(action)
            return m.OK
        return m.BAD_REQUEST

    def _start_session(self):
        board = self.board
        board.ring.start_session()
        nonce = 0
        while not nonce:
            nonce = board.random_u32()
        self.store.start_session(nonce)
        self.store.places.when_full = (
            OVERWRITE_OLDEST if self.settings["when_full"] == "overwrite" else STOP_WHEN_FULL
        )
        self._flush_us = self.settings["flush_ms"] * 1000
        board.clock.read()
        self._t_poll = self._t_health = board.clock.lo
        self._put_meta(
            META_SESSION,
            board.reset_cause,
            0,
            "<BBHI",
            len(board.captures),
            int(all(capture.listen_only for capture in board.captures)),
            self.settings["flush_ms"],
            FIRMWARE,
        )
        self._put_hashes()
        self.onboard.start()
        self.marks.start()
        self._start_captures()
        self._recording = True

    def _stop_session(self):
        self._stop_captures()
        for i, capture in enumerate(self.board.captures):
            if capture.n_errors != self._reported_errors[i]:
                self._report_bus(i)
            self._report_counts(i)
        self.onboard.stop()
        n_blocks = self.store.counts.blocks_written + self.board.ring.n_waiting() + 1
        self._put_meta(META_END, END_ASKED, 0, "<II", n_blocks, 0)
        self.board.ring.close_block()
        self.store.close_session()
        self._recording = False
        self._stopping = True

    def _start_captures(self):
        clock = self.board.clock
        clock.read()
        for i, capture in enumerate(self.board.captures):
            capture.set_up(self.settings["buses"][min(i, len(self.settings["buses"]) - 1)])
            capture.start(self.board.ring)
            self._t_seen[i] = self._t_reported[i] = clock.lo
            self._seen[i] = 0
            self._silent[i] = False
            self._reported_state[i] = BUS_STOPPED
            self._reported_errors[i] = 0
            reported = self._reported_counts[i]
            reported[:] = (0,) * len(reported)

    def _stop_captures(self):
        for capture in self.board.captures:
            capture.stop()

    def _poll(self):
        """Look after the controllers: overflow flags, error counters, silence."""
        ring = self.board.ring
        lo = self.board.clock.lo
        for i, capture in enumerate(self.board.captures):
            capture.poll(ring)
            self._bus_state[i] = capture.state()
            errors_wait = (
                capture.n_errors != self._reported_errors[i]
                and (lo - self._t_reported[i]) & _LOW >= _ERRORS_US
            )
            if errors_wait or self._bus_state[i] != self._reported_state[i]:
                self._report_bus(i)
            seen = ring.state[r.STORED + i] + ring.state[r.DROPPED + i]
            seen += ring.state[r.AT_LEAST + i]  # an overrun is no silence
            if seen != self._seen[i]:
                self._seen[i] = seen
                self._t_seen[i] = lo
                self._silent[i] = False
            elif (lo - self._t_seen[i]) & _LOW >= _SILENT_US:
                self._silent[i] = True
        self._show()

    def _report_bus(self, i):
        """Record state and counters of a bus, and the errors since the last such record."""
        capture = self.board.captures[i]
        state = self._bus_state[i]
        tec, rec = capture.counters[0], capture.counters[1]
        n = min(65535, capture.n_errors - self._reported_errors[i])
        if self._put_meta(META_BUS, state, i, "<BBHI", tec, rec, n, capture.bitrate_bps):
            self._reported_state[i] = state
            self._reported_errors[i] = capture.n_errors
            self._t_reported[i] = self.board.clock.lo
            self._report_counts(i)

    def _report_counts(self, i):
        """Record what a bus counts by kind, where it has changed."""
        reported = self._reported_counts[i]
        for k, n in enumerate(self.board.captures[i].counts()):
            if n != reported[k] and self._put_meta(META_HEALTH, HEALTH_BUS + k, i, "<II", n, n):
                reported[k] = n

    def _show(self):
        store = self.store
        if not self._recording and not self._stopping:
            self.state = m.STATE_IDLE
        elif store.extent is not None:
            self.state = m.STATE_FULL if store.places.is_full else m.STATE_RECORDING
        else:
            self.state = m.STATE_CARD_FAULT if store.counts.blocks_written else m.STATE_NO_CARD
        self.board.show(self.state, self.fault)

    def _log_health(self):
        store = self.store
        words = self.board.ring.state
        worst_ms = store.write.worst_us // 1000
        self._put_meta(META_HEALTH, HEALTH_RING_WORST, 0, "<II", words[r.WORST], words[r.WORST])
        self._put_meta(META_HEALTH, HEALTH_WRITE_WORST, 0, "<II", worst_ms, worst_ms)
        for i in range(len(self.board.captures)):
            self._report_counts(i)

    def _put_hashes(self):
        for arg, item in ((HASH_SETTINGS, m.CONFIG_SETTINGS), (HASH_SIGNALS, m.CONFIG_SIGNALS)):
            self._put_meta(META_HASH, arg, 0, "<8s", digest_of(self.board.nv, item)[:HASH_BYTES])

    def _put_meta(self, kind, arg, bus, code, *values):
        clock = self.board.clock
        clock.read()
        struct.pack_into(code, self._data, 0, *values)
        return self.board.ring.put_meta(clock.lo, clock.hi, kind, arg, bus, self._data)
