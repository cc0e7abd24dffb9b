"""A faster line to a board whose cable is a UART, for the time of a download; how long one takes.

Owns what the host does of `slog.line_rate`. A rate that the adapter or the logger does not carry
costs a second and is left; the line is never worse than before. Never fails by itself.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

from slog import line_rate as lr
from slog.layout import BLOCK_BYTES
from stagelog.errors import DeviceError
from stagelog.link import Link

_CHANGED_S = 0.1  # after the answer: the logger changes within 50 ms
_FALLEN_BACK_S = 1.2
_FEWEST_BLOCKS = 128  # half a minute at 115,200 bit/s
_BITS = 10.2  # on the line for a byte: start and stop bit, and 2 % of framing
_LONG_S = 600


@contextlib.contextmanager
def fast_line(
    link: Link,
    board: str,
    n_blocks: int,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[int]:
    """Yield the rate of the line in bit/s while the body downloads `n_blocks`, 0 where there is
    no UART.
    """
    if board not in lr.BOARDS:
        yield 0
        return
    rate_bps = lr.BASE_bps
    if n_blocks >= _FEWEST_BLOCKS and link.can_set_rate:
        rate_bps = next((rate for rate in lr.RATES_bps if _change(link, rate, sleep)), rate_bps)
    try:
        yield rate_bps
    finally:
        if rate_bps != lr.BASE_bps:
            with contextlib.suppress(DeviceError):
                _ask(link, lr.BASE_bps)
                sleep(_CHANGED_S)
            with contextlib.suppress(DeviceError):
                link.set_rate(lr.BASE_bps)


def slow_text(board: str, n_blocks: int) -> str | None:
    """Return what to say before `n_blocks` are fetched from a board with a UART, None if it is
    done in ten minutes.
    """
    usual_s, best_s = (seconds_of(n_blocks, bps) for bps in (lr.BASE_bps, lr.RATES_bps[0]))
    if board not in lr.BOARDS or usual_s < _LONG_S:
        return None
    return (
        f"its cable is a UART: {n_blocks * BLOCK_BYTES / 1e6:,.0f} MB take "
        f"{usual_s / 3600:.1f} hours at {lr.BASE_bps:,} bit/s, {best_s / 3600:.1f} at "
        f"{lr.RATES_bps[0]:,} if the adapter can, which is tried. Quicker: put the card into a "
        "reader, 'stagelog card read'"
    )


def seconds_of(n_blocks: int, rate_bps: int) -> float:
    """Return how long the blocks take on a UART."""
    return n_blocks * BLOCK_BYTES * _BITS / rate_bps


def _ask(link: Link, rate_bps: int) -> None:
    tries, link.tries = link.tries, 2
    try:
        link.ask(lr.RATE, {"rate_bps": rate_bps})
    finally:
        link.tries = tries


def _change(link: Link, rate_bps: int, sleep: Callable[[float], object]) -> bool:
    """Change the rate of both ends; False, and both as before, if it does not carry an answer."""
    try:
        _ask(link, rate_bps)
    except DeviceError:
        return False
    sleep(_CHANGED_S)
    try:
        link.set_rate(rate_bps)
        _ask(link, rate_bps)
        return True
    except DeviceError:
        link.set_rate(lr.BASE_bps)
        sleep(_FALLEN_BACK_S)
        return False
