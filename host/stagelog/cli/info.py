"""stagelog info: what a log holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from stagelog.cli._common import (
    Facts,
    counts_text,
    duration_text,
    json_option,
    print_json,
    print_table,
    size_text,
    time_text,
)
from stagelog.counts import count_text

if TYPE_CHECKING:
    from stagelog.blocks import Log, Session
    from stagelog.model import FrameTable
    from stagelog.timeline import Timeline

DATABASES = (".dbc", ".arxml", ".kcd", ".sym")
Counts: TypeAlias = dict[tuple[int, int, int], int]  # frames by (bus, is_ext, can_id)


@click.command()
@click.argument("log", type=click.Path(readable=False))
@click.option("--ids", "with_ids", is_flag=True, help="List the identifiers with their rates.")
@click.option("--events", "with_meta", is_flag=True, help="List the logger's own records.")
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@json_option
def command(
    log: str, with_ids: bool, with_meta: bool, buses: tuple[int, ...], as_json: bool
) -> None:
    """Show what LOG holds: a session file, a card, its image, a folder of the archive, a log of
    another recorder (candump, BLF, ASC, TRC, MF4, SavvyCAN), or a DBC. J1939 and NMEA 2000 are
    recognised, diagnostics (ISO-TP: UDS, OBD) put together and named. The last line of each log
    is what 'stagelog verify' says of it; the exit code is 0 whatever that is.
    """
    from stagelog.accounts import judge_logs
    from stagelog.blocks import read_log
    from stagelog.cli._logs import check_buses, find_logs
    from stagelog.importers import sniff, stream_frames

    reports: list[Facts] = []
    own = []
    if Path(log).suffix.lower() in DATABASES:
        return _database(log, as_json)
    logs = find_logs(log)
    check_buses(log, buses, (frames for path, _ in logs for frames in stream_frames(path)))
    for path, entry in logs:
        if not path.is_block_device() and sniff(path) != "slog":
            reports.append(_foreign(path, with_ids, buses, as_json))
        else:
            own.append((path, entry))
    for judged in judge_logs(own):
        found = judged.log or read_log(judged.path)
        if not as_json:
            _print_head(found)
        report = _report(found, with_ids, with_meta, buses, as_json)
        reports.append({**report, "verdict": judged.verdict.as_dict()})
        if not as_json:
            click.echo(f"  {judged.verdict.text}")
    if as_json:
        print_json("stagelog.info/1", {"logs": reports})
    return None


def _database(path: str, as_json: bool) -> None:
    """Print what a database holds."""
    from stagelog.dbc import load_database
    from stagelog.decode.doctor import check_database

    facts = check_database(load_database(path))
    if as_json:
        return print_json("stagelog.info/1", {"logs": [facts]})
    click.echo(
        f"{path}: {count_text(facts['n_messages'], 'message')}, "
        f"{count_text(facts['n_signals'], 'signal')}, "
        f"{facts['kind'].upper()}, {facts['encoding']}"
    )
    n = len(facts["defects"])
    found = (
        "no defects" if not n else f"{count_text(n, 'defect')}; 'stagelog dbc check' lists them"
    )
    click.echo(f"  {found}")
    return None


def _diagnostics(
    tables: Callable[[], Iterable[FrameTable]], counts: Counts, buses: tuple[int, ...]
) -> Facts | None:
    """Return the facts of the diagnostics on a bus, None if there are none; `tables` is called."""
    from stagelog.decode.isotp import is_diagnostic, summarize

    if not any(is_diagnostic(can_id, bool(is_ext)) for _, is_ext, can_id in counts):
        return None
    found = summarize(tables())
    rows: list[Facts] = [
        {
            "bus": bus,
            "can_id": f"{can_id:08X}" if is_ext else f"{can_id:03X}",
            "service": service,
            "n_messages": n,
        }
        for (bus, can_id, is_ext, service), n in sorted(found.services.items())
        if not buses or bus in buses
    ]
    n_messages = sum(row["n_messages"] for row in rows)
    return {"n_messages": n_messages, "n_lost": found.n_lost, "services": rows}


def _print_diagnostics(facts: Facts | None) -> None:
    if facts is None:
        return
    for row in facts["services"][:20]:
        n = row["n_messages"]
        times = "once" if n == 1 else f"{n:,} times"
        what = f"{row['can_id']} {row['service']}, {times}"
        click.echo(f"  diagnostics (ISO-TP) on bus {row['bus']}: {what}")
    if len(facts["services"]) > 20:
        click.echo(f"  and {len(facts['services']) - 20} more; --json lists all")
    if facts["n_lost"]:
        are = "is" if facts["n_lost"] == 1 else "are"
        click.echo(f"  {count_text(facts['n_lost'], 'message')} of diagnostics {are} not whole")


def _foreign(path: Path, with_ids: bool, buses: tuple[int, ...], as_json: bool) -> Facts:
    """Return what is known of another recorder's log; print it unless `as_json`."""
    from stagelog.importers import stream_frames
    from stagelog.importers.diagnostics import CLOCK_TEXT
    from stagelog.verdict import judge_foreign

    stream = stream_frames(path)
    counts, n_fd, t_first_us, t_last_us = _count_ids(stream)
    seen = stream.diagnostics
    ids = _id_rows(counts, t_last_us - t_first_us, buses)
    is_absolute = seen.times == "absolute"
    facts: Facts = {
        "path": str(path),
        "kind": stream.kind,
        "clock": CLOCK_TEXT[seen.clock],
        "n_frames": seen.n_frames,
        "t_first_us": t_first_us,
        "t_last_us": t_last_us,
        "t_first_unix_us": t_first_us if is_absolute else None,
        "buses": _bus_rows(ids, t_last_us - t_first_us, n_fd),
        "diagnostic_messages": _diagnostics(partial(stream_frames, path), counts, buses),
        "sessions": [],
        "damaged": [str(damage) for damage in seen.damages],
        "diagnostics": list(seen.notes),
        "verdict": judge_foreign(seen).as_dict(),
    }
    if with_ids:
        facts["ids"] = ids
    if not as_json:
        when = f"{time_text(t_first_us)} UTC" if is_absolute else "no wall clock"
        duration = duration_text(t_last_us - t_first_us)
        click.echo(
            f"{path}: {stream.kind}, {when}, {duration}, {count_text(seen.n_frames, 'frame')}"
        )
        for note in seen.notes:
            click.echo(f"  {note}")
        _print_session(facts)
        _print_diagnostics(facts["diagnostic_messages"])
        for damage in facts["damaged"][:20]:
            click.echo(f"  {damage}")
        click.echo(f"  {facts['verdict']['text']}")
    return facts


def _report(
    log: Log, with_ids: bool, with_meta: bool, buses: tuple[int, ...], as_json: bool
) -> Facts:
    """Return the facts of one log as JSON types; print them unless `as_json`."""
    from stagelog.cli._logs import session_facts, session_line
    from stagelog.timeline import SOURCE_TEXT, find_boots

    sessions = []
    for boot in find_boots(log.sessions):
        for session in boot.sessions:
            facts = session_facts(session, boot.timeline)
            source = boot.timeline.source if boot.timeline else None
            facts["clock"] = SOURCE_TEXT.get(source, "not known: times are since power-on")
            duration_us = session.t_last_us - session.t_first_us
            counts, n_fd, _, _ = _count_ids(session.iter_frames())
            ids = _id_rows(counts, duration_us, buses)
            facts["buses"] = _bus_rows(ids, duration_us, n_fd)
            facts["counts"] = _bus_counts(session)
            facts["diagnostic_messages"] = _diagnostics(session.iter_frames, counts, buses)
            if with_ids:
                facts["ids"] = ids
            if with_meta:
                facts["records"] = _records(session, boot.timeline)
            if not as_json:
                click.echo(session_line(session, boot.timeline))
                _print_session(facts)
                _print_diagnostics(facts["diagnostic_messages"])
            sessions.append(facts)
    return {
        "path": str(log.path),
        "kind": log.kind,
        "n_erased_blocks": log.n_erased,
        "sessions": sessions,
        "damaged": [str(bad) for bad in log.damaged],
        "diagnostics": [str(note) for note in log.diagnostics],
    }


def _print_head(log: Log) -> None:
    text = f"{log.path}: {log.kind}"
    if log.extent is not None:
        n_places = log.extent["data_end"] - log.extent["data_first"]
        text += f", ring of {count_text(n_places, 'block')} ({size_text(n_places * 4096)})"
    n_sessions = len(log.sessions)
    text += f", {count_text(n_sessions, 'session')}"
    if log.n_erased:
        text += f", {count_text(log.n_erased, 'erased block')}"
    if log.damaged:
        text += f", {count_text(len(log.damaged), 'damaged place')}"
    click.echo(text)
    for note in log.diagnostics[:20]:
        click.echo(f"  {note}")


def _print_session(facts: Facts) -> None:
    if "firmware" in facts:
        click.echo(
            f"  firmware {facts['firmware']}, settings {facts.get('settings_sha256_head', '?')}"
        )
    click.echo(f"  wall clock {facts['clock']}")
    for bus in facts["buses"]:
        click.echo(
            f"  bus {bus['bus']}: {count_text(bus['n_frames'], 'frame')}, "
            f"{bus['rate_Hz']:,.1f} Hz, "
            f"{count_text(bus['n_ids'], 'identifier')}"
            + (f", {count_text(bus['n_fd'], 'frame')} of CAN FD" if bus["n_fd"] else "")
            + (f"; {bus['protocol']}" if bus["protocol"] else "")
        )
    for counts in facts.get("counts", ()):
        click.echo(f"  bus {counts['bus']}: {counts_text(counts)}")
    if facts.get("ids"):
        print_table(
            [
                (f"  {row['bus']}", row["can_id"], row["n_frames"], f"{row['rate_Hz']:.1f}")
                for row in facts["ids"]
            ],
            ("  bus", "id", "frames", "Hz"),
        )
    for row in facts.get("records", ()):
        values = ", ".join(f"{key} {value}" for key, value in row["values"].items())
        when = row["t_unix"] or f"{row['t_us'] / 1e6:.3f} s"
        click.echo(f"  {when}  bus {row['bus']}  {row['name']} {row['arg']}: {values}")


def _count_ids(tables: Iterable[FrameTable]) -> tuple[Counts, Counter[int], int, int]:
    """Return (counts, frames of CAN FD by bus, first t_us, last t_us) of frame tables."""
    import numpy as np

    from stagelog.model import EXT, FD

    counts: Counts = {}
    n_fd: Counter[int] = Counter()
    times: list[int] = []
    for frames in tables:
        if not len(frames):
            continue
        times += [int(frames["t_us"].min()), int(frames["t_us"].max())]
        n_fd.update(frames["bus"][frames["flags"] & FD > 0].tolist())
        kind = frames["bus"].astype(np.int64) << 1 | (frames["flags"] & EXT > 0)
        keys = kind << 31 | frames["can_id"]
        for key, n in zip(*(a.tolist() for a in np.unique(keys, return_counts=True)), strict=True):
            row = (key >> 32, key >> 31 & 1, key & 0x1FFFFFFF)
            counts[row] = counts.get(row, 0) + n
    return counts, n_fd, min(times, default=0), max(times, default=0)


def _id_rows(counts: Counts, duration_us: int, buses: tuple[int, ...]) -> list[Facts]:
    """Return the identifiers by bus and number, with their mean rate; of all buses, or of some."""
    duration_s = max(1e-6, duration_us / 1e6)
    return [
        {
            "bus": bus,
            "can_id": f"{can_id:08X}" if is_ext else f"{can_id:03X}",
            "n_frames": n,
            "rate_Hz": round(n / duration_s, 3),
        }
        for (bus, is_ext, can_id), n in sorted(counts.items())
        if not buses or bus in buses
    ]


def _bus_rows(ids: list[Facts], duration_us: int, n_fd: Counter[int]) -> list[Facts]:
    """Return the buses that have frames, by their identifiers; `n_fd` by bus."""
    from stagelog.decode.protocol import protocol_of

    duration_s = max(1e-6, duration_us / 1e6)
    rows = []
    for bus in sorted({row["bus"] for row in ids}):
        own = [row for row in ids if row["bus"] == bus]
        n = sum(row["n_frames"] for row in own)
        long = [int(row["can_id"], 16) for row in own if len(row["can_id"]) == 8]
        found = protocol_of(long) if long else None
        facts = {"bus": bus, "n_frames": n, "n_fd": n_fd[bus], "rate_Hz": round(n / duration_s, 3)}
        rows.append(facts | {"n_ids": len(own), "protocol": str(found) if found else None})
    return rows


def _bus_counts(session: Session) -> list[Facts]:
    """Return the last that each bus's receiver recorded of what it counts by kind."""
    from slog.layout import HEALTH_BUS, META_HEALTH
    from slog.messages import BUS_COUNTERS

    found: dict[int, Facts] = {}
    for meta in session.decoded_meta(META_HEALTH):
        if meta.arg >= HEALTH_BUS and meta.arg - HEALTH_BUS < len(BUS_COUNTERS):
            row = found.setdefault(meta.bus, dict.fromkeys([row[0] for row in BUS_COUNTERS], 0))
            row[BUS_COUNTERS[meta.arg - HEALTH_BUS][0]] = meta.values["value"]
    return [{"bus": bus, **row} for bus, row in sorted(found.items())]


def _records(session: Session, timeline: Timeline | None) -> list[Facts]:
    """Return the meta records of a session."""
    from stagelog.cli._common import clock_text

    return [
        {
            "t_us": meta.t_us,
            "t_unix": clock_text(timeline.to_unix_us(meta.t_us)) if timeline else None,
            "bus": meta.bus,
            "name": meta.name,
            "arg": meta.arg,
            "values": {
                key: value.hex() if isinstance(value, bytes) else value
                for key, value in meta.values.items()
            },
        }
        for meta in session.decoded_meta()
    ]
