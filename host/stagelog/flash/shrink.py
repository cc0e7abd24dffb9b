"""Make the sources smaller that go onto a board: memory for code is memory that the ring lacks.

Constants are put where they are used, across modules; what nobody uses in the contract's modules
is left out, as are the descriptions in its tables; the contract's hash is computed here, not
there. What the code does stays the same. Works by names, so our sources do not look names up by
text.
"""

import ast

_CONTRACT = "slog"
_HASH = "contract_hash"


def shrink(sources):
    """Return {module name: source} with the same behaviour and fewer names.

    sources   {module name: source} of all that goes onto the board
    """
    trees = {name: ast.parse(source) for name, source in sources.items()}
    values = {name: _constants(name, tree) for name, tree in trees.items()}
    for name, tree in trees.items():
        if name == f"{_CONTRACT}.messages":
            _put_hash(tree)
        trees[name] = _Folder(name, tree, values).visit(tree)
    contract = [name for name in trees if name.split(".")[0] == _CONTRACT]
    while sum([_drop_unused(trees[name], _used_names(trees.values())) for name in contract]):
        pass
    for name in contract:
        _Untold().visit(trees[name])
    return {name: ast.unparse(ast.fix_missing_locations(tree)) for name, tree in trees.items()}


def _constants(name, tree):
    """Return {name: int} of the module's NAME = const(...), as the module itself computes them."""
    names = [
        node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "const"
        and not node.targets[0].id.startswith("_")
    ]
    if not names:
        return {}
    module = __import__(name, fromlist=["*"])
    return {name: getattr(module, name) for name in names}


def _put_hash(tree):
    from slog.messages import contract_hash

    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == _HASH:
            node.body = [ast.Return(ast.Constant(contract_hash()))]


class _Folder(ast.NodeTransformer):
    """Puts the values of constants in the place of their names."""

    def __init__(self, name, tree, values):
        self.known = dict(values[name])
        self.aliases = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    known_as = alias.asname or alias.name
                    if alias.name in values.get(node.module, ()):
                        self.known[known_as] = values[node.module][alias.name]
                    elif f"{node.module}.{alias.name}" in values:
                        self.aliases[known_as] = values[f"{node.module}.{alias.name}"]

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load) and node.id in self.known:
            return ast.Constant(self.known[node.id])
        return node

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.attr in self.aliases.get(node.value.id, ()):
            return ast.Constant(self.aliases[node.value.id][node.attr])
        return self.generic_visit(node)

    def visit_ImportFrom(self, node):
        node.names = [
            alias for alias in node.names if (alias.asname or alias.name) not in self.known
        ]
        return node if node.names else None

    def visit_Assign(self, node):
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id in self.known:
            return None
        return self.generic_visit(node)


def _used_names(trees):
    used = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used.add(node.id)
            elif isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.ImportFrom):
                used.update(alias.name for alias in node.names)
    return used


def _drop_unused(tree, used):
    """Take what nobody uses out of a module; tell whether there was anything."""
    kept = [node for node in tree.body if not _names_of(node) or _names_of(node) & used]
    for node in kept:
        if isinstance(node, ast.ImportFrom):
            own = {other.id for other in ast.walk(tree) if isinstance(other, ast.Name)}
            node.names = [alias for alias in node.names if (alias.asname or alias.name) in own]
    kept = [node for node in kept if not isinstance(node, ast.ImportFrom) or node.names]
    changed = len(kept) < len(tree.body)
    tree.body = kept
    return changed


def _names_of(node):
    """Return what a statement defines, empty if it does more than that."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return {node.targets[0].id}
    return set()


class _Untold(ast.NodeTransformer):
    """Empties the descriptions in rows of four."""

    def visit_Tuple(self, node):
        if len(node.elts) == 4:
            at = 2 if isinstance(node.elts[3], ast.Tuple) else 3
            if isinstance(node.elts[at], ast.Constant) and isinstance(node.elts[at].value, str):
                node.elts[at] = ast.Constant("")
        return self.generic_visit(node)
