"""The report's page: how long 20 channels of a million samples take, and how large it gets.

    python host/benchmarks/bench_report.py [--rounds 3] [--json]

Owns the measuring. Six messages of the car, a million frames each at 1 kHz, 20 signals that walk
and tremble over the steps of their DBC; times are CPU seconds of this process, best of the rounds.
"page" is what the limit is for: from decoded signals to the written file, all facts, all charts.
Decoding stands beside it, and the on-car detectors, compiled if they are and as Python; the peer
of the page is every sample in it, deflated, which no browser draws. Last the whole command on four
hours of the car's bus (report_day), beside decoding the same signals. Exit code 1 if a limit of
budget.toml is broken.
"""

import argparse
import base64
import json
import os
import sys
import tempfile
import tomllib
import zlib
from dataclasses import asdict
from pathlib import Path
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from report_day import cost_of, write_day
from table import Row, print_rows

from stagelog.blocks import read_log
from stagelog.car import drive
from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode
from stagelog.events import compile_table, recompute
from stagelog.events.compiled import find_form
from stagelog.model import FRAME
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import stage_facts
from stagelog.report.html import render
from stagelog.report.source import Health, Source, wanted_signals
from stagelog.report.stage import Stage
from stagelog.verdict import FOREIGN, Verdict

BUDGET = Path(__file__).with_name("budget.toml")
N = 1_000_000
STEP_US = 1_000
SIGNALS = {
    "IMU_Accel": ("AccX", "AccY", "AccZ"),
    "DMP_Pos": ("DmpPosFL", "DmpPosFR", "DmpPosRL", "DmpPosRR"),
    "WHL_Speed": ("WhlSpdFL", "WhlSpdFR", "WhlSpdRL", "WhlSpdRR"),
    "ENG_1": ("EngSpd", "EngTrqAct", "AccPedal", "ThrPos"),
    "BRK_Press": ("BrkPresF", "BrkPresR", "HndBrkLinePres"),
    "DRV_Temp": ("DiffOilTempF", "DiffOilTempR"),
}


def make_frames(database, seed=1):
    """Return the frames of all messages in order of time."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((N, len(SIGNALS)), FRAME)
    for k, (name, signals) in enumerate(SIGNALS.items()):
        column = frames[:, k]
        message = next(m for m in database.messages if m.name == name)
        column["t_us"] = np.arange(N) * STEP_US + k * (STEP_US // len(SIGNALS))
        column["can_id"] = message.can_id
        column["dlc"] = column["n_bytes"] = 8
        words = np.zeros(N, np.uint64)
        for signal in map(message.signal, signals):
            top = (signal.maximum - signal.offset) / signal.scale
            walk = np.cumsum(rng.normal(0, top / 5000, N)) + top / 3
            raw = (walk + rng.normal(0, top / 300, N)).clip(0, top / 2).astype(np.uint64)
            words |= raw << np.uint64(signal.start)
        column["data"] = words.view(np.uint8).reshape(N, 8)
    return frames.reshape(-1)


def best_s(function, rounds):
    """Return (the least CPU seconds of `function`, what it returned)."""
    found = None
    least = float("inf")
    for _ in range(rounds):
        start = process_time()
        found = function()
        least = min(least, process_time() - start)
    return least, found


def measure(rounds):
    """Yield the rows."""
    profile = load_profile("d7xr")
    database = load_database(dbc_file(profile))
    table = compile_table(profile, database)
    plan = compile_plan(database, [name for names in SIGNALS.values() for name in names])
    frames = make_frames(database)
    decode_s, decoded = best_s(lambda: decode(frames, plan), rounds)

    def write(path):
        stage = Stage(decoded, profile, "bench")
        health = Health([Verdict(FOREIGN, "made here")], n_frames=len(frames))
        source = Source(stage, health, [], table, None)
        path.write_text(render(stage_facts(source)), encoding="utf-8")
        return path.stat().st_size / 1e6

    with tempfile.TemporaryDirectory() as folder:
        page_s, page_MB = best_s(lambda: write(Path(folder) / "report.html"), rounds)
    plain_s, plain_MB = best_s(lambda: every_sample(decoded), 1)
    yield Row("page of 20 channels x 1 M samples", page_s, "s", "every sample", plain_s)
    yield Row("its size", page_MB, "MB", "every sample", plain_MB, plain_MB / page_MB)
    yield Row("decoding them", decode_s, "s", note=f"{len(frames) / 1e6:.0f} M frames")
    driven = drive("stage", seed=1, duration_s=60).frames
    events_s, _ = best_s(lambda: recompute(driven, table), rounds)
    pure_s, _ = best_s(lambda: recompute(driven, table, wants_compiled=False), 1)
    form = "compiled" if find_form().is_compiled else find_form().why
    note = f"60 s of the stage; {form}"
    yield Row("detectors", 60 / events_s, "x real time", "as Python", 60 / pure_s, note=note)
    yield from measure_day(profile, database)


def measure_day(profile, database):
    """Yield the rows of four hours."""
    with tempfile.TemporaryDirectory() as folder:
        log, page = Path(folder, "day.slog"), str(Path(folder, "report.html"))
        n = write_day(log)
        plan = compile_plan(database, wanted_signals(profile, database))
        (session,) = read_log(log).sessions
        start = process_time()
        for frames in session.iter_frames():
            decode(frames, plan, "raw")
        decode_s = process_time() - start
        cost = cost_of(folder, "report", str(log), "-o", page)
        again = cost_of(folder, "report", str(log), "-o", page, "--force")
    note = (
        f"{n / 1e6:.1f} M frames, {n / cost.wall_s / 1e6:.2f} M/s; load {os.getloadavg()[0]:.0f}"
    )
    yield Row("four hours", cost.wall_s, "s", note=note)
    yield Row("their processor time", cost.cpu_s, "s", "reading and decoding", decode_s)
    yield Row("their second report", again.wall_s, "s", note=f"{again.cpu_s:.1f} s of CPU")
    if cost.peak_MB:
        yield Row(
            "their memory", cost.peak_MB, "MB", note=f"{cost.peak_MB * 1e6 / n:.0f} B a frame"
        )


def every_sample(decoded):
    """Return the MB of all samples as float32, deflated, in base64."""
    names = [name for names in SIGNALS.values() for name in names]
    packed = (
        zlib.compress(decoded.series(name)[1].astype(np.float32).tobytes(), 6) for name in names
    )
    return sum(len(base64.b64encode(data)) for data in packed) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    budget = tomllib.loads(BUDGET.read_text(encoding="utf-8"))["report"]
    limits = {
        "page of 20 channels x 1 M samples": ("page", "cpu_s"),
        "its size": ("page", "size_MB"),
        "their processor time": ("day", "cpu_s"),
        "their memory": ("day", "memory_MB"),
    }
    rows, broken = [], []
    for row in measure(given.rounds):
        if row.what in limits:
            part, figure = limits[row.what]
            most = budget[part][figure]["max"]
            row.wanted = f"under {most} {row.unit}"
            if row.ours > most:
                broken.append(f"report.{part} {figure} {row.ours:.2f}")
        rows.append(row)
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        list(print_rows(rows))
    for text in broken:
        print(f"budget broken: {text}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
