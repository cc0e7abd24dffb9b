"""From files to the parts of a report: the stage, the logger's account of itself, its events.

Any log can be read; only our logger's logs have an account and on-car events. Memory is that of
the signals the report needs. Fails with InputError as the readers do, and if the files are of
several loggers.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from slog import events as ev
from slog.layout import HASH_SIGNALS, META_HASH
from stagelog.accounts import Account, judge_logs
from stagelog.archive import entry_of
from stagelog.blocks import NO_LOGGER, Session
from stagelog.dbc import load_database
from stagelog.dbc.model import Database
from stagelog.decode import Origins, Plan, compile_plan, decode
from stagelog.decode.missing import add_counts
from stagelog.errors import InputError
from stagelog.events import (
    Detected,
    Recomputation,
    SignalTable,
    compare_events,
    compile_table,
    find_window,
    load_events,
)
from stagelog.events.compare import MARKS, Disagreement
from stagelog.events.parallel import PIECE_FRAMES, ParallelDetectors
from stagelog.events.reading import flights_of
from stagelog.events.recompute import count_refuels
from stagelog.importers import load_frames, sniff
from stagelog.ledger import Gap, Ledger, describe
from stagelog.model import FrameTable
from stagelog.platform import memory
from stagelog.profile.schema import Profile
from stagelog.report.axis import Axis, OnAxis
from stagelog.report.columns import Columns
from stagelog.report.events import StageEvents
from stagelog.report.series import Spans
from stagelog.report.stage import KeyCycle, Stage
from stagelog.timeline import SOURCE_TEXT, Boot, Timeline, find_boots
from stagelog.verdict import OPEN_LOG, Verdict, judge_foreign, worst

Progress: TypeAlias = Callable[[float], None]
GapOnAxis: TypeAlias = tuple[Gap, str, int | None, int | None]

APART_US = 3_600_000_000  # a log of another recorder that is silent for so long is two


@dataclass(slots=True)
class Health:
    """The logger's account of its own work.

    verdicts      verdict.Verdict of each log
    is_end_known  False where the log may end before the drive did
    ledgers       ledger.Ledger by session; empty for a log of another recorder
    gaps          (ledger.Gap, in words, start and end on the axis of the stage or None)
    damaged       bad blocks, in words
    clock         where the wall clock came from, "" without one
    recorder      what made the log
    n_said        events that the car recorded on board
    same_table    False if it watched the bus with another signal table than the profile's
    mixed         messages that come from several buses or sources, in words
    n_compared    events in a part of the log that both sides saw whole
    not_compared  why that is not all of it
    """

    verdicts: list[Verdict] = field(default_factory=list)
    is_end_known: bool = True
    ledgers: list[Ledger] = field(default_factory=list)
    gaps: list[GapOnAxis] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    clock: str = ""
    recorder: str = "stagelog"
    n_said: int = 0
    n_compared: int = 0
    not_compared: list[str] = field(default_factory=list)
    same_table: bool = True
    mixed: list[str] = field(default_factory=list)
    n_unknown: int = 0
    n_frames: int = 0

    @property
    def verdict(self) -> Verdict:
        """Return what `stagelog verify` says of the logs."""
        return worst(self.verdicts)

    @property
    def complete(self) -> bool | None:
        """True, False, or None where nothing was counted."""
        return self.verdict.complete


@dataclass
class Source:
    """All of one car: see build.stage_facts. `disagreed` is None if the car recorded no events;
    `refuels` are the volumes that were entered, cl.
    """

    stage: Stage
    health: Health
    found: list[Detected]
    table: SignalTable
    disagreed: list[Disagreement] | None
    refuels: Sequence[int] = ()

    @cached_property
    def events(self) -> StageEvents:
        """Return events.StageEvents."""
        return StageEvents(self.stage, self.found, self.table)


def read_source(
    paths: Sequence[Path],
    profile: Profile,
    dbc: str | Path | Database,
    title: str = "",
    progress: Progress | None = None,
    buses: Sequence[int] = (),
    refuels: Sequence[int] = (),
) -> Source:
    """Return the Source of one car.

    paths     logs of one car: session files, cards, or one log of another recorder
    profile   checked car profile; dbc the path or Database to decode with
    progress  called with a share of 1 from time to time
    buses     only their signals; the detectors watch the first of them, bus 0 if none is named
    refuels   entered volumes of the refuels in the logs, in order, cl; 0 where one is not known
    """
    memory.map_large_arrays()
    database = dbc if isinstance(dbc, Database) else load_database(dbc)
    table = compile_table(profile, database)
    plan = compile_plan(database, wanted_signals(profile, database), list(buses) or None)
    reading = Reading(database, plan, table, progress, buses[0] if buses else 0, refuels)
    reading.add(paths)
    stuck = stuck_spans(reading.found, int(profile.trouble.stuck_s * 1e6))
    flights = [(f.onset_us, f.onset_us + f.airtime_ms * 1000) for f in flights_of(reading.found)]
    stage = Stage(reading.columns, profile, title, reading.key_cycles, stuck, flights)
    return Source(stage, reading.health, reading.found, table, reading.disagreed, refuels)


def stuck_spans(found: Sequence[Detected], before_us: int) -> Spans:
    """Return [(start_us, end_us)] in which the wheels turned and the car did not move.

    before_us  how long that lasts before the event is reported
    """
    spans, start_us = [], None
    for event in found:
        if event.code == ev.STUCK and event.state == ev.ON:
            start_us = event.t_us - before_us
        elif event.code == ev.STUCK and start_us is not None:
            spans.append((start_us, event.t_us))
            start_us = None
    return spans if start_us is None else [*spans, (start_us, found[-1].t_us)]


def wanted_signals(profile: Profile, database: Database) -> list[str]:
    """Return the names of the signals that sections and charts read, those that the DBC has."""
    names: set[str] = set()
    for value in (getattr(profile.roles, name) for name in profile.roles.__dataclass_fields__):
        names.update((value,) if isinstance(value, str) else value)
    for alarm in profile.alarm.values():
        names.update(alarm.signals, alarm.x_signals or ())
    report = profile.report
    if (abuse := profile.gearbox_abuse) is not None:
        names.update((abuse.gear_target, abuse.shifting, abuse.input_speed, abuse.output_speed))
    names.update((report.limiter, report.converter), *report.radiators, report.tyre_temperature)
    marking = {rule.message for rule in profile.mark.values()}
    for message in database.messages:
        if message.name in marking:
            names.update(signal.name for signal in message.signals)
    names.update(rule.signal for rule in profile.mark.values())
    known = {signal.name for message in database.messages for signal in message.signals}
    return sorted(names & known)


class Reading:
    """Logs are added in order of time; the axis grows with them.

    table    SignalTable that the detectors run with, None for no detectors
    refuels  as in read_source
    """

    def __init__(
        self,
        database: Database,
        plan: Plan,
        table: SignalTable | None,
        progress: Progress | None,
        bus: int,
        refuels: Sequence[int] = (),
    ) -> None:
        self.refuels = refuels
        self.plan = plan
        self.bus = bus
        self.known = {(message.can_id, message.is_ext) for message in database.messages}
        self.table = table
        self.digest = hashlib.sha256(table.data).digest() if table else b""
        self.progress = progress or (lambda share: None)
        self.columns, self.axis = Columns(), Axis()
        self.found: list[Detected] = []
        self.disagreed: list[Disagreement] | None = None
        self.health = Health()
        self.origins = Origins()
        self.missing: dict[str, dict[str, int]] = {}

    @property
    def key_cycles(self) -> list[KeyCycle]:
        """Return the key cycles that were added."""
        return self.axis.key_cycles

    def add(self, paths: Sequence[Path]) -> None:
        """Add logs of any kind: all of them, once."""
        own = [path for path in paths if sniff(path) == "slog"]
        if own:
            self.add_own(own)
        for path in paths:
            if path not in own:
                self.add_other(path)
        self.health.mixed = self.origins.warnings("one signal in this report")
        self.columns.finish()
        memory.give_back()  # what lies between the columns

    def add_own(self, paths: Sequence[Path]) -> None:
        """Add the sessions of our logger, key cycle by key cycle."""
        accounts: dict[Session, Account] = {}
        problems: list[Verdict] = []
        for judged in judge_logs([(path, entry_of(path)) for path in paths]):
            problems += judged.problems
            ends = [each.ledger.end.is_known for each in judged.accounts]
            ends += [problem.kind != OPEN_LOG for problem in judged.problems]
            self.health.is_end_known &= all(ends)
            self.health.damaged += [str(bad) for bad in judged.damaged]
            accounts.update((each.session, each) for each in judged.accounts)
        sessions = list(accounts)
        self.health.verdicts += [*(each.verdict for each in accounts.values()), *problems]
        boots = find_boots(sessions)
        devices = sorted({boot.device_id for boot in boots})
        if len(devices) > 1:
            raise InputError(
                f"sessions of {len(devices)} loggers: {', '.join(devices)}", "name one car's logs"
            )
        total = sum(session.n_frames for session in sessions) or 1
        jobs = [boot.sessions for boot in boots]
        choose = partial(_watched, bus=self.bus)
        if self.table is None:
            for boot in boots:
                self._add_boot(boot, accounts)
            return
        with ParallelDetectors(
            jobs, self.table.data, choose, total, self.progress, self.refuels
        ) as detectors:
            for number, boot in enumerate(boots):
                on_axis = self._add_boot(boot, accounts)
                found = detectors.result(number)
                for session, alone in zip(boot.sessions, found.alone, strict=True):
                    ledger = accounts[session].ledger
                    self._compare(session, ledger, boot.timeline, alone, on_axis)
                self.found += map(on_axis.event, found.whole)

    def _add_boot(self, boot: Boot, accounts: dict[Session, Account]) -> OnAxis:
        """Add the frames and holes of a key cycle; return what its times are shifted by."""
        start_us = min(session.t_first_us for session in boot.sessions)
        unix_us = boot.timeline.to_unix_us(start_us) if boot.timeline else None
        end_us = boot.t_last_us
        on_axis = self.axis.append(start_us, end_us, boot=boot.boot, t_unix_us=unix_us)
        if boot.timeline:
            self.health.clock = SOURCE_TEXT.get(boot.timeline.source, "")
        for session in boot.sessions:
            ledger = accounts[session].ledger
            if session.device_id == NO_LOGGER:
                self.health.recorder = "converted"
            else:
                self.health.ledgers.append(ledger)
            for gap in ledger.gaps:
                ends = on_axis.time(gap.t_start_us), on_axis.time(gap.t_end_us)
                self.health.gaps.append((gap, describe(gap, boot.timeline), *ends))
            heads = [
                m.values["sha256_head"]
                for m in session.decoded_meta(META_HASH)
                if m.arg == HASH_SIGNALS and self.table is not None
            ]
            self.health.same_table &= all(self.digest.startswith(head) for head in heads)
            marks = (event for event in load_events(session) if event.code in MARKS)
            self.found += map(on_axis.event, marks)
            for frames in session.iter_frames(PIECE_FRAMES):
                self._decode(frames, on_axis)
        return on_axis

    def _compare(
        self,
        session: Session,
        ledger: Ledger,
        timeline: Timeline | None,
        found: list[Detected],
        on_axis: OnAxis,
    ) -> None:
        """Compare the events that the car recorded in a session with those of its frames."""
        said = [event for event in load_events(session) if event.code not in MARKS]
        self.health.n_said += len(said)
        if not said:
            return
        if self.bus:
            why = f"the car watched bus 0, this report watches bus {self.bus}"
            self.health.not_compared.append(f"session {session.identity.name}: {why}")
            return
        window = find_window(ledger, said, timeline)
        if window.why:
            self.health.not_compared.append(f"session {session.identity.name}: {window.why}")
        n_inside = sum(window.holds(event) for event in said)
        self.health.n_compared += n_inside
        if n_inside:
            differ = compare_events(said, found, said[-1].t_us, window)
            self.disagreed = (self.disagreed or []) + [
                Disagreement(
                    one.what, on_axis.event_if_any(one.car), on_axis.event_if_any(one.host)
                )
                for one in differ
            ]

    def add_other(self, path: str | Path) -> None:
        """Add a log of another recorder."""
        log = load_frames(path)
        self.health.recorder = log.kind
        is_absolute = log.diagnostics.times == "absolute"
        self.health.verdicts.append(judge_foreign(log.diagnostics))
        self.health.damaged += [f"{path}: {damage}" for damage in log.diagnostics.damages]
        frames = log.frames
        if not len(frames):
            return
        if np.any(np.diff(frames["t_us"]) < 0):
            frames = frames[np.argsort(frames["t_us"], kind="stable")]
        cuts = np.flatnonzero(np.diff(frames["t_us"]) > APART_US) + 1
        for part in np.split(frames, cuts):
            start_us, end_us = int(part["t_us"][0]), int(part["t_us"][-1])
            epoch = start_us if is_absolute else None
            on_axis = self.axis.append(start_us, end_us, boot=None, t_unix_us=epoch)
            if self.table is not None:
                run = Recomputation(self.table.data, refuels=self.refuels)
                run.feed(_watched(part, self.bus))
                self.refuels = self.refuels[count_refuels(run.events) :]
                self.found += map(on_axis.event, run.events)
            self._decode(part, on_axis)

    def _decode(self, frames: FrameTable, on_axis: OnAxis) -> None:
        self.health.n_frames += len(frames)
        self.count(frames)
        part = decode(frames, self.plan, "raw")
        add_counts(self.missing, part.missing)
        self.health.n_unknown += sum(n for key, n in part.unknown.items() if key not in self.known)
        self.origins.add(part)
        self.columns.add(part, on_axis.times)

    def count(self, frames: FrameTable) -> None:
        """Take frames as they come, before they are decoded; for those who count traffic."""


def _watched(frames: FrameTable, bus: int) -> FrameTable:
    """Return frames as the detectors take them, which watch bus 0: those of `bus` there, others
    elsewhere.
    """
    if not bus:
        return frames
    frames = frames.copy()
    frames["bus"] = frames["bus"] != bus
    return frames
