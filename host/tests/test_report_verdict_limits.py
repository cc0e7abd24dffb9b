"""The verdict at its edges: half of the signals unseen, and where the critical alarm came first.

The stage is conftest.CALM, 72 km/h: 0.02 km a second.
"""

import dataclasses

import pytest

from slog import events as ev
from stagelog.dbc import load_database
from stagelog.events import Detected, compile_table
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import plain_facts, stage_facts
from stagelog.report.source import Health, Source
from stagelog.verdict import COMPLETE, Verdict

WHOLE = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")
BLIND = "The log does not say: too little of the car is in it."


@pytest.fixture(scope="module")
def table():
    profile = load_profile("d7xr")
    return compile_table(profile, load_database(dbc_file(profile)))


def verdict_of(stage, found, table):
    source = Source(stage, Health([WHOLE]), found, table, None)
    return plain_facts(stage_facts(source))["verdict"]


@pytest.mark.parametrize(("n_unseen", "is_blind"), [(23, False), (24, True)])
def test_half_of_an_even_number_of_limits_is_not_yet_too_little(
    make_stage, table, n_unseen, is_blind
):
    """47 signals of the profile have a limit; without that of the rear right disc 46, half 23."""
    profile = load_profile("d7xr")
    disc = dataclasses.replace(
        profile.alarm["disc"], signals=("DiscTempFL", "DiscTempFR", "DiscTempRL")
    )
    profile = dataclasses.replace(profile, alarm=profile.alarm | {"disc": disc})
    limits = sorted({name for alarm in profile.alarm.values() for name in alarm.signals})
    assert len(limits) == 46
    stage = make_stage(**dict.fromkeys(limits[:n_unseen]))
    stage.profile = profile
    verdict = verdict_of(stage, [], table)
    assert verdict["level"] == "warn" and (verdict["answer"] == BLIND) == is_blind


def test_the_place_of_a_row_is_that_of_its_first_critical_alarm(make_stage, table):
    """Left disc warned at 20 s, right one critical at 50 s and at 70 s: 50 s is km 1.0.

    The episode begins before its first message by the debounce of 2 s: 48 s, km 0.96.
    """
    number = {row[1]: n for n, row in table.alarms.items() if row[0] == "disc"}
    found = []
    for t_s, signal, state in (
        (20, "DiscTempFL", ev.WARNING),
        (30, "DiscTempFL", ev.CLEAR),
        (50, "DiscTempFR", ev.CRITICAL),
        (60, "DiscTempFR", ev.CLEAR),
        (70, "DiscTempFR", ev.CRITICAL),
        (80, "DiscTempFR", ev.CLEAR),
    ):
        found.append(Detected(t_s * 1_000_000, ev.ALARM + number[signal], state, 80_000, 72))
    (row,) = verdict_of(make_stage(), found, table)["reasons"]
    assert row["level"] == "bad" and row["why"].endswith("; first at km 1.0")
