"""Scores of the on-car detectors on generated drives: tools/bench events [--drives N] [--json].

Flights on every terrain of the virtual car's corpus beside the detectors that others use, alarms
on the scenarios, fuel on a stage of 483 km beside plain means of the level. Seeds here are not
those that anything was tuned with (below 1,000). Drives are kept in the cache, reduced to what the
flight detector reads. Exit code 1 if a target is missed.
"""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
from event_peers import PEERS, acceleration
from event_scores import Score, detections, found_flights, judge, score_flights, true_flights

from stagelog.car import drive, iter_drive, load_profile
from stagelog.car.profile import dbc_file
from stagelog.events import Recomputation, compile_table, recompute
from stagelog.rig.runtimes import cache_path

KINDS = (
    "jumps",
    "hops",
    "washboard",
    "crests",
    "dunes",
    "jacks",
    "rollover",
    "three_wheels",
    "track",
    "mixed",
    "rock",
    "sand",
)
FIRST_SEED = 1000
FLIGHT_IDS = (0x80, 0x81, 0x90, 0xA0, 0xB0, 0x100)
FUEL_IDS = (0x80, 0xA0, 0x100, 0x103, 0x140)
SCENARIOS = {
    "stage": 1.0,
    "big_jump": 1.0,
    "small_hops": 1.0,
    "light_crest": 1.0,
    "washboard_10Hz": 1.0,
    "dune_descent": 1.0,
    "on_jacks": 1.0,
    "roll_over": 1.0,
    "stuck_in_dune": 1.0,
    "handbrake": 1.0,
    "puncture": 1.0,
    "diff_oil_loss": 1.0,
    "fan_and_radiator": 1.0,
    "wading": 1.0,
    "sensor_faults": 1.0,
    "alarm_chatter": 1.0,
    "oil_pressure_dip": 1.0,
    "refuel": 0.3,
    "fuel_leak": 0.5,
    "clean_stage": 0.06,
}
TARGETS = {
    "recall_long_pct": (">=", 98.0),
    "recall_short_pct": (">=", 85.0),
    "false_per_100km": ("<=", 1.0),
    "onset_median_ms": ("<=", 30.0),
    "onset_p95_ms": ("<=", 80.0),
    "latency_p95_ms": ("<=", 150.0),
}


def main(argv=None):
    """Run what is asked for; return the exit code."""
    options = _parse(argv)
    profile = load_profile()
    table = compile_table(profile, dbc_file(profile))
    report, start_s = {}, time.monotonic()
    if "flights" in options.parts:
        report["flights"] = _flights(table, options)
    if "alarms" in options.parts:
        report["alarms"] = _alarms(table, options)
    if "fuel" in options.parts:
        report["fuel"] = _fuel(table, profile, options)
    report["seconds"] = round(time.monotonic() - start_s, 1)
    if options.json:
        print(json.dumps(report, indent=1))
    missed = report.get("flights", {}).get("missed", [])
    missed = missed + report.get("fuel", {}).get("missed", [])
    for text in missed:
        print(f"missed: {text}", file=sys.stderr)
    return 1 if missed else 0


def _parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["flights", "alarms", "fuel"])
    parser.add_argument("--drives", type=int, default=20, help="drives per terrain (200 scores)")
    parser.add_argument("--fuel-drives", type=int, default=1, help="stages of 483 km")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="name the drives with mistakes")
    return parser.parse_args(argv)


def _flights(table, options):
    scores = {name: {} for name in ("stagelog", *PEERS)}
    for kind in KINDS:
        for name in scores:
            scores[name][kind] = Score()
        for n in range(options.drives):
            seed = options.first_seed + n
            frames, truth, km = _cached(kind, seed)
            found = {"stagelog": found_flights(recompute(frames, table))}
            t, acc = acceleration(frames)
            found |= {name: rule(t, acc) for name, rule in PEERS.items()}
            for name, flights in found.items():
                score = score_flights(truth, flights, km)
                scores[name][kind].add(score)
                if options.verbose and name == "stagelog":
                    _complain(kind, seed, score, truth, flights)
    for kinds in scores.values():
        total = Score()
        for score in kinds.values():
            total.add(score)
        kinds["all"] = total
    rows = {name: {k: s.row() for k, s in kinds.items()} for name, kinds in scores.items()}
    if not options.json:
        _print_flights(rows)
    total = rows["stagelog"]["all"]
    missed = [
        f"flights {key} {total[key]:.1f}, target {op} {limit:g}"
        for key, (op, limit) in TARGETS.items()
        if total[key] is not None
        and not (total[key] >= limit if op == ">=" else total[key] <= limit)
    ]
    for kind, row in rows["stagelog"].items():
        if row["false_per_100km"] > 1.0 and row["false"] > 1:
            missed.append(f"false events on {kind}: {row['false']} in {row['km']:.0f} km")
    return {"rows": rows, "missed": missed}


def _complain(kind, seed, score, truth, flights):
    lost = sum(score.true.values()) - sum(score.found.values())
    late = [round(x * 1e3) for x in score.onset if abs(x) > 0.08]
    if lost or score.false or late:
        print(
            f"  {kind} seed {seed}: {lost} lost, {score.false} false, late {late}",
            [(round(a, 2), round(b - a, 2)) for a, b in truth],
            [(round(a, 2), b and round(b - a, 2)) for a, b, _ in flights],
            file=sys.stderr,
        )


def _cached(kind, seed):
    """Return (reduced frames, true flights, km) of a corpus drive, made once."""
    folder = cache_path() / "drives" / _car_key()
    path = folder / f"{kind}-{seed}.npz"
    if not path.exists():
        made = drive(f"corpus_{kind}", seed=seed)
        way = made.truth.arrays["distance_m"]
        km = float(way[-1] - way[0]) / 1e3 if len(way) else 0.0
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            frames=reduced(made.frames, FLIGHT_IDS),
            truth=np.array(true_flights(made)).reshape(-1, 2),
            km=km,
        )
        part.replace(path)
    with np.load(path) as kept:
        truth = [tuple(row) for row in kept["truth"].tolist()]
        return kept["frames"], truth, float(kept["km"])


def _car_key():
    """Return a name for the state of car, profile and DBC that drives are made with."""
    import stagelog.car

    folder = Path(stagelog.car.__file__).parent
    digest = hashlib.sha256()
    files = sorted(folder.rglob("*.py")) + [Path(load_profile().path), dbc_file(load_profile())]
    for path in files:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:12]


def reduced(frames, ids, t0_us=0):
    """Return the last frame of each identifier before each tick of 10 ms: all that detectors
    see.
    """
    keep = np.isin(frames["can_id"], ids)
    keep[:1] = True
    frames = frames[keep]
    bucket = (frames["t_us"] - (frames["t_us"][0] if not t0_us else t0_us)) // 10_000
    key = bucket * 4096 + frames["can_id"]
    _, back = np.unique(key[::-1], return_index=True)
    chosen = np.unique(np.append(len(frames) - 1 - back, 0))
    return frames[chosen]


def _alarms(table, options):
    results = {}
    for name, scale in SCENARIOS.items():
        made = drive(name, seed=options.first_seed + 7, scale=scale)
        verdicts = judge(made, detections(recompute(made.frames, table), table))
        results[name] = {
            "good": sum(good for good, _ in verdicts),
            "asked": len(verdicts),
            "bad": [text for good, text in verdicts if not good],
        }
        if not options.json:
            row = results[name]
            print(f"{name:<18} {row['good']:3d} of {row['asked']:3d}  {'; '.join(row['bad'])}")
    return results


def _fuel(table, profile, options):
    from stagelog.events.reading import read_events

    rows = []
    for n in range(options.fuel_drives):
        run = Recomputation(table.data)
        t0_us = 0
        levels, first = [], None
        for piece in iter_drive("loop_483", seed=options.first_seed + n):
            if not len(piece.frames):
                continue
            t0_us = t0_us or int(piece.frames["t_us"][0])
            run.feed(reduced(piece.frames, FUEL_IDS, t0_us))
            fuel = piece.truth.arrays["fuel_l"]
            first = float(fuel[0]) if first is None else first
            last = float(fuel[-1])
            levels.append(_levels(piece.frames, profile))
        burned = first - last
        estimate = run.detectors.fuel.volume() / 100
        level = np.concatenate(levels)
        row = {
            "burned_l": burned,
            "error_pct": 100 * (estimate - last) / burned,
            "flow_scale": run.detectors.fuel.scale / 1e6,
            "flow_alone_pct": 100 * (_flow_alone(run, first) - last) / burned,
        }
        for seconds in (10, 60, 300):
            mean = float(level[-20 * seconds :].mean())
            row[f"level_mean_{seconds}s_pct"] = 100 * (mean - last) / burned
        ranges = [f for f in read_events(run.events) if f["name"] == "range"]
        row["ranges"] = len(ranges)
        rows.append(row)
        if not options.json:
            print({key: round(value, 3) for key, value in row.items()})
    missed = [
        f"fuel error {row['error_pct']:.2f} %, target 2 %"
        for row in rows
        if abs(row["error_pct"]) > 2.0
    ]
    return {"rows": rows, "missed": missed}


def _flow_alone(run, first_l):
    fuel = run.detectors.fuel
    return first_l - fuel.metered_ml / 1000


def _levels(frames, profile):
    """Return the tank's volume by the senders alone, litres, at 20 Hz."""
    rows = frames[frames["can_id"] == 0x140]["data"][:, :4].copy().view("<u2") * 0.01
    f = profile.fuel
    a = np.interp(rows[:, 0], f.sender_a_mm, f.sender_volume_l)
    return 0.5 * (a + np.interp(rows[:, 1], f.sender_b_mm, f.sender_volume_l))


def _print_flights(rows):
    def text(value, digits=1):
        return "-" if value is None else f"{value:.{digits}f}"

    print(
        f"{'':<22}{'recall %':>17}{'false':>7}{'per':>8}{'with-':>7}{'onset ms':>14}{'latency':>9}"
    )
    print(
        f"{'detector, terrain':<22}{'0.2-0.4':>8}{'> 0.4 s':>9}{'':>7}{'100 km':>8}{'drawn':>7}"
        f"{'median':>8}{'p95':>6}{'p95 ms':>9}{'km':>8}{'flights':>9}"
    )
    for name, kinds in rows.items():
        shown = kinds if name == "stagelog" else {"all": kinds["all"]}
        for kind, r in shown.items():
            label = f"{name}" if kind == "all" else f"  {kind}"
            print(
                f"{label:<22}{text(r['recall_short_pct']):>8}{text(r['recall_long_pct']):>9}"
                f"{r['false']:>7}{text(r['false_per_100km'], 2):>8}{r['withdrawn']:>7}"
                f"{text(r['onset_median_ms'], 0):>8}{text(r['onset_p95_ms'], 0):>6}"
                f"{text(r['latency_p95_ms'], 0):>9}{r['km']:>8.0f}"
                f"{r['n_short'] + r['n_long']:>9}"
            )
    print(
        "targets                  >= 85    >= 98           <= 1           <= 30  <= 80    <= 150"
    )


if __name__ == "__main__":
    sys.exit(main())
