"""The service protocol on the logger: answers the host while recording goes on.

At most one request is worked on per step, and none while the last answer still waits for the link.
A request that needs the card waits until the store leaves it free. Garbage costs nothing but a
count.
"""

import binascii
import hashlib
import struct

from logger.tap import Tap
from slog import messages as m
from slog.framing import MAX_PAYLOAD, MAX_WIRE, Receiver
from slog.layout import (
    BLOCK_BYTES,
    HEADER_BYTES,
    RECORD_BYTES,
    TIME_BITS,
    const,
    pack,
    size,
)

_MAX_WAITING = const(8)
_CHUNK = const(64)
_CONFIG_CHUNK = const(1024)
_DIGEST_STEPS = const(8)  # headers read per step while a session is checked before it is erased
_TAP_RECORDS = const(64)
_TAP_US = const(10_000_000)
_LOW = (1 << TIME_BITS) - 1
_READ_AT = 2 + size(m.READ_REPLY)  # where the data of a READ answer start in the frame


class _DigestCheck:
    """The digest of one session, computed piece by piece."""

    def __init__(self, key, position):
        self.key = key
        self.position = position
        self.hash = hashlib.sha256()
        self.done = 0
        self.failed = False


class Service:
    """Invariant: an answer is sent only to a whole request, and nothing is erased without the
    digest of its session.
    """

    def __init__(self, app, link, encode, decode):
        self._app = app
        self._link = link
        self._encode = encode
        self._receiver = Receiver(decode)
        self._in = bytearray(_CHUNK)
        self._in_view = memoryview(self._in)
        self._src = bytearray(MAX_PAYLOAD + 6)
        self._src_view = memoryview(self._src)
        self._out = bytearray(MAX_WIRE)
        self._out_view = memoryview(self._out)
        self._out_at = 0
        self._out_end = 0
        self._block = bytearray(BLOCK_BYTES)
        self._block_view = memoryview(self._block)
        self._block_position = None
        self._waiting = []
        self.t_asked = 0  # time of the last good request, bits 27..0
        self._check = None  # the digest of an ERASE under way
        self._tap = None  # a Tap while records are pushed
        self._t_tap = 0
        self._config = None  # (item, total, crc, bytes so far) of a CONFIG_SET under way
        self._handlers = {
            m.HELLO: self._hello,
            m.STATUS: self._status,
            m.TIME: self._time,
            m.LIST: self._list,
            m.READ: self._read,
            m.ERASE: self._erase,
            m.CONFIG_GET: self._config_get,
            m.CONFIG_SET: self._config_set,
            m.CONTROL: self._control,
            m.LIVE: self._live,
        }

    @property
    def bad_frames(self):
        """Frames that did not decode or failed their CRC."""
        return self._receiver.n_bad

    def step(self):
        """Send what is left of the last answer, take in some bytes, answer one request."""
        if self._out_at < self._out_end:
            self._out_at += self._link.write(self._out_view[self._out_at : self._out_end])
            if self._out_at < self._out_end:
                return
        n = self._link.read(self._in)
        if n:
            self._receiver.feed(self._in_view[:n], self._take)
        if self._waiting:
            self._answer_first()
        elif self._check is not None and not self._check.failed and self._app.store.can_read:
            self._digest_some()
        elif self._tap is not None:
            self._push()

    def block_changed(self, position):
        """Forget the cached block if it is the one at `position`: the store has written there."""
        if position == self._block_position:
            self._block_position = None

    def _take(self, kind, request, payload):
        if kind in self._handlers and len(self._waiting) < _MAX_WAITING:
            self._waiting.append((kind, request, bytes(payload)))
            self.t_asked = self._app.board.clock.lo

    def _answer_first(self):
        kind, request, payload = self._waiting[0]
        if kind in (m.LIST, m.READ, m.ERASE) and self._app.store.is_writing:
            return
        self._waiting.pop(0)
        try:
            n = self._handlers[kind](payload)
        except ValueError:  # a MessageError, or a text in it that is none
            n = self._put_status(kind, m.BAD_REQUEST)
        except OSError:
            n = self._put_status(kind, m.READ_ERROR)
        self._send(kind | m.REPLY, request, n)

    def _send(self, kind, request, n):
        src = self._src
        src[0] = kind
        src[1] = request
        end = 2 + n
        struct.pack_into("<I", src, end, binascii.crc32(self._src_view[:end]))
        self._out[0] = 0
        self._out_end = self._encode(src, end + 4, self._out, 1) + 1
        self._out[self._out_end - 1] = 0
        self._out_at = 0
        self._out_at = self._link.write(self._out_view[: self._out_end])

    def _put(self, table, values, rest=b""):
        packed = pack(table, values)
        n = len(packed)
        self._src_view[2 : 2 + n] = packed
        if rest:
            self._src_view[2 + n : 2 + n + len(rest)] = rest
        return n + len(rest)

    def _put_status(self, kind, status):
        for row in m.MESSAGES:
            if row[0] == kind:
                return self._put(row[3], {"status": status})

    def _hello(self, payload):
        m.parse(m.HELLO_REQUEST, payload)
        return self._put(m.HELLO_REPLY, self._app.hello())

    def _status(self, payload):
        return self._put(m.STATUS_REPLY, self._app.status())

    def _time(self, payload):
        t_unix_us = m.parse(m.TIME_REQUEST, payload)[0]["t_unix_us"]
        clock = self._app.board.clock
        clock.read()
        if t_unix_us:
            self._app.anchor(t_unix_us)
        return self._put(m.TIME_REPLY, {"t_us": clock.hi << TIME_BITS | clock.lo})

    def _list(self, payload):
        index = m.parse(m.LIST_REQUEST, payload)[0]["index"]
        store = self._app.store
        if store.extent is None:
            return self._put_status(m.LIST, m.NO_CARD)
        session = self._app.sessions.get(index)
        if session is None:
            return self._put(m.LIST_REPLY, {"status": m.OUT_OF_RANGE, "index": index})
        position, n_blocks, first_seq, boot, nonce = session
        sector = store.extent.sector(position)
        t0_lo, t0_hi = struct.unpack_from("<II", sector, 28)
        return self._put(
            m.LIST_REPLY,
            {
                "running": self._app.is_running(boot, nonce),
                "index": index,
                "boot": boot,
                "nonce": nonce,
                "device_id": bytes(sector[4:12]),
                "first_seq": first_seq,
                "position": position,
                "n_blocks": n_blocks,
                "data_first": store.extent.first,
                "data_end": store.extent.end,
                "t0_us": t0_hi << TIME_BITS | t0_lo,
            },
        )

    def _read(self, payload):
        asked = m.parse(m.READ_REQUEST, payload)[0]
        store = self._app.store
        position, at, n = asked["position"], asked["at"], asked["n"]
        if store.extent is None:
            status = m.NO_CARD
        elif not store.extent.first <= position < store.extent.end:
            status = m.OUT_OF_RANGE
        elif n > m.MAX_READ or at + n > BLOCK_BYTES:
            status = m.BAD_REQUEST
        else:
            status = m.OK
            if position != self._block_position:
                self._block_position = None
                store.read(position, self._block)
                self._block_position = position
        asked["status"] = status
        if status != m.OK:
            asked["n"] = 0
            return self._put(m.READ_REPLY, asked)
        self._put(m.READ_REPLY, asked)
        self._src_view[_READ_AT : _READ_AT + n] = self._block_view[at : at + n]
        return _READ_AT - 2 + n

    def _erase(self, payload):
        asked = m.parse(m.ERASE_REQUEST, payload)[0]
        app = self._app
        extent = app.store.extent
        reply = {"status": m.PENDING}
        if extent is None:
            reply["status"] = m.NO_CARD
            return self._put(m.ERASE_REPLY, reply)
        reply["released_seq"] = extent.released_seq
        if asked["device_id"] != app.board.device_id or app.is_running(
            asked["boot"], asked["nonce"]
        ):
            reply["status"] = m.REFUSED
        elif asked["first_seq"] < extent.released_seq:
            reply["status"] = m.OK
            reply["done_pct"] = 100
        elif app.store.release_waits:
            reply["done_pct"] = 99
        else:
            self._check_digest(asked, reply)
        return self._put(m.ERASE_REPLY, reply)

    def _check_digest(self, asked, reply):
        """Start, report or conclude the check of the oldest session against the asked digest."""
        key = (asked["boot"], asked["nonce"], asked["first_seq"], asked["n_blocks"])
        check = self._check
        if check is None or check.key != key:
            oldest = self._app.sessions.oldest()
            if oldest is None or oldest[3:] + (oldest[2], oldest[1]) != key:
                reply["status"] = m.WRONG_SESSION
                return
            self._check = check = _DigestCheck(key, oldest[0])
        if check.failed:
            self._check = None
            reply["status"] = m.READ_ERROR
            return
        n = asked["n_blocks"]
        reply["done_pct"] = 99 * check.done // n
        if check.done < n:
            return
        self._check = None
        if check.hash.digest() != asked["digest"]:
            reply["status"] = m.WRONG_DIGEST
            return
        store = self._app.store
        store.request_release(
            self._app.sessions.seq_after_oldest(), store.extent.after(check.position, n)
        )

    def _digest_some(self):
        check = self._check
        extent = self._app.store.extent
        try:
            for _ in range(min(_DIGEST_STEPS, check.key[3] - check.done)):
                sector = extent.sector(extent.after(check.position, check.done))
                check.hash.update(sector[:HEADER_BYTES])
                check.done += 1
        except OSError:
            check.failed = True

    def _config_get(self, payload):
        asked = m.parse(m.CONFIG_GET_REQUEST, payload)[0]
        data = self._app.board.nv.load(asked["item"]) or b""
        asked["total"] = len(data)
        asked["crc"] = binascii.crc32(data)
        return self._put(
            m.CONFIG_GET_REPLY, asked, data[asked["at"] : asked["at"] + _CONFIG_CHUNK]
        )

    def _config_set(self, payload):
        asked, rest = m.parse(m.CONFIG_SET_REQUEST, payload)
        reply = {"item": asked["item"], "status": m.PENDING}
        key = (asked["item"], asked["total"], asked["crc"])
        if asked["total"] > m.MAX_CONFIG_BYTES or asked["item"] > m.CONFIG_SIGNALS:
            reply["status"] = m.BAD_REQUEST
            return self._put(m.CONFIG_SET_REPLY, reply)
        if self._config is None or self._config[0] != key:
            self._config = (key, bytearray())
        data = self._config[1]
        if asked["at"] == len(data) and len(data) + len(rest) <= asked["total"]:
            data.extend(rest)
        reply["at"] = len(data)
        if len(data) == asked["total"]:
            reply["status"] = m.REFUSED
            if binascii.crc32(data) == asked["crc"]:
                reply["status"] = self._app.take_config(asked["item"], bytes(data))
            self._config = None
        return self._put(m.CONFIG_SET_REPLY, reply)

    def _live(self, payload):
        ring = self._app.board.ring
        on = m.parse(m.LIVE_REQUEST, payload)[0]["on"]
        if not on:
            self._tap = None
        elif self._tap is None:
            self._tap = Tap(ring)
        self._t_tap = self._app.board.clock.lo
        return self._put_status(m.LIVE, m.OK)

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
            self._send(m.LIVE | m.REPLY, 0, self._put(m.LIVE_REPLY, values, records))

    def _control(self, payload):
        asked = m.parse(m.CONTROL_REQUEST, payload)[0]
        app = self._app
        status = m.REFUSED
        if asked["boot"] == app.boot:
            status = app.control(asked["action"])
        return self._put(m.CONTROL_REPLY, {"status": status, "state": app.state})
