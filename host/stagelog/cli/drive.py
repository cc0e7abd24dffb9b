"""stagelog drive: let the virtual car drive a scenario and keep the frames it sends."""

from __future__ import annotations

import calendar
import datetime
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import json_option, print_json
from stagelog.cli._progress import share_bar
from stagelog.counts import count_text
from stagelog.errors import OutputError, UsageError

if TYPE_CHECKING:
    from stagelog.car.story import Scenario
    from stagelog.model import FrameTable
    from stagelog.rig.tape import Tape


@click.command()
@click.argument("scenario", required=False)
@click.option("--list", "as_list", is_flag=True, help="List the scenarios.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--duration", "duration_s", type=float, help="Seconds.  [default: the scenario's]")
@click.option(
    "--out",
    "-o",
    type=click.Path(readable=False),
    help="File to write: .tape (what a listener on the bus sees), .log (candump).",
)
@click.option(
    "--start",
    type=click.DateTime(),
    help="UTC of power-on, for times as candump writes them.  [default: 1970]",
)
@click.option("--bitrate", "bitrate_bps", type=int, default=500_000, show_default=True)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
def command(
    scenario: str | None,
    as_list: bool,
    seed: int,
    duration_s: float | None,
    out: str | None,
    start: datetime.datetime | None,
    bitrate_bps: int,
    force: bool,
    as_json: bool,
) -> None:
    """Drive SCENARIO with the virtual car onto a simulated bus, into a file."""
    from stagelog.car import drive, list_scenarios

    if as_list or not scenario:
        return _print_scenarios(list_scenarios(), as_json)
    if not out:
        raise UsageError("no file named for the frames", "give --out FILE.log or FILE.tape")
    if start and str(out).endswith(".tape"):
        raise UsageError("--start with a tape, whose times are since power-on", "leave it out")
    if os.path.exists(out) and not force:
        raise OutputError(f"{out} exists", "choose another name, or --force to replace it")
    from stagelog.rig.play import play_on_bus
    from stagelog.rig.tape import write_tape

    with share_bar("drive", "s of the drive") as show:
        shown = show and (lambda done_s, all_s: show(done_s / all_s, done_s))
        driven = drive(scenario, seed=seed, duration_s=duration_s, show=shown)
    tape, worst_us = play_on_bus(driven.frames, bitrate_bps, int(driven.frames["t_us"][0]))
    if str(out).endswith(".tape"):
        write_tape(out, tape)
    else:
        from stagelog.export import open_frame_sink

        with open_frame_sink(out, "candump", overwrite=force, from_epoch=False) as sink:
            frames = frames_of(tape)
            if start:
                frames["t_us"] += calendar.timegm(start.timetuple()) * 1_000_000
            sink.write(frames)
    facts = {
        "out": str(out),
        "scenario": scenario,
        "seed": seed,
        "n_frames": len(tape),
        "duration_s": round(float(tape["t_us"][-1]) / 1e6, 3),
        "largest_delay_us": worst_us,
        "events": [asdict(event) for event in driven.truth.events],
    }
    if as_json:
        return print_json("stagelog.drive/1", facts)
    click.echo(
        f"{count_text(len(tape), 'frame')} of {facts['duration_s']:.1f} s in {out}; "
        f"longest delay by the bus {worst_us:.0f} us; "
        f"{count_text(len(driven.truth.events), 'event')}"
    )
    return None


def frames_of(tape: Tape) -> FrameTable:
    """Return the frames of a tape as a frame table."""
    import numpy as np

    from stagelog.model import FRAME
    from stagelog.rig.tape import n_bytes_on

    sent = tape[tape["kind"] == 0]
    frames = np.zeros(len(sent), FRAME)
    for name in ("t_us", "can_id", "bus", "flags", "dlc", "data"):
        frames[name] = sent[name]
    frames["n_bytes"] = n_bytes_on(sent)
    return frames


def _print_scenarios(scenarios: list[Scenario], as_json: bool) -> None:
    if as_json:
        rows = [
            {"name": s.name, "summary": s.summary, "duration_s": s.duration_s} for s in scenarios
        ]
        return print_json("stagelog.scenarios/1", {"scenarios": rows})
    for s in scenarios:
        click.echo(f"{s.name:24} {s.summary}")
    return None
