"""What firmware sources must not do, as they are shrunk by the spelling of their names.

`shrink` inserts constants where they are used and drops what nobody names; `names` gives short
names, the same everywhere. Code that looks a name up by its text, or changes a constant, would do
something else on the board than here. Fails with InputError that names the file and the line.
CONTRIBUTING.md states the rules for authors of firmware.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeGuard

from stagelog.errors import InputError
from stagelog.flash.names import KEPT
from stagelog.flash.walk import walk

_BY_TEXT = frozenset(
    "getattr setattr hasattr delattr globals locals vars eval exec __import__ __dict__ "
    "namedtuple".split()
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def check_rules(trees: dict[str, ast.Module]) -> None:
    """Raise InputError for the first source that cannot be shrunk.

    trees   {module name: its syntax tree, as written}
    """
    for name, tree in trees.items():
        for node, why in _offences(tree, set(trees)):
            place = f"{name.replace('.', '/')}.py, line {getattr(node, 'lineno', 0)}"
            raise InputError(
                f"{place}: {why}", "write it another way: CONTRIBUTING.md, 'Firmware is shrunk'"
            )


def imported(tree: ast.AST) -> dict[str, set[tuple[str, str]]]:
    """Return {name in a module: {(module, what of it)}} of all its imports; ("", module) where a
    module is imported as a whole.
    """
    found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name].add((node.module or "", alias.name))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name].add(("", alias.name))
    return found


def is_same(node: ast.AST) -> TypeGuard[ast.Assign]:
    """Return whether a statement is NAME = NAME."""
    if not isinstance(node, ast.Assign):
        return False
    names = [getattr(each, "id", None) for each in (*node.targets, node.value)]
    return len(names) == 2 and names[0] == names[1] is not None


def bindings(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield each (name, node) that a module binds, as often as it does; not those of imports, nor
    NAME = NAME, which gives a class a constant of its module.
    """
    same = {node.targets[0] for node in walk(tree) if is_same(node)}
    for node in walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in same:
            yield node.id, node
        elif isinstance(node, ast.arg):
            yield node.arg, node
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node


def _offences(tree: ast.Module, ours: set[str]) -> Iterator[tuple[ast.AST, str]]:
    yield from _shadows(tree, ours)
    for node in walk(tree):
        word = getattr(node, "id", None) or getattr(node, "attr", None)
        if word in _BY_TEXT:
            yield node, f"{word} looks names up by their text, and they are shortened"
        elif isinstance(node, ast.ImportFrom) and any(one.name == "*" for one in node.names):
            yield node, "import * hides which names are used, and unused ones are dropped"
        elif isinstance(node, ast.Import) and any(
            one.name in ours and "." in one.name and not one.asname for one in node.names
        ):
            yield node, "a module of a package is reached by its path; from PACKAGE import it"
        elif isinstance(node, ast.arguments) and node.kwarg:
            yield node.kwarg, "** collects arguments by their texts, and they are shortened"
        elif isinstance(node, ast.Call) and _gives_by_text(node):
            yield node, "** gives arguments by their texts, and they are shortened"
        elif isinstance(node, ast.Attribute) and _is_written(node) and node.attr.isupper():
            yield node, f"{node.attr} is set, but constants are inserted where they are used"
        elif isinstance(node, _FUNCTIONS):
            yield from _in_function(node)


def _shadows(tree: ast.Module, ours: set[str]) -> Iterator[tuple[ast.AST, str]]:
    """Yield where a name that stands for a constant or a module of ours means something else."""
    origins = imported(tree)
    inserted = {
        name
        for name, found in origins.items()
        for module, what in found
        if (module in ours and what.isupper()) or f"{module}.{what}".lstrip(".") in ours
    }
    for name, node in bindings(tree):
        if name in inserted:
            yield node, f"{name} is imported from another module, and means something else here"
    for name in inserted:
        if len(origins[name]) > 1:
            yield tree, f"{name} is imported from two modules"


def _gives_by_text(call: ast.Call) -> bool:
    """Return whether a call has ** arguments; to a function of MicroPython it may."""
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    return name not in KEPT and any(each.arg is None for each in call.keywords)


def _in_function(function: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in walk(function):
        names = node.names if isinstance(node, ast.Global) else [getattr(node, "arg", None)]
        if isinstance(node, ast.Name) and _is_written(node):
            names = [node.id]
        for name in names:
            if name and name.isupper() and len(name) > 1 and not isinstance(node, ast.keyword):
                yield node, f"{name} is written like a constant and changes inside a function"


def _is_written(node: ast.Name | ast.Attribute) -> bool:
    return not isinstance(node.ctx, ast.Load)
