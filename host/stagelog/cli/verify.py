"""stagelog verify: account for every frame of a log."""

import click

from stagelog.cli._common import json_option, print_json

_MOST_LINES = 50


@click.command()
@click.argument("log", type=click.Path())
@click.option("--all", "show_all", is_flag=True, help="Show every gap, not the first 50.")
@json_option
def command(log, show_all, as_json):
    """Account for every frame of LOG; exit 1 if any is missing.

    LOG is a session file, a card, its image, or a folder of the archive, whose files are compared
    with the SHA-256 in its manifest too. seen = stored + dropped exactly + lost at least.
    """
    from stagelog.cli._logs import find_logs

    reports = [_verify(path, entry, show_all, as_json) for path, entry in find_logs(log)]
    good = all(report["complete"] for report in reports)
    if as_json:
        print_json("stagelog.verify/1", {"complete": good, "logs": reports})
    elif len(reports) > 1:
        n_bad = sum(not report["complete"] for report in reports)
        click.echo(f"{len(reports)} logs: " + (f"{n_bad} INCOMPLETE" if n_bad else "all complete"))
    raise SystemExit(0 if good else 1)


def _verify(path, entry, show_all, as_json):
    from stagelog.archive import check_sha256
    from stagelog.blocks import read_log
    from stagelog.ledger import account
    from stagelog.timeline import find_boots

    problems = [f"{path}: {what}" for _, what in check_sha256([entry] if entry else [])]
    if entry and not path.is_file():
        _tell(as_json, problems)
        return _report(path, [], [], problems)
    log = read_log(path)
    if not log.sessions:
        problems.append(f"{path}: the card holds no session that was not released")
    ledgers = []
    for boot in find_boots(log.sessions):
        for session in boot.sessions:
            ledger = account(session, log.damaged)
            ledgers.append(ledger)
            if not as_json:
                _print(session, ledger, boot.timeline, show_all)
    damaged = [f"damaged: {bad}" for bad in log.damaged]
    _tell(as_json, problems + damaged[: None if show_all else _MOST_LINES])
    return _report(path, ledgers, log.damaged, problems)


def _report(path, ledgers, damaged, problems):
    return {
        "path": str(path),
        "complete": not problems and all(ledger.complete for ledger in ledgers),
        "problems": problems,
        "sessions": [ledger.as_dict() for ledger in ledgers],
        "damaged": [str(bad) for bad in damaged],
    }


def _tell(as_json, lines):
    for line in () if as_json else lines:
        click.echo(line)


def _print(session, ledger, timeline, show_all):
    from stagelog.cli._logs import session_line
    from stagelog.ledger import describe

    click.echo(session_line(session, timeline))
    for bus in ledger.buses:
        if not bus.n_seen and bus.bus:
            continue
        text = f"  bus {bus.bus}: {bus.n_seen:,} seen = {bus.n_stored:,} stored"
        text += f" + {bus.n_dropped:,} dropped + {bus.n_at_least:,} or more lost in hardware"
        if not bus.n_at_least:
            text = text.replace("0 or more lost", "0 lost")
        click.echo(f"{text}; {bus.n_held:,} held, {bus.n_missing:,} missing")
    lines = [*ledger.breaks, *(describe(gap, timeline) for gap in ledger.gaps)]
    shown = lines if show_all else lines[:_MOST_LINES]
    for line in shown:
        click.echo(f"  {line}")
    if len(lines) > len(shown):
        click.echo(f"  and {len(lines) - len(shown):,} more (--all)")
    click.echo(f"  {_verdict(ledger)}")


def _verdict(ledger):
    from stagelog.ledger import POWER_CUT

    if ledger.complete:
        return "COMPLETE: every frame that was seen is here"
    n_lost = sum(bus.n_missing + bus.n_dropped + bus.n_at_least for bus in ledger.buses)
    counted = all(gap.exact for gap in ledger.gaps if gap.cause != POWER_CUT)
    more = "" if counted else " or more"
    if not ledger.closes:
        return f"INCOMPLETE: {len(ledger.breaks)} blocks contradict their counters"
    return f"INCOMPLETE: {n_lost:,}{more} frames are not here"
