"""Judges the mutants of one file by its tests, in forked processes; nothing is written to the
tree.

The tests are collected once. A mutant inside a function that no import has called is judged in a
fork of that process, with the function's code exchanged; any other by a process that imports the
mutant in place of the file and collects anew. In both, the tests that killed its neighbours come
first, the quick before the slow, and the first failure is the verdict. Fails with InputError if
the tests fail without any change.
"""

import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter

import hypothesis
from _pytest.runner import runtestprotocol

from stagelog.errors import InputError
from stagelog.resources import firmware_path

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
_PURGED = ("slog", "detectors", "logger", "stagelog", "campaigns")
_LEAST_s = 0.5
_STUCK_s = 600  # on the clock, for tests that wait without working
_FAR = 200  # lines


class Docket:
    """What is known of the tests: the processor time of each, and on which lines each has killed.

    Invariant: all tests pass on the file as it is.
    """

    def __init__(self):
        self.seconds = {}
        self.kills = {}

    def budget_s(self, item):
        """Processor time after which a test that has not ended counts as a failure."""
        return _LEAST_s + 5 * self.seconds.get(item.nodeid, 0)

    def note(self, test, line):
        """Remember that a test killed a mutant of a line."""
        self.kills.setdefault(test, Counter())[line] += 1

    def order(self, items, line):
        """Return pytest items, the most likely to fail on a mutant of `line` first."""

        def rank(item):
            score = sum(
                n / (1 + abs(line - at))
                for at, n in self.kills.get(item.nodeid, {}).items()
                if abs(line - at) < _FAR
            )
            seconds = self.seconds.get(item.nodeid, 1.0)
            return (-score / (0.02 + seconds), seconds)

        return sorted(items, key=rank)


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a mutant's tree in place of its file."""

    def __init__(self, module, mutant):
        self._module = module
        self._mutant = mutant

    def find_spec(self, fullname, path, target=None):
        if fullname != self._module:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=str(self._mutant.path))

    def exec_module(self, module):
        module.__file__ = str(self._mutant.path)
        exec(compile(self._mutant.tree(), module.__file__, "exec"), module.__dict__)


class _Session:
    """A pytest plugin that takes over once the tests are collected: calls `run(items)`."""

    def __init__(self, run):
        self._run = run

    def pytest_runtestloop(self, session):
        """Run what was asked for in place of all tests."""
        self._run(session.items)
        return True


def judge(module, tests, mutants, docket, tell):
    """Judge all mutants of one file; tell(mutant, outcome) as they come.

    module   the name under which the tests import the file
    tests    paths of pytest
    """
    inner, outer = [], []
    for line in _in_fork(lambda send: _court(module, tests, mutants, docket, send)):
        kind, *rest = line
        if kind == "tests":
            docket.seconds.update(rest[0])
        elif kind == "broken":
            raise InputError(f"{rest[0]} fails without any change", "mend it first")
        elif kind == "outer":
            outer = [mutants[i] for i in rest[0]]
        else:
            index, outcome, test = rest
            inner.append(index)
            _settle(mutants[index], outcome, test, docket, tell)
    for mutant in outer:
        outcome, test = _judge_anew(module, tests, mutant, docket)
        _settle(mutant, outcome, test, docket, tell)


def _settle(mutant, outcome, test, docket, tell):
    if test:
        docket.note(test, mutant.line)
    tell(mutant, outcome)


def _in_fork(work):
    """Call work(send) in a forked process; yield what it sends, as JSON lines."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            _be_quiet()
            stream = os.fdopen(write, "w")

            def send(*line):
                stream.write(json.dumps(line) + "\n")
                stream.flush()

            work(send)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        for line in stream:
            yield json.loads(line)
    os.waitpid(child, 0)


def _be_quiet():
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def _pytest(tests, run):
    """Collect the tests and call run(items); what the machine's load could fail is off."""
    checks = list(hypothesis.HealthCheck)
    hypothesis.settings.register_profile("judge", deadline=None, suppress_health_check=checks)
    hypothesis.settings.load_profile("judge")
    sys.dont_write_bytecode = True
    root = firmware_path().parent
    sys.path[:0] = [str(root / folder) for folder in ("firmware", "host", "hil_tests")]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=no"]
        options += ["--hypothesis-seed=0", f"--rootdir={firmware_path().parent}"]
        options += [f"--basetemp={folder}/t", *tests]
        code = importlib.import_module("pytest").main(options, plugins=[_Session(run)])
    return int(code)


def _court(module, tests, mutants, docket, send):
    """Collect the tests, and judge the mutants of functions that no import has called."""
    called = set()

    def note(frame, event, arg):
        if event == "call" and frame.f_globals.get("__name__") == module:
            called.add(frame.f_code.co_qualname)

    def run(items):
        sys.setprofile(None)
        seconds, broken = _time(items)
        if broken:
            send("broken", broken)
            return
        docket.seconds.update(seconds)
        send("tests", seconds)
        outer = []
        for index, mutant in enumerate(mutants):
            if not mutant.scope or any(name.startswith(mutant.scope) for name in called):
                outer.append(index)
                continue
            outcome, test = _judge_inner(module, mutant, items, docket)
            if outcome is None:
                outer.append(index)
                continue
            if test:
                docket.note(test, mutant.line)
            send("judged", index, outcome, test)
        send("outer", outer)

    sys.setprofile(note)
    _pytest(tests, run)


def _time(items):
    """Run all tests in a fork; return ({test: seconds}, the first that failed or None)."""
    seconds = {}
    for name, took_s, failed in _in_fork(lambda send: _run_all(items, send)):
        if failed:
            return seconds, name
        seconds[name] = took_s
    return seconds, None if len(seconds) == len(items) else "the test process"


def _run_all(items, send):
    for item, after in zip(items, [*items[1:], None], strict=True):
        start = time.process_time()
        failed = _fails(item, after)
        send(item.nodeid, time.process_time() - start, failed)


def _fails(item, after):
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=after))


def _try(items, docket, line, send):
    """Run tests up to the first that fails; send what came of it. SIGPROF ends a process whose
    test uses up its processor time.
    """
    ordered = docket.order(items, line)
    for item, after in zip(ordered, [*ordered[1:], None], strict=True):
        signal.setitimer(signal.ITIMER_PROF, docket.budget_s(item))
        if _fails(item, after):
            send(KILLED, item.nodeid)
            return
    send(SURVIVED, None)


def _judge_inner(module, mutant, items, docket):
    """Return (outcome, the test that failed), outcome None if the code can't be exchanged."""

    def work(send):
        if not _exchange(sys.modules[module], mutant):
            send("outer")
            return
        _try(items, docket, mutant.line, send)

    return _verdict(work)


def _judge_anew(module, tests, mutant, docket):
    """Return (outcome, the test that failed) of a mutant that the tests import."""

    def work(send):
        for name in list(sys.modules):
            if name.split(".")[0] in _PURGED:
                del sys.modules[name]
        sys.meta_path.insert(0, _Loader(module, mutant))

        _pytest(tests, lambda items: _try(items, docket, mutant.line, send))

    return _verdict(work)


def _verdict(work):
    """Return (outcome, test) of a fork; one that dies without a word was killed by its mutant."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            _be_quiet()
            work(lambda *line: os.write(write, json.dumps(line).encode() + b"\n"))
        finally:
            os._exit(0)
    os.close(write)
    deadline = time.monotonic() + _STUCK_s
    status = None
    while status is None:
        done, found = os.waitpid(child, os.WNOHANG)
        if done:
            status = found
        elif time.monotonic() > deadline:
            os.kill(child, signal.SIGPROF)
            deadline += _STUCK_s
        else:
            time.sleep(0.003)
    with os.fdopen(read) as stream:
        last = [json.loads(line) for line in stream][-1:]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        return TIMED_OUT, None
    if last == [["outer"]]:
        return None, None
    return tuple(last[0]) if last else (KILLED, None)


def _exchange(module, mutant):
    """Put the mutant's code into its function; False if it does not fit."""
    function = module
    for name in mutant.scope.split("."):
        function = vars(function)[name]
    function = getattr(function, "fget", None) or getattr(function, "__func__", function)
    function = getattr(function, "__wrapped__", function)
    changed = compile(mutant.tree(), str(mutant.path), "exec")
    code = _find_code(changed, mutant.scope, function.__code__.co_firstlineno)
    if code is None or code.co_freevars != function.__code__.co_freevars:
        return False
    function.__code__ = code
    return True


def _find_code(code, scope, line):
    for inner in code.co_consts:
        if hasattr(inner, "co_code"):
            if inner.co_qualname == scope and inner.co_firstlineno == line:
                return inner
            found = _find_code(inner, scope, line)
            if found is not None:
                return found
    return None
