"""What all verbs share: the --json switch, tables, sizes, durations, times."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import click

Facts: TypeAlias = dict[str, Any]  # JSON types, by the keys of a schema (cli_json_keys.toml)
F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Add --json to a command, as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def print_json(schema: str, facts: Facts) -> None:
    """Print one JSON object with its schema, e.g. "stagelog.info/1"."""
    content = _finite({"schema": schema, **facts})
    click.echo(json.dumps(content, indent=2, default=_plain, allow_nan=False))


def print_table(rows: Iterable[Sequence[object]], header: Sequence[str] | None = None) -> None:
    """Print rows of values in columns; numbers are right-aligned."""
    lines = [[str(value) for value in row] for row in rows]
    is_right = [all(cell[:1].isdigit() for cell in column) for column in zip(*lines, strict=True)]
    if header:
        lines.insert(0, list(header))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, widths, is_right, strict=True)
        padded = [text.rjust(n) if right else text.ljust(n) for text, n, right in cells]
        click.echo("  ".join(padded).rstrip())


def size_text(n_bytes: float) -> str:
    """Return a size for people: 512 B, 4.1 kB, 23.0 MB."""
    for unit, n in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= n:
            return f"{n_bytes / n:.1f} {unit}"
    return f"{n_bytes} B"


_COUNTER_TEXT = {
    "stuff": "stuff errors",
    "flags": "error frames",
    "crc": "CRC errors",
    "form": "form errors",
    "unacknowledged": "frames not acknowledged",
    "fd": "CAN FD frames passed over",
    "overload": "overload frames",
    "remote": "remote frames",
    "missed_us": "us of the bus missed",
}


def counts_text(counts: Facts) -> str:
    """Return what a bus counted by kind (SPEC.md, BUS) in words; kinds at 0 are left out."""
    found = [f"{counts[key]:,} {text}" for key, text in _COUNTER_TEXT.items() if counts[key]]
    return ", ".join(found) or "no errors"


def duration_text(duration_us: float) -> str:
    """Return a duration for people: 310 ms, 12.5 s, 4 min 10 s, 2 h 04 min."""
    s = duration_us / 1e6
    if s < 1:
        return f"{duration_us / 1000:.0f} ms"
    if s < 60:
        return f"{s:.1f} s"
    if s < 3600:
        return f"{int(s // 60)} min {int(s % 60):02d} s"
    return f"{int(s // 3600)} h {int(s % 3600 // 60):02d} min"


def time_text(t_unix_us: int) -> str:
    """Return UTC as 2026-01-17 14:03:22."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(t_unix_us // 1_000_000))


def clock_text(t_unix_us: int) -> str:
    """Return UTC as 14:03:22.120."""
    s, us = divmod(t_unix_us, 1_000_000)
    return f"{time.strftime('%H:%M:%S', time.gmtime(s))}.{us // 1000:03d}"


def _finite(value: Any) -> Any:
    """Return a value without NaN and infinity, which JSON does not have: null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """Return NumPy numbers, paths and bytes as JSON types."""
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal, unless `yes`; without a terminal raise UsageError."""
    from stagelog.errors import UsageError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "this needs a confirmation, and there is no terminal to ask on", "add --yes"
        )
    click.confirm(question, abort=True, err=True)


@contextlib.contextmanager
def transfer_progress(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function (blocks done, blocks in all) that draws a bar with rate and time left; None
    without a terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from slog.layout import BLOCK_BYTES

    columns = (
        TextColumn(title),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        first: list[int] = []

        def show(done: int, total: int) -> None:
            if not first:
                first.append(done)
            n_bytes = (done - first[0] + 1) * BLOCK_BYTES
            bar.update(task, total=(total - first[0] + 1) * BLOCK_BYTES, completed=n_bytes)

        yield show
