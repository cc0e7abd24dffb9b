"""Flights of an ideal car: free fall with known lift-off and landing, computed by hand.

The car and its signals are those of `hand_flight`; its wheels weigh nothing, so what the tyres
carry is the body's force. A force that steps from a to b shows in what the tyres carry from the
second tick after on, as a mean with the weights 1 3 4 3 1 of 12 ticks of force:

    frame 500 steps from 1000 to 0      tick 502: 916, then 666, 333, 83 and 0
    frame 550 steps from 0 to 2500      tick 552: 208, then 833, 1666, 2291 and 2500

The mean with the weights lags by 3 ticks, DELAY, which is taken off. The onset is the first tick
at 35 mg or less above the mean of the newest four: here the first with 0, a tick after 83.
"""

import math

import pytest
from hand_flight import AIR, GROUND, car_of, flights, go
from hand_table import MISSING

from detectors import airborne
from detectors.airborne import root
from slog import events as ev

HIT = {**GROUND, "s2": 2500}


def test_free_fall_of_half_a_second():
    """The tyres carry 83 of 140 at tick 505, the first of seven, and 0 at tick 506: the onset is
    tick 503. Tick 511 is at 5,110,001 us, 80 ms later. Tick 552 carries 208: landed 3 before, at
    549, after 460 ms; 24 ticks later the hold is over. The filter of the peak (33 66 33 of
    128) makes 33 parts of 32 of a step: 2578 mg, no more than the first limit. All wheels hang:
    confidence 70 + 4 x 5. 60 km/h. The car itself says 0, no flight.
    """
    car = car_of()
    go(car, 0.5, **AIR)
    go(car, 1, **HIT)
    assert flights(car) == [
        (511, ev.TAKEN_OFF, 80 | 60 << 16, 5_030_001),
        (576, ev.LANDED, 460, 257 | 90 << 12 | ev.CAR_SILENT << 19),
    ]
    flight = car.events.flight
    assert (flight.n_flights, flight.longest_ms, flight.air_ms, flight.peak_cg) == (
        1,
        460,
        460,
        257,
    )
    assert flight.by_severity == [1, 0, 0, 0] and flight.n_missed == 1
    assert flight.state == airborne.GROUND


def test_onset_is_dated_back_by_the_lag_and_so_is_the_airtime():
    car = car_of(back=10_000)
    go(car, 0.5, **AIR)
    go(car, 1, **HIT)
    assert flights(car)[0] == (511, ev.TAKEN_OFF, 90 | 60 << 16, 5_020_001)
    assert flights(car)[1][:3] == (576, ev.LANDED, 470)


def test_states_on_the_way():
    car = car_of()
    seen = []
    for _ in range(16):
        go(car, 0.01, **AIR)
        seen.append(car.events.flight.state)
    # A frame is seen a tick later: after k frames tick 499 + k is done.
    ground, suspect, air = airborne.GROUND, airborne.SUSPECT, airborne.AIRBORNE
    assert seen == [ground] * 5 + [suspect] * 6 + [air] * 5
    go(car, 0.06, **HIT)
    assert car.events.flight.state == airborne.LANDING


@pytest.mark.parametrize(
    ("step_mg", "peak_cg", "severity"),
    [
        (2910, 300, 0),
        (2919, 301, 1),
        (4849, 500, 1),
        (4859, 501, 2),
        (7758, 800, 2),
        (7768, 801, 3),
        (20000, 2062, 3),
    ],
)
def test_severity_is_the_number_of_limits_that_the_peak_exceeds(step_mg, peak_cg, severity):
    """33 / 32 of the step: 3000.9, 3010.2, 5000.5, 5010.8, 8000.4, 8010.8 and 20625 mg."""
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 1, **{**GROUND, "s2": step_mg})
    landed = flights(car)[-1]
    assert landed[1] == ev.LANDED
    assert landed[3] & 0xFFF == peak_cg
    assert landed[3] >> 21 == severity
    assert car.events.flight.by_severity[severity] == 1


def test_a_peak_of_a_single_tick_is_not_the_body():
    """9 g for 10 ms: half of the 8 g more, 33 / 32 of 5 g are 5.156. A shell that rings at 50 Hz,
    around 1.6 g, is not seen: 1 -2 1 are nothing; 33 / 32 of the step to 1.882 g are 1.940.
    """
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 0.1, **{**GROUND, "s2": 1000})
    go(car, 0.01, s2=9000)
    go(car, 1, s2=1000)
    assert flights(car)[-1][3] & 0xFFF == 515
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 0.1, **{**GROUND, "s2": 1882})
    go(car, 1, s2=lambda k: 1600 + 150 * max(0, 20 - abs(20 - k)) * (-1) ** k)
    assert flights(car)[-1][3] & 0xFFF == 194


def test_a_peak_after_the_hold_does_not_count():
    """Tick 532 is the first of 25 that count, 556 the last. A frame's force is in the filter 3
    ticks later: frame 553, 23 after the landing, is the last to count.
    """
    for frames, late in ((24, True), (23, False)):
        car = car_of()
        go(car, 0.3, **AIR)
        go(car, frames / 100, **HIT)
        go(car, 0.2, s2=9000)
        assert (flights(car)[-1][3] & 0xFFF == 257) is late


def test_force_is_the_length_of_all_three_axes():
    """33 / 32 of 3 g, 4 g and 12 g: 13.40 g."""
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 1, **{**GROUND, "s0": 3000, "s1": 4000, "s2": -12000})
    assert flights(car)[-1][3] & 0xFFF == 1340


@pytest.mark.parametrize(("frames", "n"), [(10, 0), (11, 1)])
def test_confirmation_needs_seven_ticks(frames, n):
    """With a limit of 83 those are low whose five are all in the air: four fewer than frames."""
    car = car_of(load_out=83)
    go(car, frames / 100, **AIR)
    go(car, 1, **GROUND)
    assert len([f for f in flights(car) if f[1] == ev.TAKEN_OFF]) == n


@pytest.mark.parametrize(("frames", "state"), [(12, ev.CANCELLED), (13, ev.LANDED)])
def test_a_flight_shorter_than_90_ms_is_withdrawn(frames, state):
    """40 ms less than the frames, see above."""
    car = car_of()
    go(car, frames / 100, **AIR)
    go(car, 1, **HIT)
    assert [f[1:3] for f in flights(car)][1:] == [(state, 10 * frames - 40)]
    assert car.events.flight.n_flights == (state == ev.LANDED)


@pytest.mark.parametrize(
    ("kmh", "frames", "state"),
    [(40, 18, ev.CANCELLED), (40, 19, ev.LANDED), (40.01, 18, ev.LANDED)],
)
def test_a_slow_car_needs_150_ms(kmh, frames, state):
    car = car_of(speed={f"s{i}": round(100 * kmh) for i in range(7, 11)})
    go(car, frames / 100, **AIR)
    go(car, 1, **HIT)
    assert flights(car)[-1][1] == state


def test_a_car_below_15_kmh_does_not_fly():
    for kmh, n in ((14.99, 0), (15, 1)):
        car = car_of(speed={f"s{i}": round(100 * kmh) for i in range(7, 11)})
        assert (car.events.flight.state == airborne.INHIBITED) == (n == 0)
        go(car, 0.5, **AIR)
        assert len(flights(car)) == n, kmh


def test_wheels_that_stop_faster_than_a_car_can_are_no_slow_car():
    """60 km/h, then the wheels stand, a tenth of a second before the tyres carry nothing. No brake
    takes more than 1.5 g, 0.55 km/h a tick: the car is above 15 km/h for 81 ticks more, so half a
    second is a flight. Two seconds after it the car stands, and does not fly.
    """
    car = car_of()
    standing = {f"s{i}": 0 for i in range(7, 11)}
    go(car, 0.1, **standing)
    go(car, 0.5, **AIR)
    go(car, 2, **HIT)
    assert [state for _, state, *_ in flights(car)] == [ev.TAKEN_OFF, ev.LANDED]
    assert car.events.flight.state == airborne.INHIBITED
    go(car, 0.5, **AIR)
    assert len(flights(car)) == 2


def test_a_flight_longer_than_3_s_ends_without_a_landing():
    """More than 300 ticks after tick 503: 804, 3010 ms."""
    car = car_of()
    go(car, 4, **AIR)
    assert flights(car)[1] == (804, ev.TOO_LONG, 3010, 0)
    assert car.events.flight.n_flights == 0


def test_after_a_flight_that_was_too_long_the_confirmation_begins_anew():
    """Tick 805 is the first of seven and shows tick 802; tick 811 at 8,110,001 us the last."""
    car = car_of()
    go(car, 4, **AIR)
    assert flights(car)[2:] == [(811, ev.TAKEN_OFF, 90 | 60 << 16, 8_020_001)]


@pytest.mark.parametrize(("mg", "n"), [(140, 0), (104, 1), (105, 0)])
def test_the_force_must_be_that_of_a_flight(mg, n):
    """At each tick under 140. The mean of a long flight under 105: 70 at the seventh tick, 3 more
    for each tick, 105 from the 19th on; the first tick carries mg + (1000 - mg) / 12 and is not
    low here, as that is over 140.
    """
    car = car_of()
    go(car, 0.6, **{**AIR, "s2": mg})
    assert len(flights(car)) == n


@pytest.mark.parametrize(("mg", "tick"), [(69, 512), (70, 513), (72, 513), (73, 514)])
def test_the_mean_may_grow_with_the_time(mg, tick):
    """The first low tick is 506, as 505 carries 83 and nearly all of mg: 146 and more. Seven make
    it 512, under 70; 513 under 73; 514 under 76.
    """
    car = car_of()
    go(car, 0.5, **{**AIR, "s2": mg})
    assert flights(car)[0][0] == tick


@pytest.mark.parametrize("confirm", [7, 16])
@pytest.mark.parametrize(
    ("mg", "ground_mg", "state"),
    [
        (10, 1000, ev.LANDED),
        (11, 1000, ev.CANCELLED),
        (29, 2500, ev.LANDED),
        (30, 2500, ev.CANCELLED),
    ],
)
def test_what_carries_a_little_and_lands_softly_was_a_crest(mg, ground_mg, state, confirm):
    """33 / 32 of the landing, 1.03 g and 2.57 g, less 0.20 g: 83 and 237 of 0.01 g. Each mg asks
    for 8 of them. From tick 506 on the tyres carry mg, all of the 160 ms, whenever confirmed.
    """
    car = car_of(confirm=confirm)
    go(car, 0.2, **{**AIR, "s2": mg})
    go(car, 1, **{**GROUND, "s2": ground_mg})
    assert [f[1] for f in flights(car)] == [ev.TAKEN_OFF, state]


@pytest.mark.parametrize(("frames", "state"), [(26, ev.CANCELLED), (27, ev.LANDED)])
def test_no_crest_is_light_for_a_quarter_of_a_second(frames, state):
    """Low from tick 505 to frames + 502, confirmed at 511: 17 and 18 ticks in the air."""
    car = car_of()
    go(car, frames / 100, **{**AIR, "s2": 30})
    go(car, 1, **GROUND)
    assert [f[1] for f in flights(car)] == [ev.TAKEN_OFF, state]


@pytest.mark.parametrize(("mg", "n"), [(-279, 1), (-280, 0)])
def test_less_than_nothing_is_allowed_down_to_twice_the_limit(mg, n):
    car = car_of(mean=5000, mean_end=5000)
    go(car, 0.5, **{**AIR, "s2": mg})
    assert len(flights(car)) == n


@pytest.mark.parametrize(("mg", "n"), [(349, 1), (350, 0)])
def test_the_horizontal_force_must_be_small_in_the_mean(mg, n):
    """A car on its side: 1 g across, nothing along the vertical axis."""
    car = car_of()
    go(car, 0.5, **AIR, s1=mg)
    assert len(flights(car)) == n


@pytest.mark.parametrize(("mg", "n"), [(699, 1), (700, 0)])
def test_the_horizontal_force_must_be_below_its_limit_at_each_tick(mg, n):
    car = car_of(acc_enter2=5000**2)
    go(car, 0.5, **AIR, s0=mg)
    assert len(flights(car)) == n


@pytest.mark.parametrize(("frames", "n"), [(1, 1), (2, 0)])
def test_one_tick_that_carries_does_not_end_a_suspicion(frames, n):
    """Frame 505 of 430 makes 430 x 4 / 12 = 143 at tick 509 alone; twice make three of them."""
    car = car_of(mean=5000, mean_end=5000)
    go(car, 0.05, **AIR)
    go(car, frames / 100, s2=430)
    go(car, 0.06, s2=0)
    go(car, 1, **GROUND)
    assert len([f for f in flights(car) if f[1] == ev.TAKEN_OFF]) == n


def test_a_contact_shorter_than_60_ms_belongs_to_the_flight():
    """Soft ground of 1 g for n frames carries more than 140 for n + 2 ticks: 83 333 666 833 666
    333 83 for three. Its first tick carries 83: the landing is seen 10 ms later than that of HIT.
    """
    for frames, airtimes in ((3, [630 - 40]), (4, [300 - 30])):
        car = car_of()
        go(car, 0.3, **AIR)
        go(car, frames / 100, s2=1000)
        go(car, 0.3, s2=0)
        go(car, 1, **HIT)
        assert [f[2] for f in flights(car) if f[1] == ev.LANDED][:1] == airtimes, frames


def test_a_flight_right_after_a_landing_is_one_of_its_own():
    """Lands for 100 ms, within the hold of 250 ms, and flies for another 300."""
    car = car_of()
    go(car, 0.3, **AIR)
    go(car, 0.1, **HIT)
    go(car, 0.3, **AIR)
    go(car, 1, **HIT)
    landed = [f for f in flights(car) if f[1] == ev.LANDED]
    assert [f[2] for f in landed] == [260, 260]
    assert [f[3] & 0xFFF for f in landed] == [257, 257]


@pytest.mark.parametrize(("raced", "confidence"), [(6150, 90), (6151, 100)])
def test_racing_wheels_add_confidence(raced, confidence):
    """A wheel is faster than the car by more than 1.50 km/h at tick 510, with 50 % of pedal."""
    car = car_of()
    go(car, 0.5, **AIR, s7=raced, s15=500)
    go(car, 1, **HIT)
    assert flights(car)[-1][3] >> 12 & 0x7F == confidence


@pytest.mark.parametrize(("in_air", "car_says"), [(2, ev.CAR_AGREES), (1, ev.CAR_SILENT)])
def test_what_the_car_itself_said_is_told(in_air, car_says):
    car = car_of()
    go(car, 0.5, **AIR, s11=in_air)
    go(car, 1, **HIT, s11=1)
    assert flights(car)[-1][3] >> 19 & 3 == car_says
    assert car.events.flight.n_missed == (car_says == ev.CAR_SILENT)


def test_each_flight_is_compared_with_what_the_car_says_of_it():
    car = car_of()
    for in_air in (2, 1):
        go(car, 0.5, **AIR, s11=in_air)
        go(car, 2, **HIT, s11=1)
    says = [extra >> 19 & 3 for _, state, _, extra in flights(car) if state == ev.LANDED]
    assert says == [ev.CAR_AGREES, ev.CAR_SILENT]


def test_a_car_that_says_nothing_of_flight_is_not_judged():
    car = car_of()
    go(car, 3, s11=MISSING)
    go(car, 0.5, **AIR)
    go(car, 1, **HIT)
    assert flights(car)[-1][3] >> 19 & 3 == ev.CAR_UNKNOWN
    assert car.events.flight.n_missed == 0


@pytest.mark.parametrize(("frames", "said"), [(8, []), (9, [90]), (50, [500])])
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


def test_after_a_pause_eight_ticks_pass_before_anything_is_judged():
    """Differences need ticks of old values. A frame is seen a tick later; then eight ticks, and
    seven to confirm.
    """
    car = car_of()
    car.pause(3)
    n = 0
    while car.events.flight.state != airborne.AIRBORNE and n < 50:
        go(car, 0.01, **AIR)
        n += 1
    assert n == 16


def test_root_is_the_whole_part():
    for n in [*range(2000), 99**2 - 1, 99**2, 32767**2, 2**31 - 1, 1_200_000_000]:
        assert root(n) == math.isqrt(n)
