"""The clean bus: timing, arbitration, and that its three paths are one bus."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagelog.errors import UsageError
from stagelog.model import EXT, FRAME, RTR
from stagelog.rig.bus import Bus, canbits, nodes, simulate
from stagelog.rig.bus import log as bus_log
from stagelog.rig.bus.bench import throughput
from stagelog.rig.bus.controller import Frame
from stagelog.rig.bus.node import to_table

MS = 10**6
S = 10**9


def random_bus(seed, n_nodes=3, rate_Hz=1500, bitrate_bps=500_000, every_bit=False):
    bus = Bus(bitrate_bps, every_bit=every_bit)
    for i in range(n_nodes):
        bus.add_node(f"n{i}", nodes.random_frames(rate_Hz, seed * 10 + i, i, n_nodes))
    bus.add_node("dash")
    bus.add_node("logger", listen_only=True)
    return bus


def once(due_ns, *frames):
    """A source of frames that are all due at one time."""
    table = to_table(frames)
    return [(np.full(len(table), due_ns, np.int64), table)]


def rows_of(events):
    return bus_log.to_rows(list(events))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.integers(0, 1000),
    st.integers(1, 5),
    st.sampled_from([200, 1500, 6000]),
    st.sampled_from([33_333, 125_000, 500_000, 1_000_000]),
)
def test_whole_runs_equal_frame_by_frame(seed, n_nodes, rate_Hz, bitrate_bps):
    until_ns = 80 * MS
    args = seed, n_nodes, rate_Hz, bitrate_bps
    whole, single = random_bus(*args), random_bus(*args)
    log = whole.run(until_ns)
    assert np.array_equal(log.rows, rows_of(single.advance(until_ns)))
    assert (whole.busy_ns, whole.n_started) == (single.busy_ns, single.n_started)
    # and what follows is the same too: both left the bus in one state
    assert np.array_equal(whole.run(until_ns + MS).rows, single.run(until_ns + MS).rows)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.sampled_from([1500, 6000]), st.sampled_from([83_333, 500_000]))
def test_bit_by_bit_equals_whole_runs(seed, rate_Hz, bitrate_bps):
    until_ns = 3 * S // 100 * 500_000 // bitrate_bps
    whole = random_bus(seed, 2, rate_Hz, bitrate_bps)
    bits = random_bus(seed, 2, rate_Hz, bitrate_bps, every_bit=True)
    expected, log = whole.run(until_ns), bits.run(until_ns)
    assert len(log.sent) > 20
    for column in ("t_ns", "due_ns", "can_id", "flags", "dlc", "n_bytes", "data", "sender"):
        assert np.array_equal(log.sent[column], expected.sent[column]), column
    for name in ("n0", "dash", "logger"):
        assert np.array_equal(log.tape(name), expected.tape(name))
    assert not bits.nodes[-1].drove_dominant and bits.nodes[-2].drove_dominant


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 100), st.lists(st.integers(0, 50 * MS), max_size=6))
def test_a_run_in_slices_equals_a_run_in_one(seed, cuts):
    sliced, whole = random_bus(seed), random_bus(seed)
    log = sliced.run(0)
    for cut_ns in sorted(cuts):
        log = log + sliced.run(cut_ns)
        assert not len(log.rows) or log.rows["t_ns"][-1] <= cut_ns
    log = log + sliced.run(50 * MS)
    assert np.array_equal(log.rows, whole.run(50 * MS).rows)


def test_advance_gives_nothing_from_the_future_and_loses_nothing():
    bus, whole = random_bus(5), random_bus(5)
    events = []
    for until_ns in range(0, 40 * MS, 100_000):
        fresh = list(bus.advance(until_ns))
        assert all(until_ns - 100_000 < event.t_ns <= until_ns for event in fresh)
        events += fresh
    assert np.array_equal(rows_of(events), whole.run(until_ns).rows)


@pytest.mark.parametrize("bitrate_bps", [10_000, 125_000, 250_000, 500_000, 1_000_000])
@pytest.mark.parametrize("n_bytes", [0, 8])
def test_a_saturated_bus_carries_exactly_what_its_bits_allow(bitrate_bps, n_bytes):
    # ID 0x555 and payload 0x55: no stuff bit before the CRC
    frame = Frame(0x555, 0, n_bytes, b"\x55" * n_bytes)
    n_bits = canbits.n_frame_bits(*frame)
    table = to_table([frame] * 25_000)
    log = simulate({"full": [(np.zeros(len(table), np.int64), table)]}, S, bitrate_bps)
    expected = [(k * n_bits - 3) * S // bitrate_bps for k in range(1, bitrate_bps // n_bits + 1)]
    assert log.rows["t_ns"].tolist() == expected
    assert log.load_pct(S, S // 10) == pytest.approx(np.full(10, 100.0), abs=100 * n_bits / 1000)


@pytest.mark.parametrize(
    ("flags", "dlc", "n_bits", "frames_per_s"),
    [
        (0, 8, 111, 9_009),  # eight bytes, no stuff bit
        (RTR, 5, 47, 21_276),  # the shortest frame there is
        (0, 0, 48, 20_833),  # without data the zeros from RTR to DLC always cost a stuff bit
    ],
)
def test_the_fastest_frames_reach_the_tabulated_rates(flags, dlc, n_bits, frames_per_s):
    table = np.zeros(2048, FRAME)
    table["can_id"], table["flags"], table["dlc"] = np.arange(2048), flags, dlc
    table["n_bytes"] = canbits.n_bytes_of(flags, dlc)
    table["data"][:, : table["n_bytes"][0]] = 0x55
    lengths = canbits.frame_bits(table)
    assert lengths.min() == n_bits
    table = np.repeat(table[lengths.argmin()], 30_000)
    log = simulate({"full": [(np.zeros(len(table), np.int64), table)]}, S, 1_000_000)
    assert len(log.rows) == frames_per_s


def test_the_end_of_frame_is_stamped_before_the_intermission():
    frame = Frame(0x123, 0, 2, b"\x01\x02")
    log = simulate({"a": once(1000, frame)}, MS, 500_000)
    n_bits = canbits.n_frame_bits(*frame)
    # due at half a bit: begins at the next bit boundary, 2,000 ns
    assert log.rows["t_ns"].tolist() == [2000 + (n_bits - 3) * 2000]
    assert log.waits_ns().tolist() == [1000]


def test_frames_that_wait_together_go_in_the_order_of_their_identifiers():
    frames = [
        Frame(0x101, 0, 1, b"\x00"),
        Frame(0x100 << 18 | 5, EXT, 1, b"\x00"),
        Frame(0x100 << 18 | 4, EXT | RTR, 0, b""),
        Frame(0x100, RTR, 0, b""),
        Frame(0x100, 0, 0, b""),
    ]
    for path in ("whole", "single", "bits"):
        bus = Bus(500_000, every_bit=path == "bits")
        for i, frame in enumerate(frames):
            bus.add_node(f"n{i}", once(50_000, frame))
        bus.add_node("dash")
        log = bus.run(5 * MS) if path != "single" else None
        rows = log.sent if log else rows_of(bus.advance(5 * MS))
        assert rows["sender"].tolist() == [4, 3, 2, 1, 0]


def test_who_is_due_while_the_bus_is_busy_waits_for_the_intermission():
    low, high = Frame(0x700, 0, 8, b"\x55" * 8), Frame(0x001, 0, 0, b"")
    bus = Bus(1_000_000)
    bus.add_node("low", once(0, low, low))
    bus.add_node("high", once(50_000, high))
    rows = bus.run(MS).rows
    first, second = canbits.n_frame_bits(*low), canbits.n_frame_bits(*high)
    assert rows["can_id"].tolist() == [0x700, 0x001, 0x700]
    assert rows["t_ns"][1] == (first + second - 3) * 1000


def test_one_node_keeps_the_order_of_its_source():
    frames = [Frame(0x700, 0, 0, b""), Frame(0x001, 0, 0, b"")]
    rows = simulate({"a": once(0, *frames)}, MS).rows
    assert rows["can_id"].tolist() == [0x700, 0x001]


def test_a_source_whose_times_go_back_is_sent_in_its_order():
    table = to_table([Frame(0x100 + i, 0, 0, b"") for i in range(4)])
    due_ns = np.array([0, 900_000, 300_000, 1_200_000])
    split = [(due_ns[:2], table[:2]), (due_ns[2:], table[2:])]
    for source in ([(due_ns, table)], split):
        log = simulate({"a": source}, 2 * MS)
        assert log.sent["can_id"].tolist() == [0x100, 0x101, 0x102, 0x103]
        assert log.sent["due_ns"].tolist() == [0, 900_000, 900_000, 1_200_000]


def test_a_full_bus_starves_the_low_priority_and_shows_it():
    bus = Bus(500_000)
    bus.add_node("babbler", nodes.saturate(8, can_id=0))
    bus.add_node("diff", nodes.periodic([nodes.Periodic(0x5A0, 10 * MS, 8)]))
    bus.add_node("logger", listen_only=True)
    log = bus.run(S)
    assert set(log.sent["can_id"]) == {0}
    assert log.load_pct(S, S)[0] == pytest.approx(100, abs=0.1)

    bus = Bus(500_000)
    bus.add_node("high", nodes.saturate(8, can_id=0, count=4000))  # for about 0.9 s
    bus.add_node("diff", nodes.periodic([nodes.Periodic(0x5A0, 10 * MS, 8)]))
    log = bus.run(2 * S)
    waits_ns = log.waits_ns()[log.sent["can_id"] == 0x5A0]
    assert len(waits_ns) == 200 and waits_ns.max() > 800 * MS and waits_ns[-1] == 0


def test_two_nodes_with_the_same_frame_are_one_frame_on_the_wire():
    frame = Frame(0x123, 0, 2, b"\x01\x02")
    bus = Bus(500_000)
    bus.add_node("a", once(0, frame))
    bus.add_node("b", once(0, frame))
    bus.add_node("logger", listen_only=True)
    bus.add_node("dash")
    log = bus.run(MS)
    assert len(log.sent) == 1 and len(log.tape("logger")) == 1
    assert bus.nodes[0].tec == bus.nodes[1].tec == 0


def test_a_clock_500_ppm_fast_or_slow_shifts_its_frames_by_just_that():
    def last_eof_ns(ppm, every_bit):
        bus = Bus(500_000, every_bit=every_bit)
        bus.add_node("full", nodes.saturate(8, count=60), clock_ppm=ppm)
        bus.add_node("dash", clock_ppm=-ppm)
        bus.add_node("logger", listen_only=True, clock_ppm=300)
        log = bus.run(20 * MS)
        assert len(log.tape("logger")) == 60 and not (log.rows["kind"] == 1).any()
        return int(log.sent["t_ns"][-1])

    true_ns = last_eof_ns(0, False)
    for ppm in (-500, 500):
        by_frame, by_bit = last_eof_ns(ppm, False), last_eof_ns(ppm, True)
        assert by_frame == pytest.approx(true_ns / (1 + ppm / 1e6), abs=60)
        assert by_bit == pytest.approx(by_frame, abs=2000)  # within a bit


@pytest.mark.parametrize("ppm", [-8000, 8000])
def test_edges_keep_a_clock_in_step_that_alone_would_lose_a_bit_per_frame(ppm):
    messages = [nodes.Periodic(0x100, 1_300_300, 8, payload=nodes.counting(8))]
    bus = Bus(500_000)
    bus.add_node("engine", nodes.periodic(messages, 50 * MS))
    bus.add_node("dash", clock_ppm=ppm)
    log = bus.run(60 * MS)
    assert len(log.tape("dash")) == len(log.sent) == 39
    assert not (log.rows["kind"] == 1).any()


def test_rates_without_a_whole_number_of_ns_per_bit_do_not_drift():
    frame = Frame(0x555, 0, 0, b"")
    n_bits = canbits.n_frame_bits(*frame)
    table = to_table([frame] * 3000)
    log = simulate({"a": [(np.zeros(3000, np.int64), table)]}, 100 * S, 33_333)
    exact_ns = (3000 * n_bits - 3) * S / 33_333
    assert abs(log.rows["t_ns"][-1] - exact_ns) < exact_ns * 1e-9 + 1


def test_four_buses_do_not_know_of_each_other():
    alone = random_bus(3).run(20 * MS)
    buses = [random_bus(i) for i in range(4)]
    logs = [bus.run(20 * MS) for bus in buses]
    assert np.array_equal(logs[3].rows, alone.rows)


def test_a_node_without_power_neither_acknowledges_nor_sees():
    bus = random_bus(1)
    bus.nodes[3].switch(on=False)
    log = bus.run(20 * MS)
    assert not len(log.tape("dash")) and len(log.tape("logger")) > 50
    bus.nodes[3].switch(on=True)
    again = bus.run(40 * MS)
    assert 0 < len(again.tape("dash")) <= len(again.tape("logger"))


def test_a_node_that_comes_later_saw_nothing_before():
    bus = random_bus(1)
    before = bus.run(20 * MS)
    bus.add_node("late")
    log = before + bus.run(40 * MS)
    late = log.tape("late")
    assert len(late) and late["t_us"].min() >= 20_000
    assert len(log.tape("dash")) == len(before.tape("dash")) + len(late)


def test_a_node_without_messages_sends_nothing():
    assert not len(simulate({"idle": nodes.periodic([])}, S).rows)


def test_a_frame_given_while_the_bus_runs_goes_out_next():
    bus = Bus(500_000)
    tester = bus.add_node("tester")
    bus.add_node("logger", listen_only=True)
    bus.add_node("dash")
    assert list(bus.advance(MS)) == []
    tester.send(Frame(0x7DF, 0, 2, b"\x01\x0c"))
    (event,) = bus.advance(2 * MS)
    assert event.frame == Frame(0x7DF, 0, 2, b"\x01\x0c") and event.sender == tester.index
    assert event.t_ns == MS + (canbits.n_frame_bits(*event.frame) - 3) * 2000
    assert event.seen_by(bus.nodes[1]) and not event.seen_by(tester)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda bus: bus.add_node("dash"), "already"),
        (lambda bus: bus.add_node("x", bitrate_bps=5_000), "5000 bit/s"),
        (lambda bus: bus.add_node("x", nodes.saturate(), listen_only=True), "listen-only"),
        (lambda bus: bus.nodes[-1].send(Frame(1, 0, 0, b"")), "listen-only"),
        (lambda bus: bus.run(-1), "forward"),
        (lambda bus: bus.nodes[0].send(Frame(1, 0, 0, b""), due_ns=1_700_000_000 * S), "epoch"),
        (lambda bus: bus.nodes[3].send(Frame(1, 0, 2, b"")), "DLC"),
    ],
)
def test_what_makes_no_sense_is_refused(spoil, words):
    bus = random_bus(0)
    with pytest.raises(UsageError, match=words):
        spoil(bus)
        bus.run(S)


def test_throughput_has_a_figure_for_each_path():
    figures = throughput(duration_s=1)
    assert set(figures) == {"batch_saturated", "batch_arbitrated", "frame_by_frame", "bit_by_bit"}
    assert all(rate > 0 for rate in figures.values())
