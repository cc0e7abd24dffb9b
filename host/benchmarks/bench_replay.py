"""Lateness of replay beside python-can's player, and a question to the archive beside polars.

    python host/benchmarks/bench_replay.py [lateness|archive] [--seconds 3] [--rounds 3] [--json]

Owns the measuring. Both players send the same frames, at random times like those of a bus, to a
virtual bus of python-can with a listener; they take turns, and a figure is the median over the
rounds. python-can's player is run as it ships and once more with our priority. The archive holds
24 M frames of 6 cars and 8 stages (in .cache/bench); times are medians of warm runs.
"""

import argparse
import os
import shutil
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import dataset
from table import Row, show_rows

from stagelog.can_messages import messages_of
from stagelog.decode import compile_plan, decode
from stagelog.export import ParquetSink
from stagelog.model import FRAME
from stagelog.query import Archive
from stagelog.replay import N_THREADS, keep_time, make_schedule, open_buses, play

RATES_Hz = (4000, 8000)
CARS, STAGES = 6, 8
FRAMES_PER_STAGE = 500_000
LAKE = dataset.CACHE / "lake"
MESSAGE = "Engine"
N_WARM = 15


def bus_traffic(rate_Hz, duration_s, seed=1):
    """Return frames at random times, `rate_Hz` on average."""
    rng = np.random.default_rng(seed)
    n = int(rate_Hz * duration_s)
    frames = np.zeros(n, FRAME)
    frames["t_us"] = np.sort(rng.integers(0, int(duration_s * 1e6), n))
    frames["can_id"] = 0x100 + np.arange(n) % 30
    frames["dlc"] = frames["n_bytes"] = 8
    return frames


def our_player(schedule, real_time):
    """Replay; return (p50, p99, worst, early) in us."""
    with open_buses(["virtual:bench"], [0]) as buses, keep_time(schedule, real_time):
        report = play(schedule, buses.build, buses.send, n_threads=N_THREADS)
    return report.p50_us, report.p99_us, report.worst_us, report.early_us


def python_can_player(schedule, real_time):
    """Replay as can.player does; the same, counted from its first frame."""
    import can

    messages = list(messages_of(schedule.frames))
    sent_ns = []
    note, now_ns = sent_ns.append, time.perf_counter_ns
    with can.Bus(interface="virtual", channel="bench") as bus:
        if real_time:
            with keep_time(schedule):
                _send(can.MessageSync(messages), bus, note, now_ns)
        else:
            _send(can.MessageSync(messages), bus, note, now_ns)
    late_us = (np.array(sent_ns) - sent_ns[0] - schedule.due_ns) / 1000
    p50, p99 = np.percentile(late_us, [50, 99])
    return p50, p99, late_us.max(), max(0.0, -late_us.min())


def _send(messages, bus, note, now_ns):
    for message in messages:
        note(now_ns())
        bus.send(message)


PLAYERS = {
    "ours": (our_player, True),
    "ours, normal": (our_player, False),
    "python-can": (python_can_player, False),
    "python-can, real-time": (python_can_player, True),
}
PAIRS = {
    "": ("ours", "python-can"),
    "both real-time": ("ours", "python-can, real-time"),
    "both normal": ("ours, normal", "python-can"),
}


def lateness_rows(duration_s, n_rounds):
    """Yield the rows of both rates: as each ships, then with the same priority."""
    import can

    for rate_Hz in RATES_Hz:
        schedule = make_schedule(bus_traffic(rate_Hz, duration_s))
        runs = {name: [] for name in PLAYERS}
        for _ in range(n_rounds):
            for name, (player, real_time) in PLAYERS.items():
                with can.Bus(interface="virtual", channel="bench"):
                    runs[name].append(player(schedule, real_time))
        median = {name: np.median(found, axis=0) for name, found in runs.items()}
        for note, (ours, theirs) in PAIRS.items():
            yield from _compared(rate_Hz, median[ours], median[theirs], note)


def _compared(rate_Hz, ours, theirs, note):
    for k, what in enumerate(("p50", "p99", "worst")):
        wanted = "3 x" if what == "p99" else ""
        name = f"replay {rate_Hz:,}/s, late {what}"
        yield Row(name, ours[k], "us", "python-can", theirs[k], theirs[k] / ours[k], wanted, note)
    name = f"replay {rate_Hz:,}/s, too early"
    yield Row(name, ours[3], "us", "python-can", theirs[3], None, "0", note)


def make_lake():
    """Make the archive of 24 M frames, if it is not there: raw integers, as the product writes."""
    if (LAKE / "complete").exists():
        return
    shutil.rmtree(LAKE, ignore_errors=True)
    database, frames = dataset.load()
    plan = compile_plan(database)
    n_parts = len(frames) // FRAMES_PER_STAGE
    for k, (car, stage) in enumerate(product(range(CARS), range(STAGES))):
        folder = _stage(car, stage, k)
        if k >= n_parts:
            source = _stage(*divmod(k % n_parts, STAGES), k % n_parts)
            shutil.copytree(source, folder)
            continue
        part = frames[k * FRAMES_PER_STAGE : (k + 1) * FRAMES_PER_STAGE]
        metadata = {"session": folder.name.removeprefix("session=")}
        with ParquetSink(folder, "archive", database=database, metadata=metadata) as sink:
            sink.write(decode(part, plan, sink.mode))
    (LAKE / "complete").touch()


def _stage(car, stage, k):
    return LAKE / "event=BENCH" / f"car=C{car:02d}" / f"stage=SS{stage:02d}" / f"session=s{k:02d}"


def archive_rows():
    """Yield the rows of one aggregate over one signal, by car and stage."""
    import polars as pl

    make_lake()
    signal = next(s for s in dataset.load()[0].message(MESSAGE).signals if s.scale != 1)
    name = signal.name
    sql = (
        f'select car, stage, max("{name}"), avg("{name}"), count("{name}") from "{MESSAGE}"'
        " group by car, stage order by car, stage"
    )
    start = time.perf_counter()
    archive = Archive(LAKE)
    ours = archive.rows(sql)[1]
    first_ms = (time.perf_counter() - start) * 1e3
    value = pl.col(name) * float(signal.scale) + float(signal.offset)
    lazy = (
        pl.scan_parquet(LAKE / "**" / f"{MESSAGE}.parquet", hive_partitioning=True)
        .group_by("car", "stage")
        .agg(value.max(), value.mean().alias("mean"), value.count().alias("n"))
        .sort("car", "stage")
    )
    theirs = lazy.collect().rows()
    if not np.allclose([row[2:] for row in ours], [row[2:] for row in theirs], rtol=1e-12):
        sys.exit("bench: the archive and polars do not agree")
    ours_ms, our_wall_ms = _warm_ms(lambda: archive.rows(sql))
    theirs_ms, their_wall_ms = _warm_ms(lambda: lazy.collect())
    note = f"{CARS * STAGES} groups, {sum(row[4] for row in ours):,} values; by the wall clock "
    note += f"{our_wall_ms:.0f} and {their_wall_ms:.0f} ms at load {os.getloadavg()[0]:.0f}; "
    note += f"the first time {first_ms:.0f} ms"
    what = "aggregate of one signal, 24 M frames"
    ratio = theirs_ms / ours_ms
    yield Row(what, ours_ms, "ms of processor", "polars", theirs_ms, ratio, "under 30", note)


def _warm_ms(function):
    """Return medians of (processor time of all threads, wall clock)."""
    times = []
    for _ in range(N_WARM):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        times.append((time.process_time() - processor, time.perf_counter() - wall))
    return np.median(times, axis=0) * 1e3


def main(args=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", choices=["lateness", "archive", []])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args(args)
    asked = options.rows or ["lateness", "archive"]

    def rows():
        if "lateness" in asked:
            yield from lateness_rows(options.seconds, options.rounds)
        if "archive" in asked:
            yield from archive_rows()

    show_rows(rows(), "replay", options.as_json)


if __name__ == "__main__":
    main()
