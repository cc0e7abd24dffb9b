"""tools/campaign fuel: the fuel detector on days of another author's tank."""

import json
from pathlib import Path

import click

from campaigns.engine.other_tank import scores
from campaigns.engine.other_tank.way import KINDS, SCORING, TUNING

_SETS = {"tuning": tuple(TUNING), "scoring": tuple(SCORING), "all": tuple(KINDS)}
_FIRST = {"tuning": 0, "scoring": 1000, "all": 1000}
_COLUMNS = (  # title, how it is written
    ("days", "{days}"),
    ("km", "{km}"),
    ("continued", "{continuations}"),
    ("P50 kept %", "{p50_kept_pct} ({p50_interval_pct[0]}-{p50_interval_pct[1]})"),
    ("P10 kept %", "{p10_kept_pct} ({p10_interval_pct[0]}-{p10_interval_pct[1]})"),
    ("P50, P10 by true", "{p50_by_true} {p10_by_true}"),
    ("scale wrong by %, median / p95", "{scale_median_pct} / {scale_p95_pct}"),
    ("meter", "{flow_scale_median_pct} / {flow_scale_p95_pct}"),
    ("used l, median / p95", "{used_median_l} / {used_p95_l}"),
    ("flow alone", "{used_flow_median_l} / {used_flow_p95_l}"),
    ("level, 60 s", "{used_level_median_l} / {used_level_p95_l}"),
    ("in the tank", "{left_median_l} / {left_p95_l}"),
    ("refuelled", "{refuelled_median_l} / {refuelled_p95_l}"),
)


def markdown(rows: dict[str, dict]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| kind of way | " + " | ".join(title for title, _ in _COLUMNS) + " |",
        "|---|" + "---:|" * len(_COLUMNS),
    ]
    for label, row in rows.items():
        cells = " | ".join(text.format(**row) for _, text in _COLUMNS)
        lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)


@click.command("fuel")
@click.option("--kinds", default="scoring", show_default=True, help=", ".join((*_SETS, *KINDS)))
@click.option("--days", "n_days", default=100, show_default=True, help="of a kind")
@click.option("--entered", is_flag=True, help="the volumes of all refuels are entered")
@click.option("--jobs", default=2, show_default=True, help="processes")
@click.option("--markdown", "file", type=click.Path(path_type=Path), help="write the table here")
@click.option("--json", "as_json", is_flag=True, help="figures for a program")
def fuel(kinds, n_days, entered, jobs, file, as_json):
    """Score volume, scale and range on another author's tank and ways, by continuing them."""
    names = _SETS.get(kinds) or tuple(kinds.split(","))
    unknown = set(names) - set(KINDS)
    if unknown:
        raise click.UsageError(f"no kind of way: {', '.join(sorted(unknown))}; of {list(KINDS)}")
    first = 0 if set(names) <= set(TUNING) else _FIRST["scoring"]
    judged = scores.judge_all(names, n_days, first, jobs, entered)
    rows = {kind: scores.row(found) for kind, found in judged.items()}
    rows[f"**{kinds}**"] = scores.row([one for found in judged.values() for one in found])
    if file:
        file.write_text(markdown(rows) + "\n", encoding="utf-8")
    click.echo(json.dumps(rows, indent=1) if as_json else markdown(rows))


COMMANDS = (fuel,)
