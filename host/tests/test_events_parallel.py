"""The detectors in processes of their own: the same events, errors and progress."""

import os
import sys

import numpy as np
import pytest

from stagelog.car import drive
from stagelog.errors import InputError
from stagelog.events import compile_table, parallel, recompute
from stagelog.profile import dbc_file, load_profile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


class Tables:
    """As a session: yields its frames in pieces."""

    def __init__(self, frames):
        self.frames = frames

    def iter_frames(self, n):
        yield from np.split(self.frames, 3)


@pytest.fixture(scope="module")
def table():
    profile = load_profile()
    return compile_table(profile, dbc_file(profile)).data


@pytest.fixture(scope="module")
def jobs():
    """Return three key cycles, the second of two sessions; lengths divisible by three."""
    frames = drive("corpus_jumps", seed=3, duration_s=40).frames
    part = len(frames) // 12 * 3
    pieces = [Tables(frames[k * part : (k + 1) * part]) for k in range(4)]
    return [pieces[:1], pieces[1:3], pieces[3:]]


def run(jobs, table, choose=lambda frames: frames, shares=None):
    n = sum(len(session.frames) for job in jobs for session in job)
    with parallel.ParallelDetectors(jobs, table, choose, n, (shares or []).append) as found:
        return [found.result(k) for k in range(len(jobs))], found._pool is not None


@pytest.fixture
def forks(monkeypatch):
    monkeypatch.setattr(parallel, "_MANY_FRAMES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})


def test_short_logs_are_done_here(jobs, table):
    found, is_forked = run(jobs, table)
    assert not is_forked
    joined = np.concatenate([jobs[1][0].frames, jobs[1][1].frames])
    assert found[1].whole == recompute(joined, table)
    assert found[1].alone == [recompute(session.frames, table) for session in jobs[1]]
    assert found[0].alone == [found[0].whole] and len(found[0].whole) > 5


def test_processes_find_the_same(jobs, table, forks):
    shares = [0.0]
    found, is_forked = run(jobs, table, shares=shares)
    assert is_forked
    os.sched_getaffinity = lambda _: {0}  # undone by the fixture
    assert found == run(jobs, table)[0]
    assert shares == sorted(shares) and shares[-1] <= 1


def test_one_processor_has_nothing_beside(jobs, table, forks, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert not run(jobs[:1], table)[1]


def test_an_error_comes_from_a_process_with_its_hint(jobs, table, forks):
    def choose(frames):
        raise InputError("what is wrong", "what to do now")

    with pytest.raises(InputError, match="what is wrong; what to do now"):
        run(jobs, table, choose)
