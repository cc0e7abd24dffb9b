"""Sessions are erased as a host asks for it: the oldest one, with its digest, and no other."""

import hashlib
import random

from rig_play import SECOND_US, play
from service_requests import answers, block_on_card, stop

from slog import messages as m
from stagelog.link import positions_of


def erase(rig, session, digest, **changes):
    fields = ("device_id", "boot", "nonce", "first_seq", "n_blocks")
    values = {name: getattr(session, name) for name in fields}
    values.update(digest=digest, **changes)
    rig.link.send(m.ERASE, m.build(m.ERASE_REQUEST, values))
    return answers(rig, m.ERASE, 1)[0][0]


def digest_of(rig, session):
    headers = [block_on_card(rig, position)[:64] for position in positions_of(session)]
    return hashlib.sha256(b"".join(headers)).digest()


def until_done(rig, session, digest):
    for _ in range(50):
        reply = erase(rig, session, digest)
        if reply["status"] != m.PENDING:
            return reply
        rig.run_for(100_000)
    return reply


def test_an_erase_needs_the_digest_of_the_oldest_session(target):
    for _ in range(2):
        play(target, SECOND_US // 2)
        stop(target)
        target.app.control(m.CONTROL_START)
    stop(target)
    sessions = target.link.list_sessions()
    newest, oldest = sessions[0], sessions[-1]
    right = digest_of(target, oldest)
    almost = right[:-1] + bytes((right[-1] ^ 1,))
    for wrong in (bytes(32), almost):
        assert until_done(target, oldest, wrong)["status"] == m.WRONG_DIGEST
    assert until_done(target, newest, digest_of(target, newest))["status"] == m.WRONG_SESSION
    assert erase(target, oldest, right, device_id=b"another!")["status"] == m.REFUSED
    assert erase(target, oldest, right, n_blocks=oldest.n_blocks + 1)["status"] == m.WRONG_SESSION
    assert len(target.link.list_sessions()) == len(sessions)
    free = target.app.store.places.n_free
    reply = until_done(target, oldest, right)
    assert (reply["status"], reply["done_pct"]) == (m.OK, 100)
    assert reply["released_seq"] == oldest.first_seq + oldest.n_blocks
    assert target.app.store.places.n_free == free + oldest.n_blocks
    left = target.link.list_sessions()
    assert [x.nonce for x in left] == [x.nonce for x in sessions[:-1]]
    assert erase(target, oldest, right)["status"] == m.OK  # asked again: it is done


def test_sessions_are_erased_one_after_the_other(target):
    """The second begins with the very number up to which the first was released."""
    for _ in range(2):
        play(target, SECOND_US // 2)
        stop(target)
        target.app.control(m.CONTROL_START)
    stop(target)
    while sessions := target.link.list_sessions():
        oldest = sessions[-1]
        assert until_done(target, oldest, digest_of(target, oldest))["status"] == m.OK
        assert len(target.link.list_sessions()) == len(sessions) - 1


def test_an_erase_of_a_card_that_cannot_be_read_ends_and_can_be_asked_again(target):
    play(target)
    stop(target)
    (session,) = target.link.list_sessions()
    digest = digest_of(target, session)
    card = target.app.store.card
    real = card.read

    def fail(sector, buf):
        raise OSError("a bad sector")

    erase(target, session, digest)
    card.read = fail
    target.run_for(100_000)
    card.read = real
    assert erase(target, session, digest)["status"] == m.READ_ERROR
    assert until_done(target, session, digest)["status"] == m.OK


def test_of_an_empty_card_nothing_is_erased(target):
    stop(target)
    eraser = target.app.service._eraser
    play(target)
    asked = {"device_id": b"SIM00001", "boot": 1, "nonce": 7, "first_seq": 9, "n_blocks": 3}
    target.app.store.places.n_used = 0
    target.app.sessions.forget()
    assert eraser.answer({**asked, "digest": bytes(32)})["status"] == m.WRONG_SESSION


def test_without_a_card_nothing_is_erased(target):
    play(target)
    stop(target)
    (session,) = target.link.list_sessions()
    digest = digest_of(target, session)
    target.app.board.card.present = False
    target.app.control(m.CONTROL_START)
    play(target)
    reply = erase(target, session, digest)
    assert (reply["status"], reply["done_pct"]) == (m.NO_CARD, 0)


def test_the_running_session_is_not_erased(target):
    play(target)
    session = target.link.list_sessions()[0]
    assert erase(target, session, digest_of(target, session))["status"] == m.REFUSED


def test_the_only_session_is_erased_whole(target):
    play(target)
    stop(target)
    (session,) = target.link.list_sessions()
    assert until_done(target, session, digest_of(target, session))["status"] == m.OK
    assert target.link.list_sessions() == [] and target.app.store.places.n_used == 0


def test_the_card_is_not_read_while_it_is_written(target):
    """An older session is listed and its erase asked for while the next is recorded: what needs
    the card waits for the end of a write. A card in a write answers no read. What was listed
    and checked before is forgotten before each request, but for the last ones.
    """
    play(target, SECOND_US // 2)
    stop(target)
    (session,) = target.link.list_sessions()
    digest = digest_of(target, session)
    target.app.control(m.CONTROL_START)
    store, asked, read_amid = target.app.store, [], []
    real, answer = store.card.read, target.app.service._take

    def read(sector, buf):
        read_amid.append(store.is_writing)
        real(sector, buf)

    def take(kind, request, payload):
        asked.append((kind, store.is_writing))
        if len(asked) < 80:
            target.app.sessions.forget()
            target.app.service._eraser._check = None
        answer(kind, request, payload)

    store.card.read = read
    target.app.service._take = take
    fields = ("device_id", "boot", "nonce", "first_seq", "n_blocks")
    values = {**{name: getattr(session, name) for name in fields}, "digest": digest}
    place = {"position": session.position, "at": 0, "n": 4096, "n_blocks": 2}
    requests = (
        (m.ERASE, m.build(m.ERASE_REQUEST, values)),
        (m.LIST, b"\0\0"),
        (m.READ, m.build(m.READ_REQUEST, place)),
    )
    found, dice = [], random.Random(1)
    for i in range(110):
        target.link.send(*requests[i % 3])
        play(target, dice.randrange(20_000, 40_000))
        found += answers(target, m.ERASE, 1, 0.0)
    amid = {kind for kind, is_writing in asked if is_writing}
    assert amid == {m.ERASE, m.LIST, m.READ}, "no request came amid a write"
    assert read_amid and not any(read_amid)
    assert found[-1][0]["status"] == m.OK


def stopped_with_one_session(target):
    """Return the eraser and what an ERASE of the only session asks."""
    play(target)
    stop(target)
    (session,) = target.link.list_sessions()
    fields = ("device_id", "boot", "nonce", "first_seq", "n_blocks")
    asked = {name: getattr(session, name) for name in fields}
    return target.app.service._eraser, {**asked, "digest": digest_of(target, session)}


def test_an_erase_reads_eight_headers_a_step_and_tells_how_far_it_is(target):
    """Of n blocks 8 are 99 x 8 / n per cent; 100 is said only of what is erased."""
    eraser, asked = stopped_with_one_session(target)
    n = asked["n_blocks"]
    assert n > 16
    reply = eraser.answer(asked)
    assert (reply["status"], reply["done_pct"]) == (m.PENDING, 0) and eraser.has_work
    for done in range(8, n, 8):
        eraser.step()
        reply = eraser.answer(asked)
        assert (reply["status"], reply["done_pct"]) == (m.PENDING, 99 * done // n)
    eraser.step()
    for _ in range(2):  # the mark waits for the store
        reply = eraser.answer(asked)
        assert (reply["status"], reply["done_pct"]) == (m.PENDING, 99)
        assert target.app.store.release_waits and not eraser.has_work
    target.run_for(SECOND_US // 10)
    reply = eraser.answer(asked)
    assert (reply["status"], reply["done_pct"]) == (m.OK, 100)


def test_an_erase_of_something_else_amid_a_check_is_judged_for_itself(target):
    eraser, asked = stopped_with_one_session(target)
    eraser.answer(asked)
    eraser.step()
    for name in ("boot", "nonce", "first_seq", "n_blocks"):
        assert eraser.answer({**asked, name: asked[name] + 1})["status"] == m.WRONG_SESSION, name
    assert eraser.answer(asked)["status"] == m.PENDING


def test_a_wrong_digest_ends_its_check(target):
    """Asked again with the right one, all headers are read anew."""
    eraser, asked = stopped_with_one_session(target)
    wrong = {**asked, "digest": bytes(32)}
    eraser.answer(wrong)
    for _ in range(asked["n_blocks"] // 8 + 1):
        eraser.step()
    assert eraser.answer(wrong)["status"] == m.WRONG_DIGEST and not eraser.has_work
    reply = eraser.answer(asked)
    assert (reply["status"], reply["done_pct"]) == (m.PENDING, 0)


def test_headers_are_read_after_the_write_that_is_under_way(target):
    """The card hangs in a write: none is read until that ends, after 10 s at the latest."""
    eraser, asked = stopped_with_one_session(target)
    target.app.control(m.CONTROL_START)
    play(target, SECOND_US // 2)
    assert eraser.answer(asked)["done_pct"] == 0  # the session is known from now on
    eraser._check = None
    target.app.board.card.stalls.append((0, 1 << 40))
    while not target.app.store.is_writing:
        play(target, SECOND_US // 100)
    assert eraser.answer(asked)["status"] == m.PENDING and eraser.has_work
    target.run_for(SECOND_US)
    assert target.app.store.is_writing and eraser.answer(asked)["done_pct"] == 0
    target.app.board.card.stalls.clear()
    target.run_for(12 * SECOND_US)
    assert eraser.answer(asked)["status"] == m.OK or not eraser.has_work


def test_a_session_that_begins_during_the_check_is_not_erased(target):
    """Between the first ERASE and the last header of its digest the next session stores its first
    block. The mark names the first number of that session, whose blocks nobody has fetched.
    """
    eraser, asked = stopped_with_one_session(target)
    first_kept = asked["first_seq"] + asked["n_blocks"]
    target.app.control(m.CONTROL_START)
    assert eraser.answer(asked)["status"] == m.PENDING
    play(target, SECOND_US // 2)
    while eraser.has_work and eraser._check.done < asked["n_blocks"]:
        eraser.step()
    eraser.answer(asked)
    target.run_for(SECOND_US // 10)
    assert target.app.store.extent.released_seq == first_kept
    stop(target)
    (kept,) = target.link.list_sessions()
    assert kept.first_seq == first_kept
