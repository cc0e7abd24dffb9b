"""stagelog align: logs of several loggers of a car on one clock, by the frames that both saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import Facts, json_option, print_json
from stagelog.cli._progress import frames_bar
from stagelog.cli.convert import FRAME_KINDS, open_sink
from stagelog.counts import count_text
from stagelog.errors import InputError, UsageError

if TYPE_CHECKING:
    from stagelog.align import Aligned, Course, Log
    from stagelog.importers.diagnostics import Diagnostics
    from stagelog.importers.stream import FrameStream
    from stagelog.model import FrameTable
    from stagelog.pack import Known

_KINDS = {suffix.removeprefix("."): suffix for suffix in FRAME_KINDS}


@dataclass(slots=True)
class _Read:
    """A log that was read once: what it saw, its clock, the time of its first frame."""

    path: Path
    log: Log
    clock: Diagnostics
    first_us: int


@click.command()
@click.argument("logs", nargs=-1, type=click.Path(readable=False), metavar="LOG LOG...")
@click.option("--out", "-o", type=click.Path(readable=False), help="Folder for the copies.")
@click.option(
    "--to",
    "kind",
    type=click.Choice(list(_KINDS)),
    default="slog",
    show_default=True,
    help="Format of the copies.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@json_option
def command(logs: tuple[str, ...], out: str | None, kind: str, force: bool, as_json: bool) -> None:
    """Put the logs of several loggers of a car onto one clock: that of the first LOG.

    A LOG is any log that stagelog reads, or a folder of the archive: all its sessions. Two loggers
    on the same bus receive the same frames; identifier and payload say which. Different starts,
    lost frames, clocks that differ by hours and drift are found, and the bus may have another
    number in each log. A log that shares no bus with the first is placed by another one that does.
    --out writes a copy of each log with the times of the first, and its wall clock if it has one.

    Exit 5 if the logs do not prove it: no frames in common, or only frames that repeat all the
    time.
    """
    from stagelog.align import align

    paths = _paths(logs)
    if len(paths) < 2:
        raise UsageError("one log cannot be aligned", "name two or more")
    reads = [_read(path) for path in paths]
    rows = align([(str(one.path), one.log) for one in reads])
    firsts = [int(row.course.to_reference(r.first_us)) for r, row in zip(reads, rows, strict=True)]
    shift_us = max(0, -min(firsts)) if out is not None else 0  # no format has times before zero
    written = []
    if out is not None:
        for one, row, path in zip(reads, rows, _names(paths, Path(out), kind), strict=True):
            course = replace(row.course, add_us=row.course.add_us + shift_us)
            _write(one.path, course, reads[0].clock, path, force)
            written.append(str(path))
    if as_json:
        facts = {"reference": rows[0].name, "logs": [_facts(row) for row in rows]}
        print_json("stagelog.align/1", facts | {"shift_us": shift_us, "out": written})
        return
    _print(rows)
    if shift_us:
        click.echo(f"all times moved by {shift_us / 1e6} s: a log begins before zero")
    for name in written:
        click.echo(name)


def _paths(logs: tuple[str, ...]) -> list[Path]:
    """Return the files of all logs, each once."""
    from stagelog.cli._logs import find_logs

    return list(dict.fromkeys(path for log in logs for path, _ in find_logs(log)))


def _read(path: Path) -> _Read:
    """Read a log; InputError if it has no frame, or several clocks."""
    from stagelog.align import read_seen

    stream = _stream(path)
    firsts: list[int] = []

    def noted(tables: Iterable[FrameTable]) -> Iterator[FrameTable]:
        for frames in tables:
            firsts.append(int(frames["t_us"].min()))
            yield frames

    with frames_bar(f"read {path.name}", lambda _: stream.diagnostics.share) as watch:
        log = read_seen(noted(watch(stream)))
    if not log:
        raise InputError(f"{path} holds no frame", "leave it out")
    return _Read(path, log, stream.diagnostics, min(firsts))


def _stream(path: Path) -> FrameStream:
    """Return the frames of a log; InputError if it has several clocks."""
    from stagelog.blocks import read_log
    from stagelog.importers import sniff, stream_frames
    from stagelog.timeline import find_boots

    if sniff(path) == "slog" and (n := len(find_boots(read_log(path).sessions))) > 1:
        raise InputError(
            f"{path} holds {n} key cycles, each with a clock of its own",
            "'stagelog card read' writes a file for each session",
        )
    return stream_frames(path)


def _names(paths: list[Path], folder: Path, kind: str) -> list[Path]:
    """Return the paths of the copies, numbered where two logs have the same name."""
    names = [f"{path.stem}{_KINDS[kind]}" for path in paths]
    if len(set(names)) < len(names):
        names = [f"{k}_{name}" for k, name in enumerate(names, 1)]
    return [folder / name for name in names]


def _write(path: Path, course: Course, clock: Diagnostics, out: Path, force: bool) -> None:
    """Write a copy of a log with the times of another clock."""
    from stagelog.cli._logs import judge_stream
    from stagelog.pack import SlogSink

    stream = _stream(path)
    kind = FRAME_KINDS[out.suffix]
    with (
        open_sink(kind, out, stream.ifaces, clock, force) as sink,
        frames_bar(f"write {out.name}", lambda _: stream.diagnostics.share) as watch,
    ):
        for frames in watch(stream):
            frames["t_us"] = course.to_reference(frames["t_us"])
            sink.write(frames)
        if isinstance(sink, SlogSink):
            sink.known = _moved(judge_stream(stream)[1], course)
    if sink.n_left_out:
        click.echo(f"{out}: {sink.n_left_out:,} left out: the format cannot hold them", err=True)


def _moved(known: Known, course: Course) -> Known:
    """Return what is known to be missing, on the clock of the reference."""

    def on_reference(t_us: int | None) -> int | None:
        return None if t_us is None else int(course.to_reference(t_us))

    gaps = [
        replace(gap, t_start_us=on_reference(gap.t_start_us), t_end_us=on_reference(gap.t_end_us))
        for gap in known.gaps
    ]
    return replace(known, gaps=tuple(gaps))


def _facts(row: Aligned) -> Facts:
    """Return an Aligned as JSON types; the reference has no values beside its name."""
    names = ("offset_us", "drift_ppm", "n_matched", "share")
    residuals = ("residual_median_us", "residual_p95_us", "residual_worst_us")
    values = {name: getattr(row, name) for name in (*names, *residuals)}
    if row.buses is None:
        values = dict.fromkeys(values)
    buses = row.buses or (None, None)
    return {"log": row.name, "to": row.to, "bus_there": buses[0], "bus": buses[1], **values}


def _print(rows: list[Aligned]) -> None:
    for row in rows:
        name, to = (Path(path or "").name for path in (row.name, row.to))
        if row.buses is None:
            click.echo(f"{name}: its clock is the reference")
            continue
        pace = "slow" if row.drift_ppm >= 0 else "fast"
        there, here = row.buses
        click.echo(
            f"{name}: {row.offset_us / 1e6:+,.6f} s at its start, "
            f"its clock is {abs(row.drift_ppm):.2f} ppm {pace}"
        )
        matched = f"{count_text(row.n_matched, 'frame')} of its bus {here}"
        are = "is" if row.n_matched == 1 else "are"
        click.echo(
            f"  {matched} {are} on bus {there} of {to}: {row.share:.1%} of what both could see"
        )
        click.echo(
            f"  residual median {row.residual_median_us:.1f} us, "
            f"p95 {row.residual_p95_us:.1f} us, worst {row.residual_worst_us:,.1f} us"
        )
