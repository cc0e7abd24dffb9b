"""The simulated CAN bus that keeps time by the bit: arbitration, errors, and what everyone saw.

Owns time on the bus and the choice between three paths that agree bit for bit:

    whole runs     bus.fast     a clean bus, NumPy: run()
    frame by frame here         a clean bus, one frame at a time: advance()
    bit by bit     bus.medium   whatever is not clean: a fault near, an error being handled, a node
                                alone, a foreign bit rate, two nodes with one identifier

Does not own the logger: a listen-only node changes nothing, so a run is made first and played to a
logger as a tape. Time is counted in integers (ns outside, ps inside) from the start of the bus;
the outcome depends on nothing but the arguments. What makes no sense is a UsageError; what goes
wrong on the bus is rows of the log.

    bus = Bus(500_000)
    bus.add_node("engine", nodes.periodic(...))
    bus.add_node("dash")                        # any second node acknowledges
    bus.add_node("logger", listen_only=True)
    log = bus.run(until_ns=10**10)
    tape.write_tape("drive.tape", log.tape("logger"))
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import UsageError
from stagelog.rig.bus import canbits
from stagelog.rig.bus.controller import Controller, Frame
from stagelog.rig.bus.fast import schedule
from stagelog.rig.bus.faults import NEVER_PS, BitFault, Fault
from stagelog.rig.bus.fd import FdFrame, FdNode
from stagelog.rig.bus.log import (
    EVERY,
    LOG,
    LOG_FD,
    MAX_NODES,
    Event,
    Log,
    bit_event,
    frame_rows,
    row_event,
    to_rows,
)
from stagelog.rig.bus.medium import Medium
from stagelog.rig.bus.node import LAST_NS, Node, Source, bit_time_ps
from stagelog.rig.tape import FRAME

SAME_RATE_ppm = 5000  # clocks this close read each other without fail
MAX_BATCH_BITS = 1 << 27  # bits of one arithmetic round: bounds its memory


def simulate(
    sources: Mapping[str, Source], until_ns: int, bitrate_bps: int = 500_000, index: int = 0
) -> Log:
    """Run a clean bus once and return its log (bus.log.Log).

    sources   {name: source}, one node each. A node "ack" that only acknowledges and a listen-only
              node "logger" are added: log.tape("logger") is what a logger gets.
    """
    bus = Bus(bitrate_bps, index)
    for name, source in sources.items():
        bus.add_node(name, source)
    bus.add_node("ack")
    bus.add_node("logger", listen_only=True)
    return bus.run(until_ns)


class Bus:
    """A CAN bus. Invariant: all that happened up to now_ns has been returned, nothing later."""

    def __init__(
        self, bitrate_bps: int = 500_000, index: int = 0, every_bit: bool = False
    ) -> None:
        """Make an empty bus. `every_bit`: simulate all bits; slow, tests compare with it."""
        self.bitrate_bps = bitrate_bps
        self.index = index
        self._every_bit = every_bit
        self.nodes: list[Node] = []
        self._bit_ps = bit_time_ps(bitrate_bps)
        self._medium = Medium(self.nodes)
        self._now_ps = 0
        self._free_ps = 0  # a bit boundary from which the bus is idle; of no meaning while in bits
        self._in_bits = False
        self._late: list[Event] = []  # computed already, but later than now
        self._log = LOG

    @property
    def now_ns(self) -> int:
        """The time up to which the bus has run."""
        return self._now_ps // 1000

    @property
    def busy_ns(self) -> int:
        """Time for which the bus was not idle (frames, errors, intermissions): load * now_ns."""
        return self._medium.busy_ps // 1000

    @property
    def n_started(self) -> int:
        """Number of frames begun, retries included; BitFault.frame counts likewise, from 0."""
        return self._medium.n_started

    def add_node(
        self,
        name: str,
        source: Source | None = None,
        *,
        listen_only: bool = False,
        bitrate_bps: int | None = None,
        clock_ppm: int = 0,
        sample_pct: int = 80,
        auto_recover: bool = True,
    ) -> Node:
        """Connect and return a node (bus.node.Node); without source it acknowledges.

        source       iterable of chunks (due_ns int64[n], FRAME[n]), see stagelog.rig.bus.nodes
        listen_only  never drives the bus; no acknowledgement, no error flags, no counters
        bitrate_bps  its own bit rate, if it is not that of the bus; clock_ppm its clock's error
        auto_recover a bus-off node comes back by itself after 128 x 11 recessive bits, else it
                     waits for Node.recover()
        Raises       UsageError for a name in use, a foreign rate, a listener with a source.
        """
        self._check_free(name)
        controller = Controller(listen_only, auto_recover)
        rate_bps = bitrate_bps or self.bitrate_bps
        index = len(self.nodes)
        node = Node(name, index, rate_bps, source, controller, clock_ppm, sample_pct)
        self.nodes.append(node)
        return node

    def add_fd_node(
        self,
        name: str,
        items: Iterable[tuple[int, FdFrame | Frame]] = (),
        data_bitrate_bps: int = 2_000_000,
        listen_only: bool = False,
    ) -> FdNode:
        """Connect and return a node that understands CAN FD and sends (due_ns, frame) pairs in
        order: bus.fd.FdFrame, or bus.controller.Frame for a classic one.
        """
        self._check_free(name)
        rate_bps = self.bitrate_bps
        node = FdNode(name, len(self.nodes), rate_bps, items, data_bitrate_bps, listen_only)
        self.nodes.append(node)
        self._log = LOG_FD
        return node

    def add_fault(self, fault: Fault | BitFault) -> None:
        """Add a fault (bus.faults); a frame already begun on a clean bus is not touched by it."""
        index = None if fault.node is None else self._index_of(fault.node)
        if isinstance(fault, BitFault):
            if fault.frame < self.n_started:
                raise UsageError(
                    f"a fault in frame {fault.frame}", f"the next frame is number {self.n_started}"
                )
            entry = (fault.effect, index, fault.bit)
            self._medium.bit_faults[fault.frame].append(entry)
            return
        windows_ns = fault.windows() if callable(fault.windows) else fault.windows
        windows = ((start_ns * 1000, end_ns * 1000) for start_ns, end_ns in windows_ns)
        self._medium.faults.update(self._now_ps)
        self._medium.faults.add(fault.effect, index, windows)

    def watch(self, name: str) -> list[tuple[int, int]]:
        """Simulate all bits from now on; return the list that gets (t_ps, level) of each change
        that a node sees, its faults included. At first it sees the recessive level.
        """
        self._every_bit = True
        self._medium.watched = self.nodes[self._index_of(name)]
        return self._medium.levels

    def run(self, until_ns: int) -> Log:
        """Run to `until_ns` and return what happened since the last run (bus.log.Log)."""
        parts = [np.empty(0, self._log)]
        for part in self._parts(self._check_until(until_ns), batch=True):
            parts.append(part if isinstance(part, np.ndarray) else to_rows(part, self._log))
        names = tuple(node.name for node in self.nodes)
        return Log(np.concatenate(parts), names, self.bitrate_bps, self.index)

    def advance(self, until_ns: int) -> Iterator[Event]:
        """Run to `until_ns`, yielding each Event as it happens; all have t_ns <= until_ns.

        The bus gets only as far as the events are taken: take them all.
        """
        for part in self._parts(self._check_until(until_ns), batch=False):
            yield from part

    def _parts(self, until_ps: int, batch: bool) -> Iterator[list[Event] | NDArray[Any]]:
        """Yield lists of events or arrays of rows, in time order, until the time is reached."""
        yield self._in_time([], until_ps)
        while self._now_ps < until_ps:
            if self._in_bits:
                yield self._run_bits(until_ps)
            elif not self._clean():
                self._enter_bits(self._boundary(self._now_ps))
            else:
                yield from self._run_clean(until_ps, batch)

    # bit by bit

    def _run_bits(self, until_ps: int) -> list[Event]:
        may_leave = not self._every_bit and not self._foreign_clocks()
        found, leave_ps = self._medium.run(self._now_ps, until_ps, may_leave)
        if leave_ps is None:
            self._now_ps = until_ps
        else:
            self._in_bits = False
            self._free_ps = leave_ps
            self._now_ps = min(leave_ps, until_ps)
        return self._in_time([bit_event(*item) for item in found], until_ps)

    def _enter_bits(self, at_ps: int) -> None:
        self._medium.enter(at_ps)
        self._in_bits = True
        self._now_ps = at_ps

    def _clean(self) -> bool:
        """Return True if no frame needs to be simulated bit by bit until the next fault."""
        faults = self._medium.faults
        at_rest = all(node.controller.at_rest for node in self._powered())
        quiet = not faults.active and faults.next_ps > self._now_ps
        return at_rest and quiet and not self._every_bit and not self._foreign_clocks()

    def _foreign_clocks(self) -> bool:
        limit_ps = self._bit_ps * SAME_RATE_ppm // 10**6
        return any(
            abs(node.bit_ps - self._bit_ps) > limit_ps and not node.controller.parked
            for node in self._powered()
        )

    def _run_clean(self, until_ps: int, batch: bool) -> Iterator[list[Event] | NDArray[Any]]:
        quiet_ps = self._medium.faults.next_ps
        limit_ps = min(until_ps, self._now_ps + MAX_BATCH_BITS * self._bit_ps)
        rows = self._run_batch(min(limit_ps, quiet_ps)) if batch else None
        if rows is not None:
            n_in_time = int(np.searchsorted(rows["t_ns"], until_ps // 1000, side="right"))
            self._late += [row_event(row) for row in rows[n_in_time:]]
            yield rows[:n_in_time]
        if rows is None or quiet_ps <= limit_ps:
            yield from self._run_frames(until_ps)

    # frame by frame

    def _run_frames(self, until_ps: int) -> Iterator[list[Event]]:
        """Pass clean frames one by one; returns at `until_ps` or where bits must be simulated."""
        medium = self._medium
        nodes = self._active()
        missed_by = self._missed_by()
        quiet_ps = medium.faults.next_ps
        while self._now_ps < until_ps:
            head_ps = min([node.queue.head_ps for node in nodes], default=NEVER_PS)
            start_ps = self._boundary(max(head_ps, self._now_ps))
            if start_ps >= min(quiet_ps, until_ps):
                if quiet_ps >= until_ps:
                    self._now_ps = until_ps
                else:
                    last_ps = quiet_ps - (quiet_ps - self._free_ps) % self._bit_ps
                    self._enter_bits(max(last_ps, self._boundary(self._now_ps)))
                return
            waiting = [node for node in nodes if node.queue.head_ps <= start_ps]
            winner = min(waiting, key=_head_key)
            queue = winner.queue
            end_ps = start_ps + queue.head_bits * winner.bit_ps
            collision = sum(node.queue.head_key == queue.head_key for node in waiting) > 1
            alone = len(nodes) < 2 or winner.alien
            if end_ps > quiet_ps or collision or alone or medium.n_started in medium.bit_faults:
                self._enter_bits(start_ps)
                return
            t_ns = (end_ps - canbits.IFS_BITS * winner.bit_ps) // 1000
            frame, due_ns = queue.head, queue.head_ps // 1000
            queue.pop()
            self._account([(winner, 1)], nodes, 1, end_ps - start_ps)
            self._free_ps = end_ps
            self._now_ps = min(end_ps, until_ps)
            event = Event(t_ns, FRAME, EVERY, winner.index, frame, due_ns, missed_by=missed_by)
            yield self._in_time([event], until_ps)

    # whole runs

    def _run_batch(self, limit_ps: int) -> NDArray[Any] | None:
        """Return the rows of frames that begin before `limit_ps` and end before the next fault.

        Returns None if arithmetic is not enough: a node alone, odd clocks, an identifier that two
        nodes use.
        """
        medium = self._medium
        nodes = self._active()
        sending = [node for node in nodes if node.queue.head_ps < limit_ps]
        odd = any(node.alien or node.bit_ps != self._bit_ps for node in sending)
        if sending and (len(nodes) < 2 or odd or medium.bit_faults):
            return None
        if not sending:
            if limit_ps < medium.faults.next_ps:
                self._now_ps = limit_ps
            return np.empty(0, self._log)
        bit_ps, free_ps = self._bit_ps, self._free_ps
        n_bits = max(0, limit_ps - free_ps) // bit_ps + 1
        loaded = [node.queue.load(limit_ps, n_bits) for node in sending]
        due_ps, keys, bits, frames = (
            np.concatenate(column) for column in zip(*loaded, strict=True)
        )
        owner = np.repeat(np.arange(len(sending)), [len(column[0]) for column in loaded])
        if _collide(keys, owner):
            return None
        due = -((free_ps - np.maximum(due_ps, self._now_ps)) // bit_ps)
        order, start = schedule(np.maximum(due, 0), bits, keys, owner)
        start_ps = free_ps + start * bit_ps
        end_ps = start_ps + bits[order] * bit_ps
        n = int(np.searchsorted(start_ps, limit_ps))
        n = min(n, int(np.searchsorted(end_ps, medium.faults.next_ps, side="right")))
        order, end_ps = order[:n], end_ps[:n]
        n_sent = np.bincount(owner[order], minlength=len(sending)).tolist()
        for node, n_done in zip(sending, n_sent, strict=True):
            node.queue.drop(n_done)
        if n:
            self._free_ps = int(end_ps[-1])
            busy_ps = int(bits[order].sum()) * bit_ps
            self._account(zip(sending, n_sent, strict=True), nodes, n, busy_ps)
        if limit_ps < medium.faults.next_ps:
            self._now_ps = limit_ps
        else:
            self._now_ps = max(self._now_ps, min(self._free_ps, limit_ps))
        rows = frame_rows(frames[order], self._log)
        rows["t_ns"] = (end_ps - canbits.IFS_BITS * bit_ps) // 1000
        rows["due_ns"] = due_ps[order] // 1000
        rows["sender"] = np.array([node.index for node in sending], np.uint8)[owner[order]]
        rows["missed_by"] = self._missed_by()
        return rows

    # helpers

    def _check_free(self, name: str) -> None:
        if any(node.name == name for node in self.nodes):
            raise UsageError(f"bus {self.index} has a node '{name}' already", "take another name")
        if len(self.nodes) == MAX_NODES:
            raise UsageError(f"bus {self.index} has {MAX_NODES} nodes already", "share nodes")

    def _check_until(self, until_ns: int) -> int:
        if not self._now_ps <= until_ns * 1000 < LAST_NS * 1000:
            raise UsageError(
                f"bus {self.index} is at {self.now_ns} ns and is to run to {until_ns} ns",
                "go forward",
            )
        return until_ns * 1000

    def _index_of(self, name: str) -> int:
        for node in self.nodes:
            if node.name == name:
                return node.index
        raise UsageError(f"bus {self.index} has no node '{name}'", "add the node before its fault")

    def _boundary(self, t_ps: int) -> int:
        """Return the first bit boundary at or after `t_ps` at which the bus is free."""
        late_ps = max(0, t_ps - self._free_ps)
        return self._free_ps - late_ps // -self._bit_ps * self._bit_ps

    def _powered(self) -> list[Node]:
        return [node for node in self.nodes if node.online]

    def _active(self) -> list[Node]:
        """Return the nodes that send and acknowledge."""
        return [n for n in self._powered() if not n.listen_only and not n.controller.parked]

    def _missed_by(self) -> int:
        """Return a bit for each node that takes no part, or does not exist yet."""
        absent = sum(1 << n.index for n in self.nodes if not n.online or n.controller.parked)
        return absent | (1 << MAX_NODES) - (1 << len(self.nodes))

    def _account(
        self,
        sent_by: Iterable[tuple[Node, int]],
        nodes: Iterable[Node],
        n_frames: int,
        busy_ps: int,
    ) -> None:
        """Count clean frames: error counters fall by one per frame, sent or received."""
        self._medium.n_started += n_frames
        self._medium.busy_ps += busy_ps
        n_sent_by = dict(sent_by)
        for node in nodes:
            controller = node.controller
            n_sent = n_sent_by.get(node, 0)
            controller.tec = max(0, controller.tec - n_sent)
            controller.rec = max(0, controller.rec - n_frames + n_sent)
            node.drove_dominant = True

    def _in_time(self, events: list[Event], until_ps: int) -> list[Event]:
        """Return what happened up to `until_ps`, in order; the rest is kept."""
        events = sorted(self._late + events, key=_event_time) if self._late else events
        until_ns = until_ps // 1000
        if events and events[-1].t_ns > until_ns:
            self._late = [event for event in events if event.t_ns > until_ns]
            return [event for event in events if event.t_ns <= until_ns]
        self._late = []
        return events


def _head_key(node: Node) -> int:
    return node.queue.head_key


def _event_time(event: Event) -> int:
    return event.t_ns


def _collide(keys: NDArray[np.uint32], owner: NDArray[np.int64]) -> bool:
    """Return True if two nodes offer frames with one and the same arbitration field."""
    order = np.argsort(keys, kind="stable")
    same = keys[order[1:]] == keys[order[:-1]]
    return bool((same & (owner[order[1:]] != owner[order[:-1]])).any())
