"""The first section of a report: the logger's own account, from ledgers made by hand here.

The stage is conftest.CALM, 72 km/h for 100 s: 30 s in is km 0.6.
"""

import pytest

from stagelog.ending import POWER_OFF, End
from stagelog.ledger import BLOCK, POWER_CUT, RING_FULL, BusLedger, Gap, Ledger
from stagelog.report.build import plain_facts
from stagelog.report.health import health, lost_text, utc_text
from stagelog.report.source import Health
from stagelog.report.stage import KeyCycle
from stagelog.verdict import COMPLETE, FOREIGN, INCOMPLETE, Verdict

WHOLE = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")
TORN = Verdict(INCOMPLETE, "INCOMPLETE: 12 frames are not here")


def ledger(*buses, gaps=(), breaks=()):
    return Ledger("e660-1-2", buses, tuple(gaps), tuple(breaks), 9, 0, End(POWER_OFF), 250)


def made(stage, given):
    """Return the section as --json prints it, with its level."""
    section = health(stage, given)
    facts = {
        "sections": [section],
        "title": "",
        "subtitle": "",
        "log": {},
        "note": "",
        "tiles": [],
    }
    facts["verdict"] = {"reasons": {"rows": [], "columns": []}}
    return section["level"], plain_facts(facts)["sections"]["health"]


def tables(section):
    return {table["title"]: table["rows"] for table in section["tables"]}


def test_a_whole_log(make_stage):
    """1,000 frames seen are stored and held; bus 1 saw none and is left out."""
    bus = BusLedger(0, 1000, 1000, 0, 0, 0)
    silent = BusLedger(1, 0, 0, 0, 0, 0)
    given = Health([WHOLE], ledgers=[ledger(bus, silent)], clock="set by host", n_said=1234)
    given.n_frames = 1000
    level, section = made(make_stage(), given)
    assert level == "good" and section["note"] == f"{WHOLE.text}."
    assert section["lines"] == [
        "1 min 40 s in one key cycle, 1,000 frames",
        "nothing dropped, nothing lost",
        "wall clock set by host",
        "the car recorded 1,234 events on board",
    ]
    assert section["details"] == [] and list(tables(section)) == [
        "Frames: seen = stored + dropped + lost"
    ]
    assert section["tables"][0]["rows"] == [
        {
            "session": "e660-1-2",
            "bus": 0,
            "seen_frames": 1000,
            "stored_frames": 1000,
            "held_here_frames": 1000,
            "dropped_frames": 0,
            "lost_at_least_frames": 0,
            "missing_frames": 0,
            "level": "good",
        }
    ]


def test_what_is_lost_is_said_in_frames(make_stage):
    """Bus 0: 1,000 stored of which 990 are held, 5 dropped; bus 1: 7 or more lost in hardware."""
    buses = BusLedger(0, 1000, 990, 10, 5, 0), BusLedger(1, 50, 50, 0, 0, 7)
    given = Health([TORN], ledgers=[ledger(*buses, breaks=["block 9: wrong"])])
    given.damaged = ["block 3: CRC", "block 4: CRC"]
    given.n_unknown, given.n_frames, given.mixed = 26, 1040, ["Engine comes on two buses"]
    level, section = made(make_stage(), given)
    assert level == "bad"
    assert section["note"] == f"{TORN.text}. Every hole that is known is listed."
    text = "5 dropped, 7 or more lost in hardware, 10 missing from the file, 2 damaged blocks"
    assert section["lines"] == [
        "1 min 40 s in one key cycle, 1,040 frames",
        f"lost: {text}",
        "wall clock not known: times are since power-on",
        "the car recorded no events on board",
        "Engine comes on two buses",
        "2.5 % of the frames are not in the DBC",  # 26 of 1,040
    ]
    assert lost_text(given) == text
    assert section["details"] == ["block 3: CRC", "block 4: CRC", "block 9: wrong"]
    first, second = section["tables"][0]["rows"]
    assert (first["seen_frames"], first["level"]) == (1005, "bad")
    assert (second["seen_frames"], second["lost_at_least_frames"]) == (57, 7)
    assert second["level"] == "bad"
    given.damaged = ["block 3: CRC"]
    assert lost_text(given).endswith(", 1 damaged block")


def test_the_log_of_another_recorder(make_stage):
    given = Health([Verdict(FOREIGN, "foreign log: nobody counted")], recorder="blf")
    level, section = made(make_stage(), given)
    assert level == "warn"
    assert section["note"] == "foreign log: nobody counted. The log is of another recorder (blf)."
    assert section["lines"] == ["1 min 40 s in one key cycle, 0 frames"]
    assert "tables" not in section or section["tables"] == []


def test_every_hole_has_a_row(make_stage):
    """From 30 s to 31.25 s on bus 0; at the end, of all buses; one whose start is not known."""
    gaps = [
        (Gap(0, 1, 2, 1200, True, BLOCK), "blocks 3 to 7", 30_000_000, 31_250_000),
        (Gap(1, 1, 2, 9, False, RING_FULL), "too slow", None, 45_000_000),
        (Gap(None, 1, None, None, False, POWER_CUT), "power off", 100_000_000, None),
        (Gap(None, None, None, None, False, BLOCK), "nobody knows", None, None),
    ]
    level, section = made(make_stage(), Health([TORN], gaps=gaps))
    block, ring, cut, unknown = tables(section)["Holes"]
    assert block == {
        "hole": BLOCK,
        "bus": 0,
        "at_km": pytest.approx(0.6),
        "after_min": 0.5,
        "for_s": 1.25,
        "lost_frames": 1200,
        "is_exact": True,
        "in_words": "blocks 3 to 7",
        "level": "bad",
        "t_s": 30.0,
    }
    assert (ring["bus"], ring["t_s"], ring["for_s"]) == (1, 45.0, None)
    assert (ring["lost_frames"], ring["is_exact"], ring["level"]) == (9, False, "bad")
    assert (cut["bus"], cut["at_km"], cut["lost_frames"]) == (None, pytest.approx(2.0), None)
    assert "level" not in cut and (unknown["at_km"], unknown["after_min"]) == (None, None)


def test_key_cycles_have_their_times_and_ways(make_stage):
    """0 to 40 s, 0.8 km; then 55 s to 100 s, 0.9 km, 30 min later. 1769000000 is 12:53:20 UTC."""
    stage = make_stage()
    stage.key_cycles = (
        KeyCycle(0, 40_000_000, 7, 1_769_000_000_000_000),
        KeyCycle(55_000_000, 100_000_000, 8, None, 30 * 60_000_000),
    )
    _, section = made(stage, Health([WHOLE]))
    assert section["lines"][0] == "1 min 25 s in 2 key cycles, 0 frames"
    first, second = tables(section)["Key cycles"]
    assert first == {
        "key_cycle": "boot 7",
        "began_utc": "2026-01-21 12:53",
        "off_before_it_min": None,
        "in_this_log_after_min": 0.0,
        "recorded_min": pytest.approx(40 / 60, abs=1e-6),
        "driven_km": pytest.approx(0.8),
        "t_s": 0.0,
    }
    assert (second["key_cycle"], second["began_utc"], second["off_before_it_min"]) == (
        "boot 8",
        None,
        30.0,
    )
    assert second["in_this_log_after_min"] == pytest.approx(55 / 60, abs=1e-6)
    assert (second["driven_km"], second["recorded_min"]) == (pytest.approx(0.9), 0.75)


def test_times_of_day_are_utc():
    assert utc_text(1_769_000_000_999_999) == "2026-01-21 12:53"
