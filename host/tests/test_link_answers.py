"""The link and a logger that answers wrongly, late, twice, or not at all, in virtual time.

The logger here is a script: its frames are made with struct, zlib and the package cobs by what
firmware/SPEC.md says, and not by slog.framing.
"""

import struct
import zlib
from dataclasses import replace

import pytest
from cobs import cobs

from stagelog.download import set_clock
from stagelog.errors import ContractError, DeviceError
from stagelog.link import Link, RequestError, positions_of
from stagelog.replies import ListedSession

STATUS, TIME, LIST, READ, CONFIG_GET, CONTROL = 0x02, 0x03, 0x04, 0x05, 0x07, 0x09
OK, PENDING, NO_CARD, OUT_OF_RANGE, READ_ERROR, BUSY = 0, 1, 3, 4, 5, 8


def framed(kind, request, payload, crc=None):
    """Return a frame: 0 | COBS(type, request, payload, CRC-32) | 0."""
    raw = bytes([kind, request]) + payload
    crc = zlib.crc32(raw) if crc is None else crc
    return b"\0" + cobs.encode(raw + struct.pack("<I", crc)) + b"\0"


class Script:
    """A stream behind which answer(script, kind, request, payload) sits; time passes in reads."""

    def __init__(self, answer):
        self.answer = answer
        self.now_s = 100.0
        self.asked = []  # (seconds, type, request, payload)
        self.line = b""

    def clock(self):
        return self.now_s

    def write(self, data):
        for wire in filter(None, data.split(b"\0")):
            raw = cobs.decode(wire)
            assert zlib.crc32(raw[:-4]) == struct.unpack("<I", raw[-4:])[0]
            self.asked.append((round(self.now_s - 100, 3), raw[0], raw[1], raw[2:-4]))
            self.line += self.answer(self, raw[0], raw[1], raw[2:-4]) or b""

    def read(self, n):
        if not self.line:
            self.now_s += 0.01
        sent, self.line = self.line[:n], self.line[n:]
        return sent

    def close(self):
        pass


def linked(answer, **options):
    script = Script(answer)
    return script, Link(script, "C03", script.clock, **options)


def time_reply(request, t_us=5, status=OK):
    return framed(TIME | 0x80, request, struct.pack("<BQ", status, t_us))


def test_time_goes_out_and_comes_back_in_microseconds():
    script, link = linked(lambda s, kind, request, p: time_reply(request, 12_345_678))
    assert set_clock(link, lambda: 1_769_000_000_123_456_789) == 12_345_678  # ns of the laptop
    ((_, kind, _, payload),) = script.asked
    assert kind == TIME and struct.unpack("<Q", payload) == (1_769_000_000_123_456,)


def test_a_silent_logger_is_asked_six_times_with_growing_patience():
    """0.5 s after the first request, then 1.0, 1.5, ... : 10.5 s in all."""
    script, link = linked(lambda *_: b"")
    with pytest.raises(DeviceError, match="C03 does not answer TIME; check the cable"):
        link.set_time(1)
    assert [at_s for at_s, *_ in script.asked] == pytest.approx([0, 0.5, 1.5, 3, 5, 7.5], abs=0.1)
    assert script.now_s - 100 == pytest.approx(10.5, abs=0.2)
    assert link.n_retries == 5
    assert len({request for _, _, request, _ in script.asked}) == 6


def test_tries_are_those_that_were_asked_for():
    script, link = linked(lambda *_: b"", tries=2)
    with pytest.raises(DeviceError):
        link.set_time(1)
    assert len(script.asked) == 2 and link.n_retries == 1


def test_an_answer_to_another_request_is_not_taken():
    def answer(script, kind, request, payload):
        other = time_reply((request + 1) & 0xFF, 666) + time_reply((request - 1) & 0xFF, 667)
        return other + time_reply(request, 7)

    _, link = linked(answer)
    assert link.set_time(1) == 7 and link.n_retries == 0


def test_an_answer_of_another_type_is_not_taken():
    def answer(script, kind, request, payload):
        return framed(0x82, request, struct.pack("<BQ", OK, 666)) + time_reply(request, 7)

    assert linked(answer)[1].set_time(1) == 7


def test_the_request_itself_is_no_answer():
    """An echo of the line has the right number, but not the bit of a reply."""

    def answer(script, kind, request, payload):
        return framed(kind, request, struct.pack("<BQ", OK, 666)) + time_reply(request, 7)

    assert linked(answer)[1].set_time(1) == 7


@pytest.mark.parametrize("spoil", ["crc", "bit", "short", "cobs"])
def test_a_broken_answer_is_counted_and_asked_for_again(spoil):
    def answer(script, kind, request, payload):
        good = time_reply(request, 7)
        if len(script.asked) > 1:
            return good
        if spoil == "crc":
            return framed(TIME | 0x80, request, struct.pack("<BQ", OK, 666), crc=1)
        if spoil == "bit":
            return good[:5] + bytes([good[5] ^ 4]) + good[6:]
        if spoil == "short":
            return b"\0\x02\x01\0"
        return b"\0\xff\x01\0"  # says 254 bytes, has one

    script, link = linked(answer)
    assert link.set_time(1) == 7
    assert (link.n_bad, link.n_retries, len(script.asked)) == (1, 1, 2)


def test_an_answer_in_pieces_and_garbage_in_front_of_it():
    def answer(script, kind, request, payload):
        return b"MicroPython v1.25\r\n>>> " + time_reply(request, 7)

    script, link = linked(answer)
    whole_read = script.read
    script.read = lambda n: whole_read(1)
    assert link.set_time(1) == 7 and link.n_bad == 1 and link.n_retries == 0


@pytest.mark.parametrize("status", [2, 3, 5, 9, 10])
def test_a_refusal_is_an_error_with_its_status(status):
    _, link = linked(lambda s, kind, request, p: time_reply(request, 0, status))
    with pytest.raises(RequestError, match="C03, TIME: ") as refused:
        link.set_time(1)
    assert refused.value.status == status and refused.value.exit_code == 3


def test_an_answer_too_short_is_another_contract():
    _, link = linked(lambda s, kind, request, p: framed(TIME | 0x80, request, b"\0\1"))
    with pytest.raises(ContractError, match="answer to TIME has .*; flash it"):
        link.set_time(1)


# LIST: fields by SPEC 8.3
LISTED = "<BBHII8sIIIIIQ"


def listed(index, status=OK, running=0, position=10, n_blocks=5):
    who = (3, 9, b"abcdefgh", 100 + index)  # boot, nonce, device, first number
    return struct.pack(LISTED, status, running, index, *who, position, n_blocks, 4, 64, 777)


def test_sessions_are_listed_until_there_are_no_more():
    def answer(script, kind, request, payload):
        (index,) = struct.unpack("<H", payload)
        return framed(LIST | 0x80, request, listed(index, OK if index < 3 else OUT_OF_RANGE))

    script, link = linked(answer)
    sessions = link.list_sessions()
    assert [session.first_seq for session in sessions] == [100, 101, 102]
    assert len(script.asked) == 4
    names = (
        "boot",
        "nonce",
        "device_id",
        "position",
        "n_blocks",
        "data_first",
        "data_end",
        "t0_us",
    )
    assert [getattr(sessions[0], name) for name in names] == [3, 9, b"abcdefgh", 10, 5, 4, 64, 777]


def test_a_logger_without_a_card_lists_none():
    _, link = linked(lambda s, k, request, p: framed(LIST | 0x80, request, listed(0, NO_CARD)))
    assert link.list_sessions() == []


def test_a_list_that_is_still_made_is_asked_for_again():
    """Two PENDING before the second session; then each for 30 s, when the host stops asking."""
    asked = []

    def answer(script, kind, request, payload):
        (index,) = struct.unpack("<H", payload)
        asked.append(index)
        status = (
            PENDING if index == 1 and asked.count(1) < 3 else OK if index < 2 else OUT_OF_RANGE
        )
        return framed(LIST | 0x80, request, listed(index, status))

    _, link = linked(answer)
    assert [session.first_seq for session in link.list_sessions()] == [100, 101]
    assert asked == [0, 1, 1, 1, 2]

    def never(script, kind, request, payload):
        script.now_s += 1
        return framed(LIST | 0x80, request, listed(0, PENDING))

    script, link = linked(never)
    with pytest.raises(DeviceError, match="C03 does not finish the list of its sessions"):
        link.list_sessions()
    assert script.now_s - 100 == pytest.approx(31, abs=0.5)


# READ


def block_of(position):
    return bytes([position & 0xFF, position >> 8]) * 2048


def read_reply(request, position, data=None, status=OK, at=0):
    data = block_of(position) if data is None and status == OK else data or b""
    head = struct.pack("<BBIHH", status, 0, position, at, len(data))
    return framed(READ | 0x80, request, head + data)


def places_of(payload):
    position, at, n, n_blocks = struct.unpack("<IHHH", payload)
    assert (at, n) == (0, 4096)
    return range(position, position + n_blocks)


def served(script, kind, request, payload):
    return b"".join(read_reply(request, place) for place in places_of(payload))


def test_blocks_come_in_order_in_runs_of_32():
    script, link = linked(served)
    got = list(link.read_blocks(range(10, 110)))
    assert got == [(place, block_of(place)) for place in range(10, 110)]
    asked = [(places_of(p).start, len(places_of(p))) for _, _, _, p in script.asked]
    assert asked == [(10, 32), (42, 32), (74, 32), (106, 4)]
    assert link.n_retries == 0


def test_no_more_than_64_places_are_asked_for_at_once():
    waiting = []

    def answer(script, kind, request, payload):
        waiting.append((request, places_of(payload)))
        n_waiting.append(sum(len(places) for _, places in waiting))
        return b""

    n_waiting = []
    script, link = linked(answer)
    quiet_read = script.read

    def read(n):
        if not script.line and waiting:
            request, places = waiting[0]
            script.line += read_reply(request, places[0])
            waiting[0] = (request, places[1:])
            if not waiting[0][1]:
                waiting.pop(0)
        return quiet_read(n)

    script.read = read
    assert len(list(link.read_blocks(range(200)))) == 200
    assert max(n_waiting) == 64 and link.n_retries == 0


def test_a_gap_in_the_places_begins_a_new_run():
    script, link = linked(served)
    places = [5, 6, 7, 20, 21, 3]
    assert [place for place, _ in link.read_blocks(places)] == places
    assert [(r.start, len(r)) for r in (places_of(p) for *_, p in script.asked)] == [
        (5, 3),
        (20, 2),
        (3, 1),
    ]


@pytest.mark.parametrize("wrong", ["position", "at", "short", "request", "status of another"])
def test_a_wrong_answer_to_read_is_asked_for_again(wrong):
    def answer(script, kind, request, payload):
        places = places_of(payload)
        sent = b""
        for place in places:
            if place == 12 and len(script.asked) == 1:
                sent += {
                    "position": read_reply(request, 900, b"x" * 4096),
                    "at": read_reply(request, 12, b"x" * 4096, at=512),
                    "short": read_reply(request, 12, b"x" * 512),
                    "request": read_reply((request + 9) & 0xFF, 12, b"x" * 4096),
                    "status of another": read_reply(request, 900, status=READ_ERROR),
                }[wrong]
            else:
                sent += read_reply(request, place)
        return sent

    script, link = linked(answer)
    assert list(link.read_blocks(range(10, 16))) == [(p, block_of(p)) for p in range(10, 16)]
    assert len(script.asked) == 2 and list(places_of(script.asked[1][3])) == [12]
    assert link.n_retries == 1


def test_a_place_that_cannot_be_read_is_tried_three_times_and_then_none():
    def answer(script, kind, request, payload):
        return b"".join(
            read_reply(request, place, status=READ_ERROR if place == 12 else OK)
            for place in places_of(payload)
        )

    script, link = linked(answer)
    got = dict(link.read_blocks(range(10, 15)))
    assert got[12] is None and [p for p, data in got.items() if data] == [10, 11, 13, 14]
    assert sum(12 in places_of(payload) for *_, payload in script.asked) == 3


def test_a_place_that_can_be_read_at_the_third_try_is_there():
    n = [0]

    def answer(script, kind, request, payload):
        sent = b""
        for place in places_of(payload):
            n[0] += place == 12
            bad = place == 12 and n[0] < 3
            sent += read_reply(request, place, status=READ_ERROR if bad else OK)
        return sent

    assert dict(linked(answer)[1].read_blocks([11, 12]))[12] == block_of(12)


def test_a_card_pulled_out_meanwhile_is_an_error():
    _, link = linked(lambda s, k, request, p: read_reply(request, places_of(p)[0], status=NO_CARD))
    with pytest.raises(RequestError, match="C03, block 7: no usable card"):
        list(link.read_blocks([7, 8]))


def test_a_logger_that_stops_answering_names_the_block():
    def answer(script, kind, request, payload):
        places = [place for place in places_of(payload) if place < 12]
        return b"".join(read_reply(request, place) for place in places)

    script, link = linked(answer)
    with pytest.raises(DeviceError, match="C03 stopped answering at block 12; plug it in again"):
        list(link.read_blocks(range(10, 16)))
    assert link.n_retries == 5


def test_places_of_a_session_go_round_the_ring():
    """Ring of places 4 to 63; from 61 on: 61, 62, 63, then 4, 5."""
    who = {"running": False, "boot": 3, "nonce": 9, "device_id": b"abcdefgh", "first_seq": 100}
    session = ListedSession(**who, data_first=4, data_end=64, position=61, n_blocks=5)
    assert positions_of(session) == [61, 62, 63, 4, 5]
    assert positions_of(session, 2) == [63, 4, 5]
    assert positions_of(replace(session, position=63, n_blocks=1)) == [63]


# Settings and control


def test_settings_come_in_pieces_and_are_checked():
    content = bytes(range(256)) * 10

    def answer(script, kind, request, payload, crc=None):
        crc = zlib.crc32(content) if crc is None else crc
        item, at = struct.unpack("<BH", payload)
        piece = content[at : at + 1024]
        head = struct.pack("<BBHHI", OK, item, at, len(content), crc)
        return framed(CONFIG_GET | 0x80, request, head + piece)

    script, link = linked(answer)
    assert link.get_config(0) == content
    assert [struct.unpack("<BH", p)[1] for *_, p in script.asked] == [0, 1024, 2048]
    _, link = linked(lambda *args: answer(*args, crc=1))
    with pytest.raises(DeviceError, match="changed its settings meanwhile"):
        link.get_config(0)


def test_control_waits_until_it_is_done():
    states = iter([PENDING, BUSY, PENDING, OK])

    def answer(script, kind, request, payload):
        return framed(CONTROL | 0x80, request, struct.pack("<BB", next(states), 1))

    script, link = linked(answer)
    assert link.control(2, 3) == 1 and len(script.asked) == 4


def test_control_does_not_wait_for_ever():
    def answer(script, kind, request, payload):
        script.now_s += 1
        return framed(CONTROL | 0x80, request, struct.pack("<BB", PENDING, 1))

    script, link = linked(answer)
    with pytest.raises(DeviceError, match="does not finish its session"):
        link.control(2, 3)
    assert script.now_s - 100 == pytest.approx(31, abs=2)


def test_a_silent_logger_is_asked_six_times_for_its_blocks_with_growing_patience():
    """1.0 s after the first READ, then 1.5, 2.0, 2.5, 3.0 and 3.5: 13.5 s in all."""
    script, link = linked(lambda *_: b"")
    with pytest.raises(DeviceError, match="stopped answering at block 10"):
        list(link.read_blocks([10, 11]))
    assert [at_s for at_s, *_ in script.asked] == pytest.approx([0, 1, 2.5, 4.5, 7, 10], abs=0.1)
    assert script.now_s - 100 == pytest.approx(13.5, abs=0.2)


def test_the_shortest_frame_has_a_type_a_request_and_a_crc():
    """Six bytes are an answer without fields; five, with a CRC that fits, are none."""
    script, link = linked(lambda *_: b"")
    one_byte = b"\x82" + struct.pack("<I", zlib.crc32(b"\x82"))
    script.line = b"\0" + cobs.encode(one_byte) + framed(0x82, 1, b"")
    kind, request, payload = link.receive(script.now_s + 1)
    assert (kind, request, bytes(payload)) == (0x82, 1, b"") and link.n_bad == 1
