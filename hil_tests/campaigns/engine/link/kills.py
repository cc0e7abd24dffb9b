"""The link campaign, the host's side: killed at any system call, its disk full.

Kinds of faults as in `links`. A fetch runs in a forked child whose calls into the operating
system are counted; at the n-th the child is gone without a word, as by SIGKILL (no buffer of
Python is flushed). `lose_pages` goes further: pages of files that were not synced are lost too.
The next fetch must bring the session.
"""

import builtins
import errno
import os
import random
import shutil
from contextlib import ExitStack
from unittest import mock

from campaigns.engine.link.cable import Faults
from campaigns.engine.link.links import Archive, Source, check_archive, fetch
from campaigns.engine.results import Finding
from stagelog.download import fetch_session
from stagelog.errors import OutputError, StagelogError

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


def killed(tally, numbers):
    """Kill the host at every system call of a fetch, and of the fetch that follows."""
    source = Source(tally.seed, 8)
    n_calls = count_calls(source, random.Random(tally.seed))
    tally.note_worst("kill: calls", n_calls)
    for number in numbers:
        rng = random.Random(f"{tally.seed} kill {number}")
        archive = Archive()
        try:
            _kill_twice(tally, source, rng, archive, 1 + number % n_calls, f"kill:{number}")
        finally:
            archive.close()
        tally.states["kill: faulted"] += 1


def _kill_twice(tally, source, rng, archive, limit, case):
    fetch_killed(source, rng, archive, limit)
    if rng.random() < 0.5:
        lose_pages(archive, rng)
    _note(tally, check_archive(archive, source.session, source.content), case, "kill")
    if rng.random() < 0.3:
        fetch_killed(source, rng, archive, rng.randrange(1, 60))
    link, _ = source.link(rng, Faults())
    error = fetch(link, source.session, archive)
    if error is not None or len(archive.files()) != 1:
        tally.add(Finding("T6", case, "kill", f"not fetched after the kill: {error}"))
    left = [path.name for path in archive.folder.iterdir() if ".part" in path.name]
    left += [path.name for path in archive.folder.glob(".*.tmp")]
    if left:
        tally.add(Finding("T6", case, "kill", f"left behind: {left}"))
    _note(tally, check_archive(archive, source.session, source.content), case, "kill")


def disk_full(tally, numbers):
    """Any one call that writes fails with "no space left"; the error names the file, the next run
    continues.
    """
    source = Source(tally.seed, 8)
    writing = (_WRITING, _opens_to_write)
    n_calls = count_calls(source, random.Random(tally.seed), *writing)
    tally.note_worst("disk full: calls", n_calls)

    def fail():
        raise OSError(errno.ENOSPC, "No space left on device")

    for number in numbers:
        rng = random.Random(f"{tally.seed} full {number}")
        archive = Archive()
        case = f"disk full:{number}"
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
        tally.states["disk full: faulted"] += 1


def _opens_to_write(args):
    return len(args) > 1 and any(letter in args[1] for letter in "wax+")


def _note(tally, findings, case, kind):
    for invariant, text in findings:
        tally.add(Finding(invariant, case, kind, text))
