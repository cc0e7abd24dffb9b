"""The edges campaign: how far from their places the edges of a bus may lie before a board without
a controller loses a frame, and what it makes of wrong bits, at 1 Mbit/s.

A case is 5,000 frames of every kind on an emulated pin. Owns the lines, and what is checked: on
a line within what WIRING.md promises no frame is lost and none is counted as bad; beyond it (the
map) frames may be lost; nowhere is one stored that was not sent. Wrong bits are judged frame by
frame by `rig.bus.controller`, another reading of the same standard: what that node rejects is not
stored, and is counted.
"""

import numpy as np

from campaigns.engine.bus.pins import receiver
from campaigns.engine.results import Finding, findings_of, in_turn, rows_of
from stagelog.model import EXT, RTR
from stagelog.rig import tape
from stagelog.rig.bus.canbits import n_bytes_of
from stagelog.rig.bus.controller import Controller
from stagelog.rig.bus.nodes import random_table
from stagelog.rig.bus.wave import Line, acknowledged_bits

RATE_bps = 1_000_000
N_FRAMES = 5_000
BIT_ERRORS = 1e-4
_WRONG_BITS = "bits wrong, 1 in 10,000"
_GAP_BITS = 12  # between frames with wrong bits: each is judged by itself
_BAD = ("stuff", "flags", "crc", "form", "fd")


def _corners(ppm, asymmetry_ns, jitter_ns):
    return [
        Line(RATE_bps, sign * ppm, side * asymmetry_ns, jitter_ns)
        for sign in (-1, 1)
        for side in (-1, 1)
    ]


def _name(line):
    return (
        f"clock {line.clock_ppm / 1e4:+.1f} %, asymmetry {line.asymmetry_ns:+.0f} ns, "
        f"jitter {line.jitter_ns:.0f} ns"
    )


WITHIN = {_name(line): line for line in _corners(5_000, 100, 60)}
BEYOND = {
    f"map: {_name(line)}": line
    for line in (
        *_corners(5_000, 200, 60),
        *_corners(5_000, 300, 60),
        *_corners(5_000, 100, 120),
        *_corners(5_000, 100, 180),
        *_corners(10_000, 100, 60),
        *_corners(15_000, 100, 60),
    )
}
KINDS = {**WITHIN, _WRONG_BITS: Line(RATE_bps), **BEYOND}


def record_of(row):
    """Return w1, dlc and data of a frame as SPEC.md stores them."""
    flags, dlc = int(row["flags"]), int(row["dlc"])
    w1 = int(row["can_id"]) | (1 << 31 if flags & EXT else 0) | (1 << 30 if flags & RTR else 0)
    data = bytes(row["data"][: n_bytes_of(flags, dlc)])
    return w1, min(dlc, 8), data.ljust(8, b"\0")


def bits_of(row):
    """Return the bits of a frame that somebody acknowledges."""
    flags, dlc = int(row["flags"]), int(row["dlc"])
    data = bytes(row["data"][: n_bytes_of(flags, dlc)])
    return acknowledged_bits(int(row["can_id"]), flags, dlc, data)


def hear(frames, line, space_bits=3):
    """Let the receiver hear rows of bits; return (its frames, their stamps, counts, starts)."""
    board = receiver()
    board.bus.line = line
    board.listen(RATE_bps)
    starts_us = board.bus.put(frames, space_bits)
    n_bits = sum(len(row) + space_bits for row in frames)
    board.run(n_bits * line.bit_fs / 1e9 + 1000)
    found = board.frames()
    board.bus.line = Line(RATE_bps)
    return [record[1:] for record in found], [r.t_us for r in found], board.counts(), starts_us


def _run_line(tally, kind, number, rng):
    table = random_table(N_FRAMES, rng)
    found, stamps, counts, starts_us = hear([bits_of(row) for row in table], KINDS[kind])
    sent = [record_of(row) for row in table]
    n_wrong = _n_wrong(found, sent)
    n_lost = len(sent) - len(found) + n_wrong
    tally.note_worst(f"lost, {kind}", n_lost)
    tally.worst[f"sum, {kind}"] = tally.worst.get(f"sum, {kind}", 0) + n_lost
    if n_wrong:
        yield "C8", f"{n_wrong} stored frames that were not sent in this order"
    if kind in WITHIN:
        if n_lost:
            yield "C1", f"{n_lost} of {N_FRAMES} frames lost"
        elif (late_us := max(abs(a - b) for a, b in zip(stamps, starts_us, strict=True))) > 2:
            yield "C1", f"a stamp is {late_us:.1f} us off"
        if any(counts[name] for name in _BAD):
            yield "C9", f"bad frames were counted on a clean bus: {counts}"


def _n_wrong(found, sent):
    """Return how many of `found` are not, in this order, in `sent`."""
    left = iter(sent)
    return sum(record not in left for record in found)


def _run_bits(tally, kind, number, rng):
    table = random_table(N_FRAMES, rng)
    rows, good, n_bad = [], [], 0
    for frame in table:
        row = np.array(bits_of(frame), np.uint8)
        row ^= rng.random(len(row)) < BIT_ERRORS
        row[-1] = 1  # the last bit belongs to the receiver's overload frame, not to this frame
        rows.append(row.tolist())
        if is_good(rows[-1]):
            good.append(record_of(frame))
        else:
            n_bad += 1
    found, _, counts, _ = hear(rows, KINDS[kind], _GAP_BITS)
    n_counted = sum(counts[name] for name in _BAD)
    tally.note_worst(f"bad, {kind}", n_bad)
    if found != good:
        yield "C8", f"{len(found)} frames are stored, the witness has {len(good)}"
    if not n_bad <= n_counted <= n_bad + 1 + n_bad // 50:
        yield "C9", f"{n_bad} frames were bad, {counts} counted"


def is_good(row):
    """Return whether a node that listens takes a row of bits for a good frame."""
    node = Controller(listen_only=True)
    for bit in [*row, *[1] * _GAP_BITS]:
        node.sample(bit)
        if node.reports:
            return node.reports[0].kind == tape.FRAME
    return False


def run_case(tally, kind, number):
    """Run one case; add its findings and figures to a Tally."""
    rng = np.random.default_rng([tally.seed, list(KINDS).index(kind), number])
    check = _run_bits if kind == _WRONG_BITS else _run_line
    for name, text in check(tally, kind, number, rng):
        tally.add(Finding(name, f"{kind}:{number}", kind, text))


def run(tally, n_cases, seconds=None, keep=lambda: None, chosen="all"):
    """Continue a Tally until it holds n_cases, kind by kind in turn."""
    kinds = {"all": KINDS, "within": WITHIN, "bits": [_WRONG_BITS], "map": BEYOND}[chosen]
    in_turn(tally, kinds, n_cases, run_case, seconds, keep)


def rows(tally):
    """Return the table of a Tally: one Row for each line."""

    def words(kind):
        if kind == _WRONG_BITS:
            return f"{tally.worst.get(f'bad, {kind}', 0):,} bad frames a case"
        lost = tally.worst.get(f"sum, {kind}", 0)
        return f"{lost:,} of {tally.states[kind] * N_FRAMES:,} frames lost"

    return rows_of(tally, {kind: f"edges: {kind}" for kind in KINDS}, words)


def reproduce(seed, case):
    """Run one case, "line:number", again; return its findings."""
    return findings_of(seed, case, KINDS, run_case)
