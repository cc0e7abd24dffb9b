"""The command behind tools/campaign: run one campaign or all of them, or reproduce one case.

Each campaign has run, rows and, where its cases are numbered, reproduce. Prints one table; exit
code 1 if anything was violated or a negative control was not caught. The campaigns are in their
own modules.
"""

import sys
import time

import click

import areas
from campaigns.engine import case_commands, controls
from campaigns.engine.bus import campaign as bus_campaign
from campaigns.engine.card import campaign as cards
from campaigns.engine.card import nth_call as nth
from campaigns.engine.link import campaign as transfers
from campaigns.engine.mutation import campaign as mutants
from campaigns.engine.other_car import command as other_car
from campaigns.engine.other_tank import command as other_tank
from campaigns.engine.parsers import campaign as parser_campaign
from campaigns.engine.power_cut import cuts, updates
from campaigns.engine.results import Row, Tally, firmware_digest, format_table
from campaigns.engine.soak import heaps
from campaigns.engine.soak import marathon as soak
from stagelog.rig.runtimes import find_runtime

SEED = case_commands.SEED


def card(seed, long):
    """Cards that stall, reject, lie, rot, go away, wear out, fill up."""
    return cards.run(seed, 200 if long else 4)


def nth_call(seed, long):
    """Every call to card and settings memory fails once, and for good."""
    return nth.run(seed, 1 if long else 25)


def link(seed, long):
    """The cable, the logger's resets, the host killed."""
    tally = Tally(seed)
    transfers.run(tally, transfers.plan(case_commands.SIZES["link"][long]))
    return transfers.rows(tally), tally.findings


def bus(seed, long):
    """Every trouble the protocol of the bus knows."""
    tally = Tally(seed)
    bus_campaign.run(tally, case_commands.SIZES["bus"][long])
    return bus_campaign.rows(tally), tally.findings


def parsers(seed, long):
    """Bytes from outside into every reader."""
    tally = Tally(seed)
    parser_campaign.run(tally, case_commands.SIZES["parsers"][long])
    return parser_campaign.rows(tally), tally.findings


def marathon(seed, long):
    """A marathon stage in virtual time."""
    return soak.run(seed, 48 if long else 0.25)


def flash(seed, long):
    """Settings and firmware slots, on littlefs under MicroPython."""
    runtime = find_runtime("unix64")
    if runtime is None:
        return [_left_out("cut: settings, firmware slot", "no MicroPython", seed)], []
    return updates.run(seed, runtime)


def heap(seed, long):
    """Less and less heap under MicroPython."""
    runtime = find_runtime("unix64")
    if runtime is None:
        return [_left_out("heap too small", "no MicroPython: tools/runtimes unix64", seed)], []
    return heaps.run(seed, 60 if long else 10, runtime)


def broken_on_purpose(seed, long):
    """The negative controls."""
    rows = []
    for name in controls.CONTROLS:
        start = time.monotonic()
        tally = controls.run_control(name)
        caught = tally.findings[0] if tally.findings else None
        text = f"caught as {caught.invariant}: {caught.text}" if caught else "NOT CAUGHT"
        seconds = time.monotonic() - start
        n_cases = tally.states.total()
        rows.append(Row(f"control: {name}", n_cases, not caught, text[:80], tally.seed, seconds))
    return rows, []


def mutation(seed, long):
    """The product changed, one operator, number or statement at a time."""
    chosen = {area: mutants.sample(area, 400 if long else 2, seed) for area in mutants.AREAS}
    return mutants.rows(mutants.run(chosen, lambda line: None), seed), []


CAMPAIGNS = {
    "card": card,
    "nth-call": nth_call,
    "link": link,
    "bus": bus,
    "parsers": parsers,
    "soak": marathon,
    "flash": flash,
    "heap": heap,
    "controls": broken_on_purpose,
}


def _left_out(fault, reason, seed):
    return Row(fault, 0, 0, f"left out: {reason}", seed)


def _finish(rows, findings):
    click.echo(format_table(rows))
    for finding in findings:
        click.echo(f"violation: {finding}")
    sys.exit(1 if findings or any(row.n_violations for row in rows) else 0)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--all", "everything", is_flag=True, help="Run all campaigns, print one table.")
@click.option("--long", is_flag=True, help="The long form: hours.")
@click.option("--seed", default=SEED, show_default=True)
@click.pass_context
def main(context, everything, long, seed):
    """Fault campaigns against the shipped firmware and host."""
    if not everything:
        if context.invoked_subcommand is None:
            click.echo(context.get_help())
        return
    tally = Tally(seed)
    cuts.run(tally, case_commands.SIZES["power-cut"][long], every=1 if long else 9)
    rows, findings = cuts.rows(tally), tally.findings
    for run in (*CAMPAIGNS.values(), mutation):
        more_rows, more = run(seed, long)
        rows += more_rows
        findings += more
    _finish(rows, findings)


def _add(name, run):
    @main.command(name, help=run.__doc__)
    @click.option("--long", is_flag=True, help="The long form.")
    @click.option("--seed", default=SEED, show_default=True)
    def command(long, seed):
        _finish(*run(seed, long))


_OF_CASES = {command.name for command in case_commands.COMMANDS}
for _name, _run in CAMPAIGNS.items():
    if _name not in _OF_CASES:
        _add(_name, _run)


@main.command("power-cut")
@click.option("--every", default=1, show_default=True, help="Cut one write in so many.")
@case_commands.with_case_options("scenario:write:variant or nested:chain:life")
def power_cut(every, long, cases, case, seed, seconds, resume):
    """Cut the power at and inside every write, in every way a card allows."""
    if case is not None:
        findings = cuts.reproduce(seed, case)
        click.echo("\n".join(map(str, findings)) or f"case {case} of seed {seed}: no violation")
        sys.exit(bool(findings))
    tally = cuts.open_tally(seed, resume)
    n_states = case_commands.size_of("power-cut", long, cases)
    cuts.run(tally, n_states, seconds, resume, every)
    click.echo(
        f"firmware {firmware_digest()}, {tally.next_scenario} scenarios, {tally.next_chain} chains"
    )
    for finding in tally.findings:
        click.echo(
            f"reproduce: tools/campaign power-cut --seed {tally.seed} --case {finding.case}"
        )
    _finish(cuts.rows(tally), tally.findings)


@main.command("mutants")
@click.option("--area", "names", multiple=True, help="Only this area of hil_tests/areas.toml.")
@click.option("--sample", default=40, show_default=True, help="Changes of each area; 0: all.")
@click.option("--case", help="Judge one again: FILE:INDEX.")
@click.option("--seed", default=SEED, show_default=True)
def judge_mutants(names, sample, case, seed):
    """Change the product, one operator, number or statement at a time; the tests must notice."""
    if case is not None:
        chosen = {areas.area_of(case.rpartition(":")[0]).name: [mutants.find(case)]}
    else:
        chosen = {a: mutants.sample(a, sample or None, seed) for a in names or mutants.AREAS}
    outcomes = mutants.run(chosen, click.echo)
    click.echo(mutants.table(outcomes))
    for outcome in outcomes:
        for test in outcome.unchanged:
            click.echo(f"{outcome.area}: left out, it fails without any change: {test}")
    known = mutants.listed()
    sys.exit(any(outcome.open(known) for outcome in outcomes))


for _command in (*case_commands.COMMANDS, *other_car.COMMANDS, *other_tank.COMMANDS):
    main.add_command(_command)


if __name__ == "__main__":
    main()
