"""The compiled detectors: same events as the firmware's own files, numbers as Python means them.
The firmware's files, run as they are, are the oracle.
"""

import importlib.util
import sys
import sysconfig
import types

import numpy as np
import pytest

from slog import signal_table as st
from stagelog.car import drive
from stagelog.errors import InputError
from stagelog.events import Recomputation, compile_table, compiled, recompute
from stagelog.events.compiled import build
from stagelog.model import ERR, EXT, FRAME, RTR
from stagelog.profile import dbc_file, load_profile


@pytest.fixture(scope="module")
def table():
    profile = load_profile()
    return compile_table(profile, dbc_file(profile))


@pytest.fixture(scope="module")
def both(table):
    """Return a function that runs both forms and returns the events of each."""
    try:
        build.build()
    except build.NoCompiler as why:
        pytest.skip(str(why))
    compiled._compiled.cache_clear()
    form = compiled.find_form()
    assert form.is_compiled, form.why

    def run(pieces):
        pieces = list(pieces)
        return recompute(pieces, table), recompute(pieces, table, wants_compiled=False)

    return run


@pytest.mark.parametrize(
    ("scenario", "duration_s"),
    [
        ("stage", 150),
        ("corpus_jumps", 60),
        ("corpus_rollover", None),
        ("sensor_faults", 150),
        ("fan_and_radiator", 120),
    ],
)
def test_both_forms_find_the_same_in_a_drive(both, scenario, duration_s):
    fast, pure = both([drive(scenario, seed=7, duration_s=duration_s).frames])
    assert len(pure) > 10
    assert fast == pure


def random_frames(seed, n=20_000):
    """Return frames that no car sends: any payload on watched and other identifiers, of any kind
    and length, with pauses, times equal and times on the edge of a tick.
    """
    rng = np.random.default_rng(seed)
    profile = load_profile()
    _, sections = st.load(compile_table(profile, dbc_file(profile)).data)
    ids = np.array(sections[st.SLOTS])[:: len(st.COLUMNS[st.SLOTS])]
    frames = np.zeros(n, FRAME)
    steps_us = rng.choice([0, 1, 40, 300, 9_999, 10_000], n, p=[0.05, 0.1, 0.4, 0.4, 0.025, 0.025])
    steps_us[rng.integers(0, n, 5)] = rng.integers(900_000, 400_000_000, 5)
    frames["t_us"] = rng.integers(0, 1 << 40) + np.cumsum(steps_us)
    frames["can_id"] = np.where(rng.random(n) < 0.9, rng.choice(ids, n), rng.integers(0, 2048, n))
    frames["flags"] = rng.choice([0, RTR, EXT, ERR], n, p=[0.94, 0.02, 0.02, 0.02])
    frames["bus"] = rng.random(n) < 0.03
    frames["dlc"] = frames["n_bytes"] = rng.choice([8, 7, 3, 0], n, p=[0.9, 0.04, 0.03, 0.03])
    # Few payloads, so that values stay within their limits for a while, and small changes.
    frames["data"] = rng.integers(0, 256, (40, 8))[rng.integers(0, 40, n)]
    frames["data"][:, 0] ^= rng.integers(0, 4, n).astype(np.uint8)
    frames["data"][:, 1::2] &= rng.choice([0, 3, 255], (n, 4)).astype(np.uint8)
    return frames


@pytest.mark.parametrize("seed", range(8))
def test_both_forms_find_the_same_in_random_frames_cut_anywhere(both, seed):
    frames = random_frames(seed)
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(frames), 30))
    fast, pure = both(np.split(frames, cuts))
    assert len(pure) > 50
    assert fast == pure


def test_what_was_compiled_from_other_sources_is_not_used(both, monkeypatch):
    """As after an edit: it counts at once, as Python."""
    sources = compiled.read_sources()
    sources["detectors.fuel"] += "# edited\n"
    monkeypatch.setattr(compiled, "read_sources", lambda: sources)
    compiled._compiled.cache_clear()
    form = compiled.find_form()
    monkeypatch.undo()
    compiled._compiled.cache_clear()
    assert (form.is_compiled, form.why) == (False, "compiled from other sources")
    assert form.events.__module__ == "detectors.events"


def test_the_pure_form_can_be_demanded(both, monkeypatch):
    monkeypatch.setenv("STAGELOG_PURE", "1")
    assert compiled.find_form().why == "STAGELOG_PURE is set"


@pytest.mark.parametrize(
    ("lacks", "says"),
    [("Cython", "Cython is not installed"), ("Python.h", "Python.h is not here")],
)
def test_what_compiles_is_asked_for_before_anything_is_written(lacks, says, tmp_path, monkeypatch):
    if lacks == "Cython":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    else:
        monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(build.NoCompiler, match=says):
        build.build_module({}, tmp_path / "_x.so")
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_none_is_refused_by_both_forms(both):
    for wants_compiled in (True, False):
        with pytest.raises(InputError, match="signal table"):
            recompute(np.zeros(0, FRAME), st.MAGIC, wants_compiled)


def test_a_signal_of_eight_bytes_is_read_by_the_pure_form(table, both):
    """Its value may need 64 bits and no sign."""
    bus, sections = st.load(table.data)
    rows = {}
    for tag, values in sections.items():
        n = len(st.COLUMNS[tag])
        rows[tag] = [list(values[at : at + n]) for at in range(0, len(values), n)]
    assert Recomputation(st.pack(bus, rows)).is_compiled
    rows[st.SIGNALS][0][st.COLUMNS[st.SIGNALS].index("n")] = 8
    assert not Recomputation(st.pack(bus, rows)).is_compiled


SAMPLE = '''
from array import array

from slog.native import micropython, ptr8, ptr32
from slog.layout import const

_TWO = const(2)


class Sample:
    """What C and Python do not mean the same by."""

    def __init__(self, emit):
        self.big = array("i", [1 << 30, -(1 << 31)])
        self.small = array("H", [60000, 65535])
        self.bytes = bytearray([200, 100])
        self.none = None
        self.total = 0
        self._emit = emit

    def run(self):
        """Emit a row for each."""
        big = self.big
        small = self.small
        self._emit("int32", big[0] * 4, big[1] * 3 + small[0] * small[1])
        self._emit("bytes", self.bytes[0] + self.bytes[1], self.bytes[-1])
        seven = self.total - 7
        self._emit("floor", seven // 2, seven % 5)
        self._emit("shift", seven >> _TWO, (seven - 1) << 33)
        self._emit("first", small[-1], abs(seven))
        self._emit("truth", 1 if 0 <= seven < 8 else 0, not seven)
        self.none = seven if self.none is None else self.none + 1
        self._emit("none", self.none, max(seven, -3, min(2, 5)))
        self._emit("viper", _sum(self.bytes, big, 2), 0)

    def too_much(self):
        """Go beyond 64 bits."""
        self.total += 1 << 62
        self._emit("beyond", self.total * 4, 0)


@micropython.viper
def _sum(few: ptr8, many: ptr32, n: int) -> int:
    """Return a sum of products."""
    total = 0
    while n > 0:
        n -= 1
        total += few[n] * many[n]
    return total


class Events:
    """What the host calls."""

    def __init__(self, table, emit):
        self.watch = Sample(emit)

    def scan(self, block, at, n, hi):
        """Do it."""
        self.watch.run()
        if n > 1:
            self.watch.too_much()
'''
# By hand: 2^30 x 4 = 2^32; -2^31 x 3 + 60000 x 65535 = -6442450944 + 3932100000; 200 + 100 as
# numbers, not as bytes; -7 // 2 = -4 and -7 mod 5 = 3, both rounded down; -7 >> 2 = -2, and
# -8 x 2^33 = -2^36; index -1 is the last; 200 x 2^30 + 100 x -2^31 = 2^30 x (200 - 200) = 0.
WANTED = [
    ("int32", 4294967296, -2510350944),
    ("bytes", 300, 100),
    ("floor", -4, 3),
    ("shift", -2, -68719476736),
    ("first", 65535, 7),
    ("truth", 0, 0),
    ("none", -7, 2),
    ("viper", 0, 0),
]


def test_numbers_mean_what_they_mean_in_python(both, tmp_path, monkeypatch):
    pure = types.ModuleType("detectors.sample")
    exec(SAMPLE, vars(pure))
    monkeypatch.setitem(sys.modules, "detectors.sample", pure)
    known = compiled.read_sources()
    sources = {name: known[name] for name in ("slog.layout", "slog.native")}
    target = tmp_path / f"_sample{sysconfig.get_config_var('EXT_SUFFIX')}"
    build.build_module({**sources, "detectors.sample": SAMPLE}, target)
    spec = importlib.util.spec_from_file_location("_sample", target)
    fast = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fast)
    for form in (pure, fast):
        rows = []
        events = form.Events(None, lambda *row, rows=rows: rows.append(row))
        events.scan(bytearray(16), 0, 1, 0)
        assert rows == WANTED
    with pytest.raises(OverflowError):  # and no number that is wrong
        events.scan(bytearray(16), 0, 2, 0)
