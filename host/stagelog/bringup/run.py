"""A bring-up from its start to its end: the order of the rows, and what a row leaves to the next.

Whatever happens, the program is removed and the logger started again. Fails with DeviceError,
FlashError and ContractError; a row that could not be measured is no failure but says why.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from slog import messages as m
from slog.settings import SettingsError, load
from stagelog import __version__
from stagelog.bringup import card, controller, receiver, recording, wires
from stagelog.bringup.bench import Bench
from stagelog.bringup.power import power_rows
from stagelog.bringup.program import Program
from stagelog.bringup.recorder import NO_SLOT, Recorder, Run, open_logger
from stagelog.bringup.sheet import FAIL, Row, Sheet, not_measured
from stagelog.bringup.tidy import erase_ours, refuse_for_frames
from stagelog.counts import count_text
from stagelog.errors import UsageError
from stagelog.replies import ListedSession

SECTIONS = ("wires", "spi", "release", "crystal", "interrupt", "listen", "stamp", "capture",
            "usb", "clock", "card", "supply", "power")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each thing is done."""

    patterns: int = 100_000
    releases: int = 200
    frames: int = 2_000
    interrupts: int = 10_000
    listen_ms: int = 2_000
    stamps: int = 10_000
    capture: int = 100_000
    writes: int = 2_000
    sectors: int = 2_000
    pulls: int = 20


QUICK = Counts(2_000, 20, 200, 1_000, 300, 1_000, 4_000, 80, 200, 2)


@dataclass(slots=True)
class _State:
    """What rows leave to later ones."""

    crystal_Hz: int = controller.BOARD_CRYSTAL_Hz
    has_controller: bool = True
    has_card: bool = True
    has_power_good: bool = True
    bitrate_bps: int | None = None
    first_boot: int = 0
    kind: str = ""  # of the board
    rows: list[Row] = field(default_factory=list)


def bitrate_of(settings: bytes) -> int:
    """Return the bit rate of bus 0 in a logger's settings; the default where there are none, or
    none that it can read.
    """
    try:
        found = load(settings or None)
    except SettingsError:
        found = load(None)
    return int(found["buses"][0]["bitrate_bps"])


class BringUp:
    """One bring-up of one board.

    sections   those of SECTIONS that are wanted
    is_held    whether an archive holds a session; without, and with frames on the card, nothing is
               done unless `despite_sessions`
    """

    def __init__(
        self,
        bench: Bench,
        counts: Counts,
        sections: Sequence[str] = SECTIONS,
        say: Callable[[str], None] = lambda text: None,
        is_held: Callable[[ListedSession], bool] = lambda session: False,
        despite_sessions: bool = False,
    ) -> None:
        unknown = sorted(set(sections) - set(SECTIONS))
        if unknown:
            raise UsageError(
                f"no rows are called {unknown[0]}", f"there are {', '.join(SECTIONS)}"
            )
        self._bench = bench
        self._counts = counts
        self._sections = frozenset(sections)
        self._say = say
        self._is_held = is_held
        self._despite_sessions = despite_sessions
        self._program = Program(bench)
        self._state = _State()

    def run(self, operator: str) -> Sheet:
        """Measure all rows that are wanted; return the sheet."""
        self._ask_logger()
        try:
            self._say("send the program")
            board = self._program.install(self._state.kind)
            for row in self._rows(board.kind):
                self._say(f"{row.title}: {row.text or row.note}  {row.verdict}")
                self._state.rows.append(row)
        finally:
            self._say("start the logger again")
            self._program.remove()
        self._tidy()
        t_unix_us = time.time_ns() // 1000
        counts = asdict(self._counts)
        return Sheet(board, operator, t_unix_us, __version__, counts, tuple(self._state.rows))

    def _ask_logger(self) -> None:
        """Learn from the logger, if one runs, its bit rate and the number of this boot."""
        link = self._bench.open_link()
        try:
            hello = link.hello()
            if not self._despite_sessions:
                refuse_for_frames(link, self._is_held)
            self._state.first_boot = hello.boot
            self._state.kind = hello.board_name
            self._state.bitrate_bps = bitrate_of(link.get_config(m.CONFIG_SETTINGS))
        finally:
            link.close()

    def _rows(self, kind: str) -> Iterator[Row]:
        if kind in receiver.PINS:
            yield from self._receiver_rows(receiver.PINS[kind])
            return
        yield from self._wire_rows()
        yield from self._controller_rows()
        yield from self._recorded_rows()

    def _wire_rows(self) -> Iterator[Row]:
        """Always done: the others rest on them."""
        seen = self._program.call("wires")
        rows = wires.controller_rows(seen["reads"], seen["low"])
        self._state.has_controller = seen["reads"]
        card_rows = list(card.identity_rows(self._program))
        self._state.has_card = all(row.verdict != FAIL for row in card_rows[: len(wires.CARD)])
        for row in (*rows, *card_rows, self._supply_row()):
            if row.section in self._sections:
                yield row

    def _supply_row(self) -> Row:
        seen = self._program.call("sample_pin", pin=wires.POWER_GOOD.gpio)
        row = wires.supply_row(seen["high"], seen["pulled_up"])
        self._state.has_power_good = row.value != wires.MISSING
        return row

    def _receiver_rows(self, pins: tuple[wires.Wire, ...]) -> Iterator[Row]:
        """Rows of a board without a controller, which can't send frames to itself."""
        program, counts = self._program, self._counts
        rows = list(receiver.wire_rows(program, pins))
        rows += card.identity_rows(program)
        has_parts = all(row.verdict != FAIL for row in rows)
        rows.append(self._supply_row())
        yield from (row for row in rows if row.section in self._sections)
        if "listen" in self._sections:
            wanted_bps = self._state.bitrate_bps
            yield from receiver.listen_rows(program, pins, counts.listen_ms, wanted_bps)
        if "card" in self._sections and has_parts:
            yield from card.clock_rows(program, 0, counts.sectors)

    def _controller_rows(self) -> Iterator[Row]:
        state, counts, program = self._state, self._counts, self._program
        if not state.has_controller:
            for section in ("spi", "release", "crystal", "interrupt", "listen"):
                if section in self._sections:
                    yield not_measured(section, section, "the controller does not answer")
            return
        crystal_rows, crystal_Hz = controller.crystal_rows(program, counts.frames)
        state.crystal_Hz = crystal_Hz or controller.BOARD_CRYSTAL_Hz
        makers: dict[str, Callable[[], Iterator[Row]]] = {
            "spi": lambda: controller.spi_rows(program, counts.patterns),
            "release": lambda: controller.release_rows(program, counts.releases),
            "crystal": lambda: iter(crystal_rows),
            "interrupt": lambda: controller.interrupt_rows(
                program, counts.interrupts, state.crystal_Hz
            ),
            "listen": lambda: controller.listen_rows(
                program, counts.listen_ms, state.crystal_Hz, state.bitrate_bps
            ),
        }
        for section, make in makers.items():
            if section in self._sections:
                self._say(f"measure {section}")
                yield from make()

    def _recorded_rows(self) -> Iterator[Row]:
        state, counts = self._state, self._counts
        wanted = self._sections & {"stamp", "capture", "card", "supply", "usb", "clock", "power"}
        if not state.has_controller or not state.has_card:
            why = "nothing can be recorded: a wire of the controller or the card is missing"
            for section in sorted(wanted - {"card"}):
                yield not_measured(section, section, why)
            return
        recorder = Recorder(self._bench, self._program, state.crystal_Hz)
        if "stamp" in wanted:
            self._say(f"record {counts.stamps:,} frames that are alike")
            yield from recording.stamp_rows(recorder.run_frames(counts.stamps, numbered=False))
        if wanted & {"capture", "usb", "clock"}:
            self._say(f"record {counts.capture:,} numbered frames")
            run = recorder.run_frames(counts.capture, numbered=True)
            makers = {
                "capture": recording.capture_rows,
                "usb": recording.usb_rows,
                "clock": recording.drift_rows,
            }
            yield from self._each(makers, run)
        if wanted & {"card", "supply"}:
            self._say(f"write {counts.writes:,} blocks")
            run = recorder.run_writes(counts.writes)
            makers = {
                "card": recording.card_rows,
                "supply": lambda run: recording.supply_rows(run, state.has_power_good),
            }
            yield from self._each(makers, run)
            if "card" in wanted:
                yield from card.clock_rows(self._program, run.first_sector, counts.sectors)
        if "power" in wanted:
            yield from power_rows(recorder, counts.pulls, self._say)

    def _each(
        self, makers: Mapping[str, Callable[[Run], Iterator[Row]]], run: Run
    ) -> Iterator[Row]:
        for section, make in makers.items():
            if section in self._sections:
                yield from make(run)

    def _tidy(self) -> None:
        """Wait for the logger, and erase the sessions of the bring-up from its card."""
        link, _ = open_logger(self._bench, lambda hello: hello.slot != NO_SLOT)
        try:
            n = erase_ours(link, self._state.first_boot)
            if n:
                self._say(f"{count_text(n, 'session')} of the bring-up erased")
        finally:
            link.close()
