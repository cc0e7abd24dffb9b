"""Read a part of a session from a logger: its first blocks, its last seconds, a window.

Owns which places are read: a header holds the time of its block, so a time is found by halving.
What is read is a log of its own (blocks.read_log), of which the rest is missing. Fails as Link
does.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slog import messages as m
from slog.layout import BLOCK_HEADER, HEADER_BYTES, MAGIC
from stagelog.blocks import Session, read_log
from stagelog.blocks.layouts import parse
from stagelog.errors import InputError
from stagelog.link import Link, positions_of
from stagelog.replies import ListedSession

FIRST_BLOCKS = 2  # session, hashes, and the first anchor
_STEPS = 8  # places that are tried where a header cannot be read


class Window(NamedTuple):
    """Blocks of a session, by number from 0 to n_blocks: `first` up to but without `end`."""

    first: int
    end: int


def time_of_block(link: Link, session: ListedSession, number: int) -> int | None:
    """Return t_us of the first record of a block, None if its header cannot be read."""
    positions = positions_of(session)
    answer, rest = link.ask(
        m.READ,
        {"position": positions[number], "at": 0, "n": HEADER_BYTES, "n_blocks": 1},
        accept=(m.OK, m.READ_ERROR),
    )
    if answer["status"] != m.OK or len(rest) < HEADER_BYTES:
        return None
    header = parse(BLOCK_HEADER, bytes(rest))
    is_ours = header["magic"] == MAGIC and header["nonce"] == session.nonce
    return int(header["t0_hi"]) << 28 | int(header["t0_lo"]) if is_ours else None


def find_block(link: Link, session: ListedSession, t_us: int) -> int:
    """Return the number of the last block that begins at or before `t_us`, 0 if none does."""
    low, high = 0, session.n_blocks
    while high - low > 1:
        middle = (low + high) // 2
        found = None
        for number in range(middle, min(middle + _STEPS, high)):
            found = time_of_block(link, session, number)
            if found is not None:
                break
        if found is not None and found <= t_us:
            low = middle
        else:
            high = middle
    return low


def last_time(link: Link, session: ListedSession) -> int:
    """Return t_us of the last block of a session whose header can be read."""
    for number in reversed(range(max(0, session.n_blocks - 4 * _STEPS), session.n_blocks)):
        found = time_of_block(link, session, number)
        if found is not None:
            return found
    return session.t0_us


def fetch_blocks(link: Link, session: ListedSession, numbers: Iterable[int]) -> Iterator[bytes]:
    """Yield the blocks of a session by their numbers; those that cannot be read are left out."""
    positions = positions_of(session)
    for _, block in link.read_blocks(positions[number] for number in numbers):
        if block is not None:
            yield block


def read_part(link: Link, session: ListedSession, windows: Iterable[Window]) -> Session | None:
    """Return the blocks of some windows as a Session, None if none of them is good."""
    numbers = sorted({n for window in windows for n in range(window.first, window.end)})
    with tempfile.TemporaryDirectory(prefix="stagelog-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "part.slog"
        path.write_bytes(b"".join(fetch_blocks(link, session, numbers)))
        try:
            log = read_log(path)
        except InputError:
            return None
        found = [s for s in log.sessions if s.nonce == session.nonce and s.boot == session.boot]
        if found:
            found[0].scan  # noqa: B018 - reads the file before it is gone
        return found[0] if found else None


def tail_of(session: ListedSession, n_blocks: int) -> list[Window]:
    """Return the windows of a session's first blocks and its last `n_blocks`."""
    head = Window(0, min(FIRST_BLOCKS, session.n_blocks))
    return [head, Window(max(head.end, session.n_blocks - n_blocks), session.n_blocks)]


def window_of(link: Link, session: ListedSession, from_us: int, to_us: int) -> Window:
    """Return the window of blocks that hold the records between two times."""
    first = find_block(link, session, from_us)
    return Window(first, min(session.n_blocks, find_block(link, session, to_us) + 1))
