"""CAN received by the RP2040's programmable I/O, on an emulated board, bit by bit.

The bus is made of bits by stagelog.rig.bus.canbits, which other tests hold to ISO 11898-1. What is
expected of a damaged frame is derived by hand from the standard, in each case's comment.
"""

import ast
import random
from pathlib import Path

import pytest

from stagelog.model import EXT, RTR
from stagelog.rig.bus.canbits import crc15, frame_fields, stuff, to_bits, wire_bits
from stagelog.rig.bus.wave import Line, acknowledged_bits
from stagelog.rig.rp2040.receiver import Receiver
from stagelog.rig.runtimes import find_runtime

RATE = 1_000_000
STUFF, FLAGS, CRC, FORM, ACK, FD, OVERLOAD, REMOTE, MISSED_us = range(9)
ERROR_FLAG = [0] * 6 + [1] * 8


@pytest.fixture(scope="module")
def receiver():
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def pico(receiver):
    """A receiver that listens at 1 Mbit/s to a clean bus."""
    receiver.bus.line = Line(RATE)
    receiver.listen(RATE)
    return receiver


def errors_of(pico):
    """Return the counters of what is no good frame, by STUFF to OVERLOAD."""
    return pico.value("can.counts()")[:REMOTE]


def random_frames(n, seed=1):
    """Return (can_id, flags, dlc code on the wire, data) of every kind of frame."""
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        flags = rng.choice((0, 0, EXT)) | rng.choice((0, 0, 0, RTR))
        can_id = rng.choice((rng.getrandbits(29), 0, 0x1FFFFFFF, 0x0F83E0F8))
        dlc = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 15))
        data = bytes(rng.choice((0, 255, rng.getrandbits(8))) for _ in range(min(dlc, 8)))
        out.append((can_id & (0x1FFFFFFF if flags & EXT else 0x7FF), flags, dlc, data))
    return out


def record_of(can_id, flags, dlc, data):
    """Return (w1, dlc, data) as SPEC.md has them: rtr bit 30, ext bit 31, data zero-padded."""
    w1 = can_id | (1 << 31 if flags & EXT else 0) | (1 << 30 if flags & RTR else 0)
    return w1, min(dlc, 8), (b"" if flags & RTR else data).ljust(8, b"\0")


def send(pico, rows, us=None, space_bits=3):
    starts = pico.bus.put(rows, space_bits)
    bits = sum(len(row) + space_bits for row in rows) + 400
    pico.board.run_us(bits * 1e6 / pico.bus.line.bitrate_bps if us is None else us)
    return starts


def rows_of(frames):
    return [acknowledged_bits(*frame) for frame in frames]


def test_every_kind_of_frame_is_stored_with_the_time_of_its_start(pico):
    """The times are those of the chip's timer, which counts from power-on as the rig does; a time
    read in whole microseconds and rounded from 1/128 of 128 us may be 1 us off.
    """
    frames = random_frames(400)
    starts = send(pico, rows_of(frames))
    got = pico.frames()
    assert [record[1:] for record in got] == [record_of(*frame) for frame in frames]
    assert max(abs(r[0] - t) for r, t in zip(got, starts, strict=True)) <= 1.1
    n_remote = sum(flags & RTR > 0 for _, flags, *_ in frames)
    assert pico.value("can.counts()") == [0] * 7 + [n_remote, 0] and n_remote > 50


@pytest.mark.parametrize("rate", [125_000, 250_000, 500_000, 800_000])
def test_other_rates(pico, rate):
    pico.bus.line = Line(rate)
    pico.listen(rate)
    assert pico.bus.rate_bps == rate
    frames = random_frames(40)
    starts = send(pico, rows_of(frames))
    got = pico.frames()
    assert [record[1:] for record in got] == [record_of(*frame) for frame in frames]
    assert max(abs(r[0] - t) for r, t in zip(got, starts, strict=True)) <= 2


@pytest.mark.parametrize("rate", [125_000, 500_000])
def test_a_stamp_does_not_depend_on_when_the_idle_bus_began_a_frame(pico, rate):
    """Gaps of 40.37 bits, so that each frame begins elsewhere between two samples of the idle bus:
    at 125 kbit/s they are 8 us apart. Where another frame begins before the next stamp (128 bits)
    its place counts, too: half a bit at most. Stamp and result are cut to 1 us, an edge is seen
    within 3 of the 125 clocks of a bit.
    """
    most_us = 1.05 + 3 / 125 * 1e6 / rate
    pico.bus.line = Line(rate)
    pico.listen(rate)
    starts = send(pico, rows_of(full_bus(8_000)), space_bits=40.37)
    assert max(abs(r[0] - t) for r, t in zip(pico.frames(), starts, strict=True)) <= most_us
    starts = send(pico, rows_of(random_frames(40)), space_bits=40.37)
    most_us += 0.5e6 / rate
    assert max(abs(r[0] - t) for r, t in zip(pico.frames(), starts, strict=True)) <= most_us


def test_of_all_frames_those_that_are_asked_for_are_stored(pico):
    """Above 0x7FF an identifier is extended (SPEC.md, 9); the rest is seen and not stored."""
    wanted = [0x123, 0x7FF, 0x800, 0x1234567]
    ids = [*wanted, 0x124, 0x0, 0x1234566]
    frames = [(can_id, EXT, 1, b"\xaa") for can_id in ids]
    frames += [(can_id, 0, 8, bytes(range(8))) for can_id in ids if can_id <= 0x7FF]
    frames += [(0x123, RTR, 4, b""), (0x124, RTR, 4, b"")]
    asked = f"can.set_up({{'bitrate_bps': {RATE}, 'ids': {wanted}}})"
    pico.exec(f"{asked}; empty(); ring.start_session(); can.start(ring)")
    send(pico, rows_of(frames))
    kept = [f for f in frames if f[0] in wanted and bool(f[1] & EXT) == (f[0] > 0x7FF)]
    assert [r[1:] for r in pico.frames()] == [record_of(*frame) for frame in kept]
    assert pico.value("can.counts()") == [0] * 7 + [1, 0] and len(kept) == 5


def test_more_identifiers_than_fit_let_others_pass_but_lose_none(pico):
    rng = random.Random(8)
    ids = rng.sample(range(0x800), 90)
    frames = [(can_id, 0, 0, b"") for can_id in range(0x800) if can_id in ids or can_id % 16 == 0]
    asked = f"can.set_up({{'bitrate_bps': {RATE}, 'ids': {ids}}})"
    pico.exec(f"{asked}; empty(); ring.start_session(); can.start(ring)")
    send(pico, rows_of(frames))
    found = {r.w1 for r in pico.frames()}
    assert found >= set(ids) and len(found) < len(frames)


LINES = [Line(RATE, ppm, asym, 60) for ppm in (-5000, 5000) for asym in (-100, 100)]


@pytest.mark.parametrize("line", [*LINES, Line(RATE, 15_000), Line(RATE, -15_000)], ids=str)
def test_clock_error_asymmetry_and_jitter_cost_no_frame(pico, line):
    pico.bus.line = line
    frames = random_frames(400, seed=2)
    send(pico, rows_of(frames))
    assert [r[1:] for r in pico.frames()] == [record_of(*frame) for frame in frames]
    assert errors_of(pico) == [0] * 7


def test_glitches_cost_frames_but_store_nothing_wrong(pico):
    """5,000 pulses a second, 40 ns long; what is stored is what was sent, in its order."""
    pico.bus.line = Line(RATE, glitches_per_s=5000, glitch_ns=40)
    frames = random_frames(700, seed=3)
    send(pico, rows_of(frames))
    got = [r[1:] for r in pico.frames()]
    sent = iter([record_of(*frame) for frame in frames])
    assert all(record in sent for record in got)
    assert 600 < len(got) < 700
    assert sum(errors_of(pico)) > 0


GOOD = [(0x123, 0, 8, bytes(range(8))), (0x1234567, EXT, 3, b"\x01\x80\xff"), (0x7FF, 0, 0, b"")]
VICTIM = (0x0AA, 0, 2, b"\x55\xaa")  # alternating bits: no stuff bit before its CRC


def damaged(kind):
    """Return (rows that replace a frame, the counters that must have moved).

    A listener takes a frame as valid when no error came up to the last but one bit of EOF, and
    begins again after 11 recessive bits (delimiter or EOF, and intermission).
    """
    row = acknowledged_bits(*VICTIM)
    if kind == "six dominant":  # SOF and five more: a stuff error, the sender sends its flag
        return [[0] * 6 + ERROR_FLAG], {FLAGS: 1}
    if kind == "six recessive":  # a sender that dies in its identifier
        return [[0, 1, 0, *[1] * 20]], {STUFF: 1}
    if kind == "crc":  # one bit of data inverted, where no run reaches five
        return [_inverted(row, 30)], {CRC: 1}
    if kind == "crc delimiter":
        return [[*row[:-10], 0, *ERROR_FLAG]], {FORM: 1}
    if kind == "nobody acknowledges":  # the sender's flag begins at the ACK delimiter
        return [[*wire_bits(*VICTIM)[:-8], *ERROR_FLAG]], {ACK: 1, FORM: 1}
    if kind == "end of frame":  # its third bit dominant
        return [[*row[:-5], *ERROR_FLAG]], {FORM: 1}
    if kind == "fd":  # FDF recessive, then what a classic node cannot read, at a higher rate
        head = [0, *to_bits(0x0AA, 11), 0, 0, 1]
        return [[*head, *[0, 1] * 20, *[1] * 11]], {FD: 1}
    raise AssertionError(kind)


def _inverted(row, at):
    return [*row[:at], 1 - row[at], *row[at + 1 :]]


@pytest.mark.parametrize(
    "kind",
    [
        "six dominant",
        "six recessive",
        "crc",
        "crc delimiter",
        "nobody acknowledges",
        "end of frame",
        "fd",
    ],
)
def test_damaged_frame_is_counted_by_kind_and_its_neighbours_are_kept(pico, kind):
    rows, moved = damaged(kind)
    send(pico, [*rows_of(GOOD), *rows, *rows_of(GOOD)])
    assert [r[1:] for r in pico.frames()] == [record_of(*frame) for frame in GOOD] * 2
    assert errors_of(pico) == [moved.get(i, 0) for i in range(7)]
    pico.exec("can.poll(ring)")
    assert pico.value("(can.n_errors, can.state())") == ((0, 1) if kind == "fd" else (1, 2))


@pytest.mark.parametrize("at", [6, 7, 8])
def test_overload_flag_after_a_frame_keeps_the_frame(pico, at):
    """Dominant in the last bit of EOF (7th), or in the first two of the intermission: an overload
    frame, the frame before it is valid for a receiver (ISO 11898-1, 10.4.6 and 10.5).
    """
    row = acknowledged_bits(*GOOD[0])[:-7] + [1] * at + ERROR_FLAG
    send(pico, [row, *rows_of(GOOD)])
    assert [r[1:] for r in pico.frames()] == [record_of(*f) for f in (GOOD[0], *GOOD)]
    assert errors_of(pico) == [0] * 6 + [1]


def test_start_of_frame_in_the_third_bit_of_intermission(pico):
    """The space is two bits: a start of frame, and no overload (ISO 11898-1, 10.4.6)."""
    send(pico, rows_of(GOOD), space_bits=2)
    assert [r[1:] for r in pico.frames()] == [record_of(*frame) for frame in GOOD]
    assert errors_of(pico) == [0] * 7


def test_frame_under_way_when_it_starts_is_not_taken(pico):
    """Without eleven recessive bits before it nothing is a start of frame."""
    pico.exec("can.stop()")
    pico.bus.put([[*[0, 1] * 30_000, *[1] * 8], *rows_of(GOOD)])
    pico.exec("begin(1000000)")
    pico.board.run_us(80_000)
    assert [r[1:] for r in pico.frames()] == [record_of(*frame) for frame in GOOD]


def test_stuff_bit_after_the_last_bit_of_the_crc(pico):
    """Frames whose CRC ends with five equal bits have one, and it is no part of the delimiter."""
    found = []
    for can_id in range(0x800):
        fields = frame_fields(can_id, 0, 1, b"\x37")
        if stuff([*fields, *to_bits(crc15(fields), 15)])[1][-1]:
            found.append((can_id, 0, 1, b"\x37"))
    assert len(found) > 20
    send(pico, rows_of(found))
    assert [r[1:] for r in pico.frames()] == [record_of(*frame) for frame in found]


@pytest.mark.parametrize("seed", range(3))
def test_random_bit_errors_store_nothing_wrong_and_are_counted(pico, seed):
    """One bit in a thousand inverted, and nobody interrupts the frame: what a disturbance of our
    own stub does. A frame is good if only its ACK slot was hit. After a dominant bit in EOF there
    are at most nine recessive ones up to the next frame, which is then not heard (ISO 11898-1
    wants eleven); every other damaged frame costs itself only. A lost stuff bit between five and
    five recessive bits looks like the end of a frame: then the rest counts as one more.
    """
    rng = random.Random(seed)
    rows, whole, n_bad, is_deaf = [], [], 0, False
    for frame in random_frames(700, seed + 10):
        row = acknowledged_bits(*frame)
        hits = [i for i in range(len(row) - 1) if rng.random() < 1e-3]
        for i in hits:
            row[i] ^= 1
        is_bad = any(i != len(row) - 9 for i in hits)
        if not is_deaf:
            n_bad += is_bad
            whole += [] if is_bad else [record_of(*frame)]
        is_deaf = any(i >= len(row) - 7 for i in hits)
        rows.append(row)
    send(pico, rows)
    assert n_bad > 40
    assert [r[1:] for r in pico.frames()] == whole
    errors = errors_of(pico)
    assert n_bad <= sum(errors[:ACK]) + errors[FD] <= n_bad + 3


def full_bus(us):
    """Return frames that fill the bus for a time."""
    frames = []
    rng = random.Random(5)
    total = 0
    while total < us:
        frames.append((rng.getrandbits(11), 0, 8, rng.randbytes(8)))
        total += len(wire_bits(*frames[-1])) + 3
    return frames


def test_main_loop_blocked_for_110_ms_at_a_full_bus_loses_nothing(pico):
    frames = full_bus(108_000)
    pico.bus.put(rows_of(frames))
    pico.exec("time.sleep_ms(110)")
    assert [r[1:] for r in pico.frames()] == [record_of(*frame) for frame in frames]


SPIN = """
@micropython.viper
def spin(us: int):
    timer = ptr32(0x40054028)
    start = timer[0]
    while timer[0] - start < us:
        pass
"""


def test_main_loop_in_machine_code_for_longer_than_the_ring_of_bits_lasts_loses_nothing(pico):
    """As in a garbage collection, nothing of MicroPython's is called. 215 ms are 1,880 frames, the
    eight blocks take 2,016, and the bits of 131 ms find room.
    """
    pico.exec("import micropython\n" + SPIN)
    frames = full_bus(210_000)
    starts = pico.bus.put(rows_of(frames))
    pico.exec("spin(215_000)")
    found = pico.frames()
    assert [r[1:] for r in found] == [record_of(*frame) for frame in frames]
    assert max(abs(r[0] - t) for r, t in zip(found, starts, strict=True)) <= 1.1


def test_longer_block_is_recorded_as_a_loss_and_the_newest_frames_are_kept(pico):
    """Nothing but a main loop that keeps the interrupts out, too, is so long."""
    pico.exec("import micropython\n" + SPIN)
    frames = full_bus(200_000)
    starts = pico.bus.put(rows_of(frames))
    off = "was = machine.disable_irq()\nspin(200_000)\nmachine.enable_irq(was)"
    pico.exec(f"{off}\ncan.drain()\ncan.drain()\ntime.sleep_ms(5)")
    got = pico.records()
    kept = [r[1:] for r in got if r.is_frame]
    assert 1000 < len(kept) < len(frames)
    assert kept == [record_of(*frame) for frame in frames[-len(kept) :]]
    gaps = [r for r in got if r.is_gap]
    assert len(gaps) == 1
    missed_us = pico.value("can.counts()")[MISSED_us]
    first_us = next(r[0] for r in got if r.is_frame)
    # 128 bits have one stamp, a frame is 111 bits; the bus was idle for some ms before the first
    assert -300 < missed_us - (first_us - starts[0]) < 10_000


def test_full_ring_keeps_the_bits_and_then_drops_and_counts_each_frame(pico):
    """Eight blocks are 2,016 records; of 270 ms of a full bus (about 2,360 frames) what does not
    fit waits as bits, up to 66 ms (half of 131), and the rest is dropped.
    """
    frames = full_bus(270_000)
    pico.bus.put(rows_of(frames))
    pico.exec("t = time.ticks_ms()\nwhile time.ticks_diff(time.ticks_ms(), t) < 280: can.drain()")
    waiting = pico.value("list(ring.state)")
    assert waiting[4] == 8 * 252 and waiting[6] == 0
    pico.bus.put(rows_of(frames))
    pico.exec("t = time.ticks_ms()\nwhile time.ticks_diff(time.ticks_ms(), t) < 280: can.drain()")
    pico.exec("can.stop()")
    state = pico.value("list(ring.state)")
    assert state[4] + state[6] == 2 * len(frames)
    assert state[6] > 1000


def test_while_the_ring_is_full_a_main_loop_that_is_late_costs_no_count(pico):
    """131 ms of bits, of which 66 wait: 50 ms more are no bit too many, each frame is counted."""
    frames = full_bus(600_000)
    pico.bus.put(rows_of(frames))
    pico.exec("t = time.ticks_ms()\nwhile time.ticks_diff(time.ticks_ms(), t) < 400: can.drain()")
    pico.exec("for _ in range(4): time.sleep_ms(50); can.drain()")
    pico.exec("time.sleep_ms(20); can.stop()")
    state = pico.value("list(ring.state)")
    assert state[4] == 8 * 252 and state[4] + state[6] == len(frames)
    assert pico.value("can.counts()")[MISSED_us] == 0


def test_pin_is_an_input_whatever_the_driver_does(pico):
    """IO_BANK0 GPIO6_CTRL names SIO (5) without overrides and SIO's output enable is clear; PIO0
    enables no output at all; the pad (PADS_BANK0, 2.19.6.3 of the RP2040's datasheet) has its
    input enabled (bit 6) and its output disabled (7). After an output is enabled by force the
    witness sees it.
    """
    for code in ("begin(1000000)", "can.drain()", "can.poll(ring)", "can.stop()", "can.deinit()"):
        pico.exec(code)
        peek = pico.board.chip.engine.peek
        assert peek(0x40014000 + 8 * 6 + 4) == 5
        assert not peek(0xD0000020) >> 6 & 1
        assert peek(0x50200040) == 0
        assert peek(0x4001C004 + 4 * 6) & 0xC0 == 0xC0
        assert not pico.bus.n_dominant
    pico.exec("machine.Pin(6, machine.Pin.OUT)")
    assert pico.bus.n_dominant
    pico.exec("machine.Pin(6, machine.Pin.IN, machine.Pin.PULL_UP)")


PROGRAM = """
@rp2.asm_pio(autopush=True, fifo_join=rp2.PIO.JOIN_RX)
def listen():
    wrap_target()
    label("recessive")
    mov(x, osr)
    label("watch")
    jmp(pin, "still")
    jmp("fall")
    label("still")
    jmp(x_dec, "watch")
    in_(y, 1) [1]
    wrap()
    label("fall")
    set(x, 17)
    label("wait")
    jmp(x_dec, "wait") [3]
    in_(pins, 1)
    jmp(pin, "rise")
    set(x, 29) [1]
    jmp("wait")
    label("rise")
    jmp("recessive") [17]
print(list(listen[0]) == list(_PROGRAM))
"""


def test_program_is_what_micropython_assembles_from_its_comments(pico):
    assert pico.exec(PROGRAM).strip() == "True"


def test_ring_of_bits_lies_at_a_multiple_of_its_size(pico):
    raw, stamps, n = pico.value("(raw.raw, raw.stamps, len(raw.memory))")
    assert raw % 16384 == 0 and stamps % 4096 == 0
    assert n < 16384 + 4096 + 100  # the piece before it was given back


@pytest.mark.parametrize("rate, divider", [(1_000_000, 256), (500_000, 512), (83_333, 3072)])
def test_divider(pico, rate, divider):
    """125 MHz over 125 clocks a bit: exactly 1, 2 and 12 (+4 ppm) in 1/256."""
    assert pico.value(f"find_divider(125_000_000, {rate})") == divider


def test_rate_that_no_divider_gives_is_refused(pico):
    with pytest.raises(Exception, match="ValueError"):
        pico.exec("find_divider(125_000_000, 1_100_000)")


def test_the_modules_agree_on_the_words_of_their_state():
    """The assembler takes numbers of its own module only, so they stand in each."""
    folder = Path(__file__).parents[1]
    found = {}
    for path in ("logger/ring.py", "drivers/rp2_receive.py", "drivers/pio_receive.py"):
        prefix = "_S_" if path == "logger/ring.py" else ""
        for name, value in _constants(folder / path, prefix):
            found.setdefault(name, value)
    checked = 0
    for module in ("pio_receive", "pio_frame", "pio_can", "pio_drain"):
        path = f"drivers/{module}.py"
        for name, value in _constants(folder / path):
            if name in found:
                checked += 1
                assert found[name] == value, (path, name)
    assert checked > 60


def _constants(path, prefix=""):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            name = prefix + ast.unparse(node.targets[0])
            if name.startswith(("_W_", "_S_", "_H_")):
                yield name, node.value.args[0].value
