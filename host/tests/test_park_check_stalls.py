"""A stall of the card in a session before is seen by the check after the next power-on."""

import re

from test_park_check import bus, unit_of

from stagelog.park.check import Check
from stagelog.park.unit import GOOD, WARN
from stagelog.rig.target import SimTarget


def test_a_stall_of_the_last_session_is_seen_at_the_next_power_on(tmp_path):
    """12 s, the card stalls from 4.0 to 7.5 s; a block is closed each 250 ms, so that its write
    begins at most 250 ms later and takes 3.25 to 3.5 s. Then power-on, and no stall.
    """
    target = SimTarget(tmp_path, stalls=[[4_000_000, 7_500_000]])
    target.play(bus(12))
    target.power_cut()
    target._args["stalls"] = []
    target.power_on()
    target.play(bus(1))
    unit = unit_of(target.link)
    check = Check(unit, None, tmp_path / "a", 0.0)
    check(target.link)
    (stall,) = (f for f in check.findings if f.topic == "stall")
    worst_ms = int(re.search(r"writes ([\d,]+) ms", stall.text)[1].replace(",", ""))
    assert stall.level == WARN and 3_250 <= worst_ms <= 3_510, stall
    target.close()


def test_a_stall_is_seen_behind_shorter_sessions(tmp_path):
    """As above, but two sessions of 11 s without a stall came after it and one before: some 44
    blocks each, fewer than the 240 that are enough to know a card.
    """
    stall = sessions_and_check(tmp_path, bus(11), ("stall", bus(12)), bus(11), bus(11))
    worst_ms = int(re.search(r"writes ([\d,]+) ms", stall.text)[1].replace(",", ""))
    assert stall.level == WARN and 3_250 <= worst_ms <= 3_510, stall


def test_a_stall_before_enough_good_writes_is_over(tmp_path):
    """A block is open for 250 ms and begins with a frame: at ten a second it takes 300 ms. 80 s
    are 266 writes, and 240 are enough to know a card.
    """
    quiet = bus(80, {0x100: 100})
    stall = sessions_and_check(tmp_path, ("stall", bus(12)), quiet)
    assert stall.level == GOOD, stall


def sessions_and_check(tmp_path, *tapes):
    """Record a session of each tape, with a stall of the card in the tuple's; return the finding
    of the check after the next power-on.
    """
    target = SimTarget(tmp_path)
    for tape in (*tapes, bus(1)):
        has_stall = isinstance(tape, tuple)
        target.power_cut()
        target._args["stalls"] = [[4_000_000, 7_500_000]] if has_stall else []
        target.power_on()
        target.play(tape[1] if has_stall else tape)
    check = Check(unit_of(target.link), None, tmp_path / "a", 0.0)
    check(target.link)
    (stall,) = (f for f in check.findings if f.topic == "stall")
    target.close()
    return stall
