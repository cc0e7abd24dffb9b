"""stagelog info: what a log holds."""

import click

from stagelog.cli._common import json_option, print_json, print_table, size_text


@click.command()
@click.argument("log", type=click.Path())
@click.option("--ids", "with_ids", is_flag=True, help="List the identifiers with their rates.")
@click.option("--events", "with_meta", is_flag=True, help="List the logger's own records.")
@json_option
def command(log, with_ids, with_meta, as_json):
    """Show what LOG holds: a session file, a card, its image, or a folder of the archive."""
    from stagelog.blocks import read_log
    from stagelog.cli._logs import find_logs

    reports = []
    for path, _ in find_logs(log):
        found = read_log(path)
        if not as_json:
            _print_head(found)
        reports.append(_report(found, with_ids, with_meta, as_json))
    if as_json:
        print_json("stagelog.info/1", {"logs": reports})


def _report(log, with_ids, with_meta, as_json):
    """Return the facts of one log as JSON types; print them unless `as_json`."""
    from stagelog.cli._logs import session_facts, session_line
    from stagelog.timeline import find_boots

    sessions = []
    for boot in find_boots(log.sessions):
        for session in boot.sessions:
            facts = session_facts(session, boot.timeline)
            facts["buses"] = _buses(session)
            if with_ids:
                facts["ids"] = _ids(session)
            if with_meta:
                facts["records"] = _records(session, boot.timeline)
            if not as_json:
                click.echo(session_line(session, boot.timeline))
                _print_session(facts)
            sessions.append(facts)
    return {
        "path": str(log.path),
        "kind": log.kind,
        "n_erased_blocks": log.n_erased,
        "sessions": sessions,
        "damaged": [str(bad) for bad in log.damaged],
        "diagnostics": [str(note) for note in log.diagnostics],
    }


def _print_head(log):
    text = f"{log.path}: {log.kind}"
    if log.extent is not None:
        n_places = log.extent["data_end"] - log.extent["data_first"]
        text += f", ring of {n_places:,} blocks ({size_text(n_places * 4096)})"
    n_sessions = len(log.sessions)
    text += f", {n_sessions} session{'s' * (n_sessions != 1)}"
    if log.n_erased:
        text += f", {log.n_erased:,} erased blocks"
    if log.damaged:
        text += f", {len(log.damaged):,} damaged places"
    click.echo(text)
    for note in log.diagnostics[:20]:
        click.echo(f"  {note}")


def _print_session(facts):
    click.echo(
        f"  firmware {facts.get('firmware', '?')}, "
        f"settings {facts.get('settings_sha256_head', '?')}"
    )
    for bus in facts["buses"]:
        click.echo(
            f"  bus {bus['bus']}: {bus['n_frames']:,} frames, {bus['rate_Hz']:,.1f} Hz, "
            f"{bus['n_ids']} identifiers"
        )
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


def _buses(session):
    duration_s = max(1e-6, (session.t_last_us - session.t_first_us) / 1e6)
    ids = _ids(session)
    rows = []
    for bus, n in enumerate(session.scan.n_frames.sum(0).tolist()):
        if n:
            n_ids = sum(row["bus"] == bus for row in ids)
            rate_Hz = round(n / duration_s, 3)
            rows.append({"bus": bus, "n_frames": n, "rate_Hz": rate_Hz, "n_ids": n_ids})
    return rows


def _ids(session):
    """Return the identifiers of a session, by bus and id, with number and mean rate."""
    import numpy as np

    from stagelog.model import EXT

    counts = {}
    for frames in session.iter_frames():
        kind = frames["bus"].astype(np.int64) << 1 | (frames["flags"] & EXT > 0)
        keys = kind << 31 | frames["can_id"]
        for key, n in zip(*(a.tolist() for a in np.unique(keys, return_counts=True)), strict=True):
            counts[key] = counts.get(key, 0) + n
    duration_s = max(1e-6, (session.t_last_us - session.t_first_us) / 1e6)
    return [
        {
            "bus": key >> 32,
            "can_id": f"{key & 0x1FFFFFFF:08X}" if key >> 31 & 1 else f"{key & 0x7FF:03X}",
            "n_frames": n,
            "rate_Hz": round(n / duration_s, 3),
        }
        for key, n in sorted(counts.items())
    ]


def _records(session, timeline):
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
