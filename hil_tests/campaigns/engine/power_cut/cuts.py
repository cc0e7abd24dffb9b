"""The power-cut campaign as a whole: scenarios cut everywhere, chains of cuts, rot; restartable;
as rows of the table.
"""

import time

from campaigns.engine.power_cut import rot
from campaigns.engine.power_cut.nested import Chain
from campaigns.engine.power_cut.scenario_cuts import Campaign
from campaigns.engine.results import Row, Tally, load_tally, save_tally

_NESTED_SHARE = 0.03
_KINDS = (
    ("boundary", "between two sectors"),
    ("torn", "torn sector"),
    ("out of order", "out of order"),
    ("garbage", "garbage, bad sectors"),
    ("stale", "stale sectors"),
    ("misdirected", "misdirected write"),
    ("collateral", "erase group lost"),
    ("lost", "flushed but lost, 700 ms"),
    ("mixed", "two or three at once"),
    ("nested", "nested cuts"),
    ("rot", "rot, noise"),
    ("host reader", "of these read by the host"),
)


def run(tally, n_states, seconds=None, save=None, every=1):
    """Check states until the tally has `n_states` or `seconds` have passed in this run.

    save    a path: the tally is kept there after every scenario, to continue it
    every   cut only one write in so many
    """
    start = time.monotonic()
    before = tally.seconds
    if not tally.states["rot"]:
        rot.run(tally, 20_000)
    while tally.n_states < n_states:
        Campaign(tally, tally.next_scenario, every).run()
        tally.next_scenario += 1
        while tally.states["nested"] < _NESTED_SHARE * tally.n_states:
            Chain(tally, tally.next_chain).run()
            tally.next_chain += 1
        tally.seconds = before + time.monotonic() - start
        if save is not None:
            save_tally(tally, save)
        if seconds is not None and time.monotonic() - start >= seconds:
            return


def open_tally(seed, path=None):
    """Return the Tally to continue: that of `path` if it exists, else a new one."""
    if path is not None and path.exists():
        return load_tally(path)
    return Tally(seed)


def reproduce(seed, case):
    """Return the findings of one case: "scenario:write:variant" or "nested:chain:life"."""
    tally = Tally(seed)
    if case.startswith("nested:"):
        Chain(tally, int(case.split(":")[1])).run()
    else:
        number, write, variant = (int(part) for part in case.split(":"))
        Campaign(tally, number).run((write, variant))
    return [finding for finding in tally.findings if finding.case == case]


def rows(tally):
    """Return the Rows of a tally."""
    found = []
    for kind, name in _KINDS:
        if not tally.states[kind] and not tally.violations[kind]:
            continue
        worst = ""
        if f"tail, {kind}" in tally.worst:
            worst = f"tail flush + {tally.worst[f'tail, {kind}']:.0f} ms"
        if kind == "nested":
            worst = f"{tally.worst.get('depth', 0)} cuts deep"
        if kind == "boundary":
            worst += f"; {tally.worst.get('reads', 0):,} sectors read to mount"
        fault = f"cut: {name}"
        found.append(Row(fault, tally.states[kind], tally.violations[kind], worst, tally.seed))
    other = tally.n_violations - sum(row.n_violations for row in found)
    rate = tally.n_states / tally.seconds if tally.seconds else 0
    slow = tally.worst.get("tail, slow card", 0)
    worst = (
        f"{tally.n_mounted:,} of them unlike the others; {rate:,.0f} states/s; "
        f"flush + {slow:.0f} ms where a card stalls or drops out"
    )
    found.insert(0, Row("power cut, all", tally.n_states, other, worst, tally.seed, tally.seconds))
    found[0].n_violations = tally.n_violations
    return found
