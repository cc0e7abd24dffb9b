"""stagelog status: is it recording, what was lost, what is wrong."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from stagelog.cli._common import (
    Facts,
    counts_text,
    duration_text,
    json_option,
    print_json,
    size_text,
)
from stagelog.cli.loggers import describe_hello
from stagelog.counts import count_text

if TYPE_CHECKING:
    from stagelog.replies import Status


MEASURE_S = 3.0


@click.command()
@click.argument("port", required=False)
@click.option("--rate", "with_rate", is_flag=True, help="Measure the bit rate on each bus's wire.")
@json_option
def command(port: str | None, with_rate: bool, as_json: bool) -> None:
    """Show the state and the health of the logger on PORT; exit 1 if it does not record without
    fault. --rate listens to the wires, for 3 s at most, and changes nothing; boards with a
    controller cannot.
    """
    from slog.faults import TEXT
    from slog.messages import CONFIG_FIRMWARE, CONFIG_UPDATE, STATE_RECORDING
    from slog.package import REASON_TEXT, load_update
    from stagelog.ports import open_link

    link = open_link(port)
    try:
        hello = link.hello()
        asked = time.time()
        status = link.status()
        sessions = link.list_sessions()
        wait_s = MEASURE_S if with_rate else 0
        counts = [link.bus_counts(bus, wait_s) for bus in range(status.n_buses)]
        program = link.get_config(CONFIG_FIRMWARE)
        kept = link.get_config(CONFIG_UPDATE)
    finally:
        link.close()
    facts = {
        "port": link.name,
        **describe_hello(replace(hello, state=status.state)),
        "fault": TEXT.get(status.fault, "unknown"),
    }
    facts.update(
        {key: value for key, value in asdict(status).items() if key not in ("state", "fault")}
    )
    facts["firmware_sha256"] = program.hex()
    update = load_update(kept)
    facts["package"] = {"number": update["number"], "reason": None}
    if update["seen"]:
        facts["package"]["reason"] = REASON_TEXT.get(update["reason"], "unknown")
    facts["fault_code"] = status.fault
    facts["sessions"] = [
        {
            "boot": s.boot,
            "nonce": s.nonce,
            "n_blocks": s.n_blocks,
            "running": bool(s.running),
        }
        for s in sessions
    ]
    facts["counts"] = [asdict(found) for found in counts if found is not None]
    facts["t_unix_us"] = int(asked * 1e6)
    healthy = status.state == STATE_RECORDING and not status.fault
    if as_json:
        print_json("stagelog.status/1", facts)
    else:
        _print(facts, status, with_rate)
    raise SystemExit(0 if healthy else 1)


def _print(facts: Facts, status: Status, with_rate: bool) -> None:
    from slog.layout import BLOCK_BYTES

    verdict = facts["state"].upper()
    if status.fault:
        verdict += f": {facts['fault']}"
    click.echo(f"{facts['port']}  car {facts['car'] or '-'}  {verdict}")
    click.echo(
        f"  boot {facts['boot']}, on for {duration_text(status.t_us)}, "
        f"firmware {facts['firmware']} ({facts['firmware_sha256'][:16] or 'SHA-256 not known'}), "
        f"{facts['board']}"
    )
    if facts["package"]["reason"]:
        click.echo(f"  package on the card: {facts['package']['reason']}")
    for number, bus in enumerate(status.buses):
        click.echo(
            f"  bus {number}: {BUS_TEXT.get(bus.state, '?')}, "
            f"{count_text(bus.stored, 'frame')} stored, {bus.dropped:,} dropped, "
            f"{bus.at_least:,} or more lost in hardware, "
            f"{count_text(bus.doubts, 'doubtful answer')} of the controller"
        )
        for counts in facts["counts"]:
            if counts["bus"] == number:
                click.echo(f"    {counts_text(counts)}")
                if with_rate:
                    click.echo(f"    {_rate_text(counts['rate_bps'])}")
        if with_rate and not any(counts["bus"] == number for counts in facts["counts"]):
            click.echo("    the controller of this board cannot measure the bit rate")
    used = sum(s["n_blocks"] for s in facts["sessions"]) * BLOCK_BYTES
    free = status.blocks_free * BLOCK_BYTES
    click.echo(
        f"  card: {count_text(len(facts['sessions']), 'session')}, "
        f"{size_text(used)}, {size_text(free)} free; "
        f"longest write {status.write_worst_ms} ms, {count_text(status.write_errors, 'error')}, "
        f"{status.write_retries} retried, {count_text(status.slots_skipped, 'place')} skipped"
    )
    click.echo(
        f"  memory: at most {status.ring_worst} of "
        f"{count_text(status.ring_blocks, 'block')} waited; "
        f"first frame stored {status.boot_to_frame_ms} ms after power-on"
    )


def _rate_text(rate_bps: int) -> str:
    if rate_bps:
        return f"the wire has {rate_bps:,} bit/s"
    return "no bit rate on the wire: no traffic, or none that is known"


BUS_TEXT = {
    0: "stopped",
    1: "alive",
    2: "error warning",
    3: "error passive",
    4: "bus off",
    5: "SILENT",
}
