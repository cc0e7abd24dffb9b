"""All scenarios of the virtual car, each with what must and must not be detected.

Long days are driven at a small scale. What belongs to the bus or to the logger itself ("bus:",
"log:", "not_logging") is the rig's to judge and counted as such.
"""

from event_scores import detections, judge

from stagelog.car import drive, list_scenarios
from stagelog.events import compile_table, recompute
from stagelog.profile import dbc_file, load_profile

SCALES = {
    "clean_stage": 0.06,
    "loop_483": 0.04,
    "long_day": 0.03,
    "marathon_48h": 0.02,
    "all_sand": 0.06,
    "refuel": 0.3,
    "fuel_leak": 0.5,
    "rock_strike": 0.1,
}


def judge_all(seed, names=None):
    """Return {scenario: {"good", "asked", "rig", "bad": [texts]}}."""
    rows = {}
    for scenario in list_scenarios():
        name = scenario.name
        if name.startswith("corpus_") or (names and name not in names):
            continue
        profile = load_profile(scenario.profile)
        table = compile_table(profile, scenario.dbc or dbc_file(profile))
        made = drive(name, seed=seed, scale=SCALES.get(name, 1.0), profile=profile)
        verdicts, rig = judge(made, detections(recompute(made.frames, table), table))
        rows[name] = {
            "number": scenario.number,
            "good": sum(good for good, _ in verdicts),
            "asked": len(verdicts),
            "rig": rig,
            "bad": [text for good, text in verdicts if not good],
        }
    return rows


def markdown(rows):
    """Return the verdicts as Markdown."""
    lines = ["| scenario | number | kept | of | for the rig | not kept |"]
    lines.append("|---|---:|---:|---:|---:|---|")
    for name, r in rows.items():
        number = r["number"] or "-"
        bad = "; ".join(r["bad"])
        lines.append(f"| {name} | {number} | {r['good']} | {r['asked']} | {r['rig']} | {bad} |")
    return "\n".join(lines)
