"""The seven things that a card does to data when its power goes: what a cut leaves behind, as an
overlay on the image.

    out of order   any of the sectors in flight have landed, any have not
    torn           a sector is new up to some byte and old from there, or the other way round
    garbage        a sector reads as noise, FF, 00, with some bits or bytes wrong, or not at all
    stale          a sector shows what the same place held earlier, up to four versions ago
    misdirected    the write landed at another place
    collateral     the erase group around the write is lost, 64 KiB to 4 MiB, or some 64 KiB pieces
                   of it
    lost           writes that the card had reported done up to 700 ms before are not there

Faults strike what was in flight, except collateral (its erase group), lost (its window) and
misdirected (its victim).
"""

from dataclasses import dataclass, field

from campaigns.engine.journal import BAD, SECTORS_PER_BLOCK, ZEROS, split_sectors

WINDOW_US = 700_000
GROUPS = (16, 32, 64, 128, 256, 512, 1024)
HEADER_EDGES = (
    *range(1, 5),
    8,
    *range(12, 29),
    30,
    32,
    36,
    44,
    56,
    58,
    60,
    61,
    63,
    64,
    65,
    80,
    511,
)
_FF = b"\xff" * 512


@dataclass(slots=True)
class Cut:
    """Where the power goes: the write in flight (None between two writes) and those that may not
    have reached the medium.

    window   [(write, {sector: content before})] that ended at most WINDOW_US before, oldest first
    """

    image: object
    write: object
    window: list


@dataclass(slots=True)
class State:
    """What is on the medium after the cut. `harmed` is True if durable data may be gone, `lost`
    the writes rolled back.
    """

    overlay: dict
    kind: str
    harmed: bool = False
    lost: list = field(default_factory=list)


def in_order(cut, n):
    """The first `n` sectors have landed."""
    return State(_landed(cut, (1 << n) - 1), "boundary")


def torn(cut, index, n_bytes, suffix=False):
    """Sectors before `index` have landed, that one up to `n_bytes` (or from there on)."""
    overlay = _landed(cut, (1 << index) - 1)
    sector = cut.write.sector + index
    overlay[sector] = _tear(cut, index, n_bytes, suffix)
    return State(overlay, "torn")


def draw_order(cut, rng):
    """Any subset of the sectors has landed."""
    return State(_landed(cut, rng.getrandbits(8)), "out of order")


def draw_torn(cut, rng):
    """Any subset has landed, one sector is torn at any byte."""
    overlay = _landed(cut, rng.getrandbits(8))
    index = rng.randrange(SECTORS_PER_BLOCK)
    overlay[cut.write.sector + index] = _tear(cut, index, rng.randrange(512), rng.random() < 0.3)
    return State(overlay, "torn")


def draw_garbage(cut, rng):
    """Any subset has landed, one or more sectors are garbage; often the first, which holds the
    header.
    """
    overlay = _landed(cut, rng.choice((0xFF, 0xFF, rng.getrandbits(8))))
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        index = rng.choice((0, rng.randrange(SECTORS_PER_BLOCK)))
        overlay[cut.write.sector + index] = _garbage(cut, index, rng)
    return State(overlay, "garbage")


def draw_stale(cut, rng):
    """Some sectors show an earlier version of the same place."""
    overlay = _landed(cut, rng.getrandbits(8))
    position, _ = cut.image.layout.position(cut.write.sector)
    versions = [old for old in cut.image.versions.get(position, ())[-9:-1] if old.landed]
    if versions:
        old = split_sectors(rng.choice(versions[-4:]).data)
        mask = rng.choice((0xFF, 0x01, rng.getrandbits(8)))
        for index in range(SECTORS_PER_BLOCK):
            if mask >> index & 1:
                overlay[cut.write.sector + index] = old[index]
    return State(overlay, "stale")


def draw_misdirected(cut, rng):
    """The write landed elsewhere: beside its place, anywhere in the ring, or on a signature or
    mark.
    """
    layout = cut.image.layout
    here, _ = layout.position(cut.write.sector)
    where = rng.random()
    if where < 0.05:
        there = rng.choice((0, layout.copy, layout.release_a, layout.release_b))
    elif where < 0.5 and layout.first <= here < layout.end:
        there = layout.first + (here - layout.first + rng.randrange(-16, 17)) % layout.n
    else:
        there = rng.randrange(layout.first, layout.end)
    mask = rng.choice((0xFF, 0xFF, 0x01, rng.getrandbits(8)))
    at = layout.sector(there)
    new = split_sectors(cut.write.data)
    return State({at + i: new[i] for i in range(8) if mask >> i & 1}, "misdirected", True)


def draw_collateral(cut, rng):
    """The erase group around the write is lost, all of it or any part."""
    layout = cut.image.layout
    size = rng.choice(GROUPS[: _n_groups(layout)])
    here, _ = layout.position(cut.write.sector)
    start = here - here % size
    fill = rng.choice((_FF, ZEROS, BAD, rng.randbytes(512)))
    share = rng.choice((1, 1, rng.random()))
    overlay = _landed(cut, rng.getrandbits(8))
    for group in range(start, min(start + size, layout.n_blocks), GROUPS[0]):
        if share == 1 or rng.random() < share or group <= here < group + GROUPS[0]:
            at = layout.sector(group)
            end = min(at + GROUPS[0] * SECTORS_PER_BLOCK, layout.sector(layout.n_blocks))
            overlay.update(dict.fromkeys(range(at, end), fill))
    return State(overlay, "collateral", True)


def draw_lost(cut, rng):
    """Of the writes in the window any subset, often the last ones, is as if it had never been."""
    window = cut.window
    if rng.random() < 0.5:
        n = rng.randrange(len(window) + 1)
        lost = window[len(window) - n :]
    else:
        lost = [entry for entry in window if rng.random() < 0.5]
    gone = {write.index for write, _ in lost}
    overlay = {}
    for write, before in window:
        for sector, old in before.items():
            if write.index in gone:
                overlay.setdefault(sector, old)
            elif sector in overlay:
                overlay[sector] = write.landed[sector]
    if cut.write is not None:
        overlay.update(_landed(cut, rng.getrandbits(8)))
    return State(overlay, "lost", True, [write for write, _ in lost])


def draw_mixed(cut, rng):
    """Two or three of the above at once."""
    kinds = rng.sample(IN_FLIGHT + HARMFUL, rng.choice((2, 2, 3)))
    states = [draw(cut, rng) for draw in kinds]
    overlay = {}
    lost = []
    for state in sorted(states, key=lambda state: state.kind == "collateral"):
        overlay.update(state.overlay)
        lost += state.lost
    return State(overlay, "mixed", any(state.harmed for state in states), lost)


IN_FLIGHT = (draw_order, draw_torn, draw_garbage, draw_stale)
HARMFUL = (draw_misdirected, draw_collateral, draw_lost)


def _landed(cut, mask):
    if cut.write is None:
        return {}
    at = cut.write.sector
    new = split_sectors(cut.write.data)
    return {at + i: new[i] for i in range(SECTORS_PER_BLOCK) if mask >> i & 1}


def _old(cut, index):
    return cut.image.sectors.get(cut.write.sector + index, ZEROS) or _FF


def _tear(cut, index, n_bytes, suffix):
    new = cut.write.data[512 * index : 512 * index + 512]
    old = _old(cut, index)
    return old[:n_bytes] + new[n_bytes:] if suffix else new[:n_bytes] + old[n_bytes:]


def _garbage(cut, index, rng):
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(512)
    if kind == 1:
        return rng.choice((_FF, ZEROS))
    if kind == 2:
        return BAD
    new = bytearray(cut.write.data[512 * index : 512 * index + 512])
    if kind == 3:
        for _ in range(rng.randrange(1, 9)):
            bit = rng.randrange(rng.choice((64, 512)) * 8)
            new[bit >> 3] ^= 1 << (bit & 7)
    else:
        start = rng.randrange(rng.choice((64, 512)))
        n_bytes = rng.randrange(1, 17)
        piece = rng.randbytes(n_bytes) if kind == 4 else rng.choice((b"\xff", b"\0")) * n_bytes
        new[start : start + n_bytes] = piece
    return bytes(new[:512])


def _n_groups(layout):
    return max(1, sum(size * 2 <= layout.n for size in GROUPS))
