"""Which names of the detectors are integers, which arrays, found by reading their source.

A name has the one type that all its assignments and calls agree on; where they do not agree, or
where something is not understood, it is ANY, which is slower and never wrong: a number becomes a
C integer only if nothing else is ever assigned to it. Types:

    INT        whole number (or truth value)
    "arr:i"    array("i"), and so on by its code; "arr:B" is a bytearray, too
    "obj:X"    an instance of class X of the detectors
    SECTIONS   what slog.signal_table reads: {tag: array("i")}
    (..., ...) a tuple of these
    ANY        any Python object
    None       not known yet
"""

import ast
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Type: TypeAlias = str | tuple[Any, ...] | None

INT, ANY, SECTIONS = "int", "any", "sections"
# What a viper function calls its pointers is the type of an array here, as in slog.native.
_POINTERS = {"ptr8": "arr:B", "ptr16": "arr:H", "ptr32": "arr:i", "int": INT}
# What the host calls the detectors with. The sections of a table have one name everywhere.
_ENTRY = {"Events.scan": {"block": "arr:B", "at": INT, "n": INT, "hi": INT}}
_BY_NAME = {"sections": SECTIONS}
_OF_INTS = ("abs", "len", "max", "min")


@dataclass(slots=True)
class Function:
    """A function or method: its parameters and local names with their types, what it returns.

    is_passed_on   it is called by whom the source does not name, too
    """

    node: ast.FunctionDef
    owner: str | None
    names: dict[str, Type] = field(default_factory=dict)
    returns: Type = None
    is_passed_on: bool = False

    @property
    def parameters(self) -> list[str]:
        """Return the names of the parameters, without `self`."""
        return [arg.arg for arg in self.node.args.args if arg.arg != "self"]


class Program:
    """The classes and functions of one module. `infer` finds the types.

    attributes   {class: {attribute: Type}}
    methods      {class: {name: Function}}
    functions    {name: Function}
    elements     nodes that read an element of an array
    reads        (class, class of which it uses an attribute, attribute)
    """

    def __init__(self, tree: ast.Module) -> None:
        self.attributes: dict[str, dict[str, Type]] = {}
        self.methods: dict[str, dict[str, Function]] = {}
        self.functions: dict[str, Function] = {}
        self.elements: set[ast.Subscript] = set()
        self.reads: set[tuple[str, str, str]] = set()
        self._changed = False
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                self.functions[node.name] = self._function(node, None)
            elif isinstance(node, ast.ClassDef):
                self.attributes[node.name] = {}
                self.methods[node.name] = {
                    each.name: self._function(each, node.name)
                    for each in node.body
                    if isinstance(each, ast.FunctionDef)
                }

    def infer(self) -> None:
        """Find the types: repeat until nothing changes. A type only ever gets less exact."""
        self._settle()
        for function in self.all_functions():
            for name in function.parameters:
                if function.names[name] is None:  # only callers that are not known
                    function.names[name] = ANY
        self._settle()

    def _settle(self) -> None:
        self._changed = True
        while self._changed:
            self._changed = False
            for function in self.all_functions():
                _Reader(self, function).read()

    def all_functions(self) -> list[Function]:
        """Return functions and methods in the order of the source."""
        methods = [each for of_class in self.methods.values() for each in of_class.values()]
        return [*self.functions.values(), *methods]

    def put(self, names: dict[str, Type], name: str, new: Type) -> None:
        """Take note that `name` is given a value of type `new`."""
        joined = join(names.setdefault(name, None), new)
        if joined != names[name]:
            names[name] = joined
            self._changed = True

    def put_return(self, function: Function, new: Type) -> None:
        """Take note that a function returns a value of type `new`."""
        joined = join(function.returns, new)
        if joined != function.returns:
            function.returns = joined
            self._changed = True

    def method(self, owner: Type, name: str) -> Function | None:
        """Return the method of an instance, or None."""
        if isinstance(owner, str) and owner.startswith("obj:"):
            return self.methods[owner[4:]].get(name)
        return None

    @staticmethod
    def _function(node: ast.FunctionDef, owner: str | None) -> Function:
        function = Function(node, owner)
        entry = _ENTRY.get(f"{owner}.{node.name}", {})
        function.is_passed_on = bool(entry)
        for arg in node.args.args:
            hint = arg.annotation.id if isinstance(arg.annotation, ast.Name) else ""
            known = _POINTERS.get(hint) or _BY_NAME.get(arg.arg) or entry.get(arg.arg)
            if arg.arg == "self" and owner:
                known = f"obj:{owner}"
            function.names[arg.arg] = known
        for arg, default in zip(node.args.args[::-1], node.args.defaults[::-1], strict=False):
            function.names[arg.arg] = join(function.names[arg.arg], _of_constant(default))
        for name in ast.walk(node):
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                function.names.setdefault(name.id, None)
        if not _always_returns(node.body):
            function.returns = ANY
        return function


def join(a: Type, b: Type) -> Type:
    """Return the type that holds values of both."""
    if a is None or b is None or a == b:
        return b if a is None else a
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return tuple(map(join, a, b))
    return ANY


class _Reader(ast.NodeVisitor):
    """Reads one function once: what each assignment, call and return says of types."""

    def __init__(self, program: Program, function: Function) -> None:
        self.program = program
        self.function = function
        self.names = function.names

    def read(self) -> None:
        for statement in self.function.node.body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self.type_of(node.value)
        for target in node.targets:
            self._assign(target, value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        new = self._arithmetic(node.op, self.type_of(node.target), self.type_of(node.value))
        self._assign(node.target, new)

    def visit_For(self, node: ast.For) -> None:
        over = node.iter
        is_range = isinstance(over, ast.Call) and getattr(over.func, "id", "") == "range"
        value = self.type_of(over)
        if is_range or _is_array(value):
            element: Type = INT
        elif isinstance(over, ast.Tuple) and isinstance(value, tuple):
            element = None
            for each in value:
                element = join(element, each)
        else:
            element = ANY
        self._assign(node.target, element)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_Return(self, node: ast.Return) -> None:
        self.program.put_return(self.function, self.type_of(node.value) if node.value else ANY)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        raise NotImplementedError(f"line {node.lineno}: a function within a function")

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr):
            self.type_of(node)
            return
        super().generic_visit(node)

    def type_of(self, node: ast.expr) -> Type:
        """Return the type of an expression; note what its calls are given."""
        handler = getattr(self, f"_of_{type(node).__name__}", None)
        if handler is not None:
            found: Type = handler(node)
            return found
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.type_of(child)
        return ANY

    def _assign(self, target: ast.expr, value: Type) -> None:
        if isinstance(target, ast.Name):
            self.program.put(self.names, target.id, _BY_NAME.get(target.id, value))
        elif isinstance(target, (ast.Tuple, ast.List)):
            for k, each in enumerate(target.elts):
                self._assign(each, value[k] if isinstance(value, tuple) else value and ANY)
        elif isinstance(target, ast.Attribute):
            owner = self.type_of(target.value)
            if isinstance(owner, str) and owner.startswith("obj:"):
                self.program.put(self.program.attributes[owner[4:]], target.attr, value)
        else:
            self.type_of(target)

    @staticmethod
    def _of_Constant(node: ast.Constant) -> Type:
        return _of_constant(node)

    def _of_Name(self, node: ast.Name) -> Type:
        if node.id in self.program.functions:
            self._escape(self.program.functions[node.id])
            return ANY
        return self.names.get(node.id, ANY)

    def _of_Attribute(self, node: ast.Attribute) -> Type:
        owner = self.type_of(node.value)
        method = self.program.method(owner, node.attr)
        if method is not None:
            self._escape(method)
            return ANY
        if isinstance(owner, str) and owner.startswith("obj:"):
            self.program.reads.add((self.function.owner or "", owner[4:], node.attr))
            return self.program.attributes[owner[4:]].get(node.attr)
        return owner and ANY

    def _of_Subscript(self, node: ast.Subscript) -> Type:
        value, index = self.type_of(node.value), node.slice
        if isinstance(index, ast.Slice):
            return ANY
        self.type_of(index)
        if value == SECTIONS:
            return "arr:i"
        if _is_array(value):
            if isinstance(node.ctx, ast.Load):
                self.program.elements.add(node)
            return INT
        place = index.value if isinstance(index, ast.Constant) else None
        if isinstance(value, tuple) and isinstance(place, int):
            found: Type = value[place]
            return found
        return value and ANY

    def _of_BinOp(self, node: ast.BinOp) -> Type:
        return self._arithmetic(node.op, self.type_of(node.left), self.type_of(node.right))

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Type:
        value = self.type_of(node.operand)
        return INT if isinstance(node.op, ast.Not) else value

    def _of_BoolOp(self, node: ast.BoolOp) -> Type:
        found: Type = None
        for each in node.values:
            found = join(found, self.type_of(each))
        return found

    def _of_Compare(self, node: ast.Compare) -> Type:
        for each in (node.left, *node.comparators):
            self.type_of(each)
        return INT

    def _of_IfExp(self, node: ast.IfExp) -> Type:
        self.type_of(node.test)
        return join(self.type_of(node.body), self.type_of(node.orelse))

    def _of_Tuple(self, node: ast.Tuple) -> Type:
        return tuple(self.type_of(each) for each in node.elts)

    def _of_Call(self, node: ast.Call) -> Type:
        given = [self.type_of(each) for each in node.args]
        if node.keywords:
            raise NotImplementedError(f"line {node.lineno}: an argument by name")
        if isinstance(node.func, ast.Attribute):
            owner = self.type_of(node.func.value)
            method = self.program.method(owner, node.func.attr)
            return self._bind(method, given) if method else owner and ANY
        name = getattr(node.func, "id", "")
        if name in self.program.methods:
            start = self.program.methods[name].get("__init__")
            if start:
                self._bind(start, given)
            return f"obj:{name}"
        if name in self.program.functions:
            return self._bind(self.program.functions[name], given)
        if name == "array" and isinstance(node.args[0], ast.Constant):
            return f"arr:{node.args[0].value!s}"
        if name == "bytearray":
            return "arr:B"
        if name in _OF_INTS:
            if name == "len" or all(each == INT for each in given):
                return INT
            return None if None in given else ANY
        return ANY

    def _bind(self, function: Function, given: list[Type]) -> Type:
        for name, value in zip(function.parameters, given, strict=False):
            self.program.put(function.names, name, value)
        return function.returns

    def _escape(self, function: Function) -> None:
        """A function that is passed on may be called with anything."""
        function.is_passed_on = True
        for name in function.parameters:
            self.program.put(function.names, name, ANY)

    @staticmethod
    def _arithmetic(op: ast.operator, left: Type, right: Type) -> Type:
        if isinstance(op, (ast.Div, ast.Pow)):
            return ANY
        if left == right == INT:
            return INT
        return None if None in (left, right) and ANY not in (left, right) else ANY


def _of_constant(node: ast.expr) -> Type:
    is_whole = isinstance(node, ast.Constant) and isinstance(node.value, int)
    return INT if is_whole else ANY


def _is_array(value: Type) -> bool:
    return isinstance(value, str) and value.startswith("arr:")


def _always_returns(body: list[ast.stmt]) -> bool:
    """Return whether a function cannot run off its end."""
    last = body[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and _always_returns(last.body) and _always_returns(last.orelse)
    if isinstance(last, ast.While) and isinstance(last.test, ast.Constant) and last.test.value:
        return not any(isinstance(node, ast.Break) for node in ast.walk(last))
    return isinstance(last, (ast.Return, ast.Raise))
