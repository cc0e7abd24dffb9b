"""The power-cut campaign as a whole: scenarios cut everywhere, chains of cuts, rot; restartable;
as rows of the table.
"""

import time

from campaigns.engine.power_cut import rot
from campaigns.engine.power_cut.nested import Chain
from campaigns.engine.power_cut.scenario_cuts import Campaign
from campaigns.engine.results import Row, Tally
from stagelog.errors import UsageError

_NESTED_SHARE = 0.03
_N_GARBAGE = 20_000
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


def run(tally, n_states, seconds=None, keep=lambda: None, every=1):
    """Check states until the tally has `n_states` or `seconds` have passed in this run.

    keep    called after every scenario: the tally may be saved, to continue it
    every   cut only one write in so many
    """
    start = time.monotonic()
    before = tally.seconds
    if not tally.states["rot"]:
        rot.run(tally, _N_GARBAGE)
    while tally.n_states < n_states:
        Campaign(tally, tally.next_scenario, every).run()
        tally.next_scenario += 1
        while tally.states["nested"] < _NESTED_SHARE * tally.n_states:
            Chain(tally, tally.next_chain).run()
            tally.next_chain += 1
        tally.seconds = before + time.monotonic() - start
        keep()
        if seconds is not None and time.monotonic() - start >= seconds:
            return


def reproduce(seed, case):
    """Return the findings of one case: "scenario:write:variant", "nested:chain:life" or
    "rot:what:number".
    """
    tally = Tally(seed)
    match case.split(":"):
        case "rot", _, _:
            rot.run(tally, _N_GARBAGE)
        case "nested", chain, life if (chain + life).isdecimal():
            Chain(tally, int(chain)).run()
        case number, write, variant if (number + write + variant).isdecimal():
            Campaign(tally, int(number)).run((int(write), int(variant)))
        case _:
            raise UsageError(f"no case '{case}'", "scenario:write:variant or nested:chain:life")
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
