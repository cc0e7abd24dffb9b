"""The command behind tools/campaign: run one campaign, all of them, or one case again.

Prints one table; exit code 1 if anything was violated or a negative control was not caught.
"""

import sys
import time
from pathlib import Path

import click

from . import controls, cuts
from .results import Row, firmware_digest, format_table

SEED = 20261120


def _finish(rows, findings):
    click.echo(format_table(rows))
    for finding in findings:
        click.echo(f"violation: {finding}")
    bad = any(row.n_violations for row in rows)
    sys.exit(1 if bad else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Fault campaigns against the shipped firmware and host."""


@main.command("power-cut")
@click.option("--states", default=100_000, show_default=True, help="states to check")
@click.option("--seconds", type=float, help="stop after this time; --resume goes on")
@click.option("--seed", default=SEED, show_default=True)
@click.option(
    "--resume", type=click.Path(path_type=Path), help="keep the tally here and go on with it"
)
@click.option("--every", default=1, show_default=True, help="cut one write in so many")
@click.option("--case", help="reproduce one case: scenario:write:variant or nested:chain:life")
def power_cut(states, seconds, seed, resume, every, case):
    """Cut the power at and inside every write, in every way a card allows."""
    if case is not None:
        findings = cuts.reproduce(seed, case)
        click.echo("\n".join(map(str, findings)) or f"case {case} of seed {seed}: no violation")
        sys.exit(bool(findings))
    tally = cuts.open_tally(seed, resume)
    cuts.run(tally, states, seconds, resume, every)
    click.echo(
        f"firmware {firmware_digest()}, {tally.next_scenario} scenarios, {tally.next_chain} chains"
    )
    for finding in tally.findings:
        click.echo(
            f"reproduce: tools/campaign power-cut --seed {tally.seed} --case {finding.case}"
        )
    _finish(cuts.rows(tally), tally.findings)


@main.command("controls")
@click.option("--seed", default=1, show_default=True)
def run_controls(seed):
    """Break the logger on purpose; every break must be caught."""
    _finish(control_rows(seed), ())


def control_rows(seed):
    """Return a Row for each negative control; one that is not caught counts as a violation."""
    rows = []
    for name in controls.CONTROLS:
        start = time.monotonic()
        tally = controls.run_control(name, seed)
        caught = tally.findings[0] if tally.findings else None
        text = f"caught as {caught.invariant}: {caught.text}" if caught else "NOT CAUGHT"
        n_cases = sum(tally.states.values())
        seconds = time.monotonic() - start
        rows.append(Row(f"control: {name}", n_cases, 0 if caught else 1, text[:90], seed, seconds))
    return rows


if __name__ == "__main__":
    main()
