"""Arrows between the parts point one way: read from the import statements, nothing is run."""

import ast
import re
import sys
import tomllib
from collections import Counter
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "host/stagelog"
FIRMWARE = ROOT / "firmware"

# A part imports from its own row and those above it. All may import slog and detectors.
ROWS = (
    {
        "addresses",
        "can_fd",
        "counts",
        "errors",
        "extras",
        "model",
        "platform",
        "replies",
        "resources",
    },
    {
        "archive",
        "blocks",
        "can_messages",
        "card",
        "dbc",
        "ending",
        "ledger",
        "line_rate",
        "link",
        "listen",
        "pipes",
        "ports",
        "proof",
        "radio",
        "timeline",
        "verdict",
    },
    {"accounts", "profile"},
    {"importers"},
    {"decode", "download", "events", "export", "flash"},
    {"config_items"},
    {
        "align",
        "api",
        "bringup",
        "lake",
        "pack",
        "plugins",
        "propose",
        "query",
        "replay",
        "report",
        "since",
    },
    {"park"},
    {"serve"},
)
BESIDE = {"car", "rig"}  # import from ROWS, each without the other; imported by TOP only
TOP = {"__init__", "cli"}
FIRMWARE_ARROWS = {
    "slog": {"slog"},
    "detectors": {"detectors", "slog"},  # shipped with the host, too
    "logger": {"detectors", "logger", "slog"},
    "drivers": {"drivers", "logger", "slog"},  # fast equals of what logger has in plain Python
    "boards": {"boards", "detectors", "drivers", "logger", "slog"},
    "bringup": {"boards", "bringup", "drivers", "logger", "slog"},
}
# Imported by the rig's programs that MicroPython runs.
MICROPYTHON = {"machine", "micropython", "rp2", "uctypes", "vfs"}
# Slow to import: inside the functions that need them, so that the command starts at once.
HEAVY = {"asammdf", "can", "cantools", "dask", "distributed", "duckdb", "mcap", "pandas"}
HEAVY |= {"cryptography", "polars", "pyarrow"}


DEFERS = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@cache
def imported_modules(path, package=()):
    """Return {dotted name: is at module level} for all imports of a file in `package`."""
    found = {}
    left = [(ast.parse(path.read_text(encoding="utf-8"), str(path)), True)]
    while left:
        node, at_once = left.pop()
        if isinstance(node, ast.expr):
            continue  # holds no statement
        at_once &= not isinstance(node, DEFERS) and not is_for_types_only(node)
        left += [(inner, at_once) for inner in ast.iter_child_nodes(node)]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            found[name] = found.get(name, False) or at_once
    return found


def modules_below(folder):
    return sorted(path for path in folder.rglob("*.py") if "tests" not in path.parts)


def host_imports(path):
    return imported_modules(path, ("stagelog", *path.relative_to(PACKAGE).parent.parts))


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def allowed_parts(part):
    """Return the parts of stagelog that this one may import."""
    if part in TOP:
        return set().union(*ROWS, BESIDE, TOP)
    if part in BESIDE:
        return set().union(*ROWS, {part})
    row = next(number for number, parts in enumerate(ROWS) if part in parts)
    return set().union(*ROWS[: row + 1])


def test_no_parts_of_the_host_import_each_other():
    """Not in a circle either, nor where an import is inside a function or for types only."""
    arrows = {}
    for path in modules_below(PACKAGE):
        parts = [name.split(".")[1] for name in host_imports(path) if name.startswith("stagelog.")]
        arrows.setdefault(part_of(path), set()).update(set(parts) - {part_of(path)})
    circle = set(arrows) - TOP
    for _ in arrows:  # what is not in a circle has, at some time, nothing below it or above it
        circle = {part for part in circle if arrows[part] & circle}
        circle &= set().union(*(arrows[part] for part in circle))
    assert not circle, {part: sorted(arrows[part] & circle) for part in circle}


def test_every_part_of_the_host_has_a_row():
    parts = {part_of(path) for path in modules_below(PACKAGE)}
    assert parts <= set().union(*ROWS, BESIDE, TOP), "name the new part's row in ROWS"


@pytest.mark.parametrize("path", modules_below(PACKAGE), ids=lambda path: path.name)
def test_host_module_imports_downwards(path):
    used = {name.split(".")[1] for name in host_imports(path) if name.startswith("stagelog.")}
    parts = {entry.name.removesuffix(".py") for entry in PACKAGE.iterdir()}
    upwards = (used & parts) - allowed_parts(part_of(path))
    assert not upwards, f"{path.relative_to(ROOT)} imports {sorted(upwards)}"


def room_of(path):
    """Return the room of a file: a part, the rig by its own rooms, a package of the firmware."""
    if not path.is_relative_to(PACKAGE):
        return path.relative_to(FIRMWARE).parts[0]
    parts = path.relative_to(PACKAGE).parts
    return "/".join(parts[: 2 if parts[0] == "rig" and len(parts) > 2 else 1])


def test_no_room_holds_more_than_a_fifth_of_the_product():
    rooms = Counter()
    for path in (*modules_below(PACKAGE), *PACKAGE.rglob("*.c"), *modules_below(FIRMWARE)):
        rooms[room_of(path)] += len(path.read_text(encoding="utf-8").splitlines())
    assert {"rig/bus", "rig/sim", "rig/rp2040", "profile", "detectors"} <= rooms.keys()
    (room, n), total = rooms.most_common(1)[0], rooms.total()
    assert n <= total / 5, f"{room} has {n} of {total} lines"


def test_the_car_alone_and_its_virtual_copies_run_the_logger():
    """Only slog and detectors are packages of an installed host."""
    for path in modules_below(PACKAGE):
        used = {name.split(".")[0] for name in host_imports(path)}
        if part_of(path) != "rig":
            assert not used & (set(FIRMWARE_ARROWS) - {"slog", "detectors"}), path


# python-can imports the plugins; nobody else does.
LATE = [path for path in modules_below(PACKAGE) if part_of(path) != "plugins"]


@pytest.mark.parametrize("path", LATE, ids=lambda path: path.name)
def test_host_module_imports_heavy_libraries_late(path):
    early = {name for name, at_top in host_imports(path).items() if at_top}
    heavy = {name for name in early if name.split(".")[0] in HEAVY}
    assert not heavy, f"{path.relative_to(ROOT)} imports {sorted(heavy)} at module level"


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_library_of_the_host_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(extras[name] for name in extras if name != "dev")]
    declared = {normal(re.match(r"[\w.-]+", entry)[0]) for group in groups for entry in group}
    ours = {"stagelog", *FIRMWARE_ARROWS} | MICROPYTHON
    providers = packages_distributions()
    missing = {}
    for path in modules_below(PACKAGE):
        used = {name.split(".")[0] for name in host_imports(path)}
        for name in used - sys.stdlib_module_names - ours:
            if not declared & {normal(provider) for provider in providers.get(name, [])}:
                missing[str(path.relative_to(ROOT))] = name
    assert not missing, "declare them in pyproject.toml"


@pytest.mark.parametrize("part", FIRMWARE_ARROWS)
def test_firmware_part_imports_downwards(part):
    for path in modules_below(FIRMWARE / part):
        used = {name.split(".")[0] for name in imported_modules(path)}
        upwards = (used & set(FIRMWARE_ARROWS)) - FIRMWARE_ARROWS[part]
        assert not upwards, f"{path.relative_to(ROOT)} imports {sorted(upwards)}"


@pytest.mark.parametrize("part", ["slog", "detectors", "logger"])
def test_application_does_not_know_the_chip(part):
    for path in modules_below(FIRMWARE / part):
        used = {name.split(".")[0] for name in imported_modules(path)}
        assert not used & {"esp32", "machine", "rp2"}, path.relative_to(ROOT)


@pytest.mark.parametrize("folder", ["host", "firmware", "hil_tests"])
def test_nothing_imports_tools(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        if not re.search(r"import.*\btools\b|from tools\b", path.read_text(encoding="utf-8")):
            continue
        used = {name.split(".")[0] for name in imported_modules(path)}
        assert "tools" not in used, path.relative_to(ROOT)
