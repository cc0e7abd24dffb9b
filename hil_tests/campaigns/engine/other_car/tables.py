"""The scores as text: one table for a terminal and for host/benchmarks/EVENTS.md."""

from campaigns.engine.other_car.cars import DISTANCES
from campaigns.engine.other_car.scores import BANDS, row, total
from campaigns.engine.other_car.terrain import KINDS, SCORING, TRAPS, TUNING

OURS = "stagelog"
_HEAD = (
    "drives", "km", *BANDS, "onset median / p95 ms", "landing median / p95 ms",
    "peak p5 - p50 - p95", "false (skims)", "on 100 km (at most)",
)  # fmt: skip


def rows_of(scores: dict) -> dict:
    """Return {label: row} of the table: per set and distance, then per kind, then peers."""
    out = {}

    def add(label, **wanted):
        part = _part(scores, **wanted)
        if part.n_drives:
            out[label] = row(part)

    for which, kinds in (("scoring", SCORING), ("tuning", TUNING)):
        for distance in DISTANCES:
            add(f"**{which}, {distance}**", kinds=kinds, distance=distance)
            traps = set(kinds) & set(TRAPS)
            add(f"{which}, {distance}: traps", kinds=traps, distance=distance)
            if "crest_light" in traps:
                label = f"{which}, {distance}: traps but crest_light"
                add(label, kinds=traps - {"crest_light"}, distance=distance)
    for kind in SCORING + TUNING:
        for distance in DISTANCES:
            add(f"{kind}, {distance}", kinds=(kind,), distance=distance)
    for peer in sorted({key[0] for key in scores} - {OURS}):
        for distance in DISTANCES:
            add(f"{peer}, {distance}", kinds=KINDS, distance=distance, detector=peer)
    return out


def _part(scores, kinds, distance, detector=OURS):
    return total(scores, lambda d, k, x: d == detector and k in kinds and x == distance)


def markdown(rows: dict) -> str:
    """Return rows as a Markdown table."""
    lines = ["| drives of | " + " | ".join(_HEAD) + " |", "|---|" + "---:|" * len(_HEAD)]
    lines += ["| " + " | ".join((label, *_cells(r))) + " |" for label, r in rows.items()]
    return "\n".join(lines)


def plain(rows: dict) -> str:
    """Return rows as a table for a terminal."""
    short = [name.split(" (")[0].replace("median / p95 ", "") for name in _HEAD]
    lines = [("drives of", *short)]
    lines += [(label.replace("**", ""), *_cells(r)) for label, r in rows.items()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if not i else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _cells(r):
    def or_dash(value):
        return "-" if value is None else str(value)

    cells = [str(r["drives"]), f"{r['km']:.0f}"]
    for band in BANDS:
        b = r[band]
        if not b["true"]:
            cells.append("-")
            continue
        low, high = b["interval_pct"]
        cells.append(f"{b['found']}/{b['true']} {b['pct']:.0f} ({low:.0f}-{high:.0f}) %")
    for name in ("onset", "landing"):
        cells.append(f"{or_dash(r[f'{name}_median_ms'])} / {or_dash(r[f'{name}_p95_ms'])}")
    peaks = [r[f"peak_{q}"] for q in ("p5", "p50", "p95")]
    cells.append("-" if peaks[0] is None else " - ".join(f"{p:.2f}" for p in peaks))
    cells.append(f"{r['false']} ({r['skims']})")
    rate, most = r["false_per_100km"], r["false_at_most_per_100km"]
    cells.append("-" if rate is None else f"{rate:.1f} ({most:.1f})")
    return cells


def faults_markdown(found: dict) -> str:
    """Return the table of sensor faults: {fault: Score}, "none" among them."""
    head = (
        "| fault | drives | flights of 0.2 s and more | found | overlapped | false "
        "| confidence, median (least) | named, drives |"
    )
    lines = [head, "|---|---:|---:|---:|---:|---:|---:|---|"]
    for fault, score in found.items():
        long = [band for band in BANDS if BANDS[band][0] >= 0.2]
        true, hits, near = (
            sum(c[b] for b in long) for c in (score.true, score.found, score.overlapped)
        )
        sure = sorted(score.confidence)
        words = f"{sure[len(sure) // 2]} ({sure[0]})" if sure else "-"
        named = ", ".join(f"{name} {n}" for name, n in score.told.most_common(6)) or "-"
        lines.append(
            f"| {fault} | {score.n_drives} | {true} | {hits} | {near} | {score.n_false} "
            f"| {words} | {named} |"
        )
    return "\n".join(lines)
