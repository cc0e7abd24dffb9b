"""The power-cut campaign: cut a recorded scenario everywhere, in every way a card allows, and let
the shipped code recover.

A scenario is run once through the shipped application; its journal is then cut at every write,
between and inside. A case is (scenario, write, variant); with the seed it is a reproducer,
independent of all other cases.
"""

import random

from campaigns.engine.power_cut import invariants, media
from campaigns.engine.power_cut.host_check import check_host
from campaigns.engine.power_cut.image import Image
from campaigns.engine.power_cut.scenarios import run_scenario
from campaigns.engine.reader import parse_release
from campaigns.engine.results import Finding
from campaigns.engine.witness import check_frames

_N_DRAWS = (
    (media.draw_order, 24),
    (media.draw_torn, 16),
    (media.draw_garbage, 32),
    (media.draw_stale, 12),
    (media.draw_misdirected, 12),
    (media.draw_collateral, 8),
    (media.draw_lost, 24),
    (media.draw_mixed, 24),
)
_LAST = 4
_SESSIONS_EVERY = 3  # of the states that are mounted
_SESSIONS_EVERY_BIG = 16  # where the ring has more than _BIG places
_BIG = 500
_AGAIN_EVERY = 61  # of all states, without any short cut
_HOST_EVERY = 2503  # the host's reader takes a hundred times longer than the check itself
FIRST_DRAW = 9 + len(media.HEADER_EDGES) + 1
N_VARIANTS = FIRST_DRAW + sum(n for _, n in _N_DRAWS)
_DRAWS = [draw for draw, n in _N_DRAWS for _ in range(n)]


class Campaign:
    """All cuts of one scenario."""

    def __init__(self, tally, number, every=1):
        self.tally = tally
        self.number = number
        self.every = every
        self.name, self.bench = run_scenario(tally.seed, number)
        self.stop = self.bench.settings.get("when_full") != "overwrite"
        self.card = self.bench.card
        self.image = Image(self.bench.layout, self.bench.prepared)
        is_big = self.image.layout.n > _BIG
        self._sessions_every = _SESSIONS_EVERY_BIG if is_big else _SESSIONS_EVERY
        self._answers = invariants.Answers(self.image)
        self._verdicts = {}
        self._n_mounted = 0
        self._begun = None
        self._marks = [None]
        self._window = []
        self._sent = {}
        self._payloads = {}

    def run(self, only=None):
        """Check all cases, or one (write, variant)."""
        if only is None:
            for invariant, text in check_frames(self.bench):
                self._report(self.card.journal[0], 0, "scenario", invariant, text)
        for write in self.card.journal:
            self._begin(write)
            if only is None:
                if self._is_due(write):
                    for variant in range(N_VARIANTS):
                        self._case(write, variant)
            elif write.index == only[0]:
                self._sessions_every = 1
                self._case(write, only[1])
            self._land(write)
            if only is not None and write.index == only[0]:
                return

    def _is_due(self, write):
        """Cut all writes, of an earlier filling of the card only some."""
        every = self.every if write.index >= self.bench.n_filled else 37 * self.every
        return write.index % every == self.number % every

    def _begin(self, write):
        self._verdicts.clear()
        self._window = [
            entry
            for entry in self._window
            if entry[0].life == write.life
            and write.t_start_us - entry[0].t_done_us <= media.WINDOW_US
        ]
        position, _ = self.image.layout.position(write.sector)
        stays, oldest = self.image.at_stake(position, self._floor)
        version = self.image.begin(write)
        if version is None:
            self._check_mark(write)
            return
        for invariant, text in self._check_write(write, version, stays, oldest):
            self._report(write, 0, "journal", invariant, text)
        self._begun = version.position

    @property
    def _floor(self):
        return self._marks[-1][1] if self._marks[-1] else 0

    def _check_mark(self, write):
        mark = parse_release(write.data[:512], self.image.layout.extent_id)
        if mark is None:
            self._report(write, 0, "journal", "L9", f"a write to sector {write.sector}")
            return
        floor = self._floor
        erased, kept = set(), set()
        for seq, position in self.image.order:
            if seq >= floor:
                session = self.image.whole[position].block.session
                (erased if seq < mark[1] else kept).add(session)
        if len(erased) != 1 or erased & kept:
            text = f"erases {len(erased)} sessions, {len(erased & kept)} of them in part"
            self._report(write, 0, "journal", "L17", text)
        elif not erased <= self.bench.erasable:
            self._report(write, 0, "journal", "L17", "erases a session that nobody has fetched")

    def _check_write(self, write, version, stays, oldest):
        """The logger may write only where nothing counts, and no number or frame twice."""
        block = version.block
        if block is None or block.position != version.position:
            yield "L10", f"place {version.position} was sent what does not belong there"
            return
        if stays is not None and stays.data != write.data:
            retry = (stays.block.session, stays.block.seq) == (block.session, block.seq)
            if not retry and (self.stop or stays.block.seq != oldest):
                yield "L12", f"block {stays.block.seq} at {version.position} is overwritten"
        payload = hash(write.data[64 : 64 + 16 * block.n_records])
        name = (block.session, block.seq)
        if self._sent.setdefault(name, payload) != payload:
            yield "L7", f"number {block.seq} of session {block.nonce:08x} names two blocks"
        name = (block.session, block.t0_us, block.stored, payload)
        if self._payloads.setdefault(name, block.seq) != block.seq:
            yield "L3", f"blocks {self._payloads[name]} and {block.seq} hold the same frames"

    def _land(self, write):
        before = self.image.land(write.landed)
        self._window.append((write, before))
        mark = parse_release(write.data[:512], self.image.layout.extent_id)
        if mark is not None and write.landed:
            self._marks.append(mark)
        if write.t_acked_us is not None and mark is None:
            position, _ = self.image.layout.position(write.sector)
            version = self.image.whole.get(position)
            if version is None or version.data != write.data:
                self._report(write, 0, "journal", "L1", "counted as stored, but not on the card")

    def _case(self, write, variant):
        tally = self.tally
        seed = ((tally.seed * 1009 + self.number) << 24) + (write.index << 10) + variant
        rng = random.Random(seed)
        cut = media.Cut(self.image, write, self._window)
        if variant < 9:
            state = media.in_order(cut, variant)
        elif variant < FIRST_DRAW - 1:
            state = media.torn(cut, 0, media.HEADER_EDGES[variant - 9])
        elif variant == FIRST_DRAW - 1:
            state = media.draw_lost(media.Cut(self.image, None, self._window), rng)
        else:
            state = _DRAWS[variant - FIRST_DRAW](cut, rng)
        tally.states[state.kind] += 1
        try:
            findings = list(self._check(write, variant, state))
        except Exception as error:
            findings = [("L8", f"recovery raises {type(error).__name__}: {error}")]
        for invariant, text in findings:
            self._report(write, variant, state.kind, invariant, text)

    def _check(self, write, variant, state):
        image = self.image
        view = image.view(state.overlay)
        answers = self._answers.of(state.overlay, view)
        key = (answers, state.harmed)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._judge(write, state, view)
            if answers is not None:
                self._verdicts[key] = verdict
        findings, place = verdict
        yield from findings
        if place is None:
            return
        yield from self._check_tail(write, state, view)
        number = write.index * N_VARIANTS + variant
        if number % _AGAIN_EVERY == 0:
            again, _ = invariants.mount(image, state.overlay, self.bench.when_full)
            if _place(again) != place:
                yield "L8", f"mounted twice: {place}, then {_place(again)}"
        if number % _HOST_EVERY == 0:
            self.tally.states["host reader"] += 1
            yield from check_host(image, state.overlay, view)

    def _judge(self, write, state, view):
        """Return (findings, where the shipped code continues or None) of a state it mounts."""
        image = self.image
        store, card = invariants.mount(image, state.overlay, self.bench.when_full, view.touched)
        self.tally.note_worst("reads", card.n_reads)
        self.tally.n_mounted += 1
        self._n_mounted += 1
        marks = self._allowed_marks(write, state)
        findings = list(
            invariants.check_state(image, view, store, card.n_reads, self._begun, marks, self.stop)
        )
        if store.extent is None:
            return findings, None
        if self._n_mounted % self._sessions_every == 0:
            findings += invariants.check_sessions(image, view, store)
        return findings, _place(store)

    def _allowed_marks(self, write, state):
        now = parse_release(write.data[:512], self.image.layout.extent_id)
        allowed = self._marks[::-1] if state.harmed else self._marks[-1:]
        return [*allowed, now] if now else allowed

    def _check_tail(self, write, state, view):
        """What was stored is there, and what is gone spans at most so many milliseconds."""
        position, _ = self.image.layout.position(write.sector)
        version = view.touched.get(position, self.image.whole.get(position))
        here = version is not None and version.data == write.data
        early = write.t_acked_us is not None and write.t_acked_us < write.t_done_us
        if early and not here and not state.harmed:
            yield "L1", "counted as stored while the card was busy, and gone"
        newest = self.image.newest(position)
        if newest is None or newest.block is None or here:
            return
        if self.stop and newest.block.flags & _LAST:
            return  # it may have waited since the card became full
        first_lost = newest.block.t0_us
        for lost in state.lost:
            block = self.image.newest(self.image.layout.position(lost.sector)[0])
            if block is not None and block.block is not None and block.life == write.life:
                first_lost = min(first_lost, block.block.t0_us)
        tail_ms = (write.t_done_us - first_lost) / 1000
        if not state.harmed or state.kind == "lost":
            slow = "slow card" if self.bench.is_slow else state.kind
            self.tally.note_worst(f"tail, {slow}", tail_ms - self.bench.flush_ms)
            limit = self.bench.tail_ms + (media.WINDOW_US / 1000 + 300 if state.lost else 0)
            if tail_ms > limit:
                yield "L2", f"{tail_ms:.0f} ms are gone, {limit:.0f} ms are promised"

    def _report(self, write, variant, kind, invariant, text):
        case = f"{self.number}:{write.index}:{variant}"
        self.tally.add(Finding(invariant, case, kind, f"{self.name}: {text}"))


def _place(store):
    return (
        store.places.next_position,
        store.next_seq,
        store.boot,
        store.places.tail,
        store.places.n_used,
    )
