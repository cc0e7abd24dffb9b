"""stagelog convert: a log from one format to another; the name of OUT selects its format."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import Facts, json_option, print_json, size_text
from stagelog.cli._dbc import as_protocol, dbc_option, j1939_option, missing_lines, missing_rows
from stagelog.cli._fleet import dbcs_of_out
from stagelog.cli._logs import check_buses, judge_stream, on_buses
from stagelog.cli._progress import frames_bar
from stagelog.counts import count_text
from stagelog.errors import InputError, UsageError

if TYPE_CHECKING:
    from stagelog.decode import Plan
    from stagelog.decode.origins import Origin
    from stagelog.export.files import FrameSink, SignalSink, Sink
    from stagelog.importers.diagnostics import Diagnostics
    from stagelog.importers.stream import FrameStream
    from stagelog.pack import SlogSink

FRAME_KINDS = {
    ".log": "candump",
    ".blf": "blf",
    ".asc": "asc",
    ".trc": "trc",
    ".mf4": "mf4",
    ".slog": "slog",
}
TEXT_KINDS = ("log", "asc", "trc", "csv")
STDOUT = "-"
CSV_RATE_Hz = 10
SIGNAL_KINDS = (".mf4", ".mcap", ".ld", ".csv")
_NAMES = (
    "*.log (candump), *.blf, *.asc, *.trc, *.mf4, *.slog; with --dbc *.mf4, *.mcap, *.ld, *.csv"
)


@click.command()
@click.argument("log", type=click.Path(readable=False))
@click.argument("out", type=click.Path(readable=False))
@dbc_option("Write signals instead of frames.", dbcs_of_out)
@click.option("--signal", "signals", multiple=True, help="Only this signal; may be repeated.")
@click.option("--rate-Hz", "rate_Hz", type=float, help="Rows per second of CSV.  [default: 10]")
@click.option("--to", "kind", type=click.Choice(TEXT_KINDS), help="Format of text if OUT is -.")
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@click.option("--session", help="Only the session whose name starts so.")
@j1939_option
@click.option("--utc", "with_utc", is_flag=True, help="CSV: add the wall clock of each row, UTC.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
def command(
    log: str,
    out: str,
    dbc: tuple[str, ...],
    signals: tuple[str, ...],
    rate_Hz: float | None,
    kind: str | None,
    buses: tuple[int, ...],
    session: str | None,
    j1939: bool | None,
    with_utc: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Convert LOG to OUT: frames to .log (candump), .blf, .asc, .trc, .mf4, .slog; with --dbc
    signals to .mf4, .mcap, .ld (MoTeC), .csv.

    LOG is any log that stagelog reads, - is standard input. With - as OUT, text goes to standard
    output: candump, or with --dbc CSV. A message that comes on two buses, or from two J1939
    sources, gets a series for each, as in Engine@bus1 or EEC1@sa03. Exit 1 if the log is not
    complete, or if something could not be written in that format. 'stagelog decode' writes
    Parquet.
    """
    from stagelog.cli._logs import one_log
    from stagelog.decode import find_origins, iter_decode
    from stagelog.importers import sniff, stream_frames
    from stagelog.importers.slog import stream_slog

    to_stdout = out == STDOUT
    suffix = _suffix(out, kind, dbc)
    _check(suffix, dbc, signals, rate_Hz, j1939)
    if with_utc and suffix != ".csv":
        raise UsageError(f"--utc for {suffix}", "leave it out; CSV has such a column")
    if to_stdout and as_json:
        raise UsageError("--json with - as OUT", "name a file, or leave --json out")
    path = one_log(log)
    if session is not None and sniff(path) != "slog":
        raise UsageError(f"--session with {path}", "only logs of stagelog have sessions")
    open_stream = partial(stream_slog, path, session) if session else partial(stream_frames, path)
    check_buses(path, buses, open_stream() if buses else ())
    stream = open_stream()
    with _bar(stream, "convert"), tempfile.TemporaryDirectory(prefix="stagelog-") as folder:
        target = Path(folder) / f"stdout{suffix}" if to_stdout else out
        if dbc:
            plan = _plan(dbc, signals, buses, j1939, open_stream)
            first = open_stream()
            with _bar(first, "find buses and sources"):
                origins = find_origins(iter_decode(first, plan, "raw"))
            from_epoch = first.diagnostics.times == "absolute"
            if with_utc and not from_epoch:
                raise InputError(f"{path} has no wall clock", "leave --utc out")
            make_sink = partial(
                _signal_sink,
                suffix,
                target,
                rate_Hz=rate_Hz,
                from_epoch=from_epoch,
                with_utc=with_utc,
                force=force,
            )
            sink, counts = _signals(stream, plan, origins.names(), make_sink)
            counts["warnings"] = origins.warnings(
                "written apart, as in Engine@bus1", "written apart, as in EEC1@sa03"
            )
        else:
            sink, counts = _frames(stream, target, suffix, buses, session, force)
        if to_stdout:
            _copy_to_stdout(target)
    verdict = judge_stream(stream, session)[0]
    facts = {
        "out": [STDOUT] if to_stdout else [str(path) for path in sink.paths],
        **counts,
        "n_left_out": sink.n_left_out,
        "n_damages": stream.diagnostics.n_damages,
        "complete": verdict.complete,
        "verdict": verdict.as_dict(),
    }
    if as_json:
        print_json("stagelog.convert/1", {"log": str(log), **facts})
    else:
        _print(facts)
    raise SystemExit(1 if facts["n_left_out"] else verdict.exit_code)


@contextlib.contextmanager
def _bar(stream: FrameStream, title: str) -> Iterator[None]:
    """Draw how far a FrameStream is read, as long as the context lasts."""
    with frames_bar(title, lambda _: stream.diagnostics.share) as watch:
        stream.chunks = watch(stream.chunks)
        yield


def _suffix(out: str, kind: str | None, dbc: tuple[str, ...]) -> str:
    """Return the suffix that selects the format of OUT."""
    if out == STDOUT:
        return f".{kind}" if kind else ".csv" if dbc else ".log"
    if kind:
        raise UsageError(
            f"--to with {out}", "it is for - as OUT; a file's name selects its format"
        )
    return Path(out).suffix.lower()


def _copy_to_stdout(path: str | Path) -> None:
    with open(path, "rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _check(
    suffix: str,
    dbc: tuple[str, ...],
    signals: tuple[str, ...],
    rate_Hz: float | None,
    j1939: bool | None,
) -> None:
    if suffix not in (SIGNAL_KINDS if dbc else FRAME_KINDS):
        raise UsageError(
            f'"{suffix}" is not a format that convert writes', f"end OUT with one of {_NAMES}"
        )
    if signals and not dbc:
        raise UsageError("--signal without --dbc", "add --dbc")
    if j1939 is not None and not dbc:
        raise UsageError("--j1939 without --dbc", "add --dbc")
    if rate_Hz and suffix != ".csv":
        raise UsageError(f"--rate-Hz for {suffix}", "leave it out")


def _frames(
    stream: FrameStream,
    out: str | Path,
    suffix: str,
    buses: tuple[int, ...],
    session: str | None,
    force: bool,
) -> tuple[Sink, Facts]:
    from stagelog.pack import SlogSink

    chunks = on_buses(stream, buses)
    first = next(chunks, None)  # sets the names of the buses and the zero of the times
    if first is None:
        raise InputError(f"{stream.path} holds no frame", "'stagelog info' lists them")
    shift_us = max(0, -int(first["t_us"].min()))  # no format here has times before zero
    sink = open_sink(FRAME_KINDS[suffix], out, stream.ifaces, stream.diagnostics, force)
    with sink:
        for frames in chain([first], chunks):
            if shift_us:
                frames["t_us"] += shift_us
            sink.write(frames)
        if isinstance(sink, SlogSink):
            sink.known = judge_stream(stream, session)[1]
    return sink, {"n_frames": stream.diagnostics.n_frames, "shift_us": shift_us}


def open_sink(
    kind: str, out: str | Path, ifaces: list[str], clock: Diagnostics, force: bool
) -> FrameSink | SlogSink:
    """Return a writer of frames; `kind` is a value of FRAME_KINDS, `clock` that of their times."""
    from stagelog.export import open_frame_sink
    from stagelog.importers.diagnostics import HEADER, HEADER_UTC
    from stagelog.pack import SlogSink
    from stagelog.timeline import HEADER as IN_HEADER
    from stagelog.timeline import STAMPS

    from_epoch = clock.times == "absolute"
    if kind == "slog":
        source = IN_HEADER if clock.clock in (HEADER, HEADER_UTC) else STAMPS
        return SlogSink(out, from_epoch=from_epoch, source=source, overwrite=force)
    return open_frame_sink(out, kind, ifaces, overwrite=force, from_epoch=from_epoch)


def _plan(
    dbc: tuple[str, ...],
    signals: tuple[str, ...],
    buses: tuple[int, ...],
    j1939: bool | None,
    open_stream: Callable[[], FrameStream],
) -> Plan:
    from stagelog.dbc import load_databases
    from stagelog.decode import compile_plan

    database = as_protocol(load_databases(dbc), j1939, open_stream)
    return compile_plan(database, list(signals) or None, list(buses) or None)


def _signals(
    stream: FrameStream,
    plan: Plan,
    names: dict[str, dict[Origin, str]],
    make_sink: Callable[[Plan], SignalSink],
) -> tuple[Sink, Facts]:
    from stagelog.decode import iter_decode, split, split_plan
    from stagelog.decode.missing import add_counts

    counts = {"n_frames": 0, "n_decoded": 0, "n_values": 0}
    missing: dict[str, dict[str, int]] = {}
    with make_sink(split_plan(plan, names)) as sink:
        for decoded in iter_decode(stream, plan, sink.mode):
            sink.write(split(decoded, names))
            for name in counts:
                counts[name] += getattr(decoded, name)
            add_counts(missing, decoded.missing)
        if not counts["n_decoded"]:
            raise InputError(
                f"{stream.path} holds no frame that the DBC describes", "see 'stagelog dbc check'"
            )
    return sink, counts | {"missing": missing_rows(missing)}


def _signal_sink(
    suffix: str,
    out: str | Path,
    plan: Plan,
    rate_Hz: float | None,
    from_epoch: bool,
    with_utc: bool,
    force: bool,
) -> SignalSink:
    from stagelog.export import McapSink, Mf4SignalSink, MotecSink, ResampledCsvSink

    if suffix == ".mf4":
        return Mf4SignalSink(out, from_epoch=from_epoch, overwrite=force)
    if suffix == ".mcap":
        return McapSink(out, overwrite=force)
    if suffix == ".ld":
        return MotecSink(out, plan, overwrite=force)
    clock = (lambda t_us: t_us) if with_utc else None  # the times of the stream are UTC then
    return ResampledCsvSink(out, plan, rate_Hz or CSV_RATE_Hz, clock=clock, overwrite=force)


def _print(facts: Facts) -> None:
    """Print what was written; beside it, on standard error, if that went to standard output."""
    from stagelog.verdict import damages_text

    echo = partial(click.echo, err=facts["out"] == [STDOUT])
    for path in facts["out"]:
        echo(path if path == STDOUT else f"{path}  {size_text(Path(path).stat().st_size)}")
    values = f", {count_text(facts['n_values'], 'value')}" if "n_values" in facts else ""
    echo(f"{count_text(facts['n_frames'], 'frame')} read{values}")
    for warning in facts.get("warnings", ()):
        click.echo(f"warning: {warning}", err=True)
    for line in missing_lines(facts.get("missing", [])):
        echo(f"  {line}")
    if facts.get("shift_us"):
        echo(f"all times moved by {facts['shift_us'] / 1e6} s: the log begins before zero")
    if facts["n_left_out"]:
        echo(f"{facts['n_left_out']:,} left out: the format cannot hold them")
    if facts["n_damages"]:
        echo(f"{damages_text(facts['n_damages'])}; the rest was converted")
    echo(facts["verdict"]["text"])
