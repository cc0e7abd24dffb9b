"""Short names for a board's modules: each name of ours is kept in the board's memory as text.

Every name that our sources define gets one short name, the same everywhere. Two names that are
never in one scope may get the same: `Store.fault` and `Alarms.level` may both be `c`. Names of
MicroPython and of its objects stay, as do those of modules and what `KEPT` lists. Sources that
look names up by their text would break; `rules` refuses them. A traceback from a board shows the
short names; firmware that `build_app` made with `readable` shows ours.
"""

import array
import ast
import builtins
import collections
import io
import itertools
import keyword
import string
import types
from collections import Counter, defaultdict
from collections.abc import Iterator

from stagelog.flash.walk import walk

# Names on the objects of MicroPython's modules that our classes or parameters use, too.
_FOREIGN = """
    active args baudrate buf buffer channel close config count deinit digest errno feed
    getvalue hard hexdigest id init ioctl ipoll irq key mask memory micropython miso mode
    modify mosi mount native off on open opt pack pin poll ptr16 ptr32 ptr8 read readblocks
    readinto readline register sck seek send sleep stat stop ticks timeout toggle umount
    unregister update value viper write write_readinto writeblocks
""".split()
_TYPES = (
    str,
    bytes,
    bytearray,
    list,
    dict,
    set,
    tuple,
    int,
    memoryview,
    object,
    OSError,
    StopIteration,
    property,
    io.FileIO,
    io.BytesIO,
    io.StringIO,
    array.array,
    collections.deque,
    types.GeneratorType,
)
_FIRST = string.ascii_letters
ENTRY = "run"  # what is called from outside
KEPT = frozenset(
    [*_FOREIGN, *dir(builtins), *(name for kind in _TYPES for name in dir(kind)), ENTRY]
)


def shorten(trees: dict[str, ast.Module]) -> None:
    """Rename in place what {module name: ast.Module} define."""
    modules = {part for name in trees for part in name.split(".")}
    all_trees = list(trees.values())
    own = {name for tree in all_trees for name in _defined(tree)} - KEPT - modules
    own -= {name for tree in all_trees for name in _foreign(tree, modules)}
    own -= {name for tree in all_trees for name in _constants(tree)}  # the compiler folds these
    own = {name for name in own if not name.startswith("__")}
    meets: defaultdict[str, set[str]] = defaultdict(set)  # names that share a scope with a name
    for group in _namespaces(all_trees):
        group = group & own
        for name in group:
            meets[name] |= group
    n_uses = Counter(name for tree in all_trees for name in _all_names(tree))
    taken = set(n_uses) - own | set(keyword.kwlist)
    given: dict[str, str] = {}
    for name in sorted(own, key=lambda name: (-n_uses[name], name)):
        used = taken.union(given[other] for other in meets[name] if other in given)
        given[name] = next(short for short in _shorts() if short not in used)
    for tree in all_trees:
        _rename(tree, given)


def _shorts() -> Iterator[str]:
    yield from _FIRST
    yield from map("".join, itertools.product(_FIRST, _FIRST + string.digits))


def _defined(tree: ast.Module) -> set[str]:
    """Return the names that a module defines anywhere: functions, classes, parameters, variables
    and attributes.
    """
    found = set()
    for node in walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.alias) and node.asname:
            found.add(node.asname)
    return found


def _constants(tree: ast.Module) -> Iterator[str]:
    """Yield the NAME of each NAME = const(...) of a module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if isinstance(node.value.func, ast.Name) and node.value.func.id == "const":
                yield from (each.id for each in node.targets if isinstance(each, ast.Name))


def _foreign(tree: ast.Module, modules: set[str]) -> set[str]:
    """Return the names that a module takes from modules that are not ours, and those of the
    arguments that it gives to functions that are not ours.
    """
    found: set[str] = set()
    foreign: set[str] = set()  # what stands for a foreign module, or for what comes from one
    for node in walk(tree):
        if isinstance(node, ast.Import):
            of_others = [alias for alias in node.names if _first_part(alias.name) not in modules]
            foreign.update(alias.asname or alias.name for alias in of_others)
            found.update(alias.name for alias in of_others)
        elif isinstance(node, ast.ImportFrom) and _first_part(node.module) not in modules:
            foreign.update(alias.asname or alias.name for alias in node.names)
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef) and "asm_thumb" in map(_last, node.decorator_list):
            found.update(_names(node))  # registers, labels, instructions
    for node in walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in foreign:
                found.add(node.attr)
        elif isinstance(node, ast.Call) and (_last(node) in KEPT or _root(node) in foreign):
            found.update(each.arg for each in node.keywords if each.arg)
    return found


def _first_part(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _last(node: object) -> str | None:
    """Return the name that an expression ends with, as far as it is one."""
    node = getattr(node, "func", node)
    return getattr(node, "attr", getattr(node, "id", None))


def _root(node: ast.AST) -> str | None:
    """Return the name that an expression begins with, as far as it is one."""
    while isinstance(node, (ast.Call, ast.Attribute)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return getattr(node, "id", None)


def _namespaces(trees: list[ast.Module]) -> Iterator[set[str]]:
    """Yield sets of names that must stay apart: of a class with its bases, of a module, of a
    function with all in it.
    """
    classes: defaultdict[str, set[str]] = defaultdict(set)
    above: defaultdict[str, set[str]] = defaultdict(set)  # bases, and what an alias stands for
    loose: set[str] = set()  # attributes that are set on something else than self
    for tree in trees:
        for node in walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name] |= _members(node)
                above[node.name] |= {name for name in map(_last, node.bases) if name}
            elif isinstance(node, (ast.FunctionDef, ast.Lambda)):
                yield set(_names(node))
            elif isinstance(node, ast.alias) and node.asname:
                above[node.asname].add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                    loose.add(node.attr)
    for tree in trees:
        yield {name for node in tree.body for name in _bound(node)} | loose
    for name in classes:
        line = _line(name, above, {name})
        yield set().union(loose, *(classes[one] for one in line if one in classes))


def _line(name: str, above: dict[str, set[str]], line: set[str]) -> set[str]:
    """Return a class with all that it inherits from, under all names that they have; adds to
    `line`.
    """
    for base in above.get(name, set()) - line:
        line.add(base)
        _line(base, above, line)
    return line


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement of a module or a class binds or uses, those inside
    functions not.
    """
    found: set[str] = set()
    open_nodes: list[ast.AST] = [node]
    while open_nodes:
        child = open_nodes.pop()
        if isinstance(child, ast.FunctionDef):
            found.add(child.name)
            arguments = child.args
            open_nodes += [*arguments.defaults, *filter(None, arguments.kw_defaults)]
            open_nodes += child.decorator_list
            continue
        if isinstance(child, ast.ClassDef):
            found.add(child.name)
            open_nodes += [*child.bases, *child.decorator_list]
            continue
        if isinstance(child, ast.Name):
            found.add(child.id)
        elif isinstance(child, ast.alias):
            found.add(child.asname or child.name)
        open_nodes += ast.iter_child_nodes(child)
    return found


def _members(node: ast.ClassDef) -> set[str]:
    """Return the names of a class and of its instances."""
    found = {name for child in node.body for name in _bound(child)}
    for child in walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
            if child.value.id == "self":  # what is set on cls is set from outside, too
                found.add(child.attr)
    return found


def _names(function: ast.AST) -> Iterator[str]:
    """Yield the names of variables in a function, and of what is defined or imported in it."""
    for node in walk(function):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node is not function:
            yield node.name


def _all_names(tree: ast.Module) -> Iterator[str]:
    for node in walk(tree):
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name


def _rename(tree: ast.Module, given: dict[str, str]) -> None:
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            node.names = [given.get(name, name) for name in node.names]
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str) and name in given:
                setattr(node, field, given[name])
