"""The MCP2515's control plane on a register model: timing, wires, filters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp2515_rig import FILTERS, MASKS, Rig

from drivers.can_filters import FLAG_EXT_ID, cover_ids, filter_registers
from drivers.mcp2515 import find_timing
from slog import faults
from slog.layout import (
    BUS_ACTIVE,
)

STANDARD = st.integers(0, 0x7FF)
EXTENDED = st.integers(0x800, 0x1FFFFFFF)


@pytest.mark.parametrize("crystal_Hz", [8_000_000, 16_000_000])
@pytest.mark.parametrize("bitrate_bps", [125_000, 250_000, 500_000, 1_000_000])
def test_timing_is_exact(crystal_Hz, bitrate_bps):
    rig = Rig(bitrate_bps=bitrate_bps, crystal_Hz=crystal_Hz)
    cnf3, cnf2, cnf1 = rig.port.registers[0x28:0x2B]
    assert cnf2 & 0x80, "PS2 would follow PS1"
    prop, ps1, ps2 = (cnf2 & 7) + 1, (cnf2 >> 3 & 7) + 1, (cnf3 & 7) + 1
    quanta = 1 + prop + ps1 + ps2
    assert crystal_Hz == 2 * ((cnf1 & 63) + 1) * quanta * bitrate_bps
    assert 0.75 <= (1 + prop + ps1) / quanta <= 0.82
    if quanta >= 8:
        assert prop + ps1 >= ps2 >= 2 and ps2 > (cnf1 >> 6) + 1
    assert rig.can.get_timings() == [bitrate_bps, (cnf1 >> 6) + 1, prop + ps1, ps2, None, None]


@pytest.mark.parametrize(
    ("crystal_Hz", "bitrate_bps", "cnf"),
    [
        # 16 quanta: 1, PRSEG 6, PS1 6, PS2 3; SJW 2; each register holds one less
        (16_000_000, 500_000, (0x02, 0xAD, 0x40)),
        (16_000_000, 125_000, (0x02, 0xAD, 0x43)),  # quanta four times as long
        (8_000_000, 250_000, (0x02, 0xAD, 0x40)),
        # 8 quanta: 1, PRSEG 2, PS1 3, PS2 2; SJW 1
        (16_000_000, 1_000_000, (0x01, 0x91, 0x00)),
    ],
)
def test_timing_registers_are_those_worked_out_by_hand(crystal_Hz, bitrate_bps, cnf):
    """CNF3, CNF2 (BTLMODE set), CNF1: data sheet DS20001801, 5.0."""
    rig = Rig(bitrate_bps=bitrate_bps, crystal_Hz=crystal_Hz)
    assert tuple(rig.port.registers[0x28:0x2B]) == cnf


def test_timing_that_is_not_exact_is_refused():
    with pytest.raises(ValueError, match="300000"):
        find_timing(16_000_000, 300_000)


def test_starts_silent_with_both_interrupts_and_full_pins():
    rig = Rig()
    assert rig.can.answers and rig.can.listen_only and rig.port.started
    assert rig.port.mode == 3
    assert rig.port.registers[0x2B] == 3 and rig.port.registers[0x0C] == 0x0F
    assert rig.port.registers[0x60] & 4, "no roll-over"
    rig.poll()
    assert rig.can.state() == BUS_ACTIVE


@pytest.mark.parametrize(
    "wires, fault, used",
    [
        (7, faults.NONE, (True, True)),
        (6, faults.WIRE_INTERRUPT, (True, False)),
        (5, faults.WIRE_FULL, (False, True)),
        (3, faults.WIRE_FULL, (False, True)),
        (1, faults.WIRE_FULL, (False, True)),
        (0, faults.WIRES, (False, False)),
    ],
)
def test_wires_that_do_not_arrive_are_named_and_not_used(wires, fault, used):
    rig = Rig(wires=wires)
    assert (rig.can.wire_fault, rig.port.used) == (fault, used)
    assert rig.port.registers[0x2B] == 3 and rig.port.registers[0x0C] == 0x0F
    assert rig.port.registers[0x2C] == 0, "the forced interrupt is still there"
    assert not any(rig.port.registers[at] & 8 for at in (0x30, 0x40, 0x50)), "asked to send"


def test_a_buffer_that_calls_by_no_pin_has_the_wires_tested_again():
    rig = Rig()
    rig.port.wires = 5
    rig.port.registers[0x2C] = 1
    rig.poll()
    assert rig.can.wire_fault == faults.WIRE_FULL and rig.port.used == (False, True)


def test_takes_all_frames_without_a_list():
    rig = Rig()
    for can_id in (0, 0x7FF):
        assert rig.port.accepts(can_id, False, b"\xa5\x5a")
    for can_id in (0, 0x1FFFFFFF):
        assert rig.port.accepts(can_id, True)


@given(ids=st.sets(STANDARD, min_size=1, max_size=6), other=STANDARD, data=st.binary(min_size=2))
def test_six_standard_ids_are_exact(ids, other, data):
    port = Rig(sorted(ids)).port
    for can_id in ids:
        assert port.accepts(can_id, False, data)
    assert port.accepts(other, False, data) == (other in ids)
    assert not port.accepts(other, True)


@given(
    standard=st.sets(STANDARD, min_size=1, max_size=4),
    extended=st.sets(EXTENDED, min_size=1, max_size=2),
    other=EXTENDED,
    data=st.binary(min_size=2),
)
def test_four_of_one_kind_and_two_of_the_other_are_exact(standard, extended, other, data):
    port = Rig(sorted(standard | extended)).port
    for can_id in range(0x800):
        assert port.accepts(can_id, False, data) == (can_id in standard)
    for can_id in extended | {other}:
        assert port.accepts(can_id, True) == (can_id in extended)


@given(ids=st.sets(st.one_of(STANDARD, EXTENDED), min_size=1, max_size=40))
def test_a_longer_list_is_covered(ids):
    port = Rig(sorted(ids)).port
    for can_id in ids:
        assert port.accepts(can_id, can_id > 0x7FF)


def test_filters_and_masks_are_packed_as_the_data_sheet_draws_them():
    """SIDH: id 28..21; SIDL: 20..18, EXIDE, 17..16; EID8; EID0. 0x1A2B3C4D >> 21 is 0xD1, its bits
    20..18 are 2, 17..16 are 3. A standard identifier is in 28..18: 0x5A5 is B4 A0.
    """
    registers = dict(filter_registers([(0x1A2B3C4D, 0x1FFFFFFF, FLAG_EXT_ID), (0x5A5, 0x7FF, 0)]))
    assert sorted(registers) == [0x00, 0x04, 0x08, 0x10, 0x14, 0x18, 0x20, 0x24]
    extended, standard = bytes.fromhex("D14B3C4D"), bytes.fromhex("B4A00000")
    masks = {registers[at]: places for at, places in zip(MASKS, FILTERS, strict=True)}
    assert {registers[at] for at in masks[bytes.fromhex("FFE3FFFF")]} == {extended}
    assert {registers[at] for at in masks[bytes.fromhex("FFE00000")]} == {standard}


def test_a_cover_gives_up_few_bits():
    ids = [0x100, 0x101, 0x102, 0x103, 0x200, 0x300, 0x400]
    port = Rig(ids).port
    assert sum(port.accepts(can_id, False) for can_id in range(0x800)) <= 14


def test_filters_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 of one mask"):
        filter_registers([(i, 0x7FF, 0) for i in range(7)])
    with pytest.raises(ValueError, match="2 of one mask"):
        filter_registers([])
    for wrong in ((0x800, 0, 0), (0, 0x1FFFFFFF, 0), (1 << 29, 0, FLAG_EXT_ID), (0, 0, 1)):
        with pytest.raises(ValueError, match="invalid id"):
            filter_registers([wrong])
    assert cover_ids([0x12345]) == [(0x12345, 0x1FFFFFFF, FLAG_EXT_ID)]
