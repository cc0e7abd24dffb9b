"""What a run over many loggers is doing, for others to read while it works: `stagelog serve`.

    archive/runs/20260117T101502-sync-4711.json    a run and its loggers, twice a second

Owns these files; a run never fails because of them. The newest N_KEPT stay.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from stagelog.park.unit import Unit
from stagelog.platform.files import beside, replace

FOLDER = "runs"
SCHEMA = "stagelog.run/1"
N_KEPT = 20
EVERY_S = 0.5
LOST_S = 10.0  # after which a run that did not say its end is no longer believed to go on


class Published:
    """Shows the units of a run as `shown` does (LiveTable, Lines, JsonEvents) and keeps a file of
    them; a context as that is.
    """

    def __init__(
        self,
        shown: Any,
        archive: str | Path,
        title: str,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._shown = shown
        self._title = title
        self._clock_ns = clock_ns
        self._started_us = clock_ns() // 1000
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._started_us // 1_000_000))
        self._path = Path(archive) / FOLDER / f"{stamp}-{title}-{os.getpid()}.json"
        self._units: list[Unit] = []
        self._written_s = -EVERY_S

    def __enter__(self) -> Callable[[list[Unit]], None]:
        self._show_inner: Callable[[list[Unit]], None] = self._shown.__enter__()
        with contextlib.suppress(OSError):
            self._remove_old()
        return self.show

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write(is_over=True)
        self._shown.__exit__(kind, error, trace)

    def show(self, units: list[Unit]) -> None:
        """Show the units, and keep them in the file."""
        self._show_inner(units)
        self.keep(units)

    def keep(self, units: list[Unit]) -> None:
        """Keep the units in the file, at most once in EVERY_S, and do not show them."""
        self._units = units
        now = time.monotonic()
        if now - self._written_s >= EVERY_S:
            self._written_s = now
            self._write(is_over=False)

    def _write(self, is_over: bool) -> None:
        content = {
            "schema": SCHEMA,
            "title": self._title,
            "started_unix_us": self._started_us,
            "t_unix_us": self._clock_ns() // 1000,
            "is_over": is_over,
            "loggers": [unit.as_dict() for unit in self._units],
        }
        temporary = beside(self._path, ".tmp")
        with contextlib.suppress(OSError):  # as long as there is no archive, there is no file
            self._path.parent.mkdir(exist_ok=True)
            temporary.write_bytes(json.dumps(content).encode())
            replace(temporary, self._path)

    def _remove_old(self) -> None:
        for path in sorted(self._path.parent.glob("*.json"))[: -N_KEPT + 1]:
            path.unlink(missing_ok=True)


def load_runs(archive: str | Path) -> list[dict[str, Any]]:
    """Return what runs have left, the oldest first; a file that is none is left out."""
    found = []
    for path in sorted((Path(archive) / FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            values = json.loads(path.read_bytes())
            if _is_run(values):
                found.append(values)
    return sorted(found, key=lambda run: (run["t_unix_us"], run["started_unix_us"]))


def _is_run(values: Any) -> bool:
    """Return whether what was read is a run: the fields that a reader needs have their types."""
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        return False
    times = [values.get("t_unix_us"), values.get("started_unix_us")]
    loggers = values.get("loggers")
    return (
        all(type(t_us) is int for t_us in times)
        and isinstance(values.get("title"), str)
        and isinstance(values.get("is_over"), bool)
        and isinstance(loggers, list)
        and all(isinstance(one, dict) and isinstance(one.get("logger"), str) for one in loggers)
    )
