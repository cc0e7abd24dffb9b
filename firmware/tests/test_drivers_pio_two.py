"""Two buses received by one RP2040: each as if it were alone, all records in one order of time.

What is stored of each bus is compared with what was put on it; the order with the times at which
the rig let the frames begin.
"""

import random

import pytest

from stagelog.rig.bus.wave import Line, acknowledged_bits
from stagelog.rig.rp2040.pio_bus import PioBus
from stagelog.rig.rp2040.receiver import Receiver
from stagelog.rig.runtimes import find_runtime

SET_UP = """
raw1 = RawRing(13)
can1 = PioCan(7, clock, raw1, bus=1, partner=can)

def begin_both(rate, rate1):
    can.set_up({"bitrate_bps": rate, "ids": None})
    can1.set_up({"bitrate_bps": rate1, "ids": None})
    empty()
    ring.start_session()
    can.start(ring)
    can1.start(ring)
"""
BUS_1 = 1 << 29  # of w1


@pytest.fixture(scope="module")
def receiver():
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    made = Receiver(n_blocks=16, second=PioBus(500_000, pin=7, bus=1))
    made.exec(SET_UP)
    yield made
    made.close()


@pytest.fixture
def begin(receiver):
    """A function of two bit rates: let both buses run at them; return (receiver, bus 0, bus 1)."""

    def start(rate, rate1):
        second = receiver.board.devices[-1]
        receiver.bus.line, second.line = Line(rate), Line(rate1)
        receiver.exec(f"begin_both({rate}, {rate1})")
        return receiver, receiver.bus, second

    return start


def frames_for(us, rate_bps, seed):
    """Return (can_id, data) of frames of 8 bytes that fill a bus for a time."""
    rng = random.Random(seed)
    n = int(us * rate_bps / 1e6 / 111)
    return [(rng.getrandbits(11), rng.randbytes(8)) for _ in range(n)]


def rows_of(frames):
    return [acknowledged_bits(can_id, 0, 8, data) for can_id, data in frames]


def stored(records, bus):
    """Return (can_id, data) of the records of a bus."""
    return [(r.w1 & 0x7FF, r.data) for r in records if bool(r.w1 & BUS_1) == bus]


@pytest.mark.parametrize("rates", [(500_000, 500_000), (1_000_000, 125_000), (250_000, 1_000_000)])
def test_both_are_stored_whole_in_the_order_in_which_their_frames_began(begin, rates):
    receiver, *buses = begin(*rates)
    frames = [frames_for(200_000, rate, seed) for seed, rate in enumerate(rates)]
    starts = [bus.put(rows_of(part)) for bus, part in zip(buses, frames, strict=True)]
    receiver.run(260_000)
    found = receiver.frames()
    for bus in (0, 1):
        assert stored(found, bus) == frames[bus]
    sent = sorted(t for part in starts for t in part)
    assert max(abs(r.t_us - t) for r, t in zip(found, sent, strict=True)) <= 2
    times = [r.t_us for r in found]
    assert times == sorted(times)


def test_a_silent_bus_does_not_hold_up_the_other(begin):
    receiver, bus, _ = begin(500_000, 500_000)
    frames = frames_for(100_000, 500_000, 3)
    bus.put(rows_of(frames))
    receiver.exec("time.sleep_ms(60); can.drain()")
    assert receiver.value("ring.state[4]") > 200  # 60 ms are 240 frames or so
    receiver.run(60_000)
    assert stored(receiver.frames(), 0) == frames


def test_an_error_storm_on_one_bus_costs_the_other_nothing(begin):
    receiver, bus, second = begin(500_000, 500_000)
    frames = frames_for(100_000, 500_000, 4)
    starts = bus.put(rows_of(frames))
    second.put([[0] * 6 + [1] * 8] * 2500)
    receiver.run(110_000)
    found = receiver.frames()
    assert stored(found, 0) == frames and not stored(found, 1)
    assert max(abs(r.t_us - t) for r, t in zip(found, starts, strict=True)) <= 2
    assert receiver.value("can1.counts()[1]") == 2500
    assert receiver.value("can.counts()") == [0] * 9


@pytest.mark.parametrize("seed", range(5, 11))
def test_one_that_stops_leaves_the_other_running(begin, seed):
    """Of the other: all frames that have ended when it is stopped, none that ends after it has.
    The timer counts from power-on as the rig does; 2 us a bit. A frame counts when the last but
    one of its bits has come. To stop takes 3 ms or so, 12 frames. With some seeds both
    buses waited for each other when the last bits were decoded.
    """
    receiver, bus, second = begin(500_000, 500_000)
    frames = [frames_for(100_000, 500_000, seed) for seed in (seed, seed + 1)]
    bus.put(rows_of(frames[0]))
    rows = rows_of(frames[1])
    ends_us = [start + 2 * len(row) for start, row in zip(second.put(rows), rows, strict=True)]
    receiver.exec(
        "time.sleep_ms(50); can.drain(); t = time.ticks_us(); can1.stop(); end = time.ticks_us()"
    )
    receiver.run(60_000)
    found = receiver.frames()
    assert stored(found, 0) == frames[0]
    kept = stored(found, 1)
    least, most = (sum(at < t for at in ends_us) for t in receiver.value("(t, end)"))
    assert 150 < least <= len(kept) <= most + 1 < least + 15 and kept == frames[1][: len(kept)]


def test_neither_pin_can_be_driven_by_the_chip(begin):
    """OD, bit 7 of PADS_BANK0's GPIOn (RP2040 datasheet 2.19.6.3), overrules each output enable:
    that of SIO is set by force for both.
    """
    receiver, *buses = begin(500_000, 500_000)
    receiver.exec("machine.mem32[0xD0000024] = 3 << 6")
    peek = receiver.board.chip.engine.peek
    assert [peek(0x4001C004 + 4 * pin) & 0xC0 for pin in (6, 7)] == [0xC0, 0xC0]
    assert [bus.n_dominant for bus in buses] == [0, 0]
    receiver.exec("machine.mem32[0xD0000028] = 3 << 6")


def test_main_loop_away_for_longer_than_the_rings_of_bits_last_loses_nothing(begin):
    """The ring of bus 1 lasts 65 ms. 120 ms of both are 2,100 frames or so; 16 blocks
    take 4,032.
    """
    receiver, *buses = begin(1_000_000, 1_000_000)
    frames = [frames_for(120_000, 1_000_000, seed) for seed in (11, 12)]
    starts = [bus.put(rows_of(part)) for bus, part in zip(buses, frames, strict=True)]
    receiver.exec("time.sleep_ms(140)")
    found = receiver.frames()
    assert [stored(found, bus) for bus in (0, 1)] == frames
    sent = sorted(t for part in starts for t in part)
    assert max(abs(r.t_us - t) for r, t in zip(found, sent, strict=True)) <= 2


def test_a_bus_that_is_late_again_while_its_loss_is_recorded_is_recorded_once(begin):
    """Its ring goes round in no time here. What records the loss drains first: that went on until
    MicroPython had no more stack, and the logger stood at the prompt.
    """
    receiver, *_ = begin(1_000_000, 1_000_000)
    receiver.exec("can1._words[47] = 0\ncan.drain()")
    assert sum(record.is_gap for record in receiver.records()) <= 3  # `records` drains, too
    assert receiver.value("ring.state[9]") == 0


def test_while_the_ring_is_full_both_drop_and_count_each_frame(begin):
    receiver, *buses = begin(1_000_000, 1_000_000)
    frames = [frames_for(400_000, 1_000_000, seed) for seed in (7, 8)]
    for bus, part in zip(buses, frames, strict=True):
        bus.put(rows_of(part))
    receiver.exec("for _ in range(210): time.sleep_ms(2); can.drain()")
    receiver.exec("can.stop(); can1.stop()")
    state = receiver.value("list(ring.state)")
    assert state[4] + state[5] == 16 * 252
    assert [state[4] + state[6], state[5] + state[7]] == [len(part) for part in frames]
