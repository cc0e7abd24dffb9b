"""stagelog watch: frames and values of a logger while it records."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import click

from stagelog.cli._common import Facts
from stagelog.cli._dbc import dbc_option
from stagelog.cli._fleet import dbcs_of_signals
from stagelog.counts import count_text
from stagelog.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from stagelog.dbc import Signal
    from stagelog.decode import Plan
    from stagelog.listen import LiveLink
    from stagelog.model import FrameTable

REFRESH_S = 0.25
POLL_S = 0.2


@click.command()
@click.argument("port", required=False)
@dbc_option("Show the values of signals.", dbcs_of_signals)
@click.option("--signal", "signals", multiple=True, help="Only this signal; may be repeated.")
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@click.option("--duration", "duration_s", type=float, help="Seconds.  [default: until Ctrl-C]")
@click.option("--lines", is_flag=True, help="A line per frame or value, also on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object per frame or value.")
def command(
    port: str | None,
    dbc: tuple[str, ...],
    signals: tuple[str, ...],
    buses: tuple[int, ...],
    duration_s: float | None,
    lines: bool,
    as_json: bool,
) -> None:
    """Show what the logger on PORT records, while it records.

    A table of the newest frame (with --dbc: value) of each kind on a terminal, elsewhere one line
    for each: candump's form, or time, bus, signal, value and unit. Watching never disturbs
    recording.
    """
    from stagelog.listen import open_live

    if signals and not dbc:
        raise UsageError("--signal without --dbc", "add --dbc")
    view: View = _values(dbc, signals, buses) if dbc else _Frames(buses)
    link = open_live(port)
    try:
        end = time.monotonic() + (duration_s or float("inf"))
        show = _print_lines if lines or not sys.stdout.isatty() else _show_table
        show = _print_json if as_json else show
        show(link, view, lambda: time.monotonic() >= end)
    except KeyboardInterrupt:
        pass
    finally:
        link.close()
    if link.n_skipped_blocks:
        click.echo(
            f"{count_text(link.n_skipped_blocks, 'block')} came too fast for the cable and "
            f"{'is' if link.n_skipped_blocks == 1 else 'are'} not shown; "
            "the logger has recorded them",
            err=True,
        )


def _print_lines(link: LiveLink, view: View, is_over: Callable[[], bool]) -> None:
    while not is_over():
        for line in view.lines(link.read_frames(POLL_S)):
            click.echo(line)


def _print_json(link: LiveLink, view: View, is_over: Callable[[], bool]) -> None:
    while not is_over():
        for entry in view.entries(link.read_frames(POLL_S)):
            click.echo(json.dumps(entry))


def _show_table(link: LiveLink, view: View, is_over: Callable[[], bool]) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        shown = time.monotonic()
        while not is_over():
            view.take(link.read_frames(POLL_S))
            if time.monotonic() - shown >= REFRESH_S:
                shown = time.monotonic()
                live.update(view.table(), refresh=True)


class View(Protocol):
    """What is shown of the frames."""

    def take(self, frames: FrameTable) -> None:
        """Keep the newest of each kind, for `table`."""

    def lines(self, frames: FrameTable) -> list[str]:
        """Return one line for each frame or value."""

    def entries(self, frames: FrameTable) -> list[Facts]:
        """Return each frame or value as JSON types."""

    def table(self) -> Table:
        """Return the newest of each kind."""


class _Frames:
    """The newest frame of each identifier, and how many there were."""

    def __init__(self, buses: Sequence[int] = ()) -> None:
        self._newest: dict[tuple[int, bool, int], tuple[int, np.void]] = {}
        self._buses = buses

    def take(self, frames: FrameTable) -> None:
        """Keep the newest of each."""
        for row in self._chosen(frames):
            key = (int(row["bus"]), _is_ext(row), int(row["can_id"]))
            count = self._newest[key][0] if key in self._newest else 0
            self._newest[key] = (count + 1, row)

    def entries(self, frames: FrameTable) -> list[Facts]:
        """Return frames as JSON types."""
        return [
            {
                "t_us": int(row["t_us"]),
                "bus": int(row["bus"]),
                "can_id": _id_text(int(row["can_id"]), _is_ext(row)),
                "data": _data_of(row).hex().upper(),
            }
            for row in self._chosen(frames)
        ]

    def _chosen(self, frames: FrameTable) -> FrameTable:
        from numpy import isin

        return frames[isin(frames["bus"], self._buses)] if self._buses else frames

    def lines(self, frames: FrameTable) -> list[str]:
        """Return frames in candump's form, one line each."""
        from stagelog.export.candump import candump_text, names_of

        frames = self._chosen(frames)
        return candump_text(frames, names_of(())).decode().splitlines() if len(frames) else []

    def table(self) -> Table:
        """Return a rich table, by bus and identifier."""
        table = _table("bus", "id", "frames", "bytes", "data")
        for (bus, is_ext, can_id), (count, row) in sorted(self._newest.items()):
            data = _data_of(row).hex(" ").upper()
            name = _id_text(can_id, is_ext)
            table.add_row(str(bus), name, f"{count:,}", str(row["n_bytes"]), data)
        return table


def _is_ext(row: np.void) -> bool:
    from stagelog.model import EXT

    return bool(row["flags"] & EXT)


def _id_text(can_id: int, is_ext: bool) -> str:
    return f"{can_id:08X}" if is_ext else f"{can_id:03X}"


def _data_of(row: np.void) -> bytes:
    return row["data"][: row["n_bytes"]].tobytes()


def _values(
    dbc: tuple[str, ...], signals: tuple[str, ...], buses: tuple[int, ...] = ()
) -> _Values:
    from stagelog.dbc import load_databases
    from stagelog.decode import compile_plan

    return _Values(compile_plan(load_databases(dbc), list(signals) or None, list(buses) or None))


class _Value(NamedTuple):
    """One value of a signal; `source` is a J1939 address, None where there is none."""

    t_us: int
    bus: int
    message: str
    source: int | None
    signal_name: str
    signal: Signal
    number: float

    @property
    def plain_name(self) -> str:
        """Return Message.Signal."""
        return f"{self.message}.{self.signal_name}"

    @property
    def name(self) -> str:
        """Return Message.Signal, with the source that sent it: EEC1@sa03.EngSpeed."""
        at = "" if self.source is None else f"@sa{self.source:02X}"
        return f"{self.message}{at}.{self.signal_name}"


class _Values:
    """The newest value of each signal on each bus, from each source."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._newest: dict[tuple[str, int], tuple[str, str]] = {}

    def take(self, frames: FrameTable) -> None:
        """Keep the newest of each."""
        for value in self._decode(frames):
            text = _value_text(value.signal, value.number)
            self._newest[value.name, value.bus] = (text, value.signal.unit)

    def entries(self, frames: FrameTable) -> list[Facts]:
        """Return values as JSON types; `value` is null where it is no number."""
        return [
            {
                "t_us": value.t_us,
                "bus": value.bus,
                "source": value.source,
                "signal": value.plain_name,
                "value": value.number if math.isfinite(value.number) else None,
                "text": _value_text(value.signal, value.number),
                "unit": value.signal.unit,
            }
            for value in self._decode(frames)
        ]

    def lines(self, frames: FrameTable) -> list[str]:
        """Return one line per value: time, bus, signal, value, unit."""
        return [
            f"{value.t_us / 1e6:.6f} can{value.bus} {value.name} "
            f"{_value_text(value.signal, value.number)} {value.signal.unit}".rstrip()
            for value in self._decode(frames)
        ]

    def _decode(self, frames: FrameTable) -> list[_Value]:
        """Return the [_Value] in the order of time."""
        from stagelog.decode import decode

        found = []
        for table in decode(frames, self._plan).messages.values():
            sources = [None] * len(table) if table.source is None else table.source.tolist()
            buses = table.bus.tolist()
            for name in table.signals:
                signal = table.message.signal(name)
                held = table.rows.get(name)
                rows = range(len(table)) if held is None else held.tolist()
                times, numbers = (column.tolist() for column in table.series(name))
                for row, t_us, number in zip(rows, times, numbers, strict=True):
                    place = (table.name, sources[row], name)
                    found.append(_Value(t_us, buses[row], *place, signal, number))
        found.sort(key=lambda value: value.t_us)
        return found

    def table(self) -> Table:
        """Return a rich table, by name and bus."""
        table = _table("signal", "bus", "value", "unit")
        for (name, bus), (text, unit) in sorted(self._newest.items()):
            table.add_row(name, str(bus), text, unit)
        return table


def _value_text(signal: Signal, value: float) -> str:
    """Return a value with its text, if the DBC has one for it."""
    if signal.choices and not signal.is_float:
        text = signal.choices.get(round((value - signal.offset) / signal.scale))
        if text:
            return text
    return f"{value:.6g}"


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column)
    return table
