"""Download and erase against a simulated logger in virtual time."""

import itertools

import numpy as np
import pytest
from made_replies import reply

from slog import messages as m
from slog.layout import BUS_ACTIVE, BUS_SILENT
from stagelog.archive import find_sessions
from stagelog.blocks import read_log
from stagelog.download import (
    FETCHED,
    HELD,
    choose_sessions,
    erase_held,
    facts_of,
    fetch_session,
    finish_running,
    is_held,
)
from stagelog.errors import DeviceError, UsageError
from stagelog.link import RequestError, positions_of
from stagelog.replies import Hello, Status
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import SimTarget


@pytest.fixture
def target(tmp_path):
    rig = SimTarget(tmp_path)
    rig.play(saturated_tape(500_000, 500_000))
    yield rig
    rig.close()


def stop(target):
    finish_running(target.link, always=True)
    return target.link.list_sessions()


def fetch(target, session, folder):
    return fetch_session(target.link, session, folder, facts_of(target.link.hello()))


def test_session_is_fetched_whole_and_once(target, tmp_path):
    session = stop(target)[0]
    one = fetch(target, session, tmp_path / "a")
    assert one.verdict == FETCHED and one.n_new == session.n_blocks and one.n_unread == 0
    assert one.entry.values["complete"] and one.entry.values["board"] == "sim"
    assert fetch(target, session, tmp_path / "a").verdict == HELD
    assert is_held(tmp_path, session).path == one.entry.path


def test_fetch_goes_on_behind_a_pulled_cable(target, tmp_path):
    session = stop(target)[0]
    whole = fetch(target, session, tmp_path / "whole").entry.path.read_bytes()
    whole_read = target.logger.read
    for n_reads in itertools.count(2, 3):
        left = [n_reads]

        def read(n, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise DeviceError("the cable is gone")
            return whole_read(n)

        target.logger.read = read
        try:
            one = fetch(target, session, tmp_path / "torn")
        except DeviceError:
            continue
        break
    target.logger.read = whole_read
    assert n_reads > 2
    assert one.entry.path.read_bytes() == whole
    assert one.n_new < session.n_blocks


def test_running_session_grows_in_the_archive(target, tmp_path):
    session = target.link.list_sessions()[0]
    assert session.running
    first = fetch(target, session, tmp_path / "a")
    assert not first.entry.values["complete"]
    target.play(saturated_tape(500_000, 500_000))
    session = stop(target)[0]
    second = fetch(target, session, tmp_path / "a")
    assert second.entry.path == first.entry.path
    assert second.n_new == session.n_blocks - first.session.n_blocks
    assert second.entry.values["complete"]
    assert len(find_sessions(tmp_path)) == 1


def test_erase_takes_only_what_the_archive_holds(target, tmp_path):
    sessions = stop(target)
    rows = list(erase_held(target.link, tmp_path, sessions))
    assert [entry for _, entry, _ in rows] == [None]
    fetch(target, sessions[0], tmp_path / "a")
    rows = list(erase_held(target.link, tmp_path, sessions))
    assert [text for _, _, text in rows] == ["erased"]
    assert target.link.list_sessions() == []


def test_erase_refuses_a_file_that_has_changed(target, tmp_path):
    sessions = stop(target)
    path = fetch(target, sessions[0], tmp_path / "a").entry.path
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    rows = list(erase_held(target.link, tmp_path, sessions))
    assert rows[0][1] is None and "SHA-256" in rows[0][2]
    assert len(target.link.list_sessions()) == 1


def test_logger_refuses_a_digest_that_is_not_its_own(target, tmp_path):
    session = stop(target)[0]
    with pytest.raises(DeviceError, match="digest"):
        list(target.link.erase(session, bytes(32)))
    assert target.link.list_sessions() == [session]


def test_erase_refuses_the_running_session(target, tmp_path):
    session = target.link.list_sessions()[0]
    with pytest.raises(DeviceError, match="refused"):
        list(target.link.erase(session, bytes(32)))


def test_sessions_after_an_erase_are_found_and_old_ones_gone(target, tmp_path):
    sessions = stop(target)
    fetch(target, sessions[0], tmp_path / "a")
    list(erase_held(target.link, tmp_path, sessions))
    target.power_cut()
    target.power_on()
    target.play(saturated_tape(500_000, 100_000))
    session = stop(target)[0]
    assert session.boot == 2 and len(target.link.list_sessions()) == 1
    path = fetch(target, session, tmp_path / "b").entry.path
    frames = np.concatenate(list(read_log(path).sessions[0].iter_frames()))
    assert len(frames) == len(saturated_tape(500_000, 100_000))


def test_running_session_is_closed_only_when_silent(target):
    assert finish_running(target.link) is None
    target.run_for(3_000_000)
    assert finish_running(target.link) == 1
    assert target.link.hello().state == m.STATE_IDLE


@pytest.mark.parametrize(("second", "stops"), [(BUS_ACTIVE, False), (BUS_SILENT, True)])
def test_a_logger_of_two_buses_is_silent_when_both_are(second, stops):
    class TwoBuses:
        stopped = ()

        def hello(self):
            return reply(Hello, m.HELLO_REPLY, state=m.STATE_RECORDING, boot=7)

        def status(self):
            states = {"bus_state0": BUS_SILENT, "bus_state1": second}
            return reply(Status, m.STATUS_REPLY, n_buses=2, **states)

        def control(self, *words):
            self.stopped = words

    link = TwoBuses()
    assert finish_running(link) == (7 if stops else None)
    assert link.stopped == ((m.CONTROL_STOP, 7) if stops else ())


def test_a_fetch_counts_the_blocks_that_came_and_those_that_are_held(target, tmp_path):
    """Half of the blocks come, then the cable is pulled; the rest comes, then nothing."""
    session = stop(target)[0]
    n, half = session.n_blocks, session.n_blocks // 2
    seen = []

    def pull(held, n_all):
        seen.append((held, n_all))
        if held == half:
            raise DeviceError("the cable is gone")

    with pytest.raises(DeviceError):
        fetch_session(target.link, session, tmp_path / "a", progress=pull)
    assert seen == [(k, n) for k in range(1, half + 1)]
    seen.clear()
    one = fetch_session(target.link, session, tmp_path / "a", progress=lambda *k: seen.append(k))
    assert one.n_new == n - half and seen == [(k, n) for k in range(half + 1, n + 1)]
    again = fetch_session(target.link, session, tmp_path / "a", progress=pull)
    assert (again.verdict, again.n_new, again.n_unread) == (HELD, 0, 0)


def test_choosing_a_boot_that_is_not_there(target):
    with pytest.raises(UsageError, match="boot 7"):
        choose_sessions(target.link.list_sessions(), (7,))


def test_logger_that_starts_anew_records(target):
    target.link.restart()
    target.run_for(500_000)
    assert target.link.hello().state == m.STATE_RECORDING
    assert len(target.link.list_sessions()) == 2


def test_lost_answers_of_a_run_are_asked_for_again(target):
    session = stop(target)[0]
    positions = positions_of(session)
    whole = dict(target.link.read_blocks(positions))
    read = target.logger.read
    n_reads = itertools.count()
    target.logger.read = lambda n: read(n) if next(n_reads) % 5 else read(n)[:3000]
    assert dict(target.link.read_blocks(reversed(positions))) == whole
    assert target.link.n_retries > 0 and list(whole) == positions


def test_a_place_outside_of_the_card_ends_a_run(target):
    end = stop(target)[0].data_end
    with pytest.raises(RequestError, match=f"block {end}: position outside"):
        list(target.link.read_blocks(range(end - 3, end + 3)))


def test_a_place_that_cannot_be_read_is_reported_and_costs_no_other(target):
    session = stop(target)[0]
    bad = positions_of(session)[3]
    card = target.app.board.card
    read = card.read

    def fail(sector, buf):
        if sector == target.app.store.extent.sector_of(bad) + 5:
            raise OSError("CRC")
        read(sector, buf)

    card.read = fail
    found = dict(target.link.read_blocks(positions_of(session)))
    assert [position for position, block in found.items() if block is None] == [bad]


@pytest.mark.parametrize("n_reads", range(0, 40, 3))
def test_a_card_that_is_pulled_out_while_it_is_read_is_reported(target, n_reads):
    session = stop(target)[0]
    store = target.app.store
    read = store.card.read
    left = [n_reads]

    def pull(sector, buf):
        left[0] -= 1
        if left[0] < 0:
            store.places.extent = None
            raise OSError("no card")
        read(sector, buf)

    store.card.read = pull
    with pytest.raises(RequestError, match="no usable card"):
        list(target.link.read_blocks(positions_of(session)))
    assert target.link.hello().state == m.STATE_IDLE


@pytest.mark.parametrize("request_", [(0, 4097, 1), (4000, 97, 1), (0, 64, 0), (0, 64, 65)])
def test_a_read_that_makes_no_sense_is_refused(target, request_):
    at, n, n_blocks = request_
    values = {"position": 4, "at": at, "n": n, "n_blocks": n_blocks}
    with pytest.raises(RequestError, match="not understood"):
        target.link.ask(m.READ, values)


def test_pieces_of_several_blocks_are_read(target):
    session = stop(target)[0]
    first = session.position
    blocks = [block for _, block in target.link.read_blocks([first, first + 1])]
    values = {"position": first, "at": 500, "n": 1000, "n_blocks": 2}
    target.link.send(m.READ, m.build(m.READ_REQUEST, values))
    for i, block in enumerate(blocks):
        kind, _, payload = target.link.receive(target.logger.clock() + 1)
        fields, data = target.link.parse(m.READ, payload)
        assert kind == m.READ | m.REPLY and fields["position"] == first + i
        assert bytes(data) == block[500:1500]


def test_logger_that_was_forgotten_records_again(target):
    stop(target)
    target.run_for(61_000_000)
    assert target.link.hello().state == m.STATE_RECORDING
