"""What can be wrong with a bus: faults of the wire or of one node, as windows of time.

Owns the meaning of each effect and when it applies. Does not own the wire (`bus.medium`) nor the
frames that suffer. Time is nanoseconds of bus time; everything random takes its seed. A fault that
makes no sense is a UsageError.

A fault changes levels, it never writes frames: error flags, counters and lost frames follow from
the protocol.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TypeAlias

import numpy as np

from stagelog.errors import UsageError

NEVER_PS = 1 << 62
Window: TypeAlias = tuple[int, int]  # start and end


class Effect(Enum):
    """What a window does to levels: WIRE_* to the whole bus, the others to one node."""

    WIRE_DOMINANT = "wire dominant"  # shorted, or a transceiver stuck on
    WIRE_RECESSIVE = "wire recessive"  # CANH and CANL shorted: no node is received
    WIRE_INVERT = "wire inverted"  # a disturbance that all nodes see
    OPEN = "connector open"  # the node hears itself alone
    SEND_RECESSIVE = "sends nothing"  # its dominant bits do not reach the wire
    SEND_DOMINANT = "sends dominant"  # it holds the wire
    HEAR_RECESSIVE = "hears recessive"
    HEAR_DOMINANT = "hears dominant"
    HEAR_INVERTED = "hears the opposite"  # a disturbance that this node alone sees

    @property
    def of_wire(self) -> bool:
        """True if it acts on the bus and not on one node."""
        return self.value.startswith("wire")


@dataclass(frozen=True, slots=True)
class Fault:
    """An effect, its node (name; None for the wire) and when it holds.

    windows   ascending (start_ns, end_ns) pairs that do not overlap, or a function that returns
              an iterator of them
    """

    effect: Effect
    node: str | None
    windows: Sequence[Window] | Callable[[], Iterator[Window]]

    def __post_init__(self) -> None:
        _check_place(self.effect, self.node)


@dataclass(frozen=True, slots=True)
class BitFault:
    """An effect on one bit of frame number `frame`, counted from 0, retries included.

    `bit` counts the bits on the wire from SOF = 0, stuff bits too; a negative one counts back from
    the end of EOF: -1 is its last bit, -2 the last but one, which makes duplicates.
    """

    effect: Effect
    node: str | None
    frame: int
    bit: int

    def __post_init__(self) -> None:
        _check_place(self.effect, self.node)


def _check_place(effect: Effect, node: str | None) -> None:
    if effect.of_wire == (node is not None):
        raise UsageError(
            f"fault '{effect.value}' with node {node!r}",
            "name a node for an effect on a node, none for one on the wire",
        )


def stuck_dominant(
    start_ns: int, end_ns: int, node: str | None = None, timeout_ns: int | None = None
) -> Fault:
    """Hold the bus dominant: by `node`, if given; until its TXD time-out, if given."""
    if timeout_ns is not None:
        end_ns = min(end_ns, start_ns + timeout_ns)
    effect = Effect.WIRE_DOMINANT if node is None else Effect.SEND_DOMINANT
    return Fault(effect, node, ((start_ns, end_ns),))


def stuck_recessive(start_ns: int, end_ns: int, node: str | None = None) -> Fault:
    """Let nothing through: on the whole bus, or from one node whose transmitter is dead."""
    effect = Effect.WIRE_RECESSIVE if node is None else Effect.SEND_RECESSIVE
    return Fault(effect, node, ((start_ns, end_ns),))


def disconnected(node: str, start_ns: int, end_ns: int) -> Fault:
    """Pull one node's connector and put it back."""
    return Fault(Effect.OPEN, node, ((start_ns, end_ns),))


def intermittent(
    node: str, start_ns: int, end_ns: int, rate_Hz: float, open_pct: float = 20, seed: int = 0
) -> Fault:
    """Open a connector at a vibration frequency, each time for open_pct of the period +-50 %."""
    if not 0 < open_pct <= 60 or rate_Hz <= 0:
        raise UsageError(
            f"a connector open for {open_pct} % at {rate_Hz} Hz", "give 1..60 % and a rate above 0"
        )
    windows = partial(_vibration, start_ns, end_ns, rate_Hz, open_pct, seed)
    return Fault(Effect.OPEN, node, windows)


def bit_errors(
    rate: float,
    bitrate_bps: int,
    start_ns: int,
    end_ns: int,
    node: str | None = None,
    seed: int = 0,
) -> Fault:
    """Flip each bit with probability `rate`: for all nodes alike, or as one node alone sees it."""
    if not 0 <= rate < 0.5:
        raise UsageError(f"a bit error rate of {rate}", "give a probability below 0.5")
    effect = Effect.WIRE_INVERT if node is None else Effect.HEAR_INVERTED
    return Fault(effect, node, partial(_flips, rate, bitrate_bps, start_ns, end_ns, seed))


def _vibration(
    start_ns: int, end_ns: int, rate_Hz: float, open_pct: float, seed: int
) -> Iterator[Window]:
    rng = np.random.default_rng(seed)
    period_ns = round(1e9 / rate_Hz)
    t_ns = start_ns + int(rng.integers(0, period_ns))
    while t_ns < end_ns:
        open_ns = max(1, int(period_ns * open_pct / 100 * rng.uniform(0.5, 1.5)))
        yield t_ns, min(t_ns + open_ns, end_ns)
        t_ns += period_ns


def _flips(
    rate: float, bitrate_bps: int, start_ns: int, end_ns: int, seed: int
) -> Iterator[Window]:
    """Yield one-bit windows on the bus's own bit grid; the gaps are geometric."""
    if rate == 0:
        return
    rng = np.random.default_rng(seed)
    bit = -(-start_ns * bitrate_bps // 10**9) - 1
    while True:
        for gap in rng.geometric(rate, 256).tolist():
            bit += gap
            t_ns = bit * 10**9 // bitrate_bps
            if t_ns >= end_ns:
                return
            yield t_ns, (bit + 1) * 10**9 // bitrate_bps


@dataclass(slots=True)
class _Running:
    """A fault with windows to come: the present or next one, and those after it."""

    effect: Effect
    node: int | None
    windows: Iterator[Window]  # in ps
    start_ps: int = 0
    end_ps: int = 0

    def advance(self) -> None:
        self.start_ps, self.end_ps = next(self.windows, (NEVER_PS, NEVER_PS + 1))


class FaultClock:
    """All faults of a bus. Invariant: `active` holds from the last update until `next_ps`."""

    def __init__(self) -> None:
        self._running: list[_Running] = []
        self.active: list[tuple[Effect, int | None]] = []  # the index of the node, None: the wire
        self.next_ps = NEVER_PS
        self._now_ps = 0

    def add(self, effect: Effect, node: int | None, windows: Iterable[Window]) -> None:
        """Add windows, ascending pairs of ps; what lies in the past has no effect."""
        self._running.append(_Running(effect, node, iter(windows)))
        self._running[-1].advance()
        self.update(self._now_ps)

    def update(self, now_ps: int) -> None:
        """Make `active` true for the time `now_ps`, which never goes back."""
        self._now_ps = now_ps
        for fault in self._running:
            while fault.end_ps <= now_ps:
                fault.advance()
        self._running = [fault for fault in self._running if fault.start_ps < NEVER_PS]
        self.active = [(f.effect, f.node) for f in self._running if f.start_ps <= now_ps]
        edges = [f.end_ps if f.start_ps <= now_ps else f.start_ps for f in self._running]
        self.next_ps = min(edges, default=NEVER_PS)
