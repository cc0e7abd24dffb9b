"""Flights of an ideal car: free fall with known lift-off and landing, computed by hand.

The car and its signals are those of `hand_flight`.
"""

import math

import pytest
from hand_flight import AIR, GROUND, car_of, flights, go
from hand_table import MISSING

from detectors import airborne
from detectors.airborne import root
from slog import events as ev

FAULTY = 0x8000  # no acceleration: -32768


def test_free_fall_of_half_a_second():
    """Frames 500 to 549 are in the air. Tick 501 sees the first: ten ticks, confirmed at 510, 90
    ms later; tick 510 is at 5,100,001 us, so the onset at 5,010,001 us, tick 501. Tick 551 sees
    3.0 g: 500 ms of flight, and 25 ticks later it is told: 3.00 g is no more than the first limit.
    All four wheels hang: confidence 70 + 4 x 5. 60 km/h. The car itself says 0, no flight.
    """
    car = car_of()
    go(car, 0.5, **AIR)
    go(car, 1, **{**GROUND, "s2": 3000})
    assert flights(car) == [
        (510, ev.TAKEN_OFF, 90 | 60 << 16, 5_010_001),
        (576, ev.LANDED, 500, 300 | 90 << 12 | ev.CAR_SILENT << 19),
    ]
    flight = car.events.flight
    assert (flight.n_flights, flight.longest_ms, flight.air_ms, flight.peak_cg) == (
        1,
        500,
        500,
        300,
    )
    assert flight.by_severity == [1, 0, 0, 0] and flight.n_missed == 1
    assert flight.state == airborne.GROUND


def test_onset_is_dated_back_by_the_lag_and_so_is_the_airtime():
    car = car_of(back=10_000)
    go(car, 0.5, **AIR)
    go(car, 1, **{**GROUND, "s2": 3000})
    assert flights(car)[0] == (510, ev.TAKEN_OFF, 100 | 60 << 16, 5_000_001)
    assert flights(car)[1][:3] == (576, ev.LANDED, 510)


def test_states_on_the_way():
    car = car_of()
    seen = []
    for _ in range(16):
        go(car, 0.01, **AIR)
        seen.append(car.events.flight.state)
    # The first frame is seen a tick later; the fourth tick (suspect 4) and the tenth change it.
    # One cue or more with the count begun is suspicion from the first on.
    ground, suspect, air = airborne.GROUND, airborne.SUSPECT, airborne.AIRBORNE
    assert seen == [ground] + [suspect] * 9 + [air] * 6
    go(car, 0.02, **{**GROUND, "s2": 3000})
    assert car.events.flight.state == airborne.LANDING


@pytest.mark.parametrize(
    ("peak_mg", "severity"),
    [(3000, 0), (3010, 1), (5000, 1), (5010, 2), (8000, 2), (8010, 3), (20000, 3)],
)
def test_severity_is_the_number_of_limits_that_the_peak_exceeds(peak_mg, severity):
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 0.05, **{**GROUND, "s2": 2000})
    go(car, 0.01, s2=peak_mg)  # the highest within 250 ms counts
    go(car, 0.15, s2=2500)
    go(car, 1, s2=1000)
    landed = flights(car)[-1]
    assert landed[1] == ev.LANDED and landed[2] == 300
    assert landed[3] & 0xFFF == peak_mg // 10
    assert landed[3] >> 21 == severity
    assert car.events.flight.by_severity[severity] == 1


def test_a_peak_in_the_first_tick_of_the_landing_counts():
    """9 g for 10 ms, which is what makes it a landing, then the weight alone."""
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 0.01, **{**GROUND, "s2": 9000})
    go(car, 1, s2=1000)
    assert flights(car)[-1][1] == ev.LANDED and flights(car)[-1][3] & 0xFFF == 900


def test_a_peak_after_the_hold_does_not_count():
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 0.26, **{**GROUND, "s2": 2000})
    go(car, 0.2, s2=9000)
    assert flights(car)[-1][3] & 0xFFF == 200


def test_force_is_the_length_of_all_three_axes():
    """3 g, 4 g and 12 g: 13 g."""
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 1, **{**GROUND, "s0": 3000, "s1": 4000, "s2": -12000})
    assert flights(car)[-1][3] & 0xFFF == 1300


@pytest.mark.parametrize(("frames", "n"), [(9, 0), (10, 1)])
def test_confirmation_needs_ten_ticks(frames, n):
    car = car_of()
    go(car, frames / 100, **AIR)
    go(car, 1, **GROUND)
    assert len([f for f in flights(car) if f[1] == ev.TAKEN_OFF]) == n


@pytest.mark.parametrize(("frames", "state"), [(14, ev.CANCELLED), (15, ev.LANDED)])
def test_a_flight_shorter_than_150_ms_is_withdrawn(frames, state):
    car = car_of()
    go(car, frames / 100, **AIR)
    go(car, 1, **{**GROUND, "s2": 3000})
    assert [f[1:3] for f in flights(car)][1:] == [(state, 10 * frames)]
    assert car.events.flight.n_flights == (state == ev.LANDED)


@pytest.mark.parametrize(
    ("kmh", "frames", "state"),
    [(40, 29, ev.CANCELLED), (40, 30, ev.LANDED), (40.01, 29, ev.LANDED)],
)
def test_a_slow_car_needs_300_ms(kmh, frames, state):
    car = car_of(speed={f"s{i}": round(100 * kmh) for i in range(7, 11)})
    go(car, frames / 100, **AIR)
    go(car, 1, **{**GROUND, "s2": 3000})
    assert flights(car)[-1][1] == state


def test_a_car_below_15_kmh_does_not_fly():
    for kmh, n in ((14.99, 0), (15, 1)):
        car = car_of(speed={f"s{i}": round(100 * kmh) for i in range(7, 11)})
        assert (car.events.flight.state == airborne.INHIBITED) == (n == 0)
        go(car, 0.5, **AIR)
        assert len(flights(car)) == n, kmh


def test_a_flight_longer_than_3_s_is_given_up():
    """More than 300 ticks after tick 501: 802, 3010 ms."""
    car = car_of()
    go(car, 4, **AIR)
    assert flights(car)[1] == (802, ev.TOO_LONG, 3010, 0)
    assert car.events.flight.n_flights == 0


def test_after_a_flight_that_was_too_long_the_confirmation_begins_anew():
    """Tick 803 is the first of ten, tick 812 at 8,120,001 us the last: 90 ms later."""
    car = car_of()
    go(car, 4, **AIR)
    assert flights(car)[2:] == [(812, ev.TAKEN_OFF, 90 | 60 << 16, 8_030_001)]


@pytest.mark.parametrize(("mg", "n"), [(349, 0), (97, 1)])
def test_the_mean_force_must_be_that_of_a_flight(mg, n):
    """349 mg is small (under 350), but a mean of 98 and more is no flight."""
    car = car_of()
    go(car, 0.5, **{**AIR, "s2": mg})
    assert len(flights(car)) == n


@pytest.mark.parametrize(("mg", "n"), [(350, 0), (349, 1)])
def test_the_force_must_be_under_its_limit(mg, n):
    car = car_of(mean=5000)
    go(car, 0.5, **{**AIR, "s2": mg})
    assert len(flights(car)) == n


def test_in_the_air_a_greater_force_is_allowed():
    """700 mg ends it, 699 does not: after 100 ms of nothing."""
    for mg, n in ((699, 0), (700, 15)):
        car = car_of(mean=5000, mean_end=5000)
        go(car, 0.2, **AIR)
        go(car, 0.16, s2=mg)
        assert car.events.flight._n_up == n, mg


def test_in_the_air_a_greater_load_is_allowed():
    """One wheel at 20.00 mm carries 2000 x 512 >> 14 = 62 per mille: under 140, not under 35."""
    car = car_of()
    go(car, 0.5, **{**AIR, "s6": 2000})
    assert flights(car) == []
    car = car_of()
    go(car, 0.2, **AIR)
    go(car, 0.16, s6=2000)
    assert car.events.flight.state == airborne.AIRBORNE and car.events.flight._n_up == 0


def test_with_one_damper_gone_the_other_three_must_hang():
    car = car_of(wheels=4)
    go(car, 3, s6=MISSING)
    go(car, 0.5, s2=0, s3=0, s4=0, s5=0)
    assert len(flights(car)) == 1
    car = car_of(wheels=4)
    go(car, 3, s6=MISSING)
    go(car, 0.5, s2=0, s3=0, s4=0, s5=4000)
    assert flights(car) == []


@pytest.mark.parametrize(("mg", "n"), [(250, 0), (249, 1)])
def test_without_dampers_the_force_must_be_smaller(mg, n):
    car = car_of(mean=5000)
    go(car, 3, **{f"s{i}": MISSING for i in range(3, 7)})
    go(car, 0.5, s2=mg)
    assert len(flights(car)) == n


def test_a_tick_that_is_no_flight_takes_three_back():
    """Ticks 501 to 506 count 6, 507 leaves 3, 508 to 514 make 10. The onset stays tick 501."""
    car = car_of()
    go(car, 0.06, **AIR)
    go(car, 0.01, **GROUND)
    go(car, 0.3, **AIR)
    assert [(tick, extra) for tick, _, _, extra in flights(car)] == [(514, 5_010_001)]


@pytest.mark.parametrize(("mg", "n"), [(112, 1), (113, 0)])
def test_turning_makes_a_greater_mean_force_a_flight(mg, n):
    """98 mg and 15 for each rad/s squared, the fastest since the wheels let go: 1 rad/s in the
    first five ticks. 98 + 1024 x 15 >> 10 = 113.
    """
    car = car_of(mean_spin=15)
    go(car, 0.05, **AIR | {"s2": mg}, s14=1024)
    go(car, 0.2, s14=0)
    assert len(flights(car)) == n


@pytest.mark.parametrize(("mg", "state"), [(121, ev.LANDED), (122, ev.CANCELLED)])
def test_the_mean_force_up_to_the_landing_decides(mg, state):
    """Confirmed with nothing, then 200 ms: the mean of all must stay under 122."""
    car = car_of(mean=5000, acc_enter2=5000**2, acc_exit2=5000**2)
    go(car, 0.3, **AIR | {"s2": mg})
    go(car, 1, **GROUND | {"s2": 6000})
    assert flights(car)[-1][1] == state


def test_a_hard_force_is_a_landing_before_anything_moves():
    """More than 1.5 g at once; exactly 1.5 g takes 150 ms of contact."""
    for mg, state in ((1500, airborne.AIRBORNE), (1501, airborne.LANDING)):
        car = car_of()
        go(car, 0.3, **AIR)
        go(car, 0.05, s2=mg)
        assert car.events.flight.state == state, mg


def test_the_dampers_alone_have_a_lag_of_their_own():
    """18 ticks from tick 801 on, and 50 ms: 220 ms before tick 818."""
    car = car_of(only_back=50_000)
    go(car, 3, s2=FAULTY)
    go(car, 0.5, **{f"s{i}": 0 for i in range(3, 7)})
    assert flights(car) == [(818, ev.TAKEN_OFF, 220 | 60 << 16, 7_960_001)]


def test_three_wheels_hang_and_the_fourth_is_nearly_light():
    """Loads of 0, 0, 0 and 34 per mille: 34 x 4 / 4 = 34, under 35. 1088 >> 14 steps of 512: a
    damper at 12.00 mm no longer hangs and carries 1200 x 512 >> 14 = 37.
    """
    for spring, n in ((464, 1), (478, 0)):  # 1200 x 464 >> 14 = 33; x 478 = 35
        car = car_of(spring3=spring)
        go(car, 0.5, **{**AIR, "s6": 1200})
        assert len(flights(car)) == n, spring


@pytest.mark.parametrize(("hang", "n"), [((0, 0, 0, 1199), 1), ((0, 0, 1200, 1200), 0)])
def test_wheels_that_hang_are_below_12_mm(hang, n):
    car = car_of(load_out=0)  # what extends fast is none that hangs here
    go(car, 0.5, **{**AIR, **{f"s{3 + i}": x for i, x in enumerate(hang)}})
    assert len(flights(car)) == n


def test_all_wheels_must_hang_at_some_moment():
    """20.00 mm with all four at once; else the wheels have only been light."""
    for mm, state in ((1999, ev.LANDED), (2000, ev.CANCELLED)):
        car = car_of(spring3=16)
        go(car, 0.5, **{**AIR, "s6": mm})
        go(car, 1, **{**GROUND, "s2": 3000})
        assert flights(car)[-1][1] == state, mm


def test_a_wheel_that_extends_as_fast_as_its_damper_lets_it_carries_nothing():
    """Rebound 16384: 0.01 mm in two ticks takes 1 per mille. From 80.00 mm down by 1.20 mm a tick:
    tick 5 sees 75.20 mm, 7520 x 512 >> 14 = 235 of spring, less 240 of damper.
    """
    car = car_of(wheels=4, **{f"rebound{i}": 16384 for i in range(4)})
    falling = {f"s{i}": lambda k: 8000 - 120 * k for i in range(3, 7)}
    go(car, 0.06, s2=0, **falling)
    assert car.events.flight.load == 4 * (235 - 240) * 4 // 4
    assert car.events.flight._n_low == 3  # 250 and 246 - 120 carried, the next three did not
    car = car_of(wheels=4, **{f"bump{i}": 16384 for i in range(4)})
    go(car, 0.06, s2=0, **falling)
    assert car.events.flight.load == 4 * 235 and car.events.flight._n_low == 0


def test_load_on_the_ground_is_the_weight():
    """Four times 8000 x 512 >> 14 = 250. Preload and the bump stop add, each by its own row."""
    car = car_of()
    assert car.events.flight.load == 1000
    car = car_of(preload0=100 << 14)
    assert car.events.flight.load == 1100
    car = car_of(stop_from1=7840, stop=163)
    # 160 beyond: 160 >> 4 = 10; 10 x 10 x 163 = 16,300 >> 14 = 0.99: 8000 x 512 + 16,300 -> 250
    assert car.events.flight.load == 1000
    car = car_of(stop_from1=7840, stop=164)
    assert car.events.flight.load == 1001


def test_load_of_three_dampers_stands_for_four():
    """3 x 250 x 4 / 3."""
    car = car_of()
    go(car, 3, s6=MISSING)
    assert car.events.flight.load == 1000


def test_contact_shorter_than_150_ms_belongs_to_the_flight():
    """14 ticks on soft ground are bridged, 15 are a landing."""
    soft = {"s2": 1000, **{f"s{i}": 1300 for i in range(3, 7)}}
    for frames, airtimes in ((14, [740]), (15, [300])):
        car = car_of()
        go(car, 0.3, **AIR)
        go(car, frames / 100, **soft)
        go(car, 0.3, **AIR)
        go(car, 1, **{**GROUND, "s2": 3000})
        assert [f[2] for f in flights(car) if f[1] == ev.LANDED][:1] == airtimes, frames


def test_two_dampers_that_compress_fast_are_a_landing():
    """Faster than 14.00 mm in two ticks on two wheels; the force alone would not be enough."""
    for step, state in ((1400, airborne.AIRBORNE), (1401, airborne.LANDING)):
        car = car_of()
        go(car, 0.3, **AIR)
        go(car, 0.02, s2=1400, s3=step, s4=step)
        assert car.events.flight.state == state, step


def test_without_dampers_the_force_alone_takes_180_ms_and_little_confidence():
    car = car_of()
    go(car, 3, **{f"s{i}": MISSING for i in range(3, 7)})
    go(car, 0.5, s2=0)
    go(car, 1, s2=3000)
    off, landed = flights(car)
    assert off[0] == 801 + 17
    assert landed[1:3] == (ev.LANDED, 500)
    assert landed[3] >> 12 & 0x7F == 35


def test_without_acceleration_the_dampers_alone_take_180_ms_and_little_confidence():
    car = car_of()
    go(car, 3, s2=FAULTY)
    go(car, 0.5, **{f"s{i}": 0 for i in range(3, 7)})
    go(car, 1, **{f"s{i}": 8000 for i in range(3, 7)})
    off, landed = flights(car)
    assert off[0] == 801 + 17
    assert landed[1:3] == (ev.LANDED, 500)
    assert landed[3] & 0xFFF == 0
    assert landed[3] >> 12 & 0x7F == 40


def test_without_both_nothing_is_found():
    car = car_of()
    go(car, 3, s2=FAULTY, **{f"s{i}": MISSING for i in range(3, 7)})
    assert car.events.flight.state == airborne.INHIBITED
    go(car, 1, s0=0)
    assert flights(car) == []


@pytest.mark.parametrize(("raced", "confidence"), [(6150, 90), (6151, 100)])
def test_racing_wheels_add_confidence(raced, confidence):
    """A wheel is faster than the car by more than 1.50 km/h at tick 510, with 50 % of pedal."""
    car = car_of()
    go(car, 0.5, **AIR, s7=raced, s15=500)
    go(car, 1, **{**GROUND, "s2": 3000})
    assert flights(car)[-1][3] >> 12 & 0x7F == confidence


@pytest.mark.parametrize(("in_air", "car_says"), [(2, ev.CAR_AGREES), (1, ev.CAR_SILENT)])
def test_what_the_car_itself_said_is_told(in_air, car_says):
    car = car_of()
    go(car, 0.5, **AIR, s11=in_air)
    go(car, 1, **{**GROUND, "s2": 3000}, s11=1)
    assert flights(car)[-1][3] >> 19 & 3 == car_says
    assert car.events.flight.n_missed == (car_says == ev.CAR_SILENT)


def test_each_flight_is_compared_with_what_the_car_says_of_it():
    car = car_of()
    for in_air in (2, 1):
        go(car, 0.5, **AIR, s11=in_air)
        go(car, 2, **GROUND | {"s2": 3000}, s11=1)
    says = [extra >> 19 & 3 for _, state, _, extra in flights(car) if state == ev.LANDED]
    assert says == [ev.CAR_AGREES, ev.CAR_SILENT]


@pytest.mark.parametrize(("raw", "zero"), [(0, 150), (320, 170), (160, 160)])
def test_the_zero_of_a_damper_is_learned_in_the_air(raw, zero):
    """From 1.60 mm by a sixteenth of the distance, 160 >> 4, at the first tick in the air, 511."""
    car = car_of(drift=160)
    go(car, 0.12, s2=0, **{f"s{i}": raw for i in range(3, 7)})
    assert list(car.events.flight._zero) == [zero] * 4


def test_a_car_that_says_nothing_of_flight_is_not_judged():
    car = car_of()
    go(car, 3, s11=MISSING)
    go(car, 0.5, **AIR)
    go(car, 1, **{**GROUND, "s2": 3000})
    assert flights(car)[-1][3] >> 19 & 3 == ev.CAR_UNKNOWN
    assert car.events.flight.n_missed == 0


@pytest.mark.parametrize(("frames", "said"), [(14, []), (15, [150]), (50, [500])])
def test_what_the_car_alone_calls_a_flight_is_told(frames, said):
    car = car_of()
    go(car, frames / 100, s11=2)
    go(car, 1, s11=1)
    assert [value for _, _, value in car.of(ev.CAR_FLIGHT)] == said


def test_a_pause_ends_a_flight():
    car = car_of()
    go(car, 0.3, **AIR)
    car.pause(3)
    go(car, 0.1, **GROUND)
    assert car.events.flight.state == airborne.GROUND
    assert [f[1] for f in flights(car)] == [ev.TAKEN_OFF]


def test_after_a_pause_four_ticks_pass_before_anything_is_judged():
    """Rates of change need two ticks of old values. A frame is seen a tick later; then four ticks
    and ten to confirm: airborne after 15 frames.
    """
    car = car_of()
    car.pause(3)
    n = 0
    while car.events.flight.state != airborne.AIRBORNE and n < 50:
        go(car, 0.01, **AIR)
        n += 1
    assert n == 15


def test_root_is_the_whole_part():
    for n in [*range(2000), 99**2 - 1, 99**2, 32767**2, 2**31 - 1, 1_200_000_000]:
        assert root(n) == math.isqrt(n)
