"""A mark by the board's button, one by a host, one by a rule of the profile: in the log, found
before it is downloaded, and never at the cost of a frame.
"""

import numpy as np
import pytest

from stagelog.blocks import read_log
from stagelog.dbc import load_database
from stagelog.events import load_events, read_events
from stagelog.events.rules import SessionRules
from stagelog.park.peek import window_of
from stagelog.park.windows import fetch_window, find_event
from stagelog.profile.limits import Mark
from stagelog.rig.play import same_frames, saturated_tape
from stagelog.rig.target import SimTarget, tape_events

BUS_us = 3_000_000
SEEN_us = 2_500_000
BUTTON_ID = 0x5A5  # of a button on the bus; the tape has no such frame
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 1445 Button: 8 ECU
 SG_ Pressed : 0|8@1+ (1,0) [0|0] "" ECU
"""
TEXT = "K\u00fchler, km 40 \x1b[31m"
SHOWN = "K\u00fchler, km 40  [31m"  # nothing that a terminal obeys


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """A logger on a full bus: after 1 s its button for 50 ms, 0.5 s later a mark of a host; after
    2.5 s four frames of a button on the bus.
    """
    target = SimTarget(tmp_path_factory.mktemp("marked"))
    board = target.app.board
    try:
        tape = saturated_tape(500_000, BUS_us)
        pressed = tape[:4].copy()
        pressed["can_id"] = BUTTON_ID
        pressed["t_us"] = [SEEN_us, SEEN_us + 5_000, SEEN_us + 10_000, SEEN_us + 15_000]
        both = np.concatenate([tape, pressed])
        both = both[np.argsort(both["t_us"], kind="stable")]
        start_us = target.now_us
        target.logger.world.add_events(tape_events(both, start_us))
        target.run_for(1_000_000)
        press_us = target.now_us
        board.button_level = 0
        target.run_for(50_000)
        board.button_level = 1
        target.run_for(450_000)
        assert target.link.mark(TEXT) == 2
        target.run_for(2_500_000)
        yield target, tape, press_us, start_us + SEEN_us
    finally:
        target.close()


def test_button_and_host_mark_a_log_that_loses_nothing(marked):
    """The button's mark 20 ms after the press, when its level has stood for so long."""
    target, tape, press_us, _ = marked
    session = read_log(target.card_path).sessions[-1]
    marks = [facts for facts in read_events(load_events(session)) if facts["name"] == "mark"]
    assert [(m["state"], m["number"], m["text"]) for m in marks] == [
        ("button", 1, ""),
        ("host", 2, SHOWN),
    ]
    pressed, asked = (facts["t_us"] - press_us for facts in marks)
    assert 20_000 <= pressed < 30_000 and 500_000 <= asked < 600_000
    frames = session.read_frames()
    assert same_frames(tape, frames[frames["can_id"] != BUTTON_ID])


def test_a_mark_is_found_on_the_logger_before_the_download(marked, tmp_path):
    """By its source, by its text, by the rule that sets it when the button on the bus is seen."""
    target, _, press_us, seen_us = marked
    sessions = target.link.list_sessions()

    def find(name, rules=None):
        return find_event(target.link, sessions, name, rules=rules)

    assert find("mark").facts["text"] == SHOWN
    assert find("button").facts["number"] == 1
    assert find(SHOWN.upper()).facts["number"] == 2
    (tmp_path / "x.dbc").write_text(DBC)
    database = load_database(tmp_path / "x.dbc")
    rules = SessionRules({"driver": Mark(message="Button")}, database)
    found = find("driver", rules)
    assert 0 <= found.t_us - seen_us < 20_000 and found.facts["state"] == "rule"
    assert find("mark", rules).facts["text"] == "driver"
    window = window_of(target.link, found.session, found.t_us - 100_000, found.t_us + 100_000)
    part = tmp_path / "part.slog"
    part.write_bytes(fetch_window(target.link, found.session, window))
    assert BUTTON_ID in read_log(part).sessions[0].read_frames()["can_id"]


def test_a_mark_of_a_host_is_found_over_the_cable_of_each_target(target, tmp_path):
    """Half a second of a bus, a mark, half a second more: the mark lies between, none is lost."""
    tape = saturated_tape(500_000, 500_000)
    target.play(tape)
    assert target.link.mark(TEXT) == 1
    target.play(tape)
    target.run_for(600_000)
    sessions = target.link.list_sessions()
    found = find_event(target.link, sessions, "mark")
    assert (found.facts["state"], found.facts["number"], found.facts["text"]) == ("host", 1, SHOWN)
    assert find_event(target.link, sessions, SHOWN.upper()).t_us == found.t_us
    window = window_of(target.link, found.session, found.t_us - 900_000, found.t_us + 900_000)
    part = tmp_path / "part.slog"
    part.write_bytes(fetch_window(target.link, found.session, window))
    t_us = read_log(part).sessions[0].read_frames()["t_us"]
    assert t_us[0] < found.t_us < t_us[-1]
    status = target.link.status()
    assert status.buses[0].stored == 2 * len(tape) and not status.buses[0].dropped


@pytest.mark.needs("button")
def test_the_button_of_the_board_is_one_mark_for_each_press(target):
    """Pressed for 60 ms, twice; 5 ms between are a contact that bounces, by hand one mark each:
    a level counts when it stood for 20 ms.
    """
    target.run_for(100_000)
    for _ in range(2):
        target.button(True)
        target.run_for(5_000)
        target.button(False)
        target.run_for(5_000)
        target.button(True)
        target.run_for(60_000)
        target.button(False)
        target.run_for(100_000)
    target.run_for(600_000)
    found = find_event(target.link, target.link.list_sessions(), "button")
    assert (found.facts["state"], found.facts["number"]) == ("button", 2)
