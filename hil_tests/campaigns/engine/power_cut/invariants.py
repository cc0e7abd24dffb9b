"""What must hold after a power cut, checked against the witness: the shipped recovery code mounts
the state.

Owns the judgement, not the faults. A finding is (invariant, text); the names are those of
RELIABILITY.md.
"""

from campaigns.engine.bench import DEVICE_ID
from campaigns.engine.power_cut.image import StateCard
from logger.clock import Clock
from logger.extent import Extent
from logger.places import OVERWRITE_OLDEST
from logger.ring import BlockRing
from logger.sessions import Sessions
from logger.store import Store

_MOST_ALIKE = 12  # places touched by a state that is compared with others
MAX_READS = 1500  # sectors that mounting may read, whatever the card's size and content
_CLOCK = Clock(lambda: 0)
_RING = BlockRing(1)


class QuickExtent(Extent):
    """The shipped extent, which remembers what it saw at places that the fault does not touch.

    They are read by the shipped code the first time; a remembered one counts as read. Sampled
    states are mounted without it and must come out the same.
    """

    def header(self, position):
        """As Extent."""
        card = self.card
        if position in card.touched:
            return Extent.header(self, position)
        headers = card.headers
        if position in headers:
            card.n_reads += 1
            return headers[position]
        found = headers[position] = Extent.header(self, position)
        return found

    def is_whole(self, position):
        """As Extent."""
        card = self.card
        if position in card.touched:
            return Extent.is_whole(self, position)
        known = card.judged
        if position in known:
            card.n_reads += 8
            return known[position]
        found = known[position] = Extent.is_whole(self, position)
        return found


class _QuickStore(Store):
    """The shipped store on a QuickExtent."""

    make_extent = QuickExtent


class Answers:
    """What the shipped code can learn of a state's places: of two states with the same answers, it
    makes the same.
    """

    def __init__(self, image):
        layout = image.layout
        self._ring = (layout.sector(layout.first), layout.sector(layout.end))
        self._card = StateCard(image.sectors, layout.sector(layout.n_blocks), {})
        self._extent = Extent(self._card)

    def of(self, overlay, view):
        """Return them with what the witness knows, hashable; None if the fault struck many places
        or what lies outside of the ring.
        """
        if len(view.touched) > _MOST_ALIKE:
            return None
        if overlay and (min(overlay) < self._ring[0] or max(overlay) >= self._ring[1]):
            return None
        self._card.overlay = overlay
        extent = self._extent
        return tuple(
            (position, extent.header(position), extent.is_whole(position), id(version))
            for position, version in sorted(view.touched.items(), key=_position)
        )


def _position(item):
    return item[0]


def mount(image, overlay, when_full=OVERWRITE_OLDEST, touched=None):
    """Return (store, card) after the shipped code has read a state.

    touched   places whose content the overlay changes: others are checked in a quicker way
    """
    layout = image.layout
    card = StateCard(image.sectors, layout.sector(layout.n_blocks), overlay)
    make = Store
    if touched is not None:
        make = _QuickStore
        card.touched = touched
        card.headers = image.headers
        card.judged = image.judged
    store = make(card, _RING, _CLOCK, DEVICE_ID, when_full)
    store.mount()
    return store, card


def check_state(image, view, store, n_reads, begun, marks, stop):
    """Yield the findings on a mounted state.

    begun   position of the newest write that was begun, None if none was
    marks   release marks (generation, floor, position) that may count in this state, the newest
            durable one first; None stands for no mark
    stop    True if the logger must stop when it is full
    """
    for position in view.fiction:
        yield "L3", f"a whole block that nobody wrote lies at place {position}"
    if store.extent is None:
        yield "L14", f"the card is refused: fault {store.fault}"
        return
    if n_reads > MAX_READS:
        yield "L14", f"mounting read {n_reads} sectors"
    if view.mark not in marks:
        yield "L17", f"release mark {view.mark}, {marks} expected"
    extent = store.extent
    if extent.released_seq != view.floor:
        yield "L17", f"released below {extent.released_seq}, the mark says {view.floor}"
    last = image.last(view)
    if last is not None:
        if store.next_seq <= last.block.seq:
            yield "L7", f"number {store.next_seq} after {last.block.seq}"
        if not last.block.boot < store.boot < 1 << 32:
            yield "L7", f"boot {store.boot} after {last.block.boot}"
    if store.next_seq < view.floor:
        yield "L7", f"number {store.next_seq}, below {view.floor} is erased"
    if (
        not extent.first <= store.places.next_position < extent.end
        or not 0 <= store.places.n_used <= extent.n
    ):
        yield "L8", f"next place {store.places.next_position}, {store.places.n_used} in use"
        return
    yield from _check_places(image, view, store, last, begun, stop and view.mark == marks[0])


def _check_places(image, view, store, last, begun, stop):
    """Nothing that counts may be overwritten, and no place is lost to caution."""
    extent = store.extent
    span = extent.distance(store.places.tail, store.places.next_position)
    if store.places.n_used % extent.n != span:
        yield (
            "L12",
            f"{store.places.n_used} in use, {span} from tail to next place",
        )
    oldest = image.oldest(view)
    if oldest is None:
        if (
            stop
            and store.places.n_used
            and begun is not None
            and extent.released_seq
            and not view.touched
        ):
            yield "L12", f"{store.places.n_used} places in use, all is erased"
        return
    newest = last
    if not image.is_protected(last.position, last, view.floor):
        newest = oldest
    low = extent.distance(store.places.tail, oldest.position)
    high = extent.distance(store.places.tail, newest.position)
    if not low <= high < store.places.n_used:
        ends = [f"{version.block.seq} at {version.position}" for version in (oldest, newest)]
        used = f"{store.places.n_used} in use from {store.places.tail}"
        yield "L1", f"blocks {ends[0]} to {ends[1]} may be overwritten: {used}"
    if begun is not None and newest is last:
        ahead = extent.distance(newest.position, store.places.next_position) - 1
        most = extent.distance(newest.position, begun)
        if ahead % extent.n > most:
            yield "L12", f"{ahead} places skipped, at most {most} were begun"
    if stop and store.places.n_used == extent.n:
        start = view.mark[2] if view.mark else extent.first
        if begun is not None and extent.distance(start, begun) + 1 < extent.n:
            yield "L12", f"full, but only places {start} to {begun} were begun"


def check_sessions(image, view, store):
    """Yield findings on the session list: every block that counts is in exactly one session, its
    own.
    """
    sessions = Sessions(store)
    extent = store.extent
    spans = []
    for index in range(1000):
        session = sessions.get(index)
        if session is None:
            break
        spans.append(session)
    total = sum(session[1] for session in spans)
    if total > store.places.n_used:
        yield "L6", f"the sessions claim {total} places of {store.places.n_used}"
    where = {}
    for position, n_blocks, _, boot, nonce in spans:
        for step in range(n_blocks):
            where.setdefault(extent.after(position, step), (boot, nonce))
    for position, version in _protected(image, view):
        block = version.block
        found = where.get(position)
        if found != (block.boot, block.nonce):
            yield (
                "L6",
                f"block {block.seq} at {position} of boot {block.boot} is listed under {found}",
            )
            return


def _protected(image, view):
    for seq, position in image.order:
        if position not in view.touched and seq >= view.floor:
            version = image.whole[position]
            if image.is_protected(position, version, view.floor):
                yield position, version
    for position, version in view.touched.items():
        if version is not None and image.is_protected(position, version, view.floor):
            yield position, version
