"""A service park of simulated loggers in virtual time, on cables that are pulled and put back.

Owns the ports that a run (`stagelog.park.runs`) sees: their names change each time a cable is put
back. The loggers run the shipped application; each is moved on by the thread that reads from it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stagelog.errors import DeviceError, PortBusy
from stagelog.link import Link
from stagelog.listen import LiveLink

_OUT_us = 100_000  # that a cable is out, of the logger's time


class VirtualPark:
    """Ports, as `park.runs.Ports`, of loggers that are `rig.target.SimTarget`.

    cuts     for each logger the numbers of bytes after which its cable is pulled, one after the
             other; counted from when it was put in
    n_away   how often the ports are listed before a cable is back
    is_hub   True: all cables are in one hub, which starts again when one of them is cut: all ports
             are gone at once, and each comes back under the name that another one had
    """

    def __init__(
        self,
        targets: Sequence[Any],
        cuts: Sequence[Iterator[int]] = (),
        n_away: int = 2,
        is_hub: bool = False,
    ) -> None:
        self.targets = list(targets)
        self.n_pulled = 0
        self.held: set[int] = set()  # loggers that another program has opened
        self.out: set[int] = set()  # loggers that nobody plugs in again
        self._cuts = [iter(each) for each in cuts] or [iter(()) for _ in targets]
        self._n_away = n_away
        self._is_hub = is_hub
        self._n_starts = 0  # of the hub
        self._names = [f"port{n}" for n in range(len(self.targets))]
        self._away = [0] * len(self.targets)
        self._n_names = len(self.targets)
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the names of the ports that are there now; cables come back in between."""
        with self._lock:
            found = []
            for n, away in enumerate(self._away):
                self._away[n] = max(0, away - 1)
                if not away and n not in self.out:
                    found.append(self._names[n])
            return found

    def open(self, port: str) -> Link:
        """Open a port; DeviceError if it is not there."""
        with self._lock:
            if port not in self._names or self._away[self._names.index(port)]:
                raise DeviceError(f"cannot open {port}: there is no such port")
            number = self._names.index(port)
        if number in self.held:
            raise PortBusy(f"cannot open {port}: it is in use by another program")
        target = self.targets[number]
        n_starts = self._n_starts
        stream = _Stream(
            target,
            next(self._cuts[number], None),
            lambda: self._pull(number),
            lambda: self._n_starts != n_starts,
        )
        return LiveLink(stream, port, lambda: target.now_us / 1e6)

    def _pull(self, number: int) -> None:
        with self._lock:
            self.n_pulled += 1
            if self._is_hub:
                self._n_starts += 1
                self._away = [self._n_away] * len(self.targets)
                self._names = self._names[1:] + self._names[:1]
                return
            self._away[number] = self._n_away
            self._names[number] = f"port{self._n_names}"
            self._n_names += 1


class _Stream:
    """The host's end of one cable; pulled for good when `cut` bytes have come."""

    def __init__(
        self,
        target: Any,
        cut: int | None,
        on_cut: Callable[[], object],
        is_gone: Callable[[], bool],
    ) -> None:
        self._logger = target.logger
        self._logger.world.run_for(_OUT_us)
        self._logger.cable.host_read()  # what was sent while no cable was in is lost
        self._cut = cut
        self._on_cut = on_cut
        self._is_gone = is_gone
        self._n = 0
        self._is_out = False

    def write(self, data: bytes) -> None:
        """Send to the logger."""
        self._check()
        self._logger.write(data)

    def read(self, n: int) -> bytes:
        """Return what comes, up to the byte at which the cable is pulled."""
        self._check()
        data = bytes(self._logger.read(n))
        self._n += len(data)
        if self._cut is not None and self._n >= self._cut:
            self._is_out = True
            self._on_cut()
            return data[: len(data) - (self._n - self._cut)]
        return data

    def close(self) -> None:
        """Close the port."""

    def _check(self) -> None:
        if self._is_out or self._is_gone():
            raise DeviceError("the port is gone", "plug the cable in")


def recorded(folder: Path, car: str, number: int, tape: Any, **args: Any) -> Any:
    """Return a SimTarget of `car` in `folder` that has recorded a tape and is stopped; its id is
    the number.
    """
    from slog import messages as m
    from stagelog.rig import target as rig_target

    make: Any = rig_target.SimTarget  # not annotated yet
    folder.mkdir(parents=True)
    settings = {"car": car, "buses": [{"bitrate_bps": 500_000}]}
    target = make(
        folder, device_id=f"{number:016x}", seed=100 * number + 1, settings=settings, **args
    )
    target.play(tape)
    target.run_for(300_000)
    target.link.control(m.CONTROL_STOP, target.link.hello().boot)
    return target
