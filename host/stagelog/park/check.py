"""Ask one logger whether its car may start: STATUS, a few seconds of its buses, its items.

Owns the questions; the answers are judged by `findings`. Changes nothing but the clock of the log.
Fails as Link does.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from slog import messages as m
from slog.layout import HEALTH_WRITE_WORST, META_ANCHOR, META_HEALTH
from slog.settings import SettingsError, load
from stagelog.accounts import judge_entry
from stagelog.archive import Entry, find_sessions
from stagelog.download import facts_of, is_held, set_clock
from stagelog.errors import InputError
from stagelog.importers.stream import join_frames
from stagelog.link import Link
from stagelog.listen import LiveLink
from stagelog.model import FrameTable
from stagelog.park import findings as of
from stagelog.park.findings import Finding, Heard
from stagelog.park.peek import Window, read_part, tail_of
from stagelog.park.unit import GOOD, WARN, Outcome, Unit
from stagelog.park.wanted import Wanted, head_of
from stagelog.replies import ListedSession

LISTEN_S = 3.0
_FIRST_S = 0.2  # of a poll while listening
_ANCHOR_BLOCKS = 4
_MOST_BEFORE = 4  # sessions
_HEALTH_BLOCKS = 128  # at the end of a session: the logger notes its card every 10 s


class Check:
    """The work. `findings` is filled by it.

    wanted   None without a fleet file: items, messages and hours are not judged then
    """

    def __init__(
        self,
        unit: Unit,
        wanted: Wanted | None,
        archive: Path,
        listen_s: float = LISTEN_S,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._unit = unit
        self._wanted = wanted
        self._archive = archive
        self._listen_s = listen_s
        self._clock_ns = clock_ns
        self.findings: list[Finding] = []

    def __call__(self, link: Link) -> Outcome:
        """Ask everything; the worst finding is the verdict."""
        self.findings.clear()
        hello = link.hello()
        self._unit.begin("status")
        sessions = link.list_sessions()
        found = {item: link.get_config(item) for item in (m.CONFIG_SETTINGS, m.CONFIG_SIGNALS)}
        off_us = self._clock_off_us(link, sessions)
        self._unit.begin("listen", 100, "%")
        heard = self._listen(link)
        status = link.status()
        self._unit.begin("judge")
        add = self.findings.extend
        add(of.of_recording(status))
        add(of.of_buses(status))
        if self._wanted is not None:
            add(of.of_heard(heard))
        add(of.of_clock(off_us))
        hours = self._wanted.hours if self._wanted else None
        flush_ms = _flush_ms(found[m.CONFIG_SETTINGS])
        add(of.of_card(status, heard.rate_Hz, flush_ms, hours))
        is_new = status.blocks_written < of.ENOUGH_WRITES
        before = _writes_before(link, sessions) if is_new else None
        add(of.of_stall(status, heard.rate_Hz, flush_ms, before))
        add(self._of_sessions(sessions, hello.device_id))
        facts = {**facts_of(hello), "settings_sha256_head": head_of(found[m.CONFIG_SETTINGS])}
        facts["signals_sha256_head"] = head_of(found[m.CONFIG_SIGNALS])
        program = link.get_config(m.CONFIG_FIRMWARE)
        facts["firmware_sha256"] = program.hex()
        if self._wanted is not None:
            add(self._of_items(self._wanted, found, hello.car_name, facts["firmware"]))
            add(of.of_firmware(program, self._wanted.firmware_sha256))
        add(self._of_last_stage(hello.device_id.hex()))
        level = of.worst_level(self.findings)
        shown = [str(f) for f in self.findings if f.level == level] if level != GOOD else []
        more = sum(f.level != GOOD for f in self.findings) - len(shown)
        text = "; ".join(shown) or "cleared"
        text += f" (and {more} more)" if more > 0 else ""
        rows = [f._asdict() for f in self.findings]
        return Outcome(level, text, {**facts, "findings": rows, "heard": heard.as_dict()})

    def _listen(self, link: Link) -> Heard:
        if not isinstance(link, LiveLink) or not self._listen_s:
            return Heard(0.0, {})
        link.start(self._clock_ns)
        tables: list[FrameTable] = []
        begun = link.clock()
        while (age := link.clock() - begun) < self._listen_s:
            self._unit.advance(round(100 * age / self._listen_s))
            tables.append(link.read_frames(_FIRST_S))
        link.stop()
        frames = join_frames(tables)
        n_buses = link.status().n_buses
        n_frames = {bus: int((frames["bus"] == bus).sum()) for bus in range(n_buses)}
        if self._wanted is None or not len(frames):
            return Heard(age, n_frames, n_skipped=link.n_skipped_blocks)
        return self._compare(frames, age, n_frames, link.n_skipped_blocks)

    def _compare(
        self, frames: FrameTable, age_s: float, n_frames: dict[int, int], n_skipped: int
    ) -> Heard:
        """Compare what came with the DBC of each bus. A message is due twice at least in the time
        that the frames cover, which is short where laptop or logger are slow.
        """
        from stagelog.dbc import load_database
        from stagelog.decode.doctor import check_log

        assert self._wanted is not None
        covered_ms = min(1000 * age_s, int(np.ptp(frames["t_us"])) / 1000)
        missing: list[str] = []
        late: list[str] = []
        unknown: list[str] = []
        for bus, path in sorted(self._wanted.dbcs.items(), key=lambda item: str(item[0])):
            database = load_database(path)
            of_bus = frames if bus is None else frames[frames["bus"] == bus]
            facts = check_log(database, [of_bus])
            at = "" if bus is None else f" (bus {bus})"
            for name in facts["absent_messages"]:
                message = database.message(name)
                is_due = message.cycle_ms and 2 * message.cycle_ms <= covered_ms
                if is_due and "LOGGER" not in message.senders and name not in self._not_fitted:
                    missing.append(name + at)
            late += [c["message"] + at for c in facts["cycles"] if not c["kept"]]
            unknown += [row["can_id"] + at for row in facts["unknown_ids"]]
        return Heard(age_s, n_frames, missing, [] if n_skipped else late, unknown, n_skipped)

    @property
    def _not_fitted(self) -> Iterable[str]:
        return self._wanted.not_fitted if self._wanted is not None else ()

    def _clock_off_us(self, link: Link, sessions: list[ListedSession]) -> int | None:
        """Set the clock; return by how much the log's clock was off before, None if it had none.

        What the log has is the last anchor in the first blocks of the running session.
        """
        running = next((s for s in sessions if s.running), None)
        anchors = []
        if running is not None and running.n_blocks:
            end = min(_ANCHOR_BLOCKS, running.n_blocks)
            part = read_part(link, running, [Window(0, end)])
            anchors = part.decoded_meta(META_ANCHOR) if part is not None else []
        before_us = self._clock_ns() // 1000
        t_us = set_clock(link, self._clock_ns)
        if not anchors:
            return None
        return int(anchors[-1].values["t_unix_us"]) + t_us - anchors[-1].t_us - before_us

    def _of_sessions(self, sessions: list[ListedSession], device_id: bytes) -> Iterable[Finding]:
        missing = [s for s in sessions if not s.running and is_held(self._archive, s) is None]
        strangers = {s.device_id.hex() for s in missing if s.device_id != device_id}
        n_bytes = of.bytes_of(sum(s.n_blocks for s in missing))
        return of.of_sessions(len(missing), n_bytes, sorted(strangers))

    def _of_items(
        self, wanted: Wanted, found: dict[int, bytes], car: str, firmware: str
    ) -> Iterable[Finding]:
        yield from of.of_car(car, wanted.car)
        heads = {item: head_of(content) if content else "" for item, content in found.items()}
        settings = wanted.settings_for(found[m.CONFIG_SETTINGS])
        yield from of.of_item("settings", heads[m.CONFIG_SETTINGS], head_of(settings))
        if wanted.signals is not None:
            table = heads[m.CONFIG_SIGNALS]
            remedy = "another DBC or profile: 'stagelog provision'"
            yield from of.of_item("signal table", table, head_of(wanted.signals), remedy)
        if wanted.firmware is not None:
            yield from of.of_item("firmware", firmware, wanted.firmware, "'stagelog flash --all'")

    def _of_last_stage(self, device_id: str) -> Iterable[Finding]:
        """What the archive holds of this logger's newest session: is it whole?"""
        try:
            entries = [e for e in find_sessions(self._archive) if e.key[0] == device_id]
        except InputError as error:
            return [Finding(WARN, "last stage", str(error))]
        if not entries:
            return []
        newest: Entry = max(entries, key=lambda entry: entry.values["first_seq"])
        verdict = judge_entry(newest)
        if verdict.exit_code:
            return [Finding(WARN, "last stage", verdict.text, "see 'stagelog verify'")]
        return [Finding(GOOD, "last stage", verdict.text)]


def _writes_before(link: Link, sessions: list[ListedSession]) -> of.Writes | None:
    """Return what the newest closed sessions on the card have shown of it, as many as it takes to
    know it; None without one.

    Nothing is written for it: a test that writes would compete with the recording for the card.
    """
    n_blocks, worst_ms = 0, 0
    closed = [s for s in sessions if not s.running and s.n_blocks]
    for session in closed[:_MOST_BEFORE]:
        part = read_part(link, session, tail_of(session, _HEALTH_BLOCKS))
        health = [] if part is None else part.decoded_meta(META_HEALTH)
        worst = [each.values["worst"] for each in health if each.arg == HEALTH_WRITE_WORST]
        if worst:
            n_blocks += session.n_blocks
            worst_ms = max(worst_ms, *worst)
        if n_blocks >= of.ENOUGH_WRITES:
            break
    return of.Writes(n_blocks, worst_ms) if n_blocks else None


def _flush_ms(settings: bytes) -> int:
    try:
        return int(load(settings or None)["flush_ms"])
    except SettingsError:
        return int(load(None)["flush_ms"])
