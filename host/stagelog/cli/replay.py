"""stagelog replay: a log onto a bus, at its own pace, with a verdict on its timing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from stagelog.cli._common import Facts, json_option, print_json
from stagelog.counts import count_text
from stagelog.errors import UsageError

if TYPE_CHECKING:
    from stagelog.importers.diagnostics import Diagnostics
    from stagelog.replay import Report, Schedule


@click.command()
@click.argument("log", type=click.Path(readable=False))
@click.option(
    "--bus",
    "targets",
    multiple=True,
    metavar="[BUS=]INTERFACE:CHANNEL",
    help="Target: any bus of python-can. With BUS= for that bus of the log; may be repeated.",
)
@click.option(
    "--closed-loop",
    is_flag=True,
    help="Replay onto the simulated bus, log again and compare, in virtual time.",
)
@click.option("--speed", type=float, default=1.0, show_default=True, help="2 is twice as fast.")
@click.option("--from", "start_s", type=float, metavar="S", help="Start S seconds into the log.")
@click.option("--to", "stop_s", type=float, metavar="S", help="Stop S seconds into the log.")
@click.option("--id", "ids", multiple=True, metavar="HEX[-HEX]", help="Only these identifiers.")
@click.option("--only-bus", "buses", type=int, multiple=True, help="Only this bus of the log.")
@click.option("--max-gap", "max_gap_s", type=float, metavar="S", help="Shorten longer pauses.")
@click.option("--loop", "n_loops", type=int, default=1, help="Play N times; 0 until Ctrl-C.")
@click.option(
    "--bitrate", "bitrate_bps", type=int, help="Of the bus.  [closed loop: 500000, else as it is]"
)
@click.option("--data-bitrate", "data_bps", type=int, help="Of the payload of CAN FD frames.")
@click.option(
    "--bound-us",
    type=float,
    default=1000.0,
    show_default=True,
    help="A frame later than this makes the verdict bad.",
)
@click.option("--no-real-time", is_flag=True, help="Do not ask for real-time priority.")
@json_option
def command(
    log: str,
    targets: tuple[str, ...],
    closed_loop: bool,
    speed: float,
    start_s: float | None,
    stop_s: float | None,
    ids: tuple[str, ...],
    buses: tuple[int, ...],
    max_gap_s: float | None,
    n_loops: int,
    bitrate_bps: int | None,
    data_bps: int | None,
    bound_us: float,
    no_real_time: bool,
    as_json: bool,
) -> None:
    """Play LOG onto a bus; exit 1 if a frame was not sent or was later than the bound.

    LOG is any log that stagelog reads. No frame is sent before it is due. A log with CAN FD asks
    the adapter for CAN FD.
    """
    from stagelog.cli._logs import check_buses, judge_stream, one_log
    from stagelog.importers import stream_frames
    from stagelog.importers.stream import collect
    from stagelog.model import FD
    from stagelog.replay import make_schedule

    if closed_loop == bool(targets):
        raise UsageError("one target is needed", "give --bus, or --closed-loop")
    if closed_loop and n_loops != 1:
        raise UsageError("--closed-loop with --loop", "leave one out")
    if closed_loop and data_bps:
        raise UsageError("--closed-loop with --data-bitrate", "its bus is classic CAN")
    stream = stream_frames(one_log(log))
    loaded = collect(stream)
    check_buses(log, buses, [loaded.frames])
    schedule = make_schedule(
        loaded.frames,
        speed=speed,
        start_s=start_s,
        stop_s=stop_s,
        ids=ids,
        buses=buses,
        max_gap_s=max_gap_s,
        n_loops=n_loops,
    )
    verdict, _ = judge_stream(stream)
    if verdict.exit_code:
        click.echo(verdict.text, err=True)
    notes = _notes(loaded.diagnostics, schedule)
    if closed_loop:
        facts, lines, good = _loop(schedule, bitrate_bps)
    else:
        rates = {"bitrate": bitrate_bps, "data_bitrate": data_bps}
        options: dict[str, Any] = {name: value for name, value in rates.items() if value}
        if (schedule.frames["flags"] & FD).any():
            options["fd"] = True
        real_time = not no_real_time
        facts, lines, good = _play(schedule, targets, loaded.ifaces, options, bound_us, real_time)
    if as_json:
        print_json("stagelog.replay/1", {"log": str(log), "notes": notes, **facts})
    else:
        for line in [*notes, *lines]:
            click.echo(line)
    if facts["replay"]["interrupted"] and facts["replay"]["n_due"] is not None:
        raise SystemExit(130)
    raise SystemExit(0 if good else 1)


def _notes(diagnostics: Diagnostics, schedule: Schedule) -> list[str]:
    from stagelog.verdict import damages_text

    notes = []
    if schedule.n_errors:
        notes.append(f"{schedule.n_errors:,} error frames of the log are not played")
    if diagnostics.damages:
        notes.append(damages_text(len(diagnostics.damages)))
    return notes


Outcome = tuple["Facts", list[str], bool]  # JSON types, lines for people, whether it is good


def _play(
    schedule: Schedule,
    targets: tuple[str, ...],
    ifaces: Sequence[str],
    options: dict[str, Any],
    bound_us: float,
    real_time: bool,
) -> Outcome:
    import numpy as np

    from stagelog.replay import N_THREADS, keep_time, open_buses, play

    numbers = np.unique(schedule.frames["bus"]).tolist()
    with (
        open_buses(targets, numbers, ifaces, **options) as buses,
        keep_time(schedule, real_time) as how,
    ):
        report = play(
            schedule,
            buses.build,
            buses.send,
            bound_us=bound_us,
            refusals=buses.refusals,
            n_threads=N_THREADS,
        )
    facts = {"buses": buses.names, "priority": how, "replay": report.as_dict()}
    place = f"to {', '.join(buses.names)}, {how}"
    return facts, _report_lines(report, place), report.good


def _loop(schedule: Schedule, bitrate_bps: int | None) -> Outcome:
    from stagelog.rig.closed_loop import closed_loop
    from stagelog.rig.play import BITRATE_BPS

    report, found = closed_loop(schedule, bitrate_bps or BITRATE_BPS)
    facts = {"replay": report.as_dict(), "comparison": found.as_dict()}
    missing = f"{found.n_missing:,} missing, {found.n_extra:,} extra"
    differences = f"{missing}, {found.n_moved:,} in another order"
    sent = count_text(found.n_sent, "frame")
    closes = "closes" if found.ledger_closes else "does NOT close"
    waits = f"p99 {found.bus_p99_us:,.0f} us, worst {found.bus_worst_us:,.0f} us"
    lines = [
        f"sent    {sent} in {report.duration_s:.1f} s of virtual time",
        f"logged  {count_text(found.n_logged, 'frame')}: {differences}",
        f"ledger  of the logger {closes}",
        f"timing  delays of the bus {waits}; stamps off by {found.logger_worst_us:,.0f} us",
        "SAME: every frame came back" if found.same else "NOT THE SAME",
    ]
    return facts, lines, found.same


def _report_lines(report: Report, place: str) -> list[str]:
    sent = count_text(report.n_sent, "frame")
    if report.n_due is not None:
        sent = f"{report.n_sent:,} of {count_text(report.n_due, 'frame')}"
    late = (
        f"p50 {report.p50_us:.1f} us, p99 {report.p99_us:.1f} us, worst {report.worst_us:,.1f} us"
    )
    early = f"earliest {report.early_us:.1f} us too early" if report.early_us else "none early"
    reason = f" ({report.error})" if report.error else ""
    bound = f"{report.n_late:,} later than {report.bound_us:,.0f} us"
    lines = [
        f"{sent} in {report.duration_s:.1f} s {place}",
        f"late by {late}; {early}",
        f"{bound}, {report.n_not_sent:,} not sent{reason}",
    ]
    if report.interrupted:
        lines.append("interrupted")
    return lines
