"""Two recordings on one axis: where the second begins, how long the car was off, what is shaded.

The log: frames at 0, 1 and 2 s, then 2 h later at 7200 and 7201 s. On the axis the second one
begins 5 s after the end of the first, at 7 s. Off: 7200 - 2 = 7198 s = 119.97 min.
"""

from types import SimpleNamespace

import pytest

from stagelog.ledger import BLOCK, Gap
from stagelog.profile import dbc_file, load_profile
from stagelog.report.charts import pauses
from stagelog.report.source import Health, read_source
from stagelog.report.stage import KeyCycle

S = 1_000_000
START_S = 1_769_000_000  # 2026-01-21 12:53:20 UTC


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    profile = load_profile("d7xr")
    lines = [
        f"({START_S + at_s}.000000) can0 {can_id:03X}#0000000000000000\n"
        for at_s in (0, 1, 2, 7200, 7201)
        for can_id in range(0x100, 0x200)
    ]
    path = tmp_path_factory.mktemp("cycles") / "two.log"
    path.write_text("".join(lines))
    return read_source([path], profile, dbc_file(profile))


def test_the_second_recording_begins_5_s_after_the_first(source):
    first, second = source.stage.key_cycles
    start_us = START_S * S
    assert (first.start_us, first.end_us) == (start_us, start_us + 2 * S)
    assert (second.start_us, second.end_us) == (start_us + 7 * S, start_us + 8 * S)
    assert (first.t_unix_us, second.t_unix_us) == (start_us, start_us + 7200 * S)
    assert (first.off_us, second.off_us) == (None, 7198 * S)
    assert source.stage.end_us == start_us + 8 * S


def test_the_pause_says_its_minutes(source):
    shaded = pauses(source.stage, source.health)
    assert shaded == [{"x0": 2.0, "x1": 7.0, "text": "power off for 120 min"}]


def test_a_pause_of_unknown_length_and_a_hole_are_shaded():
    """The hole is from 1 to 1.5 s; one whose end is not known has no width and is left out."""
    cycles = (KeyCycle(0, 2 * S), KeyCycle(7 * S, 8 * S))
    stage = SimpleNamespace(key_cycles=cycles, seconds=lambda t_us: t_us / S)
    gap = Gap(0, 1 * S, 1_500_000, 5, True, BLOCK)
    gaps = [(gap, "", 1 * S, 1_500_000), (gap, "", 1 * S, None), (gap, "", 3 * S, 3 * S)]
    assert pauses(stage, Health(gaps=gaps)) == [
        {"x0": 2.0, "x1": 7.0, "text": "power off"},
        {"x0": 1.0, "x1": 1.5, "text": BLOCK},
    ]
