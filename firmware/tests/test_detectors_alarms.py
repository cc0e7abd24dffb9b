"""Alarms against numbers worked out by hand: when one comes, goes, waits and is said.

The tables are those of `hand_table`: a value that is sent from 0.1 s x k on is judged from tick
10 (k + 1) on, ten ticks apart, so N judgements in a row end at tick 10 (k + N).
"""

import pytest
from hand_alarms import ABOVE, ALARM, WHEELS, car_of
from hand_table import GOOD_HIGH, MISSING, Car

from slog import events as ev
from slog import signal_table as st


def test_above_comes_after_its_debounce_and_not_on_the_limit():
    car = car_of({**ABOVE, "in_warning": 51, "in_critical": 31})
    car.drive(10, s0=120)  # 120 is not above 120
    assert car.of(ALARM) == [] and car.events.alarms.level[0] == 0
    car.drive(5, s0=121)  # frame 100 on: judged at ticks 1010, 1020.. 1510: 51 judgements
    assert car.events.alarms.level[0] == 0
    car.drive(5)
    assert car.of(ALARM) == [(1510, ev.WARNING, 121)]
    assert car.events.alarms.level[0] == 1


def test_above_becomes_critical_after_its_own_debounce():
    car = car_of({**ABOVE, "in_warning": 51, "in_critical": 31})
    car.drive(10, s0=100)
    car.drive(10, s0=141)  # above both: critical is sooner, ticks 1010 to 1310
    assert car.of(ALARM) == [(1310, ev.CRITICAL, 141)]
    assert car.events.alarms.level[0] == 2


def test_critical_follows_warning_at_once_although_something_was_just_said():
    car = car_of({**ABOVE, "in_warning": 1, "in_critical": 11})
    car.drive(1, s0=100)
    car.drive(2, s0=130)  # frame 10: warning at tick 110
    car.drive(60, s0=150)  # frame 30: judged from tick 310, the eleventh at 410
    assert car.of(ALARM) == [(110, ev.WARNING, 130), (410, ev.CRITICAL, 150)]


def test_critical_again_after_it_was_reported_waits_for_the_minute():
    """Critical, over after 1 s, critical again at once: nothing new to say."""
    car = car_of(ABOVE)
    car.drive(1, s0=150)
    for _ in range(20):
        car.drive(1, s0=100)
        car.drive(1, s0=150)
    assert car.of(ALARM) == [(10, ev.CRITICAL, 150)]


def test_below_comes_under_its_limit_and_clears_above_it():
    """Limits are kept as negatives: below 450 is -v > -450; back is 450 + 25."""
    car = car_of({"kind": st.BELOW, "warning": -450, "critical": -400, "clear": 25, "out": 3})
    car.drive(1, s0=450)
    assert car.events.alarms.level[0] == 0
    car.drive(1, s0=449)
    assert car.events.alarms.level[0] == 1
    car.drive(1, s0=399)
    assert car.events.alarms.level[0] == 2
    car.drive(60, s0=475)  # -475 is not below -450 - 25
    assert car.events.alarms.level[0] == 1  # but below -400 - 25: no longer critical
    car.drive(1, s0=476)
    assert car.events.alarms.level[0] == 0
    assert car.of(ALARM)[:2] == [(110, ev.WARNING, 449), (210, ev.CRITICAL, 399)]


@pytest.mark.parametrize(
    ("raw", "level"),
    [(141, 2), (140, 2), (136, 2), (135, 2), (134, 1), (121, 1), (115, 1), (114, 0), (0, 0)],
)
def test_levels_go_back_by_clear_past_the_limit(raw, level):
    """From critical: critical stays down to 140 - 5, warning down to 120 - 5."""
    car = car_of({**ABOVE, "out": 11})
    car.drive(1, s0=141)
    assert car.events.alarms.level[0] == 2
    car.drive(10, s0=raw)
    assert car.events.alarms.level[0] == level


def test_noise_between_the_limits_changes_nothing():
    """116 to 120 is inside the hysteresis: it neither comes from below nor goes from above."""
    car = car_of(ABOVE)
    car.drive(10, s0=lambda k: (116, 120)[k % 2])
    assert car.of(ALARM) == [] and car.events.alarms.level[0] == 0
    car.drive(1, s0=121)
    car.drive(100, s0=lambda k: (116, 120)[k % 2])
    assert car.events.alarms.level[0] == 1
    assert [state for _, state, _ in car.of(ALARM)] == [ev.WARNING]


def test_noise_on_the_limit_comes_once_and_stays():
    """122, 118, 122..: above 120 every other time, never under 115. One judgement is enough."""
    car = car_of({**ABOVE, "out": 51})
    car.drive(300, s0=lambda k: (122, 118)[k % 2])
    assert [(tick, state) for tick, state, _ in car.of(ALARM)] == [(10, ev.WARNING)]
    assert car.events.alarms.level[0] == 1
    assert car.events.alarms.n_came == 1


def test_debounce_starts_again_after_one_value_within_the_limit():
    """Frames 0 to 49 above, 50 within, from 51 on above: the 51st judgement is at tick 1020."""
    car = car_of({**ABOVE, "in_warning": 51})
    car.drive(20, s0=lambda k: 120 if k == 50 else 121)
    assert [tick for tick, _, _ in car.of(ALARM)] == [1020]


def test_debounce_out_starts_again_after_one_value_past_it():
    car = car_of({**ABOVE, "out": 11})
    car.drive(1, s0=121)
    car.drive(1, s0=114)  # ten judgements
    car.drive(0.1, s0=115)  # is not past 120 - 5
    car.drive(1, s0=114)
    assert car.events.alarms.level[0] == 1
    car.drive(0.1)  # not yet read: a frame is seen by the tick after it
    car.drive(0.1)
    assert car.events.alarms.level[0] == 0


def test_clear_is_said_a_minute_after_the_alarm():
    """At 6010 the worst since tick 10 is still the warning, which was said; then it is over."""
    car = car_of(ABOVE)
    car.drive(1, s0=121)
    car.drive(70, s0=100)
    assert car.of(ALARM) == [(10, ev.WARNING, 121), (6020, ev.CLEAR, 100)]


def test_the_worst_of_the_minute_is_said_although_it_is_past():
    """Warning at tick 10 and cleared; again at 2010 for a moment: said when the minute is over."""
    car = car_of(ABOVE)
    car.drive(1, s0=121)
    car.drive(19, s0=100)
    car.drive(1, s0=122)
    car.drive(140, s0=100)
    # 6010: warning is what was said last, so nothing; then it is over.
    assert [(t, s) for t, s, _ in car.of(ALARM)] == [(10, ev.WARNING), (6020, ev.CLEAR)]


def test_a_latched_alarm_stays_until_it_is_acknowledged():
    car = car_of({**ABOVE, "latch": 1}, n_signals=2, roles={st.ACKNOWLEDGE: 1})
    car.drive(1, s0=121)
    car.drive(99, s0=100)
    assert [s for _, s, _ in car.of(ALARM)] == [ev.WARNING, ev.LATCHED]
    car.drive(99)
    assert [s for _, s, _ in car.of(ALARM)] == [ev.WARNING, ev.LATCHED]
    car.drive(1, s1=1)
    car.drive(1, s1=0)
    assert [(t, s) for t, s, _ in car.of(ALARM)][2:] == [(19910, ev.ACKNOWLEDGED)]


def test_acknowledging_is_the_press_and_not_the_holding():
    """The button was held before the alarm came: it acknowledges nothing."""
    car = car_of({**ABOVE, "latch": 1}, n_signals=2, roles={st.ACKNOWLEDGE: 1})
    car.drive(2, s0=100, s1=1)
    car.drive(1, s0=121)
    car.drive(130, s0=100)
    assert [s for _, s, _ in car.of(ALARM)] == [ev.WARNING, ev.LATCHED]


def test_an_alarm_that_is_not_latched_clears_by_itself():
    car = car_of({**ABOVE, "latch": 0}, n_signals=2, roles={st.ACKNOWLEDGE: 1})
    car.drive(1, s0=121)
    car.drive(99, s0=100)
    assert [s for _, s, _ in car.of(ALARM)] == [ev.WARNING, ev.CLEAR]


@pytest.mark.parametrize("every", [15, 19, 45])
def test_one_missing_value_in_many_does_not_hold_the_alarm_back(every):
    """Every 15th to 45th value is "not available"; the fault needs five in a row. 5 s of debounce
    from frame 0 on is over at tick 510, whatever the gaps.
    """
    car = car_of({**ABOVE, "in_warning": 51})
    car.drive(20, s0=lambda k: MISSING if k % every == every - 1 else 150)
    assert car.states(ALARM) == [ev.CRITICAL]
    car = car_of({"warning": 120, "in_warning": 51})
    car.drive(20, s0=lambda k: MISSING if k % every == every - 1 else 150)
    assert [tick for tick, _, _ in car.of(ALARM)] == [510]


def test_a_gap_of_600_ms_every_3_s_does_not_hold_the_alarm_back():
    """0.6 s missing are 6 bad samples: a fault, which 12 good ones end. 1.8 s of each 3 s are not
    judged, less than the 3 s of bridge_s: 10 s of debounce are over at tick 1010 or, as this
    sample must be a valid one, at the end of the gap it lies in.
    """
    car = car_of({"warning": 120, "in_warning": 101})
    car.drive(40, s0=lambda k: MISSING if k % 30 < 6 else 150)
    # Looks of frames 0 to 5 are bad and 6 to 16 not believed: valid are 17 to 29 of every 30.
    # The 101st from frame 17 on is frame 117: not believed? 117 % 30 = 27: valid.
    assert [tick for tick, _, _ in car.of(ALARM)] == [1180]


def test_a_gap_longer_than_the_bridge_starts_the_debounce_again():
    """3.1 s missing: 31 samples, one more than 30. The sensor recovers with 20 good samples."""
    car = car_of({"warning": 120, "in_warning": 51})
    car.drive(4, s0=150)
    car.drive(3.1, s0=MISSING)
    car.drive(20, s0=150)
    # Frames 71 to 89 end the fault (score 20 falls to 0 at the 20th, frame 90): 51 from there.
    assert [tick for tick, _, _ in car.of(ALARM)] == [10 * (90 + 51)]


@pytest.mark.parametrize(("missing", "tick"), [(30, 910), (31, 1320)])
def test_the_bridge_is_as_long_as_the_profile_says(missing, tick):
    """30 samples are bridged: 91 from the first on are over at tick 910. After 31 it starts with
    the frame after the hole, number 41, at tick 420, and takes 90 more. A frame is old after 15
    ticks, so a hole of N frames is one of N samples.
    """
    car = car_of({"warning": 120, "in_warning": 91}, n_signals=2, slots={0: {"stale_ticks": 15}})
    car.drive(1, s0=150)
    car.drive(missing / 10, s0=None)
    car.drive(20, s0=150)
    assert [at for at, _, _ in car.of(ALARM)] == [tick]


def test_no_alarm_comes_while_its_signal_is_missing():
    """The debounce of 2 s ends within a gap of 0.4 s: the first good value brings it."""
    car = car_of({"warning": 120, "in_warning": 21})
    car.drive(1.8, s0=150)
    car.drive(0.4, s0=MISSING)
    assert car.of(ALARM) == []
    car.drive(1, s0=150)
    assert car.of(ALARM) == [(230, ev.WARNING, 150)]


def test_nothing_comes_of_missing_values_alone():
    car = car_of(ABOVE)
    car.drive(60, s0=MISSING)
    assert car.of(ALARM) == [] and GOOD_HIGH < MISSING


def test_the_level_stays_while_its_signal_is_missing():
    car = car_of(ABOVE)
    car.drive(1, s0=121)
    car.drive(100, s0=MISSING)
    assert car.events.alarms.level[0] == 1
    assert car.states(ALARM) == [ev.WARNING]


def test_a_pause_of_the_bus_counts_as_time():
    """2 s judged, 2 s without any frame, 2 s judged: 5 s of debounce are over in the last part.

    Frame 20 (after 40 frame times) is judged at tick 10 (20 + 1) + the ticks of the pause's first
    tenth; the debounce counts the whole seconds of the pause.
    """
    car = car_of({"warning": 120, "in_warning": 51})
    car.drive(2, s0=150)
    car.pause(2)
    car.drive(0.9)
    assert car.of(ALARM) == []
    car.drive(1.5)
    assert car.states(ALARM) == [ev.WARNING]


def test_a_long_pause_starts_the_debounce_again():
    car = car_of({"warning": 120, "in_warning": 51})
    car.drive(4, s0=150)
    car.pause(5)
    car.drive(4)
    assert car.of(ALARM) == []
    car.drive(1.5)
    assert car.states(ALARM) == [ev.WARNING]


GATES = {
    "signal above": (
        {"source": st.OF_SIGNAL, "signal": 1, "limit": 500},
        {"s1": 501},
        {"s1": 500},
    ),
    "signal below": (
        {"source": st.OF_SIGNAL, "signal": 1, "limit": 500, "falls": 1},
        {"s1": 499},
        {"s1": 500},
    ),
    "speed": (
        {"source": st.OF_SPEED, "limit": 1000},
        {"s1": 1001},
        {"s1": 1000},
    ),
    "engine": (
        {"source": st.OF_ENGINE, "limit": 720},
        {"s1": 721},
        {"s1": 720},
    ),
}


@pytest.mark.parametrize("name", GATES)
def test_a_gate_lets_an_alarm_come_only_while_it_is_open(name):
    gate, opens, shuts = GATES[name]
    car = car_of(
        {**ABOVE, "gates": 1, "out": 5},
        n_signals=2,
        gates=[gate],
        roles={**WHEELS, st.RPM: 1},
    )
    car.drive(10, s0=150, **shuts)
    assert car.events.alarms.level[0] == 0 and car.of(ALARM) == []
    car.drive(1, **opens)
    assert car.events.alarms.level[0] == 2
    car.drive(2, **shuts)
    assert car.events.alarms.level[0] == 0


def test_the_gate_of_the_engine_is_in_its_unit():
    """A quarter of a revolution per bit: 2,880 are 720 1/min, 2,884 are 721."""
    gate = {"source": st.OF_ENGINE, "limit": 720}
    car = car_of({**ABOVE, "gates": 1}, n_signals=2, gates=[gate], roles={st.RPM: (1, 0.25, 0)})
    car.drive(5, s0=150, s1=2880)
    assert car.of(ALARM) == []
    car.drive(1, s1=2884)
    assert car.states(ALARM) == [ev.CRITICAL]


def test_a_gate_opens_after_its_time():
    """for_s 2 is 20 steps: more than 20 samples, the 21st at 10 (100 + 21) lets it come."""
    car = car_of(
        {**ABOVE, "gates": 1},
        n_signals=2,
        gates=[{"source": st.OF_SIGNAL, "signal": 1, "limit": 500, "steps": 20}],
    )
    car.drive(10, s0=150, s1=0)
    car.drive(10, s1=501)
    assert car.of(ALARM) == [(1210, ev.CRITICAL, 150)]


def test_all_gates_of_an_alarm_must_be_open():
    gates = [{"source": st.OF_SIGNAL, "signal": n, "limit": 5} for n in (1, 2)]
    car = car_of({**ABOVE, "gates": 3}, n_signals=3, gates=gates)
    car.drive(5, s0=150, s1=9, s2=0)
    car.drive(5, s1=0, s2=9)
    assert car.of(ALARM) == []
    car.drive(1, s1=9)
    assert car.states(ALARM) == [ev.CRITICAL]


def test_a_gate_whose_signal_is_missing_for_a_moment_is_no_shut_one():
    """Engine speed "not available" in every 15th value; oil pressure too low all the time."""
    car = car_of(
        {"warning": 120, "in_warning": 51, "gates": 1},
        n_signals=2,
        gates=[{"source": st.OF_SIGNAL, "signal": 1, "limit": 500, "steps": 20}],
    )
    car.drive(20, s0=150, s1=lambda k: MISSING if k % 15 == 14 else 800)
    assert car.states(ALARM) == [ev.WARNING]


@pytest.mark.parametrize(("missing", "tick"), [(31, 910), (32, 1330)])
def test_the_time_of_a_gate_is_bridged_as_an_alarms_is(missing, tick):
    """More than 90 samples open it, the 91st at tick 910. A gate is sampled before its signal 1
    in each ten ticks, so a hole of N frames is one of N - 1 samples: 30 are bridged. After 31
    frame 42 is known at tick 430, and 90 more samples are needed.
    """
    car = car_of(
        {"warning": 120, "gates": 1},
        n_signals=2,
        slots={1: {"stale_ticks": 15}},
        gates=[{"source": st.OF_SIGNAL, "signal": 1, "limit": 500, "steps": 90}],
    )
    car.drive(1, s0=150, s1=800)
    car.drive(missing / 10, s1=None)
    car.drive(20, s1=800)
    assert [at for at, _, _ in car.of(ALARM)] == [tick]


def test_each_gap_of_a_gate_is_bridged_for_itself():
    """Two holes of 2 s, 19 samples each: more than 30 together, but each is bridged. The 91st
    sample is at tick 910 as without them.
    """
    car = car_of(
        {"warning": 120, "gates": 1},
        n_signals=2,
        slots={1: {"stale_ticks": 15}},
        gates=[{"source": st.OF_SIGNAL, "signal": 1, "limit": 500, "steps": 90}],
    )
    for _ in range(2):
        car.drive(1, s0=150, s1=800)
        car.drive(2, s1=None)
    car.drive(20, s1=800)
    assert [at for at, _, _ in car.of(ALARM)] == [910]


@pytest.mark.parametrize(("pause_s", "ticks"), [(2, (700, 720)), (5, (1190, 1220))])
def test_a_pause_counts_for_a_gate_as_a_gap_of_its_signal(pause_s, ticks):
    """Open after 90 samples, tick 910. 2 s at 3 s are 20 samples less to come; 5 s are more than
    the 30 that are bridged, and 90 samples begin anew at tick 300.
    """
    car = car_of(
        {"warning": 120, "gates": 1},
        n_signals=2,
        gates=[{"source": st.OF_SIGNAL, "signal": 1, "limit": 500, "steps": 90}],
    )
    car.drive(3, s0=150, s1=800)
    car.pause(pause_s)
    car.drive(20)
    ((tick, _, _),) = car.of(ALARM)
    assert ticks[0] <= tick <= ticks[1]


def test_a_gate_whose_time_was_not_over_is_shut_in_a_gap():
    """More than 3 samples open it, 4 that it is shut end the alarm. Shut for one sample, open for
    two, then missing: that is the 3rd sample of the gate and the 4th without it.
    """
    car = car_of(
        {**ABOVE, "gates": 1, "out": 4},
        n_signals=2,
        gates=[{"source": st.OF_SIGNAL, "signal": 1, "limit": 500, "steps": 3}],
    )
    car.drive(3, s0=150, s1=800)
    assert car.events.alarms.level[0] == 2
    car.drive(1, s1=lambda k: (0, 800, 800, *[MISSING] * 7)[k])
    assert car.events.alarms.level[0] == 0


def test_no_alarm_comes_while_its_gate_is_not_known_and_it_shuts_after_the_bridge():
    """The engine's messages end: what follows, a pressure that falls, is no alarm."""
    car = car_of(
        {**ABOVE, "gates": 1},
        n_signals=2,
        gates=[{"source": st.OF_SIGNAL, "signal": 1, "limit": 500}],
    )
    car.drive(10, s0=100, s1=800)
    car.drive(1, s1=None)  # stale after 50 ticks
    car.drive(60, s0=150)
    assert car.of(ALARM) == [] and car.events.alarms.level[0] == 0


@pytest.mark.parametrize(("falls", "states"), [(1, [ev.CRITICAL]), (0, [])])
def test_the_gate_of_flight_is_that_of_the_ground_on_the_ground(falls, states):
    """0 on the ground, 1000 in the air: a gate below 500 is open all the time, one above never."""
    gate = {"source": st.OF_AIRBORNE, "limit": 500, "falls": falls}
    car = car_of({**ABOVE, "gates": 1}, gates=[gate])
    car.drive(3, s0=150)
    assert car.states(ALARM) == states


def test_the_gate_of_flight_shuts_in_the_air():
    car = car_of(
        {**ABOVE, "gates": 1}, gates=[{"source": st.OF_AIRBORNE, "limit": 500, "falls": 1}]
    )
    alarms = car.events.alarms
    alarms._open_gates(True)
    assert alarms._gates == 0
    alarms._open_gates(False)
    assert alarms._gates == 1


def test_before_and_after_are_said_beside_the_alarm():
    """Values are kept every 15 s (ticks 1500, 3000, 4500..) and the older of two is said: at tick
    4010 that is the one of 1500, frame 149. After: 20 s later, tick 6010. Beside each is the speed
    in km/h and the engine speed in 10 rpm, packed at bit 9.
    """
    car = car_of(ABOVE, n_signals=3, roles={**WHEELS, st.RPM: 2})
    car.drive(40, s0=lambda k: k // 10, s1=3000, s2=2500)
    car.drive(30, s0=130, s1=9000, s2=4000)
    context = ev.CONTEXT + 1
    said = [
        (e.tick, e.code, e.state, e.value, e.extra) for e in car.said if e.code in (ALARM, context)
    ]
    assert said == [
        (4010, context, ev.BEFORE, 14, 30 | 250 << 9),
        (4010, ALARM, ev.WARNING, 130, 90 | 400 << 9),
        (6010, context, ev.AFTER, 130, 90 | 400 << 9),
    ]


def test_a_speed_or_engine_speed_beyond_what_fits_is_the_most_that_does():
    """9 bits of km/h and 10 of 10 rpm: 600 km/h and 20,000 rpm are 511 and 1,023."""
    car = car_of(ABOVE, n_signals=3, roles={**WHEELS, st.RPM: 2})
    car.drive(2, s0=130, s1=60000, s2=20000)
    (alarm,) = [e for e in car.said if e.code == ALARM]
    assert (alarm.extra & 511, alarm.extra >> 9) == (511, 1023)


def test_seconds_at_each_level_are_summed():
    car = car_of(ABOVE, {**ABOVE, "number": 2})
    car.drive(3, s0=130)  # judged at ticks 10 to 300
    car.drive(2, s0=150)
    car.drive(0.2, s0=0)
    alarms = car.events.alarms
    assert (alarms.warning_ds, alarms.critical_ds) == (60, 40)
    assert alarms.n_came == 2


def test_every_alarm_has_its_turn():
    """25 alarms: each is judged once in ten ticks, alarm i at ticks i, i + 10.."""
    car = Car(1, alarms=[{**ABOVE, "signal": 0, "number": i} for i in range(25)])
    car.drive(2, s0=150)
    ticks = {e.code - ev.ALARM: e.tick for e in car.said if ev.ALARM <= e.code < ev.SENSOR}
    assert ticks == {i: 10 + i % 10 for i in range(25)}
