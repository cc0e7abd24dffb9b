"""Changes to one source file, each a slip that a tired colleague could make.

Owns the kinds of changes and their order; each is an edit of the text, so that a difference can be
shown. Nothing is run here. Texts, annotations and the decorators of classes are left alone.

    comparison  < <=    > >=    == !=    is, is not    in, not in
    operator    + -     * //    % //     << >>         & |    ^ &     and or     also with =
    number      n -> n + 1      x.y -> 2 x.y           True False     min max    any all
    condition   of if, while, if-else, comprehension: negated
    statement   call, return, raise, break, continue, assignment to a part: removed
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_SWAPS = {
    ast.Lt: ("<", "LtE", "<="),
    ast.LtE: ("<=", "Lt", "<"),
    ast.Gt: (">", "GtE", ">="),
    ast.GtE: (">=", "Gt", ">"),
    ast.Eq: ("==", "NotEq", "!="),
    ast.NotEq: ("!=", "Eq", "=="),
    ast.Is: ("is", "IsNot", "is not"),
    ast.IsNot: ("is not", "Is", "is"),
    ast.In: ("in", "NotIn", "not in"),
    ast.NotIn: ("not in", "In", "in"),
    ast.Add: ("+", "Sub", "-"),
    ast.Sub: ("-", "Add", "+"),
    ast.Mult: ("*", "FloorDiv", "//"),
    ast.FloorDiv: ("//", "Mult", "*"),
    ast.Div: ("/", "Mult", "*"),
    ast.Mod: ("%", "FloorDiv", "//"),
    ast.LShift: ("<<", "RShift", ">>"),
    ast.RShift: (">>", "LShift", "<<"),
    ast.BitAnd: ("&", "BitOr", "|"),
    ast.BitOr: ("|", "BitAnd", "&"),
    ast.BitXor: ("^", "BitAnd", "&"),
    ast.And: ("and", "Or", "or"),
    ast.Or: ("or", "And", "and"),
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Change:
    """One edit: bytes `start` to `end` of a file become `new`.

    index  its number among the changes of the file
    scope  qualified name of the outermost function that it is in, empty outside of all
    code   the text of its line
    what   the change in words
    """

    file: str
    index: int
    line: int
    scope: str
    code: str
    what: str
    start: int
    end: int
    new: str

    @property
    def case(self) -> str:
        """The name that `tools/campaign mutants --case` takes."""
        return f"{self.file}:{self.index}"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The name in the list of judged survivors, which holds when its line moves."""
        return (self.file, self.scope, self.code, self.what)

    def apply(self, source: bytes) -> bytes:
        """Return the changed source."""
        return source[: self.start] + self.new.encode() + source[self.end :]


def changes_of(file: str, source: bytes) -> list[Change]:
    """Return all changes of a file, always in the same order."""
    text = _Text(source)
    tree = ast.parse(source)
    scopes = {}
    _name_scopes(tree, "", scopes)
    found = [
        (start, end, node.lineno, scopes.get(node, ""), what, new)
        for node in _mutable(tree)
        for node, what, start, end, new in _edits(node, text)
    ]
    return [
        Change(file, i, line, scope, text.lines[line - 1].strip().decode(), what, start, end, new)
        for i, (start, end, line, scope, what, new) in enumerate(sorted(found))
    ]


class _Text:
    """A source with the byte offsets of the nodes of its tree."""

    def __init__(self, source):
        self.source = source
        self.lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line))

    def start(self, node):
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node):
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node):
        return self.source[self.start(node) : self.end(node)].decode()

    def find(self, token, after, before):
        """Return the place of an operator between two nodes, None if it is not there."""
        word = rb"\b%s\b" if token.isalpha() or " " in token else rb"%s"
        pattern = word % re.escape(token).replace(r"\ ", r"\s+").encode()
        hit = re.search(pattern, self.source[after:before])
        return (after + hit.start(), after + hit.end()) if hit else None


def _name_scopes(node, prefix, scopes):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            name = prefix + child.name
            scopes.update((inner, name) for inner in ast.walk(child))
        elif isinstance(child, ast.ClassDef):
            _name_scopes(child, f"{prefix}{child.name}.", scopes)


def _mutable(tree) -> Iterator[ast.AST]:
    """Yield the nodes of a tree that may be changed."""
    left_out = set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        skipped = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.JoinedStr):
            skipped.append(node)
        elif isinstance(node, ast.ClassDef):
            skipped += node.decorator_list
        for part in filter(None, skipped):
            left_out.update(id(inner) for inner in ast.walk(part))
        if id(node) not in left_out:
            yield node


def _edits(node, text):
    """Yield (node, words, start, end, new text) for every change of a node itself."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            yield from _swap(node, op, left, right, text)
    elif isinstance(node, ast.BinOp) and not _is_text(node.left):
        yield from _swap(node, node.op, node.left, node.right, text)
    elif isinstance(node, ast.BoolOp):
        yield from _swap_all(node, text)
    elif isinstance(node, ast.Constant):
        yield from _number(node, text)
    elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in _NAMES:
        old = node.func.id
        words = f"{old} -> {_NAMES[old]}"
        yield node, words, text.start(node.func), text.end(node.func), _NAMES[old]
    elif isinstance(node, ast.AugAssign):
        yield from _swap(node, node.op, node.target, node.value, text, "=")
    for test in _conditions(node):
        words = f"condition negated: {ast.unparse(test)[:60]}"
        yield test, words, text.start(test), text.end(test), f"not ({text.of(test)})"
    if isinstance(node, ast.stmt) and _removable(node):
        words = f"removed: {ast.unparse(node)[:60]}"
        yield node, words, text.start(node), text.end(node), "pass"


def _is_text(node):
    return isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str)


def _swap(node, op, left, right, text, suffix=""):
    old, word, new = _SWAPS.get(type(op), (None, None, None))
    place = old and text.find(old + suffix, text.end(left), text.start(right))
    if place:
        yield node, f"{type(op).__name__} -> {word}", *place, new + suffix


def _swap_all(node, text):
    """Exchange every `and` of a row, or every `or`."""
    old, word, new = _SWAPS[type(node.op)]
    at, parts = text.start(node), []
    for left, right in zip(node.values, node.values[1:], strict=False):
        place = text.find(old, text.end(left), text.start(right))
        if not place:
            return
        parts += [text.source[at : place[0]].decode(), new]
        at = place[1]
    parts.append(text.source[at : text.end(node)].decode())
    words = f"{type(node.op).__name__} -> {word}"
    yield node, words, text.start(node), text.end(node), "".join(parts)


def _number(node, text):
    old = node.value
    if isinstance(old, bool):
        new = not old
    elif isinstance(old, int):
        new = old + 1
    elif isinstance(old, float):
        new = 2 * old or 1.0
    else:
        return
    yield node, f"{old} -> {new}", text.start(node), text.end(node), repr(new)


def _conditions(node):
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return [node.test]
    return node.ifs if isinstance(node, ast.comprehension) else []


def _removable(node):
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], ast.Name | ast.Tuple)
    return isinstance(
        node, ast.AugAssign | ast.Raise | ast.Return | ast.Continue | ast.Break | ast.Delete
    )
