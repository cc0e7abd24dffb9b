"""The MCP2515's control plane on a register model: timing, filters, states, loss, death."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.can_filters import FLAG_EXT_ID, cover_ids, filter_registers
from drivers.mcp2515 import Mcp2515, find_timing
from logger.clock import Clock
from logger.ring import AT_LEAST, COUNT, BlockRing
from slog import faults
from slog.layout import (
    BUS_ACTIVE,
    BUS_OFF,
    BUS_PASSIVE,
    BUS_STOPPED,
    BUS_WARNING,
    GAP_CONTROLLER,
    META_GAP,
)

STANDARD = st.integers(0, 0x7FF)
EXTENDED = st.integers(0x800, 0x1FFFFFFF)
MASKS = (0x20, 0x24)
FILTERS = ((0x00, 0x04), (0x08, 0x10, 0x14, 0x18))


class FakePort:
    """A register model behind `transfer`, written from the data sheet (DS20001801).

    `dead` makes it read as ones; without `bus_idle` it never leaves its mode. `wires` holds the
    pins that are connected, bit 0 INT, 1 RX0BF, 2 RX1BF; `used` what the driver chose.
    """

    has_full_pins = True

    def __init__(self):
        self.registers = bytearray(128)
        self.dead = False
        self.stuck = False
        self.started = False
        self.wakes = 0
        self.wires = 7
        self.used = None
        self.doubts = 0
        self.wrong_once = None
        self.resets = -1
        self.bus_idle = True
        self._reset()

    def transfer(self, buf, n):
        if self.dead:
            buf[:n] = b"\xff" * n
            return
        command, address = buf[0], buf[1]
        if command == 0xC0:
            self._reset()
        elif command == 0x03:
            for i in range(2, n):
                buf[i] = self.registers[address + i - 2]
                if self.wrong_once and self.wrong_once[0] == address + i - 2:
                    buf[i] ^= self.wrong_once[1]
                    self.wrong_once = None
        elif command == 0x02:
            for i in range(2, n):
                self._write(address + i - 2, buf[i])
        elif command == 0x05:
            old = self.registers[address]
            self._write(address, old & ~buf[2] | buf[3] & buf[2])
        else:
            raise AssertionError(f"command {command:#x}")

    def start(self, bus):
        self.started = True

    def stop(self):
        self.started = False

    def is_stuck(self):
        return self.stuck

    def wake(self):
        self.wakes += 1
        self.stuck = False

    def low_pins(self):
        control, enabled, raised = (self.registers[at] for at in (0x0C, 0x2B, 0x2C))
        low = int(bool(enabled & raised))
        for buffer in (0, 1):
            if control >> 2 + buffer & 1:
                is_flag = control >> buffer & 1
                high = not raised >> buffer & 1 if is_flag else control >> 4 + buffer & 1
                low |= (not high) << 1 + buffer
        return low & self.wires

    def is_unheard(self, buffers):
        full, interrupt = self.used
        return bool(buffers & ~self.low_pins() >> 1) if full else False

    def use(self, full, interrupt):
        assert not self.started
        self.used = full, interrupt

    def n_doubts(self):
        return self.doubts

    def wait_us(self, us):
        """No time passes here."""

    @property
    def mode(self):
        return self.registers[0x0E] >> 5

    def accepts(self, can_id, extended, data=b"\0\0"):
        """Tell whether the set-up lets a frame pass, buffer by buffer, as the chip does."""
        word = can_id << 3 if extended else can_id << 21
        if not extended:
            word |= data[0] << 11 | data[1] << 3
        for buffer in (0, 1):
            assert self.registers[0x60 + 0x10 * buffer] & 0x60 == 0, "takes frames with errors too"
            mask = self._identifier(MASKS[buffer])
            for address in FILTERS[buffer]:
                if bool(self.registers[address + 1] & 8) != extended:
                    continue
                if not (self._identifier(address) ^ word) & mask:
                    return True
        return False

    def _identifier(self, address):
        """Return the 29 bits of a mask or filter, standard part on top, shifted left by 3."""
        b0, b1, b2, b3 = self.registers[address : address + 4]
        return (b0 << 21 | (b1 >> 5) << 18 | (b1 & 3) << 16 | b2 << 8 | b3) << 3

    def _reset(self):
        self.resets += 1
        self.registers[:] = bytes(128)
        self.registers[0x0E] = 0x80
        self.registers[0x0F] = 0x87

    def _write(self, address, value):
        needs_config = address < 0x0C or 0x10 <= address < 0x1C or 0x20 <= address <= 0x2A
        if needs_config and self.mode != 4:
            return
        if address == 0x0E:
            return
        self.registers[address] = value
        if address == 0x0F and (self.bus_idle or value & 0xE0 == 0x80):
            self.registers[0x0E] = value & 0xE0


class Rig:
    def __init__(self, ids=None, bitrate_bps=500000, crystal_Hz=16_000_000, wires=7):
        self.t_us = 0
        self.port = FakePort()
        self.port.wires = wires
        self.ring = BlockRing(2)
        self.can = Mcp2515(self.port, Clock(lambda: self.t_us & 0x3FFFFFFF), crystal_Hz)
        self.can.set_up({"bitrate_bps": bitrate_bps, "ids": ids})
        self.can.start(self.ring)

    def poll(self, t_us=100_000):
        self.t_us += t_us
        self.can.poll(self.ring)


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


@pytest.mark.parametrize("flags, n", [(0x40, 1), (0x80, 1), (0xC0, 2)])
def test_overflow_is_counted_told_and_cleared(flags, n):
    rig = Rig()
    rig.poll(100_000)
    rig.port.registers[0x2D] = flags | 0x01
    rig.poll(100_000)
    assert rig.ring.state[AT_LEAST] == n
    assert rig.can.get_counters()[7] == n
    assert rig.port.registers[0x2D] == 0x01
    record = bytes(rig.ring.blocks[0][64:80])
    w1 = int.from_bytes(record[4:8], "little")
    assert (w1 & 0xFF, w1 >> 8 & 0x1FFFFF) == (META_GAP, GAP_CONTROLLER)
    assert int.from_bytes(record[8:12], "little") == n
    assert int.from_bytes(record[12:16], "little") == 100_000, "not the poll before the loss"
    rig.poll()
    assert rig.ring.state[COUNT] == 1, "told twice"


def test_overflow_is_told_later_when_the_ring_was_full():
    rig = Rig()
    rig.ring.state[2] = 2
    rig.port.registers[0x2D] = 0x80
    rig.poll()
    assert rig.ring.state[AT_LEAST] == 1 and rig.ring.state[COUNT] == 0
    rig.ring.state[3] = 1
    rig.poll()
    assert rig.ring.state[AT_LEAST] == 1 and rig.ring.state[COUNT] == 1


@pytest.mark.parametrize(
    "errors, state",
    [(0x03, BUS_WARNING), (0x0B, BUS_PASSIVE), (0x15, BUS_PASSIVE), (0x35, BUS_OFF)],
)
def test_error_flags_become_states_and_counts(errors, state):
    rig = Rig()
    rig.poll()
    rig.port.registers[0x2D] = errors
    rig.port.registers[0x1C:0x1E] = bytes((200, 130))
    rig.poll()
    rig.poll()
    assert rig.can.state() == state
    assert rig.can.counters[:2] == [200, 130] and rig.can.counters[state] == 1
    rig.port.registers[0x2D] = 0
    rig.poll()
    assert rig.can.state() == BUS_ACTIVE


def test_counters_have_the_places_of_machine_can():
    rig = Rig()
    for errors, full in ((0x35, 3), (0x0B, 1), (0x35, 0), (0, 2)):
        rig.port.registers[0x2D] = errors
        rig.port.registers[0x2C] = full
        rig.port.registers[0x1C:0x1E] = bytes((200, 130))
        rig.poll()
    listed = [None] * 8
    assert rig.can.get_counters(listed) is listed
    assert listed == [200, 130, 1, 1, 2, 0, 1, 0]


def test_numbers_are_those_of_machine_can():
    states = ("STOPPED", "ACTIVE", "WARNING", "PASSIVE", "BUS_OFF")
    assert [getattr(Mcp2515, f"STATE_{name}") for name in states] == [0, 1, 2, 3, 4]
    assert (Mcp2515.FLAG_RTR, Mcp2515.FLAG_EXT_ID, Mcp2515.FILTERS_MAX) == (1, 2, 6)


def test_a_wrong_answer_is_counted_and_changes_nothing():
    """Register, wrong bit, in turn: each is read right the second time."""
    rig = Rig()
    for n, (address, bit) in enumerate(((0x0C, 1), (0x0F, 0x80), (0x2B, 4), (0x2D, 0x80)), 1):
        rig.port.wrong_once = (address, bit)
        rig.poll()
        assert rig.can.doubts == n, hex(address)
    assert rig.can.state() == BUS_ACTIVE and rig.port.resets == 1
    assert rig.ring.state[AT_LEAST] == 0 and rig.ring.state[COUNT] == 0


def test_a_register_that_changed_has_the_chip_set_up_again():
    rig = Rig()
    rig.port.registers[0x0C] = 0
    rig.poll()
    assert rig.port.registers[0x0C] == 0x0F and rig.port.resets == 2


def test_a_wrong_bit_rate_warns_though_silent():
    rig = Rig()
    rig.port.registers[0x2C] = 0x80
    rig.poll()
    assert (rig.can.state(), rig.can.n_errors, rig.port.registers[0x2C]) == (BUS_WARNING, 1, 0)


def test_a_chip_that_does_not_answer_is_tried_again():
    rig = Rig()
    rig.port.dead = True
    rig.poll()
    assert not rig.can.answers and not rig.port.started
    for _ in range(5):
        rig.poll()
    assert rig.ring.state[COUNT] == 0
    rig.port.dead = False
    for _ in range(10):
        rig.poll()
    assert rig.can.answers and rig.port.started and rig.port.mode == 3
    gap = bytes(rig.ring.blocks[0][64:80])
    assert gap[4] == META_GAP and gap[8:12] == bytes(4) and rig.ring.state[COUNT] == 1
    assert int.from_bytes(gap[12:16], "little") == 0, "not since the last poll that it answered"


def test_a_chip_that_was_reset_is_set_up_again():
    rig = Rig([0x123])
    rig.port._reset()
    rig.poll()
    assert rig.port.mode == 3 and rig.port.accepts(0x123, False)


def test_the_filters_last_set_are_those_of_a_chip_that_comes_back():
    rig = Rig()
    rig.can.set_filters([(0x123, 0x7FF, 0)])
    rig.port._reset()
    rig.poll()
    assert rig.port.accepts(0x123, False) and not rig.port.accepts(0x124, False)
    rig.can.restart()
    assert rig.port.accepts(0x123, False) and not rig.port.accepts(0x124, False)


def test_a_restart_receives_on_and_forgets_the_counters():
    """The interrupt is off meanwhile: the wires are tested."""
    rig = Rig()
    rig.port.registers[0x2D] = 0x80
    rig.poll()
    assert rig.can.get_counters()[7] == 1
    rig.can.restart()
    assert rig.port.started and rig.port.resets == 2 and rig.can.get_counters() == [0] * 8
    rig.can.deinit()
    assert not rig.port.started and rig.can.state() == BUS_STOPPED
    rig.can.restart()
    assert not rig.port.started, "receives without a ring"


@pytest.mark.parametrize(("mode", "operation"), [(0x00, 0), (0x40, 2), (0x60, 3), (None, 3)])
def test_modes_are_those_of_the_data_sheet(mode, operation):
    """REQOP: 0 normal, 2 loopback, 3 listen only."""
    rig = Rig()
    rig.can.stop()
    rig.can.init(500_000, mode)
    rig.can.set_filters(None)
    assert rig.port.mode == operation and rig.can.listen_only == (operation == 3)
    rig.can.restart()
    assert rig.port.mode == operation


def test_doubts_of_the_handler_are_those_of_the_controller():
    """Its answers to the handler and to the polls count in one number."""
    rig = Rig()
    rig.port.doubts = 3
    rig.port.wrong_once = (0x0C, 1)
    rig.poll()
    assert rig.can.doubts == 4


def test_ids_of_both_kinds_are_shared_out_by_their_numbers():
    """Two of one kind and four of the other, whichever is more."""
    for standard, extended in (
        ([1, 2, 3, 4], [0x800, 0x801]),
        ([1, 2], [0x800 + i for i in range(4)]),
    ):
        exact = [(x, 0x7FF, 0) for x in standard]
        exact += [(x, 0x1FFFFFFF, FLAG_EXT_ID) for x in extended]
        assert sorted(cover_ids(standard + extended)) == sorted(exact)


def test_a_bus_that_never_is_idle_keeps_the_chip_from_its_mode():
    rig = Rig()
    rig.can.stop()
    rig.port.bus_idle = False
    rig.can.start(rig.ring)
    rig.poll()
    assert rig.can.answers and rig.can.state() == BUS_STOPPED


def test_a_pin_that_stays_low_is_served():
    rig = Rig()
    rig.port.stuck = True
    rig.poll()
    assert rig.port.wakes == 1


def test_stop_leaves_the_bus():
    rig = Rig()
    rig.can.stop()
    assert rig.port.mode == 4 and not rig.port.started and rig.can.state() == BUS_STOPPED


def test_init_without_a_chip_raises():
    rig = Rig()
    rig.port.dead = True
    with pytest.raises(OSError, match="no CAN controller"):
        rig.can.init(500_000)
