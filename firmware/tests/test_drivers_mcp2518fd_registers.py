"""The MCP2518FD's driver: what it writes to registers, and what it makes of what they say. Numbers
are those of the data sheet DS20006027B and the manual DS20005678E, worked out by hand.
"""

import pytest
from mcp2518fd_rig import Rig

from drivers.can_filters import FLAG_EXT_ID
from drivers.mcp2518fd import find_timing
from logger.ring import AT_LEAST, COUNT, DONE, FREED
from slog.layout import (
    BUS_ACTIVE,
    BUS_OFF,
    BUS_PASSIVE,
    BUS_STOPPED,
    BUS_WARNING,
    GAP_CONTROLLER,
    META_GAP,
)
from stagelog.rig.sim.mcp2518fd import Mcp2518fdModel

CON, TSCON, INT, TREC, BDIAG0, FIFOCON1 = 0x000, 0x014, 0x01C, 0x034, 0x038, 0x05C
FIFOSTA1 = 0x060


def register(rig, address):
    return int.from_bytes(rig.chip._memory[address : address + 4], "little")


@pytest.mark.parametrize(
    ("crystal_Hz", "bitrate_bps", "timing"),
    [
        # 40 MHz / 500 kbit/s: 80 quanta, a fifth after the sample point: 16, then 80 - 1 - 16
        (40_000_000, 500_000, (1, 16, 63, 16)),
        (40_000_000, 1_000_000, (1, 8, 31, 8)),
        (40_000_000, 125_000, (1, 64, 255, 64)),
        (20_000_000, 500_000, (1, 8, 31, 8)),
        (4_000_000, 500_000, (1, 1, 6, 1)),
        (40_000_000, 100_000, (2, 40, 159, 40)),  # 400 quanta are more than 385
    ],
)
def test_timing_is_that_worked_out_by_hand(crystal_Hz, bitrate_bps, timing):
    assert find_timing(crystal_Hz, bitrate_bps) == timing


@pytest.mark.parametrize("bitrate_bps", [300_000, 333_333, 7_000_000])
def test_timing_that_is_not_exact_is_refused(bitrate_bps):
    with pytest.raises(ValueError, match=str(bitrate_bps)):
        find_timing(40_000_000, bitrate_bps)


@pytest.mark.parametrize(
    ("crystal_Hz", "bitrate_bps", "nbtcfg"),
    [
        # BRP - 1, TSEG1 - 1, TSEG2 - 1, SJW - 1: 0, 62, 15, 15
        (40_000_000, 500_000, 0x003E0F0F),
        (20_000_000, 250_000, 0x003E0F0F),
        (40_000_000, 100_000, 0x019E2727),
    ],
)
def test_the_registers_hold_what_the_data_sheet_wants(crystal_Hz, bitrate_bps, nbtcfg):
    """NBTCFG of the manual; TSCON counts microseconds (TBCPRE + 1 cycles) and
    stamps the end of a frame (TBCEN, TSEOF); FIFO 1 receives 32 payloads of 8 with time stamps.
    """
    rig = Rig(bitrate_bps=bitrate_bps, crystal_Hz=crystal_Hz, wire_bps=bitrate_bps)
    assert register(rig, 0x004) == nbtcfg
    assert register(rig, TSCON) == 3 << 16 | crystal_Hz // 1_000_000 - 1
    assert register(rig, FIFOCON1) & 0xFF0000FF == 31 << 24 | 1 << 5
    assert register(rig, INT) >> 16 == 2  # RXIE
    assert register(rig, CON) >> 16 & 0x18 == 0  # neither TXQEN nor STEF
    timing = find_timing(crystal_Hz, bitrate_bps)
    assert rig.can.get_timings() == [bitrate_bps, *timing[1:], None, None]


@pytest.mark.parametrize(
    ("mode", "operation"), [(3, 3), (6, 6), (2, 2), (None, 3)]
)  # listen only, classic CAN, internal loopback
def test_modes_are_those_of_the_data_sheet(mode, operation):
    rig = Rig()
    rig.can.init(500_000, mode)
    rig.can.set_filters(None)
    assert register(rig, CON) >> 21 & 7 == operation
    assert rig.can.listen_only == (operation == 3)
    assert (rig.can.MODE_NORMAL, rig.can.MODE_LOOPBACK, rig.can.MODE_SILENT) == (6, 2, 3)


def passes(rig, can_id, kind=0):
    rig.receive(can_id, kind)
    return rig.can.drain() == 1


def test_new_filters_replace_those_before():
    rig = Rig()
    assert passes(rig, 0x7FF) and passes(rig, 0x1FFFFFFF, 4)
    rig.can.set_filters([(0x100, 0x7FF, 0), (0x200, 0x7FF, 0), (0x12345, 0x1FFFFFFF, FLAG_EXT_ID)])
    assert [passes(rig, i) for i in (0x100, 0x200, 0x300)] == [True, True, False]
    assert passes(rig, 0x12345, 4) and not passes(rig, 0x12344, 4)
    rig.can.set_filters([(0x300, 0x7F0, 0)])
    assert [passes(rig, i) for i in (0x100, 0x200, 0x300, 0x30F)] == [False, False, True, True]
    assert not passes(rig, 0x12345, 4) and not passes(rig, 0x300, 4)
    rig.can.set_filters(None)
    assert passes(rig, 0x100) and passes(rig, 0x12345, 4)


def test_as_many_filters_as_the_chip_has_are_set():
    rig = Rig()
    rig.can.set_filters([(0x100 + i, 0x7FF, 0) for i in range(32)])
    assert all(passes(rig, 0x100 + i) for i in range(32)) and not passes(rig, 0x120)


class SlowModes(Mcp2518fdModel):
    """A chip that enters configuration when the bus is idle: after `n_reads` reads of its mode."""

    n_reads = 0
    _left = None

    def _write(self, address, value):
        if address == 0x003 and value & 7 == 4 and self.n_reads:
            self._memory[0x003], self._left = value & 0x0F, self.n_reads
        else:
            super()._write(address, value)

    def _read(self, address, view, n):
        if self._left is not None and address == 0:
            self._left -= 1
            if self._left <= 0:
                self._left = None
                super()._write(0x003, 4)
        super()._read(address, view, n)


@pytest.mark.parametrize("n_reads", [0, 3])
def test_the_chip_is_set_up_when_it_has_reached_its_mode(monkeypatch, n_reads):
    """A reset and most registers are allowed in configuration only."""
    monkeypatch.setattr("mcp2518fd_rig.Mcp2518fdModel", SlowModes)
    rig = Rig()
    rig.chip.n_reads = n_reads
    rig.can.start(rig.ring)
    assert rig.can.answers and not rig.chip.violations
    rig.receive()
    assert rig.can.drain() == 1


def test_a_chip_that_stays_in_its_mode_is_not_reset():
    """DS20006027B, section 4.2: RESET only in configuration. 50 readings are waited for; once the
    chip obeys, one of the later tries, ten polls apart, sets it up.
    """
    rig = Rig()
    rig.chip.__class__ = SlowModes
    rig.chip.n_reads = 1000
    sent, transfer = [], rig.chip.transfer

    def transfer_noted(view):
        sent.append(bytes(view[:2]))
        transfer(view)

    rig.chip.transfer = transfer_noted
    with pytest.raises(OSError, match="stays in its mode"):
        rig.can.init(500_000)
    assert b"\0\0" not in sent and not rig.chip.violations and not rig.can.answers
    rig.chip._left = rig.chip.n_reads = 0
    for _ in range(11):
        rig.poll()
    assert b"\0\0" in sent and rig.can.answers and not rig.chip.violations


def test_the_filters_last_set_are_those_of_a_chip_that_comes_back():
    rig = Rig()
    rig.can.set_filters([(0x123, 0x7FF, 0)])
    rig.chip.reset()
    rig.poll()
    assert passes(rig, 0x123) and not passes(rig, 0x124)
    rig.can.restart()
    assert passes(rig, 0x123) and not passes(rig, 0x124)


@pytest.mark.parametrize("wraps", [1, 2, 5])
def test_frames_before_a_wrap_of_the_clock_that_are_fetched_after_it(wraps):
    """The clock's low part has 28 bits, 268 s. Frames 3 and 1 ms before it begins anew and 1 ms
    after it are fetched together, 2 ms after it.
    """
    rig = Rig()
    wrap_us = wraps << 28
    while rig.t_us < wrap_us - 10_000_000:
        rig.poll(10_000_000)
    rig.t_us = wrap_us - 4000
    sent = [rig.receive(after_us=us) for us in (1000, 2000, 2000)]
    rig.t_us += 1000
    assert rig.can.drain() == 3
    assert [t_us for t_us, *_ in rig.ring.frames] == pytest.approx(sent, abs=1)
    assert sent == [wrap_us - 3000, wrap_us - 1000, wrap_us + 1000]


def test_the_time_of_a_chip_that_was_set_up_anew_is_right_at_once():
    """Its time base begins at 0 again, 0.5 ms after it did before."""
    rig = Rig()
    rig.receive()
    rig.can.drain()
    rig.t_us += 300
    rig.can.restart()
    sent = rig.receive()
    rig.t_us += 50
    rig.can.drain()
    assert rig.ring.frames[-1][0] == pytest.approx(sent, abs=1)


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        (0x00, BUS_ACTIVE),
        (0x01, BUS_WARNING),  # EWARN
        (0x02, BUS_WARNING),  # RXWARN
        (0x04, BUS_WARNING),  # TXWARN
        (0x0B, BUS_PASSIVE),  # RXBP and what comes with it
        (0x15, BUS_PASSIVE),  # TXBP
        (0x35, BUS_OFF),  # TXBO
    ],
)
def test_error_flags_become_states(flags, state):
    """CiTREC, bits 16 to 21."""
    rig = Rig()
    rig.chip._memory[TREC + 2] = flags
    rig.poll()
    assert rig.can.state() == state
    passed = [int(BUS_WARNING <= s <= state) for s in (2, 3, 4)]
    assert rig.can.get_counters()[2:5] == passed


def test_a_chip_that_does_not_reach_its_mode_is_stopped():
    rig = Rig()
    rig.chip._memory[CON + 2] = 4 << 5  # OPMOD: configuration, while REQOP says listen only
    rig.poll()
    assert rig.can.answers and rig.can.state() == BUS_STOPPED


def test_an_invalid_message_counts_once():
    """IVMIF without a count in BDIAG0; it is cleared."""
    rig = Rig()
    rig.chip._memory[INT + 1] |= 0x80
    rig.poll()
    assert (rig.can.n_errors, rig.can.state()) == (1, BUS_WARNING)
    rig.poll()
    assert (rig.can.n_errors, rig.can.state()) == (1, BUS_ACTIVE)


def test_errors_are_counted_across_the_wrap_of_the_chips_counter():
    """NRERRCNT has 8 bits: 250, then 4 is ten more."""
    rig = Rig()
    for count, total in ((250, 250), (4, 260), (4, 260), (5, 261)):
        rig.chip._memory[BDIAG0] = count
        rig.poll()
        assert rig.can.n_errors == total


def test_errors_before_a_restart_of_the_chip_are_not_counted_again():
    rig = Rig()
    rig.chip._memory[BDIAG0] = 7
    rig.poll()
    rig.chip.reset()
    rig.poll()
    rig.chip._memory[BDIAG0] = 2
    rig.poll()
    assert rig.can.n_errors == 9


def test_a_mode_read_wrong_once_is_a_doubt_and_no_restart():
    rig = Rig()
    transfer, wrong = rig.chip.transfer, [True]

    def transfer_wrong(view):
        is_con = bytes(view[:2]) == b"\x30\x00"
        transfer(view)
        if is_con and wrong:
            view[5] ^= wrong.pop()

    rig.chip.transfer = transfer_wrong
    rig.receive()
    rig.poll()
    assert (rig.can.doubts, rig.can.state(), rig.ring.state[AT_LEAST]) == (1, BUS_ACTIVE, 0)
    assert rig.ring.state[COUNT] == 0, "a gap was recorded"
    assert len(rig.ring.frames) == 1


def test_an_overflow_is_recorded_later_when_the_ring_was_full():
    rig = Rig()
    rig.poll()
    rig.ring.state[DONE] = 2  # both blocks wait
    rig.chip._memory[FIFOSTA1] |= 8
    rig.poll()
    assert (rig.ring.state[AT_LEAST], rig.ring.state[COUNT]) == (1, 0)
    assert rig.chip._memory[FIFOSTA1] & 8 == 0, "the overflow is still there"
    rig.ring.state[FREED] = 1
    rig.poll()
    assert (rig.ring.state[AT_LEAST], rig.ring.state[COUNT]) == (1, 1)
    gap = bytes(rig.ring.blocks[0][64:80])
    w1 = int.from_bytes(gap[4:8], "little")
    assert (w1 & 0xFF, w1 >> 8 & 0x1FFFFF) == (META_GAP, GAP_CONTROLLER)
    assert int.from_bytes(gap[8:12], "little") == 1
    rig.poll()
    assert rig.ring.state[COUNT] == 1, "recorded twice"


def test_what_waits_in_the_chip_is_told():
    rig = Rig()
    for n in (5, 32, 1):
        for _ in range(n):
            rig.receive()
        rig.can.drain()
        assert rig.can.get_counters()[6] == n


@pytest.mark.parametrize("tail", [32, 100])
def test_a_place_that_does_not_exist_is_not_read(tail):
    """FIFOUA1 read wrong: 640 is beyond the 32 objects of 20 bytes."""
    rig = Rig()
    rig.receive()
    rig.chip._tail = tail
    assert rig.can.drain() == 0 and not rig.ring.frames


def test_a_chip_that_comes_back_is_not_read_before_it_is_set_up():
    """Its wires were off: its time and what it holds are not known."""
    rig = Rig()
    rig.chip.present = False
    rig.poll()
    rig.chip.present = True
    rig.receive()
    assert rig.can.drain() == 0 and not rig.ring.frames
    for _ in range(10):
        rig.poll()
    rig.receive()
    assert rig.can.drain() == 1


def test_stop_leaves_the_bus_with_what_came_before():
    rig = Rig()
    rig.receive()
    rig.can.stop()
    assert len(rig.ring.frames) == 1
    assert register(rig, CON) >> 21 & 7 == 4 and rig.can.state() == BUS_STOPPED
    rig.receive()
    assert rig.can.drain() == 0 and len(rig.ring.frames) == 1


@pytest.mark.parametrize(("needs_us", "answers"), [(0, True), (3000, True), (20_000, False)])
def test_a_crystal_that_starts_slowly_is_waited_for(needs_us, answers):
    """Data sheet, table 7-3: 3 ms at most from reset to a stable oscillator."""
    rig = Rig()
    waited_us, transfer = [0], rig.chip.transfer

    def transfer_early(view):
        is_osc = bytes(view[:2]) == b"\x3e\x00"
        transfer(view)
        if is_osc and waited_us[0] < needs_us:
            view[3] &= ~4

    rig.chip.transfer = transfer_early
    rig.chip.wait_us = lambda us: waited_us.__setitem__(0, waited_us[0] + us)
    rig.can.start(rig.ring)
    assert rig.can.answers == answers


def test_a_remote_frame_has_no_data():
    """Its place in the memory holds those of the frame before, 32 frames ago."""
    rig = Rig()
    for _ in range(32):
        rig.receive(data=b"\xff" * 8)
    rig.can.drain()
    rig.receive(0x321, 2, 8)
    rig.can.drain()
    assert rig.ring.frames[-1][1:] == (0x321, 2, 8, bytes(8))


@pytest.mark.parametrize("n_polls", [13, 20])
def test_the_first_frame_after_a_long_silence_is_taken_at_once(n_polls):
    """ "Later" has a meaning for 134 s; the time that was empty is noted at each poll."""
    rig = Rig(head_errors=0)
    rig.receive()
    rig.can.drain()
    for _ in range(n_polls):
        rig.poll(10_000_000)
    sent = rig.receive(after_us=5_000_000)
    assert rig.can.drain() == 1 and rig.can.doubts == 0
    assert rig.ring.frames[-1][0] == pytest.approx(sent, abs=1)


def test_all_objects_of_an_earlier_life_are_forgotten():
    """Frames every 222 us: the 34th and 35th lie in places 1 and 2, 7.5 and 7.8 ms after a start.
    7.4 ms after the next start a frame comes into place 0, and FIFOCI reads 1 or 2 too far.
    """
    rig = Rig(head_errors=1024)
    for _ in range(40):
        rig.receive()
        rig.can.drain()
    rig.can.stop()
    rig.can.start(rig.ring)
    n = len(rig.ring.frames)
    rig.receive(0x222, after_us=7400)
    rig.t_us += 500
    rig.can.drain()
    rig.can.drain()
    assert [frame[1] for frame in rig.ring.frames[n:]] == [0x222]


def test_a_frame_that_comes_late_into_the_fifo_is_taken():
    """The chip was found empty 0.4 ms after the end of the frame, which appears then."""
    rig = Rig()
    rig.t_us += 10_000
    rig.poll(0)
    rig.chip.receive(rig.t_us - 400, 0x123, 0, 0, b"")
    assert rig.can.drain() == 1 and rig.can.doubts == 0


@pytest.mark.parametrize(
    ("can_id", "kind"),
    [(0x000, 0), (0x7FF, 0), (0x555, 2), (0x15555555, 4), (0x0AAAAAAA, 4), (0x1FFFFFFF, 6)],
)
def test_identifiers_of_alternating_bits_come_back(can_id, kind):
    rig = Rig([can_id])
    rig.receive(can_id, kind, 4, b"\xaa\x55\xaa\x55")
    rig.can.drain()
    data = bytes(8) if kind & 2 else b"\xaa\x55\xaa\x55\0\0\0\0"
    assert [frame[1:] for frame in rig.ring.frames] == [(can_id, kind, 4, data)]


def test_frames_bear_the_number_of_their_bus():
    rig = Rig()
    rig.can.bus = 1
    rig.receive(0x123)
    rig.receive(0x1ABCDEF, 4)
    rig.receive(0x124, 2)
    rig.can.drain()
    assert [frame[2] for frame in rig.ring.frames] == [1, 5, 3]
