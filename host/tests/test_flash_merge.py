"""Several modules as one: what they do stays the same, and nothing meets that did not meet before.

Each case is run as modules of their own by Python's importer, and merged; both must agree.
"""

import ast
import builtins
import importlib
import symtable
import sys

import pytest

from stagelog.flash import build
from stagelog.flash.merge import merge

BELOW = """
_LIMIT = 3
TABLE = ("below", _LIMIT)
n_calls = 0


def limit(x, scale=_LIMIT):
    global n_calls
    n_calls += 1
    return x * scale


def calls():
    return n_calls


def helper():
    return "below"


class Base:
    kept = TABLE

    def name(self):
        return helper()
"""
ABOVE = """
from array import array
from low import below
from low.below import Base, limit as bounded

_LIMIT = 5
kinds = array("B", [1, 2])


def helper():
    return "above"


class Above(Base):
    limit = _LIMIT
    doubled = limit * 2

    def name(self, helper=None):
        below_name = Base.name(self)
        return helper or below_name

    def own(self):
        return helper(), self.limit, self.doubled, self.kept


def run(limit):
    kinds = [helper for helper in (1, 2)]
    try:
        raise ValueError(limit)
    except ValueError as helper_error:
        error = helper_error.args
    pick = lambda helper: helper + _LIMIT
    above = Above()
    return (
        above.name(), above.own(), above.name("given"), kinds, error, pick(1), bounded(2),
        bounded(2, scale=4), below.limit(1), below.calls(), below.TABLE, helper(), limit,
    )
"""
LATER = """
from high import above


def use():
    from low.below import limit
    from high.above import run
    return limit(10), run(7)[-2:], above.helper(), above.bounded(3)
"""
SOURCES = {"low.below": BELOW, "high.above": ABOVE, "high.later": LATER}


def results(sources, groups, folder, monkeypatch):
    """Return what `run` and `use` return; the modules are files, merged if there are groups."""
    trees = {name: ast.parse(text) for name, text in sources.items()}
    if groups:
        trees = merge(trees, groups)
    for name, tree in trees.items():
        path = folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(ast.unparse(ast.fix_missing_locations(tree)))
    monkeypatch.syspath_prepend(str(folder))
    found = {}
    for name in trees:
        found.update(vars(importlib.import_module(name)))
    run, use = (
        next(value for key, value in found.items() if key.split("__")[0] == name)
        for name in ("run", "use")
    )
    returned = run(9), use()
    for name in [name for name in sys.modules if name.split(".")[0] in ("low", "high")]:
        del sys.modules[name]
    return returned


@pytest.mark.parametrize(
    "groups",
    [
        {"high.above": ["low.below", "high.above"], "high.later": ["high.later"]},
        {"low.below": ["low.below"], "high.later": ["high.above", "high.later"]},
        {"high.later": ["low.below", "high.above", "high.later"]},
    ],
    ids=["two and one", "one and two", "all"],
)
def test_merged_modules_do_what_they_did(tmp_path, monkeypatch, groups):
    """By hand: 1 + 5 = 6, 2 * 3 = 6, 2 * 4 = 8, 1 * 3 = 3, which is three calls. `above` has
    `bounded` from `below`.
    """
    apart = results(SOURCES, None, tmp_path / "apart", monkeypatch)
    own = ("above", 5, 10, ("below", 3))
    assert apart[0] == ("below", own, "given", [1, 2], (9,), 6, 6, 8, 3, 3, own[3], "above", 9)
    assert apart[1] == (30, ("above", 7), "above", 9)
    assert results(SOURCES, groups, tmp_path / "merged", monkeypatch) == apart


def test_a_name_that_stays_and_means_two_things_is_refused():
    """`pack` is a name of MicroPython's `struct`: it can't be given another."""
    trees = {
        "a": ast.parse("def pack():\n    return 1\n"),
        "b": ast.parse("from struct import pack\n"),
    }
    with pytest.raises(ValueError, match="pack means a.pack and struct.pack in b"):
        merge(trees, {"b": ["a", "b"]})


def test_a_module_that_a_function_imports_is_refused():
    trees = {"low.a": ast.parse("x = 1\n"), "b": ast.parse("def f():\n    from low import a\n")}
    with pytest.raises(ValueError, match="b: a is imported in a function"):
        merge(trees, {"low.a": ["low.a"], "b": ["b"]})


def test_a_variable_of_another_group_is_refused():
    """It would be imported as it is then, and never change."""
    trees = {
        "low.a": ast.parse("n = 0\ndef f():\n    global n\n    n += 1\n"),
        "b": ast.parse("from low import a\ndef g():\n    return a.n\n"),
    }
    with pytest.raises(ValueError, match="b would see low.a.n as it was"):
        merge(trees, {"low.a": ["low.a"], "b": ["b"]})


def test_imports_of_others_stand_once():
    text = "import gc\nfrom array import array\n"
    merged = merge({"a": ast.parse(text), "b": ast.parse(text)}, {"b": ["a", "b"]})
    assert ast.unparse(merged["b"]) == text.strip()


BOARDS = ("pico_mcp2515", "pico_mcp2518fd", "pico_pio", "pico_pio_dual", "pico2_mcp2518fd")
BOARDS += ("esp32_mcp2518fd", "esp32c3_mcp2518")
OF_MICROPYTHON = {"const", "ptr", "ptr8", "ptr16", "ptr32", "uint", "__file__", "__name__"}


@pytest.mark.parametrize("board", BOARDS)
def test_each_name_of_a_board_is_defined_in_its_file(monkeypatch, board):
    """What is taken from the scope of a file, by Python's own table of symbols, is bound there;
    but for instructions in assembler.
    """
    sources = {}

    def note(path, source, arch):
        sources[path] = source
        return b"compiled"

    monkeypatch.setattr(build, "compile_module", note)
    build.build_app.__wrapped__(board, "armv6m")
    assert len(sources) >= 7
    for path, source in sources.items():
        tree = ast.parse(source)
        tree.body = [node for node in tree.body if "asm_" not in decorators_of(node)]
        table = symtable.symtable(ast.unparse(tree), path, "exec")
        bound = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}
        bound |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_imported()}
        bound |= {node.name for node in ast.parse(source).body if hasattr(node, "name")}
        missing = taken(table) - bound - set(dir(builtins)) - OF_MICROPYTHON
        assert not missing, f"{path} on {board}"


def decorators_of(node):
    return " ".join(ast.unparse(each) for each in getattr(node, "decorator_list", []))


def taken(table):
    """Return the names that a scope and those inside it take from the file's."""
    names = {each.get_name() for each in table.get_symbols() if each.is_global()}
    if table.get_type() == "module":
        names = {each.get_name() for each in table.get_symbols() if each.is_referenced()}
    for child in table.get_children():
        names |= taken(child)
    return names
