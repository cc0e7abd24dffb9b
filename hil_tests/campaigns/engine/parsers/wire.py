"""Targets of the parser campaign: what comes through the cable, to the logger and to the host.

The logger's parsers run here as they are on the car.
"""

import contextlib
import struct
import zlib

from cobs import cobs

from campaigns.engine.bench import Bench
from campaigns.engine.link.cable import fast_cobs_encode
from campaigns.engine.parsers.blocks import sample_session
from campaigns.engine.parsers.target import Target, Violation
from slog import messages as m
from slog.framing import MAX_WIRE, Receiver, frame
from slog.layout import BLOCK_BYTES, size
from stagelog.download import fetch_session
from stagelog.errors import StagelogError
from stagelog.link import Link


class Framing(Target):
    """The logger's receiver: only whole frames come out, and garbage costs one frame at most."""

    name = "framing"
    share = 18_000
    sources = ("slog/framing.py", "slog/layout.py")
    words = (b"\0", b"\0\0", b"\xff" * 255)

    def make_seeds(self):
        wires = [
            frame(kind | side, 7, m.build(table, {}, b"xyz"))
            for kind, _, request, reply in m.MESSAGES
            for side, table in ((0, request), (m.REPLY, reply))
        ]
        return [*wires, b"".join(wires), frame(1, 1, bytes(range(256)))]

    def run(self, data):
        got = []
        receiver = Receiver()
        receiver.feed(data, lambda kind, n, payload: got.append((kind, n, bytes(payload))))
        for kind, n, payload in got:
            if frame(kind, n, payload)[1:-1] not in data and len(payload) < 250:
                raise Violation("D7", f"frame {kind} was not on the wire")
        if receiver.n_bad > data.count(0):
            raise Violation("D2", "more bad frames than ends of frames")
        if len(receiver.wire) != MAX_WIRE:
            raise Violation("D3", "the receiver has grown")
        after = []
        receiver.feed(b"\0" + frame(5, 6, b"after"), lambda *a: after.append(bytes(a[2])))
        if after[-1:] != [b"after"]:
            raise Violation("D5", "a good frame behind garbage is lost")


class Messages(Target):
    """Payloads of whole frames; the first byte of the input chooses the layout."""

    name = "messages"
    share = 33_000
    sources = ("slog/messages.py", "slog/layout.py")
    tables = tuple(table for row in m.MESSAGES for table in row[2:])

    def make_seeds(self):
        rests = (b"", b"xyz", bytes(range(256)))
        return [
            bytes([number]) + m.build(table, {}, rest)
            for number, table in enumerate(self.tables)
            for rest in rests
        ]

    def run(self, data):
        table = self.tables[data[0] % len(self.tables)] if data else ()
        payload = data[1:]
        try:
            values, rest = m.parse(table, payload)
        except m.MessageError:
            if len(payload) >= size(table):
                raise Violation("D1", "a payload that is long enough is refused") from None
            return
        if m.build(table, values, rest) != payload:
            raise Violation("D7", "a payload parses to something else")


class Service(Target):
    """The logger's service: no exception leaves it, nothing is erased, recording continues.

    The input is a list of (type, payload): each is sent as a frame with a right CRC, or with a
    wrong one where the length byte's top bit is set.
    """

    name = "service"
    share = 120
    sources = ("slog/framing.py", "slog/messages.py", "slog/layout.py", "logger/service.py")
    words = tuple(struct.pack("<BB", row[0], 0) for row in m.MESSAGES)

    def make_seeds(self):
        calls = []
        for kind, _, request, _ in m.MESSAGES:
            values = {"boot": 1, "n": 64, "position": 3, "n_blocks": 3, "first_seq": 1, "on": 1}
            values.update(device_id=b"WITNESS1", contract=m.contract_hash(), total=3)
            payload = m.build(request, values)
            calls.append(bytes([kind, len(payload)]) + payload)
        stop = m.build(m.CONTROL_REQUEST, {"action": m.CONTROL_STOP, "boot": 1})
        item = b'{"car":"\\ud800"}'
        config = {"item": 0, "total": len(item), "crc": zlib.crc32(item)}
        config = m.build(m.CONFIG_SET_REQUEST, config, item)
        stops = bytes([m.CONTROL, len(stop)]) + stop
        sets = bytes([m.CONFIG_SET, len(config)]) + config
        calls.append(sets)
        many = b"".join(calls) * 5
        return [many, stops + many, stops * 3 + sets + many, *calls]

    def run(self, data):
        bench = Bench(5, 40)
        bench.power_on()
        bench.run_ms(700)
        store = bench.app.store
        blocks = dict(bench.card.sectors)
        at = 0
        for _ in range(60):
            if at + 2 > len(data):
                break
            kind, n = data[at], data[at + 1]
            wire = frame(kind, at & 255, data[at + 2 : at + 2 + (n & 127)])
            if n & 128:
                wire = wire[:3] + b"\x55" + wire[4:]
            bench.write(wire)
            bench.run_ms(3)
            at += 2 + (n & 127)
        bench.run_ms(50)
        if store.extent.released_seq > 1 or store.release_waits:
            raise Violation("L17", "a session was erased")
        if any(bench.card.sectors.get(place) != block for place, block in blocks.items()):
            raise Violation("L1", "a stored block was changed")
        bench.cable.host_read()
        bench.run_ms(20)
        if bench.link.status().n_buses != 1:
            raise Violation("D1", "the service does not answer any more")


class Answers(Target):
    """A logger that answers anything: the host ends with a StagelogError or with what it received.

    The input is a list of (length u16, payload), each sent in a frame with a right CRC. When it is
    used up, nothing answers any more.
    """

    name = "answers"
    share = 400
    sources = ("slog/messages.py", "slog/layout.py", "stagelog/link.py", "stagelog/archive/*.py")

    def make_seeds(self):
        replies = {row[0]: row[3] for row in m.MESSAGES}
        session = {"device_id": bytes.fromhex("53494d3030303031"), "boot": 7, "nonce": 0x1234567}
        session |= {"first_seq": 1, "n_blocks": 3, "position": 70}
        session |= {"data_first": 64, "data_end": 90}
        values = [
            (m.HELLO, {"contract": m.contract_hash()}, b""),
            (m.STATUS, {}, b""),
            (m.LIST, session, b""),
            (m.LIST, {"status": m.OUT_OF_RANGE}, b""),
            (m.CONFIG_GET, {"total": 2, "crc": zlib.crc32(b"{}")}, b"{}"),
            (m.CONFIG_SET, {"at": 2}, b""),
            (m.CONTROL, {"status": m.PENDING}, b""),
        ]
        answers = [m.build(replies[kind], fields, rest) for kind, fields, rest in values]
        blocks = sample_session(700, position=70)
        for i in range(3):
            block = blocks[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES]
            fields = {"position": 70 + i, "n": BLOCK_BYTES}
            answers.insert(4 + i, m.build(m.READ_REPLY, fields, block))
        return [self._join(answers), self._join(answers[:4]), self._join(answers[:2])]

    @staticmethod
    def _join(answers):
        return b"".join(struct.pack("<H", len(answer)) + answer for answer in answers)

    def prepare(self, folder):
        self.path = folder / "answers"
        self.path.mkdir(exist_ok=True)

    def run(self, data):
        stream = _Answering(data)
        link = Link(stream, "logger", stream.seconds, tries=2)
        calls = (  # each with the requests that it may take
            (link.hello, 2),
            (link.status, 2),
            (lambda: self._fetch(link), len(data) + 200),
            (lambda: link.get_config(m.CONFIG_SETTINGS), 100),
            (lambda: link.set_config(m.CONFIG_SETTINGS, b"{}"), 100),
            (lambda: link.control(m.CONTROL_STOP, 1), 1000),
        )
        try:
            for call, most in calls:
                before = stream.n_asked
                with contextlib.suppress(StagelogError):
                    call()
                if stream.n_asked - before > most:
                    raise Violation("D2", f"{stream.n_asked - before} requests for one answer")
        finally:
            for path in self.path.iterdir():
                path.unlink()

    def _fetch(self, link):
        for session in link.list_sessions()[:2]:
            fetch_session(link, session, self.path)


class _Answering:
    """A stream for Link: answers each request with the next payload of the input, READ with as
    many as it asks for places.
    """

    def __init__(self, data):
        self._data = data
        self._at = 0
        self._out = bytearray()
        self._now = 0.0
        self.n_asked = 0

    def seconds(self):
        return self._now

    def write(self, wire):
        self.n_asked += 1
        raw = cobs.decode(wire.strip(b"\0"))
        n_answers = 1
        if raw[0] == m.READ:
            n_answers = m.parse(m.READ_REQUEST, raw[2:-4])[0]["n_blocks"]
        while n_answers and self._at + 2 <= len(self._data):
            (n,) = struct.unpack_from("<H", self._data, self._at)
            payload = self._data[self._at + 2 : self._at + 2 + n]
            self._at += 2 + n
            n_answers -= 1
            self._out += frame(raw[0] | m.REPLY, raw[1], payload, fast_cobs_encode)

    def read(self, n):
        self._now += 0.05
        got = bytes(self._out)
        self._out.clear()
        return got
