"""The service of the logger as a host meets it: requests by their bytes, answers by their fields,
a download across the end of the ring, settings in pieces, and what is refused.
"""

import pytest
from rig_play import SECOND_US, play
from service_requests import answers, block_on_card, read, stop

from slog import messages as m
from slog.block import SEQ
from slog.framing import frame
from stagelog.link import RequestError, positions_of
from stagelog.rig.target import SimTarget


@pytest.mark.parametrize("stopped", [False, True])
def test_a_download_goes_on_at_the_start_of_the_ring(tmp_path, stopped):
    """A ring of few places that was overwritten: the session begins in its middle. The positions
    go up to data_end, then on from data_first; each block is what the card holds there, and the
    numbers rise by one from the first to the last.
    """
    rig = SimTarget(tmp_path, card_blocks=32, settings={"when_full": "overwrite"})
    play(rig, 3 * SECOND_US)
    if stopped:
        stop(rig)
    (session,) = rig.link.list_sessions()
    positions = positions_of(session)
    first, end = session.data_first, session.data_end
    assert session.n_blocks >= end - first - 1
    turn = positions.index(first)
    assert turn > 0 and positions[:turn] == list(range(positions[0], end))
    assert positions[turn:] == list(range(first, first + len(positions) - turn))
    found = list(rig.link.read_blocks(positions))
    assert [position for position, _ in found] == positions
    blocks = [block for _, block in found]
    if stopped:
        assert blocks == [block_on_card(rig, position) for position in positions]
    seqs = [int.from_bytes(block[SEQ : SEQ + 4], "little") for block in blocks]
    wanted = list(range(session.first_seq, session.first_seq + len(seqs)))
    assert seqs == wanted if stopped else seqs[5:] == wanted[5:]
    rig.close()


def test_a_run_that_leaves_the_ring_ends_there(target):
    """The last place is answered, the one behind it is OUT_OF_RANGE and ends the run."""
    stop(target)
    extent = target.app.store.extent
    read(target, extent.end - 2, 5)
    found = [fields for fields, _ in answers(target, m.READ, 9)]
    assert [(x["position"], x["status"]) for x in found] == [
        (extent.end - 2, m.OK),
        (extent.end - 1, m.OK),
        (extent.end, m.OUT_OF_RANGE),
    ]


def test_settings_end_the_records_that_are_pushed(target):
    """They are collected where the records lie, which must not be pushed as records."""
    play(target)
    target.link.ask(m.LIVE, {"on": 1})
    stop(target)
    assert target.app.service._tap is not None
    values = {"item": m.CONFIG_SETTINGS, "total": 9, "at": 0, "crc": 1}
    target.link.send(m.CONFIG_SET, m.build(m.CONFIG_SET_REQUEST, values, b"{}"))
    assert answers(target, m.CONFIG_SET, 1)[0][0]["status"] == m.PENDING
    assert target.app.service._tap is None


def test_places_before_and_after_the_ring_are_out_of_range(target):
    stop(target)
    extent = target.app.store.extent
    for position, status in (
        (extent.first - 1, m.OUT_OF_RANGE),
        (extent.first, m.OK),
        (extent.end - 1, m.OK),
        (extent.end, m.OUT_OF_RANGE),
        (0, m.OUT_OF_RANGE),
        (0xFFFFFFFF, m.OUT_OF_RANGE),
    ):
        read(target, position)
        ((fields, _),) = answers(target, m.READ, 2)
        assert (fields["position"], fields["status"]) == (position, status)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_part_of_a_block_is_those_bytes(target, stopped):
    """Up to the last byte; across sectors; one byte."""
    play(target)
    if stopped:
        stop(target)
    position = target.link.list_sessions()[0].position
    whole = block_on_card(target, position)
    for at, n in (
        (0, 1),
        (0, 64),
        (500, 24),
        (511, 514),
        (4095, 1),
        (0, 4095),
        (1, 4095),
        (512, 512),
    ):
        read(target, position, 1, at, n)
        ((fields, rest),) = answers(target, m.READ, 2)
        assert fields["status"] == m.OK and fields["at"] == at
        assert bytes(rest) == whole[at : at + n], (at, n)


@pytest.mark.parametrize(
    ("at", "n", "n_blocks"), [(0, 4097, 1), (4096, 1, 1), (1, 4096, 1), (0, 4096, 0), (0, 1, 65)]
)
def test_a_read_beyond_a_block_or_of_too_many_is_refused(target, at, n, n_blocks):
    assert m.MAX_RUN == 64
    stop(target)
    read(target, target.app.store.extent.first, n_blocks, at, n)
    ((fields, _),) = answers(target, m.READ, 2)
    assert fields["status"] == m.BAD_REQUEST


def test_the_longest_run_is_answered_place_by_place(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=128)
    stop(rig)
    first = rig.app.store.extent.first
    read(rig, first, 64)
    found = answers(rig, m.READ, 65, 2)
    assert [x["position"] for x, _ in found] == list(range(first, first + 64))
    rig.close()


def test_a_place_that_cannot_be_read_is_reported_and_the_run_goes_on(target):
    play(target)
    stop(target)
    first = target.app.store.extent.first
    card = target.app.store.card
    real, bad = card.read, target.app.store.extent.sector_of(first + 1)

    def read_badly(sector, buf):
        if sector == bad + 3:
            raise OSError("a bad sector")
        real(sector, buf)

    card.read = read_badly
    read(target, first, 3)
    found = answers(target, m.READ, 4)
    assert [(x["position"], x["status"], len(rest)) for x, rest in found] == [
        (first, m.OK, 4096),
        (first + 1, m.READ_ERROR, 0),
        (first + 2, m.OK, 4096),
    ]


def test_without_a_card_there_is_nothing_to_read_or_list(target):
    target.app.board.card.present = False
    play(target)
    read(target, 3)
    assert answers(target, m.READ, 2)[0][0]["status"] == m.NO_CARD
    with pytest.raises(RequestError, match="no .*card"):
        target.link.ask(m.LIST, {"index": 0})


def test_a_question_goes_before_what_is_left_of_a_download(target):
    play(target)
    stop(target)
    first = target.app.store.extent.first
    whole = [block_on_card(target, first + i) for i in range(8)]
    read(target, first, 8)
    target.link.send(m.STATUS, b"")
    kinds, blocks = [], []
    deadline = target.link.clock() + 1
    while (got := target.link.receive(deadline)) is not None:
        kinds.append(got[0] & ~m.REPLY)
        if got[0] == m.READ | m.REPLY:
            blocks.append(bytes(m.parse(m.READ_REPLY, got[2])[1]))
    assert kinds.count(m.STATUS) == 1 and kinds.index(m.STATUS) < 8
    assert blocks == whole


def test_a_question_amid_a_block_while_it_records_leaves_the_block_whole(target):
    """While it records a block is read sector by sector; the question comes between two of them,
    in the buffer of the answer that was begun.
    """
    play(target)
    position = target.link.list_sessions()[0].position
    service = target.app.service
    read(target, position)
    for _ in range(200):
        target.run_for(100)
        if service._run is not None and service._run.at not in (None, 0):
            break
    assert service._run.at % 512 == 0 and 0 < service._run.at < 4096
    target.link.send(m.STATUS, b"")
    ((fields, rest),) = answers(target, m.READ, 1)
    assert fields["status"] == m.OK and bytes(rest) == block_on_card(target, position)


@pytest.mark.parametrize("i", [0, 3, 7])
def test_a_sector_that_cannot_be_read_while_it_records_is_reported(target, i):
    play(target)
    position = target.link.list_sessions()[0].position
    card = target.app.store.card
    real, bad = card.read, target.app.store.extent.sector_of(position) + i

    def read_badly(sector, buf):
        if sector == bad:
            raise OSError("a bad sector")
        real(sector, buf)

    card.read = read_badly
    read(target, position, 2)
    found = answers(target, m.READ, 3)
    assert [(x["position"], x["status"], len(rest)) for x, rest in found] == [
        (position, m.READ_ERROR, 0),
        (position + 1, m.OK, 4096),
    ]


@pytest.mark.parametrize("most", [1, 100, 447, 448, 1000])
def test_a_link_that_takes_little_at_a_time_gets_every_byte(target, most):
    """Every other call finds no room at all: answers are cut at any place."""
    play(target)
    stop(target)
    first = target.app.store.extent.first
    whole = [block_on_card(target, first + i) for i in range(4)]
    link, calls = target.app.service._link, []
    real = link.write

    def write(buf, at, n):
        calls.append(n)
        return real(buf, at, min(n, most)) if len(calls) % 2 else 0

    link.write = write
    read(target, first, 4)
    found = [bytes(rest) for _, rest in answers(target, m.READ, 4, 60)]
    assert found == whole and target.link.n_bad == 0


def test_a_card_that_cannot_be_read_is_reported_to_who_lists(target):
    stop(target)

    def fail(sector, buf):
        raise OSError("gone")

    target.app.store.card.read = fail
    target.link.send(m.LIST, m.build(m.LIST_REQUEST, {"index": 0}))
    ((fields, _),) = answers(target, m.LIST, 1)
    assert fields["status"] == m.READ_ERROR


def test_live_says_how_many_blocks_it_left_out(target):
    live(target, 1)
    for skipped, reported in ((7, 7), (70_000, 65_535)):
        target.app.service._tap.n_skipped = skipped
        play(target, SECOND_US // 100)
        assert answers(target, m.LIVE, 99, 0.1)[-1][0]["n_skipped"] == reported


def test_eight_requests_wait_and_the_ninth_is_not_heard(target):
    stop(target)
    sent = b"".join(frame(m.STATUS, i, b"") for i in range(12))
    target.app.service._receiver.feed(memoryview(sent), target.app.service._take)
    assert len(target.app.service._waiting) == 8
    assert len(answers(target, m.STATUS, 12)) == 8


def test_reads_and_other_requests_wait_in_one_line(target):
    stop(target)
    request = {"position": target.app.store.extent.first, "at": 0, "n": 16, "n_blocks": 1}
    payload = m.build(m.READ_REQUEST, request)
    sent = b"".join(frame(m.READ, i, payload) + frame(m.STATUS, i, b"") for i in range(12))
    service = target.app.service
    service._receiver.feed(memoryview(sent), service._take)
    assert (len(service._waiting), len(service._reads)) == (4, 4)
    assert len(answers(target, m.STATUS, 12)) == 4


def test_list_says_when_a_session_began_after_a_wrap_of_the_time(target):
    """A record's time has 28 bits, 268 s; the rest is reported as well."""
    stop(target)
    target.app.board.clock.hi += 3
    t0_us = target.app.board.clock.t_us()
    target.app.control(m.CONTROL_START)
    play(target)
    assert target.link.list_sessions()[0].t0_us == pytest.approx(t0_us, abs=100_000)
    assert t0_us >> 28 == 3


def test_list_says_where_a_session_is(target):
    play(target)
    stop(target)
    (session,) = target.link.list_sessions()
    store, extent = target.app.store, target.app.store.extent
    assert session.position == extent.first and session.n_blocks == store.counts.blocks_written
    assert (session.boot, session.nonce, session.first_seq) == (1, store.nonce, 1)
    assert (session.data_first, session.data_end) == (extent.first, extent.end)
    assert session.device_id == b"SIM00001" and not session.running
    assert session.t0_us < 100_000
    target.app.control(m.CONTROL_START)
    play(target)
    new, old = target.link.list_sessions()
    assert (new.running, old.running) == (1, 0)
    assert new.position == old.position + old.n_blocks


def test_time_sets_an_anchor_only_if_it_is_given(target):
    target.run_for(SECOND_US)
    anchors = []
    target.app.anchor = anchors.append
    t_us = target.app.board.clock.t_us()
    assert target.link.set_time(0) == pytest.approx(t_us, abs=5000)
    assert anchors == []
    target.link.set_time(1_700_000_000_000_000)
    assert anchors == [1_700_000_000_000_000]


def live(rig, on):
    return rig.link.ask(m.LIVE, {"on": on})


def test_live_records_are_those_of_the_ring_and_end_after_ten_seconds(target):
    live(target, 1)
    play(target, SECOND_US // 100)
    found = answers(target, m.LIVE, 99, 0.1)
    assert sum(fields["n"] for fields, _ in found) >= 40
    assert all(len(rest) == 16 * fields["n"] and fields["n"] <= 64 for fields, rest in found)
    assert all(fields["n_skipped"] == 0 for fields, _ in found)
    target.run_for(9 * SECOND_US)
    assert target.app.service._tap is not None
    target.run_for(2 * SECOND_US)
    assert target.app.service._tap is None


def test_a_live_answer_has_64_records_at_most(target):
    live(target, 1)
    answers(target, m.LIVE, 99, 0.05)
    ring, clock = target.app.board.ring, target.app.board.clock
    for _ in range(200):
        ring.put_frame(clock.lo, clock.hi, 0x123, 0, 0, bytes(8))
    found = [fields["n"] for fields, _ in answers(target, m.LIVE, 99, 0.1)]
    assert sum(found) >= 200 and max(found) == 64


def test_live_goes_on_while_it_is_asked_for_and_stops_when_told(target):
    live(target, 1)
    tap = target.app.service._tap
    for _ in range(3):
        target.run_for(9 * SECOND_US)
        live(target, 1)
    assert target.app.service._tap is tap
    live(target, 0)
    assert target.app.service._tap is None


def test_frames_with_a_wrong_crc_are_counted_and_not_answered(target):
    broken = bytearray(frame(m.STATUS, 1, b""))
    broken[3] ^= 0x40
    target.send(bytes(broken))
    target.run_for(10_000)
    status = target.link.status()
    assert status.bad_frames == 1


def test_a_request_that_is_too_short_is_a_bad_request(target):
    target.link.send(m.TIME, b"\0")
    (kind, _, payload) = target.link.receive(target.link.clock() + 1)
    assert kind == m.TIME | m.REPLY
    with pytest.raises(RequestError, match="bad request|not understood|request"):
        target.link.parse(m.TIME, payload)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_host_that_begins_gets_no_answer_to_what_was_asked_before(tmp_path, stopped):
    """Two READs of 40 places, one begun, one waiting; then HELLO, as after a cable was put back.
    Two frames may be under way already: one is being sent, one is made.
    """
    rig = SimTarget(tmp_path)
    play(rig, 8 * SECOND_US)
    if stopped:
        stop(rig)
    first = rig.app.store.extent.first
    for _ in range(2):
        read(rig, first, 40)
    for _ in range(3):
        assert rig.link.receive(rig.link.clock() + 5)
    request = rig.link.send(m.HELLO, m.build(m.HELLO_REQUEST, {}))
    late = []
    while (got := rig.link.receive(rig.link.clock() + 2)) is not None:
        late.append(got[:2])
    place = late.index((m.HELLO | m.REPLY, request))
    assert place <= 2 + 8 * stopped and len(late) - place - 1 <= 1
    rig.close()
