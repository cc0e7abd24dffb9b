"""The state of a parser campaign: counts belong to sources.

When the sources that a target tries have changed, what was counted for it is void.
"""

import re

from campaigns.engine import tally_file
from campaigns.engine.parsers.targets import TARGETS


def digest_of(name):
    """Return what names the sources that a target tries."""
    return tally_file.digest_of(TARGETS[name].sources)


def save(tally, path):
    """Write a Tally so that `load` continues it."""
    tally_file.save(tally, path, {name: digest_of(name) for name in TARGETS})


def load(path):
    """Return (Tally, names of the targets whose counts are void because their sources changed)."""
    tally, sources = tally_file.load(path)
    changed = [name for name in TARGETS if sources.get(name) != digest_of(name)]
    for counts in (tally.states, tally.violations, tally.worst):
        for kind in [kind for kind in counts if _target_of(kind) in changed]:
            del counts[kind]
    tally.findings = [f for f in tally.findings if _target_of(f.kind) not in changed]
    return tally, changed


def _target_of(kind):
    """Return the target of a count: "asc", "asc, by coverage", "asc, unix64: total_us"."""
    return re.split("[,:]", kind)[0]
