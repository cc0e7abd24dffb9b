"""The supply reports that it fails: what is in memory goes onto the card at once."""

from rig_play import SECOND_US, play

MS = 1_000


def test_the_open_block_is_written_when_the_supply_fails(target):
    """20 frames fill no block, which takes 252, and `flush_ms` is 250: 100 ms later the card has
    none of them. A block is written in 3 ms here, so 10 ms after the fall it has all.
    """
    n = play(target, 5 * MS)
    assert 10 < n < 252
    target.run_for(100 * MS)
    before = target.app.store.counts.stored[0]
    target.app.board.has_power = False
    target.run_for(10 * MS)
    assert (before, target.app.store.counts.stored[0]) == (0, n)


def test_a_supply_that_stays_bad_costs_one_block_and_no_frame(target):
    """After the fall it goes on as before: a block for each 250 ms, four in a second."""
    target.run_for(SECOND_US)
    target.app.board.has_power = False
    target.run_for(20 * MS)
    written = target.app.store.counts.blocks_written
    n = play(target, SECOND_US)
    target.run_for(SECOND_US)
    counts = target.app.store.counts
    assert counts.stored[0] == n
    assert counts.blocks_written - written <= n // 252 + 4 + 4


def test_each_fall_closes_a_block(target):
    """20 frames before each change of the pin. A rise closes nothing: the second fall has 40."""
    target.run_for(SECOND_US)
    stored = [target.app.store.counts.stored[0]]
    for has_power in (False, True, False):
        assert play(target, 5 * MS) == 20
        target.app.board.has_power = has_power
        target.run_for(10 * MS)
        stored.append(target.app.store.counts.stored[0])
    assert stored == [0, 20, 20, 60]
