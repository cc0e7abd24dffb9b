"""stagelog verify: account for every frame of a log."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from stagelog.cli._common import Facts, json_option, print_json
from stagelog.counts import count_text

if TYPE_CHECKING:
    from stagelog.accounts import Account, LogAccount

_MOST_LINES = 50


@click.command()
@click.argument("log", type=click.Path(readable=False))
@click.option("--all", "show_all", is_flag=True, help="Show every gap, not the first 50.")
@json_option
def command(log: str, show_all: bool, as_json: bool) -> None:
    """Account for every frame of LOG; exit 1 if any is missing or may be, or if the logger's radio
    was on while it recorded.

    LOG is a session file, a card, its image, or a folder of the archive, whose files are compared
    with the SHA-256 and the signatures in its manifest. seen = stored + dropped exactly +
    lost at least. COMPLETE needs a witness of the end: the record of a stop, the manifest, or the
    card. Of a log of another recorder (candump, BLF, ...) it says what can be known: damage, and
    no more.
    """
    from stagelog.accounts import judge_logs
    from stagelog.cli._logs import find_logs
    from stagelog.importers import sniff
    from stagelog.verdict import worst

    path = Path(log)
    if path.is_file() and sniff(path) != "slog":
        _foreign(path, show_all, as_json)
    judged = judge_logs(find_logs(log))
    verdict = worst(one.verdict for one in judged)
    if as_json:
        facts = {"complete": verdict.complete, "verdict": verdict.as_dict()}
        print_json("stagelog.verify/1", {**facts, "logs": [_report(one) for one in judged]})
    else:
        for one in judged:
            if len(judged) > 1:
                click.echo(f"{one.path}:")
            _print(one, show_all)
        _print_signatures(judged)
        if len(judged) > 1:
            n_bad = sum(one.verdict.exit_code for one in judged)
            what = f"{n_bad} NOT COMPLETE" if n_bad else "all complete, as far as can be known"
            click.echo(f"{count_text(len(judged), 'log')}: {what}")
    was_on = any(
        each.ledger.radio is not None and each.ledger.radio.active
        for one in judged
        for each in one.accounts
    )
    raise SystemExit(max(verdict.exit_code, int(was_on)))


def _foreign(path: Path, show_all: bool, as_json: bool) -> NoReturn:
    """Print what can be known of a log of another recorder."""
    from stagelog.importers import stream_frames
    from stagelog.verdict import judge_foreign

    stream = stream_frames(path)
    n_frames = sum(len(frames) for frames in stream)
    verdict, damaged = judge_foreign(stream.diagnostics), stream.diagnostics.damages
    if as_json:
        facts = {"complete": verdict.complete, "verdict": verdict.as_dict()}
        row: Facts = {"path": str(path), **facts, "problems": [], "copies": [], "sessions": []}
        row["signature"] = None
        row["damaged"] = [str(damage) for damage in damaged]
        print_json("stagelog.verify/1", {**facts, "logs": [row]})
    else:
        click.echo(f"{path}: {stream.kind}, {count_text(n_frames, 'frame')}")
        for damage in damaged if show_all else damaged[:_MOST_LINES]:
            click.echo(f"  {damage}")
        click.echo(verdict.text)
    raise SystemExit(verdict.exit_code)


def _report(judged: LogAccount) -> Facts:
    return {
        "path": str(judged.path),
        "complete": judged.verdict.complete,
        "verdict": judged.verdict.as_dict(),
        "problems": [problem.text for problem in judged.problems],
        "copies": [copy.text for copy in judged.copies],
        "signature": judged.signature and asdict(judged.signature),
        "sessions": [
            {
                **each.ledger.as_dict(),
                "complete": each.verdict.complete,
                "verdict": each.verdict.as_dict(),
            }
            for each in judged.accounts
        ],
        "damaged": [str(bad) for bad in judged.damaged],
    }


def _print(judged: LogAccount, show_all: bool) -> None:
    for each in judged.accounts:
        _print_session(each, show_all)
    damaged = [f"damaged: {bad}" for bad in judged.damaged]
    for line in damaged if show_all else damaged[:_MOST_LINES]:
        click.echo(line)
    for verdict in (*judged.problems, *judged.copies):
        click.echo(verdict.text)


def _print_signatures(judged: list[LogAccount]) -> None:
    """Print how many of the archive's files are signed, by whom, and how many are not."""
    counts = Counter(one.signature.text for one in judged if one.signature is not None)
    for text, n in sorted(counts.items()):
        click.echo(f"{n} of {count_text(counts.total(), 'file')} of the archive: {text}")


def _print_session(account: Account, show_all: bool) -> None:
    from stagelog.cli._logs import session_line
    from stagelog.ledger import describe

    ledger, timeline = account.ledger, account.timeline
    click.echo(session_line(account.session, timeline))
    for bus in ledger.buses:
        if not bus.n_seen and bus.bus:
            continue
        text = f"  bus {bus.bus}: {bus.n_seen:,} seen = {bus.n_stored:,} stored"
        text += f" + {bus.n_dropped:,} dropped + {bus.n_at_least:,} or more lost in hardware"
        if not bus.n_at_least:
            text = text.replace("0 or more lost", "0 lost")
        click.echo(f"{text}; {bus.n_held:,} held, {bus.n_missing:,} missing")
    if ledger.radio is not None:
        click.echo(f"  {ledger.radio.text}")
    lines = [*ledger.breaks, *(describe(gap, timeline) for gap in ledger.gaps)]
    shown = lines if show_all else lines[:_MOST_LINES]
    for line in shown:
        click.echo(f"  {line}")
    if len(lines) > len(shown):
        click.echo(f"  and {len(lines) - len(shown):,} more (--all)")
    click.echo(f"  {account.verdict.text}")
