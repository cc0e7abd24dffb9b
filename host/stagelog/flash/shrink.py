"""Shrink the sources that go onto a board: memory for code is memory that the ring lacks.

Numbers that a module computes from the contract's tables are inserted where they are used, across
modules; so are the indices of named values in a signal table. Unused code is left out, as are
the descriptions in tables; the contract's hash is computed here, not there. What the code does
stays the same. Works by the spelling of names: what it cannot handle, `rules` refuses.
"""

import ast
import importlib
import re
from collections import Counter, defaultdict

from slog import signal_table
from stagelog.flash.merge import Groups, merge
from stagelog.flash.names import ENTRY, KEPT, shorten
from stagelog.flash.rules import bindings, check_rules, imported, is_same
from stagelog.flash.walk import walk
from stagelog.resources import import_firmware

_PURE = ("slog", "detectors", "logger")  # packages that can be imported here
HASH = "contract_hash"
_NAMED = "named"
_STRUCT_CODE = re.compile(r"\d*[a-zA-Z]")
Constant = int | str | bytes


def shrink(
    sources: dict[str, str], readable: bool = True, groups: Groups | None = None
) -> dict[str, str]:
    """Return {module name: source} with the same behaviour and fewer names.

    sources   {module name: source} of all that goes onto the board
    readable  False: the names that are left are made short, see `names`
    groups    modules that become one, see `merge`
    """
    trees = fold(sources)
    for tree in trees.values():
        _drop_const(tree)
        _NameAndCode().visit(tree)
    while _drop_unused(trees):
        pass
    if groups is not None:
        trees = merge(trees, groups)
    if not readable:
        shorten(trees)
    return {name: ast.unparse(ast.fix_missing_locations(tree)) for name, tree in trees.items()}


def fold(sources: dict[str, str], private: bool = False) -> dict[str, ast.Module]:
    """Return {module name: tree} of sources in which constants and indices are inserted.

    private   also those that a module marks `_NAME = const(...)`, which a board's compiler inserts
    """
    trees = {name: ast.parse(source) for name, source in sources.items()}
    check_rules(trees)
    values = {name: _constants(name, tree, private) for name, tree in trees.items()}
    rows = _row_indices()
    for name, tree in trees.items():
        if name == "slog.messages":
            _put_hash(tree)
        trees[name] = _fill_empty(_Folder(name, tree, values, rows).visit(tree))
    return trees


def _constants(name: str, tree: ast.Module, private: bool) -> dict[str, Constant]:
    """Return {name: value} of what a module assigns once, as the module itself computes it."""
    n_bound = Counter([*(name for name, _ in bindings(tree)), *imported(tree)])
    names = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and (private or not _is_private_const(node))
        for target in _targets(node)
        if isinstance(target, ast.Name) and target.id.isupper() and n_bound[target.id] == 1
    ]
    if name.split(".")[0] not in _PURE:
        names = [name for name in names if not name.startswith("_") and _is_const(tree, name)]
    if not names:
        return {}
    import_firmware()
    module = importlib.import_module(name)
    found = {name: getattr(module, name, None) for name in names}
    return {name: value for name, value in found.items() if isinstance(value, Constant)}


def _targets(node: ast.Assign) -> list[ast.expr]:
    """Return what an assignment assigns to, the parts of tuples one by one."""
    return [each for target in node.targets for each in getattr(target, "elts", [target])]


def _is_private_const(node: ast.Assign) -> bool:
    """Return whether the compiler folds an assignment by itself: _NAME = const(...)."""
    return _is_call_of(node.value, "const") and _id_of(node.targets[0]).startswith("_")


def _is_const(tree: ast.Module, name: str) -> bool:
    return any(
        isinstance(node, ast.Assign)
        and _is_call_of(node.value, "const")
        and _id_of(node.targets[0]) == name
        for node in tree.body
    )


def _id_of(node: ast.expr) -> str:
    """Return the name that an expression is, "" if it is another one."""
    return node.id if isinstance(node, ast.Name) else ""


def _is_call_of(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and _id_of(node.func) == name


def _row_indices() -> dict[str, int | None]:
    """Return {name: index} of the named values of a signal table; None for a name of two."""
    found: dict[str, int | None] = {}
    for table, names in vars(signal_table).items():
        if table.endswith("_ROWS") and isinstance(names, tuple):
            for index, name in enumerate(names):
                found[name] = index if found.get(name, index) == index else None
    return found


def _put_hash(tree: ast.Module) -> None:
    from slog.messages import contract_hash

    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == HASH:
            node.body = [ast.Return(ast.Constant(contract_hash()))]


class _Folder(ast.NodeTransformer):
    """Replaces constants by their values, and names of rows by their indices."""

    def __init__(
        self,
        name: str,
        tree: ast.Module,
        values: dict[str, dict[str, Constant]],
        rows: dict[str, int | None],
    ) -> None:
        self.rows = rows
        self.own = values[name]
        self.known = {key: value for key, value in self.own.items() if type(value) is int}
        self.aliases: dict[str, dict[str, Constant]] = {}
        for known_as, origins in imported(tree).items():
            for module, attribute in origins:
                value = values.get(module, {}).get(attribute)
                if type(value) is int:
                    self.known[known_as] = value
                elif f"{module}.{attribute}".lstrip(".") in values:
                    self.aliases[known_as] = values[f"{module}.{attribute}".lstrip(".")]

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self.known:
            return ast.Constant(self.known[node.id])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            value = self.aliases.get(node.value.id, {}).get(node.attr)
            if type(value) is int:
                return ast.Constant(value)
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        node.names = [
            alias for alias in node.names if (alias.asname or alias.name) not in self.known
        ]
        return node if node.names else None

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        targets = _targets(node)
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        all_known = len(names) == len(targets) and all(name in self.known for name in names)
        if all_known and not is_same(node):
            return None
        if _id_of(node.targets[0]) in self.own:
            node.value = ast.Constant(self.own[names[0]])
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        name = getattr(node.value, "attr", None) or _id_of(node.value)
        if (
            name.endswith("rows")
            and isinstance(node.slice, ast.Constant)
            and node.slice.value in self.rows
        ):
            index = self.rows[node.slice.value]
            if index is None:
                raise ValueError(f"two values of a signal table are named '{node.slice.value}'")
            node.slice = ast.Constant(index)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if getattr(node.func, "attr", None) == _NAMED:
            return node.args[0]
        return node


def _fill_empty(tree: ast.Module) -> ast.Module:
    """Put `pass` where nothing is left of a body."""
    for node in walk(tree):
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def _used_names(trees: dict[str, ast.Module]) -> tuple[dict[str, set[str]], set[str]]:
    """Return {module name: what it or another module uses of it}, and all attributes used."""
    used = {name: {ENTRY} for name in trees}
    attributes = set(KEPT)
    for name, tree in trees.items():
        aliases: defaultdict[str, set[str]] = defaultdict(set)
        for known_as, origins in imported(tree).items():
            for module, attribute in origins:
                used.get(module, set()).add(attribute)
                aliases[known_as].add(f"{module}.{attribute}".lstrip("."))
        for node in walk(tree):
            counted = node.target if isinstance(node, ast.AugAssign) else node
            if isinstance(counted, ast.Name):
                if counted is not node or isinstance(counted.ctx, ast.Load):
                    used[name].add(counted.id)
            elif isinstance(counted, ast.Attribute):
                attributes.add(counted.attr)
                for module in aliases.get(_id_of(counted.value), set()) & set(used):
                    used[module].add(counted.attr)
    return used, attributes


def _drop_unused(trees: dict[str, ast.Module]) -> bool:
    """Remove unused code from modules and their classes; return whether there was any."""
    used, attributes = _used_names(trees)
    changed = False
    for name, tree in trees.items():
        changed |= _drop_from(tree, used[name])
        own = {node.id for node in walk(tree) if isinstance(node, ast.Name)}
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                changed |= _drop_from(node, attributes | own)
            elif isinstance(node, ast.ImportFrom):
                node.names = [a for a in node.names if (a.asname or a.name) in own]
        kept = [n for n in tree.body if not isinstance(n, ast.ImportFrom) or n.names]
        changed |= len(kept) < len(tree.body)
        tree.body = kept
        _fill_empty(tree)
    return changed


def _drop_const(tree: ast.Module) -> None:
    """Remove the import of `const`: the compiler knows the word and folds what it marks."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            node.names = [alias for alias in node.names if alias.name != "const"]
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.ImportFrom) and not node.names)
        and not _only_finds_const(node)
    ]


def _only_finds_const(node: ast.stmt) -> bool:
    """Return whether a statement tries to import `const`, and nothing else."""
    return (
        isinstance(node, ast.Try)
        and isinstance(node.body[0], ast.ImportFrom)
        and [alias.name for alias in node.body[0].names] == ["const"]
    )


def _drop_from(holder: ast.Module | ast.ClassDef, used: set[str]) -> bool:
    kept = [node for node in holder.body if not _names_of(node) or _names_of(node) & used]
    changed = len(kept) < len(holder.body)
    holder.body = kept
    return changed


def _names_of(node: ast.stmt) -> set[str]:
    """Return what a statement defines, empty if it does more than that."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return set() if node.name.startswith("__") else {node.name}
    if isinstance(node, ast.Assign):
        targets = _targets(node) if len(node.targets) > 1 else node.targets
        if all(isinstance(target, ast.Name) for target in targets):
            return {_id_of(target) for target in targets}
    return set()


class _NameAndCode(ast.NodeTransformer):
    """Cuts unit and description from the rows of tables: (name, struct code) stay."""

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        items = [item.value for item in node.elts if isinstance(item, ast.Constant)]
        texts = [item for item in items if isinstance(item, str)]
        if len(node.elts) == len(texts) == 4 and _STRUCT_CODE.fullmatch(texts[1]):
            del node.elts[2:]
        return self.generic_visit(node)
