"""The command behind tools/campaign: one command for each row of `campaigns.CAMPAIGNS`, with the
same options, and the judges of changes, flights and fuel.

Prints one table; exit code 1 if anything was violated or a negative control was not caught.
"""

import sys
import time
from pathlib import Path

import click

import areas
from campaigns.engine.campaigns import CAMPAIGNS
from campaigns.engine.mutation import campaign as mutants
from campaigns.engine.mutation import table
from campaigns.engine.other_car import command as other_car
from campaigns.engine.other_tank import command as other_tank
from campaigns.engine.results import Tally, format_table
from campaigns.engine.tally_file import firmware_digest

SEED = 20261120
_SAVE_EVERY_s = 30
_PATH = click.Path(path_type=Path)


def _finish(rows):
    sys.exit(any(row.n_violations for row in rows))


def _print(name, tally, rows):
    """Print the table of a campaign, and how each violation is reproduced."""
    click.echo(f"firmware {firmware_digest()}")
    click.echo(format_table(rows))
    for finding in tally.findings:
        click.echo(f"violation: {finding}")
        again = f'tools/campaign {name} --seed {tally.seed} --case "{finding.case}"'
        click.echo(f"reproduce: {again}")


class _Keeper:
    """Saves a tally now and then, where it is to be kept."""

    def __init__(self, campaign, tally, path):
        self._save = None if path is None else lambda: campaign.save(tally, path)
        self._saved_s = time.monotonic()

    def now_and_then(self):
        """Save if the last time is long ago; campaigns call it after each case."""
        if time.monotonic() - self._saved_s > _SAVE_EVERY_s:
            self.now()

    def now(self):
        """Save."""
        if self._save is not None:
            self._save()
        self._saved_s = time.monotonic()


def _continue(campaign, tally, n_cases, seconds=None, path=None, **options):
    keeper = _Keeper(campaign, tally, path)
    campaign.run(tally, n_cases, seconds, keeper.now_and_then, **options)
    keeper.now()
    return campaign.rows(tally)


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
    rows = []
    for name, campaign in CAMPAIGNS.items():
        tally = Tally(seed)
        options = {"every": 9} if name == "power-cut" and not long else {}
        found = _continue(campaign, tally, campaign.sizes[long], **options)
        _print(name, tally, found)
        rows += found
    chosen = {area: mutants.sample(area, 400 if long else 2, seed) for area in mutants.all_areas()}
    rows += mutants.rows(mutants.run(chosen, lambda line: None), seed)
    click.echo(format_table(rows))
    _finish(rows)


def _command_of(name, campaign):
    """Return the click command of a campaign."""

    def call(long, cases, case, seed, seconds, resume, **options):
        if case is not None:
            findings = campaign.reproduce(seed, case)
            click.echo(
                "\n".join(map(str, findings)) or f"case {case} of seed {seed}: no violation"
            )
            sys.exit(bool(findings))
        is_kept = resume is not None and resume.exists()
        tally = campaign.load(resume) if is_kept else Tally(seed)
        n_cases = campaign.sizes[long] if cases is None else cases
        rows = _continue(campaign, tally, n_cases, seconds, resume, **options)
        _print(name, tally, rows)
        _finish(rows)

    for option in (
        click.option("--resume", type=_PATH, help="Keep the tally here and continue it."),
        click.option("--seconds", type=float, help="Stop after this time; --resume continues."),
        click.option("--seed", default=SEED, show_default=True),
        click.option("--case", help=f"Reproduce one: {campaign.form}."),
        click.option("--cases", type=int, help="About so many instead."),
        click.option("--long", is_flag=True, help="The long form."),
        *campaign.options,
    ):
        call = option(call)
    return click.command(name, help=campaign.help)(call)


@main.command("mutants")
@click.option("--area", "names", multiple=True, help="Only this area of hil_tests/areas.toml.")
@click.option("--sample", default=40, show_default=True, help="Changes of each area; 0: all.")
@click.option("--case", help="Judge one again: FILE:INDEX.")
@click.option("--seed", default=SEED, show_default=True)
@click.option("--write", is_flag=True, help="Write the lines of these areas into RESULTS.md.")
def judge_mutants(names, sample, case, seed, write):
    """Change the product, one operator, number or statement at a time; the tests must notice."""
    if write and case is not None:
        raise click.UsageError("one case is no line of the table: --write or --case")
    if case is not None:
        chosen = {areas.area_of(case.rpartition(":")[0]).name: [mutants.find(case)]}
    else:
        chosen = {a: mutants.sample(a, sample or None, seed) for a in names or mutants.all_areas()}
    outcomes = mutants.run(chosen, click.echo)
    lines = mutants.lines(outcomes, seed)
    click.echo(table.text_of(lines))
    if write:
        table.write(areas.ROOT / "hil_tests/RESULTS.md", lines)
    for outcome in outcomes:
        for test in outcome.unchanged:
            click.echo(f"{outcome.area}: left out, it fails without any change: {test}")
    known = mutants.listed()
    sys.exit(any(outcome.open(known) for outcome in outcomes))


for _command in (
    *(_command_of(name, campaign) for name, campaign in CAMPAIGNS.items()),
    *other_car.COMMANDS,
    *other_tank.COMMANDS,
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
