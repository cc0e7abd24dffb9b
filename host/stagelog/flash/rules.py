"""What firmware sources must not do, as they are shrunk by the spelling of their names.

`shrink` inserts constants where they are used and drops what nobody names; `names` gives short
names, the same everywhere. Code that looks a name up by its text, or changes a constant, would do
something else on the board than here. Fails with InputError that names the file and the line.
CONTRIBUTING.md states the rules for authors of firmware.
"""

import ast
from collections.abc import Iterator

from stagelog.errors import InputError

_BY_TEXT = frozenset(
    "getattr setattr hasattr delattr globals locals vars eval exec __import__ __dict__".split()
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def check_rules(trees: dict[str, ast.Module]) -> None:
    """Raise InputError for the first source that cannot be shrunk.

    trees   {module name: its syntax tree, as written}
    """
    for name, tree in trees.items():
        for node, why in _offences(tree):
            place = f"{name.replace('.', '/')}.py, line {getattr(node, 'lineno', 0)}"
            raise InputError(
                f"{place}: {why}", "write it another way: CONTRIBUTING.md, 'Firmware is shrunk'"
            )


def _offences(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        word = getattr(node, "id", None) or getattr(node, "attr", None)
        if word in _BY_TEXT:
            yield node, f"{word} looks names up by their text, and they are shortened"
        elif isinstance(node, ast.ImportFrom) and any(one.name == "*" for one in node.names):
            yield node, "import * hides which names are used, and unused ones are dropped"
        elif isinstance(node, ast.Attribute) and _is_written(node) and node.attr.isupper():
            yield node, f"{node.attr} is set, but constants are inserted where they are used"
        elif isinstance(node, _FUNCTIONS):
            yield from _in_function(node)


def _in_function(function: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(function):
        names = node.names if isinstance(node, ast.Global) else [getattr(node, "arg", None)]
        if isinstance(node, ast.Name) and _is_written(node):
            names = [node.id]
        for name in names:
            if name and name.isupper() and len(name) > 1 and not isinstance(node, ast.keyword):
                yield node, f"{name} is written like a constant and changes inside a function"


def _is_written(node: ast.Name | ast.Attribute) -> bool:
    return not isinstance(node.ctx, ast.Load)
