"""Several modules of a board as one: each file costs a board 10 ms of its start at 125 MHz, and
each name that two of them use is kept and searched twice.

What a module defines gets its module's name, so that nothing meets that did not meet before;
`names` makes it short. Names that MicroPython knows (`names.KEPT`) stay; if two modules of a group
give one of them different meanings, that is a ValueError. Works on what `shrink.fold` has left.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence

from stagelog.flash.names import ENTRY, KEPT
from stagelog.flash.walk import walk

Groups = Mapping[str, Sequence[str]]
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def merge(trees: dict[str, ast.Module], groups: Groups) -> dict[str, ast.Module]:
    """Return {name of a group: one tree of all its modules, in their order}.

    trees    {module name: ast.Module}, changed in place
    groups   {name: names of its modules}; each module is in one group, and groups that a group
             imports from are loaded before
    """
    group_of = {name: group for group, names in groups.items() for name in names}
    own = {name: _bound(trees[name].body) for name in group_of}
    changed = {
        (name, what)
        for name in group_of
        for node in walk(trees[name])
        if isinstance(node, ast.Global)
        for what in node.names
    }
    origins = {
        (name, alias.asname or alias.name): (node.module, alias.name)
        for name in group_of
        for node in trees[name].body
        if isinstance(node, ast.ImportFrom) and node.module in group_of
        for alias in node.names
    }
    merged = {}
    for group, names in groups.items():
        body: list[ast.stmt] = []
        meanings: dict[str, str] = {}
        for name in names:
            mover = _Mover(name, group_of, own, changed, origins)
            moved = mover.visit(trees[name])
            for kept, meaning in mover.kept.items():
                if meanings.setdefault(kept, meaning) != meaning:
                    raise ValueError(f"{kept} means {meanings[kept]} and {meaning} in {group}")
            known = {ast.dump(each) for each in body if _is_import(each)}
            body += [each for each in moved.body if ast.dump(each) not in known]
        merged[group] = ast.Module(body, [])
    return merged


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _bound(body: Iterable[ast.AST]) -> set[str]:
    """Return the names that statements bind in their own scope, those of imports included."""
    found: set[str] = set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif _is_import(node):
            found |= {alias.asname or alias.name for alias in node.names}  # type: ignore[attr-defined]
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)):
            waiting += ast.iter_child_nodes(node)
    return found


class _Mover(ast.NodeTransformer):
    """Gives the names of one module's scope those of its group.

    kept   {name that stays: what it means}
    """

    def __init__(
        self,
        module: str,
        group_of: Mapping[str, str],
        own: Mapping[str, set[str]],
        changed: set[tuple[str, str]],
        origins: Mapping[tuple[str, str], tuple[str, str]],
    ) -> None:
        self.kept: dict[str, str] = {}
        self._module = module
        self._group_of = group_of
        self._own = own
        self._changed = changed  # (module, name) of what functions assign anew
        self._origins = origins  # of names that a module has from another of ours
        self._names: dict[str, str] = {}  # of the module's scope: what they are called now
        self._modules: dict[str, str] = {}  # what stands for a module of ours
        self._scopes: list[set[str]] = []  # names of the functions and classes around

    def visit_Module(self, node: ast.Module) -> ast.Module:
        imports = [each for each in walk(node) if _is_import(each)]
        for name in self._own[self._module] - {
            alias.asname or alias.name
            for each in imports
            for alias in each.names  # type: ignore[attr-defined]
        }:
            self._call(name, self._unique(self._module, name), f"{self._module}.{name}")
        for each in node.body:
            if isinstance(each, ast.ImportFrom):
                self._learn(each)
            elif isinstance(each, ast.Import):
                for alias in each.names:
                    self._call(alias.asname or alias.name, alias.asname or alias.name, alias.name)
        used = {
            (each.value.id, each.attr)
            for each in walk(node)
            if isinstance(each, ast.Attribute)
            and isinstance(each.value, ast.Name)
            and each.value.id in self._modules
        }
        body = self._visited(node.body)
        outer = [
            self._import(module, attribute, self._unique(module, attribute))
            for module, attribute in sorted({(self._modules[alias], what) for alias, what in used})
            if self._is_outer(module, attribute)
        ]
        node.body = [*outer, *body]
        return node

    def _call(self, name: str, new: str, meaning: str) -> None:
        self._names[name] = new
        if new == name:
            self.kept[name] = meaning

    def _learn(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            known_as, path = alias.asname or alias.name, f"{node.module}.{alias.name}"
            if path in self._group_of:
                self._modules[known_as] = path
            elif node.module in self._group_of:
                self._names[known_as] = self._unique(node.module, alias.name)
            else:
                self._call(known_as, known_as, path)

    def _origin(self, module: str, name: str) -> tuple[str, str]:
        """Return (module, name) of what a module of ours knows as `name`, where it is defined."""
        while (module, name) in self._origins:
            module, name = self._origins[module, name]
        return module, name

    def _unique(self, module: str | None, name: str) -> str:
        """Return what a name of a module of ours is called in its group."""
        if module is None or name.startswith("__"):
            return name
        module, name = self._origin(module, name)
        is_inner = name == ENTRY and self._group_of[module] != module
        return f"{name}__{module.replace('.', '_')}" if is_inner or name not in KEPT else name

    def _is_outer(self, module: str, name: str) -> bool:
        module, _ = self._origin(module, name)
        return self._group_of[module] != self._group_of[self._module]

    def _import(self, module: str, name: str, known_as: str) -> ast.ImportFrom:
        module, name = self._origin(module, name)
        if (module, name) in self._changed:
            raise ValueError(f"{self._module} would see {module}.{name} as it was at its import")
        there = self._unique(module, name)
        alias = ast.alias(there, None if known_as == there else known_as)
        return ast.ImportFrom(self._group_of[module], [alias], 0)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt] | ast.stmt | None:
        if not any(f"{node.module}.{alias.name}" in self._group_of for alias in node.names):
            if node.module not in self._group_of:
                return node
        out: list[ast.stmt] = []
        for alias in node.names:
            known_as = alias.asname or alias.name
            if f"{node.module}.{alias.name}" in self._group_of:
                if self._scopes:
                    raise ValueError(f"{self._module}: {known_as} is imported in a function")
                continue
            assert node.module is not None
            there = self._unique(node.module, alias.name)
            known_as = known_as if self._scopes else there
            if self._is_outer(node.module, alias.name):
                out.append(self._import(node.module, alias.name, known_as))
            elif known_as != there:
                target = ast.Name(known_as, ast.Store())
                out.append(ast.Assign([target], ast.Name(there, ast.Load()), lineno=0))
        return out or None

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if not self._is_local(node.id):
            node.id = self._names.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        value = node.value
        if isinstance(value, ast.Name) and value.id in self._modules:
            if not self._is_local(value.id):
                return ast.Name(self._unique(self._modules[value.id], node.attr), node.ctx)
        self.generic_visit(node)
        return node

    def visit_Global(self, node: ast.Global) -> ast.Global:
        node.names = [self._names.get(name, name) for name in node.names]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        if node.name and not self._is_local(node.name):
            node.name = self._names.get(node.name, node.name)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        if not self._is_local(node.name):
            node.name = self._names.get(node.name, node.name)
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        self._visit_arguments(node.args)
        if node.returns is not None:
            node.returns = self.visit(node.returns)
        changed = {n for e in walk(node) if isinstance(e, ast.Global) for n in e.names}
        self._scopes.append((_bound(node.body) | _names_of(node.args)) - changed)
        node.body = self._visited(node.body)
        self._scopes.pop()
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self._visit_arguments(node.args)
        self._scopes.append(_names_of(node.args))
        node.body = self.visit(node.body)
        self._scopes.pop()
        return node

    def _visit_arguments(self, node: ast.arguments) -> None:
        node.defaults = [self.visit(each) for each in node.defaults]
        for arg in (*node.posonlyargs, *node.args, *node.kwonlyargs):
            if arg.annotation is not None:
                arg.annotation = self.visit(arg.annotation)
        node.kw_defaults = [each and self.visit(each) for each in node.kw_defaults]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """A class sees what it has bound before; its methods do not."""
        node.name = self._names.get(node.name, node.name)
        node.bases = [self.visit(each) for each in node.bases]
        body: list[ast.stmt] = []
        bound: set[str] = set()
        for each in node.body:
            if isinstance(each, ast.FunctionDef):
                bound.add(each.name)
                name = each.name
                body += self._visited([each])
                each.name = name
            elif isinstance(each, ast.Assign):
                self._scopes.append(set(bound))
                each.value = self.visit(each.value)
                self._scopes.pop()
                bound |= _bound([each])
                body.append(each)
            else:
                body.append(each)
        node.body = body
        return node

    def _visited(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for each in body:
            new = self.visit(each)
            out += new if isinstance(new, list) else [] if new is None else [new]
        return out

    def _visit_comprehension(self, node: ast.expr) -> ast.expr:
        targets = {
            each.id
            for each in walk(node)
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        }
        self._scopes.append(targets)
        self.generic_visit(node)
        self._scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension


def _names_of(arguments: ast.arguments) -> set[str]:
    return {each.arg for each in walk(arguments) if isinstance(each, ast.arg)}
