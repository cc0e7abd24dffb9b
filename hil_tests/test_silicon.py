"""The shipped firmware on an emulated Pico as strict as the data sheets allow, and wired badly.

Every frame is counted by the model of the controller; what it delivered must be on the card once.
"""

from dataclasses import asdict, replace

import numpy as np
import pytest

from slog import faults
from slog.layout import HEALTH_BUS, META_HEALTH
from slog.messages import BUS_COUNTERS, CONTROL_STOP
from stagelog.blocks import read_log
from stagelog.model import RTR
from stagelog.rig.bus.canbits import to_bits
from stagelog.rig.bus.wave import acknowledged_bits
from stagelog.rig.play import same_frames, saturated_tape
from stagelog.rig.rp2040.card_timing import ORDINARY
from stagelog.rig.rp2040.mcp2515 import DELIVERED, LOST
from stagelog.rig.rp2040.target import Rp2040Target
from stagelog.rig.runtimes import find_runtime

BITRATE_BPS = 500_000
PLAYED_us = 300_000


@pytest.fixture
def make_target(tmp_path):
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    made = []

    def make(**options):
        made.append(Rp2040Target(tmp_path, **options))
        return made[-1]

    yield make
    for target in made:
        target.close()


def play(target, us=PLAYED_us, n_bytes=8):
    """Fill the bus for `us`; return the tape."""
    tape = saturated_tape(BITRATE_BPS, us, n_bytes)
    target.play(tape)
    target.run_for(50_000)
    return tape


def recorded(target):
    """Stop; return the frames of the newest session on the card."""
    target.link.control(CONTROL_STOP, target.link.hello().boot)
    target.link.status()
    target.power_cut()
    session = read_log(target.card_path).sessions[-1]
    return np.concatenate(list(session.iter_frames()))


@pytest.mark.parametrize("release_ns", [0, 400, 2000])
@pytest.mark.parametrize("n_bytes", [0, 8])
def test_a_frame_is_stored_once_however_late_the_pins_rise(make_target, release_ns, n_bytes):
    target = make_target(wiring={"release_ns": release_ns})
    tape = play(target, n_bytes=n_bytes)
    assert target.can.count(DELIVERED) == len(tape)
    assert same_frames(tape, recorded(target))


@pytest.mark.parametrize(
    "wiring, fault",
    [
        ({}, faults.NONE),
        ({"rx0bf": None, "rx1bf": None}, faults.WIRE_FULL),
        ({"rx0bf": None}, faults.WIRE_FULL),
        ({"rx1bf": None}, faults.WIRE_FULL),
        ({"rx0bf": 8, "rx1bf": 7}, faults.WIRE_FULL),
        ({"interrupt": None}, faults.WIRE_INTERRUPT),
    ],
    ids=["whole", "no RXnBF", "no RX0BF", "no RX1BF", "crossed", "no INT"],
)
def test_a_missing_wire_is_named_and_costs_no_frame(make_target, wiring, fault):
    target = make_target(wiring=wiring)
    tape = play(target)
    status = target.link.status()
    assert faults.TEXT[status.fault] == faults.TEXT[fault]
    assert status.at_least0 == 0
    assert same_frames(tape, recorded(target))


def test_without_any_wire_it_polls_and_says_what_is_lost(make_target):
    target = make_target(wiring={"interrupt": None, "rx0bf": None, "rx1bf": None})
    tape = play(target)
    status = target.link.status()
    n_lost = target.can.count(LOST)
    assert n_lost < len(tape) / 5
    assert (status.at_least0 > 0) == (n_lost > 0)
    assert status.fault == faults.WIRES
    assert not target.can.n_dominant
    assert len(recorded(target)) == target.can.count(DELIVERED) == len(tape) - n_lost


@pytest.mark.parametrize("pins", [(7,), (8,), (7, 8)], ids=["RX0BF", "RX1BF", "both"])
def test_a_wire_that_breaks_on_the_way_is_noticed(make_target, pins):
    """Two frames at once fill both buffers, so that each wire has something to say."""
    target = make_target()
    play(target)
    for pin in pins:
        target.can.cut_wire(pin)
    target.can.receive(1)
    target.can.receive(2)
    target.run_for(400_000)
    play(target)
    status = target.link.status()
    assert status.fault == faults.WIRE_FULL
    assert (status.at_least0 > 0) == (target.can.count(LOST) > 0)
    assert len(recorded(target)) == target.can.count(DELIVERED)


def test_a_bus_that_nobody_fetches_is_not_silent(make_target):
    target = make_target()
    for pin in (6, 7, 8):
        target.can.cut_wire(pin)
    play(target, 3_000_000)
    status = target.link.status()
    assert status.fault in (faults.WIRES, faults.CONTROLLER_OVERRUN)
    assert status.at_least0 > 0


def test_noise_on_the_wires_is_counted_and_named(make_target):
    """4,192 frames of 13 bytes have 2 bits each that always read 0: 8 of those are wrong."""
    target = make_target()
    play(target)
    assert target.link.status().doubts0 == 0
    target.can.bit_errors = 1e-3
    play(target, 1_000_000)
    target.can.bit_errors = 0
    status = target.link.status()
    assert 2 <= status.doubts0 <= 25
    assert status.fault == faults.SPI_NOISE
    n_delivered = target.can.count(DELIVERED)
    assert abs(len(recorded(target)) - n_delivered) < n_delivered / 100, "one answer in 1,000 bits"


@pytest.mark.parametrize("init_ms, most", [(120, 0), (750, 0), (950, 2000)])
def test_a_full_bus_from_power_on_waits_for_a_slow_card(make_target, init_ms, most):
    """A card may take a second to start. The ring lasts 0.7 s at 8,457 frames/s, so of the slowest
    card's time 0.2 s remain: fewer than 2,000 frames, and all of them counted.
    """
    timing = replace(ORDINARY, init_us=1000 * init_ms)
    target = make_target(bitrate_bps=1_000_000, timing=timing, card_blocks=512)
    target.power_cut()
    target.can.play(saturated_tape(1_000_000, 2_500_000, 8))
    target.power_on()
    target.run_for(1_500_000)
    status = target.link.status()
    assert status.stored0 > 8000
    assert status.dropped0 <= most and status.at_least0 == 0


def test_without_a_controller_a_full_bus_from_power_on_is_stored_from_the_first_frame_on(
    make_target,
):
    """Programmable I/O begins before the card is mounted, and its bits wait meanwhile."""
    target = make_target(board="pico_pio", bitrate_bps=1_000_000, card_blocks=512)
    target.power_cut()
    tape = saturated_tape(1_000_000, 1_800_000)
    target.can.play(tape)
    target.power_on()
    while not target.can.is_played_out:
        target.run_for(10_000)
    target.run_for(200_000)
    status = target.link.status()
    frames = recorded(target)
    assert len(frames) > 6000
    assert same_frames(tape[-len(frames) :], frames)
    assert status.dropped0 == status.at_least0 == 0


def test_without_a_controller_what_is_no_good_frame_is_counted_by_kind_in_the_log(make_target):
    """By hand: three frames cut off by six recessive bits (the sender died), two by an error flag
    after the start of frame, one FD frame of classic head and 40 fast bits, four remote frames.
    With errors, all counters are in the log within a second.
    """
    target = make_target(board="pico_pio")
    dead = [0, 1, 0, *[1] * 20]
    flagged = [0] * 7 + [1] * 8
    fd = [0, *to_bits(0x0AA, 11), 0, 0, 1, *[0, 1] * 20, *[1] * 11]
    remote = acknowledged_bits(0x123, RTR, 4)
    target.can.put([*[dead] * 3, *[flagged] * 2, fd, *[remote] * 4], space_bits=12)
    target.run_for(1_000_000)
    wanted = {"stuff": 3, "flags": 2, "fd": 1, "remote": 4}
    answer = asdict(target.link.bus_counts(0))
    assert answer == {name: wanted.get(name, 0) for name in answer}
    target.power_cut()
    session = read_log(target.card_path).sessions[-1]
    names = [row[0] for row in BUS_COUNTERS]
    found = {
        names[meta.arg - HEALTH_BUS]: meta.values["value"]
        for meta in session.decoded_meta(META_HEALTH)
        if meta.arg >= HEALTH_BUS
    }
    assert found == wanted


def test_two_buses_without_a_controller_are_stored_in_the_order_of_time(make_target):
    """Both at 500 kbit/s and never idle; each bus's own frames, and no record before another."""
    target = make_target(board="pico_pio_dual")
    tapes = [saturated_tape(BITRATE_BPS, PLAYED_us, seed=bus) for bus in (0, 1)]
    tapes[1]["bus"] = 1
    target.offer(np.concatenate(tapes))
    rates = [target.link.bus_counts(bus, measure_s=2).rate_bps for bus in (0, 1)]
    assert rates == [BITRATE_BPS] * 2
    target.play(tapes[0][:0])
    target.run_for(50_000)
    status = target.link.status()
    assert status.n_buses == 2 and status.fault == faults.NONE
    frames = recorded(target)
    for bus, tape in enumerate(tapes):
        assert same_frames(tape, frames[frames["bus"] == bus])
    assert (np.diff(frames["t_us"].astype(np.int64)) >= 0).all()
    assert not target.drove_dominant
