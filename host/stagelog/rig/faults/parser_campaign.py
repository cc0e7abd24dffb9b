"""The parser campaign: bytes that nobody meant, given to everything that reads bytes.

Owns the targets, the mutations, the limits of time and memory, and the count. Does not own the
parsers. An execution is a target and a number; with the seed its bytes are the same for ever. What
it must not do is in D1 to D14: raise what is not documented, take long or much, believe damage,
leave its folder, erase. With atheris the same targets run guided by coverage, in a process of
their own; what it finds is a file that `--file` runs again.
"""

import contextlib
import importlib
import importlib.util
import random
import resource
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from subprocess import run as run_process
from tempfile import TemporaryDirectory

from ...errors import InputError, UsageError
from .parser_targets import TARGETS, Violation
from .results import Finding, Row

LIMIT_s = 10
GROWTH_kB = 256 << 10
_LENGTHS = (0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1)


class Hang(BaseException):
    """An execution took longer than LIMIT_s; no parser may catch it."""


def mutate(data, rng, words=(), others=()):
    """Return `data` after one to four changes; `words` belong to its format, `others` are
    seeds.
    """
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        n = rng.choice((1, 1, 2, 4, 8, 30, 200, 4096))
        kind = rng.randrange(11)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 2:
            data[at : at + n] = bytes(len(data[at : at + n]))
        elif kind == 3:
            data[at : at + n] = b"\xff" * len(data[at : at + n])
        elif kind == 4:
            data[at:at] = data[at : at + n]
        elif kind == 5:
            data[at:at] = rng.randbytes(min(n, 64))
        elif kind == 6:
            del data[at : at + n]
        elif kind == 7:
            del data[at:]
        elif kind == 8:
            number = rng.choice((*_LENGTHS, len(data), rng.getrandbits(32)))
            data[at : at + 4] = struct.pack("<I", number)
        elif kind == 9 and words:
            data[at:at] = rng.choice(words)
        elif others:
            other = rng.choice(others)
            data[at:] = other[rng.randrange(len(other) + 1) :]
    return bytes(data)


def input_of(target, seed, number):
    """Return the bytes of one execution: a seed file mutated, one in fifty is pure noise."""
    rng = random.Random(f"{seed} {target.name} {number}")
    seeds = target.seeds()
    if rng.randrange(50) == 0:
        return rng.randbytes(rng.randrange(400))
    return mutate(rng.choice(seeds), rng, target.words, seeds)


@contextlib.contextmanager
def limited(seconds=LIMIT_s):
    """Raise Hang in the body if it takes longer; only in the main thread."""

    def hang(number, frame):
        where = traceback.extract_stack(frame)[-1]
        raise Hang(f"more than {seconds} s at {Path(where.filename).name}:{where.lineno}")

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def execute(target, data, case):
    """Give bytes to a target; return a Finding or None."""
    try:
        with limited():
            target.run(data)
    except Violation as error:
        return Finding(error.invariant, case, target.name, str(error))
    except Hang as error:
        return Finding("D2", case, target.name, str(error))
    except MemoryError as error:
        return Finding("D3", case, target.name, f"out of memory: {error}")
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return Finding("D1", case, target.name, f"{type(error).__name__} at {place}: {error}")
    return None


def run(tally, n_executions, seconds=None, names=None):
    """Go on with a Tally until it holds n_executions, target by target in turn.

    Figures  executions per second, growth of the process in kB, slowest execution in ms
    """
    targets = [_target(name) for name in names or TARGETS]
    start = time.monotonic()
    number = tally.next_scenario
    with TemporaryDirectory() as folder:
        for target in targets:
            target.prepare(Path(folder))
            target.seeds()
        before_kB = _peak_kB()
        while tally.states.total() < n_executions:
            if seconds is not None and time.monotonic() - start > seconds:
                break
            for target in targets:
                _execute_one(tally, target, number)
            number += 1
        growth_kB = _peak_kB() - before_kB
    tally.next_scenario = number
    tally.seconds += time.monotonic() - start
    tally.note_worst("growth_kB", growth_kB)
    if growth_kB > GROWTH_kB:
        tally.add(Finding("D3", f"..{number}", "memory", f"the process grew by {growth_kB} kB"))


def _execute_one(tally, target, number):
    data = input_of(target, tally.seed, number)
    began = time.perf_counter()
    finding = execute(target, data, f"{target.name}:{number}")
    took_us = round((time.perf_counter() - began) * 1e6)
    tally.states[target.name] += 1
    tally.note_worst(f"slowest, {target.name}", took_us)
    total = f"total, {target.name}"
    tally.worst[total] = tally.worst.get(total, 0) + took_us
    if finding is not None:
        tally.add(finding)


def rows(tally):
    """Return the table of a Tally: one Row for each target."""
    found = []
    for name in TARGETS:
        n = tally.states[name]
        if n:
            total_s = max(tally.worst[f"total, {name}"], 1) / 1e6
            slowest_ms = tally.worst[f"slowest, {name}"] / 1000
            worst = f"{n / total_s:,.0f} a second, slowest {slowest_ms:,.0f} ms"
            row = Row(f"parser: {name}", n, tally.violations[name], worst, tally.seed, total_s)
            found.append(row)
    return found


def _target(name):
    if name not in TARGETS:
        raise UsageError(f"no parser target '{name}'", f"choose one of {', '.join(TARGETS)}")
    return TARGETS[name]()


def reproduce(seed, case):
    """Run one case, "target:number", again; return its findings."""
    name, number = case.rsplit(":", 1)
    target = _target(name)
    with TemporaryDirectory() as folder:
        target.prepare(Path(folder))
        finding = execute(target, input_of(target, seed, int(number)), case)
    return [finding] if finding else []


def run_file(name, path):
    """Give a file to a target; return its findings."""
    target = _target(name)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    with TemporaryDirectory() as folder:
        target.prepare(Path(folder))
        finding = execute(target, data, str(path))
    return [finding] if finding else []


def run_guided(name, n_executions, seed, corpus):
    """Fuzz a target guided by coverage (atheris) in a process of its own.

    corpus   folder that keeps what reached new code; the next run goes on with it
    Returns  (exit code, last line of what it said); a finding is a file crash-* in `corpus`
    """
    if importlib.util.find_spec("atheris") is None:
        raise UsageError("fuzzing by coverage needs atheris", "pip install atheris")
    corpus = Path(corpus)
    corpus.mkdir(parents=True, exist_ok=True)
    module = __name__
    command = [sys.executable, "-m", module, name, str(n_executions), str(seed), str(corpus)]
    done = run_process(command, capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return done.returncode, said[-1] if said else ""


def _peak_kB():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _guided_process(name, n_executions, seed, corpus):
    """Become a fuzzer of one target; does not return."""
    atheris = importlib.import_module("atheris")  # only for who fuzzes: in no extra
    with atheris.instrument_imports(include=["stagelog", "slog", "logger"]):
        target = _target(name)
        folder = TemporaryDirectory()
        target.prepare(Path(folder.name))
        seeds = target.seeds()
    for i, data in enumerate(seeds):
        (Path(corpus) / f"seed-{i:03d}").write_bytes(data)

    def one(data):
        finding = execute(target, data, "guided")
        if finding is not None:
            raise RuntimeError(str(finding))

    options = [f"-runs={n_executions}", f"-seed={seed % 2**31}", "-max_len=16384", "-timeout=20"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus}/", corpus], one)
    atheris.Fuzz()


if __name__ == "__main__":
    _guided_process(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
