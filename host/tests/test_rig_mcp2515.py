"""The model of the MCP2515 against the data sheet: what a driver sees through its SPI and pins."""

import ctypes

import numpy as np
import pytest

pytest.importorskip("rp2040py")

from stagelog.model import EXT, RTR
from stagelog.rig import tape
from stagelog.rig.rp2040 import mcp2515 as m
from stagelog.rig.rp2040 import mcp2515_registers as reg
from stagelog.rig.rp2040.emulator import Emulator

BLANK = bytes(b"\xff" * (2 << 20))
TIMING_500K_16MHz = (0x03, 0xAC, 0x00)  # CNF3, CNF2, CNF1: 1 + 5 + 6 + 4 quanta


class Master:
    """An SPI master in Python in place of the firmware, and time that passes without a core."""

    def __init__(self, **options):
        self.can = m.Mcp2515(**options)
        self.emulator = Emulator(BLANK, [self.can])
        self.emulator.powered = False
        self.pass_us(1000)

    def pass_us(self, duration_us):
        self.emulator.run_us(duration_us)

    def transfer(self, *data):
        """Exchange bytes under one chip select; return the answers."""
        struct = self.emulator.chip.engine.spi_device(0)
        struct.at = struct.count = 0
        self.can.selected(True)
        answer = bytearray()
        for byte in data:
            if struct.at < struct.count:
                answer.append(ctypes.c_uint8.from_address(struct.out + struct.at).value)
                struct.at += 1
            else:
                answer.append(self.can.exchange(byte))
        self.can.selected(False)
        return bytes(answer)

    def read(self, address, n=1):
        return self.transfer(reg.READ, address, *bytes(n))[2:]

    def write(self, address, *values):
        self.transfer(reg.WRITE, address, *values)

    def start(self, mode=reg.MODE_LISTEN_ONLY, timing=TIMING_500K_16MHz, any_message=True):
        self.transfer(reg.RESET)
        self.pass_us(20)
        self.write(reg.CNF3, *timing)
        self.write(reg.CANINTE, 0x03)
        self.write(reg.BFPCTRL, 0x0F)
        self.write(reg.RXB0CTRL, 0x64 if any_message else 0x04)
        self.write(reg.RXB1CTRL, 0x60 if any_message else 0x00)
        self.write(reg.CANCTRL, mode)
        self.pass_us(2000)
        return self

    def pins(self):
        return tuple(self.emulator.chip.level(pin) for pin in (6, 7, 8))


@pytest.fixture
def master():
    made = Master()
    yield made
    made.emulator.close()


@pytest.mark.parametrize("release_ns", [0, 500, 2000])
def test_the_pins_rise_so_long_after_the_release(release_ns):
    master = Master(release_ns=release_ns)
    master.start()
    master.can.receive(0x123)
    master.transfer(0x90, *bytes(13))
    for t_ns in range(0, release_ns, 100):
        assert master.pins() == (0, 0, 1), t_ns
        master.pass_us(0.1)
    master.pass_us(0.001)
    assert master.pins() == (1, 1, 1)
    master.emulator.close()


def test_a_frame_during_the_delay_keeps_its_pin_low():
    """What is waited for is forgotten, and the next release waits its whole time."""
    master = Master(release_ns=1000)
    master.start()
    for _ in range(2):
        master.can.receive(0x123)
        master.transfer(0x90, *bytes(13))
        assert master.pins() == (0, 0, 1)
        master.pass_us(0.9)
        assert master.pins() == (0, 0, 1)
    master.pass_us(0.2)
    assert master.pins() == (1, 1, 1)
    master.emulator.close()


def test_the_delay_is_drawn_by_the_seed():
    drawn = [m.Mcp2515(seed=seed).release_ns for seed in range(50)]
    assert drawn == [m.Mcp2515(seed=seed).release_ns for seed in range(50)]
    assert 0 <= min(drawn) < 200 and 1800 < max(drawn) <= m.MAX_RELEASE_ns


def test_reset_values_are_those_of_the_data_sheet(master):
    master.transfer(reg.RESET)
    assert master.read(reg.CANSTAT) == b"\xff", "deaf for 128 clocks of the crystal"
    master.pass_us(9)
    assert master.read(reg.CANSTAT, 2) == bytes((reg.MODE_CONFIGURATION, 0x87))
    assert master.read(0x00, 12) == bytes(12)
    assert master.pins() == (1, 0, 0), "INT is high, RX0BF and RX1BF are not driven"


@pytest.mark.parametrize(
    ("crystal_Hz", "timing", "rate_bps"),
    [
        (16_000_000, TIMING_500K_16MHz, 500_000),
        (8_000_000, (0x01, 0x91, 0x00), 500_000),
        (16_000_000, (0x01, 0x91, 0x00), 1_000_000),
        (8_000_000, (0x03, 0xAC, 0x01), 125_000),
        (16_000_000, (0x07, 0x80, 0x00), 0),  # phase 2 longer than propagation and phase 1
    ],
)
def test_bit_rate_follows_cnf_registers_and_crystal(crystal_Hz, timing, rate_bps):
    made = Master(crystal_Hz=crystal_Hz).start(timing=timing)
    assert made.can.rate_bps == rate_bps


def test_frame_appears_in_buffer_0_with_pins_and_is_released_by_reading(master):
    master.start()
    assert master.can.receive(0x123, b"ABCDE") == m.WAITING
    assert master.pins() == (0, 0, 1)
    assert master.transfer(reg.RX_STATUS, 0)[1] == 0x40
    got = master.transfer(0x90, *bytes(13))[1:]
    assert got[:5] == bytes((0x24, 0x60, 0, 0, 5)) and got[5:10] == b"ABCDE"
    assert master.pins() == (0, 0, 1)
    master.pass_us(m.MAX_RELEASE_ns / 1000)
    assert master.pins() == (1, 1, 1)
    assert master.can.count(m.DELIVERED) == 1
    assert master.can.latency_us[0] == 0


def test_extended_and_remote_frames_keep_their_marks(master):
    master.start()
    master.can.receive(0x1ABCDEF5, b"", EXT | RTR, dlc=7)
    master.can.receive(0x7FF, b"", RTR, dlc=3)
    assert master.transfer(reg.RX_STATUS, 0)[1] == 0xC0 | 0x18
    first = master.transfer(0x90, *bytes(5))[1:]
    second = master.transfer(0x94, *bytes(5))[1:]
    base, extension = first[0] << 3 | first[1] >> 5, first[1] & 3
    assert (base << 18 | extension << 16 | first[2] << 8 | first[3]) == 0x1ABCDEF5
    assert first[1] & 0x18 == 0x08 and first[4] == 0x40 | 7
    assert second[0] << 3 | second[1] >> 5 == 0x7FF and second[1] & 0x18 == 0x10


def test_third_frame_is_lost_and_says_so(master):
    master.start()
    outcomes = [master.can.receive(i, b"x") for i in range(3)]
    assert outcomes == [m.WAITING, m.WAITING, m.LOST]
    assert master.read(reg.EFLG)[0] == reg.RX1OVR
    assert master.read(reg.CANINTF)[0] == reg.ERRIF | 3
    master.transfer(reg.BIT_MODIFY, reg.EFLG, reg.RX1OVR, 0)
    assert master.read(reg.EFLG)[0] == 0


def test_without_roll_over_the_second_frame_is_lost(master):
    master.start()
    master.write(reg.RXB0CTRL, 0x60)
    assert [master.can.receive(i) for i in range(2)] == [m.WAITING, m.LOST]
    assert master.read(reg.EFLG)[0] == reg.RX0OVR


def test_filters_and_masks_choose_buffer_and_frames(master):
    master.start(any_message=False)
    master.write(reg.CANCTRL, reg.MODE_CONFIGURATION)
    master.write(0x20, 0xFF, 0xE0, 0, 0)  # mask 0: all 11 bits
    master.write(0x00, 0x100 >> 3, 0, 0, 0)
    master.write(0x24, 0xFF, 0xE3, 0xFF, 0xFF)  # mask 1: all 29 bits
    master.write(0x08, 0xFF, 0xE8 | 3, 0xFF, 0x00)
    master.write(reg.CANCTRL, reg.MODE_LISTEN_ONLY)
    master.pass_us(2000)
    assert master.can.receive(0x100) == m.WAITING
    assert master.can.receive(0x101) == m.FILTERED
    assert master.can.receive(0x100, b"", EXT) == m.FILTERED
    assert master.can.receive(0x1FFFFF00, b"", EXT) == m.WAITING
    assert master.read(reg.CANINTF)[0] & 3 == 3


def test_filters_can_be_written_in_configuration_mode_only(master):
    master.start()
    master.write(0x00, 0x55)
    assert master.read(0x00) == b"\0"


def test_wrong_bit_rate_gives_errors_and_no_frames_and_sends_nothing(master):
    master.start(timing=(0x01, 0x91, 0x00))
    assert [master.can.receive(i) for i in range(10)] == [m.INACTIVE] * 10
    assert master.read(reg.CANINTF)[0] == reg.MERRF
    assert master.read(reg.REC)[0] == 0, "listen-only counts no errors"
    assert not master.can.sent


def test_frame_that_began_before_the_controller_was_ready_is_not_received(master):
    master.start()
    master.write(reg.CANCTRL, reg.MODE_CONFIGURATION)
    master.write(reg.CANCTRL, reg.MODE_LISTEN_ONLY)
    master.pass_us(100)
    assert master.can.receive(1, b"12345678") == m.INACTIVE
    master.pass_us(300)
    assert master.can.receive(1, b"12345678") == m.WAITING


def test_error_counters_of_the_tape_show_in_normal_mode(master):
    master.start(mode=reg.MODE_NORMAL)
    events = np.zeros(3, tape.TAPE)
    events["kind"] = tape.ERROR, tape.STATE, tape.STATE
    events["t_us"] = 10, 20, 30
    events["rec"] = 8, 100, 130
    master.can.play(events)
    master.pass_us(25)
    assert master.read(reg.EFLG)[0] == 0x03 and master.read(reg.REC)[0] == 100
    master.pass_us(10)
    assert master.read(reg.EFLG)[0] == 0x0B
    assert master.read(reg.CANINTF)[0] == reg.MERRF | reg.ERRIF


def test_tape_arrives_at_its_times_and_only_that_of_the_own_bus(master):
    master.start()
    records = np.zeros(4, tape.TAPE)
    records["t_us"] = 100, 200, 300, 400
    records["bus"] = 0, 1, 0, 0
    records["can_id"] = 1, 2, 3, 4
    start_us = master.emulator.t_us
    master.can.play(records)
    master.pass_us(350)
    assert master.can.t_offered_us == pytest.approx([start_us + 100, start_us + 300])
    assert not master.can.is_played_out
    master.pass_us(100)
    assert master.can.is_played_out and master.can.outcomes == [m.WAITING, m.WAITING, m.LOST]


def test_power_cut_and_reset_forget_what_waits(master):
    master.start()
    master.can.receive(1)
    master.transfer(reg.RESET)
    assert master.can.outcomes == [m.FORGOTTEN]
    master.can.power_off()
    assert master.can.receive(2) == m.INACTIVE
    assert master.transfer(reg.READ, reg.CANSTAT, 0) == b"\xff\xff\xff"


def test_absent_controller_reads_as_ones(master):
    master.can.present = False
    assert master.transfer(reg.READ, reg.CANSTAT, 0) == b"\xff\xff\xff"


def test_transmission_is_witnessed_in_normal_and_impossible_in_listen_only_mode(master):
    for mode, n_sent in ((reg.MODE_LISTEN_ONLY, 0), (reg.MODE_NORMAL, 1)):
        master.start(mode=mode)
        master.transfer(0x40, 0x24, 0x60, 0, 0, 2, 0xAA, 0x55)
        master.transfer(0x81)
        master.pass_us(1000)
        assert len(master.can.sent) == n_sent
    frame = master.can.sent[0]
    assert (frame.can_id, frame.dlc, frame.data) == (0x123, 2, b"\xaa\x55")


def test_loop_back_receives_what_it_sends(master):
    master.start(mode=reg.MODE_LOOPBACK)
    master.transfer(0x40, 0x24, 0x60, 0, 0, 1, 0x77)
    master.transfer(0x81)
    master.pass_us(1000)
    assert not master.can.sent
    assert master.transfer(0x92, 0)[1] == 0x77


def test_looped_back_frames_follow_each_other_at_the_rate_of_its_own_crystal():
    """Identifier 0x555 with 8 bytes 0x55: 1 + 11 + 3 + 4 + 64 + 15 bits to the CRC's end, one
    stuff bit after the last of five equal bits, 13 to the end of the intermission: 112 bits, at
    16 MHz of 8 us, at 8 MHz of 16 us. The bus and its 500 kbit/s do not matter.
    """
    timing_125k = (0x03, 0xAC, 0x03)
    for crystal_Hz, bit_us in ((16_000_000, 8.0), (8_000_000, 16.0)):
        master = Master(crystal_Hz=crystal_Hz)
        master.start(mode=reg.MODE_LOOPBACK, timing=timing_125k)
        for buffer in (0x40, 0x42, 0x44):
            master.transfer(buffer, 0xAA, 0xA0, 0, 0, 8, *b"\x55" * 8)
        master.transfer(0x87)
        master.pass_us(4 * 112 * bit_us)
        ends = np.array(master.can.t_offered_us)
        assert np.allclose(np.diff(ends), 112 * bit_us)
        assert not master.can.sent and not master.can.n_dominant
        master.emulator.close()


@pytest.mark.parametrize("wire, obeys", [("SCK", 0), ("SI", 0), ("CS", 0), ("SO", 1)])
def test_without_a_wire_of_its_spi_nothing_comes_back(wire, obeys):
    master = Master(open_wires=[wire])
    master.write(reg.BFPCTRL, 0x0C)
    assert master.read(reg.CANSTAT) == b"\xff"
    assert master.can.register(reg.BFPCTRL) == 0x0C * obeys
    assert not master.can.can_be_reached
    master.emulator.close()
