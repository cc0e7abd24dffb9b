"""stagelog report: what the car went through, as one page that opens offline."""

from pathlib import Path

import click

from ..errors import OutputError
from ._common import json_option, print_json, size_text


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path())
@click.option("--profile", default="d7xr", show_default=True, help="Car profile: name or .toml.")
@click.option("--dbc", type=click.Path(), help="Database.  [default: the profile's]")
@click.option("--out", "-o", default="report.html", show_default=True, type=click.Path())
@click.option("--title", help="Heading.  [default: the folders of the archive]")
@click.option("--force", is_flag=True, help="Replace an existing page.")
@json_option
def command(logs, profile, dbc, out, title, force, as_json):
    """Write the report of a stage: one HTML file. Several LOGS are cars, compared by distance.

    A LOG is a session file, a card or its image, or a folder of the archive. With --json the same
    facts go to stdout and no page is written unless --out is given.
    """
    from ..archive.files import write_atomic, writing
    from ..car import load_profile
    from ..report.build import compare_facts, stage_facts
    from ..report.html import render

    out = Path(out)
    if out.exists() and not force and not as_json:
        raise OutputError(f"{out} exists", "choose another name, or --force to replace it")
    loaded = [_load(log, load_profile(profile, dbc), dbc, title) for log in logs]
    source = f"From {', '.join(map(str, logs))} with profile {profile}."
    if len(loaded) == 1:
        facts = stage_facts(*loaded[0], source=source)
    else:
        facts = compare_facts([one[0] for one in loaded], source)
    if as_json:
        plain = {key: value for key, value in facts.items() if key not in ("charts", "schema")}
        return print_json(facts["schema"], plain)
    page = render(facts).encode()
    with writing(out):
        write_atomic(out, page)
    click.echo(f"{out}  {size_text(len(page))}")
    return None


def _load(log, profile, dbc, title):
    """Return the arguments of stage_facts for one car."""
    from ..blocks import read_log
    from ..car.profile import dbc_file
    from ..dbc import load_database
    from ..decode import compile_plan, decode
    from ..events import load_events
    from ..importers.stream import join_frames
    from ..ledger import account, describe
    from ..report.stage import Stage
    from ..timeline import find_boots
    from ._logs import find_logs

    plan = compile_plan(load_database(dbc or dbc_file(profile)))
    ledgers, gaps, damaged, tables, said, timeline = [], [], [], [], [], None
    for path, _ in find_logs(log):
        read = read_log(path)
        damaged += [str(bad) for bad in read.damaged]
        for boot in find_boots(read.sessions):
            timeline = timeline or boot.timeline
            for session in boot.sessions:
                ledger = account(session, read.damaged)
                ledgers.append(ledger)
                gaps += [describe(gap, boot.timeline) for gap in ledger.gaps]
                tables += list(session.iter_frames())
                said += load_events(session)
    frames = join_frames(tables)
    stage = Stage(decode(frames, plan), profile, title or _title(log), timeline)
    return stage, ledgers, gaps, damaged, _events(frames, said, profile, dbc)


def _events(frames, said, profile, dbc):
    """Return EventFacts: the host's events, beside what the car said."""
    from ..car.profile import dbc_file
    from ..events import compare_events, compile_table, recompute
    from ..report.events import EventFacts

    table = compile_table(profile, dbc or dbc_file(profile))
    found = recompute(frames, table)
    last_us = said[-1].t_us if said else None
    return EventFacts(found, table, compare_events(said, found, last_us) if said else None)


def _title(log):
    """Return a heading from the folders of the archive: 'C03, SS01, DAKAR26'."""
    found = dict(part.split("=", 1) for part in Path(log).absolute().parts if part.count("=") == 1)
    words = [found[kind] for kind in ("car", "stage", "event") if kind in found]
    return ", ".join(words) or Path(log).stem
