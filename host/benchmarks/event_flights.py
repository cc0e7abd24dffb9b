"""Flights of the on-car detector on the corpus, beside the detectors that others use.

Owns the loop over drives, in one process or several, and the table that is printed.
"""

import functools
import sys
from concurrent.futures import ProcessPoolExecutor

from event_drives import KINDS, flight_table, load_drive
from event_peers import PEERS, acceleration
from event_scores import Score, found_flights, score_flights

from stagelog.events import recompute

OURS = "stagelog"
TARGETS = {
    "recall_long_pct": (">=", 98.0),
    "recall_short_pct": (">=", 85.0),
    "false_per_100km": ("<=", 1.0),
    "onset_median_ms": ("<=", 30.0),
    "onset_p95_ms": ("<=", 80.0),
    "latency_p95_ms": ("<=", 150.0),
}
NO_FLIGHTS = ("washboard", "crests", "dunes", "jacks", "rollover", "three_wheels")


def score_corpus(profile, seeds, jobs=1, kinds=KINDS, verbose=False):
    """Return ({detector: {terrain or "all": row}}, [what missed its target])."""
    scores = {name: {kind: Score() for kind in kinds} for name in (OURS, *PEERS)}
    asked = [(kind, seed) for kind in kinds for seed in seeds]
    one = functools.partial(_score_drive, profile, verbose)
    if jobs == 1:
        results = map(one, asked)
    else:
        load_drive(kinds[0], seeds[0], profile)  # the cache's key, before there are many
        pool = ProcessPoolExecutor(jobs)
        results = pool.map(one, asked, chunksize=8)
    for (kind, _), found in zip(asked, results, strict=True):
        for name, score in found.items():
            scores[name][kind].add(score)
    for found in scores.values():
        found["all"] = Score.total(found.values())
        traps = [found[kind] for kind in NO_FLIGHTS if kind in found]
        if traps:
            found["no flights"] = Score.total(traps)
    rows = {name: {k: s.row() for k, s in found.items()} for name, found in scores.items()}
    return rows, _missed(rows[OURS])


def _score_drive(profile, verbose, asked):
    kind, seed = asked
    frames, truth, km = load_drive(kind, seed, profile)
    found = {OURS: found_flights(recompute(frames, flight_table(profile)))}
    t, acc = acceleration(frames)
    found |= {name: rule(t, acc) for name, rule in PEERS.items()}
    scores = {name: score_flights(truth, flights, km) for name, flights in found.items()}
    if verbose:
        _complain(kind, seed, scores[OURS], truth, found[OURS])
    return scores


def _missed(rows):
    missed = []
    for kind, keys in [("all", TARGETS)] + [(k, ("false_per_100km",)) for k in NO_FLIGHTS]:
        for key in keys:
            op, limit = TARGETS[key]
            value = rows[kind][key] if kind in rows else None
            if value is not None and not (value >= limit if op == ">=" else value <= limit):
                missed.append(f"flights, {kind}: {key} {value:.2f}, target {op} {limit:g}")
    return missed


def _complain(kind, seed, score, truth, flights):
    lost = sum(score.true.values()) - sum(score.found.values())
    late = [round(x * 1e3) for x in score.onset if abs(x) > 0.08]
    if lost or score.false or late or score.withdrawn:
        print(
            f"  {kind} seed {seed}: {lost} lost, {score.false} false, "
            f"{score.withdrawn} withdrawn, onset off by {late} ms",
            [(round(a, 2), round(b - a, 2)) for a, b in truth],
            [(round(a, 2), b and round(b - a, 2)) for a, b, _ in flights],
            file=sys.stderr,
        )


def _text(value, digits=1):
    if isinstance(value, tuple):
        return " - ".join(f"{end:.{digits}f}" for end in value)
    return "-" if value is None else f"{value:.{digits}f}"


COLUMNS = (  # title, key, digits, width
    ("drives", "drives", 0, 6),
    ("km", "km", 0, 6),
    ("flights 0.2-0.4 s", "n_short", 0, 9),
    ("found %", "recall_short_pct", 1, 7),
    ("95 %", "interval_short_pct", 1, 11),
    ("flights > 0.4 s", "n_long", 0, 9),
    ("found %", "recall_long_pct", 1, 7),
    ("95 %", "interval_long_pct", 1, 11),
    ("false", "false", 0, 6),
    ("per 100 km", "false_per_100km", 2, 6),
    ("at most (95 %)", "false_at_most_per_100km", 2, 6),
    ("with withdrawn", "live_per_100km", 2, 9),
    ("onset median ms", "onset_median_ms", 0, 7),
    ("p95", "onset_p95_ms", 0, 5),
    ("airtime median ms", "airtime_median_ms", 0, 8),
    ("latency p95 ms", "latency_p95_ms", 0, 8),
)


def markdown(rows):
    """Return the score table as Markdown: ours by terrain, the peers in total."""
    lines = ["| detector, terrain | " + " | ".join(c[0] for c in COLUMNS) + " |"]
    lines.append("|---|" + "---:|" * len(COLUMNS))
    for name, found in rows.items():
        shown = found if name == OURS else {"all": found["all"]}
        for kind, row in shown.items():
            label = f"**{name}**" if kind == "all" else f"{name}, {kind}"
            cells = (_text(row[key], digits) for _, key, digits, _ in COLUMNS)
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
