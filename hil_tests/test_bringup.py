"""`stagelog bringup` on an emulated board and on real ones: a good board passes, each missing wire
and each fault is named, nothing is sent to the bus, and the logger records again afterwards.

Counts are small here; the sheet in docs/reference/bringup.md is that of all of them.
"""

from dataclasses import replace

import pytest

from slog.messages import STATE_RECORDING
from stagelog.bringup import (
    FAIL,
    NOT_MEASURED,
    PASS,
    QUICK,
    SECTIONS,
    BringUp,
    load_reference,
)
from stagelog.bringup.program import build_program
from stagelog.flash.build import FlashError
from stagelog.rig.bus.wave import Line
from stagelog.rig.play import saturated_tape
from stagelog.rig.rp2040.firmware import logger_files
from stagelog.rig.rp2040.target import Rp2040Target
from stagelog.rig.runtimes import find_runtime

FEW = replace(QUICK, patterns=400, stamps=300, capture=1500, writes=30, sectors=50, pulls=1)
IMAGE = "pico-1.26"  # 1.25 has no timer that interrupts whatever runs
SPI_ASKED = {"controller SCK", "controller SI", "controller CS"}
CARD_WIRES = {"card CLK", "card DI", "card DO", "card CS"}


@pytest.fixture
def make_target(tmp_path):
    """A function that makes an emulated board which has the program in its flash already."""
    image = find_runtime(IMAGE)
    if image is None:
        pytest.skip(f"no MicroPython for the Pico: run tools/runtimes {IMAGE}")
    made = []

    def make(board="pico_mcp2515", **options):
        files = {**logger_files(board), "bringup.app": build_program(board, "armv6m")}
        made.append(Rp2040Target(tmp_path, image=image, files=files, board=board, **options))
        return made[-1]

    yield make
    for target in made:
        target.close()


def measure(target, *sections, counts=FEW, **options):
    """Return the rows of a bring-up by their keys."""
    with target.bench() as bench:
        sheet = BringUp(bench, counts, sections or SECTIONS, **options).run("a test")
    return {row.key: row for row in sheet.rows}


def failed(rows):
    return {key for key, row in rows.items() if row.verdict == FAIL}


@pytest.mark.needs("bench")
def test_a_good_board_passes_and_records_again(target):
    rows = measure(target)
    assert not failed(rows), [rows[key] for key in failed(rows)]
    assert rows["capture.lost"].unit == f"of {FEW.capture:,}"
    assert set(load_reference()) >= rows.keys()
    assert target.link.status().state == STATE_RECORDING
    assert len(target.link.list_sessions()) == 1, "the sessions of the bring-up are erased"


@pytest.mark.parametrize(
    "wiring, named",
    [
        ({"open_wires": ["SCK"]}, SPI_ASKED),  # without any of the three nothing happens at all
        ({"open_wires": ["SI"]}, SPI_ASKED),
        ({"open_wires": ["CS"]}, SPI_ASKED),
        ({"open_wires": ["SO"]}, {"controller SO"}),
        ({"interrupt": None}, {"controller INT"}),
        ({"rx0bf": None}, {"controller RX0BF"}),
        ({"rx1bf": None}, {"controller RX1BF"}),
        ({"rx0bf": None, "rx1bf": None}, {"controller RX0BF", "controller RX1BF"}),
        ({"rx0bf": 8, "rx1bf": 7}, {"controller RX0BF", "controller RX1BF"}),
        ({"interrupt": None, "rx0bf": None}, {"controller INT", "controller RX0BF"}),
        ({"interrupt": None, "open_wires": ["SO"]}, {"controller INT", "controller SO"}),
    ],
    ids=lambda value: " + ".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_missing_wire_of_the_controller_is_named(make_target, wiring, named):
    rows = measure(make_target(wiring=wiring), "wires").values()
    assert {row.title for row in rows if row.verdict == FAIL} == named
    for row in rows:
        if row.verdict == FAIL:
            assert row.limit.split(",")[0] in row.action  # GPIO n


@pytest.mark.parametrize("wire", ["CLK", "DI", "DO", "CS"])
def test_a_missing_wire_of_the_card_is_named(make_target, wire):
    rows = measure(make_target(card_wiring={"open_wires": [wire]}), "wires", "capture")
    assert {row.title for row in rows.values() if row.verdict == FAIL} == CARD_WIRES
    assert rows["capture"].verdict == NOT_MEASURED


@pytest.mark.parametrize("crystal_Hz, MHz, ppm", [(16_003_200, 16, 200), (7_998_400, 8, -200)])
def test_the_crystal_is_recognised_by_its_frames(make_target, crystal_Hz, MHz, ppm):
    """200 ppm of 16 MHz are 3,200 Hz, of 8 MHz 1,600. Both ends of a stretch of 1.82 s at 125
    kbit/s (3.6 s with 8 MHz) are noticed within 18 us, which a question of 16 takes: 10 ppm.
    """
    target = make_target(crystal_Hz=crystal_Hz)
    rows = measure(target, "crystal", counts=replace(FEW, frames=2000))
    assert rows["crystal.MHz"].value == MHz
    assert (rows["crystal.MHz"].verdict == PASS) == (MHz == 16)
    assert abs(rows["crystal.ppm"].value - ppm) <= 10
    assert rows["crystal.gap"].value == 3


@pytest.mark.parametrize("release_ns", [0, 500, 1900])
def test_the_release_is_measured_within_its_steps(make_target, release_ns):
    rows = measure(make_target(wiring={"release_ns": release_ns}), "release")
    for name in ("INT", "RX0BF", "RX1BF"):
        assert release_ns <= rows[f"release.{name}"].value <= release_ns + 200
        assert rows[f"release.{name}"].verdict == PASS


def test_noise_on_the_spi_fails_its_rows(make_target):
    """400 patterns of 64 bits at 1 wrong bit in 1,000: 25 are wrong in the mean, never 0."""
    target = make_target()
    target.can.bit_errors = 1e-3
    rows = measure(target, "spi")
    assert failed(rows) == {"spi.1MHz", "spi.2MHz", "spi.4MHz", "spi.8MHz"}
    assert 5 < rows["spi.8MHz"].value < 60


@pytest.mark.parametrize("bitrate_bps", [250_000, 500_000])
def test_the_bit_rate_of_a_live_bus_is_found(make_target, bitrate_bps):
    """Its settings say 500 kbit/s, which is right in one case only."""
    target = make_target()
    target.can.bitrate_bps = bitrate_bps
    target.can.play(saturated_tape(bitrate_bps, 12_000_000, 8))
    rows = measure(target, "listen", despite_sessions=True)
    assert rows["listen.found"].value == bitrate_bps
    assert (rows["listen.found"].verdict == PASS) == (bitrate_bps == 500_000)
    assert not target.can.n_dominant


def test_a_weak_supply_fails(make_target):
    target = make_target()
    target.board.set_supply(3_700)
    rows = measure(target, "supply")
    assert failed(rows) == {"supply.least"}
    assert abs(rows["supply.least"].value - 3_700) < 20


@pytest.mark.parametrize("board", ["pico_mcp2515", "pico_pio"])
@pytest.mark.parametrize(
    "is_good, value", [(True, "connected"), (None, "missing"), (False, "low")]
)
def test_power_good_is_read(make_target, board, is_good, value):
    """WIRING.md, Pins: GPIO 22. The supply holds it at 3.3 V through 10 kOhm; a wire that is open
    follows the pulls of the Pico; a supply that fails holds it at ground against its pull-up.
    """
    target = make_target(board)
    target.board.set_power_good(is_good)
    row = measure(target, "wires")["wires.supply.PG"]
    assert row.value == value and (row.verdict == PASS) == (value == "connected")
    if value != "connected":
        assert "GPIO 22 (pin 29)" in row.action


@pytest.mark.parametrize("is_good, value", [(True, 0), (None, None), (False, 1)])
def test_a_supply_that_fails_while_the_card_is_written_is_seen(make_target, is_good, value):
    """An open wire is high by the Pico's own pull-up, which proves nothing."""
    target = make_target()
    target.board.set_power_good(is_good)
    row = measure(target, "supply")["supply.fails"]
    assert row.value == value
    assert row.verdict == {True: PASS, None: NOT_MEASURED, False: FAIL}[is_good]


def test_a_logger_with_frames_of_its_own_is_left_alone(make_target):
    target = make_target()
    target.play(saturated_tape(500_000, 300_000, 8))
    target.run_for(500_000)
    with pytest.raises(FlashError, match="is recording frames"):
        measure(target, "wires")
    assert target.link.status().state == STATE_RECORDING


def test_loopback_keeps_txcan_recessive(make_target):
    """`n_dominant` counts what the model's TXCAN drives: in normal mode each frame."""
    target = make_target()
    measure(target, "crystal", "interrupt", "stamp", "capture")
    assert target.can.n_dominant == 0
    assert not target.can.sent


def test_a_board_without_a_controller_on_a_live_bus(make_target):
    """The bus has 250 kbit/s, its settings say 500. 300 ms of a full bus at 250 kbit/s are 500
    frames of 8 bytes or more.
    """
    target = make_target("pico_pio")
    target.can.line = Line(250_000)
    target.can.play(saturated_tape(250_000, 9_000_000, 8))
    rows = measure(target, despite_sessions=True)
    assert failed(rows) == {"listen.0.rate"}
    assert rows["listen.0.rate"].value == 250_000
    assert rows["listen.0.frames"].value >= 500 and rows["listen.0.errors"].value == 0
    assert rows["wires.transceiver.RXD"].value == "connected"
    assert rows["card.read_12MHz"].value == 0 and not target.can.n_dominant
    assert target.link.status().state == STATE_RECORDING


def test_a_missing_rxd_is_named_by_bus(make_target):
    target = make_target("pico_pio_dual")
    target.second.unplug()
    rows = measure(target, "wires")
    assert failed(rows) == {"wires.transceiver.RXD of bus 1"}
    assert rows["wires.input.6"].verdict == rows["wires.input.7"].verdict == PASS
