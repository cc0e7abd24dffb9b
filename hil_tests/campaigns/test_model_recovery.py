"""Where the log ends, and which sessions it holds, against a model: logs of headers alone, no card
and no time, so that thousands of them can be tried.
"""

import functools
import random
from types import SimpleNamespace

from logger.extent import Extent
from logger.sessions import Sessions

FIRST = 5  # an extent does not begin at 0
CASES = 150


def every_seed(check):
    @functools.wraps(check)
    def call():
        for seed in range(CASES):
            check(seed)

    del call.__wrapped__  # pytest would ask for a fixture named seed
    return call


def nonce_of(boot):
    return 7_000_000 - boot


class Places(Extent):
    """An extent of {place: (number, boot, is whole)}; the random number follows from the boot."""

    def __init__(self, n, blocks):
        self.extent_id = b"CAMPAIGN"
        self.first = FIRST
        self.n = n
        self.end = FIRST + n
        self.generation = self.released_seq = 0
        self.tail = FIRST
        self._is_wrapped = False
        self.blocks = blocks
        self.n_looks = 0

    def header(self, position):
        self.n_looks += 1
        assert self.first <= position < self.end
        found = self.blocks.get(position - FIRST)
        return found and (found[0], found[1], nonce_of(found[1]))

    def is_whole(self, position):
        found = self.blocks.get(position - FIRST)
        return bool(found and found[2])


class Log:
    """A ring as a logger leaves it: `write` goes on for one boot."""

    def __init__(self, n):
        self.n = n
        self.blocks = {}
        self.before = {}  # what the places held a round ago
        self.next = 0
        self.seq = 1
        self.n_used = 0
        self.boots = []

    def write(self, boot, n_blocks):
        for _ in range(n_blocks):
            if self.next in self.blocks:
                self.before[self.next] = self.blocks[self.next]
            self.blocks[self.next] = (self.seq, boot, True)
            self.next = (self.next + 1) % self.n
            self.seq += 1
            self.n_used = min(self.n, self.n_used + 1)
        if boot not in self.boots:
            self.boots.append(boot)

    def places(self):
        return Places(self.n, self.blocks)

    def spans(self):
        """Return [(position, n_blocks, first number, boot)], newest first, by reading all."""
        found = []
        for back in range(1, self.n_used + 1):
            place = (self.next - back) % self.n
            seq, boot, _ = self.blocks[place]
            n_blocks = 1
            if found and found[-1][3] == boot:
                n_blocks += found.pop()[1]
            found.append((FIRST + place, n_blocks, seq, boot))
        return found


def store_of(log, places, n_sessions=1):
    return SimpleNamespace(
        extent=places,
        places=SimpleNamespace(
            next_position=FIRST + log.next,
            n_used=log.n_used,
            tail=FIRST + (log.next - log.n_used) % log.n,
        ),
        next_seq=log.seq,
        n_sessions=n_sessions,
        counts=SimpleNamespace(blocks_written=1),
    )


def listed(sessions):
    found = []
    while (session := sessions.get(len(found))) is not None:
        found.append(session[:4])
        assert session[4] == nonce_of(session[3])
    return found


def random_log(rng, n=None):
    log = Log(n or rng.choice((3, 8, 17, 40, 64, 65, 130, 200, 700)))
    for boot in range(1, rng.randrange(2, 9)):
        log.write(boot, rng.choice((1, 2, 3, rng.randrange(1, 40), rng.randrange(1, 2 * log.n))))
    return log


@every_seed
def test_head_tail_and_sessions_of_a_clean_log(seed):
    log = random_log(random.Random(seed))
    places = log.places()
    head = places.find_head()
    newest = (log.next - 1) % log.n
    assert head == (FIRST + newest, log.seq - 1, log.boots[-1], nonce_of(log.boots[-1]))
    tail, following, n_used = places.find_tail(head)
    assert following == FIRST + log.next
    assert n_used == log.n_used
    assert tail == (FIRST if log.n_used < log.n else following)
    assert places.n_looks < 400
    store = store_of(log, places)
    sessions = Sessions(store)
    assert listed(sessions) == log.spans()
    assert sessions.oldest()[:4] == log.spans()[-1]
    spans = log.spans()
    after_oldest = spans[-2][2] if len(spans) > 1 else log.seq
    assert sessions.seq_after(sessions.oldest()) == after_oldest
    assert sessions.get(len(spans)) is None
    places.n_looks = 0
    assert listed(sessions) == spans and not places.n_looks


@every_seed
def test_a_list_that_grows_is_the_list_made_anew(seed):
    rng = random.Random(1000 + seed)
    log = random_log(rng)
    places = log.places()
    sessions = Sessions(store_of(log, places))
    for _ in range(rng.randrange(1, 5)):
        sessions.get(rng.randrange(8))
        log.write(log.boots[-1], rng.choice((0, 1, 2, rng.randrange(log.n))))
        store = store_of(log, places)
        sessions.store = store
        assert sessions.oldest()[:4] == log.spans()[-1]
        assert listed(sessions) == log.spans()
    log.write(99, 1 + rng.randrange(5))
    sessions.store = store_of(log, places, 2)
    assert listed(sessions) == log.spans()


@every_seed
def test_erased_blocks_are_in_no_session(seed):
    rng = random.Random(2000 + seed)
    log = random_log(rng)
    spans = log.spans()
    if len(spans) < 2:
        return
    places = log.places()
    n_kept = rng.randrange(0, len(spans))
    kept = spans[:n_kept]
    seq = kept[-1][2] if kept else log.seq
    position = kept[-1][0] if kept else FIRST + log.next
    places.released_seq, places.tail, places.generation = seq, position, 1
    head = places.find_head()
    found = places.find_tail(head)
    n_used = sum(span[1] for span in kept)
    assert found == (position, FIRST + log.next, n_used)
    log.n_used = n_used
    assert listed(Sessions(store_of(log, places))) == kept


@every_seed
def test_holes_cost_no_block_its_session(seed):
    """Places are lost, one by one and in erase groups, but not the group of the newest block."""
    rng = random.Random(3000 + seed)
    log = random_log(rng, rng.choice((40, 130, 300, 1500)))
    newest = (log.next - 1) % log.n
    spans = log.spans()
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(log.n)
        n_places = rng.choice((1, 2, 8, 20))
        if rng.random() < 0.5:
            start, n_places = start // 16 * 16, 16 * rng.randrange(1, 9)
        for place in range(start, min(start + n_places, log.n)):
            if place // 16 != newest // 16:
                log.blocks.pop(place, None)
    places = log.places()
    head = places.find_head()
    assert head[:2] == (FIRST + newest, log.seq - 1)
    tail, following, n_used = places.find_tail(head)
    own = {place: boot for place, (_, boot, _) in log.blocks.items()}
    assert following == FIRST + log.next
    in_use = {(tail - FIRST + step) % log.n for step in range(n_used)}
    assert set(log.blocks) <= in_use
    store = store_of(log, places)
    store.places.tail, store.places.n_used = tail, n_used
    where = {}
    total = 0
    for position, n_blocks, first_seq, boot in listed(Sessions(store)):
        total += n_blocks
        assert log.blocks[position - FIRST][0] == first_seq
        assert any(boot == span[3] for span in spans)
        for step in range(n_blocks):
            where.setdefault((position - FIRST + step) % log.n, boot)
    assert total <= n_used
    assert {place: where.get(place) for place in own} == own


@every_seed
def test_places_that_show_the_round_before_are_in_no_session_of_now(seed):
    """A lying card lost some of the last writes of a log that goes round."""
    rng = random.Random(5000 + seed)
    log = random_log(rng, rng.choice((40, 130)))
    log.write(50, rng.randrange(log.n))
    log.write(51, rng.randrange(1, 30))
    if log.n_used < log.n:
        return
    own = {place: boot for place, (_, boot, _) in log.blocks.items()}
    last = [(log.next - back) % log.n for back in range(1, 16)]
    lost = [place for place in last[rng.randrange(2) :] if rng.random() < 0.5]
    for place in lost:
        if place in log.before:
            log.blocks[place] = log.before[place]
            del own[place]
    where = {}
    for position, n_blocks, _, boot in listed(Sessions(store_of(log, log.places()))):
        for step in range(n_blocks):
            where.setdefault((position - FIRST + step) % log.n, boot)
    assert {place: where.get(place) for place in own} == own


@every_seed
def test_a_large_ring_is_not_searched_place_by_place(seed):
    rng = random.Random(6000 + seed)
    log = Log(rng.randrange(6000, 7000))
    for boot in range(1, 4):
        log.write(boot, rng.randrange(1, 2000))
    places = log.places()
    assert places.find_head()[:2] == (FIRST + log.next - 1, log.seq - 1)
    assert places.n_looks <= 64 + 10 + 64 + 68 + 1


@every_seed
def test_a_lost_erase_group_of_4_MiB_does_not_hide_what_follows(seed):
    rng = random.Random(7000 + seed)
    log = Log(4096)
    n_before = rng.randrange(1, 3000)
    log.write(1, n_before)
    log.write(2, 1024 + rng.randrange(1, 40))
    start = n_before // 16 * 16
    for place in range(start, start + 1024):
        log.blocks.pop(place, None)
    if log.next - 1 not in log.blocks:
        return
    head = log.places().find_head()
    assert head[1] == log.seq - 1 or start == 0
    spans = listed(Sessions(store_of(log, log.places())))
    assert [span[3] for span in spans] == ([2, 1] if start else [2])


@every_seed
def test_a_torn_newest_block_uses_up_its_number(seed):
    rng = random.Random(4000 + seed)
    log = random_log(rng)
    boot = log.boots[-1]
    before = (log.next - 1) % log.n
    torn = log.next
    log.write(boot + 1, 1)
    log.blocks[torn] = (log.seq - 1, boot + rng.choice((1, 2, 64, 65, 1000)), False)
    if before == torn:
        return
    head = log.places().find_head()
    claimed = log.blocks[torn][1]
    assert head[:2] == (FIRST + torn, log.seq - 1)
    assert head[2] == (claimed if claimed <= boot + 64 else boot)


def test_lost_blocks_and_a_stale_tail_do_not_hide_a_session():
    """L6 1001:98:185, kept: three blocks that a lying card lost showed those of the round before,
    and so did the tail, which says how old a block in use may be. They were taken for a session,
    and the one behind them for a part of it.
    """
    log = Log(35)
    log.next, log.seq = 28, 64
    for boot, n_blocks in ((2, 21), (3, 7), (4, 7)):
        log.write(boot, n_blocks)
    stale = {23: (59, 2, True), 24: (60, 2, True), 25: (61, 2, True), 28: (29, 1, True)}
    log.blocks.update(stale)
    found = listed(Sessions(store_of(log, log.places())))
    assert [span[3] for span in found] == [4, 3, 2, 1]
    assert found[0][:2] == (FIRST + 21, 7) and found[1][:2] == (FIRST + 14, 7)


def test_what_looks_newest_is_left_out_if_a_higher_number_lies_behind_it():
    """L6, kept: with so few places in use that halving meets no other session in between."""
    log = Log(8)
    log.seq = 10
    log.write(7, 8)
    log.blocks.update({0: (2, 2, True), 5: (8, 2, True), 6: (9, 2, True), 7: (10, 2, True)})
    assert listed(Sessions(store_of(log, log.places()))) == [(FIRST + 1, 7, 11, 7)]


def test_a_session_that_goes_once_round_the_ring_stays_one():
    """L6, kept: a session that had overwritten its own first block was listed twice."""
    log = Log(40)
    log.write(1, 30)
    places = log.places()
    sessions = Sessions(store_of(log, places))
    assert listed(sessions) == [(FIRST, 30, 1, 1)]
    log.write(1, 25)
    sessions.store = store_of(log, places)
    assert listed(sessions) == [(FIRST + 15, 40, 16, 1)]


def test_a_block_written_twice_is_in_its_session():
    """The first place was bad, so that the next one has the same number."""
    log = Log(40)
    log.write(1, 6)
    log.write(2, 9)
    log.seq -= 1
    log.write(2, 1)
    assert log.blocks[14][0] == log.blocks[15][0]
    for is_whole in (True, False):
        log.blocks[14] = (log.seq - 1, 2, is_whole)
        assert log.places().find_head()[:2] == (FIRST + 15, log.seq - 1)
        assert listed(Sessions(store_of(log, log.places()))) == [
            (FIRST + 6, 10, 7, 2),
            (FIRST, 6, 1, 1),
        ]


def test_a_session_of_one_block_written_twice_is_listed():
    log = Log(40)
    log.write(1, 6)
    log.write(2, 1)
    log.seq -= 1
    log.write(2, 1)
    spans = [(FIRST + 6, 2, 7, 2), (FIRST, 6, 1, 1)]
    assert listed(Sessions(store_of(log, log.places()))) == spans


def test_torn_blocks_name_no_session_but_belong_to_their_own():
    log = Log(40)
    log.write(1, 6)
    log.write(2, 12)
    log.write(3, 1)
    log.blocks[6] = (7, 2, False)
    log.blocks[12] = (13, 2, False)
    spans = [(FIRST + 18, 1, 19, 3), (FIRST + 6, 12, 7, 2), (FIRST, 6, 1, 1)]
    assert listed(Sessions(store_of(log, log.places()))) == spans
    for place in (7, 9, 12, 15):
        log.blocks[place] = (place + 1, 9, False)
    assert listed(Sessions(store_of(log, log.places()))) == spans
    log.blocks[6] = (500, 2, False)
    spans[1] = (FIRST + 8, 10, 9, 2)
    assert listed(Sessions(store_of(log, log.places()))) == spans


def test_a_log_of_one_torn_block_holds_no_session():
    log = Log(40)
    log.write(1, 1)
    log.blocks[0] = (1, 1, False)
    sessions = Sessions(store_of(log, log.places()))
    assert sessions.get(0) is None and sessions.oldest() is None
    sessions = Sessions(store_of(Log(40), Log(40).places()))
    assert sessions.get(0) is None and sessions.oldest() is None


def test_a_list_asked_for_before_the_first_block_of_a_session_does_not_hide_it():
    log = Log(40)
    log.write(1, 5)
    places = log.places()
    store = store_of(log, places, 2)
    store.counts.blocks_written = 0
    sessions = Sessions(store)
    assert listed(sessions) == log.spans()
    log.write(2, 1)
    sessions.store = store_of(log, places, 2)
    assert listed(sessions) == log.spans() and len(log.spans()) == 2


def test_one_old_block_in_use_keeps_the_ring_full():
    """All but the oldest block of a ring that has gone round may be lost."""
    log = Log(40)
    log.write(1, 60)
    places = log.places()
    oldest = log.blocks[log.next]
    for place in range(log.next + 1, 40):
        del log.blocks[place]
    places.released_seq, places.tail = oldest[0], FIRST + log.next
    head = places.find_head()
    assert places.find_tail(head) == (FIRST + log.next, FIRST + log.next, 40)


def test_a_4_MiB_erase_group_lost_in_pieces_is_stepped_over_with_few_reads():
    """L14 143:3079:196 of seed 20261121, kept: each block found ahead was read whole, and mounting
    read 1,623 sectors.
    """
    rng = random.Random(1)
    for _ in range(40):
        log = Log(2328)
        log.write(1, 3080)
        share = rng.choice((0.1, 0.2, 0.4))
        for place in range(32, 1008):
            if place % 16 == 0:
                is_lost = rng.random() > share
            if is_lost:
                log.blocks.pop(place, None)
        places = log.places()
        whole = []
        places.is_whole = lambda at, of=places, whole=whole: (
            whole.append(at) or type(of).is_whole(of, at)
        )
        assert places.find_head() is not None
        assert places.n_looks + 8 * len(whole) < 900
