"""The report's page: how long 20 channels of a million samples take, and how large it gets.

    python host/benchmarks/bench_report.py [--rounds 3] [--json]

Owns the measuring. Six messages of the car, a million frames each at 1 kHz, 20 signals that walk
and tremble over the steps of their DBC; times are CPU seconds of this process, best of the rounds.
"page" is what the limit is for: from decoded signals to the written file, all facts, all charts.
Decoding stands beside it, and the on-car detectors, which set the pace of `stagelog report`; the
peer of the page is every sample in it, deflated, which no browser draws. Exit code 1 if a limit of
budget.toml is broken.
"""

import argparse
import base64
import json
import sys
import tempfile
import tomllib
import zlib
from dataclasses import asdict
from pathlib import Path
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from table import Row, print_rows

from stagelog.car import drive
from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode
from stagelog.events import compile_table, recompute
from stagelog.model import FRAME
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import stage_facts
from stagelog.report.html import render
from stagelog.report.source import Health, Source
from stagelog.report.stage import Stage

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
        source = Source(stage, Health(n_frames=len(frames)), [], table, None)
        path.write_text(render(stage_facts(source)), encoding="utf-8")
        return path.stat().st_size / 1e6

    with tempfile.TemporaryDirectory() as folder:
        page_s, page_MB = best_s(lambda: write(Path(folder) / "report.html"), rounds)
    plain_s, plain_MB = best_s(lambda: every_sample(decoded), 1)
    yield Row("page of 20 channels x 1 M samples", page_s, "s", "every sample", plain_s)
    yield Row("its size", page_MB, "MB", "every sample", plain_MB, plain_MB / page_MB)
    yield Row("decoding them", decode_s, "s", note=f"{len(frames) / 1e6:.0f} M frames")
    driven = drive("stage", seed=1, duration_s=60).frames
    events_s, _ = best_s(lambda: recompute(driven, table), 1)
    yield Row("detectors on the host", 60 / events_s, "x real time", note="60 s of the stage")


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
    budget = tomllib.loads(BUDGET.read_text(encoding="utf-8"))["report"]["page"]
    wanted = (f"under {budget['cpu_s']['max']} s", f"under {budget['size_MB']['max']} MB", "", "")
    rows = []
    for row, text in zip(measure(given.rounds), wanted, strict=True):
        row.wanted = text
        rows.append(row)
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        list(print_rows(rows))
    values = {"cpu_s": rows[0].ours, "size_MB": rows[1].ours}
    broken = [name for name, limit in budget.items() if values[name] > limit["max"]]
    for name in broken:
        print(f"budget broken: report.page {name} {values[name]:.2f}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
