"""The line of a car in the archive: who checked it, when, what was found, with which hashes.

    archive/event=DAKAR26/car=C03/stage=SS03/checks.jsonl    a line for each check, the newest last

Lines are only ever added. Fails with OutputError.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stagelog.archive import stage_folder
from stagelog.archive.lines import add_line, load_lines
from stagelog.park.findings import Finding, worst_level
from stagelog.park.unit import BAD, GOOD, WARN, Unit

CHECKS = "checks.jsonl"
SCHEMA = "stagelog.check/1"
LIGHTS = {GOOD: "green", WARN: "amber", BAD: "red"}


class CarCheck(NamedTuple):
    """A car after a check: its loggers, and what was confirmed by hand."""

    car: str
    units: Sequence[Unit]
    confirmed: Mapping[str, bool]

    @property
    def findings(self) -> list[Finding]:
        """Return what speaks against a start, the worst first."""
        found = []
        for unit in self.units:
            if unit.outcome is None:
                continue
            rows = [Finding(**row) for row in unit.outcome.facts.get("findings", ())]
            rows = rows or [Finding(unit.outcome.verdict, "logger", unit.outcome.text)]
            found += [f._replace(topic=f"{unit.name}, {f.topic}") for f in rows]
        for text, is_so in self.confirmed.items():
            if not is_so:
                found.append(
                    Finding(WARN, "by hand", f"not confirmed: {text}", "check it at the car")
                )
        return sorted((f for f in found if f.level != GOOD), key=lambda f: f.level != BAD)

    @property
    def light(self) -> str:
        """Return green, amber or red."""
        return LIGHTS[worst_level(self.findings)]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "car": self.car,
            "light": self.light,
            "confirmed": dict(self.confirmed),
            "loggers": [
                {"logger": unit.device_id, "place": unit.place, "verdict": unit.outcome.verdict,
                 "text": unit.outcome.text, **unit.outcome.facts}
                for unit in self.units
                if unit.outcome is not None
            ],
        }  # fmt: skip


def sign_off(
    archive: Path,
    event: str,
    stage: str,
    check: CarCheck,
    by: str,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Path:
    """Add the line of a car to the folder of the stage that it is to start in; return the file."""
    path = stage_folder(archive, event, check.car, stage) / CHECKS
    signed = {"schema": SCHEMA, "t_unix_us": clock_ns() // 1000, "by": by}
    add_line(path, {**signed, "event": event, "stage": stage, **check.as_dict()})
    return path


def load_checks(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a stage's folder, the oldest first; a torn one is left out."""
    return load_lines(folder / CHECKS, SCHEMA)
