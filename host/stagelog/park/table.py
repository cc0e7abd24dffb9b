"""The rows of a run as people and programs see them: a live table, lines, or JSON events.

Owns the words of sizes and times in it. What comes from a logger is data: no character of it can
command the terminal.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from stagelog.park.unit import BAD, GOOD, WARN, Unit

COLOURS = {GOOD: "green", WARN: "yellow", BAD: "red"}
COLUMNS = ("car", "logger", "step", "progress", "rate", "left", "verdict")
_EVENT_S = 1.0  # between two events of progress of one logger
_BAR = 12


def plain(text: str) -> str:
    """Return a text in which nothing is a command to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def progress_text(unit: Unit) -> str:
    """Return how far a step is: "45 %", "12.3 of 40.1 MB", "" if nobody knows."""
    if not unit.total or unit.outcome is not None:
        return ""
    if unit.unit == "B":
        return f"{unit.done / 1e6:.1f} of {unit.total / 1e6:.1f} MB"
    return f"{100 * unit.done // unit.total} %"


def rate_text(unit: Unit) -> str:
    """Return the rate of a step in kB/s, "" if it has none."""
    if unit.rate is None or unit.unit != "B" or unit.outcome is not None:
        return ""
    return f"{unit.rate / 1e3:,.0f} kB/s"


def left_text(unit: Unit) -> str:
    """Return the time left as 12 s or 3:05, "" if nobody knows."""
    if unit.left_s is None or unit.outcome is not None:
        return ""
    s = round(unit.left_s)
    return f"{s} s" if s < 60 else f"{s // 60}:{s % 60:02d}"


def row_of(unit: Unit) -> tuple[str, ...]:
    """Return the cells of COLUMNS."""
    done = unit.outcome
    step = "done" if done is not None else unit.step
    verdict = unit.note if done is None else f"{done.verdict}: {done.text}"
    cells = (unit.car, unit.name, step, progress_text(unit), rate_text(unit), left_text(unit))
    return (*map(plain, cells), plain(verdict))


def rich_table(units: list[Unit], title: str = "") -> Any:
    """Return the rows as a rich.table.Table."""
    from rich import box
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", expand=True)
    for column in COLUMNS:
        table.add_column(
            column,
            justify="right" if column in ("rate", "left") else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column == "verdict" else None,  # it takes what the others leave
        )
    for unit in sorted(units, key=lambda unit: (unit.car, unit.name)):
        cells: list[Any] = [Text(cell) for cell in row_of(unit)]
        if unit.total and unit.outcome is None and unit.port is not None:
            grid = Table.grid(padding=(0, 1))
            grid.add_column(no_wrap=True)
            grid.add_column(no_wrap=True)
            bar = ProgressBar(unit.total, min(unit.done, unit.total), width=_BAR)
            grid.add_row(bar, cells[3])
            cells[3] = grid
        if unit.outcome is not None:
            cells[6].stylize(COLOURS[unit.outcome.verdict])
        table.add_row(*cells)
    return table


class LiveTable:
    """The rows, drawn again and again on a terminal; the last one stays, with the full words of
    all that is not good below it.
    """

    def __init__(self, title: str, console: Any = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title = title
        self._live = Live(console=console or Console(stderr=True), auto_refresh=False)
        self._drawn_s = -1.0
        self._units: list[Unit] = []

    def __enter__(self) -> Callable[[list[Unit]], None]:
        self._live.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._live.refresh()
        self._live.stop()
        for unit in self._units:
            if unit.outcome is not None and unit.outcome.verdict != GOOD:
                self._live.console.print(*row_of(unit)[:2], row_of(unit)[6], markup=False)

    def _show(self, units: list[Unit]) -> None:
        self._units = units
        now = time.monotonic()
        is_over = all(unit.outcome is not None for unit in units)
        if is_over or now - self._drawn_s >= 0.2:
            self._drawn_s = now
            self._live.update(rich_table(units, self._title), refresh=True)


class Lines:
    """A line for each change of a step or a verdict: for a log file or a pipe."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._seen: dict[str, tuple[object, ...]] = {}
        self._noted: dict[str, str] = {}

    def __enter__(self) -> Callable[[list[Unit]], None]:
        return self._show

    def __exit__(self, *_: object) -> None:
        pass

    def _show(self, units: list[Unit]) -> None:
        for unit in units:
            state = (unit.step, unit.note, unit.outcome)
            if self._seen.get(unit.device_id) == state:
                continue
            self._seen[unit.device_id] = state
            self._print(unit)

    def _print(self, unit: Unit) -> None:
        cells = row_of(unit)
        is_new = unit.outcome is not None or unit.note != self._noted.get(unit.device_id, "")
        self._noted[unit.device_id] = unit.note
        text = cells[6] if is_new else " ".join(filter(None, cells[2:4]))
        print(f"{cells[0]} {cells[1]}: {text}", file=self._out, flush=True)


class JsonEvents(Lines):
    """A JSON object a line for each change, and one a second for progress."""

    def __init__(self, out: TextIO | None = None) -> None:
        super().__init__(out or sys.stdout)
        self._printed_s: dict[str, float] = {}

    def _show(self, units: list[Unit]) -> None:
        super()._show(units)
        now = time.monotonic()
        for unit in units:
            last = self._printed_s.get(unit.device_id, now)
            if unit.outcome is None and unit.total and now - last >= _EVENT_S:
                self._print(unit)

    def _print(self, unit: Unit) -> None:
        self._printed_s[unit.device_id] = time.monotonic()
        event = {"schema": "stagelog.park.event/1", "t_unix_us": time.time_ns() // 1000}
        print(json.dumps({**event, **unit.as_dict()}), file=self._out, flush=True)
