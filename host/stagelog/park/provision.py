"""Give one logger what the fleet file says: car, settings, signal table, clock; read it back.

Refuses where data could be filed under the wrong car: sessions that the archive does not hold, of
another car or of another logger. Fails with WrongCar and as Link does.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from slog import messages as m
from slog.package import load_update
from stagelog.counts import count_text
from stagelog.download import is_held, set_clock
from stagelog.flash.package import Package, check_package
from stagelog.link import Link
from stagelog.park.findings import of_firmware
from stagelog.park.unit import BAD, GOOD, Outcome, Unit
from stagelog.park.wanted import ITEM_NAMES, Wanted, head_of
from stagelog.park.works import WrongCar
from stagelog.proof import device_key, own_key
from stagelog.radio import is_radio
from stagelog.replies import Hello, ListedSession

_LEAVE_S = 1.0


class Provision:
    """The work; it may be called again after a lost cable, and does only what is left."""

    def __init__(
        self,
        unit: Unit,
        wanted: Wanted,
        archive: Path,
        sleep: Callable[[float], object] = time.sleep,
        package: Package | None = None,
        older: bool = False,
    ) -> None:
        """Do what `wanted` says, or `package` (an `older` one, too), which it was made of."""
        self._package = package
        self._older = older
        self._unit = unit
        self._wanted = wanted
        self._archive = archive
        self._sleep = sleep
        self._written: list[str] = []
        self._must_restart = False  # a signal table was written, if only perhaps

    def __call__(self, link: Link) -> Outcome:
        """Compare, write what differs, read it back."""
        hello = link.hello()  # raises ContractError: an older or newer firmware
        self._unit.begin("compare")
        self._refuse(link, hello)
        self._refuse_package(link, hello)
        for item, name in ITEM_NAMES.items():
            self._put(link, item, name)
        self._put_key(link, hello)
        if self._must_restart and not is_radio(link.name):  # there the next session has the table
            self._restart(link)
        set_clock(link)
        found = {item: link.get_config(item) for item in ITEM_NAMES}
        wrong = [
            name for item, name in ITEM_NAMES.items() if found[item] != self._bytes_of(item, found)
        ]
        car = link.hello().car_name
        if car != self._wanted.car:
            wrong.append(f"car {car or '-'}")
        facts = {
            "settings_sha256_head": head_of(found[m.CONFIG_SETTINGS]),
            "signals_sha256_head": head_of(found[m.CONFIG_SIGNALS]),
            "written": self._written,
        }
        if wrong:
            return Outcome(BAD, f"reads back another way: {', '.join(wrong)}", facts)
        program = link.get_config(m.CONFIG_FIRMWARE)
        facts["firmware_sha256"] = program.hex()
        old = [f for f in of_firmware(program, self._wanted.firmware_sha256) if f.level != GOOD]
        if old:
            return Outcome(old[0].level, str(old[0]), facts)
        done = f"written: {', '.join(self._written)}" if self._written else "nothing to write"
        return Outcome(GOOD, f"car {car}, {done}; read back and equal; clock set", facts)

    def _bytes_of(self, item: int, found: dict[int, bytes]) -> bytes:
        wanted = self._wanted
        if item == m.CONFIG_SETTINGS:
            return wanted.settings_for(found[item])
        return found[item] if wanted.signals is None else wanted.signals

    def _put(self, link: Link, item: int, name: str) -> None:
        self._unit.begin(f"compare {name}")
        have = link.get_config(item)
        content = self._bytes_of(item, {item: have})
        if have == content:
            return
        self._unit.begin(f"write {name}")
        self._written.append(name)
        self._must_restart |= item == m.CONFIG_SIGNALS
        link.replace_config(item, content)

    def _put_key(self, link: Link, hello: Hello) -> None:
        """Give the logger its key for packages from a card, if this computer has the team's."""
        own = own_key()
        if own is None:
            return
        key = device_key(own, hello.device_id.hex())
        if link.get_config(m.CONFIG_KEY) != hashlib.sha256(key).digest():
            self._unit.begin("write the key for packages")
            link.replace_config(m.CONFIG_KEY, key)
            self._written.append("key for packages")

    def _refuse_package(self, link: Link, hello: Hello) -> None:
        if self._package is not None:
            have = load_update(link.get_config(m.CONFIG_UPDATE))["number"]
            check_package(self._package, hello.device_id.hex(), hello.car_name, have, self._older)

    def _restart(self, link: Link) -> None:
        """Restart the logger, which makes room for its table; DeviceError if its port goes: the
        run finds it again.
        """
        self._unit.begin("restart")
        link.restart()
        self._must_restart = False
        self._sleep(_LEAVE_S)
        link.hello()

    def _refuse(self, link: Link, hello: Hello) -> None:
        """Raise WrongCar while the card holds sessions that would be filed under a wrong car."""
        own = hello.car_name
        sessions = link.list_sessions()
        open_ones = [s for s in sessions if not is_held(self._archive, s)]
        strangers = [s for s in open_ones if s.device_id != hello.device_id]
        if strangers:
            raise WrongCar(
                f"its card holds {count_text(len(strangers), 'session')} of logger "
                f"{strangers[0].device_id.hex()}, which the archive does not have",
                "put the card back into that logger, or read it: 'stagelog card read'",
            )
        closed = [s for s in open_ones if not self._is_empty(link, s)]
        if own and own != self._wanted.car and closed:
            raise WrongCar(
                f"it was in car {own}, and its card holds {count_text(len(closed), 'session')} "
                "of that car which the archive does not have",
                f"'stagelog download {link.name} --car {own}' first",
            )

    @staticmethod
    def _is_empty(link: Link, session: ListedSession) -> bool:
        """Return whether a running session has no frame yet."""
        if not session.running:
            return False
        status = link.status()
        return not status.stored0 + status.stored1
