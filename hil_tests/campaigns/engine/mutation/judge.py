"""Judges changes of one area in a copy of the checkout, so that MicroPython and started processes
see them too.

Runs as a process of its own: a Task as JSON on stdin, a line of JSON for every outcome on stdout.
The tests run once without any change; that gives their time and which file of tests calls which
function. Then every change is written to its file and judged in a fork by the files of tests that
call its function or start a process, those that killed its neighbours first; the first failure is
the verdict. Fails with exit code 1 if no test passes without any change.

    killed     a test failed, or the file could not be imported
    timed out  the tests took several times as long: noticed too
    survived   all tests passed: a missing test, or a change that changes nothing
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
_LOADED_ONCE = (
    "cantools",
    "click",
    "construct",
    "hypothesis",
    "numpy",
    "pytest",
    "rich",
    "serial",
)
_STARTS_PROCESS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")
_OPTIONS = (
    "-q",
    "-x",
    "--tb=no",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--hypothesis-seed=0",
)
_LEAST_s = 5
_LONGER = 4  # times the time without a change
_NOTHING_NEW = 200_000  # calls after which a test is believed to call no other function
_STUCK = 20  # the same on the clock, for tests that wait


@dataclass
class TestFile:
    """What is known of a file of tests: its time, what it calls, the tests that fail unchanged."""

    cpu_s: float = 0.0
    clock_s: float = 0.0
    calls: set = field(default_factory=set)
    starts_process: bool = False
    failed: list = field(default_factory=list)
    kills: Counter = field(default_factory=Counter)


class Observer:
    """A pytest plugin: notes which functions of `files` each file of tests calls."""

    def __init__(self, root, files):
        self._files = {str(root / file): file for file in files}
        self.tests = {}
        self.at_import = set()
        self.n_not_collected = 0
        self._calls = self.at_import
        self._test = None
        self._n_calls = 0
        sys.addaudithook(self._audit)

    def start(self):
        """Follow the calls of all threads."""
        sys.setprofile(self._call)
        threading.setprofile(self._call)

    def _call(self, frame, event, arg):
        if event != "call":
            return
        self._n_calls += 1
        if file := self._files.get(frame.f_code.co_filename):
            function = (file, frame.f_code.co_qualname.partition(".<locals>")[0])
            if function not in self._calls:
                self._calls.add(function)
                self._n_calls = 0
        if self._test is not None and self._n_calls > _NOTHING_NEW:
            sys.setprofile(None)  # up to the next test: following calls costs time

    def _audit(self, event, args):
        if self._test is not None and event in _STARTS_PROCESS:
            self._test.starts_process = True

    def pytest_runtest_setup(self, item):
        """From here on calls belong to the test's file."""
        self._test = self.tests.setdefault(item.nodeid.partition("::")[0], TestFile())
        self._calls = self._test.calls
        self._n_calls = 0
        sys.setprofile(self._call)

    def pytest_runtest_logreport(self, report):
        """Sum up the times; note what fails without a change."""
        self._test.clock_s += report.duration
        if report.failed:
            self._test.failed.append(report.nodeid)

    def pytest_collectreport(self, report):
        """Note a file of tests that can't be imported."""
        if report.failed:
            self.n_not_collected += 1

    def pytest_sessionfinish(self):
        """Stop following."""
        sys.setprofile(None)
        threading.setprofile(None)


def run_pytest(tests, left_out=(), plugins=(), options=_OPTIONS):
    """Run tests in this process; return pytest's exit code."""
    import hypothesis
    import pytest

    checks = list(hypothesis.HealthCheck)
    hypothesis.settings.register_profile("judge", deadline=None, suppress_health_check=checks)
    hypothesis.settings.load_profile("judge")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        deselect = [f"--deselect={test}" for test in left_out]
        places = [f"--rootdir={Path.cwd()}", f"--basetemp={folder}/t"]
        arguments = [*options, *places, *deselect, *tests]
        return int(pytest.main(arguments, plugins=list(plugins)))


def in_fork(work, cpu_s=None, clock_s=None):
    """Call work() in a fork; return (what it returns, processor seconds), TIMED_OUT for the first
    if it takes longer. What it has started ends with it.
    """
    read, write = os.pipe()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if not child:
        os.close(read)
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(quiet, number)
        if cpu_s is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 3))
        with contextlib.suppress(BaseException):
            os.write(write, json.dumps(work()).encode())
        os._exit(0)
    os.close(write)
    status = _wait(child, clock_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with os.fdopen(read) as stream:
        text = stream.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ended = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
    return (TIMED_OUT if ended else json.loads(text) if text else None), took_s


def _wait(child, clock_s):
    deadline = time.monotonic() + (clock_s or 1e9)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


class Judge:
    """Judges changes of `files` by `tests` in the copy `root`; the copy is whole between two."""

    def __init__(self, root, files, tests):
        self._root = root
        self._n_written = 0
        self.at_import = set()
        self.tests = {}
        self.not_collected = []
        for test in tests:
            found, cpu_s = in_fork(lambda test=test: self._observe(files, test))
            if not isinstance(found, list):
                self.not_collected.append(test)
                continue
            self.tests[test] = TestFile(cpu_s, found[1], set(map(tuple, found[0])), *found[2:4])
            self.at_import.update(map(tuple, found[4]))

    def _observe(self, files, test):
        observer = Observer(self._root, files)
        observer.start()
        run_pytest([test], plugins=[observer], options=[o for o in _OPTIONS if o != "-x"])
        if observer.n_not_collected:
            return None
        seen = observer.tests.get(test, TestFile())
        return [
            list(seen.calls),
            seen.clock_s,
            seen.starts_process,
            seen.failed,
            list(observer.at_import),
        ]

    def tests_for(self, change):
        """Return the files of tests that could notice a change, the most likely first."""
        function = (change.file, change.scope)
        everywhere = not change.scope or function in self.at_import
        found = [
            name
            for name, test in self.tests.items()
            if everywhere or test.starts_process or function in test.calls
        ]
        return sorted(
            found,
            key=lambda name: (
                -self.tests[name].kills[function],
                function not in self.tests[name].calls,
                self.tests[name].cpu_s,
            ),
        )

    def judge(self, change):
        """Return the outcome of one change."""
        found = self.tests_for(change)
        left_out = [test for name in found for test in self.tests[name].failed]
        if not found:
            return SURVIVED
        path = self._root / change.file
        whole, times = path.read_bytes(), path.stat()
        self._n_written += 1
        later_ns = times.st_mtime_ns + self._n_written * 10**10  # never that of a .pyc
        try:
            path.write_bytes(change.apply(whole))
            os.utime(path, ns=(later_ns, later_ns))
            cpu_s = sum(self.tests[name].cpu_s for name in found)
            clock_s = sum(self.tests[name].clock_s for name in found)
            outcome, _ = in_fork(
                lambda: self._first_failure(found, left_out),
                _LEAST_s + _LONGER * cpu_s,
                12 * _LEAST_s + _STUCK * clock_s,
            )
        finally:
            path.write_bytes(whole)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        if outcome in (TIMED_OUT, SURVIVED):
            return outcome
        if outcome in self.tests:
            self.tests[outcome].kills[change.file, change.scope] += 1
        return KILLED

    def _first_failure(self, tests, left_out):
        """Return the file of tests that fails, SURVIVED if none does."""
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        failed = []

        class Witness:
            def pytest_runtest_logreport(self, report):
                if report.failed:
                    failed.append(report.nodeid.partition("::")[0])

        code = run_pytest(tests, left_out, [Witness()])
        return failed[0] if failed else SURVIVED if code in (0, 5) else KILLED


def main():
    """Judge the Task on stdin."""
    from campaigns.engine.mutation.changes import Change

    task = json.load(sys.stdin)
    for name in _LOADED_ONCE:
        importlib.import_module(name)
    judge = Judge(Path.cwd(), task["files"], task["tests"])
    failed = [test for name in judge.tests for test in judge.tests[name].failed]
    failed += judge.not_collected
    print(json.dumps({"unchanged": failed, "n_files": len(judge.tests)}), flush=True)
    if not judge.tests:
        return 1
    for values in task["changes"]:
        change = Change(**values)
        print(json.dumps([change.case, judge.judge(change)]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
