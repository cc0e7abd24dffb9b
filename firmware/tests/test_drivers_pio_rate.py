"""The bit rate of a bus, measured on an emulated pin while the receiver listens beside it."""

import random

import pytest

from stagelog.rig.bus.wave import Line, acknowledged_bits
from stagelog.rig.rp2040.receiver import Receiver
from stagelog.rig.runtimes import find_runtime

SET_UP = """
def measured(ms):
    for _ in range(ms):
        rate = can.measured_rate()
        if rate is not None:
            return rate
        time.sleep_ms(1)
        can.drain()
"""


@pytest.fixture(scope="module")
def pico():
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    made = Receiver()
    made.exec(SET_UP)
    yield made
    made.close()


def frames(n, seed=1):
    rng = random.Random(seed)
    return [acknowledged_bits(rng.getrandbits(11), 0, 8, rng.randbytes(8)) for _ in range(n)]


@pytest.mark.parametrize("rate", [50_000, 125_000, 250_000, 500_000, 800_000, 1_000_000])
@pytest.mark.parametrize("bent", [(0, 0, 0), (5000, 100, 60), (-5000, -100, 60)], ids=str)
def test_each_rate_is_found_whatever_the_receiver_listens_at(pico, rate, bent):
    """It listens at 250 kbit/s; clock error, asymmetry and jitter are those of WIRING.md."""
    pico.bus.line = Line(rate, *bent)
    pico.listen(250_000)
    assert pico.value("can.measured_rate()") is None
    pico.bus.put(frames(4))
    assert pico.value("measured(20)") == rate
    assert pico.bus.n_dominant == 0
    pico.run(10_000)  # of 50 kbit/s: what is left


def test_a_frame_now_and_then_is_enough_and_the_receiver_misses_none(pico):
    """Frames of 8 bytes and 0x55 at 500 kbit/s, one in 20 ms, and an idle bus before the first."""
    pico.bus.line = Line(500_000)
    pico.listen(500_000)
    sent = frames(6)
    pico.exec("time.sleep_ms(30); can.measured_rate()")
    pico.bus.put(sent, space_bits=10_000)
    assert pico.value("measured(100)") == 500_000
    pico.run(100_000)
    assert len(pico.frames()) == len(sent)


def test_a_silent_bus_has_no_rate_yet(pico):
    assert pico.value("measured(50)") is None
    pico.bus.line = Line(1_000_000)
    pico.listen(1_000_000)
    pico.bus.put(frames(20))
    assert pico.value("measured(20)") == 1_000_000, "the measurement waited for the first edge"


def test_noise_has_none(pico):
    """Levels of 1 to 30 samples at random: no rate divides them."""
    rng = random.Random(5)
    at_ps, changes = 0, []
    for i in range(400):
        at_ps += rng.randrange(125_000, 3_750_000)
        changes.append((at_ps, i & 1))
    pico.listen(500_000)
    assert pico.value("can.measured_rate()") is None
    pico.bus.put_levels([*changes, (at_ps + 10**6, 1)])
    assert pico.value("measured(20)") == 0


def test_measurements_leave_no_channel_behind(pico):
    pico.bus.line = Line(500_000)
    pico.listen(500_000)
    pico.bus.put(frames(1000))
    assert pico.value("[measured(20) for _ in range(16)]") == [500_000] * 16
