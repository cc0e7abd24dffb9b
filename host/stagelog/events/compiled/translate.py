"""The detectors as one source for Cython, made from the firmware's files.

Constants and the places of named values are inserted as for the board (flash.shrink), and the
types that `inference` finds are written to names and attributes. Nothing else changes: divisions,
shifts and indices stay Python's, and a number beyond 64 bits is an OverflowError.
"""

import ast

from stagelog.events.compiled.inference import INT, Function, Program, Type
from stagelog.flash.shrink import fold

_C = {"i": "cython.int", "I": "cython.uint", "h": "cython.short", "H": "cython.ushort",
      "b": "cython.schar", "B": "cython.uchar"}  # fmt: skip
_READ = {("Events", "watch"), ("Watch", "lo"), ("Watch", "hi")}  # by the host
_LIKE_A_DICT = ("items", "keys", "values")  # that Cython takes for a dict's in a loop
_HEAD = """# cython: language_level=3, overflowcheck=True
import cython
from array import array

@cython.cfunc
@cython.returns(cython.longlong)
@cython.locals(value=cython.longlong)
def _absolute(value):
    return -value if value < 0 else value

@cython.cfunc
@cython.returns(cython.longlong)
@cython.locals(value=cython.longlong, n=cython.longlong)
def _left(value, n):
    return value * (1 << n)

"""


def translate(sources: dict[str, str]) -> str:
    """Return one Cython source with all classes and functions of the detectors.

    sources  {module name: source} of the detectors and of slog
    Raises   NotImplementedError for what cannot be translated
    """
    trees = {
        name: tree
        for name, tree in fold(sources, private=True).items()
        if name.startswith("detectors.")
    }
    body: list[ast.stmt] = []
    for name, module in trees.items():
        body += [node for node in module.body if _is_code(node, name)]
    names = [node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise NotImplementedError(f"two modules of the detectors define {', '.join(twice)}")
    tree = ast.Module(body, [])
    program = Program(tree)
    program.infer()
    tree.body = _parts_first(tree.body, program)
    _write_types(tree, program)
    tree = _Exact(program.elements).visit(tree)
    return _HEAD + ast.unparse(ast.fix_missing_locations(tree))


def _parts_first(body: list[ast.stmt], program: Program) -> list[ast.stmt]:
    """Return functions, then classes, each after those that its attributes are instances of."""
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    order: list[str] = []

    def add(name: str, users: tuple[str, ...]) -> None:
        for found in program.attributes[name].values():
            if isinstance(found, str) and found[:4] == "obj:" and found[4:] not in users:
                add(found[4:], (*users, found[4:]))
        if name not in order:
            order.append(name)

    for name in classes:
        add(name, (name,))
    functions = [node for node in body if not isinstance(node, ast.ClassDef)]
    return functions + [classes[name] for name in order]


def _is_code(node: ast.stmt, module: str) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)):
        return False
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return True
    raise NotImplementedError(f"{module}, line {node.lineno}: {ast.unparse(node)}")


class _Exact(ast.NodeTransformer):
    """Calculates with 64 bits what is read from an array, too. With overflowcheck Cython's own
    abs() does not compile, and a negative number cannot be shifted to the left.
    """

    def __init__(self, elements: set[ast.Subscript]) -> None:
        self.elements = elements

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        is_element = node in self.elements
        self.generic_visit(node)
        if not is_element:
            return node
        return ast.Call(_expression("cython.cast"), [_expression("cython.longlong"), node], [])

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.op, ast.LShift):
            return node
        return ast.Call(_expression("_left"), [node.left, node.right], [])

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AugAssign:
        if isinstance(node.op, ast.LShift):
            raise NotImplementedError(f"line {node.lineno}: <<=")
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id == "abs":
            node.id = "_absolute"
        return node


def _write_types(tree: ast.Module, program: Program) -> None:
    read = _READ | {(of, name) for by, of, name in program.reads if by != of}
    known: set[str] = set()  # classes so far: those below cannot be named yet
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            _write_function(node, program.functions[node.name], known)
        elif isinstance(node, ast.ClassDef):
            known.add(node.name)
            for each in node.body:
                if isinstance(each, ast.FunctionDef):
                    _write_function(each, program.methods[node.name][each.name], known)
            declared = [
                _declaration(name, found, known, (node.name, name) in read)
                for name, found in program.attributes[node.name].items()
            ]
            node.decorator_list = [_expression("cython.final"), _expression("cython.cclass")]
            node.body[1:1] = declared


def _declaration(name: str, found: Type, known: set[str], is_read: bool) -> ast.stmt:
    c = _c_type(found, known)
    visible = ', visibility="readonly"' if is_read else ""
    return ast.parse(f"{name} = cython.declare({c}{visible})").body[0]


def _write_function(node: ast.FunctionDef, function: Function, known: set[str]) -> None:
    for arg in node.args.args:
        arg.annotation = None
    node.returns = None
    hidden = {
        name.id
        for each in ast.walk(node)
        if isinstance(each, ast.comprehension)
        for name in ast.walk(each.target)
        if isinstance(name, ast.Name)
    }
    typed = {
        name: _c_type(found, known)
        for name, found in function.names.items()
        if name != "self" and name not in hidden
    }
    pairs = ", ".join(f"{name}={c}" for name, c in typed.items() if c != "object")
    node.decorator_list = []
    if node.name == "__init__":
        pass
    elif function.owner and (function.is_passed_on or node.name in _LIKE_A_DICT):
        node.decorator_list.append(_expression("cython.ccall"))
    else:
        node.decorator_list.append(_expression("cython.cfunc"))
    if node.name != "__init__" and function.returns == INT:
        node.decorator_list.append(_expression("cython.returns(cython.longlong)"))
    if pairs:
        node.decorator_list.append(_expression(f"cython.locals({pairs})"))


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _c_type(found: Type, known: set[str]) -> str:
    """Return Cython's name of a type."""
    if found == INT:
        return "cython.longlong"
    if isinstance(found, str) and found.startswith("arr:"):
        return f"{_C[found[4:]]}[::1]"
    if isinstance(found, str) and found[:4] == "obj:" and found[4:] in known:
        return found[4:]
    return "object"
