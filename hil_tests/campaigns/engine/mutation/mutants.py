"""Mutation testing: change one operator, constant or statement of the code that keeps the data,
and see whether its fast tests notice.

Owns the changes, the choice of tests and the count; the tests are the ordinary ones, run by
`judging`. A mutant lives in memory only. Fails with InputError for a file without tests.

    killed     a test failed            timed out   a test took five times as long: noticed too
    survived   all tests passed: a missing test, or a change that changes nothing
"""

import ast
import copy
import importlib
import json
import random
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from campaigns.engine.mutation import judging
from campaigns.engine.results import Row
from stagelog.errors import InputError
from stagelog.resources import firmware_path

_SLOG = "hil_tests/campaigns/test_mutants_slog.py"
_BLOCK = ("firmware/tests/test_slog_block.py", "firmware/tests/test_slog_golden.py")
_MESSAGES = ("firmware/tests/test_slog_messages.py", "firmware/tests/test_slog_golden.py")
_STORE = (
    _SLOG,
    "firmware/tests/test_slog_store.py",
    "hil_tests/campaigns/test_kept_cases.py",
    "hil_tests/campaigns/test_model_recovery.py",
    "hil_tests/campaigns/test_mutants_extent.py",
    "hil_tests/campaigns/test_mutants_store.py",
)

# file -> (the module it is imported as, the tests that must notice)
TARGETS = {
    "firmware/slog/block.py": ("slog.block", _BLOCK),
    "firmware/slog/layout.py": ("slog.layout", (_SLOG, *_BLOCK, _MESSAGES[0])),
    "firmware/slog/messages.py": ("slog.messages", (_SLOG, *_MESSAGES)),
    "firmware/slog/framing.py": ("slog.framing", (_SLOG, "firmware/tests/test_slog_framing.py")),
    "firmware/slog/signal_table.py": (
        "slog.signal_table",
        (
            "hil_tests/campaigns/test_parser_campaign.py::test_d01_a_table_that_ends_anywhere_is_refused",
        ),
    ),
    "firmware/logger/ring.py": ("logger.ring", ("hil_tests/campaigns/test_mutants_ring.py",)),
    "firmware/logger/extent.py": ("logger.extent", _STORE),
    "firmware/logger/store.py": ("logger.store", _STORE),
    "firmware/logger/sessions.py": ("logger.sessions", (*_STORE, "firmware/tests/test_app.py")),
    "host/stagelog/ledger.py": (
        "stagelog.ledger",
        (_SLOG, "host/tests/test_ledger.py", "host/tests/test_blocks.py"),
    ),
}
SURVIVED_PATH = "hil_tests/campaigns/mutants_survived.toml"
_SLICE = 500  # mutants between two looks at the clock

_SWAPS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: number `index` of `file`, what it does in words.

    scope   qualified name of the outermost function that it is in, empty outside of all
    """

    file: str
    index: int
    line: int
    what: str
    scope: str = ""

    @property
    def path(self):
        """Where the file lies."""
        return repository() / self.file

    @property
    def key(self):
        """What names the change in the list of survivors, wherever its line moves to."""
        code = self.path.read_text(encoding="utf-8").splitlines()[self.line - 1].strip()
        return (self.file, self.scope, code, self.what)

    def tree(self):
        """Return the changed file, parsed."""
        tree = _parse(self.file)
        _apply(tree, self.index)
        return ast.fix_missing_locations(tree)

    def __str__(self):
        return f"{self.file}:{self.index} line {self.line}: {self.what}"


def repository():
    """Return the root of the checkout; the tests are only there."""
    return firmware_path().parent


def mutants_of(file):
    """Return all Mutants of a file of TARGETS, always in the same order."""
    if file not in TARGETS:
        raise InputError(f"no tests are named for {file}", f"choose one of {', '.join(TARGETS)}")
    tree = _parse(file)
    scopes = {}
    _name_scopes(tree, "", scopes)
    options = [
        (scopes.get(node, ""), *option) for node in ast.walk(tree) for option in _options(node)
    ]
    return [
        Mutant(file, index, line, what, scope)
        for index, (scope, line, what, _) in enumerate(options)
    ]


def _name_scopes(node, prefix, scopes):
    """Note for every node in a function the qualified name of the outermost function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            name = prefix + child.name
            scopes[child] = name
            scopes.update((inner, name) for part in child.body for inner in ast.walk(part))
        elif isinstance(child, ast.ClassDef):
            _name_scopes(child, f"{prefix}{child.name}.", scopes)


def _parse(file):
    return ast.parse((repository() / file).read_text(encoding="utf-8"))


def _apply(tree, index):
    """Make change number `index` in `tree`."""
    for node in ast.walk(tree):
        options = _options(node)
        if index < len(options):
            options[index][2]()
            return
        index -= len(options)


def _options(node):
    """Return [(line, words, function that makes the change in place)]."""
    line = getattr(node, "lineno", 0)
    if isinstance(node, ast.Compare):
        return [
            _swap(line, op, lambda new, i=i: node.ops.__setitem__(i, new))
            for i, op in enumerate(node.ops)
        ]
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in _SWAPS:
        if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant | ast.JoinedStr):
            if isinstance(getattr(node.left, "value", ""), str):
                return []  # "%d" % n: text
        return [_swap(line, node.op, lambda new: setattr(node, "op", new)), *_removals(node)]
    if isinstance(node, ast.Constant) and type(node.value) in (int, bool):
        new = not node.value if isinstance(node.value, bool) else node.value + 1
        return [(line, f"{node.value} -> {new}", lambda: setattr(node, "value", new))]
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        test = node.test
        negated = ast.UnaryOp(ast.Not(), copy.deepcopy(test))
        words = f"condition negated: {ast.unparse(test)[:60]}"
        return [(test.lineno, words, lambda: setattr(node, "test", negated)), *_removals(node)]
    return _removals(node)


def _swap(line, op, put):
    new = _SWAPS[type(op)]
    return (line, f"{type(op).__name__} -> {new.__name__}", lambda: put(new()))


def _removals(node):
    """Return the removals of statements that lie directly in `node`."""
    if isinstance(node, ast.Module | ast.ClassDef):
        return []
    found = []
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if not isinstance(body, list):
            continue
        for i, statement in enumerate(body):
            if _removable(statement):
                words = f"removed: {ast.unparse(statement)[:60]}"
                drop = _dropper(body, i)
                found.append((statement.lineno, words, drop))
    return found


def _dropper(body, i):
    return lambda: body.__setitem__(i, ast.Pass())


def _removable(statement):
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call)
    if isinstance(statement, ast.Assign):
        return not isinstance(statement.targets[0], ast.Name | ast.Tuple)
    return isinstance(statement, ast.AugAssign | ast.Raise | ast.Return | ast.Continue | ast.Break)


def sample(files, n, seed):
    """Return n of all mutants of some files, drawn by the seed; all if there are no more."""
    drawn = [mutant for file in files for mutant in mutants_of(file)]
    if n is not None and n < len(drawn):
        drawn = random.Random(seed).sample(drawn, n)
    return sorted(drawn, key=lambda mutant: (mutant.file, mutant.index))


def run(mutants, path=None, seconds=None, tell=print):
    """Judge mutants; return {str(mutant): outcome}.

    path     JSON lines, one per mutant; those in it already are not judged again
    seconds  stop after this time
    """
    for name in ("hypothesis", "numpy", "pytest"):  # of the tests: loaded once, before the forks
        importlib.import_module(name)
    done = _load(path)
    start = time.monotonic()

    def settle(mutant, outcome):
        done[str(mutant)] = outcome
        if outcome == judging.SURVIVED:
            tell(f"survived: {mutant}")
        if path is not None:
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps([str(mutant), outcome]) + "\n")

    for file in dict.fromkeys(mutant.file for mutant in mutants):
        waiting = [m for m in mutants if m.file == file and str(m) not in done]
        docket = judging.Docket()
        while waiting and (seconds is None or time.monotonic() - start < seconds):
            module, tests = TARGETS[file]
            paths = [str(repository() / test) for test in tests]
            judging.judge(module, paths, waiting[:_SLICE], docket, settle)
            del waiting[:_SLICE]
    return done


def _load(path):
    if path is None or not Path(path).exists():
        return {}
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return dict(json.loads(line) for line in lines)


def listed():
    """Return {Mutant.key: why no test can or need notice it} from the list of survivors."""
    text = (repository() / SURVIVED_PATH).read_text(encoding="utf-8")
    return {
        (entry["file"], entry["scope"], entry["code"], entry["what"]): entry["why"]
        for entry in tomllib.loads(text)["survivor"]
    }


def rows(mutants, done, seed, seconds):
    """Return Rows, all files first: a violation is a survivor that is not in the list. One that
    hangs the tests is killed.
    """
    known = listed()
    counts = {}
    for mutant in mutants:
        if str(mutant) in done:
            is_killed = done[str(mutant)] != judging.SURVIVED
            kind = "killed" if is_killed else "listed" if mutant.key in known else "open"
            for file in ("all", mutant.file):
                counts.setdefault(file, Counter())[kind] += 1
    found = []
    for file, count in counts.items():
        n = count.total()
        text = f"{100 * count['killed'] / n:.1f} % killed, {count['listed']} listed with a reason"
        found.append(Row(f"mutants: {file}", n, count["open"], text, seed))
    if found:
        found[0].seconds = seconds
    return found
