"""stagelog decode: a log and a DBC in, physical values out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from stagelog.cli._common import Facts, json_option, print_json
from stagelog.cli._dbc import (
    as_protocol,
    dbc_option,
    incomplete_text,
    j1939_option,
    missing_lines,
    missing_rows,
)
from stagelog.cli._fleet import dbcs_of_log
from stagelog.cli._logs import check_buses
from stagelog.cli._progress import frames_bar
from stagelog.counts import count_text
from stagelog.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stagelog.accounts import Account, LogAccount
    from stagelog.blocks import Session
    from stagelog.dbc import Database
    from stagelog.decode import Plan
    from stagelog.decode.origins import Origin
    from stagelog.export.files import SignalSink
    from stagelog.importers.diagnostics import Diagnostics
    from stagelog.importers.stream import FrameStream
    from stagelog.model import FrameTable
    from stagelog.timeline import Timeline
    from stagelog.verdict import Verdict

    Clock = Callable[[NDArray[np.int64]], NDArray[np.int64]]  # t_us to UTC


@click.command()
@click.argument("log", type=click.Path(readable=False))
@dbc_option("Database to decode with.", dbcs_of_log, required=True)
@click.option(
    "--out", "-o", required=True, type=click.Path(readable=False), help="Folder to write to."
)
@click.option("--csv", "as_csv", is_flag=True, help="CSV instead of Parquet.")
@click.option(
    "--rate-Hz", "rate_Hz", type=float, help="With --csv: all signals in one file, at this rate."
)
@click.option("--raw", is_flag=True, help="Parquet with raw integers, a third of the size.")
@click.option("--signal", "signals", multiple=True, help="Only this signal; may be repeated.")
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@j1939_option
@click.option("--utc", "with_utc", is_flag=True, help="Add the wall clock of each row, UTC.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@json_option
def command(
    log: str,
    dbc: tuple[str, ...],
    out: str,
    as_csv: bool,
    rate_Hz: float | None,
    raw: bool,
    signals: tuple[str, ...],
    buses: tuple[int, ...],
    j1939: bool | None,
    with_utc: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Decode LOG: one file per message with t_us, bus, J1939 source and physical values.

    LOG is a session file, a card, its image, a folder of the archive, or a log of another kind
    (candump, BLF, ASC, TRC, MF4). Several sessions get a folder each, and so do the buses if each
    has a DBC of its own. What a frame of J1939 or NMEA 2000 calls "not available" or "error" is no
    value, and is counted. Exit 1 if the log is not complete, or if nothing in it could be decoded.
    """
    if raw and as_csv:
        raise UsageError("--raw with --csv", "CSV has physical values; leave one of them out")
    if out == "-":
        raise UsageError(
            "a folder of files cannot go to standard output",
            "'stagelog convert LOG - --dbc DBC' writes CSV there",
        )
    from stagelog.decode import split_plan

    databases = _databases(dbc, signals, buses)
    recordings, empty = _recordings(log)
    check_buses(log, buses, (frames for each in recordings for frames in each.ahead()))
    choices = _choices(databases, signals, buses, j1939, recordings)
    reports, bad = [], max((verdict.exit_code for verdict in empty), default=0)
    for recording in recordings:
        base = Path(out) / recording.name if len(recordings) > 1 else Path(out)
        counts: list[Facts] = []
        for choice in choices:
            tables = recording.ahead if counts else recording.tables
            names = _names(recording, choice.plan) if rate_Hz else {}
            make = partial(_sink, base / choice.folder, split_plan(choice.plan, names))
            clock = recording.clock if with_utc else None
            sink = make(choice.database, recording.facts, as_csv, rate_Hz, raw, clock, force)
            with frames_bar(recording.name, recording.share) as watch:
                counts.append(_decode(watch(tables()), choice.plan, sink, names, clock))
            if choice.bus is not None and not any(map(counts[-1].get, _OF_THE_BUS)):
                counts[-1]["warnings"].append(_no_frame_text(choice, recording))
        verdict, n_damages = recording.judge()
        bad = bad or verdict.exit_code
        for choice, found in zip(choices, counts, strict=True):
            report = {"session": recording.name, **found, "n_damages": n_damages}
            report |= {"complete": verdict.complete, "verdict": verdict.as_dict()}
            reports.append(report | ({"bus": choice.bus} if choice.bus is not None else {}))
            if not as_json:
                _print(report, bool(signals))
    if as_json:
        facts = {"dbc": ",".join(dbc), "sessions": reports, "others": [v.as_dict() for v in empty]}
        print_json("stagelog.decode/1", facts)
    else:
        for verdict in empty:
            click.echo(verdict.text)
    raise SystemExit(bad if any(report["n_decoded"] for report in reports) else 1)


_OF_THE_BUS = ("n_decoded", "n_unknown", "n_incomplete")


class _Choice(NamedTuple):
    """A DBC and the frames that it is for: of one bus, into a folder of its own, or of all."""

    database: Database
    plan: Plan
    bus: int | None
    folder: str


def _no_frame_text(choice: _Choice, recording: _Recording) -> str:
    import numpy as np

    buses = {bus for frames in recording.ahead() for bus in np.unique(frames["bus"]).tolist()}
    held = (
        f"frames of bus {', '.join(map(str, sorted(buses)))}" if buses else "no frame of any bus"
    )
    return f"no frame of bus {choice.bus}, which {choice.database.path} is for: the log has {held}"


def _databases(
    dbc: tuple[str, ...], signals: tuple[str, ...], buses: tuple[int, ...]
) -> dict[int | None, Database]:
    """Return {bus, or None for all: Database} that --dbc names: FILE, or once or more BUS=FILE."""
    from stagelog.dbc import load_database
    from stagelog.dbc.buses import paths_by_bus

    paths = paths_by_bus(dbc)
    if None not in paths and (buses or signals):
        raise UsageError("--bus or --signal with a DBC for each bus", "decode one bus at a time")
    return {bus: load_database(path) for bus, path in paths.items()}


def _choices(
    databases: dict[int | None, Database],
    signals: tuple[str, ...],
    buses: tuple[int, ...],
    j1939: bool | None,
    recordings: list[_Recording],
) -> list[_Choice]:
    """Return the [_Choice] of databases by bus."""
    from stagelog.decode import compile_plan

    def tables() -> Iterable[FrameTable]:
        return (frames for each in recordings for frames in each.ahead())

    choices = []
    for bus, database in databases.items():
        database = as_protocol(database, j1939, tables)
        own = list(buses) or None if bus is None else [bus]
        plan = compile_plan(database, list(signals) or None, own)
        choices.append(_Choice(database, plan, bus, "" if bus is None else f"bus{bus}"))
    return choices


class _Recording(NamedTuple):
    """A recording to decode: `tables` gives its frame tables, `facts` stand in each file.

    judge  gives (Verdict, number of damaged places) once it was read to its end
    ahead  gives its frame tables too, for a pass before decoding
    share  gives the share of it that was read, from the number of frames so far
    clock  gives UTC of times in its tables; InputError if it has no wall clock
    """

    name: str
    tables: Callable[[], Iterable[FrameTable]]
    facts: Facts
    judge: Callable[[], tuple[Verdict, int]]
    ahead: Callable[[], Iterable[FrameTable]]
    share: Callable[[int], float]
    clock: Clock


def _recordings(log: str) -> tuple[list[_Recording], list[Verdict]]:
    """Return ([_Recording] in a log of any kind or in a folder of the archive, [Verdict] on files
    in which there is none).
    """
    from stagelog.accounts import judge_logs
    from stagelog.cli._logs import find_logs
    from stagelog.importers import sniff, stream_frames
    from stagelog.pipes import STDIN
    from stagelog.platform.names import safe_name

    found, own = [], []
    for path, entry in find_logs(log):
        is_lost = entry is not None and not path.exists()
        if is_lost or path.is_block_device() or sniff(path) == "slog":
            own.append((path, entry))
            continue
        stream = stream_frames(path)
        judge = partial(_judge_stream, stream.diagnostics)
        facts = {"source": path.name}
        name = safe_name("stdin" if str(path) in STDIN else path.stem)
        ahead = partial(stream_frames, path)
        share = partial(_share_of_stream, stream.diagnostics)
        clock = partial(_clock_of_stream, stream)
        found.append(_Recording(name, partial(iter, stream), facts, judge, ahead, share, clock))
    judged_logs = judge_logs(own)
    for judged in judged_logs:
        for each in judged.accounts:
            facts = _facts(judged.path, each.session, each.timeline)
            name, tables = each.session.identity.name, each.session.iter_frames
            judge = partial(_judge_session, judged, each)
            share = partial(_share_of_frames, max(1, each.session.n_frames))
            clock = partial(_clock_of_session, name, each.timeline)
            found.append(_Recording(name, tables, facts, judge, tables, share, clock))
    return found, [log.verdict for log in judged_logs if not log.accounts]


def _names(recording: _Recording, plan: Plan) -> dict[str, dict[Origin, str]]:
    """Return the names of the messages that get a series for each bus or source."""
    from stagelog.decode import find_origins, iter_decode

    return find_origins(iter_decode(recording.ahead(), plan, "raw")).names()


def _clock_of_stream(stream: FrameStream, t_us: NDArray[np.int64]) -> NDArray[np.int64]:
    if stream.diagnostics.times != "absolute":
        raise InputError(f"{stream.path} has no wall clock", "leave --utc out")
    return t_us


def _clock_of_session(
    name: str, timeline: Timeline | None, t_us: NDArray[np.int64]
) -> NDArray[np.int64]:
    if timeline is None:
        raise InputError(f"session {name} has no wall clock", "leave --utc out")
    return timeline.to_unix_us(t_us)


def _share_of_stream(diagnostics: Diagnostics, n_frames: int) -> float:
    return diagnostics.share


def _share_of_frames(n_all: int, n_frames: int) -> float:
    return n_frames / n_all


def _judge_stream(diagnostics: Diagnostics) -> tuple[Verdict, int]:
    from stagelog.verdict import judge_foreign

    return judge_foreign(diagnostics), diagnostics.n_damages


def _judge_session(judged: LogAccount, account: Account) -> tuple[Verdict, int]:
    return judged.verdict_of(account), len(judged.damaged)


def _facts(path: Path, session: Session, timeline: Timeline | None) -> Facts:
    """Return the facts of its origin that each file carries."""
    found = {"session": session.identity.name, "source": path.name, "boot": session.boot}
    if timeline is not None:
        found["t0_us"] = timeline.t0_us
        found["t0_unix_us"] = timeline.t0_unix_us
        found["drift_ppm"] = timeline.drift_ppm
    return found


def _sink(
    folder: Path,
    plan: Plan,
    database: Database,
    metadata: Facts,
    as_csv: bool,
    rate_Hz: float | None,
    raw: bool,
    clock: Clock | None,
    force: bool,
) -> SignalSink:
    from stagelog.export import CsvSink, ParquetSink, ResampledCsvSink

    if rate_Hz and not as_csv:
        raise UsageError("--rate-Hz without --csv", "add --csv")
    if rate_Hz:
        path = folder / "signals.csv"
        return ResampledCsvSink(path, plan, rate_Hz, clock=clock, overwrite=force)
    if as_csv:
        return CsvSink(folder, overwrite=force)
    form = "archive" if raw else "tool"
    return ParquetSink(folder, form, database=database, metadata=metadata, overwrite=force)


def _decode(
    tables: Iterable[FrameTable],
    plan: Plan,
    sink: SignalSink,
    names: dict[str, dict[Origin, str]],
    clock: Clock | None,
) -> Facts:
    from stagelog.decode import Origins, iter_decode, split
    from stagelog.decode.missing import add_counts

    origins = Origins()
    missing: dict[str, dict[str, int]] = {}
    names_of_counts = ("n_frames", "n_decoded", "n_unknown", "n_incomplete", "n_short", "n_values")
    counts = dict.fromkeys(names_of_counts, 0)
    unknown: dict[tuple[int, bool], int] = {}
    with sink:
        for decoded in origins.watch(iter_decode(tables, plan, sink.mode)):
            if clock is not None:
                for table in decoded.messages.values():
                    table.t_unix_us = clock(table.t_us)
            sink.write(split(decoded, names))
            for name in counts:
                counts[name] += getattr(decoded, name)
            add_counts(missing, decoded.missing)
            for key, n in decoded.unknown.items():
                unknown[key] = unknown.get(key, 0) + n
    most = sorted(unknown.items(), key=lambda item: -item[1])[:20]
    return {
        **counts,
        "unknown": [
            {"can_id": f"{can_id:08X}" if is_ext else f"{can_id:03X}", "n_frames": n}
            for (can_id, is_ext), n in most
        ],
        "missing": missing_rows(missing),
        "warnings": origins.warnings(
            "written apart, as in Engine@bus1" if names else "the column bus says which",
            "written apart, as in EEC1@sa03" if names else "the column source says which",
        ),
        "files": [str(path) for path in sink.paths],
    }


def _print(report: Facts, is_choice: bool) -> None:
    from stagelog.verdict import damages_text

    folder = Path(report["files"][0]).parent if report["files"] else None
    click.echo(
        f"session {report['session']}: {report['n_decoded']:,} of "
        f"{count_text(report['n_frames'], 'frame')} decoded, "
        f"{count_text(report['n_values'], 'value')}"
        + (f", {count_text(len(report['files']), 'file')} in {folder}" if folder else "")
    )
    for warning in report["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    if report["n_unknown"]:
        ids = ", ".join(row["can_id"] for row in report["unknown"])
        why = "not asked for" if is_choice else f"not in the DBC: {ids}"
        are = "is" if report["n_unknown"] == 1 else "are"
        click.echo(f"  {count_text(report['n_unknown'], 'frame')} {are} {why}")
    if report["n_incomplete"]:
        click.echo(f"  {incomplete_text(report['n_incomplete'])}")
    if report["n_short"]:
        are = "is" if report["n_short"] == 1 else "are"
        values = count_text(report["n_short"], "value")
        click.echo(f"  {values} {are} missing: their frames were too short")
    for line in missing_lines(report["missing"]):
        click.echo(f"  {line}")
    if report["n_damages"]:
        click.echo(f"  {damages_text(report['n_damages'])}; the rest was decoded")
    click.echo(f"  {report['verdict']['text']}")
