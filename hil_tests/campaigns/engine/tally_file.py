"""The state of a campaign in a file, so that it continues where it was stopped; counts belong to
the sources that they were made with.

Owns the file and the digest of sources. Fails with InputError on a file that is no such state, or
is of other sources.
"""

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from functools import cache
from pathlib import Path

import stagelog
from campaigns.engine.results import Finding, Tally
from stagelog.errors import InputError
from stagelog.resources import firmware_path

FIRMWARE = tuple(  # what writes to the card and recovers from it
    f"{name}.py"
    for name in (
        "slog/layout",
        "slog/block",
        "logger/ring",
        "logger/store",
        "logger/extent",
        "logger/sessions",
    )
)


@cache
def digest_of(patterns):
    """Return 12 hex digits that name the files of some patterns: of the package where they begin
    with "stagelog/", else of the firmware.
    """
    digest = hashlib.sha256()
    package = Path(stagelog.__file__).resolve().parent
    for pattern in patterns:
        root = package.parent if pattern.startswith("stagelog/") else firmware_path()
        for path in sorted(root.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def firmware_digest():
    """Return 12 hex digits that name the sources that write to the card and recover from it."""
    return digest_of(FIRMWARE)


def save(tally, path, sources):
    """Write a Tally, and what names the sources it was made with, so that `load` returns them."""
    values = {name: getattr(tally, name) for name in Tally.__slots__}
    values["findings"] = [asdict(finding) for finding in tally.findings]
    values["sources"] = sources
    temporary = Path(f"{path}.tmp")
    temporary.write_text(json.dumps(values, indent=1), encoding="utf-8")
    temporary.replace(path)


def load(path):
    """Return (Tally, sources) of a file."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        sources = values.pop("sources")
        values["states"] = Counter(values["states"])
        values["violations"] = Counter(values["violations"])
        values["findings"] = [Finding(**finding) for finding in values["findings"]]
        return Tally(**values), sources
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no state of a campaign: {error}") from None


def save_of(patterns, tally, path):
    """Write a Tally that belongs to the sources of some patterns."""
    save(tally, path, digest_of(patterns))


def load_of(patterns, path):
    """Return the Tally of a file; InputError if it is of other sources."""
    tally, sources = load(path)
    if sources != (wanted := digest_of(patterns)):
        raise InputError(
            f"{path} was made with the sources {sources}, these are {wanted}",
            "begin a new file: counts of two versions do not add up",
        )
    return tally
