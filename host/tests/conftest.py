"""The tests of the host run in a time zone that is not UTC: local time where UTC is meant fails.

Those of importers, exporters and the command line run twice, in Riyadh and in UTC: what a file
says must not depend on where the laptop stands.
"""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # tests import helpers, such as `stage_values`
ZONES = ("Asia/Riyadh", "UTC")
TWICE = (
    "test_api_convert",
    "test_cli_logs",
    "test_export_",
    "test_import_candump",
    "test_import_formats",
)


def pytest_generate_tests(metafunc):
    """Give the tests of the modules TWICE both zones."""
    if metafunc.module.__name__.rpartition(".")[2].startswith(TWICE):
        metafunc.parametrize("time_zone", ZONES, indirect=True, scope="module")


@pytest.fixture(autouse=True, scope="module")
def time_zone(request):
    """Set the time zone of this process and of those that it starts."""
    zone = getattr(request, "param", ZONES[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        if zone != "UTC" and time.timezone != -3 * 3600:  # no time zones on this machine
            patch.setenv("TZ", "<+03>-3")
            time.tzset()
        yield os.environ["TZ"]
    time.tzset()


@pytest.fixture(autouse=True, scope="session")
def mf4_by_fork():
    """MF4 files are read in forks of this process, where there is fork."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.platform == "linux":
            forked = importlib.import_module("forked_mf4")
            patch.setattr("stagelog.importers.mf4.subprocess", forked)
        yield


@pytest.fixture
def own_mf4_process(monkeypatch):
    """MF4 files are read in a process that is started for each, as everywhere but here."""
    monkeypatch.setattr("stagelog.importers.mf4.subprocess", subprocess)


@pytest.fixture
def figures(monkeypatch):
    """Return the figures that were saved meanwhile."""
    import matplotlib.figure

    saved = []
    save = matplotlib.figure.Figure.savefig

    def keep(figure, *args, **given):
        saved.append(figure)
        return save(figure, *args, **given)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return saved


STEP_US = 100_000
# A car that drives straight on at 72 km/h, 20 m/s, and lacks nothing: every signal with a limit.
CALM = {
    **dict.fromkeys(("WhlSpdFL", "WhlSpdFR", "WhlSpdRL", "WhlSpdRR"), 72.0),
    **dict.fromkeys(("DmpPosFL", "DmpPosFR", "DmpPosRL", "DmpPosRR"), 150.0),
    **dict.fromkeys(("DiffOilTempF", "DiffOilTempR", "TrfOilTemp", "TrnOilTempSump"), 80.0),
    **dict.fromkeys(("CoolantTemp", "Rad1In", "Rad2In", "Rad3In"), 90.0),
    **dict.fromkeys(("Rad1Out", "Rad2Out", "Rad3Out"), 75.0),
    **dict.fromkeys(("DmpTempFL", "DmpTempFR", "DmpTempRL1", "DmpTempRL2"), 60.0),
    **dict.fromkeys(("DmpTempRR1", "DmpTempRR2"), 60.0),
    **dict.fromkeys(("DiscTempFL", "DiscTempFR", "DiscTempRL", "DiscTempRR"), 200.0),
    **dict.fromkeys(("TyrPresFL", "TyrPresFR", "TyrPresRL", "TyrPresRR"), 220.0),
    **dict.fromkeys(("Fan1Curr", "Fan2Curr", "Fan3Curr", "Fan4Curr"), 20.0),
    **dict.fromkeys(("Fan1Duty", "Fan2Duty", "Fan3Duty", "Fan4Duty"), 30.0),
    **dict.fromkeys((f"KnkRetCyl{n}" for n in range(1, 9)), 0.0),
    **dict.fromkeys(("EgtB1Pre", "EgtB2Pre"), 700.0),
    **dict.fromkeys(("ChargeTempB1", "ChargeTempB2"), 40.0),
    **dict.fromkeys(("BoostB1", "BoostB2"), 150.0),
    "EngSpd": 3000.0,
    "TrnInSpd": 3000.0,
    "EngOilTemp": 100.0,
    "EngOilPres": 400.0,
    "FuelPresLo": 500.0,
    "CrankcasePres": 1.0,
    "AirFltDp": 1.0,
    "BattVolt": 14.0,
}


@pytest.fixture(scope="session")
def make_stage():
    """Return a function that makes a report's Stage of which a test chooses every value.

    make_stage(seconds, **signals)   a number, a function of the seconds, or None for no signal;
                                     ten samples a second from 0 on, what is not named is CALM
    make_stage.calm                  {signal: value}, CALM
    """
    import numpy as np

    from stagelog.dbc import load_database
    from stagelog.decode.tables import Decoded, MessageTable
    from stagelog.profile import dbc_file, load_profile
    from stagelog.report.stage import Stage

    profile = load_profile("d7xr")
    messages = load_database(dbc_file(profile)).messages

    def make(seconds=100.0, name="C01", flights=(), stuck=(), **signals):
        t_us = np.arange(0, round(seconds * 1e6) + 1, STEP_US, dtype=np.int64)
        tables = {}
        for signal, given in (CALM | signals).items():
            if given is None:
                continue
            values = given(t_us / 1e6) if callable(given) else np.full(len(t_us), float(given))
            message = next(m for m in messages if signal in {s.name for s in m.signals})
            if message.name not in tables:
                bus = np.zeros(len(t_us), np.uint8)
                tables[message.name] = MessageTable(message, t_us, bus)
            tables[message.name].signals[signal] = np.asarray(values, np.float64)
        return Stage(Decoded("phys", tables), profile, name, (), stuck, flights)

    make.calm = CALM
    return make


@pytest.fixture(scope="session")
def facts_of_stage(make_stage):
    """Return a function that gives the facts of a Stage, with events, of a log that is whole."""
    from stagelog.dbc import load_database
    from stagelog.events import compile_table
    from stagelog.profile import dbc_file, load_profile
    from stagelog.report.build import plain_facts, stage_facts
    from stagelog.report.source import Health, Source
    from stagelog.verdict import COMPLETE, Verdict

    profile = load_profile("d7xr")
    table = compile_table(profile, load_database(dbc_file(profile)))
    whole = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")

    def facts_of(stage, found=()):
        return plain_facts(stage_facts(Source(stage, Health([whole]), list(found), table, None)))

    return facts_of


@pytest.fixture
def sections(make_stage, facts_of_stage):
    """Return a function of what make_stage takes, and of events, that gives the sections."""

    def make(found=(), **given):
        return facts_of_stage(make_stage(**given), found)["sections"]

    return make


@pytest.fixture
def run(capsys):
    """Return a function of words that runs a verb: (exit code, what it printed, its errors)."""
    from stagelog.cli import main

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call
