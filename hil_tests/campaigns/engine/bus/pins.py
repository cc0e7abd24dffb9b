"""The bus campaign at the level of bits: the receiver of a board without a controller hears what
the listening node of the simulated bus hears, each edge of it, on an emulated pin.

The kinds of trouble are those of `bus.campaign`, but for two: a node that sends and one that
changes its own bit rate. Owns what is checked after each (C1, C2, C8, C9 of
hil_tests/RELIABILITY.md). The node is another reading of the same standard: where both may differ,
the check says so.

    frames    what the node saw is in the ring of blocks: all of it, in order, with the time of its
              start of frame. After an error of its own the node sits through a passive error flag
              and its delimiter, the receiver begins at the next ten recessive bits: it may have
              frames that the node missed. Of a frame with an edge in the middle of a bit (a torn
              connector) the two may differ: the node's SJW and place of sampling are others. Those
              missed are a figure of the row, at most one in a case. With a wrong bit rate neither
              reads what the other does
    truth     what is in the ring was offered by a sender, and was whole on the bus at that time
    silence   nothing of the chip is an output on the pin
    errors    counted if and only if the node saw some; FD frames are passed over and counted apart
"""

from functools import cache, partial

import numpy as np

from campaigns.engine.bus import campaign
from campaigns.engine.results import Finding, findings_of, in_turn, rows_of
from stagelog.model import EXT, FD, FRAME, RTR
from stagelog.rig import tape
from stagelog.rig.bus.canbits import n_bytes_of, wire_bits
from stagelog.rig.bus.log import SENT
from stagelog.rig.rp2040.receiver import Receiver

LEFT_OUT = ("search for the bit rate", "passive and bus-off (rig build)")
KINDS = {kind: make for kind, make in campaign.KINDS.items() if kind not in LEFT_OUT}
_WRONG_RATE = "wrong bit rate, logger"
_STAMP_us = 2.0
_LONGEST_BITS = 160
_MOST_TORN = 1  # frames in a case
_ERRORS = ("stuff", "flags", "crc", "form")


@cache
def receiver():
    """Return the one emulated board that hears all cases."""
    return Receiver(n_blocks=24)


def hear(made):
    """Run a Scene; return (its log, frames in the ring as FRAME, counters, what drives the pin,
    (t_ps, level) of the edges).
    """
    levels = made.bus.watch("logger")
    log = made.run()
    if levels and not levels[-1][1]:
        levels.append((made.until_ns * 1000, 1))
    board = receiver()
    board.listen(made.logger.bitrate_bps)
    start_us = board.bus.put_levels(levels)
    board.run(made.until_ns / 1000 + 1000)
    found = [_frame(record, start_us) for record in board.frames()]
    return log, np.array(found, FRAME), board.counts(), board.bus.n_dominant, levels


def check(made, log, frames, counts, n_dominant, levels, is_wrong_rate=False):
    """Yield (invariant, words) of whatever does not hold after a run."""
    seen = log.tape("logger")
    n_errors = int((seen["kind"] == tape.ERROR).sum())
    n_counted = sum(counts[kind] for kind in _ERRORS)
    n_last = 0
    until_us = made.until_ns / 1000
    if made.logger.controller.busy:  # the run ended within a frame, which goes on recessive here
        n_last = 1
        until_us -= _LONGEST_BITS * 1e6 / made.bus.bitrate_bps
    if n_dominant:
        yield "C2", "an output of the chip is on the pin"
    bit_us = 1e6 / made.bus.bitrate_bps
    stored = _stored(frames)
    if not is_wrong_rate:
        missed, torn = missed_of(log, frames, levels, bit_us)
        if len(torn) > _MOST_TORN:
            yield "C1", f"{len(torn)} torn frames of the listener are not stored, first {torn[0]}"
        if missed:
            yield "C1", f"{len(missed)} frames of the listener are not stored, first {missed[0]}"
        before = [(t_us, key) for t_us, key in stored if t_us < until_us]
        extra = _without(before, _begun(_received(log.rows), bit_us), bit_us)
        if extra:
            yield "C8", f"{len(extra)} stored frames were not on the bus then, first {extra[0]}"
    offered = set().union(*map(campaign.contents, made.offered)) if made.offered else set()
    false = campaign.contents(frames) - offered
    if false:
        yield "C8", f"{len(false)} stored frames that nobody sent"
    if (n_counted + counts["fd"] > n_last and not n_errors) or (n_errors and not n_counted):
        yield "C9", f"{n_errors} errors on the bus, {counts} counted"


def missed_of(log, frames, levels, bit_us):
    """Return what the node saw and the ring of blocks does not have: whole frames, torn ones."""
    seen = log.tape("logger")
    rows = _without(_begun(seen[seen["kind"] == tape.FRAME], bit_us), _stored(frames), bit_us)
    edges_us = np.array([t_ps for t_ps, _ in levels]) / 1e6
    parts = ([], [])
    for row in rows:
        parts[_is_torn(edges_us, row[0], bit_us)].append(row)
    return parts


def _stored(frames):
    return [(int(frame["t_us"]), _key(frame)) for frame in frames]


def _is_torn(edges_us, start_us, bit_us):
    """Return whether two edges of a frame that follow each other are not a whole number of bits
    apart, by a fifth of a bit or more.
    """
    first, last = start_us - bit_us, start_us + _LONGEST_BITS * bit_us
    own = edges_us[(edges_us > first) & (edges_us < last)]
    rests = np.diff(own) / bit_us % 1
    return bool(((rests > 0.19) & (rests < 0.81)).any())


def _received(rows):
    """Return t_us and the contents of what any node received or sent whole."""
    rows = rows[np.isin(rows["kind"], (tape.FRAME, SENT)) & (rows["flags"] & FD == 0)]
    found = np.zeros(len(rows), FRAME)
    found["t_us"] = rows["t_ns"] // 1000
    for name in ("can_id", "flags", "dlc", "data"):
        found[name] = rows[name]
    return found


def _begun(rows, bit_us):
    """Return [(time of the start of frame, key)] of frames stamped at their end."""
    found = []
    for row in rows:
        can_id, flags, dlc = (int(row[name]) for name in ("can_id", "flags", "dlc"))
        bits = len(wire_bits(can_id, flags, dlc, bytes(row["data"][: n_bytes_of(flags, dlc)])))
        found.append((int(row["t_us"]) - bits * bit_us, _key(row)))
    return found


def _key(row):
    """Return identifier, flags, length and payload as SPEC.md stores them."""
    flags, dlc = int(row["flags"]), int(row["dlc"])
    data = bytes(row["data"][: n_bytes_of(flags, dlc)])
    return int(row["can_id"]), flags, min(dlc, 8), data.hex()


def _without(some, others, bit_us):
    """Return those of `some` that have no equal in `others` at their time."""
    times = {}
    for t_us, key in others:
        times.setdefault(key, []).append(t_us)
    most_us = _STAMP_us + bit_us  # a node synchronises to a bit, a stamp is good to 2 us
    return [
        (t_us, key)
        for t_us, key in some
        if not any(abs(t_us - at_us) <= most_us for at_us in times.get(key, ()))
    ]


def _frame(record, start_us):
    flags = (EXT if record.w1 >> 31 else 0) | (RTR if record.w1 >> 30 & 1 else 0)
    frame = np.zeros((), FRAME)
    frame["t_us"] = round(record.t_us - start_us)
    frame["can_id"] = record.w1 & (0x1FFFFFFF if flags & EXT else 0x7FF)
    frame["flags"] = flags
    frame["dlc"] = record.dlc
    frame["n_bytes"] = n_bytes_of(flags, record.dlc)
    frame["data"][:8] = list(record.data)
    return frame


def run_case(tally, kind, number):
    """Run one case; add its findings and figures to a Tally."""
    rng = np.random.default_rng([tally.seed, list(campaign.KINDS).index(kind), number])
    made = KINDS[kind](rng)
    heard = hear(made)
    for name, text in check(made, *heard, is_wrong_rate=kind == _WRONG_RATE):
        tally.add(Finding(name, f"{kind}:{number}", kind, text))
    tally.note_worst(f"frames, {kind}", len(heard[1]))
    tally.note_worst(f"error frames, {kind}", sum(heard[2][name] for name in _ERRORS))
    if kind != _WRONG_RATE:
        log, frames, _, _, levels = heard
        torn = missed_of(log, frames, levels, 1e6 / made.bus.bitrate_bps)[1]
        name = f"torn, {kind}"
        tally.worst[name] = tally.worst.get(name, 0) + len(torn)


def run(tally, n_cases, seconds=None, keep=lambda: None):
    """Continue a Tally until it holds n_cases, kind by kind in turn."""
    in_turn(tally, KINDS, n_cases, run_case, seconds, keep)


def rows(tally):
    """Return the table of a Tally: one Row for each kind of trouble."""
    titles = {kind: f"pins: {kind}" for kind in KINDS}
    return rows_of(tally, titles, partial(_words_of, tally))


def _words_of(tally, kind):
    torn = tally.worst.get(f"torn, {kind}", 0)
    return f"{campaign.words_of(tally, kind)}, {torn} torn ones missed in all"


def reproduce(seed, case):
    """Run one case, "kind:number", again; return its findings."""
    return findings_of(seed, case, KINDS, run_case)
