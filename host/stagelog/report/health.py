"""The logger's own health: is the log complete, and what is missing where, in words."""

import time

from stagelog.report import tables as t
from stagelog.report.source import Health
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

FOLD = 25


def health(stage: Stage, health: Health) -> Facts:
    """Return the first section of a report; `health` is a source.Health."""
    complete = health.complete
    note = f"{health.verdict.text}."
    if not health.ledgers:
        note += f" The log is of another recorder ({health.recorder})."
    elif complete is False:
        note += " Every hole that is known is listed."
    return {
        "id": "health",
        "title": "Logger health",
        "short": "Logger",
        "level": {True: "good", False: "bad", None: "warn"}[complete],
        "note": note,
        "lines": _lines(stage, health),
        "tables": [x for x in (_gaps(stage, health), _cycles(stage), _buses(health)) if x],
        "details": health.damaged + [b for ledger in health.ledgers for b in ledger.breaks],
    }


def lost_text(health: Health) -> str:
    """Return how much is missing, in a few words; "" if nothing."""
    parts = []
    for name, words in (
        ("n_dropped", "dropped"),
        ("n_at_least", "or more lost in hardware"),
        ("n_missing", "missing from the file"),
    ):
        n = sum(getattr(bus, name) for ledger in health.ledgers for bus in ledger.buses)
        if n:
            parts.append(f"{n:,} {words}")
    if health.damaged:
        n = len(health.damaged)
        parts.append(f"{n:,} damaged block{'s' * (n != 1)}")
    return ", ".join(parts)


def lost_numbers(health: Health) -> dict[str, int]:
    """Return how much is missing, as numbers."""
    buses = [bus for ledger in health.ledgers for bus in ledger.buses]
    return {
        "dropped_frames": sum(bus.n_dropped for bus in buses),
        "lost_in_hardware_at_least_frames": sum(bus.n_at_least for bus in buses),
        "missing_frames": sum(bus.n_missing for bus in buses),
        "damaged_blocks": len(health.damaged),
    }


def _lines(stage: Stage, health: Health) -> list[str]:
    n_cycles = len(stage.key_cycles)
    logged_s = sum(cycle.end_us - cycle.start_us for cycle in stage.key_cycles) / 1e6
    cycles = "one key cycle" if n_cycles == 1 else f"{n_cycles} key cycles"
    text = f"{_duration(logged_s)} in {cycles}, {health.n_frames:,} frames"
    numbers = {"recorded_s": logged_s, "key_cycles": n_cycles, "frames": health.n_frames}
    lines: list[str] = [t.line(text, **numbers)]
    lost = lost_text(health)
    if health.ledgers:
        text = f"lost: {lost}" if lost else "nothing dropped, nothing lost"
        lines.append(t.line(text, **lost_numbers(health)))
        radios = [ledger.radio for ledger in health.ledgers if ledger.radio is not None]
        lines += [radio.text for radio in radios if radio.active] or [
            radio.text for radio in radios[:1]
        ]
        clock = health.clock or "not known: times are since power-on"
        lines.append(f"wall clock {clock}")
        n = f"{health.n_said:,}" if health.n_said else "no"
        lines.append(
            t.line(f"the car recorded {n} events on board", events_on_board=health.n_said)
        )
    lines += health.mixed
    if health.n_unknown:
        share = 100 * health.n_unknown / max(health.n_frames, 1)
        text = f"{share:.1f} % of the frames are not in the DBC"
        lines.append(t.line(text, not_in_dbc_pct=share))
    return lines


def _gaps(stage: Stage, health: Health) -> Facts | None:
    if not health.gaps:
        return None
    rows = []
    for gap, text, start_us, end_us in health.gaps:
        at_us = start_us if start_us is not None else end_us
        x_s = None if at_us is None else stage.seconds(at_us)
        lasted = None
        if start_us is not None and end_us is not None:
            lasted = (end_us - start_us) / 1e6
        n = None if gap.n is None else f"{gap.n:,}" if gap.exact else f"{gap.n:,} or more"
        numbers = (gap.bus, gap.n, gap.exact)
        at_km = None if at_us is None else stage.km(at_us)
        bus = "all" if gap.bus is None else gap.bus
        level = "" if gap.cause == "power cut" else "bad"
        cells = (gap.cause, bus, at_km, x_s and x_s / 60, lasted, n, *numbers, text)
        rows.append(t.row(*cells, level=level, x_s=x_s))
    columns = [t.words("hole"), t.column("bus", only="page"), t.column("at", "km", 2)]
    columns += [
        t.column("after", "min"),
        t.column("for", "s", 3),
        t.column("lost", "frames", only="page"),
        t.column("bus", only="json"),
        t.column("lost", "frames", only="json"),
        t.column("is exact", only="json"),
        t.words("in words", long=True),
    ]
    return t.table(columns, rows, title="Holes", fold=FOLD)


def _cycles(stage: Stage) -> Facts | None:
    """Return the key cycles, if there is more than one."""
    if len(stage.key_cycles) < 2:
        return None
    rows = []
    for cycle in stage.key_cycles:
        x_s = stage.seconds(cycle.start_us)
        off = None if cycle.off_us is None else cycle.off_us / 60e6
        utc = None if cycle.t_unix_us is None else utc_text(cycle.t_unix_us)
        driven_km = stage.km(cycle.end_us) - stage.km(cycle.start_us)
        recorded_min = (cycle.end_us - cycle.start_us) / 60e6
        cells = (f"boot {cycle.boot}", utc, off, x_s / 60, recorded_min, driven_km)
        rows.append(t.row(*cells, x_s=x_s))
    columns = [t.words("key cycle"), t.words("began, UTC"), t.column("off before it", "min")]
    columns += [t.column("in this log after", "min"), t.column("recorded", "min")]
    columns.append(t.column("driven", "km", 2))
    return t.table(columns, rows, title="Key cycles", fold=FOLD)


def _buses(health: Health) -> Facts | None:
    names = ("n_seen", "n_stored", "n_held", "n_dropped", "n_at_least", "n_missing")
    rows = []
    for ledger in health.ledgers:
        for bus in ledger.buses:
            if not bus.n_seen and bus.bus:
                continue
            lost = bus.n_dropped or bus.n_at_least or bus.n_missing
            cells = (ledger.name, bus.bus, *(getattr(bus, name) for name in names))
            rows.append(t.row(*cells, level="bad" if lost else "good"))
    if not rows:
        return None
    heads = ("seen", "stored", "held here", "dropped", "lost, at least", "missing")
    columns = [t.words("session"), t.column("bus"), *(t.column(h, "frames") for h in heads)]
    return t.table(columns, rows, title="Frames: seen = stored + dropped + lost", fold=6)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def utc_text(t_unix_us: int) -> str:
    """Return UTC as 2026-01-17 14:03."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(t_unix_us // 1_000_000))
