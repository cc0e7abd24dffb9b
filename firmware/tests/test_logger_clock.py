"""The clock of 64 bits from ticks that wrap at 2^30."""

import pytest

from logger.clock import Clock


@pytest.mark.parametrize("start", [0, 5, (1 << 30) - 1])
@pytest.mark.parametrize(
    "steps",
    [
        (1, 2, 3),
        ((1 << 28) - 1, 1, 1),
        (1 << 28, 1 << 29, 3 << 28),
        ((1 << 30) - 1, (1 << 30) - 1, 7),
        (0, 0, 123),
    ],
)
def test_the_time_is_the_sum_of_what_has_passed(start, steps):
    """`lo` has 28 bits, `hi` what is above them."""
    now = start
    clock = Clock(lambda: now & (1 << 30) - 1)
    assert clock.t_us() == 0
    for step in steps:
        now += step
        assert clock.t_us() == now - start
        assert (clock.hi, clock.lo) == divmod(now - start, 1 << 28)


def test_ticks_that_wrap_earlier():
    now = 0
    clock = Clock(lambda: now & 1023, 1024)
    for now in (1000, 1020, 1030, 2040):
        assert clock.t_us() == now
