"""The first look: counters from the last blocks, windows by time and by event.

Blocks are packed by hand with the events that a logger would have written; what a summary must say
is added up in the comments.
"""

import struct

import numpy as np
import pytest

from slog import event_names as names
from slog import events as ev
from slog import messages as m
from stagelog.blocks import read_log
from stagelog.errors import UsageError
from stagelog.events import load_events
from stagelog.park import peek, windows
from stagelog.park.summary import Summarise, level_of, text_of, text_of_marks
from stagelog.park.unit import BAD, GOOD, WARN, Unit
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import SimTarget

ZERO = {row[0]: (0, 0) for row in names.SUMMARY_ITEMS}
CLEAN = {"n_stored": 1000, "n_dropped": 0, "n_at_least": 0}


@pytest.fixture
def logger(tmp_path):
    """A logger that has recorded 4 s of a full bus, its events written by hand: counters after
    1 s and after 3.5 s, a flight that landed after 2 s, an alarm after 3 s; (target, link).
    """
    target = SimTarget(tmp_path, settings={"car": "C01", "buses": [{"bitrate_bps": 500_000}]})
    tape = saturated_tape(500_000, 500_000)
    steps = {
        2: lambda put: counters(put, distance_m=(500, 0), flights=(1, 400)),
        4: lambda put: put(ev.FLIGHT, ev.LANDED, 840, 910 | 2 << ev.SEVERITY_SHIFT),
        6: lambda put: put(ev.ALARM + 3, 1, 12_345, 0),
        7: lambda put: counters(
            put, distance_m=(42_300, 0), flights=(12, 840), landings_light=(8, 910),
            landings_hard=(3, 0), diff_front_max=(10_140, 0), diff_rear_max=(13_320, 0),
            alarm_warning_s=(25, 2)),
    }  # fmt: skip
    for half in range(8):
        target.play(tape)
        if half in steps:
            steps[half](lambda *values: put_event(target.app, *values))
    target.run_for(300_000)
    yield target, target.link
    target.close()


def put_event(app, code, state, value, extra):
    app._data[:] = struct.pack("<iI", value, extra)
    clock = app.board.clock
    app.board.ring.put_meta(clock.lo, clock.hi, 5, code | state << 16, 0, app._data)


def counters(put, **given):
    for number, row in enumerate(names.SUMMARY_ITEMS):
        put(ev.SUMMARY + number, 1, *given.get(row[0], (0, 0)))


def test_a_summary_says_what_the_newest_counters_say(logger):
    target, link = logger
    unit = Unit("00" * 8, "C01")
    unit.hello = link.hello()
    t_us = target.now_us
    done = Summarise(unit)(link)
    assert target.now_us - t_us < 10_000_000, "within 10 s"
    assert done.verdict == WARN  # three landed hard
    assert done.text.startswith(
        "42.3 km; 12 jumps, 3 hard, 0 severe, longest 0.84 s, peak 9.1 g; "
        "differentials 101 and 133 degC; alarms 25 s warning, 0 s critical; "
    )
    status = link.status()
    assert f"{status.stored0 + status.stored1:,} frames stored, 0 lost" in done.text
    assert [e["name"] for e in done.facts["last_events"]] == ["flight", "alarm"]
    assert target.app.state == m.STATE_RECORDING and len(link.list_sessions()) == 1


@pytest.mark.parametrize(
    ("counter", "ledger", "level"),
    [
        ({}, {}, GOOD),
        ({"landings_medium": (5, 0)}, {}, GOOD),
        ({"landings_hard": (1, 0)}, {}, WARN),
        ({"landings_severe": (1, 0)}, {}, BAD),
        ({"alarm_warning_s": (1, 0)}, {}, WARN),
        ({"alarm_critical_s": (1, 0)}, {}, BAD),
        ({}, {"n_dropped": 1}, WARN),
        ({}, {"n_at_least": 1}, WARN),
    ],
)
def test_red_flags(counter, ledger, level):
    assert level_of(ZERO | counter, CLEAN | ledger) == level


def test_a_summary_without_counters_says_so():
    assert text_of({}, CLEAN | {"n_at_least": 7}) == (
        "no counters in its last blocks (no signal table?); 1,000 frames stored, 7 or more lost"
    )


@pytest.mark.parametrize(
    ("text", "us"), [("30s", 30e6), ("5min", 300e6), ("1.5h", 5400e6), ("2 min", 120e6)]
)
def test_a_span_by_hand(text, us):
    assert windows.span_us(text) == us


@pytest.mark.parametrize("text", ["", "5", "five min", "-1s", "1e3s", "5 m"])
def test_no_span(text):
    with pytest.raises(UsageError):
        windows.span_us(text)


def log_of(content, tmp_path):
    path = tmp_path / "window.slog"
    path.write_bytes(content)
    return read_log(path).sessions[0]


def test_a_block_is_found_by_its_time(logger):
    """Against all headers, read one after the other."""
    _, link = logger
    session = link.list_sessions()[0]
    times = np.array([peek.time_of_block(link, session, k) for k in range(session.n_blocks)])
    assert (np.diff(times) > 0).all() and len(times) > 20
    for t_us in (*times[[0, 1, 7, -1]], times[3] + 1, times[4] - 1, 0, times[-1] + 10**9):
        expected = max(0, int(np.searchsorted(times, t_us, side="right")) - 1)
        assert peek.find_block(link, session, int(t_us)) == expected, t_us


def test_the_last_second_is_fetched_and_no_more(logger, tmp_path):
    _, link = logger
    sessions = link.list_sessions()
    session, window = windows.last_window(link, sessions, 1_000_000)
    found = log_of(windows.fetch_window(link, session, window), tmp_path)
    frames = found.read_frames()
    late = frames["t_us"][frames["t_us"] > 1_000_000]
    whole = peek.last_time(link, session)
    assert late.min() <= whole - 1_000_000 < late.min() + 300_000  # one flush of 250 ms at most
    assert found.n_blocks < session.n_blocks / 2


def test_around_an_event(logger, tmp_path):
    _, link = logger
    sessions = link.list_sessions()
    found = windows.find_event(link, sessions, "landed")
    assert (found.facts["airtime_ms"], found.facts["peak_g"]) == (840, 9.1)
    window = peek.window_of(link, found.session, found.t_us - 300_000, found.t_us + 300_000)
    part = log_of(windows.fetch_window(link, found.session, window), tmp_path)
    times = part.read_frames()["t_us"]
    assert ((times > found.t_us - 300_000) & (times < found.t_us + 300_000)).sum() > 1000
    assert any(e.code == ev.FLIGHT for e in load_events(part))
    assert windows.find_event(link, sessions, "alarm").facts["value"] == 123.45
    with pytest.raises(UsageError, match="has an event roll_over"):
        windows.find_event(link, sessions, "roll_over")


def test_an_unreadable_place_costs_its_block_only(logger):
    target, link = logger
    session = link.list_sessions()[0]
    expected = [peek.find_block(link, session, t) for t in (1_000_000, 2_000_000, 3_000_000)]
    with open(target.card_path, "r+b") as file:
        for number in range(4, session.n_blocks, 3):
            file.seek((session.position + number) * 4096)
            file.write(bytes(64))
    got = [peek.find_block(link, session, t) for t in (1_000_000, 2_000_000, 3_000_000)]
    assert all(abs(a - b) <= 3 for a, b in zip(expected, got, strict=True))
    assert Summarise(_unit(link))(link).text
    part = peek.read_part(link, session, [peek.Window(0, session.n_blocks)])
    assert part is not None and part.n_blocks < session.n_blocks


def _unit(link):
    unit = Unit("00" * 8, "C01")
    unit.hello = link.hello()
    return unit


def test_marks_are_counted_in_words():
    button = {"name": "mark", "state": "button", "text": ""}
    host = {"name": "mark", "state": "host", "text": "km 40"}
    assert text_of_marks([{"name": "flight"}]) == ""
    assert text_of_marks([button]) == "; 1 mark in its last blocks, the last by button"
    assert text_of_marks([button, host]) == "; 2 marks in its last blocks, the last 'km 40'"


def test_what_a_full_card_did_not_take_is_lost(tmp_path):
    """A card of 92 places for data, 8 s of a full bus: what is not in the file was lost, and the
    two together are what was sent.
    """
    target = SimTarget(tmp_path, card_blocks=96)
    tape = saturated_tape(500_000, 1_000_000)
    for _ in range(8):
        target.play(tape)
    target.link.control(m.CONTROL_STOP, target.link.hello().boot)
    target.run_for(500_000)
    outcome = Summarise(Unit("1", "C01")).of_sessions(target.link, target.link.list_sessions())
    n_held = len(read_log(target.card_path).sessions[-1].read_frames())
    target.close()
    ledger = outcome.facts["ledger"]
    assert ledger["n_stored"] == n_held and n_held < 92 * 252
    assert ledger["n_stored"] + ledger["n_dropped"] == 8 * len(tape)
