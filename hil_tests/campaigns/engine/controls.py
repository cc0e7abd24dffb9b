"""Negative controls: the logger broken on purpose, one promise at a time. A campaign that does not
notice is blind.

Each control breaks one thing in the shipped code for as long as its `with` lasts; `CONTROLS` says
which campaign must find it. Nothing else is changed.
"""

import binascii
import contextlib
import struct
from unittest import mock

from campaigns.engine.bench import AckRing, Bench
from campaigns.engine.card import campaign as cards
from campaigns.engine.link import loggers
from campaigns.engine.power_cut import nested, rot
from campaigns.engine.power_cut.scenario_cuts import Campaign
from campaigns.engine.power_cut.scenarios import SCENARIOS
from campaigns.engine.results import Finding, Row, Tally, in_turn
from logger import store as store_module
from logger.card_write import CardWrite
from logger.ring import DROPPED
from logger.sessions import Sessions
from logger.store import Store
from slog import block as codec
from slog.layout import ERROR_REJECTED, GAP_RING_FULL, META_GAP, WRITE_DONE
from stagelog.archive import part
from stagelog.blocks.medium import is_good
from stagelog.errors import UsageError
from stagelog.rig.sim import models


@contextlib.contextmanager
def crc16():
    """Blocks are protected by CRC-16 in place of CRC-32."""

    def crc_of(block):
        view = memoryview(block)
        end = 64 + block[codec.N_RECORDS] * 16
        return binascii.crc_hqx(view[64:end], binascii.crc_hqx(view[: codec.CRC], 0xFFFF))

    with mock.patch.object(codec, "crc_of", crc_of):
        yield


@contextlib.contextmanager
def no_nonce():
    """All sessions have the same random number."""
    with mock.patch.object(nested, "draw_nonce", lambda rng: 1):
        yield


@contextlib.contextmanager
def rejection_ignored():
    """The store takes a write that the card rejected for done, as MicroPython's sdcard.py does."""
    poll = CardWrite.poll

    def trusting_poll(self):
        result = poll(self)
        return WRITE_DONE if result == ERROR_REJECTED else result

    with mock.patch.object(CardWrite, "poll", trusting_poll):
        yield


@contextlib.contextmanager
def sync_dropped():
    """The store gives a block back as soon as it has handed it to the card, without waiting for
    the card.
    """
    step, release = Store.step, AckRing.release
    early = set()  # rings whose block under way was given back

    def eager_step(self):
        step(self)
        if self.is_writing and not self.release_waits and self.ring not in early:
            release(self.ring)
            early.add(self.ring)

    def release_once(self):
        if self in early:
            early.remove(self)
        else:
            release(self)

    patches = (
        mock.patch.object(Store, "step", eager_step),
        mock.patch.object(AckRing, "release", release_once),
    )
    with patches[0], patches[1]:
        yield


@contextlib.contextmanager
def released_by_an_old_list():
    """The end of the oldest session is looked up in the list of sessions as it was before the
    next session began.
    """

    find_oldest = Sessions.oldest
    before = {}

    def oldest(self):
        before[self] = self.found
        return find_oldest(self)

    def seq_after(self, oldest):
        index = before[self].index(oldest)
        return self.found[index - 1][2] if index else self.store.next_seq

    patches = (
        mock.patch.object(Sessions, "oldest", oldest),
        mock.patch.object(Sessions, "seq_after", seq_after),
    )
    with patches[0], patches[1]:
        yield


@contextlib.contextmanager
def overflow_counted_as_exact():
    """The controller's overflow flag counts as exactly one lost frame."""

    def poll(self, ring):
        if self._overflow:
            self._overflow = False
            ring.state[DROPPED + self.bus] += 1
            now = self._clock.now_us
            arg, lo = GAP_RING_FULL, now & 0xFFFFFFF
            data = struct.pack("<II", 1, self._t_overflow & 0xFFFFFFFF)
            ring.put_meta(lo, now >> 28, META_GAP, arg, self.bus, data)

    with mock.patch.object(models.SimController, "poll", poll):
        yield


@contextlib.contextmanager
def resume_without_identity():
    """A fetch continues any part file that is there, and accepts any good block at its place."""

    def is_ours(self, block, index):
        position = struct.unpack_from("<I", block, codec.POSITION)[0]
        return position == self._position_of(index) and is_good(block, 0)

    patches = (
        mock.patch.object(part, "_name_for", lambda folder, session: "session"),
        mock.patch.object(part.PartFile, "_is_ours", is_ours),
    )
    with patches[0], patches[1]:
        yield


@contextlib.contextmanager
def verification_dropped():
    """No block is read back."""
    with mock.patch.object(store_module, "holds_block", lambda *_: True):
        yield


def _overflows(tally):
    """A controller with two buffers behind a slow interrupt: frames are lost, the flag says not
    how many.
    """
    bench = Bench(tally.seed, 400, {"flush_ms": 100})
    bench.traffic.rate_Hz = 800
    bench.depth, bench.service_us = 2, 900
    bench.power_on()
    bench.run_ms(3000)
    status = bench.link.status()
    capture = bench.captures[0]
    n_exact = status.stored0 + status.dropped0
    tally.states["overflow"] += capture.n_seen
    if capture.n_lost < 10:
        raise AssertionError("the controller lost nothing: the case shows nothing")
    if status.dropped0:
        text = f"{status.dropped0} drops called exact, {capture.n_lost} frames were lost"
        tally.add(Finding("L5", "overflow", "overflow", text))
    if not 0 < status.at_least0 <= capture.n_lost:
        text = f"at least {status.at_least0} lost, {capture.n_lost} were"
        tally.add(Finding("L5", "overflow", "overflow", text))
    if n_exact > capture.n_seen:
        tally.add(Finding("L5", "overflow", "overflow", "more counted than seen"))


def _lying_card(tally):
    for number in range(3):
        cards.run_case(tally, cards.swallowed, number)


def _fetches(tally):
    tally.states["two loggers"] += 4
    loggers.two_loggers(tally, range(4))


def _cut(tally, name, n=3):
    kinds = [make.__name__ for make in SCENARIOS]
    for i in range(n):
        Campaign(tally, kinds.index(name) + i * len(SCENARIOS), every=7).run()
        if tally.n_violations:
            return


def _chains(tally):
    for number in range(3000):
        nested.Chain(tally, number).run()
        if tally.n_violations:
            return


CONTROLS = {
    "CRC-16 for CRC-32": (crc16, lambda tally: rot.run(tally, 400_000)),
    "no session nonce": (no_nonce, _chains),
    "rejection by the card ignored": (rejection_ignored, lambda tally: _cut(tally, "worn")),
    "second sync dropped": (sync_dropped, lambda tally: _cut(tally, "fresh")),
    "overflow flag counted as exact": (overflow_counted_as_exact, _overflows),
    "resume without identity": (resume_without_identity, _fetches),
    "nothing read back": (verification_dropped, _lying_card),
    "released by an old list of sessions": (
        released_by_an_old_list,
        lambda tally: _cut(tally, "begin"),
    ),
}


def run_control(name, seed=1, broken=True):
    """Run the campaign that must notice the control; return its Tally, whose findings are the
    catch. Without `broken` the logger is as shipped, and nothing must be found.
    """
    control, campaign = CONTROLS[name]
    tally = Tally(seed)
    with control() if broken else contextlib.nullcontext():
        campaign(tally)
    return tally


def run(tally, n_cases=None, seconds=None, keep=lambda: None):
    """Run each control that the Tally does not hold yet."""

    def run_one(tally, name, _):
        caught = run_control(name)
        tally.note_worst(f"{name}: cases", caught.states.total())
        if not caught.findings:
            tally.add(Finding("control", name, name, "NOT CAUGHT: the campaign is blind"))

    in_turn(tally, CONTROLS, len(CONTROLS), run_one, seconds, keep)


def rows(tally):
    """Return the table of a Tally: one Row for each control; a violation is one not caught."""
    found = []
    for name in CONTROLS:
        if tally.states[name]:
            n, missed = tally.worst[f"{name}: cases"], tally.violations[name]
            text, seconds = "NOT CAUGHT" if missed else "caught", tally.seconds_of(name)
            found.append(Row(f"control: {name}", n, missed, text, tally.seed, seconds))
    return found


def reproduce(seed, case):
    """Run one control, named by the case, again; return a finding if it is not caught.

    The seed is of no account: each control has its own.
    """
    if case not in CONTROLS:
        raise UsageError(f"no control '{case}'", f"controls are {', '.join(CONTROLS)}")
    if run_control(case).findings:
        return []
    return [Finding("control", case, case, "NOT CAUGHT: the campaign is blind")]
