"""Work on many loggers at once: find them by their ids, one thread each, until all have ended.

Owns ports coming and going: a cable that is pulled and put back, also under another name,
continues the work; one logger that fails never stops another. What is done with a logger is a
Work, made once for each and called again after each loss. Fails with KeyboardInterrupt alone: what
a logger or the disk does wrong is its Outcome.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeAlias

from slog import messages as m
from stagelog import ports as system_ports
from stagelog.errors import DeviceError, PortRefused, StagelogError
from stagelog.link import Link, RequestError
from stagelog.listen import LiveLink
from stagelog.park.unit import BAD, WAITS, Outcome, StopRun, Unit
from stagelog.replies import Hello

Work: TypeAlias = Callable[[Link], Outcome]
POLL_S = 0.1
_PROBE_S = 1.0  # between two questions to a port that has not answered
_MOST_FRUITLESS = 5  # losses of a logger without progress between them
_JOIN_S = 20.0


class Ports(Protocol):
    """Where loggers may be: the system's ports, or a test's."""

    def names(self) -> list[str]:
        """Return the names of the ports that are there now."""

    def open(self, port: str) -> Link:
        """Open a port; DeviceError if that is not possible."""


class SystemPorts:
    """The serial ports of this computer and the simulators that run on it."""

    def names(self) -> list[str]:
        """Return the names of the ports that are there now."""
        return system_ports.list_ports()

    def open(self, port: str) -> Link:
        """Open a port; DeviceError if that is not possible."""
        return LiveLink(system_ports.open_stream(port), port)


class _Answer(NamedTuple):
    """Who answers on a port; `hello` is None for a board without our firmware."""

    link: Link
    device_id: str
    hello: Hello | None


class Run:
    """A run over the loggers that are expected, and those that appear.

    expected   the units to wait for
    adopt      called with the id and the HELLO of a logger that is not expected: returns its Unit,
               with an outcome if nothing shall be done with it
    make_work  called once for each unit that appears
    show       called with the units again and again, from the thread of `run`
    wait_s     how long to wait for a logger that is not there, from the start or its loss on
    identify   returns the id of a board on a port that gives no HELLO, or None
    """

    def __init__(
        self,
        expected: list[Unit],
        adopt: Callable[[str, Hello | None], Unit],
        make_work: Callable[[Unit], Work],
        ports: Ports | None = None,
        show: Callable[[list[Unit]], None] = lambda units: None,
        wait_s: float = 15.0,
        identify: Callable[[str], str | None] = lambda port: None,
    ) -> None:
        self.units = list(expected)
        self._adopt = adopt
        self._make_work = make_work
        self._ports = ports or SystemPorts()
        self._show = show
        self._wait_s = wait_s
        self._identify = identify
        self._works: dict[str, Work] = {}
        self._threads: dict[str, threading.Thread] = {}  # by device_id
        self._probes: dict[str, Future[_Answer | None]] = {}  # by port
        self._asked_s: dict[str, float] = {}  # by port: when it was probed last
        self._refused: dict[str, str] = {}  # by port: why it cannot be asked
        self._bugs: list[BaseException] = []

    def run(self) -> list[Unit]:
        """Work until every unit has an outcome; return them. KeyboardInterrupt leaves all that
        was done in a state that the next run continues.
        """
        start_s = time.monotonic()
        with ThreadPoolExecutor(8, "probe") as pool:
            try:
                while True:
                    self._find(pool)
                    if self._is_over(time.monotonic() - start_s):
                        break
                    self._show(self.units)
                    time.sleep(POLL_S)
            finally:
                self._stop()
        self._show(self.units)
        if self._bugs:
            raise self._bugs[0]
        return self.units

    def _find(self, pool: ThreadPoolExecutor) -> None:
        """Probe the ports that nobody works on, and start work on who answers."""
        now = time.monotonic()
        names = self._ports.names()
        busy = {unit.port for unit in self.units if unit.port is not None}
        for port in list(self._asked_s):  # a copy: threads forget the ports that they lose
            if port not in names:
                self._asked_s.pop(port, None)
        for port in names:
            idle = port not in busy and port not in self._probes
            if (
                idle
                and now - self._asked_s.get(port, -_PROBE_S) >= _PROBE_S
                and self._is_wanted(names)
            ):
                self._asked_s[port] = now
                self._probes[port] = pool.submit(self._probe, port)
        for port, probe in list(self._probes.items()):
            if probe.done():
                del self._probes[port]
                answer = probe.result()
                if answer is not None:
                    self._begin(port, answer)

    def _is_wanted(self, names: list[str]) -> bool:
        """Return whether another logger may be found: one that is missing, or any at first."""
        missing = any(unit.outcome is None and unit.port is None for unit in self.units)
        return missing or not self._threads or len(self._asked_s) < len(names)

    def _probe(self, port: str) -> _Answer | None:
        """Return who answers on a port, whatever contract it speaks; None if nobody does."""
        self._refused.pop(port, None)
        link = self._open(port)
        if link is None:
            return None
        try:
            tries, link.tries = link.tries, 2
            fields, _ = link.ask(m.HELLO, {"contract": m.contract_hash()})
            link.tries = tries
            hello = Hello.of(fields)
            return _Answer(link, hello.device_id.hex(), hello)
        except (StagelogError, OSError):
            link.close()
        device_id = self._identify(port)
        link = self._open(port) if device_id is not None else None
        return None if link is None or device_id is None else _Answer(link, device_id, None)

    def _open(self, port: str) -> Link | None:
        """Open a port; None if that is not possible, and note why if it refuses us."""
        try:
            return self._ports.open(port)
        except PortRefused as error:
            self._refused[port] = str(error)
        except DeviceError:
            pass
        return None

    def _begin(self, port: str, answer: _Answer) -> None:
        link, device_id, hello = answer
        unit = next((each for each in self.units if each.device_id == device_id), None)
        if unit is None:
            unit = self._adopt(device_id, hello)
            unit.hello = hello
            self.units.append(unit)
        if unit.outcome is not None or unit.port is not None:
            link.close()  # ended, or on another port, too
            return
        unit.hello, unit.port = hello, port
        try:
            if device_id not in self._works:
                self._works[device_id] = self._make_work(unit)
        except StagelogError as error:  # its profile or DBC cannot be read
            unit.end(Outcome(BAD, str(error)))
            unit.port = None
            link.close()
            return
        thread = threading.Thread(target=self._work, args=(unit, link), name=port, daemon=True)
        self._threads[device_id] = thread
        thread.start()

    def _work(self, unit: Unit, link: Link) -> None:
        """Do the work of one unit up to its end, or to the loss of its port."""
        try:
            unit.end(self._works[unit.device_id](link))
        except StopRun:
            unit.end(Outcome(BAD, "interrupted; the same command continues"))
        except StagelogError as error:
            self._lose(unit, error)
        except BaseException as error:
            self._bugs.append(error)
            unit.end(Outcome(BAD, f"a defect of stagelog: {type(error).__name__}: {error}"))
        finally:
            with contextlib.suppress(StagelogError, OSError):
                link.close()
            if unit.outcome is None and unit.port is not None:
                self._asked_s.pop(unit.port, None)  # probe it again at once
            unit.port = None

    def _lose(self, unit: Unit, error: StagelogError) -> None:
        """Wait for a port that is gone; any other error is the end."""
        if not isinstance(error, DeviceError) or isinstance(error, (RequestError, PortRefused)):
            unit.end(Outcome(BAD, str(error)))
            return
        unit.n_lost += 1
        unit.n_fruitless += 1
        if unit.n_fruitless >= _MOST_FRUITLESS:
            unit.end(Outcome(BAD, f"{error} (lost {unit.n_lost} times)"))
            return
        unit.lost_at_s = time.monotonic()
        unit.step = WAITS

    def _is_over(self, age_s: float) -> bool:
        """Return whether every unit has ended; those that are missing end after their wait."""
        now = time.monotonic()
        for unit in self.units:
            if unit.outcome is not None or unit.port is not None:
                continue
            away_s = age_s if unit.lost_at_s is None else now - unit.lost_at_s
            if away_s > self._wait_s:
                unit.end(Outcome(BAD, self._why_missing(unit)))
        if self._probes:
            return False
        if not self.units:
            return age_s > min(self._wait_s, 3.0)
        return all(unit.outcome is not None for unit in self.units)

    def _why_missing(self, unit: Unit) -> str:
        text = "not found on any port; check cable and power"
        if unit.n_lost:
            text = "gone; what was received is kept: plug it in and repeat the command"
        busy = "; ".join(sorted(self._refused.values()))
        return f"{text} ({busy})" if busy else text

    def _stop(self) -> None:
        """End all threads: at once if they have ended, else at their next sign of progress."""
        for unit in self.units:
            unit.is_stopped = unit.outcome is None
        deadline = time.monotonic() + _JOIN_S
        for thread in list(self._threads.values()):
            thread.join(max(0.0, deadline - time.monotonic()))
        for probe in self._probes.values():
            answer = probe.result()
            if answer is not None:
                answer.link.close()
        self._probes.clear()


def worst_of(units: list[Unit]) -> int:
    """Return the exit code of a run: 0 if every unit is good or warns, else 1."""
    return int(any(unit.outcome is None or unit.outcome.verdict == BAD for unit in units))


def counts_of(units: list[Unit]) -> Mapping[str, int]:
    """Return how many units ended with each verdict."""
    found: dict[str, int] = {}
    for unit in units:
        if unit.outcome is not None:
            found[unit.outcome.verdict] = found.get(unit.outcome.verdict, 0) + 1
    return found
