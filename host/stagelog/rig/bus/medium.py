"""The wire, bit by bit: each node's own clock, the wired AND between them, faults that change it.

Owns when each node begins and samples a bit (hard and soft synchronisation), and what level it
sees. Does not own the protocol (`bus.controller`) nor the decision to go down to bits (`bus`).
Time is integer picoseconds, propagation takes none. A listen-only node that drives a dominant bit
is a bug of ours and raises AssertionError with node and time.

    t_bit          t_event (sampling)      t_event (not sampling) = next t_bit
    |--- 0..80 % --x------- to 100 % ------|
    drive set      level sampled           an edge before x lengthens the bit, after x shortens it
"""

from collections import defaultdict
from typing import TypeAlias

from stagelog.rig.bus.controller import SENT, Report
from stagelog.rig.bus.faults import NEVER_PS, Effect, FaultClock
from stagelog.rig.bus.node import Node

BitReport: TypeAlias = tuple[int, Node, Report, int | None]  # t_ps, node, report, due_ps


class Medium:
    """The wire and its nodes. Invariant: each node's t_event is the next thing it does."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.faults = FaultClock()
        # number of a frame -> (effect, node index or None, bit)
        self.bit_faults: defaultdict[int, list[tuple[Effect, int | None, int]]] = defaultdict(list)
        self.n_started = 0  # frames begun on this bus
        self.busy_ps = 0
        self.wire = 1
        self.watched: Node | None = None  # whose view is recorded
        self.levels: list[tuple[int, int]] = []  # (t_ps, level) of each change that it saw
        self._sof_ps = -NEVER_PS
        self._busy_since: int | None = None
        self._online: list[Node] = []

    def enter(self, now_ps: int) -> None:
        """Put all nodes at the start of a bit, the bus being idle."""
        for node in self.nodes:
            node.controller.ready = None  # what it was to send may have gone out meanwhile
            node.t_event = -1
            node.drive = node.view = node.sampled = 1
        self.wire = 1
        self.faults.update(now_ps)

    def run(
        self, now_ps: int, until_ps: int, may_leave: bool
    ) -> tuple[list[BitReport], int | None]:
        """Run bits from `now_ps` to `until_ps`, or until all is at rest and clean, if `may_leave`.

        Returns (events, leave_ps): events in time order, the last ones up to a bit time past
        `until_ps`; leave_ps is the bit boundary from which clean frames may continue, or None.
        """
        events: list[BitReport] = []
        nodes = self._join(now_ps)
        leave_ps = None
        changed = True
        while leave_ps is None:
            now_ps = min([node.t_event for node in nodes], default=NEVER_PS)
            if self._in_step(now_ps):
                now_ps, leave_ps = self._run_in_step(now_ps, until_ps, may_leave, events)
                changed = True
            now_ps = min(now_ps, self.faults.next_ps)
            if now_ps >= until_ps or leave_ps is not None:
                break
            if self.faults.next_ps <= now_ps:
                self.faults.update(now_ps)
                changed = True
            sampling = []
            for node in nodes:
                if node.t_event != now_ps:
                    continue
                if node.sampling:
                    sampling.append(node)
                elif self._begin_bit(node, now_ps):
                    changed = True
            if changed:
                self._settle(now_ps)
                changed = False
                if self.watched is not None:
                    self._record(self.watched.view, now_ps)
            for node in sampling:
                self._sample(node, events)
            if sampling:
                leave_ps = self._rest(until_ps, may_leave)
        events.sort(key=lambda event: event[0])
        return events, leave_ps

    def _join(self, now_ps: int) -> list[Node]:
        """Return the nodes that have power; those that are new start a bit now."""
        self._online = [node for node in self.nodes if node.online]
        for node in self._online:
            if node.t_event < now_ps:
                node.t_bit = node.t_event = now_ps
                node.sampling = node.synced = False
                node.drive = node.view = node.sampled = 1
        return self._online

    def _in_step(self, now_ps: int) -> bool:
        """Return True if all nodes start a bit now, will sample it together, and see no fault."""
        if self.faults.active or not self._online or self.watched is not None:
            return False
        first = self._online[0]
        for node in self._online:
            if node.t_event != now_ps or node.sampling or node.alien:
                return False
            if node.bit_ps != first.bit_ps or node.sample_ps != first.sample_ps:
                return False
        return True

    def _run_in_step(
        self, now_ps: int, until_ps: int, may_leave: bool, events: list[BitReport]
    ) -> tuple[int, int | None]:
        """Run whole bits that all nodes begin and sample together, up to the next fault.

        Gives what run() gives node by node, there being nothing to synchronise. Returns
        (now_ps, leave_ps).
        """
        nodes = self._online
        bit_ps = nodes[0].bit_ps
        leave_ps = None
        while leave_ps is None and self.n_started not in self.bit_faults:
            end_ps = now_ps + bit_ps
            if end_ps > until_ps or end_ps > self.faults.next_ps:
                break
            wire = 1
            for node in nodes:
                wire &= self._drive(node, now_ps)
            self.wire = wire
            for node in nodes:
                node.t_bit, node.t_event = now_ps, end_ps
                controller = node.controller
                controller.sample(wire)
                if controller.reports:
                    self._collect(node, events)
            leave_ps = self._rest(until_ps, may_leave)
            now_ps = nodes[0].t_event
        for node in nodes:
            node.drive = node.view = node.sampled = self.wire
            node.synced = False
        return now_ps, leave_ps

    def _begin_bit(self, node: Node, now_ps: int) -> bool:
        """Start a bit of one node; returns True if its level changed."""
        level = self._drive(node, now_ps)
        node.t_bit = now_ps
        node.t_event = now_ps + node.sample_ps
        node.sampling = True
        changed = level != node.drive
        node.drive = level
        return changed

    def _drive(self, node: Node, now_ps: int) -> int:
        """Return the level that a node drives in the bit that it starts now."""
        controller = node.controller
        if controller.ready is None and node.queue.head_ps <= now_ps and controller.awaits_sof:
            node.offer()
        attempts = controller.n_attempts
        level = controller.begin()
        if controller.n_attempts != attempts:
            self._count_start(node, now_ps)
        if level == 0:
            node.drove_dominant = True
            if controller.listen_only:
                raise AssertionError(
                    f"listen-only node '{node.name}' drove the bus dominant at {now_ps} ps"
                )
        return level

    def _sample(self, node: Node, events: list[BitReport]) -> None:
        node.sampled = node.view
        node.synced = False
        node.sampling = False
        node.controller.sample(node.view)
        node.t_event += node.bit_ps - node.sample_ps  # of CAN FD, the sample may change the rate
        if node.controller.reports:
            self._collect(node, events)

    def _collect(self, node: Node, events: list[BitReport]) -> None:
        for report in node.controller.reports:
            due_ps = node.sent() if report.kind == SENT else None
            events.append((node.t_event, node, report, due_ps))
        node.controller.reports.clear()

    def _settle(self, now_ps: int) -> None:
        """Work out the wire and what each node sees of it; falling edges synchronise."""
        active = self.faults.active
        if not active:
            wire = 1
            for node in self._online:
                wire &= node.drive
            self.wire = wire
            for node in self._online:
                if node.view != wire:
                    node.view = wire
                    if wire == 0:
                        self._synchronise(node, now_ps)
            return
        self.wire = wire = self._bent_wire(active)
        for node in self._online:
            view = wire
            for effect, index in active:
                if index == node.index:
                    view = _bent_view(effect, view, node.drive)
            if view != node.view:
                node.view = view
                if view == 0:
                    self._synchronise(node, now_ps)

    def _record(self, level: int, now_ps: int) -> None:
        if level != (self.levels[-1][1] if self.levels else 1):
            self.levels.append((now_ps, level))

    def _bent_wire(self, active: list[tuple[Effect, int | None]]) -> int:
        silent = (Effect.OPEN, Effect.SEND_RECESSIVE)
        mute = {index for effect, index in active if effect in silent}
        effects = {effect for effect, _ in active}
        wire = int(all(node.drive or node.index in mute for node in self._online))
        if Effect.SEND_DOMINANT in effects:
            wire = 0
        if Effect.WIRE_RECESSIVE in effects:
            wire = 1
        if Effect.WIRE_DOMINANT in effects:
            wire = 0
        return wire ^ (Effect.WIRE_INVERT in effects)

    def _synchronise(self, node: Node, now_ps: int) -> None:
        if node.sampling and now_ps == node.t_bit:
            return
        controller = node.controller
        if controller.awaits_sof:
            node.t_bit = node.t_event = now_ps
            node.sampling = False
        elif node.sampled == 1 and not node.synced:
            node.synced = True
            if node.sampling:
                shift_ps = min(now_ps - node.t_bit, node.jump_ps)
                node.t_bit += shift_ps
                node.t_event += shift_ps
            else:
                node.t_event -= min(node.t_event - now_ps, node.jump_ps)

    def _count_start(self, node: Node, now_ps: int) -> None:
        """Number the frame, unless another node has just begun it, and aim the bit faults."""
        if now_ps - self._sof_ps < node.bit_ps:
            return
        self._sof_ps = now_ps
        for effect, index, bit in self.bit_faults.pop(self.n_started, ()):
            if bit < 0:
                bit += self._winner_bits(now_ps)
            start_ps = now_ps + bit * node.bit_ps
            self.faults.add(effect, index, [(start_ps, start_ps + node.bit_ps)])
        self.n_started += 1

    def _winner_bits(self, now_ps: int) -> int:
        heads = [node.queue for node in self._online if node.queue.head_ps <= now_ps]
        return min((queue.head_key, queue.head_bits) for queue in heads)[1] - 3

    def _rest(self, until_ps: int, may_leave: bool) -> int | None:
        """Account for busy time; return the bit boundary from which clean frames may continue."""
        nodes = self._online
        settled = True
        for node in nodes:
            controller = node.controller
            if controller.busy:
                if self._busy_since is None:
                    self._busy_since = node.t_bit
                return None
            settled = settled and controller.idle
        if any(node.sampling for node in nodes):
            return None
        boundary_ps = min(node.t_event for node in nodes)
        if self._busy_since is not None:
            self.busy_ps += boundary_ps - self._busy_since
            self._busy_since = None
        if not settled or self.wire == 0:
            return None
        if may_leave and not self.faults.active and all(n.controller.at_rest for n in nodes):
            return boundary_ps
        self._skip_idle(until_ps)
        return None

    def _skip_idle(self, until_ps: int) -> None:
        """Let whole bits pass in which nothing can happen."""
        heads_ps = [node.queue.head_ps for node in self._online if not node.controller.parked]
        next_ps = min(*heads_ps, self.faults.next_ps, until_ps)
        for node in self._online:
            n_bits = (next_ps - node.t_event) // node.bit_ps
            if n_bits > 0:
                node.t_event += n_bits * node.bit_ps


def _bent_view(effect: Effect, level: int, drive: int) -> int:
    if effect is Effect.OPEN:
        return drive
    if effect is Effect.HEAR_RECESSIVE:
        return 1
    if effect is Effect.HEAR_DOMINANT:
        return 0
    return level ^ 1 if effect is Effect.HEAR_INVERTED else level
