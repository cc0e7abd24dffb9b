"""The host's end of the service protocol: requests, answers, retries, several in flight.

Owns the exchange with one logger over any byte stream; does not own ports (`ports`) nor files
(`download`). A logger that does not answer is a DeviceError, one with another contract a
ContractError; garbage on the line is skipped.
"""

import binascii
import random
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from cobs import cobs

from slog import line_rate, radio
from slog import messages as m
from slog.framing import frame
from slog.layout import BLOCK_BYTES
from stagelog.can_fd import no_can_fd, wants_can_fd
from stagelog.errors import ContractError, DeviceError, UsageError
from stagelog.replies import BusCounts, Hello, ListedSession, Status

TIMEOUT_S = 0.5
TRIES = 6
PATIENCE_S = 30  # while the logger answers PENDING or BUSY
READ_TRIES = 3  # of a place that the card reports as unreadable
MAX_SESSIONS = 1 << 16  # LIST counts them in 16 bits
RUN = 32  # places that one READ asks for
WINDOW = 2 * RUN  # places in flight: while one READ is answered, the next waits at the logger


Fields: TypeAlias = dict[str, Any]  # a message by the names of its table in slog.messages
Answer: TypeAlias = tuple[int, int, memoryview]  # kind, request, payload


class Stream(Protocol):
    """The byte stream of a Link: a serial port, a socket, a simulated cable."""

    def write(self, data: bytes) -> object:
        """Send all of `data`."""

    def read(self, n: int) -> bytes:
        """Return what arrives within a short time that it sets, at most `n` bytes, b"" if none."""

    def close(self) -> None:
        """Close the stream."""


@runtime_checkable
class RatedStream(Protocol):
    """A line with a rate."""

    def set_rate(self, rate_bps: int) -> None:
        """Set the rate; DeviceError if the port has none such."""


class RequestError(DeviceError):
    """The logger understood the request and refuses; `status` says why (slog.messages)."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what}: {m.STATUS_TEXT.get(status, f'status {status}')}")
        self.status = status


class Link:
    """One logger on one stream.

    clock    seconds, monotonic; the simulated world passes its own
    tries    how often a request is sent before the logger counts as gone
    """

    def __init__(
        self,
        stream: Stream,
        name: str = "logger",
        clock: Callable[[], float] = time.monotonic,
        tries: int = TRIES,
    ) -> None:
        self.name = name
        self.n_bad = 0
        self.n_retries = 0
        self._stream = stream
        self.clock = clock
        self.tries = tries
        self._tail = b""
        self._ready: deque[Answer] = deque()
        self._request = 0

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    @property
    def can_set_rate(self) -> bool:
        """Whether the stream is a line with a rate."""
        return isinstance(self._stream, RatedStream)

    def set_rate(self, rate_bps: int) -> None:
        """Set the rate of the line at this end; what has come and was not read is discarded."""
        if isinstance(self._stream, RatedStream):
            self._stream.set_rate(rate_bps)
        self._tail = b""
        self._ready.clear()

    def hello(self) -> Hello:
        """Exchange HELLO; return the answer. ContractError if the contracts differ."""
        contract = m.contract_hash()
        answer, _ = self.ask(m.HELLO, {"contract": contract})
        if answer["contract"] != contract:
            raise ContractError(
                f"{self.name} speaks contract {answer['contract'].hex()}, "
                f"this stagelog {contract.hex()}",
                "flash it ('stagelog flash'), or use the release it was flashed with",
            )
        return Hello.of(answer)

    def status(self) -> Status:
        """Return the health of the logger."""
        return Status.of(self.ask(m.STATUS, {})[0])

    def bus_counts(self, bus: int, measure_s: float = 0) -> BusCounts | None:
        """Return what a bus counts by kind; None if its receiver counts nothing so. The bit rate
        on the wire is measured if `measure_s` is not 0: how long to wait for traffic.
        """
        deadline = self.clock() + measure_s
        while True:
            asked = {"bus": bus, "measure": self.clock() < deadline}
            answer, _ = self.ask(m.BUS, asked, accept=(m.OK, m.PENDING, m.REFUSED))
            if answer["status"] == m.REFUSED:
                return None
            if answer["status"] == m.OK:
                return BusCounts.of(answer)

    def set_time(self, t_unix_us: int) -> int:
        """Send the wall clock to the logger; return its time since boot in us."""
        return int(self.ask(m.TIME, {"t_unix_us": t_unix_us})[0]["t_us"])

    def list_sessions(self) -> list[ListedSession]:
        """Return the sessions on the card, newest first."""
        sessions: list[ListedSession] = []
        deadline = self.clock() + PATIENCE_S
        while len(sessions) < MAX_SESSIONS:
            accept = (m.OK, m.PENDING, m.OUT_OF_RANGE, m.NO_CARD)
            answer, _ = self.ask(m.LIST, {"index": len(sessions)}, accept=accept)
            if answer["status"] == m.OK:
                is_running = bool(answer["running"])
                sessions.append(ListedSession.of({**answer, "running": is_running}))
                deadline = self.clock() + PATIENCE_S
            elif answer["status"] != m.PENDING:
                break
            elif self.clock() > deadline:
                raise DeviceError(
                    f"{self.name} does not finish the list of its sessions",
                    "see 'stagelog status'",
                )
        return sessions

    def mark(self, text: str) -> int:
        """Set a mark with a text in the log that is recorded; return its number in its session.

        UsageError for a text that is too long, RequestError if nothing is recorded.
        """
        content = text.encode()
        if len(content) > m.MAX_MARK_BYTES:
            raise UsageError(
                f"the text of a mark has {len(content)} bytes", f"{m.MAX_MARK_BYTES} fit: cut it"
            )
        asked = {"token": random.getrandbits(32) or 1, "n": len(content)}
        return int(self.ask(m.MARK, asked, content)[0]["number"])

    def control(self, action: int, boot: int) -> int:
        """Ask for a CONTROL action and wait until it is carried out; return the state after it."""
        deadline = self.clock() + PATIENCE_S
        while True:
            answer, _ = self.ask(
                m.CONTROL, {"action": action, "boot": boot}, accept=(m.OK, m.PENDING, m.BUSY)
            )
            if answer["status"] == m.OK:
                return int(answer["state"])
            if self.clock() > deadline:
                raise DeviceError(
                    f"{self.name} does not finish its session", "see 'stagelog status'"
                )

    def erase(self, session: ListedSession, digest: bytes) -> Iterator[int]:
        """Ask to erase a session of which the archive holds `digest`; yield percent done."""
        values = {
            "device_id": session.device_id,
            "boot": session.boot,
            "nonce": session.nonce,
            "first_seq": session.first_seq,
            "n_blocks": session.n_blocks,
            "digest": digest,
        }
        while True:
            answer, _ = self.ask(m.ERASE, values, accept=(m.OK, m.PENDING))
            yield answer["done_pct"]
            if answer["status"] == m.OK:
                return

    def get_config(self, item: int) -> bytes:
        """Return the bytes of a settings item, empty if there is none."""
        data = b""
        while True:
            answer, rest = self.ask(m.CONFIG_GET, {"item": item, "at": len(data)})
            data += bytes(rest)
            if len(data) >= answer["total"]:
                if binascii.crc32(data) != answer["crc"]:
                    raise DeviceError(f"{self.name} changed its settings meanwhile", "ask again")
                return data
            if not rest:
                raise DeviceError(
                    f"{self.name} sends {len(data):,} of the {answer['total']:,} bytes it names",
                    "flash it with this release ('stagelog flash')",
                )

    def set_config(self, item: int, data: bytes) -> None:
        """Send the logger a settings item; RequestError if it refuses."""
        if len(data) > m.MAX_CONFIG_BYTES:
            raise DeviceError(
                f"{len(data)} bytes of settings, at most {m.MAX_CONFIG_BYTES} fit", "shorten them"
            )
        crc = binascii.crc32(data)
        at = 0
        for _ in range(2 * m.MAX_CONFIG_BYTES // 1024):
            values = {"item": item, "at": at, "total": len(data), "crc": crc}
            answer, _ = self.ask(
                m.CONFIG_SET, values, data[at : at + 1024], accept=(m.OK, m.PENDING)
            )
            if answer["status"] == m.OK:
                return
            at = answer["at"]
        raise DeviceError(f"{self.name} does not take its settings", "try again")

    def replace_config(self, item: int, data: bytes) -> None:
        """Send a recording logger an item between two sessions; it records again in any case.

        Raises   UsageError for settings with CAN FD, on a board without
        """
        hello = self.hello()
        self.control(m.CONTROL_STOP, hello.boot)
        try:
            self.set_config(item, data)
        except RequestError as error:
            is_refused = item == m.CONFIG_SETTINGS and error.status == m.REFUSED
            if is_refused and wants_can_fd(data):
                raise no_can_fd(self.name, hello.board_name) from None
            raise
        finally:
            self.control(m.CONTROL_START, hello.boot)

    def restart(self) -> None:
        """Restart the logger, which makes room for a signal table. Its port disappears."""
        boot = self.hello().boot
        self.control(m.CONTROL_STOP, boot)
        self.control(m.CONTROL_RESET, boot)

    def ask(
        self,
        kind: int,
        values: Mapping[str, Any],
        rest: bytes = b"",
        accept: Collection[int] = (m.OK,),
    ) -> tuple[Fields, memoryview]:
        """Send one request until it is answered; return (fields, rest). RequestError for a status
        not in `accept`.
        """
        name, request_table, _ = _tables(kind)
        payload = m.build(request_table, values, rest)
        for attempt in range(self.tries):
            self.n_retries += attempt > 0
            request = self.send(kind, payload)
            deadline = self.clock() + TIMEOUT_S * (1 + attempt)
            while True:
                got = self.receive(deadline)
                if got is None:
                    break
                if got[0] == kind | m.REPLY and got[1] == request:
                    return self.parse(kind, got[2], accept)
        raise DeviceError(
            f"{self.name} does not answer {name}",
            "check the cable and that it is powered, then try again",
        )

    def read_blocks(self, positions: Iterable[int]) -> Iterator[tuple[int, bytes | None]]:
        """Yield (position, 4096 bytes) for each of `positions`, in that order, some requests for
        runs of them in flight.

        None for a place that the card can't read. A lost or broken answer is asked for again;
        RequestError without a card, DeviceError if the logger stops answering.
        """
        return _Reading(self, positions, self.tries).blocks()

    def send(self, kind: int, payload: bytes) -> int:
        """Send one request; return its number, which the answer repeats."""
        self._request = (self._request + 1) & 0xFF
        self._stream.write(frame(kind, self._request, payload))
        return self._request

    def receive(self, deadline: float) -> Answer | None:
        """Return the next good frame as (kind, request, payload), or None at the deadline."""
        while not self._ready:
            chunk = self._stream.read(65536)
            if chunk:
                self._split(chunk)
            elif self.clock() >= deadline:
                return None
        return self._ready.popleft()

    def _split(self, chunk: bytes) -> None:
        *frames, self._tail = (self._tail + chunk).split(b"\0")
        for wire in frames:
            if not wire:
                continue
            try:
                raw = cobs.decode(wire)
            except cobs.DecodeError:
                raw = b""
            if len(raw) < 6 or binascii.crc32(raw[:-4]) != struct.unpack("<I", raw[-4:])[0]:
                self.n_bad += 1
                continue
            self._ready.append((raw[0], raw[1], memoryview(raw)[2:-4]))
        if len(self._tail) > 65536:
            self._tail = b""
            self.n_bad += 1

    def parse(
        self, kind: int, payload: memoryview, accept: Collection[int] = (m.OK,)
    ) -> tuple[Fields, memoryview]:
        """Return (fields, rest) of an answer; RequestError for a status not in `accept`,
        ContractError if it is too short.
        """
        name, _, table = _tables(kind)
        try:
            answer, rest = m.parse(table, payload)
        except m.MessageError as error:
            raise ContractError(
                f"{self.name}: answer to {name} has {error}",
                "flash it with this release ('stagelog flash')",
            ) from None
        if answer.get("status", m.OK) not in accept:
            raise RequestError(f"{self.name}, {name}", answer["status"])
        return answer, rest


class _Run:
    """A READ in flight: the places that it has not answered yet, in order."""

    def __init__(self, positions: Iterable[int], tries: int) -> None:
        self.positions = deque(positions)
        self.tries = tries


class _Reading:
    """One call of Link.read_blocks.

    The logger answers the requests, and the places of each, in the order in which they were asked:
    the answer to a place that is skipped was lost.
    """

    def __init__(self, link: Link, positions: Iterable[int], tries: int) -> None:
        self._link = link
        self._runs = runs_of(positions)
        self._tries = tries
        self._flying: dict[int, _Run] = {}  # by request, in the order in which they were sent
        self._done: dict[int, bytes | None] = {}
        self._order: deque[int] = deque()
        self._n_unread: Counter[int] = Counter()
        self._deadline = 0.0

    def blocks(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield (position, 4096 bytes or None) in the order asked for."""
        while True:
            while len(self._flying) < WINDOW // RUN and len(self._order) < 2 * WINDOW:
                run = next(self._runs, None)
                if run is None:
                    break
                self._order.extend(run)
                self._ask(run, 0)
            if not self._order:
                return
            got = self._link.receive(self._deadline)
            if got is None:
                self._ask_all_again()
            elif got[0] == m.READ | m.REPLY and got[1] in self._flying:
                self._take(*got[1:])
            while self._order and self._order[0] in self._done:
                position = self._order.popleft()
                yield position, self._done.pop(position)

    def _ask(self, positions: list[int], tries: int) -> None:
        """Request a run of adjacent places."""
        values = {
            "position": positions[0],
            "at": 0,
            "n": BLOCK_BYTES,
            "n_blocks": len(positions),
        }
        if not self._flying:
            self._wait(tries)
        request = self._link.send(m.READ, m.build(m.READ_REQUEST, values))
        self._flying[request] = _Run(positions, tries)

    def _wait(self, tries: int) -> None:
        self._deadline = self._link.clock() + TIMEOUT_S * (2 + tries)

    def _take(self, request: int, payload: memoryview) -> None:
        run = self._flying[request]
        answer, data = self._link.parse(m.READ, payload, accept=range(256))
        position, status = answer["position"], answer["status"]
        if position not in run.positions:
            return
        if status not in (m.OK, m.READ_ERROR):
            raise RequestError(f"{self._link.name}, block {position}", status)
        if status == m.OK and (answer["at"] or len(data) != BLOCK_BYTES):
            return
        lost = self._lost_before(request, position)
        run.positions.popleft()
        if not run.positions:
            del self._flying[request]
        self._wait(0)
        if status == m.OK:
            self._done[position] = bytes(data)
        elif self._n_unread[position] + 1 < READ_TRIES:
            self._n_unread[position] += 1
            self._ask([position], 0)
        else:
            self._done[position] = None
        for positions in lost:
            self._again(positions, 0)

    def _lost_before(self, request: int, position: int) -> list[list[int]]:
        """Take back what was requested before a place and not answered; return it in runs."""
        lost = []
        for earlier in list(self._flying):
            if earlier == request:
                break
            lost.append(list(self._flying.pop(earlier).positions))
        left = self._flying[request].positions
        passed = []
        while left[0] != position:
            passed.append(left.popleft())
        return [*lost, passed] if passed else lost

    def _ask_all_again(self) -> None:
        flying, self._flying = self._flying, {}
        for run in flying.values():
            if run.tries + 1 >= self._tries:
                raise DeviceError(
                    f"{self._link.name} stopped answering at block {run.positions[0]}",
                    "plug it in again and repeat the command: it continues where it stopped",
                )
            self._again(list(run.positions), run.tries + 1)

    def _again(self, positions: list[int], tries: int) -> None:
        self._link.n_retries += 1
        self._ask(positions, tries)


def runs_of(positions: Iterable[int], most: int = RUN) -> Iterator[list[int]]:
    """Yield lists of up to `most` adjacent positions, in order."""
    run: list[int] = []
    for position in positions:
        if run and (position != run[-1] + 1 or len(run) == most):
            yield run
            run = []
        run.append(position)
    if run:
        yield run


def positions_of(session: ListedSession, start: int = 0) -> list[int]:
    """Return the positions of a session's blocks from block `start` on."""
    first, n = session.data_first, session.data_end - session.data_first
    offset = session.position - first
    return [first + (offset + i) % n for i in range(start, session.n_blocks)]


def _tables(kind: int) -> tuple[str, Any, Any]:
    for number, name, request, reply in (*m.MESSAGES, *radio.MESSAGES, *line_rate.MESSAGES):
        if number == kind:
            return name, request, reply
    raise KeyError(kind)
