"""The sheet of a bring-up: rows, their verdicts, and the values of the emulated board beside them.

Owns what a row is and the JSON of a sheet; does not own how a value is measured. Fails with
InputError when the file of the emulated board cannot be read.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from stagelog.errors import InputError

SCHEMA = "stagelog.bringup/1"
PASS, FAIL, NOT_MEASURED = "pass", "fail", "not measured"
Value: TypeAlias = float | int | str | None

_REFERENCE = Path(__file__).with_name("emulator.json")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the sheet.

    key      section and name, the same on every board
    limit    what passes, in words; empty where nothing is demanded
    note     why it was not measured, or what to know about the value
    action   what to do if it failed
    """

    key: str
    title: str
    value: Value
    unit: str = ""
    limit: str = ""
    verdict: str = PASS
    note: str = ""
    action: str = ""

    @property
    def section(self) -> str:
        """The part of the bring-up that measured it."""
        return self.key.partition(".")[0]

    @property
    def text(self) -> str:
        """The value with its unit."""
        return "" if self.value is None else f"{value_text(self.value)} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Board:
    """What was measured: kind of board, MicroPython's name of it and version, id of the chip."""

    kind: str
    machine: str
    micropython: str
    device_id: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """The result of one bring-up. `counts`: how often each thing was done."""

    board: Board
    operator: str
    t_unix_us: int
    stagelog: str
    counts: Mapping[str, int]
    rows: Sequence[Row]

    @property
    def verdict(self) -> str:
        """FAIL if any row failed."""
        return FAIL if any(row.verdict == FAIL for row in self.rows) else PASS

    def as_dict(self) -> dict[str, Any]:
        """Return the sheet as JSON has it."""
        return {"schema": SCHEMA, "verdict": self.verdict, **asdict(self)}

    def to_json(self) -> bytes:
        """Return the file's content; its SHA-256 is what is signed."""
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"


def sha256_of(content: bytes) -> str:
    """Return the digest that the HTML names."""
    return hashlib.sha256(content).hexdigest()


def at_most(
    key: str, title: str, value: float, most: float, unit: str, action: str, note: str = ""
) -> Row:
    """Return a row that passes up to a limit."""
    verdict = PASS if value <= most else FAIL
    limit = f"{value_text(most)} at most" if most else "0"
    return Row(key, title, value, unit, limit, verdict, note, action)


def at_least(
    key: str, title: str, value: float, least: float, unit: str, action: str, note: str = ""
) -> Row:
    """Return a row that passes from a limit on."""
    verdict = PASS if value >= least else FAIL
    limit = f"{value_text(least)} at least"
    return Row(key, title, value, unit, limit, verdict, note, action)


def not_measured(key: str, title: str, why: str) -> Row:
    """Return a row without a value."""
    return Row(key, title, None, verdict=NOT_MEASURED, note=why)


def value_text(value: Value) -> str:
    """Return a value for people: thousands separated, three digits behind the point at most."""
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


def load_reference(path: Path = _REFERENCE) -> dict[str, Row]:
    """Return the rows of the emulated board by their keys."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return {row["key"]: Row(**row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", "install stagelog again; in a checkout: git status"
        ) from None
