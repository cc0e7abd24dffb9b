"""The host killed at any system call, its disk full, its laptop asleep; the session overwritten or
recorded meanwhile.

A fetch runs in a forked child whose calls into the operating system are counted; at the n-th the
child is gone without a word, as by SIGKILL (no buffer of Python is flushed). `power` goes further:
pages of files that were not synced are lost too. The next fetch must bring the session.
"""

import builtins
import errno
import os
import random
import shutil
import time
from contextlib import ExitStack
from unittest import mock

from slog import messages as m
from slog.layout import BLOCK_BYTES

from ...download import fetch_session
from ...errors import DeviceError, OutputError, StagelogError
from .cable import Faults
from .links import Archive, Source, _row, check_archive, fetch
from .results import Finding, Tally

_OS_CALLS = ("open", "fsync", "replace", "pwrite", "mkdir", "unlink", "rename")
_WRITING = ("fsync", "replace", "pwrite", "mkdir", "rename")
_PAGE = 4096
_KILLED = 9


class _Meter:
    """Counts calls into the operating system; at number `limit` calls `act`."""

    def __init__(self, limit, act):
        self.n = 0
        self.limit = limit
        self.act = act

    def wrap(self, function, counts=lambda args: True):
        def metered(*args, **kwargs):
            if counts(args):
                self.n += 1
                if self.n == self.limit:
                    self.act()
            return function(*args, **kwargs)

        return metered

    def patches(self, names=_OS_CALLS, opens=lambda args: True):
        stack = ExitStack()
        for name in names:
            stack.enter_context(mock.patch.object(os, name, self.wrap(getattr(os, name))))
        stack.enter_context(mock.patch.object(shutil, "copyfile", self.wrap(shutil.copyfile)))
        stack.enter_context(mock.patch.object(builtins, "open", self.wrap(builtins.open, opens)))
        return stack


def count_calls(source, rng, *which):
    """Return how many calls one undisturbed fetch makes."""
    archive = Archive()
    meter = _Meter(None, None)
    link, _ = source.link(rng, Faults())
    with meter.patches(*which):
        fetch_session(link, source.session, archive.folder)
    archive.close()
    return meter.n


def fetch_killed(source, rng, archive, limit):
    """Fetch in a child that is killed at call `limit`; True if it got so far."""
    child = os.fork()
    if not child:
        code = 1
        try:
            link, _ = source.link(rng, Faults())
            with _Meter(limit, lambda: os._exit(_KILLED)).patches():
                fetch_session(link, source.session, archive.folder)
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, _KILLED):
        raise AssertionError(f"the child failed with {status}")
    return status == _KILLED


def lose_pages(archive, rng):
    """The laptop's power goes: pages of the part file that may not have been synced are zeros."""
    for path in archive.folder.glob("*.part"):
        n_pages = path.stat().st_size // _PAGE
        with open(path, "r+b") as file:
            for page in range(n_pages):
                if rng.random() < 0.3:
                    file.seek(page * _PAGE)
                    file.write(bytes(_PAGE))
            if n_pages and rng.random() < 0.3:
                file.truncate(rng.randrange(n_pages * _PAGE))


def killed(seed, n_cases):
    """Kill the host at every system call of a fetch, and of the fetch that follows."""
    start = time.monotonic()
    tally = Tally(seed)
    source = Source(seed, 8)
    n_calls = count_calls(source, random.Random(seed))
    for number in range(n_cases):
        rng = random.Random(f"{seed} kill {number}")
        archive = Archive()
        case = f"link:kill:{number}"
        try:
            _kill_twice(tally, source, rng, archive, 1 + number % n_calls, case)
        finally:
            archive.close()
    text = f"{n_calls} calls in one fetch"
    return [
        _row("link: host killed at any system call", tally, n_cases, text, start)
    ], tally.findings


def _kill_twice(tally, source, rng, archive, limit, case):
    fetch_killed(source, rng, archive, limit)
    if rng.random() < 0.5:
        lose_pages(archive, rng)
    _note(tally, check_archive(archive, source.session, source.content), case, "kill")
    if rng.random() < 0.3:
        fetch_killed(source, rng, archive, rng.randrange(1, 60))
    link, cable = source.link(rng, Faults())
    error = fetch(link, source.session, archive)
    if error is not None or len(archive.files()) != 1:
        tally.add(Finding("T6", case, "kill", f"not fetched after the kill: {error}"))
    left = [path.name for path in archive.folder.iterdir() if ".part" in path.name]
    left += [path.name for path in archive.folder.glob(".*.tmp")]
    if left:
        tally.add(Finding("T6", case, "kill", f"left behind: {left}"))
    _note(tally, check_archive(archive, source.session, source.content), case, "kill")


def disk_full(seed, n_cases):
    """Any one call that writes fails with "no space left"; the error names the file, the next run
    goes on.
    """
    start = time.monotonic()
    tally = Tally(seed)
    source = Source(seed, 8)
    writing = (_WRITING, _opens_to_write)
    n_calls = count_calls(source, random.Random(seed), *writing)

    def fail():
        raise OSError(errno.ENOSPC, "No space left on device")

    for number in range(n_cases):
        rng = random.Random(f"{seed} full {number}")
        archive = Archive()
        case = f"link:disk_full:{number}"
        link, _ = source.link(rng, Faults())
        try:
            with _Meter(1 + number % n_calls, fail).patches(*writing):
                fetch_session(link, source.session, archive.folder)
        except OutputError:
            pass
        except (StagelogError, OSError) as error:
            text = f"call {1 + number % n_calls}: {type(error).__name__} {error}"
            tally.add(Finding("T6", case, "disk full", text))
        _note(tally, check_archive(archive, source.session, source.content), case, "disk full")
        link, _ = source.link(rng, Faults())
        error = fetch(link, source.session, archive)
        if error is not None or len(archive.files()) != 1:
            tally.add(Finding("T6", case, "disk full", f"not fetched afterwards: {error}"))
        archive.close()
    text = f"{n_calls} calls in one fetch"
    return [
        _row("link: host's disk full at any call", tally, n_cases, text, start)
    ], tally.findings


def _opens_to_write(args):
    return len(args) > 1 and any(letter in args[1] for letter in "wax+")


def _note(tally, findings, case, kind):
    for invariant, text in findings:
        tally.add(Finding(invariant, case, kind, text))


def overwritten(seed, n_cases):
    """The card's ring goes round while a session is fetched: what is kept is of that session
    only.
    """
    start = time.monotonic()
    tally = Tally(seed)
    refused = 0
    for number in range(n_cases):
        rng = random.Random(f"{seed} overwritten {number}")
        source = Source(seed + number, 8, 20, False, when_full="overwrite", flush_ms=50)
        bench = source.bench
        archive = Archive()
        case = f"link:overwritten:{number}"
        bench.link.control(m.CONTROL_START, bench.app.boot)
        target = rng.randrange(8, 19)
        while bench.app.store.blocks_written < target:
            bench.run_ms(10)
        error = _fetch_slowly(source, rng, archive)
        refused += isinstance(error, DeviceError)
        if error is not None and not isinstance(error, DeviceError):
            tally.add(Finding("T7", case, "overwritten", f"{type(error).__name__}: {error}"))
        for path in [*archive.files(), *archive.folder.glob("*.part")]:
            text = _foreign_blocks(path.read_bytes(), source.content)
            if text:
                tally.add(Finding("T7", case, "overwritten", f"{path.name}: {text}"))
        archive.close()
    text = f"{refused} refused, {n_cases - refused} kept with their holes"
    return [
        _row("link: session overwritten meanwhile", tally, n_cases, text, start)
    ], tally.findings


def _fetch_slowly(source, rng, archive):
    """Fetch over a cable of 20 kB/s, so that recording overtakes it."""
    link, cable = source.link(rng, Faults())
    source.bench.cable._rate = 20
    return fetch(link, source.session, archive)


def _foreign_blocks(got, content):
    """Say which good blocks in a file are not those of the session."""
    from .reader import parse_block

    for i in range(0, len(got), BLOCK_BYTES):
        block = got[i : i + BLOCK_BYTES]
        if len(block) == BLOCK_BYTES and parse_block(block) is not None:
            if block != content[i : i + BLOCK_BYTES]:
                owner = parse_block(block)
                mine = parse_block(content[:BLOCK_BYTES])
                if owner.session == mine.session:
                    return f"block {i // BLOCK_BYTES} is another one of the session"
                return f"block {i // BLOCK_BYTES} is of boot {owner.boot}, {owner.nonce:08x}"
    return ""


def asleep(seed, n_cases):
    """The laptop sleeps for ten minutes in mid-transfer while the logger records: nothing is
    dropped.
    """
    start = time.monotonic()
    tally = Tally(seed)
    worst = 0
    for number in range(n_cases):
        rng = random.Random(f"{seed} asleep {number}")
        source = Source(seed + number, 8, 6000, False)
        bench = source.bench
        bench._loop_us = bench.world.loop_us = 5000
        archive = Archive()
        case = f"link:asleep:{number}"
        bench.link.control(m.CONTROL_START, bench.app.boot)
        link, cable = source.link(rng, Faults())
        n_reads = rng.randrange(1, 8)
        read = cable.read

        def sleepy(n, read=read, bench=bench, left=[n_reads]):  # noqa: B006
            left[0] -= 1
            if left[0] == 0:
                bench.world.run_for(600_000_000)
            return read(n)

        cable.read = sleepy
        error = fetch(link, source.session, archive)
        if error is not None:
            link, _ = source.link(rng, Faults())
            error = fetch(link, source.session, archive)
        if error is not None:
            tally.add(Finding("T6", case, "asleep", str(error)))
        _note(tally, check_archive(archive, source.session, source.content), case, "asleep")
        status = link.status()
        n_frames = status["stored0"] + status["dropped0"]
        if status["dropped0"] or n_frames < 60_000:
            text = f"{status['dropped0']} of {n_frames} frames dropped"
            tally.add(Finding("T9", case, "asleep", text))
        worst = max(worst, status["ring_worst"])
        archive.close()
    text = f"{worst} blocks waited at most"
    return [_row("link: host asleep ten minutes", tally, n_cases, text, start)], tally.findings
