"""Values at a limit, each computed by hand: decimals, kinds of times, sources, hours."""

from types import SimpleNamespace

import numpy as np
import pytest

from stagelog.api import Drive
from stagelog.decode.origins import Origin, Origins
from stagelog.decode.tables import Decoded, MessageTable
from stagelog.export.csv import digits_of
from stagelog.export.mcap import schema_of
from stagelog.importers.candump import read_candump
from stagelog.importers.diagnostics import Diagnostics
from stagelog.report.health import health as health_section
from stagelog.report.source import Health
from stagelog.verdict import COMPLETE, Verdict


@pytest.mark.parametrize(("scale", "n_digits"), [(1e-9, 9), (1e-10, None), (0.25, 2), (10.0, 0)])
def test_a_scale_gives_up_to_nine_decimals(scale, n_digits):
    assert digits_of(SimpleNamespace(is_float=False, scale=scale, offset=0.0)) == n_digits


def test_the_last_source_address_of_j1939_is_a_source():
    """Address 255 on bus 1, in a key of 9 bits: (255 + 1) + 512 * 1."""
    source = np.array([255, 0], np.uint8)
    table = MessageTable(SimpleNamespace(name="EEC1"), np.arange(2), np.ones(2, np.uint8), source)
    origins = Origins()
    origins.add(Decoded("phys", {"EEC1": table}))
    assert origins.of("EEC1") == [Origin(1, 0), Origin(1, 255)]


@pytest.mark.parametrize(("n", "times"), [(7, "relative"), (8, "delta")])
def test_eight_lines_are_enough_to_know_differences(tmp_path, n, times):
    """Steps of 0.1 and 0.3 s by turns go down each second time; 4 * 0.1 + 4 * 0.3 = 1.6 s."""
    path = tmp_path / "x.log"
    steps = [0.1, 0.3] * 4
    path.write_text("".join(f"({step:.6f}) can0 123#00\n" for step in steps[:n]))
    frames, diagnostics = read_candump(path)
    assert diagnostics.times == times
    assert times == "relative" or frames["t_us"][-1] == 1_600_000


def test_one_log_without_a_wall_clock_makes_all_times_relative():
    drive = Drive([])
    drive.__dict__["_loaded"] = (None, [Diagnostics(times=t) for t in ("absolute", "relative")])
    assert drive.times == "relative"


@pytest.mark.parametrize(("seconds", "text"), [(3599, "59 min 59 s"), (3600, "1 h 00 min")])
def test_a_log_of_an_hour_is_said_in_hours(seconds, text):
    cycle = SimpleNamespace(start_us=0, end_us=seconds * 1_000_000)
    section = health_section(
        SimpleNamespace(key_cycles=[cycle]), Health([Verdict(COMPLETE, "COMPLETE")])
    )
    assert section["lines"][0].startswith(f"{text} in one key cycle")


def test_the_unit_stands_in_the_schema_of_mcap():
    units = {"EngSpd": "rpm", "Count": ""}
    message = SimpleNamespace(signal=lambda name: SimpleNamespace(unit=units[name]))
    table = SimpleNamespace(name="Engine", signals=units, message=message)
    assert schema_of(table)["properties"] == {
        "EngSpd": {"type": "number", "description": "rpm"},
        "Count": {"type": "number"},
    }
