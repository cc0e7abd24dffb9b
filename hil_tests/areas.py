"""Which tests belong to which file of the product, and which tests are slow.

Owns the reading of `areas.toml`; `tools/test` and the mutation campaign use it. Fails with
ValueError for a file that no area owns.

    python hil_tests/areas.py for FILE...    print the tests of these files, one a line
    python hil_tests/areas.py quick          print what pytest is given for those that are not slow
"""

import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PRODUCT = ("firmware", "host/stagelog", "dbc")
_QUICK = ("host/tests", "firmware/tests")
_NOT_PRODUCT = ("firmware/tests/*", "*/__pycache__/*", "*.md")


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the product with the tests that must notice a fault in it.

    code   patterns of its files
    named  patterns of tests that the table names, beside those that bear the area's name
    """

    name: str
    code: tuple[str, ...]
    named: tuple[str, ...]

    @property
    def tests(self) -> tuple[str, ...]:
        """Patterns of all tests of the area."""
        prefix = f"*/test_{self.name.replace('-', '_')}"
        return (f"{prefix}.py", f"{prefix}_*.py", *self.named)


@cache
def load_areas() -> list[Area]:
    """Return the areas in the order of the file, in which the first that fits owns a file."""
    areas = _table()["area"]
    return [
        Area(name, tuple(entry["code"]), tuple(entry.get("tests", ())))
        for name, entry in areas.items()
    ]


def product_files() -> list[str]:
    """Return the files of the product, as paths from the root of the checkout."""
    found = [path for folder in _PRODUCT for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(name for name in map(_name, found) if not fits(name, _NOT_PRODUCT))


@cache
def test_files() -> list[str]:
    """Return all test files, as paths from the root of the checkout; searched for once."""
    folders = ("host/tests", "firmware/tests", "hil_tests")
    return sorted(_name(path) for folder in folders for path in (ROOT / folder).rglob("test_*.py"))


def area_of(file: str) -> Area:
    """Return the area that owns a file of the product."""
    for area in load_areas():
        if fits(file, area.code):
            return area
    raise ValueError(f"{file} is in no area: name its tests in hil_tests/areas.toml")


def tests_of(file: str) -> list[str]:
    """Return the tests of a file: those named like it first, then the quick, then the slow."""
    if file in (tests := test_files()):
        return [file]
    area = area_of(file)
    stem = Path(file).stem
    found = [test for test in tests if fits(test, area.tests)]
    return sorted(found, key=lambda test: (stem not in Path(test).stem, is_slow(test), test))


def is_slow(test: str) -> bool:
    """Whether a test file takes longer than some seconds."""
    return fits(test, slow_patterns())


def start_order(test: str) -> int:
    """Return the place of a test file among those that parallel processes share, slow first."""
    patterns = slow_patterns()
    return next((n for n, pattern in enumerate(patterns) if fits(test, [pattern])), len(patterns))


def slow_patterns() -> list[str]:
    """Return the patterns of the slow test files, of those that take longest first."""
    return _table()["slow"]


@cache
def _table() -> dict:
    return tomllib.loads((ROOT / "hil_tests/areas.toml").read_text(encoding="utf-8"))


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns fits a path."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _name(path: Path) -> str:
    return path.resolve().relative_to(ROOT).as_posix()


def main(argv: list[str]) -> int:
    """Print arguments of pytest, one a line; return 2 for a file without tests."""
    if argv == ["quick"]:
        # For each file that it is given, pytest looks at all files beside it: a third of its time.
        slow = [t for t in test_files() if t.startswith(_QUICK) and is_slow(t)]
        tests = [*_QUICK, *(f"--ignore={test}" for test in slow)]
    else:
        try:
            found = [test for file in argv[1:] for test in tests_of(_name(Path(file)))]
        except ValueError as error:
            print(f"test: {error}", file=sys.stderr)
            return 2
        tests = list(dict.fromkeys(found))
    print("\n".join(tests))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
