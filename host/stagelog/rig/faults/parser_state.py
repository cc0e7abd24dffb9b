"""The state of a parser campaign in a file, so that it goes on where it was stopped.

Owns the rule that counts belong to sources: when the sources that a target tries have changed,
what was counted for it is void. Fails with InputError on a file that is no such state.
"""

import hashlib
import json
import re
from collections import Counter
from dataclasses import asdict
from functools import cache
from pathlib import Path

from ...errors import InputError
from ...resources import firmware_path
from .parser_targets import TARGETS
from .results import Finding, Tally

_FIELDS = ("seed", "seconds", "states", "violations", "worst")


@cache
def digest_of(name):
    """Return 12 hex digits that name the sources which a target tries."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parents[2]
    for pattern in TARGETS[name].sources:
        root = package.parent if pattern.startswith("stagelog/") else firmware_path()
        for path in sorted(root.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def save(tally, path):
    """Write a Tally so that `load` goes on with it."""
    values = {name: getattr(tally, name) for name in _FIELDS}
    values["findings"] = [asdict(finding) for finding in tally.findings]
    values["sources"] = {name: digest_of(name) for name in TARGETS}
    temporary = Path(f"{path}.tmp")
    temporary.write_text(json.dumps(values, indent=1), encoding="utf-8")
    temporary.replace(path)


def load(path):
    """Return (Tally, names of the targets whose counts are void because their sources changed)."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        sources = values.pop("sources")
        values["states"] = Counter(values["states"])
        values["violations"] = Counter(values["violations"])
        values["findings"] = [Finding(**finding) for finding in values["findings"]]
        tally = Tally(**values)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no state of a parser campaign: {error}") from None
    changed = [name for name in TARGETS if sources.get(name) != digest_of(name)]
    for counts in (tally.states, tally.violations, tally.worst):
        for kind in [kind for kind in counts if _target_of(kind) in changed]:
            del counts[kind]
    tally.findings = [f for f in tally.findings if _target_of(f.kind) not in changed]
    return tally, changed


def _target_of(kind):
    """Return the target of a count: "asc", "asc, by coverage", "asc, unix64: total_us"."""
    return re.split("[,:]", kind)[0]
