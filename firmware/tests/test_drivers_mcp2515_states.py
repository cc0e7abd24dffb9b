"""The MCP2515's driver on its register model: loss, states and counters, wrong answers, death."""

import pytest
from mcp2515_rig import Rig

from drivers.can_filters import FLAG_EXT_ID, cover_ids
from drivers.mcp2515 import Mcp2515
from logger.ring import AT_LEAST, COUNT
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


@pytest.mark.parametrize("flags, n", [(0x40, 1), (0x80, 1), (0xC0, 2)])
def test_overflow_is_counted_reported_and_cleared(flags, n):
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
    assert int.from_bytes(record[:4], "little") & 0xFFFFFFF == 200_000, "not its own time"
    rig.poll()
    assert rig.ring.state[COUNT] == 1, "reported twice"


def test_overflow_is_reported_later_when_the_ring_was_full():
    rig = Rig()
    rig.ring.state[2] = 2
    rig.port.registers[0x2D] = 0x80
    rig.poll()
    assert rig.ring.state[AT_LEAST] == 1 and rig.ring.state[COUNT] == 0
    rig.ring.state[3] = 1
    rig.poll()
    assert rig.ring.state[AT_LEAST] == 1 and rig.ring.state[COUNT] == 1


@pytest.mark.parametrize("bus", [0, 1])
def test_each_loss_is_recorded_and_all_are_counted_for_their_bus(bus):
    """One, two, one: four in all; a record has those since the one before and the poll before."""
    rig = Rig(bus=bus)
    for i, (flags, n, total) in enumerate(((0x40, 1, 1), (0xC0, 2, 3), (0x80, 1, 4))):
        rig.port.registers[0x2D] = flags
        rig.poll()
        assert [rig.ring.state[AT_LEAST + b] for b in (bus, 1 - bus)] == [total, 0]
        assert rig.can.get_counters()[7] == total
        record = bytes(rig.ring.blocks[0][64 + 16 * i : 80 + 16 * i])
        assert int.from_bytes(record[4:8], "little") >> 29 == bus
        assert int.from_bytes(record[8:12], "little") == n
        assert int.from_bytes(record[12:16], "little") == 100_000 * i


def test_what_is_lost_before_the_first_poll_is_lost_since_the_start():
    rig = Rig()
    rig.can.stop()
    rig.t_us = 7_000_000
    rig.can.start(rig.ring)
    rig.port.registers[0x2D] = 0x40
    rig.poll()
    assert int.from_bytes(rig.ring.blocks[0][76:80], "little") == 7_000_000


def test_a_controller_that_was_stopped_is_left_alone():
    """Its registers are not those of a session; it is not set up again for that."""
    rig = Rig()
    rig.can.stop()
    rig.port._reset()
    for _ in range(12):
        rig.poll()
    assert rig.port.mode == 4 and not rig.port.started and rig.ring.state[COUNT] == 0


def test_a_bit_rate_that_cannot_be_made_is_no_controller_and_raises_nothing():
    """Settings are checked before; the capture plane never raises all the same."""
    rig = Rig()
    rig.can.set_up({"bitrate_bps": 300_000, "ids": None})
    rig.can.start(rig.ring)
    rig.poll()
    assert not rig.can.answers and not rig.port.started


def test_a_chip_whose_filters_cannot_be_set_is_tried_again(monkeypatch):
    rig = Rig()
    rig.can.stop()

    def refuse(filters):
        raise OSError("the CAN controller stays in its mode")

    with monkeypatch.context() as patch:
        patch.setattr(rig.can, "set_filters", refuse)
        rig.can.start(rig.ring)
        assert not rig.can.answers and not rig.port.started
    for _ in range(9):
        rig.poll()
        assert not rig.can.answers
    rig.poll()
    assert rig.can.answers and rig.port.started and rig.port.mode == 3


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
    assert rig.ring.state[COUNT] == 0 and rig.can.state() == BUS_STOPPED
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


@pytest.mark.parametrize("needs_us", [0, 3000])
def test_a_crystal_that_starts_slowly_is_waited_for(needs_us):
    """It may take some milliseconds after power-on; until then the chip reads as zeros."""
    rig = Rig()
    rig.can.stop()
    waited_us, transfer = [0], rig.port.transfer

    def transfer_early(buf, n):
        transfer(buf, n)
        if buf[0] == 0x03 and waited_us[0] < needs_us:
            buf[2:n] = bytes(n - 2)

    rig.port.transfer = transfer_early
    rig.port.wait_us = lambda us: waited_us.__setitem__(0, waited_us[0] + us)
    rig.can.start(rig.ring)
    assert rig.can.answers and rig.port.mode == 3


@pytest.mark.parametrize(
    ("low", "fault", "used"),
    [
        (1, faults.WIRE_INTERRUPT, (True, False)),
        (2, faults.WIRE_FULL, (False, True)),
        (4, faults.WIRE_FULL, (False, True)),
        (7, faults.WIRES, (False, False)),
    ],
)
def test_a_wire_that_lies_on_ground_is_named_and_not_used(low, fault, used):
    """Bit 0 INT, 1 RX0BF, 2 RX1BF: these read low all the time."""
    rig = Rig()
    rig.can.stop()
    low_pins = rig.port.low_pins
    rig.port.low_pins = lambda: low_pins() | low
    rig.can.start(rig.ring)
    assert (rig.can.wire_fault, rig.port.used) == (fault, used)


def test_a_set_up_forgets_the_errors_and_takes_all_without_a_list():
    rig = Rig([0x123])
    rig.can.n_errors, rig.can.counters[7] = 5, 9
    for ids in (None, []):
        rig.can.set_up({"bitrate_bps": 500_000, "ids": ids})
        assert not rig.port.started and rig.port.mode == 4, "it still receives"
        assert rig.can.n_errors == 0 and rig.can.get_counters()[7] == 0
        rig.can.start(rig.ring)
        assert rig.port.accepts(0x124, False) and rig.port.accepts(0x1ABCDEF, True)


def test_the_highest_standard_identifier_is_one():
    assert cover_ids([0x7FF]) == [(0x7FF, 0x7FF, 0)]
    assert cover_ids([0x800]) == [(0x800, 0x1FFFFFFF, FLAG_EXT_ID)]


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
