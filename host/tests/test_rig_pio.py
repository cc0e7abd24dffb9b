"""The engine's PIO: traces computed by hand, and rp2040py's model, clock by clock.

RP2040 datasheet 3.2 to 3.5: an instruction takes a clock and its delay; inputs pass two
flip-flops, so what an instruction sees is the pin two clocks before; JMP X-- tests X before it
counts.
"""

import random
import types

import numpy as np
import pytest

pytest.importorskip("rp2040py")

from rp2040py.peripherals import pio_registers as registers
from rp2040py.peripherals._pio import RPPIO

from stagelog.rig.rp2040.chip import Chip
from stagelog.rig.rp2040.emulator import UNIQUE_ID

RAM = 0x20000000
PIO0, DMA, TIMER_LOW = 0x50200000, 0x50000000, 0x40054028
CTRL, FLEVEL, FDEBUG, RXF0, MEMORY = 0x00, 0x0C, 0x08, 0x20, 0x48
CLKDIV, EXECCTRL, SHIFTCTRL, ADDR, INSTR, PINCTRL = 0xC8, 0xCC, 0xD0, 0xD4, 0xD8, 0xDC
AUTOPUSH, JOIN_RX = 1 << 16, 1 << 31
PIN = 6
CYCLE = 8_000_000  # fs at 125 MHz

JMP_X_DEC, JMP_PIN, JMP = 0x0040, 0x00C0, 0x0000
SET_X, SET_Y, IN_PINS, IN_X, IN_Y, IN_NULL = 0xE020, 0xE040, 0x4000, 0x4020, 0x4040, 0x4060


class Bench:
    """A chip at 125 MHz whose core sleeps, with one state machine."""

    def __init__(self):
        self.chip = Chip(bytearray(b"\xff" * (2 << 20)), UNIQUE_ID, 1.0, 0, 0)
        self.engine = self.chip.engine
        self.shared = self.engine.shared
        self.shared.sys = self.shared.cycle = CYCLE
        self.chip.sram[0x100:0x104] = b"\x30\xbf\xfd\xe7"  # wfi; b back
        self.engine.core.r[15] = RAM + 0x100
        self.engine.drive(PIN, 1)
        self.run(10)

    def run(self, clocks):
        self.shared.deadline = self.shared.now + int(clocks * CYCLE)
        self.engine.run()

    def load(self, program, *, wrap=None, shift=AUTOPUSH, push=32, divider=1 << 16):
        for i, word in enumerate(program):
            self.engine.poke(PIO0 + MEMORY + 4 * i, word)
        wrap = len(program) - 1 if wrap is None else wrap
        self.engine.poke(PIO0 + CLKDIV, divider)
        self.engine.poke(PIO0 + EXECCTRL, PIN << 24 | wrap << 12)
        self.engine.poke(PIO0 + SHIFTCTRL, shift | (push & 31) << 20)
        self.engine.poke(PIO0 + PINCTRL, PIN << 15)

    def start(self):
        """Enable the machine; return the time of its first clock."""
        first = (self.shared.now // CYCLE + 1) * CYCLE
        self.engine.poke(PIO0 + CTRL, 1)
        return first

    def edges(self, first, changes):
        """Let the pin change at `first` and some clocks: [(clocks, level)]."""
        times = [first + int(at * CYCLE) for at, _ in changes]
        levels = [level for _, level in changes]
        self.engine.wave(
            0, PIN, np.array(times, np.uint64) & ~np.uint64(1) | np.array(levels, np.uint64)
        )

    def words(self):
        """Take all that is in the RX FIFO."""
        out = []
        while self.engine.peek(PIO0 + FLEVEL) >> 4 & 15:
            out.append(self.engine.peek(PIO0 + RXF0))
        return out


@pytest.fixture
def bench():
    return Bench()


def test_pin_is_sampled_two_clocks_late(bench):
    """IN PINS, 1 at each clock, pushed after 8. The pin falls 2.5 clocks after the first clock and
    rises at 5.0: samples 0 to 4 see clocks -2 to 2, samples 5 and 6 see 3 and 4, sample 7 sees 5.
    """
    bench.load([IN_PINS | 1], push=8)
    first = bench.start()
    bench.edges(first, [(2.5, 0), (5, 1)])
    bench.run(12)
    assert bench.words() == [0b11111001]


def test_loop_and_delays_take_their_clocks(bench):
    """SET X, 3 [1] takes 2 clocks, JMP X-- [3] four times 4, IN 1: the first push is at clock 18,
    each next one 19 later (2 + 16 + 1).
    """
    bench.load([SET_X | 3 | 1 << 8, JMP_X_DEC | 1 | 3 << 8, IN_NULL | 1], push=1)
    bench.start()
    counts = []
    for _ in range(40):
        bench.run(1)
        counts.append(bench.engine.peek(PIO0 + FLEVEL) >> 4 & 15)
    assert [i for i in range(1, 40) if counts[i] != counts[i - 1]] == [18, 37]


def test_divider_with_a_fraction_keeps_its_mean(bench):
    """2.5 clocks an instruction: after 100 instructions 250 clocks have gone."""
    bench.load([IN_NULL | 1], push=25, divider=2 << 16 | 128 << 8)
    bench.start()
    bench.run(245)
    assert bench.engine.peek(PIO0 + FLEVEL) >> 4 & 15 == 3
    bench.run(8)
    assert bench.engine.peek(PIO0 + FLEVEL) >> 4 & 15 == 4


@pytest.mark.parametrize("shift, depth", [(AUTOPUSH, 4), (AUTOPUSH | JOIN_RX, 8)])
def test_full_fifo_stalls_and_loses_no_word(bench, shift, depth):
    """X counts down from 31, each value is pushed; a machine that stalls goes on where it was."""
    bench.load([SET_X | 31, IN_X | 8, JMP_X_DEC | 1], shift=shift, push=8)
    bench.start()
    bench.run(200)
    assert bench.engine.peek(PIO0 + FDEBUG) & 1
    assert bench.words()[:depth] == list(range(31, 31 - depth, -1))
    bench.run(200)
    assert bench.words()[0] == 31 - depth


def test_instruction_written_runs_at_once_and_the_program_waits(bench):
    bench.load([JMP | 0])
    bench.engine.poke(PIO0 + INSTR, SET_Y | 21)
    bench.engine.poke(PIO0 + INSTR, IN_Y | 32 & 31)
    assert bench.words() == [21]
    assert bench.engine.peek(PIO0 + ADDR) == 0


def test_ring_of_words_and_a_stamp_for_each_four(bench):
    """Channel 1 moves 4 words of the FIFO into a ring of 32 bytes and starts channel 2, which puts
    the timer into a ring of 8 bytes and starts channel 1. A word takes 1 + 31 * 4 + 1 = 126 clocks
    of 0.256 us and is pushed at the start of the last: the 16th after 2,015 clocks, the 20th
    after 2,519.
    """
    bench.load([SET_X | 30, JMP_X_DEC | 1 | 3 << 8, IN_NULL | 1], push=1, divider=32 << 16)
    engine = bench.engine
    words, stamps = RAM + 0x1000, RAM + 0x2000
    treq = 4
    common = 1 | 2 << 2 | 1 << 5 | 1 << 10 | 1 << 21
    poke = engine.poke
    poke(DMA + 0x80 + 0x0, TIMER_LOW)
    poke(DMA + 0x80 + 0x4, stamps)
    poke(DMA + 0x80 + 0x8, 1)
    poke(DMA + 0x80 + 0x10, common | 3 << 6 | 1 << 11 | 63 << 15)
    poke(DMA + 0x40 + 0x0, PIO0 + RXF0)
    poke(DMA + 0x40 + 0x4, words)
    poke(DMA + 0x40 + 0x8, 4)
    poke(DMA + 0x40 + 0xC, common | 5 << 6 | 2 << 11 | treq << 15)
    start_us = bench.shared.now / 1e9
    bench.start()
    bench.run(127 * 32 * 20)
    got = [engine.peek(stamps + 4 * i) for i in range(2)]
    assert got == [int(start_us + 2_519 * 0.256), int(start_us + 2_015 * 0.256)]
    assert engine.peek(DMA + 0x40 + 4) == words + (20 * 4) % 32
    assert engine.peek(DMA + 0x80 + 4) == stamps + 4


# rp2040py


def random_program(rng):
    """Eight instructions of those a receiver uses; loops end."""
    makers = (
        lambda: SET_X | rng.randrange(6),
        lambda: SET_Y | rng.randrange(4),
        lambda: JMP_X_DEC | rng.randrange(8),
        lambda: 0x0080 | rng.randrange(8),  # jmp y--
        lambda: JMP_PIN | rng.randrange(8),
        lambda: 0x00A0 | rng.randrange(8),  # jmp x != y
        lambda: rng.choice((IN_X, IN_Y, IN_NULL)) | rng.choice((1, 3, 8)),
        lambda: (
            0xA000 | 1 << 5 | rng.choice((2, 6, 7)) | rng.choice((0, 8, 16))
        ),  # mov x, y isr osr
        lambda: 0xA000 | 7 << 5 | rng.choice((1, 2)),  # mov osr, x y
    )
    program = [rng.choice(makers)() | rng.choice((0, 0, 1, 5)) << 8 for _ in range(7)]
    return [*program, IN_X | 8]


def reference_words(program, levels):
    """Return [(clock, word)] that rp2040py's machine pushes; levels[i] is what it sees at i."""
    chip = types.SimpleNamespace(simulator=object(), gpio_values=0, set_interrupt=lambda *_: None)
    pin = types.SimpleNamespace(input_value=True, check_for_updates=lambda: None)
    chip.gpio = [pin] * 30
    chip.dma = types.SimpleNamespace(set_dreq=lambda _: None, clear_dreq=lambda _: None)
    pio = RPPIO(chip, "PIO0", 7, 0)
    for i, word in enumerate(program):
        pio.write_uint32(registers.INSTR_MEM0 + 4 * i, word)
    machine = pio.machines[0]
    machine.write_uint32(0, 1 << 16)
    machine.write_uint32(EXECCTRL - CLKDIV, PIN << 24 | 7 << 12)
    machine.write_uint32(SHIFTCTRL - CLKDIV, AUTOPUSH | 8 << 20)
    pio.write_uint32(registers.CTRL, 1)
    out = []
    for i, level in enumerate(levels):
        pin.input_value = bool(level)
        chip.gpio_values = level << PIN
        pio.advance(i > 0)
        while not machine.rx_fifo.empty:
            out.append((i, machine.read_fifo()))
    return out


@pytest.mark.parametrize("seed", range(60))
def test_same_words_at_the_same_clocks_as_rp2040py(seed):
    rng = random.Random(seed)
    program = random_program(rng)
    levels = [1] * 5
    while len(levels) < 400:
        levels += [1 - levels[-1]] * rng.randrange(3, 20)
    bench = Bench()
    bench.load(program, push=8)
    first = bench.start()
    changes = [(i - 2, v) for i, v in enumerate(levels) if i and v != levels[i - 1]]
    bench.edges(first, changes)
    got = []
    bench.run(0.5)  # each look is half a clock after the machine's
    for i in range(len(levels)):
        bench.run(1)
        got += [(i, word) for word in bench.words()]
    assert got == reference_words(program, levels)
