"""The watch against frames worked out by hand: which frames it takes, and what their bits mean."""

import random
import struct

import cantools
import pytest
from hand_table import Car

from slog import events as ev
from slog import signal_table as st

DATA = bytes.fromhex("12 34 56 78 9A BC DE F0")


def fill(car, t_us=20_001):
    """Send a frame of an unknown message, so that the ticks before it are done."""
    car.frame(t_us, 0x7FF, b"")


@pytest.fixture
def car():
    car = Car(2)
    car.frame(1, 0x100, struct.pack("<H", 777))
    return car


@pytest.mark.parametrize(
    ("what", "can_id", "dlc", "kind"),
    [
        ("extended, the same number", 0x100, 8, 4),
        ("extended, the same low bits", 0x1FFF0100, 8, 4),
        ("a remote frame", 0x100, 2, 2),
        ("an extended remote frame", 0x100, 2, 6),
        ("the other bus", 0x100, 8, 1),
        ("one byte short", 0x100, 1, 0),
        ("empty", 0x100, 0, 0),
        ("another message", 0x102, 8, 0),
        ("a record of the logger's own", 0x100, 15, 0),
        ("the head of a frame of CAN FD", 0x100, 9, 0),
        ("what goes on with one", 0x100, 10, 0),
        ("a damaged identifier", 0x10100, 8, 0),
        ("another damaged identifier", 0x8100, 8, 0),
    ],
)
def test_what_is_not_this_message_leaves_the_value_alone(car, what, can_id, dlc, kind):
    car.frame(101_000, can_id, b"\x55" * 8, dlc=dlc, kind=kind)
    fill(car, 200_001)
    watch = car.events.watch
    assert watch.raw(0) == 777, what
    assert watch.raw(1) == 0, what
    assert watch.seen[0] == 0 and watch.seen[1] == -1, what


@pytest.mark.parametrize(("dlc", "tick"), [(8, 10), (9, 10), (10, 0), (15, 0)])
def test_time_goes_on_with_each_frame_and_with_nothing_else(car, dlc, tick):
    """Ten ticks of 10 ms between 1 us and 101,000 us; the host counts alike, see recompute."""
    car.frame(101_000, 0x7FF, b"", dlc=dlc)
    assert car.events.watch.tick == tick


@pytest.mark.parametrize("dlc", [2, 3, 8])
def test_a_frame_that_is_long_enough_is_taken(car, dlc):
    car.frame(101_000, 0x100, struct.pack("<H", 888), dlc=dlc)
    assert car.events.watch.raw(0) == 888
    assert car.events.watch.seen[0] == 10  # after ten ticks of 10 ms


def test_the_watched_bus_is_that_of_the_table():
    table = Car(1)._table(1, {}, {}, {}, {})
    bus, sections = st.load(st.pack(1, table))
    from detectors.watch import Watch

    watch = Watch(bus, sections, lambda: None, lambda seconds: None)
    for kind, value in ((0, 5), (1, 6)):
        head = struct.pack("<II", 1 | 2 << 28, 0x100 | kind << 29)
        watch.scan(head + struct.pack("<HHHH", value, 0, 0, 0), 0, 1, 0)
    assert watch.raw(0) == 6


@pytest.mark.parametrize(
    ("what", "column", "value"),
    [
        ("byte 2", {"kind": st.U8, "first": 2, "bits": 8}, 0x56),
        ("16 bits from byte 1, Intel", {"kind": st.U16, "first": 1}, 0x5634),
        # bytes 78 9A: 0x9A78 = 39,544, less 65,536
        ("16 bits from byte 3, Intel, signed", {"kind": st.S16, "first": 3, "signed": 1}, -25992),
        ("16 bits from byte 0, Intel, signed, above 0", {"kind": st.S16, "signed": 1}, 0x3412),
        # 0x3412 >> 4
        (
            "12 bits from bit 4, Intel",
            {"kind": st.ANY, "first": 1, "step": -1, "n": 2, "shift": 4, "bits": 12},
            0x341,
        ),
        # low half of 12, then 34
        (
            "12 bits from bit 3 of byte 0, Motorola",
            {"kind": st.ANY, "first": 0, "step": 1, "n": 2, "shift": 0, "bits": 12},
            0x234,
        ),
        # 0101 0110 01|11 1000
        (
            "10 bits from bit 7 of byte 2, Motorola",
            {"kind": st.ANY, "first": 2, "step": 1, "n": 2, "shift": 6, "bits": 10},
            0b0101011001,
        ),
        # bits 3 to 7 of F0 are 11110 = 30, less 32
        (
            "5 bits from bit 59, Intel, signed",
            {"kind": st.ANY, "first": 7, "step": -1, "shift": 3, "bits": 5, "signed": 1, "n": 1},
            -2,
        ),
        (
            "the same, not signed",
            {"kind": st.ANY, "first": 7, "step": -1, "shift": 3, "bits": 5, "n": 1},
            30,
        ),
        # 9A BC, DE: 0x9ABCDE - 2^24
        (
            "24 bits from byte 4, Motorola, signed",
            {"kind": st.ANY, "first": 4, "step": 1, "n": 3, "bits": 24, "signed": 1},
            0x9ABCDE - 0x1000000,
        ),
        # 78 DE BC 9A 78 from the top: bits 24 to 53
        (
            "30 bits from bit 24, Intel",
            {"kind": st.ANY, "first": 6, "step": -1, "n": 4, "bits": 30},
            0xDEBC9A78 & 0x3FFFFFFF,
        ),
    ],
)
def test_bits_of_a_payload(what, column, value):
    car = Car(1, signals={0: {"low": -(1 << 29), "high": (1 << 30) - 1, **column}})
    car.frame(1, 0x100, DATA)
    watch = car.events.watch
    assert watch.raw(0) == value, what
    watch.decode(0, 1)
    assert watch.raws[0] == value, what


def row_of(start, length, is_intel):
    """Return the columns of a signal, by the bit numbers of a DBC: a Motorola signal starts at its
    highest bit and goes on at bit 7 of the next byte, an Intel one starts at its lowest.
    """
    if is_intel:
        first = (start + length - 1) // 8
        return {"first": first, "step": -1, "n": first - start // 8 + 1, "shift": start % 8}
    n = (7 - start % 8 + length + 7) // 8
    return {
        "first": start // 8,
        "step": 1,
        "n": n,
        "shift": 8 * n - (7 - start % 8) - length,
    }


def signals_of_cantools(count):
    """Return `count` random signals of up to 24 bits that lie within 8 bytes."""
    dice = random.Random(20261121)
    found = []
    while len(found) < count:
        is_intel, signed = dice.random() < 0.5, dice.random() < 0.5
        start, length = dice.randrange(64), dice.randrange(2, 25)
        order = "little_endian" if is_intel else "big_endian"
        signal = cantools.database.can.Signal("s", start, length, order, signed)
        try:
            message = cantools.database.can.Message(1, "m", 8, [signal])
        except cantools.database.Error:
            continue
        found.append((start, length, is_intel, signed, message))
    return found


def test_signals_of_both_byte_orders_are_what_cantools_says():
    dice = random.Random(1)
    for start, length, is_intel, signed, message in signals_of_cantools(300):
        row = {**row_of(start, length, is_intel), "bits": length, "signed": int(signed)}
        car = Car(1, signals={0: {"kind": st.ANY, "low": -(1 << 29), "high": 1 << 29, **row}})
        for data in (dice.randbytes(8), b"\xff" * 8, DATA):
            car.frame(1, 0x100, data)
            expected = message.decode(data)["s"]
            watch = car.events.watch
            watch.decode(0, 1)
            assert (watch.raw(0), watch.raws[0]) == (expected, expected), (start, length, row)


@pytest.mark.parametrize(
    ("data", "value"), [(0x3FFFFFFF, 0x3FFFFFFF), (0xF0DEBC9A, 0x3FFFFFFF), (12, 12)]
)
def test_32_bits_are_cut_at_30(data, value):
    car = Car(1, signals={0: {"kind": st.ANY, "first": 3, "step": -1, "n": 4, "bits": 32}})
    car.frame(1, 0x100, struct.pack("<I", data))
    car.events.watch.decode(0, 1)
    assert car.events.watch.raws[0] == value


@pytest.mark.parametrize("before_us", [1, 5_000, 9_999, 10_000, 250_000])
def test_ticks_go_on_where_the_28_bits_of_a_time_begin_anew(before_us):
    """The first frame so long before the wrap, the next 0.5 s later: 50 ticks; another 20 ms: 52.
    The time of a tick is that of the first frame and 10 ms for each.
    """
    wrap_us = 1 << 28
    car = Car(1)
    watch = car.events.watch
    for after_us, ticks in ((0, 0), (500_000, 50), (520_000, 52)):
        car.frame(wrap_us - before_us + after_us, 0x100, b"\1\2")
        assert watch.tick == ticks
    assert (watch.hi, watch.lo) == (1, 520_000 - before_us)
    assert not car.of(ev.RESUMED)


@pytest.mark.parametrize("hi", [0, 7])
def test_a_time_that_begins_anew_between_a_record_and_the_first_frame(hi):
    """The logger's own record 10 us before the wrap of the 28 bits, the frame 5 us after it. `hi`
    is that of the first record; ticks go on from the frame.
    """
    car = Car(1)
    own = struct.pack("<II8x", (1 << 28) - 10 | 15 << 28, 1)
    frame = struct.pack("<IIH6x", 5 | 2 << 28, 0x100, 777)
    car.events.scan(own + frame, 0, 2, hi)
    watch = car.events.watch
    assert (watch.lo, watch.hi, watch.raw(0)) == (5, hi + 1, 777)
    car.frame((hi + 1 << 28) + 20_006, 0x7FF, b"")
    assert watch.tick == 2 and watch.t_us() == ((hi + 1 << 28) + 20_005) & 0xFFFFFFFF
    car.frame((hi + 1 << 28) + 90_000, 0x7FF, b"")
    assert not [e for e in car.said if e.code == ev.RESUMED], "a pause was seen"


def test_every_stepth_signal_is_decoded():
    car = Car(5)
    for i in range(5):
        car.frame(1 + i, 0x100 + i, struct.pack("<H", 10 + i))
    watch = car.events.watch
    for i in range(5):
        watch.raws[i] = 0
    watch.decode(1, 2)
    assert list(watch.raws) == [0, 11, 0, 13, 0]


def multiplexed(*values):
    """One message 0x105 with bits 4 to 6 of byte 1 as selector, beside a plain one."""
    slots = {
        n + 1: {
            "can_id": 0x105,
            "n_bytes": 4,
            "select_byte": 1,
            "select_shift": 4,
            "select_mask": 7,
            "select_value": value,
        }
        for n, value in enumerate(values)
    }
    return Car(len(values) + 1, slots=slots, signals={n: {"first": 2} for n in slots})


def test_a_multiplexed_message_fills_the_slot_of_its_selector():
    car = multiplexed(2, 5)
    for selector, value in ((0x20, 111), (0x5F, 222), (0x30, 333), (0xA0, 444)):
        car.frame(1, 0x105, struct.pack("<BBH", 9, selector, value))
    watch = car.events.watch
    # 0xA0 >> 4 & 7 = 2; 0x30 is selector 3, which nobody watches
    assert (watch.raw(1), watch.raw(2)) == (444, 222)
    car.frame(2, 0x105, struct.pack("<BBB", 9, 0x20, 1))  # one byte short
    assert watch.raw(1) == 444


@pytest.mark.parametrize("can_id", [0x106, 0x107, 0x7FF])
def test_an_id_above_those_that_are_watched_is_passed_over(can_id):
    """The highest is 0x105."""
    car = multiplexed(2, 5)
    before = bytes(car.events.watch.data)
    car.frame(1, can_id, bytes(range(1, 9)))
    assert bytes(car.events.watch.data) == before


def test_another_message_after_a_multiplexed_one_is_not_looked_through():
    """The next slot belongs to 0x106: its selector is not that of 0x105."""
    car = multiplexed(2, 5)
    watch = car.events.watch
    watch.slots[2 * 7] = 0x106
    watch._lut.append(3)
    watch._words[5] = 0x107
    car.frame(1, 0x105, struct.pack("<BBH", 9, 0x50, 222))
    assert (watch.raw(1), watch.raw(2)) == (0, 0)
    car.frame(1, 0x106, struct.pack("<BBH", 9, 0x50, 222))
    assert (watch.raw(1), watch.raw(2)) == (0, 222)


def test_centi_is_hundredths_of_the_unit():
    """0.05 degC per bit and -60 degC: 2100 x 5 - 6000 = 4500, 45.00 degC."""
    car = Car(1, signals={0: {"centi_mul": 5 << 14, "centi_add": -6000}})
    assert car.events.watch.centi(0, 2100) == 4500
    assert car.events.watch.centi(0, -1) == -6005


class Clock:
    """Ticks and pauses of a watch, with the time of each."""

    def __init__(self):
        from detectors.watch import Watch

        sections = st.load(st.pack(0, Car(1)._table(1, {}, {}, {}, {})))[1]
        self.ticks, self.pauses = [], []
        self.watch = Watch(0, sections, self._tick, self.pauses.append)

    def _tick(self):
        self.ticks.append(self.watch.t_us())

    def frames(self, *t_us, code=0):
        """Scan records at these times as one piece."""
        block = b"".join(
            struct.pack("<II8x", t & 0xFFFFFFF | (code or 2) << 28, 0x100) for t in t_us
        )
        self.watch.scan(block, 0, len(t_us), t_us[0] >> 28)


def test_a_tick_is_done_by_the_first_frame_at_or_after_it():
    clock = Clock()
    clock.frames(5, 10_004)
    assert clock.ticks == []
    clock.frames(10_005)
    assert clock.ticks == [10_005]
    clock.frames(35_010)
    assert clock.ticks == [10_005, 20_005, 30_005]
    assert clock.watch.tick == 3


def test_a_scan_of_so_many_ticks_is_gone_on_with_at_the_record_that_was_not_taken():
    """Of the records at 5, 10,004 and 35,010 us the third waits for three ticks."""
    clock = Clock()
    times = (5, 10_004, 35_010)
    block = b"".join(struct.pack("<II8x", t | 2 << 28, 0x100) for t in times)
    taken = [clock.watch.scan(block, 0, 3, 0, 1)]
    taken += [clock.watch.scan(block, 32, 1, 0, 1) for _ in range(2)]
    assert taken == [2, 0, 1] and clock.ticks == [10_005, 20_005, 30_005]


def test_ticks_go_on_over_the_28_bits_of_a_record():
    """2^28 us = 268,435,456: the second tick lies beyond it, and its time has 29 bits."""
    start = (1 << 28) - 15_000
    clock = Clock()
    clock.frames(start, start + 9_000, start + 21_000)
    assert clock.ticks == [start + 10_000, start + 20_000]
    clock.frames(start + 30_000)
    assert clock.ticks[-1] == start + 30_000 and clock.pauses == []


def test_ticks_go_on_over_32_bits():
    start = (1 << 32) - 15_000
    clock = Clock()
    clock.frames(start, start + 21_000)
    assert clock.ticks == [start + 10_000, 5_000]


@pytest.mark.parametrize("pieces", ["one", "two"])
def test_a_pause_of_more_than_a_second_is_not_ticked_through(pieces):
    """A tick is due at 10,001; up to a second after it time is ticked through, then it is not."""
    for late_us, n_ticks, pauses in (
        (1_000_000, 101, []),
        (1_000_001, 0, [1]),
        (5_999_999, 0, [5]),
    ):
        clock = Clock()
        if pieces == "one":
            clock.frames(1, 10_001 + late_us)
        else:
            clock.frames(1)
            clock.frames(10_001 + late_us)
        assert len(clock.ticks) == n_ticks and clock.pauses == pauses, late_us
        clock.ticks.clear()
        clock.frames(10_001 + late_us + 10_000)
        assert len(clock.ticks) == 1, "time goes on from the frame after the pause"


def test_a_pause_beyond_2_28_us_has_its_whole_length():
    clock = Clock()
    clock.frames(1)
    clock.frames(1_000_010_001)
    assert clock.pauses == [1000]


def test_time_after_a_pause_goes_on_over_the_28_bits_of_a_record():
    """Both in one piece, which has the upper bits of its first record only."""
    start = (1 << 28) - 500_000
    clock = Clock()
    clock.frames(start, start + 2_000_000, start + 2_010_000)
    assert clock.pauses == [1] and clock.ticks == [start + 2_010_000]


def test_records_that_are_no_frames_are_passed_over():
    clock = Clock()
    clock.frames(1, 2, code=15)
    assert not clock.watch._started
    clock.frames(3)
    clock.frames(50_000, 60_000, code=15)
    assert clock.ticks == []
    clock.frames(10_003)
    assert clock.ticks == [10_003]
