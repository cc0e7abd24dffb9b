"""Violations in the session list that the campaigns found, as headers alone: no card, no time."""

from types import SimpleNamespace

from logger.sessions import Sessions


class Places:
    """An extent of whole blocks: {place: (number, boot)}; boot is the random number too."""

    first = 0
    extent_id = b"CAMPAIGN"
    generation = 0
    released_seq = 0

    def __init__(self, n, blocks):
        self.n = n
        self.blocks = blocks

    def after(self, position, n=1):
        return (position + n) % self.n

    def distance(self, start, end):
        return (end - start) % self.n

    def header(self, position):
        found = self.blocks.get(position)
        return found and (*found, found[1])

    def is_whole(self, position):
        return position in self.blocks


def listed(places, next_position):
    """Return [(boot, places)] of a full ring, newest first."""
    store = SimpleNamespace(
        extent=places,
        next_position=next_position,
        n_used=places.n,
        tail=next_position,
        n_sessions=1,
        blocks_written=1,
    )
    sessions = Sessions(store)
    found = []
    while (session := sessions.get(len(found))) is not None:
        position, n_blocks, _, boot, _ = session
        found.append((boot, [places.after(position, step) for step in range(n_blocks)]))
    return found


def test_lost_blocks_and_a_stale_tail_do_not_hide_a_session():
    """L6 1001:98:185: three blocks that a lying card lost showed those of the round before, and so
    did the tail, which says how old a block in use may be. They were taken for a session, and the
    one behind them for a part of it.
    """
    n, next_place = 35, 28
    boots = [(64, 84, 2), (85, 91, 3), (92, 98, 4)]
    blocks = {
        (next_place + number - 64) % n: (number, boot)
        for low, high, boot in boots
        for number in range(low, high + 1)
    }
    own = {boot: {place for place, block in blocks.items() if block[1] == boot} for boot in (3, 4)}
    blocks[28] = (29, 1)
    stale = {23: (59, 2), 24: (60, 2), 25: (61, 2)}
    blocks.update(stale)
    found = listed(Places(n, blocks), next_place)
    assert [boot for boot, _ in found] == [4, 3, 2, 1]
    sessions = dict(found)
    assert sessions[3] and set(sessions[3]) == own[3]
    assert set(sessions[4]) == own[4]


def test_what_looks_newest_is_left_out_if_a_higher_number_lies_behind_it():
    """L6: with so few places in use that halving meets no other session in between."""
    blocks = {place: (10 + place, 7) for place in range(5)}
    blocks.update({5: (3, 2), 6: (4, 2), 7: (5, 2)})
    assert listed(Places(8, blocks), 0) == [(7, list(range(8)))]
