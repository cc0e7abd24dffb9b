"""Scores of the on-car detectors on generated drives: tools/bench events [flights] [scenarios]
[fuel] [--drives N] [--jobs N] [--markdown FILE] [--json].

Flights on every terrain of the virtual car's corpus beside the detectors that others use, the
scenarios' must and must-not, fuel on stages of 483 km beside plain means of the level. Seeds below
FIRST_SEED were for tuning. The long form (EVENTS.md) takes 200 drives a terrain. Exit code 1 if a
target is missed.
"""

import argparse
import json
import sys
import time

import event_flights
import event_fuel
import event_scenarios

from stagelog.events import compile_table
from stagelog.profile import dbc_file, load_profile

FIRST_SEED = 1000
PARTS = ("flights", "scenarios", "fuel")


def main(argv=None):
    """Run what is asked for; return the exit code."""
    options = _parse(argv)
    report, missed, start_s = {"profile": options.profile}, [], time.monotonic()
    report["first_seed"] = options.first_seed
    pages = []
    for part in options.parts:
        report[part], short, page = PARTS_RUN[part](options)
        missed += short
        pages.append(page)
        if not options.json:
            print(page, flush=True)
    report["missed"] = missed
    report["seconds"] = round(time.monotonic() - start_s, 1)
    if options.json:
        print(json.dumps(report, indent=1))
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write("\n".join(pages))
    for text in missed:
        print(f"missed: {text}", file=sys.stderr)
    return 1 if missed else 0


def _parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--drives", type=int, default=10, help="per terrain; long form 200")
    parser.add_argument("--fuel-drives", type=int, default=1, help="stages; long form 5")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--profile", default="d7xr", help="a shipped car profile")
    parser.add_argument("--jobs", type=int, default=1, help="processes for the flights")
    parser.add_argument("--markdown", help="write the tables to this file")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="name the drives with mistakes")
    options = parser.parse_args(argv)
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part is called {part!r}; there are {', '.join(PARTS)}")
    return options


def _flights(options):
    seeds = range(options.first_seed, options.first_seed + options.drives)
    rows, missed = event_flights.score_corpus(
        options.profile, seeds, options.jobs, verbose=options.verbose
    )
    title = f"\n## Flights: {options.drives} drives a terrain, seeds from {options.first_seed}\n\n"
    return rows, missed, title + event_flights.markdown(rows) + "\n"


def _scenarios(options):
    rows = event_scenarios.judge_all(options.first_seed + 7)
    missed = [f"{name}: {text}" for name, row in rows.items() for text in row["bad"]]
    title = f"\n## Scenarios: must and must not, seed {options.first_seed + 7}\n\n"
    return rows, missed, title + event_scenarios.markdown(rows) + "\n"


def _fuel(options):
    profile = load_profile(options.profile)
    table = compile_table(profile, dbc_file(profile))
    seeds = range(options.first_seed, options.first_seed + options.fuel_drives)
    rows = [event_fuel.score_stage(profile, table, seed) for seed in seeds]
    title = "\n## Fuel: error at the end of 483 km in per cent of what was burned\n\n"
    return rows, event_fuel.missed(rows), title + event_fuel.markdown(rows) + "\n"


PARTS_RUN = {"flights": _flights, "scenarios": _scenarios, "fuel": _fuel}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
