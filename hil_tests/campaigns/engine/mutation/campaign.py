"""Mutation testing: change one operator, number or statement of the product and see whether the
tests of its area notice.

Owns the areas, the sample and the count. The tests of an area are those of `hil_tests/areas.toml`
that are not slow, so what they notice is noticed within seconds. Fails with InputError for an area
or a case that is not there.
"""

import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import areas
from campaigns.engine.mutation.changes import Change, changes_of
from campaigns.engine.mutation.judge import KILLED, SURVIVED, TIMED_OUT
from campaigns.engine.mutation.table import Line, digest_of
from campaigns.engine.results import Row
from stagelog.errors import InputError

SURVIVED_PATH = "hil_tests/campaigns/mutants_survived.toml"
_N_WORKERS = 2
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".cache", "typings", "__pycache__", ".*_cache", ".hypothesis"
)
_SHARED = (".venv", ".cache", "typings")


@dataclass
class Outcome:
    """What came of one area: its changes in all, those judged, what fails without any change."""

    area: str
    n_all: int
    judged: dict[Change, str] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)

    def count(self, known: dict) -> Counter:
        """Count the outcomes; a survivor is `listed` with its reason, or open."""
        return Counter(
            "listed" if outcome == SURVIVED and change.key in known else outcome
            for change, outcome in self.judged.items()
        )

    def open(self, known: dict) -> list[Change]:
        """Return the survivors without a reason."""
        return [
            c for c, outcome in self.judged.items() if outcome == SURVIVED and c.key not in known
        ]


def all_areas() -> list[str]:
    """Return the areas that have Python files and tests that are not slow."""
    tests = [test for test in areas.test_files() if not areas.is_slow(test)]
    owners = {areas.area_of(f).name for f in areas.product_files() if f.endswith(".py")}
    return [
        area.name
        for area in areas.load_areas()
        if area.name in owners and any(areas.fits(test, area.tests) for test in tests)
    ]


def changes_in(area: str) -> list[Change]:
    """Return all changes of the Python files of an area."""
    names = [name for name in areas.product_files() if name.endswith(".py")]
    owned = [name for name in names if areas.area_of(name).name == area]
    if not owned:
        raise InputError(f"no area {area}", f"choose of {', '.join(all_areas())}")
    return [c for name in owned for c in changes_of(name, (areas.ROOT / name).read_bytes())]


def sample(area: str, n: int | None, seed: int) -> list[Change]:
    """Return n of the changes of an area, drawn by the seed; all if there are no more."""
    found = changes_in(area)
    if n is not None and n < len(found):
        found = random.Random(f"{seed} {area}").sample(found, n)
    return sorted(found, key=lambda change: (change.file, change.index))


def find(case: str) -> Change:
    """Return the change that a case, FILE:INDEX, names."""
    file, _, index = case.rpartition(":")
    try:
        return changes_of(file, (areas.ROOT / file).read_bytes())[int(index)]
    except (ValueError, IndexError, OSError):
        raise InputError(f"no case {case}", "the form is FILE:INDEX, as a run prints it") from None


def run(chosen: dict[str, list[Change]], report: Callable[[str], None]) -> list[Outcome]:
    """Judge the changes of some areas by two processes, each in a copy of the checkout.

    report  takes a line for every survivor and every area that is done
    """
    known = listed()
    found = {area: Outcome(area, len(changes_in(area))) for area in chosen}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [_copy(Path(folder) / str(i)) for i in range(_N_WORKERS)]

        def work(area):
            copy = copies.pop()
            try:
                for change, outcome in _judge_in(copy, area, chosen[area], found[area].unchanged):
                    found[area].judged[change] = outcome
                    if outcome == SURVIVED and change.key not in known:
                        report(f"{difference(change)}\n")
                report(f"{area}: {len(found[area].judged)} judged")
            finally:
                copies.append(copy)

        with ThreadPoolExecutor(_N_WORKERS) as pool:
            list(pool.map(work, sorted(chosen, key=lambda area: -len(chosen[area]))))
    return list(found.values())


def _copy(root):
    """Copy the checkout, with compiled modules; tools and caches are shared."""
    shutil.copytree(areas.ROOT, root, ignore=_LEFT_OUT)
    for name in _SHARED:
        if (areas.ROOT / name).exists():
            (root / name).symlink_to(areas.ROOT / name)
    words = [sys.executable, "-m", "compileall", "-q", "host", "firmware", "hil_tests"]
    subprocess.run(words, cwd=root, check=False, capture_output=True)
    return root


def _judge_in(root, area, changes, unchanged):
    """Yield (Change, outcome); append tests that fail without any change to `unchanged`."""
    cases = {change.case: change for change in changes}
    files = sorted({change.file for change in changes})
    tests = [test for test in areas.tests_of(files[0]) if not areas.is_slow(test)]
    task = {"files": files, "tests": tests, "changes": [asdict(change) for change in changes]}
    folders = ("hil_tests", "host", "firmware")
    path = os.pathsep.join(str(root / name) for name in folders)
    process = subprocess.Popen(
        [sys.executable, "-m", "campaigns.engine.mutation.judge"],
        cwd=root,
        env=dict(os.environ, PYTHONPATH=path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    json.dump(task, process.stdin)
    process.stdin.close()
    with process.stdout as lines:
        unchanged += json.loads(next(lines, '{"unchanged": []}'))["unchanged"]
        for line in lines:
            case, outcome = json.loads(line)
            yield cases[case], outcome
    if process.wait():
        raise InputError(f"the tests of {area} do not run without any change", "repair them first")


def difference(change: Change) -> str:
    """Return the place of a change, its case and what it does, as lines with - and +."""
    source = (areas.ROOT / change.file).read_bytes()
    before, after = source.decode().splitlines(), change.apply(source).decode().splitlines()
    lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[3:]
    head = f"survived: {change.file}:{change.line} (--case {change.case}): {change.what}"
    return "\n".join([head, *lines])


def listed() -> dict[tuple, str]:
    """Return {Change.key: why no test can or need notice it} from the list of survivors."""
    text = (areas.ROOT / SURVIVED_PATH).read_text(encoding="utf-8")
    return {
        (entry["file"], entry["scope"], entry["code"], entry["what"]): entry["why"]
        for entry in tomllib.loads(text)["survivor"]
    }


def lines(outcomes: Iterable[Outcome], seed: int) -> list[Line]:
    """Return a line of the table in RESULTS.md for each area."""
    known = listed()
    found = []
    for outcome in outcomes:
        count = outcome.count(known)
        kinds = (count[KILLED], count[TIMED_OUT], count["listed"], count[SURVIVED])
        sources = digest_of(outcome.area)
        found.append(Line(outcome.area, sources, str(seed), outcome.n_all, *kinds))
    return found


def rows(outcomes: Iterable[Outcome], seed: int) -> list[Row]:
    """Return a Row for each area: a violation is a survivor without a reason."""
    known = listed()
    found = []
    for outcome in outcomes:
        count = outcome.count(known)
        noticed = count[KILLED] + count[TIMED_OUT]
        text = f"{noticed} noticed, {count['listed']} listed with a reason"
        found.append(Row(f"mutants: {outcome.area}", count.total(), count[SURVIVED], text, seed))
    return found
