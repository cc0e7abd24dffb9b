"""The n-th call fails: every call that the logger makes to card, cable and settings memory, once
or from then on.

Five scenarios that together use everything: recording, stopping and starting, erasing while
recording, new settings, fetching. For each, one run counts the calls; then call n fails, for every
n. The main loop must not raise, nothing false may be stored, the account must close, and where the
failure passed, recording continues by itself.
"""

import hashlib
import json
import random
import time

from campaigns.engine.bench import Bench
from campaigns.engine.card import campaign as cards
from campaigns.engine.results import Finding, Row, Tally
from slog import messages as m
from stagelog.errors import StagelogError, UsageError

_POINTS = (
    ("card", "init"),
    ("card", "read"),
    ("card", "write_start"),
    ("card", "write_poll"),
    ("nv", "save"),
)
REJECTED = -1


class Gremlin:
    """Counts calls of the board's parts; fails call `n`, and with `for_good` all later ones of its
    kind.
    """

    def __init__(self, bench, n=None, for_good=False):
        self.n_calls = 0
        self.n = n
        self.for_good = for_good
        self.failed = None
        self._points = []
        for part, name in _POINTS:
            holder = getattr(bench, part)
            original = getattr(holder, name)
            self._points.append((holder, name))
            setattr(holder, name, self._wrap(bench, f"{part}.{name}", original))

    def _wrap(self, bench, point, original):
        def call(*args):
            self.n_calls += 1
            first = self.n_calls == self.n
            if first:
                self.failed = point
            if first or (self.for_good and point == self.failed):
                if point == "card.write_poll":
                    bench.card.write_abort()
                    return REJECTED
                raise OSError("injected")
            return original(*args)

        return call

    def leave(self):
        """Take the failures away."""
        for holder, name in self._points:
            delattr(holder, name)


def record(bench):
    """Boot and record."""
    bench.run_ms(1500)


def stop_and_start(bench):
    """Two sessions, listed."""
    bench.run_ms(600)
    boot = bench.app.boot
    bench.link.control(m.CONTROL_STOP, boot)
    bench.link.control(m.CONTROL_START, boot)
    bench.run_ms(400)
    bench.link.list_sessions()


def erase(bench):
    """The older of two sessions is erased while the newer is recorded."""
    stop_and_start(bench)
    sessions = bench.link.list_sessions()
    digest = hashlib.sha256()
    oldest = sessions[-1]
    for step in range(oldest.n_blocks):
        sector = bench.layout.sector(oldest.position + step)
        digest.update((bench.card.sectors.get(sector) or bytes(512))[:64])
    for _ in bench.link.erase(oldest, digest.digest()):
        pass
    bench.run_ms(300)


def new_settings(bench):
    """New settings between two sessions."""
    bench.run_ms(400)
    text = json.dumps({"flush_ms": 100}).encode()
    bench.link.replace_config(m.CONFIG_SETTINGS, text)
    bench.run_ms(400)


def fetch(bench):
    """Blocks are read while recording continues."""
    bench.run_ms(700)
    session = bench.link.list_sessions()[0]
    positions = range(session.position, session.position + session.n_blocks)
    for _ in bench.link.read_blocks(positions):
        pass
    bench.run_ms(200)


SCENARIOS = (record, stop_and_start, erase, new_settings, fetch)


def run_case(tally, scenario, n, for_good):
    """Run a scenario with call `n` failing (None: none); return the number of calls."""
    how = "for good" if for_good else "once"
    case = f"{scenario.__name__}:{'none' if n is None else n}:{how}"
    bench = Bench(tally.seed, 3000, {"flush_ms": 200})
    bench.traffic.burst = 0
    bench.traffic.rate_Hz = 200
    gremlin = Gremlin(bench, n, for_good)
    tally.states[scenario.__name__] += 1
    try:
        bench.power_on()
        watch = cards.Watch(bench)
        try:
            scenario(bench)
        except (StagelogError, IndexError):
            pass
        watch.run_ms(2000)
        if for_good and gremlin.failed in ("card.init", "card.write_start", "card.write_poll"):
            if bench.app.fault == 0:
                text = f"no alarm although {gremlin.failed} fails for good"
                tally.add(Finding("L11", case, scenario.__name__, text))
        n_calls = gremlin.n_calls
        gremlin.leave()
        watch.run_ms(2500)
        _check_recording(tally, bench, watch, scenario, case)
    except Exception as error:
        text = f"{gremlin.failed}: {type(error).__name__}: {error}"
        tally.add(Finding("L13", case, scenario.__name__, text))
        return gremlin.n_calls
    return n_calls


def _check_recording(tally, bench, watch, scenario, case):
    """Recording continues, and what is stored since the last start is what was offered."""
    if not bench.app.hello()["nonce"]:
        bench.link.control(m.CONTROL_START, bench.app.boot)
        watch.run_ms(1500)
    before = bench.app.store.counts.blocks_written
    watch.run_ms(1000)
    if bench.app.store.counts.blocks_written <= before:
        text = f"nothing is stored any more; fault {bench.app.fault}"
        tally.add(Finding("L11", case, scenario.__name__, text))
    for invariant, text in cards.check_frames(bench):
        tally.add(Finding(invariant, case, scenario.__name__, text))
    if cards.frames_on(bench) is None:
        tally.add(Finding("L3", case, scenario.__name__, "the card holds a frame twice"))


def cases(seed):
    """Return all cases as (scenario, call or None, for good); one run of each counts its calls."""
    found = []
    for scenario in SCENARIOS:
        n_calls = run_case(Tally(seed), scenario, None, False)
        found.append((scenario, None, False))
        found += [(scenario, n, good) for n in range(1, n_calls + 1) for good in (False, True)]
    return found


def run(tally, n_cases, seconds=None, keep=lambda: None):
    """Continue a Tally until it holds n_cases, drawn by the seed; None: every call of all."""
    start = time.monotonic()
    found = cases(tally.seed)
    if n_cases is not None and n_cases < len(found):
        rng = random.Random(tally.seed)
        found = rng.sample(found, n_cases)
    for scenario, n, for_good in found[tally.states.total() :]:
        if seconds is not None and time.monotonic() - start > seconds:
            break
        began = time.monotonic()
        name = scenario.__name__
        tally.note_worst(f"{name}: calls", run_case(tally, scenario, n, for_good))
        tally.add_seconds(name, time.monotonic() - began)
        keep()


def rows(tally):
    """Return the table of a Tally: one Row for each scenario."""
    found = []
    for name in map(_name_of, SCENARIOS):
        if n := tally.states[name]:
            text = f"{tally.worst[f'{name}: calls']} calls"
            title, seconds = f"n-th call: {name.replace('_', ' ')}", tally.seconds_of(name)
            found.append(Row(title, n, tally.violations[name], text, tally.seed, seconds))
    return found


def reproduce(seed, case):
    """Run one case, "scenario:call:once" or "scenario:call:for good", again; return its findings.

    Without a failing call it is "scenario:none:once".
    """
    by_name = {_name_of(scenario): scenario for scenario in SCENARIOS}
    name, n, how = (case.split(":") + ["", ""])[:3]
    is_number = n.isdecimal() or n == "none"
    if name not in by_name or not is_number or how not in ("once", "for good"):
        raise UsageError(f"no case '{case}'", f"scenarios are {', '.join(by_name)}")
    tally = Tally(seed)
    run_case(tally, by_name[name], None if n == "none" else int(n), how == "for good")
    return tally.findings


def _name_of(scenario):
    return scenario.__name__
