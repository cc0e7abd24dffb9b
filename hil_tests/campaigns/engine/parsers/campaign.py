"""The parser campaign: bytes that nobody meant, given to everything that reads bytes.

Owns the mutations, the limits of time and memory, and the count. Does not own the parsers, nor the
targets. An execution is a target and a number; with the seed its bytes are the same for ever. What
it must not do is in D1 to D14: raise what is not documented, take long or much, believe damage,
leave its folder, erase. The same targets run guided by coverage in `parser_guided`, and on
MicroPython in `parser_replay`.
"""

import contextlib
import random
import resource
import signal
import struct
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from campaigns.engine.parsers.target import Violation
from campaigns.engine.parsers.targets import TARGETS
from campaigns.engine.results import Finding, Row
from stagelog.errors import InputError, UsageError

GROWTH_kB = 256 << 10
_LENGTHS = (0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1)
_TURNS = 50  # a run goes through its targets so many times


class Hang(BaseException):
    """An execution took more processor time than it may; no parser may catch it."""


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
def limited(seconds):
    """Raise Hang in the body if it takes more of the processor; only in the main thread."""

    def hang(number, frame):
        where = traceback.extract_stack(frame)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        raise Hang(f"more than {seconds} s of the processor at {place}")

    before = signal.signal(signal.SIGPROF, hang)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def execute(target, data, case):
    """Give bytes to a target; return a Finding or None."""
    try:
        with limited(target.limit_s):
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


def shares(n_executions, names=None):
    """Return {target: executions} of a campaign of so many, by the shares of the targets."""
    names = names or TARGETS
    whole = sum(_class_of(name).share for name in names)
    return {name: max(1, round(n_executions * TARGETS[name].share / whole)) for name in names}


def run(tally, n_executions, seconds=None, names=None, keep=lambda: None):
    """Continue a Tally until it holds n_executions, target by target in turn.

    keep     called now and then: the tally may be saved
    Figures  executions per second, growth of the process in kB, slowest execution in ms
    """
    goals = shares(n_executions, names)
    deadline = time.monotonic() + (1e9 if seconds is None else seconds)
    start = time.monotonic()
    with TemporaryDirectory(dir=memory_folder()) as folder:
        targets = [prepared(name, Path(folder)) for name in goals]
        before_kB = _peak_kB()
        for turn in range(1, _TURNS + 1):
            for target in targets:
                _execute_up_to(tally, target, goals[target.name] * turn // _TURNS, deadline)
            keep()
        growth_kB = _peak_kB() - before_kB
    tally.seconds += time.monotonic() - start
    tally.note_worst("growth_kB", growth_kB)
    if growth_kB > GROWTH_kB:
        tally.add(Finding("D3", "memory", "memory", f"the process grew by {growth_kB} kB"))


def _execute_up_to(tally, target, n, deadline):
    while tally.states[target.name] < n and time.monotonic() < deadline:
        number = tally.states[target.name]
        data = input_of(target, tally.seed, number)
        began = time.perf_counter()
        finding = execute(target, data, f"{target.name}:{number}")
        took_us = round((time.perf_counter() - began) * 1e6)
        tally.states[target.name] += 1
        tally.note_worst(f"{target.name}: slowest_us", took_us)
        tally.add_seconds(target.name, took_us / 1e6)
        if finding is not None:
            tally.add(finding)


def rows(tally):
    """Return the table of a Tally: a Row for each target and way of trying it."""
    found = []
    for kind in sorted(tally.states, key=_order):
        n = tally.states[kind]
        seconds = max(tally.seconds_of(kind), 1e-6)
        text = f"{n / seconds:,.0f} a second"
        if slowest_us := tally.worst.get(f"{kind}: slowest_us"):
            text += f", slowest {slowest_us / 1000:,.0f} ms"
        for figure in ("edges", "inputs kept"):
            if value := tally.worst.get(f"{kind}: {figure}"):
                text += f", {value:,} {figure}"
        violations = tally.violations[kind]
        found.append(Row(f"parser: {kind}", n, violations, text, tally.seed, seconds))
    return found


def _order(kind):
    return list(TARGETS).index(kind.split(",")[0]), kind


def _class_of(name):
    if name not in TARGETS:
        raise UsageError(f"no parser target '{name}'", f"choose one of {', '.join(TARGETS)}")
    return TARGETS[name]


def prepared(name, folder):
    """Return a target of that name that writes to a folder."""
    target = _class_of(name)()
    target.prepare(folder)
    target.seeds()
    return target


def reproduce(seed, case):
    """Run one case, "target:number" or "target:FILE", again; return its findings."""
    name, _, number = case.partition(":")
    if not number.isdecimal():
        return run_file(name, number)
    with TemporaryDirectory() as folder:
        target = prepared(name, Path(folder))
        finding = execute(target, input_of(target, seed, int(number)), case)
    return [finding] if finding else []


def run_file(name, path):
    """Give a file to a target; return its findings."""
    _class_of(name)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    with TemporaryDirectory() as folder:
        finding = execute(prepared(name, Path(folder)), data, str(path))
    return [finding] if finding else []


def memory_folder():
    """Return a folder that is memory, if there is one: files of a campaign are written often."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _peak_kB():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
