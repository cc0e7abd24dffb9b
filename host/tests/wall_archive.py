"""An archive of three cars on the third stage, as `stagelog serve` shows it: files written by
hand. For tests and for tools/pictures.
"""

import json
from dataclasses import asdict

from stagelog.archive import stage_folder
from stagelog.archive.lines import add_line
from stagelog.park.publish import Published
from stagelog.park.unit import GOOD, Outcome, Unit
from stagelog.report.car_life import Replacement, record
from stagelog.report.lives import PartLife, StageLife

T0_UNIX_US = 1_768_608_000_000_000  # 2026-01-17 00:00 UTC
HOUR_US = 3_600_000_000
CARS = ("C01", "C02", "C03")
PLACES = ("powertrain", "chassis", "spare")
PARTS = (
    ("engine", "Engine"), ("gearbox", "Gearbox"), ("transfer", "Transfer box"),
    ("diff_front", "Front diff"), ("diff_rear", "Rear diff"),
    ("damper_fl", "Front left damper"), ("damper_rl", "Rear left damper"),
)  # fmt: skip
ANSWERS = {
    "C01": ("good", "Yes: nothing in this log speaks against it."),
    "C02": ("warn", "Yes, after the checks below."),
    "C03": ("bad", "Not before the work below is done."),
}


def device(car, place):
    return f"{int(car[1:]):08x}{PLACES.index(place):08x}"


def write_fleet(folder):
    lines = ['schema = "stagelog.fleet.v1"', 'archive = "archive"', "[event]", 'name = "DAKAR26"']
    lines.append('stage = "SS03"')
    for car in CARS:
        lines += ["[[car]]", f'name = "{car}"', 'profile = "d7xr"']
        for place in PLACES[: 2 if car == "C03" else 3]:
            where = [f'device_id = "{device(car, place)}"', f'car = "{car}"', f'place = "{place}"']
            lines += ["[[logger]]", *where]
    lines += [line for n in (1, 2, 3) for line in ("[[stage]]", f'name = "SS0{n}"')]
    path = folder / "fleet.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_stage(root, car, n, complete=True):
    """Write a stage of a car: its manifest, its lives, its report. 90 km, 1.5 h, n landings."""
    folder = stage_folder(root, "DAKAR26", car, f"SS0{n}")
    folder.mkdir(parents=True)
    places = PLACES[: 2 if car == "C03" else 3]
    entries = []
    for place in places:
        entries.append(
            {
                "file": f"{device(car, place)}-{n}-0000000{n}.slog", "sha256": f"{n:064x}",
                "n_bytes": 41_000_000, "device_id": device(car, place), "boot": n, "nonce": n,
                "first_seq": 1, "n_blocks": 10_000, "complete": complete or place != "chassis",
            }
        )  # fmt: skip
    manifest = {"schema": "stagelog.manifest/1", "sessions": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    level, answer = ANSWERS[car] if n == 3 else ("good", "Yes.")
    hot = n == 3 and car == "C03"
    parts = tuple(
        PartLife(place, name, *((6.5, 4.2) if hot and place == "diff_rear" else (0.0, 0.0)))
        for place, name in PARTS
    )
    landings = {"light": n, "medium": 2, "hard": int(car == "C02"), "severe": 0}
    for entry in entries:
        own = {entry["file"]: entry["sha256"]}
        life = StageLife(
            "DAKAR26", car, f"SS0{n}", entry["device_id"], T0_UNIX_US + n * 24 * HOUR_US, True,
            level, answer, 1.5, 1.75, 90.0, sum(landings.values()), landings, parts, own, "x",
        )  # fmt: skip
        content = {"schema": "stagelog.life.stage/1", **asdict(life)}
        (folder / f"{entry['device_id']}.life.json").write_text(json.dumps(content))
    for place in places:
        text = f"<!doctype html><title>{car} SS0{n} {place}</title><h1>{car} {place}</h1>"
        (folder / f"report-{place}.html").write_text(text)
    return folder


def write_check(root, car, light, *findings, confirmed=True):
    rows = [dict(zip(("level", "topic", "text", "remedy"), row, strict=True)) for row in findings]
    logger = {"logger": device(car, "powertrain"), "place": "powertrain", "verdict": "good"}
    line = {
        "schema": "stagelog.check/1", "t_unix_us": T0_UNIX_US + 72 * HOUR_US, "by": "Ann",
        "event": "DAKAR26", "stage": "SS03", "car": car, "light": light,
        "confirmed": {"the organiser's box has power": confirmed},
        "loggers": [{**logger, "text": "", "findings": rows}],
    }  # fmt: skip
    add_line(stage_folder(root, "DAKAR26", car, "SS03") / "checks.jsonl", line)


class Shown:
    """Shows nothing."""

    def __enter__(self):
        return lambda units: None

    def __exit__(self, *_):
        pass


def publish_run(root, clock_us=None):
    """Publish a download in the middle: one logger is done, one failed, one waits, the others are
    on their way; return its file's context, which says its end on exit.
    """
    t_s = [100.0]
    units = [
        Unit(device(car, place), car, place, clock=lambda: t_s[0])
        for car in CARS
        for place in PLACES[: 2 if car == "C03" else 3]
    ]
    run = Published(
        Shown(),
        root,
        "download",
        **({} if clock_us is None else {"clock_ns": lambda: clock_us * 1000}),
    )
    show = run.__enter__()
    for number, unit in enumerate(units):
        unit.port = f"/dev/ttyACM{number}"
        unit.begin("download", 41_000_000, "B")
        unit.advance(1_000_000 * number)
    t_s[0] += 1
    for number, unit in enumerate(units):
        unit.advance(1_000_000 * number + 520_000)
    units[0].end(
        Outcome(GOOD, "2 sessions, 1 new, 41.0 MB; COMPLETE: every frame that was seen is here")
    )
    units[4].end(
        Outcome(
            "bad",
            "gone; what was received is kept: plug it in and repeat the command",
        )
    )
    units[6].step, units[6].port, units[6].n_lost = "waits for its port", None, 1
    units[6].total = units[6].done = 0
    units[3].note = (
        "90.2 km; 5 jumps, 1 hard, 0 severe, longest 0.84 s, peak 5.6 g; differentials 96 and "
        "118 degC; alarms 0 s warning, 0 s critical; 10,080,000 frames stored, 0 lost"
    )
    show(units)
    return run, units


def write_archive(folder):
    """Write all of it below a folder; return (archive, fleet file)."""
    root = folder / "archive"
    for car in CARS:
        for n in (1, 2, 3):
            write_stage(root, car, n, complete=(car, n) != ("C02", 3))
    write_check(root, "C01", "green", ("good", "clock", "set now", ""))
    write_check(
        root, "C02", "amber",
        ("warn", "sessions", "2 sessions, 41.2 MB, are not in the archive", "'stagelog sync'"),
    )  # fmt: skip
    write_check(
        root, "C03", "red",
        (
            "bad", "signal table", "it has 07ac276b, wanted is 4d1f99c2",
            "another DBC or profile: 'stagelog provision'",
        ),
        (
            "warn", "stall", "longest of 48,210 writes 412 ms, memory lasts 731 ms",
            "another card before the next stage",
        ),
    )  # fmt: skip
    record(root, Replacement("C03", "gearbox", ("DAKAR26", "SS02"), 1, "Ann", "second gear noisy"))
    return root, write_fleet(folder)
