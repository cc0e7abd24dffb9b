"""Settings and signal tables come to the logger in pieces, and are given back."""

import binascii

import pytest
from rig_play import SECOND_US, play
from service_requests import answers, stop

from slog import messages as m
from stagelog.rig.target import SimTarget


def give(rig, item, data, at, piece, crc=None):
    crc = binascii.crc32(data) if crc is None else crc
    values = {"item": item, "total": len(data), "at": at, "crc": crc}
    rig.link.send(m.CONFIG_SET, m.build(m.CONFIG_SET_REQUEST, values, piece))
    return answers(rig, m.CONFIG_SET, 1)[0][0]


def test_an_item_comes_in_pieces_and_a_repeated_piece_changes_nothing(target):
    stop(target)
    data = bytes(range(256)) * 6
    assert give(target, m.CONFIG_SIGNALS, data, 0, data[:700])["at"] == 700
    assert give(target, m.CONFIG_SIGNALS, data, 0, data[:700])["at"] == 700
    missing = give(target, m.CONFIG_SIGNALS, data, 900, data[900:1000])
    assert (missing["at"], missing["status"]) == (700, m.PENDING)
    last = give(target, m.CONFIG_SIGNALS, data, 700, data[700:])
    assert (last["at"], last["status"]) == (1536, m.OK)
    assert target.app.board.nv.load(m.CONFIG_SIGNALS) == data
    assert target.link.get_config(m.CONFIG_SIGNALS) == data


def test_no_piece_is_taken_while_it_records(target):
    """They would lie where blocks are: the memory of the ring stays as it is."""
    play(target, SECOND_US // 10)
    memory = target.app.board.ring.memory
    before = bytes(memory[:700])
    reply = give(target, m.CONFIG_SIGNALS, b"x" * 2000, 0, b"x" * 700)
    assert (reply["status"], reply["at"]) == (m.BUSY, 0)
    assert bytes(memory[:700]) == before


@pytest.mark.parametrize("without", ["card", "room"])
def test_no_piece_is_taken_while_it_records_in_vain(tmp_path, without):
    """The ring holds frames, though there is no card for them, or no room on it."""
    rig = SimTarget(tmp_path, card_blocks=16)
    if without == "card":
        rig.app.board.card.present = False
    play(rig, 3 * SECOND_US)
    state = rig.link.status().state
    assert state == m.STATE_FULL if without == "room" else state != m.STATE_RECORDING
    assert give(rig, m.CONFIG_SIGNALS, b"x" * 9, 0, b"x" * 5)["status"] == m.BUSY
    rig.close()


def test_pieces_from_before_a_recording_are_forgotten(target):
    """They lay in the ring, where blocks are by then: the item begins anew."""
    stop(target)
    data = b"x" * 1000
    assert give(target, m.CONFIG_SIGNALS, data, 0, data[:400])["at"] == 400
    target.app.control(m.CONTROL_START)
    play(target, SECOND_US // 10)
    assert give(target, m.CONFIG_SIGNALS, data, 400, data[400:800])["status"] == m.BUSY
    stop(target)
    assert give(target, m.CONFIG_SIGNALS, data, 400, data[400:800])["at"] == 0
    give(target, m.CONFIG_SIGNALS, data, 0, data[:500])
    assert give(target, m.CONFIG_SIGNALS, data, 500, data[500:])["status"] == m.OK
    assert target.app.board.nv.load(m.CONFIG_SIGNALS) == data


@pytest.mark.parametrize(
    ("crc", "status"), [(binascii.crc32(b"data"), m.OK), (1, m.REFUSED)], ids=["taken", "refused"]
)
def test_an_item_that_is_done_can_be_sent_again(target, crc, status):
    """Whether it was taken or not: the same item again begins at its first byte."""
    stop(target)
    for _ in range(2):
        assert give(target, m.CONFIG_SIGNALS, b"data", 0, b"da", crc)["at"] == 2
        assert give(target, m.CONFIG_SIGNALS, b"data", 2, b"ta", crc)["status"] == status


def test_a_piece_beyond_the_end_of_its_item_is_not_taken(target):
    stop(target)
    values = {"item": m.CONFIG_SIGNALS, "total": 4, "at": 0, "crc": binascii.crc32(b"data")}
    target.link.send(m.CONFIG_SET, m.build(m.CONFIG_SET_REQUEST, values, b"data and more"))
    reply = answers(target, m.CONFIG_SET, 1)[0][0]
    assert (reply["status"], reply["at"]) == (m.PENDING, 0)


def test_pieces_of_another_item_begin_anew(target):
    stop(target)
    first, second = b"a" * 1000, b"b" * 1000
    give(target, m.CONFIG_SIGNALS, first, 0, first[:400])
    assert give(target, m.CONFIG_SIGNALS, second, 400, second[400:800])["at"] == 0
    give(target, m.CONFIG_SIGNALS, second, 0, second[:500])
    assert give(target, m.CONFIG_SIGNALS, second, 500, second[500:])["status"] == m.OK
    assert target.app.board.nv.load(m.CONFIG_SIGNALS) == second


def test_an_item_with_a_wrong_crc_is_refused(target):
    stop(target)
    assert give(target, m.CONFIG_SIGNALS, b"data", 0, b"data", crc=1)["status"] == m.REFUSED
    assert target.app.board.nv.load(m.CONFIG_SIGNALS) is None


def test_more_than_there_is_room_for_is_a_bad_request(target):
    stop(target)
    for item, total, status in (
        (m.CONFIG_SIGNALS, m.MAX_CONFIG_BYTES, m.PENDING),
        (m.CONFIG_SIGNALS, m.MAX_CONFIG_BYTES + 1, m.BAD_REQUEST),
        (m.CONFIG_SIGNALS + 1, 10, m.BAD_REQUEST),
    ):
        values = {"item": item, "total": total, "at": 0, "crc": 0}
        target.link.send(m.CONFIG_SET, m.build(m.CONFIG_SET_REQUEST, values, b"x"))
        assert answers(target, m.CONFIG_SET, 1)[0][0]["status"] == status


def test_an_item_is_given_back_in_pieces_of_1_kB(target):
    stop(target)
    data = bytes(range(250)) * 10
    target.link.set_config(m.CONFIG_SIGNALS, data)
    found = b""
    for at in (0, 1024, 2048):
        fields, rest = target.link.ask(m.CONFIG_GET, {"item": m.CONFIG_SIGNALS, "at": at})
        assert (fields["total"], fields["crc"]) == (2500, binascii.crc32(data))
        assert len(rest) == min(1024, 2500 - at)
        found += bytes(rest)
    assert found == data
    _, rest = target.link.ask(m.CONFIG_GET, {"item": m.CONFIG_SIGNALS, "at": 9999})
    assert bytes(rest) == b""
    fields, rest = target.link.ask(m.CONFIG_GET, {"item": 7, "at": 0})
    assert (fields["total"], bytes(rest)) == (0, b"")
