"""Cuts upon cuts: the shipped store writes on a state that a cut left, is cut again while it does
so, and again.

Recovery itself writes nothing, so a cut during recovery leaves the state as it was; what a nested
cut can strike is what the recovered logger writes next. One chain is a card through a number of
short lives; the store runs without the application, on blocks of a few records. A case is (chain,
life).
"""

import random

from campaigns.engine.bench import DEVICE_ID, LBA, AckRing, lay_out
from campaigns.engine.journal import JournalCard
from campaigns.engine.power_cut import invariants, media
from campaigns.engine.power_cut.image import Image
from campaigns.engine.reader import parse_release
from campaigns.engine.results import Finding
from logger.clock import Clock
from logger.places import OVERWRITE_OLDEST, STOP_WHEN_FULL
from logger.sessions import Sessions
from logger.store import Store

N_LIVES = 6
_DRAWS = (
    media.draw_order,
    media.draw_torn,
    media.draw_garbage,
    media.draw_stale,
    media.draw_misdirected,
    media.draw_collateral,
    media.draw_lost,
    media.draw_mixed,
)


def draw_nonce(rng):
    """Return the random number of a session."""
    return rng.getrandbits(32) or 1


class _Now:
    """A clock that moves a millisecond whenever it is read."""

    def __init__(self):
        self.now_us = 0

    def ticks_us(self):
        """Return the tick."""
        self.now_us += 1000
        return self.now_us & 0x3FFFFFFF


class _Card(JournalCard):
    """A card whose medium is an Image; what has landed goes into `window` with what lay there
    before.
    """

    def __init__(self, clock, layout, image):
        super().__init__(clock, LBA + layout.n_blocks * 8, 1)
        self.sectors = image.sectors
        self.window = []
        self._image = image

    def land(self, write):
        """Bring what has landed of a write onto the medium."""
        if write.landed:
            self.window.append((write, self._image.land(write.landed)))


class Chain:
    """One card through N_LIVES lives, each ended by a cut that strikes what is on the card by
    then.
    """

    def __init__(self, tally, number):
        self.tally = tally
        self.number = number
        self.rng = random.Random(tally.seed * 104_729 + number)
        rng = self.rng
        self.layout = lay_out(rng.choice((16, 20, 24, 40, 70, 130)))
        self.when_full = rng.choice((STOP_WHEN_FULL, OVERWRITE_OLDEST))
        self.now = _Now()
        signed = dict.fromkeys(
            (self.layout.sector(0), self.layout.sector(self.layout.copy)), self.layout.signature()
        )
        self.image = Image(self.layout, signed)
        self.card = _Card(self.now, self.layout, self.image)
        self.marks = [None]
        self.sessions = {}

    def run(self):
        """Live and be cut; return how many states were checked."""
        for life in range(N_LIVES):
            try:
                cut = self._live(life)
                overlay = self._strike(cut)
                findings = list(self._check(overlay))
            except Exception as error:
                self._report(life, "L8", f"{type(error).__name__}: {error}")
                return life + 1
            for invariant, text in findings:
                self._report(life, invariant, text)
            self._settle(overlay)
            self.tally.states["nested"] += 1
            if not self._is_signed({}):
                return life + 1
        self.tally.note_worst("depth", N_LIVES)
        return N_LIVES

    def _is_signed(self, overlay):
        """Return whether a signature is left; misdirected writes of two lives may strike both."""
        copies = (self.layout.sector(0), self.layout.sector(self.layout.copy))
        found = [overlay.get(at, self.image.sectors[at]) for at in copies]
        return self.layout.signature() in found

    def _live(self, life):
        """Mount, record some blocks, perhaps erase a session; return the Cut that ends the
        life.
        """
        rng = self.rng
        card = self.card
        card.journal.clear()
        card.window.clear()
        card.power_off()
        card.life = life
        ring = AckRing(8, card)
        store = Store(card, ring, Clock(self.now.ticks_us), DEVICE_ID, self.when_full)
        ring.watch(store)
        store.mount()
        if store.extent is None:
            raise ValueError(f"the card is refused: fault {store.fault}")
        for _ in range(rng.choice((1, 1, 2))):
            nonce = draw_nonce(rng)
            ring.start_session()
            store.start_session(nonce)
            self._note_session(life, store)
            for _ in range(rng.randrange(0, 7)):
                self._record(ring)
                self._write_out(store)
            if rng.random() < 0.3:
                self._erase(store)
                self._write_out(store)
        self._record(ring)
        if store.places.is_full:
            return media.Cut(self.image, None, card.window[-6:])
        store.step()
        write = card.journal[-1] if store.is_writing else None
        if write is not None:
            self._begin(write)
        return media.Cut(self.image, write, card.window[-6:])

    def _record(self, ring):
        for _ in range(self.rng.randrange(1, 4)):
            self.now.now_us += self.rng.randrange(1, 30_000)
            t_us = self.now.now_us
            data = self.rng.randbytes(8)
            ring.put_frame(t_us & 0xFFFFFFF, t_us >> 28, self.rng.getrandbits(11), 0, 8, data)
        ring.close_block()

    def _write_out(self, store):
        for _ in range(40):
            n = len(self.card.journal)
            store.step()
            if len(self.card.journal) > n:
                self._begin(self.card.journal[-1])
            if not store.is_writing and not store.release_waits:
                if store.places.is_full or not store.ring.n_waiting():
                    return

    def _begin(self, write):
        version = self.image.begin(write)
        if version is None:
            mark = parse_release(write.data[:512], self.layout.extent_id)
            if mark is None:
                raise ValueError(f"a write to sector {write.sector}")
            self.marks.append(mark)
            return
        stays = self.image.whole.get(version.position)
        floor = self.marks[-1][1] if self.marks[-1] else 0
        if self.when_full == STOP_WHEN_FULL and stays is not None and stays.block.seq >= floor:
            if self.image.versions[version.position][-2] is stays:
                raise ValueError(f"block {stays.block.seq} at {version.position} is overwritten")

    def _erase(self, store):
        sessions = Sessions(store)
        oldest = sessions.oldest()
        if oldest is None or (oldest[3], oldest[4]) == (store.boot, store.nonce):
            return
        after = store.extent.after(oldest[0], oldest[1])
        store.request_release(sessions.seq_after(oldest), after)

    def _settle(self, overlay):
        """The state becomes the medium; what the card has lost by then does not come back
        later.
        """
        self.image.land(overlay)
        for position in self.image.positions(overlay):
            for version in self.image.versions.get(position, ()):
                if self.image.whole.get(position) is not version:
                    version.landed = False

    def _note_session(self, life, store):
        name = (store.boot, store.nonce)
        if name in self.sessions:
            raise ValueError(f"boot {store.boot}, session {store.nonce:08x} is there twice")
        self.sessions[name] = life

    def _strike(self, cut):
        if cut.write is None:
            return media.draw_lost(cut, self.rng).overlay
        return self.rng.choice(_DRAWS)(cut, self.rng).overlay

    def _check(self, overlay):
        image = self.image
        view = image.view(overlay)
        if not self._is_signed(overlay):
            return
        store, card = invariants.mount(image, overlay, self.when_full, view.touched)
        self.tally.n_mounted += 1
        self.tally.note_worst("reads", card.n_reads)
        stop = False
        begun = None
        yield from invariants.check_state(
            image, view, store, card.n_reads, begun, [*self.marks[::-1]], stop
        )
        if store.extent is not None:
            yield from invariants.check_sessions(image, view, store)

    def _report(self, life, invariant, text):
        self.tally.add(Finding(invariant, f"nested:{self.number}:{life}", "nested", text))
