"""The service protocol on the logger: answers the host while recording goes on.

Two frames are under way: one is sent while the next is made. A READ is answered sector by sector,
as the card sends them; any other request goes before what is left of it. A request that needs the
card waits until the store leaves it free. While the logger is stopped a step sends up to eight
blocks, which USB needs 50 ms for; while it records, only what the link has room for. Garbage costs
nothing but a count.
"""

import binascii
import io
import struct

from logger.eraser import Eraser
from logger.tap import Tap
from slog import messages as m
from slog.block import BOOT, DEVICE_ID, T0_LO
from slog.framing import PACKET_BYTES, Receiver
from slog.layout import (
    BLOCK_BYTES,
    RECORD_BYTES,
    SECTOR_BYTES,
    TIME_BITS,
    const,
    offsets,
    pack,
)
from slog.settings import digest_of

_MAX_WAITING = const(8)
_CHUNK = const(64)
_CONFIG_PIECES = const(2)  # sectors of an item in one answer
_TAP_RECORDS = const(64)
_TAP_US = const(10_000_000)
_LOW = (1 << TIME_BITS) - 1
_POSITION = offsets(m.READ_REPLY)["position"]
_WRITABLE = (m.CONFIG_SETTINGS, m.CONFIG_SIGNALS, m.CONFIG_UPDATE, m.CONFIG_KEY)
_MOST_IN = const(1200)  # bytes of a request on the wire
_PIECE = const(448)  # bytes sent at a time: seven packets, while a sector is read
_SECTORS = const(4)  # most sectors read in a step while it records, 3 ms
_FRAMES = const(8)  # most blocks sent in a step while the logger is stopped, 50 ms


class _Run:
    """A READ under way: the place that is answered now, and how many there are from it on."""

    def __init__(self, request, position, n_blocks, at, n):
        self.request = request
        self.position = position
        self.left = n_blocks
        self.first = at
        self.n = n
        self.at = None  # the next byte of the place, None before the answer is begun
        self.head = bytearray(pack(m.READ_REPLY, {"at": at, "n": n}))


class Service:
    """Invariant: an answer is sent only to a whole request.

    writer   class of `slog.framing.FrameWriter` or one like it
    """

    def __init__(self, app, link, writer, decode):
        self._app = app
        self._link = link
        self._receiver = Receiver(decode, _MOST_IN)
        self._in = bytearray(_CHUNK)
        self._in_view = memoryview(self._in)
        self._sent = writer()  # its bytes from `_sent_at` to `_sent_end` are still to be sent
        self._sent_at = 0
        self._sent_end = 0
        self._made = writer()  # finished if `_made_end` is not 0
        self._made_end = 0
        self._run = None
        self._sector = bytearray(SECTOR_BYTES)
        self._waiting = []
        self._reads = []  # requests that wait until the run has ended
        self.t_asked = 0  # time of the last good request, bits 27..0
        self._eraser = Eraser(app)
        self._tap = None  # a Tap while records are pushed
        self._t_tap = 0
        self._config = None  # ((item, total, crc), bytes so far) of a CONFIG_SET under way
        self.handlers = {
            m.HELLO: self._hello,
            m.STATUS: self._status,
            m.TIME: self._time,
            m.LIST: self._list,
            m.ERASE: self._erase,
            m.CONFIG_GET: self._config_get,
            m.CONFIG_SET: self.set_config,
            m.CONTROL: self._control,
            m.LIVE: self._live,
            m.BUS: self._bus,
            m.MARK: self._mark,
        }

    @property
    def bad_frames(self):
        """Frames that did not decode or failed their CRC."""
        return self._receiver.n_bad

    def step(self):
        """Take in some bytes, send, and make the next frame."""
        n = self._link.read(self._in)
        if n:
            self._receiver.feed(self._in_view[:n], self._take)
        if self._app.state != m.STATE_IDLE:
            for _ in range(_SECTORS):
                while self._send(PACKET_BYTES):
                    pass
                self._make()
                if self._run is None or self._app.board.ring.n_waiting():
                    break
            self._send(PACKET_BYTES)
            return
        self._send(_PIECE)
        if self._reads and self._run is None and not self._made_end:
            self._start_read(*self._reads.pop(0))
        if self._run is None or self._waiting or not self._stream():
            while self._send(_PIECE) and self._sent_at < self._sent_end:
                pass
            self._make()
            self._send(_PIECE)

    def _send(self, most):
        """Send about `most` bytes, if the link has room; return how many went."""
        if self._sent_at == self._sent_end:
            if not self._made_end:
                return 0
            self._swap()
        at = self._sent_at
        n = self._sent_end - at
        if n >= 2 * most:
            n = most
        n = self._link.write(self._sent.wire, at, n)
        self._sent_at = at + n
        return n

    def _swap(self):
        """Send the frame that was made, and make the next where the last one was."""
        self._sent, self._made = self._made, self._sent
        self._sent_at = 0
        self._sent_end = self._made_end
        self._made_end = 0

    def _make(self):
        """Do one piece of work on the next frame, or on what goes without a request."""
        if self._made_end:
            return
        store = self._app.store
        if self._waiting and not (store.is_writing and self._waiting[0][0] in (m.LIST, m.ERASE)):
            self._answer(*self._waiting.pop(0))
        elif self._run is not None:
            if not store.is_writing:
                self._read_on()
        elif self._reads:
            self._start_read(*self._reads.pop(0))
        elif self._eraser.has_work and store.can_read:
            self._eraser.step()
        elif self._tap is not None:
            self._push()

    def _take(self, kind, request, payload):
        if len(self._waiting) + len(self._reads) >= _MAX_WAITING:
            return
        if kind == m.HELLO:  # the host begins: a READ from before the cable was pulled is over
            self._run = None
            self._reads.clear()
        if kind == m.READ:
            self._reads.append((request, bytes(payload)))
        elif kind in self.handlers:
            self._waiting.append((kind, request, bytes(payload)))
        else:
            return
        self.t_asked = self._app.board.clock.lo

    def _answer(self, kind, request, payload):
        if self._run is not None:
            self._run.at = None  # its frame is begun again
        self._made.begin(kind | m.REPLY, request)
        try:
            self.handlers[kind](payload)
        except ValueError:  # a MessageError, or a text in it that is none
            self._refuse(kind, request, m.BAD_REQUEST)
        except (OSError, MemoryError):
            self._refuse(kind, request, m.READ_ERROR)
        self._made_end = self._made.end()

    def _refuse(self, kind, request, status):
        self._made.begin(kind | m.REPLY, request)
        self._put_status(kind, status)

    def put(self, table, values, rest=b""):
        packed = pack(table, values)
        self._made.put(packed, 0, len(packed))
        self._made.put(rest, 0, len(rest))

    def _put_status(self, kind, status):
        for row in m.MESSAGES:
            if row[0] == kind:
                self.put(row[3], {"status": status})

    def _hello(self, payload):
        m.parse(m.HELLO_REQUEST, payload)
        self.put(m.HELLO_REPLY, self._app.hello())

    def _status(self, payload):
        self.put(m.STATUS_REPLY, self._app.status())

    def _mark(self, payload):
        asked, text = m.parse(m.MARK_REQUEST, payload)
        n = asked["n"]
        if not asked["token"] or n > m.MAX_MARK_BYTES or n > len(text):
            self._put_status(m.MARK, m.BAD_REQUEST)
            return
        number = self._app.mark(asked["token"], text[:n])
        self.put(m.MARK_REPLY, {"status": m.OK if number else m.REFUSED, "number": number})

    def _bus(self, payload):
        asked = m.parse(m.BUS_REQUEST, payload)[0]
        bus = asked["bus"]
        captures = self._app.board.captures
        if bus >= len(captures):
            self.put(m.BUS_REPLY, {"status": m.OUT_OF_RANGE, "bus": bus})
            return
        counts = captures[bus].counts()
        values = {"status": m.OK if counts else m.REFUSED, "bus": bus}
        if counts and asked["measure"]:
            rate = captures[bus].measured_rate()
            values["rate_bps"] = rate or 0
            if rate is None:
                values["status"] = m.PENDING
        for row, n in zip(m.BUS_COUNTERS, counts):
            values[row[0]] = n
        self.put(m.BUS_REPLY, values)

    def _time(self, payload):
        t_unix_us = m.parse(m.TIME_REQUEST, payload)[0]["t_unix_us"]
        clock = self._app.board.clock
        clock.read()
        if t_unix_us:
            self._app.anchor(t_unix_us)
        self.put(m.TIME_REPLY, {"t_us": clock.hi << TIME_BITS | clock.lo})

    def _list(self, payload):
        index = m.parse(m.LIST_REQUEST, payload)[0]["index"]
        store = self._app.store
        if store.extent is None:
            self._put_status(m.LIST, m.NO_CARD)
            return
        session = self._app.sessions.get(index)
        if session is None:
            self.put(m.LIST_REPLY, {"status": m.OUT_OF_RANGE, "index": index})
            return
        position, n_blocks, first_seq, boot, nonce = session
        sector = store.extent.sector(position)
        t0_lo, t0_hi = struct.unpack_from("<II", sector, T0_LO)
        self.put(
            m.LIST_REPLY,
            {
                "running": self._app.is_running(boot, nonce),
                "index": index,
                "boot": boot,
                "nonce": nonce,
                "device_id": bytes(sector[DEVICE_ID:BOOT]),
                "first_seq": first_seq,
                "position": position,
                "n_blocks": n_blocks,
                "data_first": store.extent.first,
                "data_end": store.extent.end,
                "t0_us": t0_hi << TIME_BITS | t0_lo,
            },
        )

    def _start_read(self, request, payload):
        try:
            asked = m.parse(m.READ_REQUEST, payload)[0]
        except m.MessageError:
            asked = {"at": 0, "n": 0, "n_blocks": 0}
        at, n, n_blocks = asked["at"], asked["n"], asked["n_blocks"]
        if at + n > BLOCK_BYTES or not 0 < n_blocks <= m.MAX_RUN:
            self._refuse(m.READ, request, m.BAD_REQUEST)
            self._made_end = self._made.end()
            return
        self._run = _Run(request, asked["position"], n_blocks, at, n)

    def _read_on(self):
        """Go on with the answer to a READ by a sector.

        Small, as MicroPython takes the variables of a larger function from the heap at each call.
        """
        run = self._run
        if run.at is None:
            if not self._begin_place():
                return
            run.at = run.first
        start = run.at % SECTOR_BYTES
        n = min(SECTOR_BYTES - start, run.first + run.n - run.at)
        if self._has_read(run.at // SECTOR_BYTES):
            self._made.put(self._sector, start, n)
            run.at += n
            if run.at == run.first + run.n:
                self._end_place()

    def _has_read(self, i):
        """Read sector `i` of the place; False if that ended its answer."""
        store = self._app.store
        if store.extent is None:
            self._end_run(m.NO_CARD)
            return False
        try:
            store.card.read(store.extent.sector_of(self._run.position) + i, self._sector)
            return True
        except OSError:
            self._refuse_place(m.READ_ERROR)
            self._end_place()
            return False

    def _stream(self):
        """Answer whole blocks of a READ as fast as the link takes them; False if none could be.

        Between two writes to the link there may be 400 us, else it runs dry.
        """
        store = self._app.store
        card = store.card
        link = self._link
        buf = self._sector
        if store.is_writing:
            return False
        for i in range(_FRAMES):
            run = self._run
            if run is None or run.n != BLOCK_BYTES or run.at is not None or self._made_end:
                return i > 0
            if not self._begin_place():
                return True
            made = self._made
            wire = self._sent.wire
            left = self._sent_end - self._sent_at
            sector = store.extent.sector_of(run.position)
            end = sector + BLOCK_BYTES // SECTOR_BYTES
            try:
                while sector < end:
                    if left:
                        n = _PIECE if left > _PIECE else left
                        went = link.write(wire, self._sent_end - left, n)
                        left -= went
                        if went < n:
                            break
                    card.read(sector, buf)
                    sector += 1
                    made.put_sector(buf)
            except OSError:
                sector = end
                self._refuse_place(m.READ_ERROR)
            self._sent_at = self._sent_end - left
            if sector < end:
                run.at = BLOCK_BYTES - (end - sector) * SECTOR_BYTES
                break
            while left and self._send(left):
                left = self._sent_end - self._sent_at
            self._end_place()
            if left:
                break
            self._swap()
        return True

    def _begin_place(self):
        """Begin the answer for the next place; False if it has ended the run."""
        run = self._run
        extent = self._app.store.extent
        if extent is None:
            self._end_run(m.NO_CARD)
            return False
        if not extent.first <= run.position < extent.end:
            self._end_run(m.OUT_OF_RANGE)
            return False
        struct.pack_into("<I", run.head, _POSITION, run.position)
        self._made.begin(m.READ | m.REPLY, run.request)
        self._made.put(run.head, 0, len(run.head))
        return True

    def _refuse_place(self, status):
        run = self._run
        self._made.begin(m.READ | m.REPLY, run.request)
        self.put(m.READ_REPLY, {"status": status, "position": run.position, "at": run.first})

    def _end_place(self):
        run = self._run
        self._made_end = self._made.end()
        run.position += 1
        run.at = None
        run.left -= 1
        if not run.left:
            self._run = None

    def _end_run(self, status):
        self._refuse_place(status)
        self._end_place()
        self._run = None

    def _erase(self, payload):
        self.put(m.ERASE_REPLY, self._eraser.answer(m.parse(m.ERASE_REQUEST, payload)[0]))

    def _config_get(self, payload):
        """Answer piece by piece: the memory has no place for an item as a whole."""
        asked = m.parse(m.CONFIG_GET_REQUEST, payload)[0]
        asked["total"] = asked["crc"] = 0
        nv = self._app.board.nv
        # What lies behind the key is the logger's own: its network and the password of that.
        found = nv.open(asked["item"]) if asked["item"] <= m.CONFIG_KEY else None
        if found and asked["item"] == m.CONFIG_KEY:
            digest = digest_of(nv, m.CONFIG_KEY)
            found = (io.BytesIO(digest), len(digest))
        if not found:
            self.put(m.CONFIG_GET_REPLY, asked)
            return
        file, asked["total"] = found
        piece = self._sector
        with file:
            start = file.tell()
            while True:
                n = file.readinto(piece)
                if not n:
                    break
                asked["crc"] = binascii.crc32(memoryview(piece)[:n], asked["crc"])
            file.seek(start + min(asked["at"], asked["total"]))
            self.put(m.CONFIG_GET_REPLY, asked)
            for _ in range(_CONFIG_PIECES):
                self._made.put(piece, 0, file.readinto(piece))

    def set_config(self, payload):
        """Collect an item where blocks are otherwise: nothing is recorded meanwhile."""
        asked, rest = m.parse(m.CONFIG_SET_REQUEST, payload)
        reply = {"item": asked["item"], "status": m.PENDING}
        total = asked["total"]
        if total > m.MAX_CONFIG_BYTES or asked["item"] not in _WRITABLE:
            reply["status"] = m.BAD_REQUEST
        elif self._app.is_busy:
            reply["status"] = m.BUSY
            self._config = None
        else:
            self._tap = None
            key = (asked["item"], total, asked["crc"])
            if self._config is None or self._config[0] != key:
                self._config = (key, 0)
            memory = memoryview(self._app.board.ring.memory)
            n = self._config[1]
            if asked["at"] == n and n + len(rest) <= total:
                memory[n : n + len(rest)] = rest
                n += len(rest)
            self._config = (key, n)
            reply["at"] = n
            if n == total:
                reply["status"] = m.REFUSED
                data = memory[:total]
                if binascii.crc32(data) == asked["crc"]:
                    reply["status"] = self._app.take_config(asked["item"], data)
                self._config = None
        self.put(m.CONFIG_SET_REPLY, reply)

    def _live(self, payload):
        ring = self._app.board.ring
        on = m.parse(m.LIVE_REQUEST, payload)[0]["on"]
        if not on:
            self._tap = None
        elif self._tap is None:
            self._tap = Tap(ring)
        self._t_tap = self._app.board.clock.lo
        self._put_status(m.LIVE, m.OK)

    def _push(self):
        """Send the next records to a host that listens; stop when it has not asked for 10 s."""
        if (self._app.board.clock.lo - self._t_tap) & _LOW > _TAP_US:
            self._tap = None
            return
        tap = self._tap
        n = tap.next(_TAP_RECORDS)
        if n:
            lo, hi = tap.t0
            n_skipped = min(65535, tap.n_skipped)
            values = {"n": n, "n_skipped": n_skipped, "t0_lo": lo, "t0_hi": hi}
            at = tap.offset
            records = tap.block[at : at + n * RECORD_BYTES]
            self._made.begin(m.LIVE | m.REPLY, 0)
            self.put(m.LIVE_REPLY, values, records)
            self._made_end = self._made.end()

    def _control(self, payload):
        asked = m.parse(m.CONTROL_REQUEST, payload)[0]
        app = self._app
        status = m.REFUSED
        if asked["boot"] == app.boot:
            status = app.control(asked["action"])
        self.put(m.CONTROL_REPLY, {"status": status, "state": app.state})
