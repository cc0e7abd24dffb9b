"""What the on-car events cost on the emulated chip: tools/bench onboard [--speeds ...] [--json].

The shipped firmware with the car's signal table, on the car's own bus and on a full one. The
detectors' share of the processor is what the main loop's passes, counted at the watchdog, fall
by, compared with the same run without a table: garbage collection counts with it. Fails (exit 1)
where a limit of budget.toml is broken.
"""

import argparse
import binascii
import json
import struct
import sys
import tomllib
from pathlib import Path

import numpy as np
from device_rig import SPEEDS, Bench

from slog.events import SKIPPED
from slog.messages import CONFIG_SIGNALS
from stagelog.blocks import read_log
from stagelog.car import drive
from stagelog.events import compare_events, compile_table, load_events, recompute
from stagelog.profile import dbc_file, load_profile
from stagelog.rig import tape as tapes
from stagelog.rig.play import saturated_tape
from stagelog.rig.rp2040.firmware import logger_files

BUDGET = Path(__file__).with_name("budget.toml")
FEED = 4  # offset of the watchdog's LOAD register, written once in a pass of the main loop
START_us, CAR_us, FULL_us = 6_000_000, 6_000_000, 3_000_000
ROWS = {
    "car": "the car's bus, six seconds of a drive over hops",
    "full": "saturated 1 Mbit/s, the car's identifiers, three seconds",
}


def main(argv=None):
    """Run both rows at the speeds asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="tools/bench onboard", description=__doc__)
    parser.add_argument("--speeds", default=",".join(SPEEDS), help=", ".join(SPEEDS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    profile = load_profile()
    table = compile_table(profile, dbc_file(profile))
    frames = drive("corpus_hops", seed=4, duration_s=(START_us + CAR_us) / 1e6).frames
    tapes_of_rows = {"car": car_tape(frames), "full": full_tape(frames)}
    limits = tomllib.loads(BUDGET.read_text()).get("onboard", {})
    results, broken = {}, []
    for name, title in ROWS.items():
        results[name] = {
            speed: measure(speed, tapes_of_rows[name], table)
            for speed in options.speeds.split(",")
        }
        broken += list(find_broken(name, results[name], limits.get(name, {})))
        if not options.json:
            print_row(f"{name}: {title}", results[name])
    if options.json:
        print(json.dumps({"schema": "stagelog.bench.onboard/1", "rows": results}))
    print(*broken, sep="\n", file=sys.stderr)
    return 1 if broken else 0


def car_tape(frames):
    """Return the tape of what the car sends from START_us on."""
    part = frames[frames["t_us"] >= START_us].copy()
    part["t_us"] -= START_us
    return tapes.tape_of(part)


def full_tape(frames):
    """Return a tape without a gap in which the car's frames follow each other."""
    tape = saturated_tape(1_000_000, FULL_us, 8)
    order = np.arange(len(tape)) % len(frames)
    tape["can_id"] = frames["can_id"][order]
    tape["data"][:, :8] = frames["data"][order, :8]
    return tape


def measure(speed, tape, table):
    """Return the figures of one row at one speed, of runs with and without the table."""
    bitrate_bps = 500_000 if len(tape) < 4000 * tape["t_us"][-1] / 1e6 else 1_000_000
    runs = [run(speed, tape, data, bitrate_bps) for data in (table.data, None)]
    with_table, without = runs
    session = with_table.pop("session")
    without.pop("session")
    said = load_events(session)
    skipped = sum(event.value for event in said if event.code == SKIPPED)
    found = recompute(session.iter_frames(), table)
    figures = {
        "frames_per_s": len(tape) * 1e6 / tape["t_us"][-1],
        "share_pct": 100 * (1 - with_table["passes_per_s"] / without["passes_per_s"]),
        "events": len(said),
        "blocks_skipped": skipped,
        "differ": None if skipped else len(compare_events(said, found)),
        **with_table,
    }
    figures["passes_without"] = without["passes_per_s"]
    figures["lost_without"] = without["lost"]
    return figures


def run(speed, tape, table, bitrate_bps):
    """Play a tape to a logger with or without a signal table; return figures and its session."""
    files = logger_files()
    if table is not None:
        head = struct.pack("<II", 1, len(table))
        crc = struct.pack("<I", binascii.crc32(table, binascii.crc32(head)))
        files = {**files, f"settings/{CONFIG_SIGNALS}a": head + crc + table}
    with Bench(speed, bitrate_bps=bitrate_bps, files=files) as bench:
        passes = count_passes(bench.board)
        start_us = bench.board.t_us
        bench.play(tape)
        n_passes = passes[0]
        took_us = bench.board.t_us - start_us
        bench.board.run_us(2_000_000)
        figures = bench.finish()
        session = read_log(bench.card_path).sessions[-1]
        names = ("lost", "uncounted", "ring_blocks", "ring_worst", "heap_free_bytes")
        return {
            "passes_per_s": n_passes * 1e6 / took_us,
            **{name: figures[name] for name in (*names, "loop_worst_us")},
            "session": session,
        }


def count_passes(board):
    """Return a list whose first item counts the passes of the main loop from now on."""
    watchdog, passes = board.chip.watchdog, [0]
    write = watchdog.write_uint32_atomic

    def counted(offset, value, kind):
        passes[0] += offset == FEED
        write(offset, value, kind)

    watchdog.write_uint32_atomic = counted
    return passes


def find_broken(name, columns, limits):
    """Yield a line for each figure above its limit, at any speed or at the one it names."""
    for speed, figures in columns.items():
        for figure, limit in limits.items():
            most = limit.get(speed, limit).get("max")
            if most is not None and (figures[figure] or 0) > most:
                yield f"{name}.{figure} at {speed}: {figures[figure]:.5g}, at most {most:g} wanted"


def print_row(title, columns):
    print(f"\n{title}")
    print(f"  {'':<20}" + "".join(f"{speed:>12}" for speed in columns))
    for figure in next(iter(columns.values())):
        cells = [columns[speed][figure] for speed in columns]
        print(f"  {figure:<20}" + "".join(f"{text_of(cell):>12}" for cell in cells))


def text_of(value):
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
