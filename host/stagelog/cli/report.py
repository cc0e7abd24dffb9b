"""stagelog report: what the car went through, as one page that opens offline."""

import contextlib
import os
import sys
from pathlib import Path

import click

from stagelog.cli._common import json_option, print_json, size_text
from stagelog.errors import OutputError, UsageError


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(readable=False))
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    help="Car profile: name or .toml; one for all LOGS, or one for each.  [default: d7xr]",
)
@click.option("--dbc", type=click.Path(readable=False), help="Database.  [default: the profile's]")
@click.option("--bus", "buses", type=int, multiple=True, help="Only this bus; may be repeated.")
@click.option(
    "--out", "-o", default="report.html", show_default=True, type=click.Path(readable=False)
)
@click.option("--title", help="Heading.  [default: the folders of the archive]")
@click.option("--force", is_flag=True, help="Replace an existing page.")
@json_option
@click.pass_context
def command(context, logs, profiles, dbc, buses, out, title, force, as_json):
    """Write the report of a stage: one HTML file. Several LOGS are cars, compared by distance.

    A LOG is a session file, a card or its image, a folder of the archive, or a log of another
    recorder (candump, ASC, BLF, TRC, MF4). With --json the same facts go to stdout; a page is
    written then only if --out is given. A message that comes on two buses, or from two J1939
    sources, is one signal there, with a warning; --bus takes one bus, also for the detectors,
    which watch the first that is named, else bus 0. Exit 1 if a log is not complete.
    """
    from stagelog.report.build import SCHEMA, compare_facts, plain_facts, stage_facts

    profiles = profiles or ("d7xr",)
    if len(profiles) not in (1, len(logs)):
        raise UsageError(
            f"{len(profiles)} profiles for {len(logs)} logs", "give one --profile, or one for each"
        )
    out = Path(out)
    wants_page = not as_json or context.get_parameter_source("out").name == "COMMANDLINE"
    if wants_page and str(out) == "-":
        raise UsageError("a page cannot go to standard output", "name a file, or use --json")
    if wants_page and os.path.exists(out) and not force:
        raise OutputError(f"{out} exists", "choose another name, or --force to replace it")
    each = profiles if len(profiles) == len(logs) else profiles * len(logs)
    sources = [_read(*pair, dbc, title, buses) for pair in zip(logs, each, strict=True)]
    note = f"From {', '.join(map(str, logs))} with profile {', '.join(profiles)}."
    facts = stage_facts(sources[0], note) if len(sources) == 1 else compare_facts(sources, note)
    for warning in (line for source in sources for line in source.health.mixed):
        click.echo(f"warning: {warning}", err=True)
    size = _write_page(out, facts) if wants_page else None
    if as_json:
        print_json(SCHEMA, plain_facts(facts))
    else:
        verdict = facts["verdict"]
        click.echo(f"{verdict['question']} {verdict['answer']}")
        click.echo(f"{out}  {size_text(size)}")
        click.echo(facts["log"]["text"])
    raise SystemExit(max(source.health.verdict.exit_code for source in sources))


def _write_page(out, facts):
    from stagelog.archive.files import write_atomic, writing
    from stagelog.report.html import render

    page = render(facts).encode()
    with writing(out):
        write_atomic(out, page)
    return len(page)


def _read(log, profile, dbc, title, buses):
    """Return the Source of one car."""
    from stagelog.cli._logs import check_buses, find_logs
    from stagelog.importers import stream_frames
    from stagelog.profile import dbc_file, load_profile
    from stagelog.report.source import read_source

    loaded = load_profile(profile, dbc)
    paths = [path for path, _ in find_logs(log)]
    check_buses(log, buses, (frames for path in paths for frames in stream_frames(path)))
    with _progress() as progress:
        database = dbc or dbc_file(loaded)
        return read_source(paths, loaded, database, title or _title(log), progress, buses)


@contextlib.contextmanager
def _progress():
    """Yield a function that shows a share of 1 on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label="detectors", file=sys.stderr) as bar:
        yield lambda share: bar.update(int(1000 * share) - bar.pos)


def _title(log):
    """Return a heading from the folders of the archive: 'C03, SS01, DAKAR26'."""
    found = dict(part.split("=", 1) for part in Path(log).absolute().parts if part.count("=") == 1)
    words = [found[kind] for kind in ("car", "stage", "event") if kind in found]
    return ", ".join(words) or Path(log).stem
