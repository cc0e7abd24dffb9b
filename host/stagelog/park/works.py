"""What is done with one logger of a run: download, erase. Each is called again after a lost cable
and continues.

Owns the order of the steps and their words; the steps are those of the single commands (download,
accounts). Fails as they do; `runs` makes an Outcome of it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from slog import messages as m
from slog.layout import BLOCK_BYTES
from stagelog.accounts import judge_entry
from stagelog.archive import Entry, stage_folder
from stagelog.counts import count_text
from stagelog.download import (
    HELD,
    Fetched,
    erase_held,
    facts_of,
    fetch_if_missing,
    finish_running,
    is_held,
    set_clock,
)
from stagelog.errors import ContractError, DeviceError, StagelogError
from stagelog.line_rate import slow_text
from stagelog.link import Link
from stagelog.park.unit import BAD, GOOD, Outcome, Unit
from stagelog.replies import Hello, ListedSession
from stagelog.verdict import worst


class WrongCar(StagelogError):
    """A logger, or what is on its card, is of another car than the fleet file says."""


def checked_hello(unit: Unit) -> Hello:
    """Return the HELLO of a unit; ContractError if it speaks another contract, WrongCar if its
    settings name another car.
    """
    hello = unit.hello
    if hello is None:
        raise DeviceError(f"{unit.name} has not answered")
    if hello.contract != m.contract_hash():
        raise ContractError(
            f"it speaks contract {hello.contract.hex()}, this stagelog {m.contract_hash().hex()}",
            "'stagelog flash --all', or use the release it was flashed with",
        )
    own = hello.car_name
    if own and own != unit.car:
        raise WrongCar(
            f"its settings are those of car {own}, not of {unit.car}",
            f"put it back into {own}, or correct the fleet file, or 'stagelog provision'",
        )
    return hello


class Download:
    """Fetch all sessions of one logger into the archive, the newest first.

    stop     True: close the running session first; None: if its buses are silent; False: never
    summary  returns what the newest session holds, in words; shown before all of it comes
    """

    def __init__(
        self,
        unit: Unit,
        archive: Path,
        event: str,
        stage: str,
        stop: bool | None = None,
        again: bool = False,
        summary: Callable[[Link, ListedSession], str] | None = None,
    ) -> None:
        self._unit = unit
        self._summary = summary
        self._archive = archive
        self._folder = stage_folder(archive, event, unit.car, stage)
        self._stop = stop
        self._again = again
        self._restart: int | None = None  # boot of the logger that was stopped here
        self._n_new = 0  # blocks that came, over all cables
        self.fetched: dict[tuple[str, int, int, int], Fetched] = {}

    def __call__(self, link: Link) -> Outcome:
        """Do it, or what is left of it."""
        hello = checked_hello(self._unit)
        self._unit.begin("read the list")
        set_clock(link)
        if self._stop is not False:
            boot = finish_running(link, always=bool(self._stop))
            self._restart = boot if boot is not None else self._restart
        try:
            sessions = link.list_sessions()
            self._summarise(link, sessions)
            self._fetch(link, sessions, facts_of(hello))
        except DeviceError:
            raise  # the cable is out: the next call continues, or the logger itself after 60 s
        except BaseException:
            self._start_again(link, hello)
            raise
        self._start_again(link, hello)
        return outcome_of(list(self.fetched.values()), self._n_new * BLOCK_BYTES)

    def _summarise(self, link: Link, sessions: Sequence[ListedSession]) -> None:
        """Note what the newest session holds, before all of it comes."""
        newest = next((s for s in sessions if s.n_blocks), None)
        if newest is None or self._summary is None or self._unit.note:
            return
        if is_held(self._archive, newest) is None:
            self._unit.note = self._summary(link, newest)

    def _fetch(self, link: Link, sessions: Sequence[ListedSession], facts: dict[str, str]) -> None:
        wanted = [s for s in sessions if self._again or is_held(self._archive, s) is None]
        n_blocks = sum(s.n_blocks for s in wanted)
        self._unit.begin("download", n_blocks * BLOCK_BYTES, "B")
        self._unit.note = slow_text(facts["board"], n_blocks) or self._unit.note
        base = 0
        for session in sessions:
            show = partial(self._show, base)
            got = fetch_if_missing(
                link, self._archive, session, self._folder, facts, show, self._again
            )
            self._keep(got)
            if session in wanted:
                base += session.n_blocks
                self._unit.advance(base * BLOCK_BYTES)

    def _keep(self, got: Fetched) -> None:
        """Keep what came of a session; of one that came over two cables, all of it."""
        before = self.fetched.get(got.entry.key)
        if before is None or got.verdict != HELD:
            self.fetched[got.entry.key] = got

    def _show(self, base: int, done: int, _: int) -> None:
        self._n_new += 1
        self._unit.advance((base + done) * BLOCK_BYTES)

    def _start_again(self, link: Link, hello: Hello) -> None:
        if self._restart == hello.boot:
            link.control(m.CONTROL_START, self._restart)
        self._restart = None


def outcome_of(fetched: Sequence[Fetched], n_bytes: int) -> Outcome:
    """Return how a download ended: the worst verdict of its sessions; `n_bytes` came."""
    new = [one for one in fetched if one.verdict != HELD]
    whole = [one for one in fetched if not one.session.running]
    facts: dict[str, Any] = {
        "n_sessions": len(fetched),
        "n_new": len(new),
        "n_bytes": n_bytes,
        "sessions": [
            {
                "path": str(one.entry.path),
                "outcome": one.verdict,
                "sha256": one.entry.values["sha256"],
            }
            for one in fetched
        ],
    }
    what = count_text(len(fetched), "session")
    text = f"{what}, {len(new)} new, {n_bytes / 1e6:.1f} MB"
    if not fetched:
        return Outcome(GOOD, "the card holds no session", facts)
    if not whole:
        return Outcome(GOOD, f"{text}; still being recorded", facts)
    verdict = worst(judge_entry(one.entry) for one in whole)
    facts["log"] = verdict.as_dict()
    return Outcome(BAD if verdict.exit_code else GOOD, f"{text}; {verdict.text}", facts)


class Erase:
    """Erase from one logger what the archive proves to hold, from the oldest session on.

    A session with damaged places stays: the card may still give them.
    """

    def __init__(self, unit: Unit, archive: Path) -> None:
        self._unit = unit
        self._archive = archive
        self._erased: list[Entry] = []

    def __call__(self, link: Link) -> Outcome:
        """Do it, or what is left of it."""
        checked_hello(self._unit)
        sessions = link.list_sessions()
        self._unit.begin("erase", 100, "%")
        stays = ""
        kept = self._from_damaged_on(sessions)
        for session, entry, text in erase_held(link, self._archive, kept, self._show):
            if entry is not None:
                self._erased.append(entry)
            elif not session.running:
                stays = f"; boot {session.boot} stays: {text}"
        if len(kept) < len(sessions):
            boot = sessions[len(sessions) - len(kept) - 1].boot
            stays = stays or f"; boot {boot} stays: places of it could not be read"
        n = len(self._erased)
        facts = {"n_erased": n}
        return Outcome(BAD if stays else GOOD, f"{n} session{'s' * (n != 1)} erased{stays}", facts)

    def _from_damaged_on(self, sessions: list[ListedSession]) -> list[ListedSession]:
        """Return the oldest sessions, up to the first of which the archive lacks places."""
        found: list[ListedSession] = []
        for session in reversed(sessions):
            entry = is_held(self._archive, session)
            if entry is not None and entry.values.get("n_damaged"):
                break
            found.insert(0, session)
        return found

    def _show(self, _: ListedSession, pct: int) -> None:
        self._unit.advance(pct)
