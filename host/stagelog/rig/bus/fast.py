"""The clean bus as arithmetic: who sends when, for whole frame tables at once.

Owns the order and the start of frames on a bus without faults, in bit times. Does not own nodes or
queues (`bus`), and knows no errors: what it returns is what the frame-by-frame path and the
bit-by-bit path give on a clean bus.

A bus with something to send never idles, so the times at which it is busy do not depend on who
goes first. They come from one running maximum. Only where two nodes wait at the same time is the
order worked out frame by frame.
"""

from collections.abc import Iterable
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

_INDEX = (1 << 32) - 1


def schedule(
    due: NDArray[np.int64],
    bits: NDArray[np.int64],
    keys: NDArray[np.uint32],
    nodes: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (order, start): the frames in the order of their transmission, and when each begins.

    Shapes   all int64 or uint32 [n]; frames of one node in the order in which it sends them, with
             ascending due.
    Units    bit times since the bus became free; start[i] belongs to frame order[i].
    Needs    no identifier offered by two nodes: that is not arbitration but a collision.
    """
    order = np.argsort(due, kind="stable")
    due, bits, keys, nodes = due[order], bits[order], keys[order], nodes[order]
    before = np.cumsum(bits) - bits
    start = np.maximum.accumulate(due - before) + before
    first = np.flatnonzero(start == due)  # of each busy period
    last = np.append(first[1:], len(due))
    period = np.cumsum(start == due)[:-1] - 1  # of each frame but the last
    two_wait = np.zeros(len(first), bool)
    two_wait[period[due[1:] <= start[:-1]]] = True
    two_nodes = np.zeros(len(first), bool)
    two_nodes[period[(nodes[1:] != nodes[:-1]) & (start[1:] > due[1:])]] = True
    wanted = two_wait & two_nodes
    if wanted.any():
        periods = zip(first[wanted].tolist(), last[wanted].tolist(), strict=True)
        _arbitrate(order, start, due, bits, keys, nodes, periods)
    return order, start


def _arbitrate(
    order: NDArray[np.int64],
    start: NDArray[np.int64],
    due: NDArray[np.int64],
    bits: NDArray[np.int64],
    keys: NDArray[np.uint32],
    nodes: NDArray[np.int64],
    periods: Iterable[tuple[int, int]],
) -> None:
    """Put the frames of each busy period [first, last) into their real order, in place."""
    following = _next_of_node(nodes).tolist()
    entries = ((keys.astype(np.uint64) << 32) | np.arange(len(keys), dtype=np.uint64)).tolist()
    due, bits, nodes = due.tolist(), bits.tolist(), nodes.tolist()
    waiting = [False] * (max(nodes) + 1)  # the node's head is in the heap
    for first, last in periods:
        heap: list[int] = []
        sequence: list[int] = []
        times: list[int] = []
        now, arrived = due[first], first
        while True:
            while arrived < last and due[arrived] <= now:
                if not waiting[nodes[arrived]]:
                    waiting[nodes[arrived]] = True
                    heappush(heap, entries[arrived])
                arrived += 1
            if not heap:
                break
            i = heappop(heap) & _INDEX
            sequence.append(i)
            times.append(now)
            now += bits[i]
            if following[i] < arrived:
                heappush(heap, entries[following[i]])
            else:
                waiting[nodes[i]] = False
        order[first:last] = order[sequence]
        start[first:last] = times


def _next_of_node(nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each frame the index of the same node's next one; len(nodes) if there is none."""
    by_node = np.argsort(nodes, kind="stable")
    following = np.full(len(nodes), len(nodes), np.int64)
    same = nodes[by_node[1:]] == nodes[by_node[:-1]]
    following[by_node[:-1][same]] = by_node[1:][same]
    return following
