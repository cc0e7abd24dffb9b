"""Edges of a bus as a pin sees them: placed by hand."""

import numpy as np

from stagelog.rig.bus.canbits import wire_bits
from stagelog.rig.bus.wave import Line, acknowledged_bits, edges_of

NS = 10**6  # femtoseconds
START = np.array([10_000 * NS], np.int64)


def placed(edges):
    """Return [(ns, level)]."""
    return [(int(edge & ~np.uint64(1)) / NS, int(edge & np.uint64(1))) for edge in edges]


def test_edges_lie_at_the_boundaries_of_bits():
    """At 1 Mbit/s: dominant from 10 us, two bits; recessive from 12; dominant from 13; from 14."""
    edges = edges_of([[0, 0, 1, 0, 1]], START, Line(1_000_000), seed=1)
    assert placed(edges) == [(10_000, 0), (12_000, 1), (13_000, 0), (14_000, 1)]


def test_clock_and_asymmetry_move_them():
    """Bits 1 % longer: 1,010 ns; edges to recessive 100 ns earlier: 12,020 - 100 and so on."""
    line = Line(1_000_000, clock_ppm=10_000, asymmetry_ns=-100)
    edges = edges_of([[0, 0, 1, 0, 1]], START, line, seed=1)
    assert placed(edges) == [(10_000, 0), (11_920, 1), (13_030, 0), (13_940, 1)]


def test_jitter_keeps_within_its_bound_and_repeats_with_its_seed():
    line = Line(1_000_000, jitter_ns=60)
    rows = [[0, 1] * 500]
    first, again, other = (edges_of(rows, START, line, seed) for seed in (1, 1, 2))
    off_ns = np.array([at for at, _ in placed(first)]) - (10_000 + 1000 * np.arange(1000))
    assert 50 < off_ns.max() <= 60 and -60 <= off_ns.min() < -50
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_glitch_is_there_and_back_within_its_width():
    line = Line(1_000_000, glitches_per_s=50_000, glitch_ns=40)
    edges = placed(edges_of([[0, *[1] * 999, 0, 1]], START, line, seed=3))
    levels = [level for _, level in edges]
    assert levels == [i % 2 for i in range(len(levels))]
    narrow = [b[0] - a[0] for a, b in zip(edges[2:-2:2], edges[3:-2:2], strict=True)]
    assert len(narrow) > 20 and all(abs(width - 40) < 0.01 for width in narrow)


def test_acknowledged_frame_differs_in_the_ack_slot_only():
    """The slot is the ninth bit from the end: delimiter and seven bits of EOF follow it."""
    frame = (0x123, 0, 2, b"\x12\x34")
    sent, heard = wire_bits(*frame), acknowledged_bits(*frame)
    assert [i - len(sent) for i in range(len(sent)) if sent[i] != heard[i]] == [-9]
