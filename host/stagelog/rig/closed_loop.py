"""The closed loop: a log is replayed onto the rig's bus, logged again, downloaded and compared.

    log -> schedule -> player, virtual clock -> bus, by the bit -> logger -> download -> log again

Owns the comparison. The bus adds delays of its own where the log has frames closer together than
it can carry them; they are counted apart from those that the logger would add, which are none.
Fails with UsageError for frames that two buses of classic CAN cannot carry.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slog.messages import CONTROL_STOP
from stagelog.archive import find_sessions
from stagelog.blocks import read_log
from stagelog.download import facts_of, fetch_session
from stagelog.errors import UsageError
from stagelog.ledger import account
from stagelog.model import EXT, FD, RTR, FrameTable
from stagelog.replay import Report, Schedule, play
from stagelog.rig.play import BITRATE_BPS, play_on_bus
from stagelog.rig.tape import FRAME as FRAME_EVENT
from stagelog.rig.tape import Tape
from stagelog.rig.target import SimTarget

START_US = 1_000_000  # after power-on: the logger is up
SETTLE_US = 1_000_000
N_BUSES = 2
FRAMES_PER_BLOCK = 200  # of 252, some blocks are closed early
BLOCKS_PER_s = 8
_SAME = ("can_id", "flags", "dlc", "n_bytes", "data")


class VirtualClock:
    """A clock that advances 100 ns whenever it is read, and sleeps exactly."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        """Return the time, 100 ns later than before."""
        self.ns += 100
        return self.ns

    def sleep_ns(self, n: int) -> None:
        """Let `n` ns pass."""
        self.ns += n


@dataclass(frozen=True, slots=True)
class Comparison:
    """The frames that were logged, compared with those that were sent.

    n_missing, n_extra        frames by content, bus by bus
    n_moved                   frames that were logged at another position in their bus's order
    bus_p99_us, bus_worst_us  how long a frame waited until the bus was free: the 99th percentile
                              of all frames, and the longest
    logger_worst_us           largest distance of a time stamp from the end of its frame
    ledger_closes             the logger's own account has neither a gap nor a contradiction
    """

    n_sent: int
    n_logged: int
    n_missing: int
    n_extra: int
    n_moved: int
    bus_p99_us: float
    bus_worst_us: float
    logger_worst_us: float
    ledger_closes: bool

    @property
    def same(self) -> bool:
        """True if the same frames came back in the same order, with the times of the bus."""
        wrong = self.n_missing or self.n_extra or self.n_moved or not self.ledger_closes
        return not wrong and self.logger_worst_us <= 1

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"same": self.same, **asdict(self)}


def closed_loop(
    schedule: Schedule, bitrate_bps: int = BITRATE_BPS, seed: int = 1
) -> tuple[Report, Comparison]:
    """Replay a Schedule of one pass in virtual time; return (player's Report, Comparison)."""
    frames = schedule.frames
    if (frames["flags"] & FD).any() or (frames["bus"] >= N_BUSES).any():
        raise UsageError(
            "the simulated logger has two buses of classic CAN", "choose buses 0 and 1, no CAN FD"
        )
    report, sent = _play(schedule)
    with TemporaryDirectory(prefix="stagelog-loop-") as folder:
        tape, _ = play_on_bus(sent, bitrate_bps, START_US)
        logged, ledger_closes = _log_again(tape, Path(folder), bitrate_bps, seed)
    return report, compare(sent, tape, logged, ledger_closes)


def compare(
    sent: FrameTable, tape: Tape, logged: FrameTable, ledger_closes: bool = True
) -> Comparison:
    """Return the Comparison of frames as they were sent, as they passed on the bus, and as they
    were logged.
    """
    passed = tape[tape["kind"] == FRAME_EVENT]
    n_missing = n_extra = n_moved = 0
    all_waits_us, all_offs_us = [np.zeros(1)], [np.zeros(1)]
    for bus in range(N_BUSES):
        mine, back = (_content(table[table["bus"] == bus]) for table in (sent, logged))
        missing, extra = _differences(mine, back)
        n_missing += missing
        n_extra += extra
        if missing or extra:
            continue
        n_moved += int((mine != back).sum())
        due_us = sent["t_us"][sent["bus"] == bus]
        end_us = passed["t_us"][passed["bus"] == bus].astype(np.int64)
        stamp_us = logged["t_us"][logged["bus"] == bus]
        if len(end_us) == len(due_us) and len(due_us):
            all_waits_us.append(end_us - end_us[0] - (due_us - due_us[0]))
            all_offs_us.append(stamp_us - end_us - int(logged["t_us"][0] - passed["t_us"][0]))
    waits_us, offs_us = np.concatenate(all_waits_us), np.abs(np.concatenate(all_offs_us))
    return Comparison(
        n_sent=len(sent),
        n_logged=len(logged),
        n_missing=n_missing,
        n_extra=n_extra,
        n_moved=n_moved,
        bus_p99_us=float(np.percentile(waits_us, 99)),
        bus_worst_us=float(waits_us.max()),
        logger_worst_us=float(offs_us.max()),
        ledger_closes=ledger_closes,
    )


def _play(schedule: Schedule) -> tuple[Report, FrameTable]:
    """Return (Report, the frames with the times at which the player handed them over)."""
    clock = VirtualClock()
    rows: list[int] = []
    times_ns: list[int] = []

    def send(row: int) -> None:
        rows.append(row)
        times_ns.append(clock.ns)

    numbers = iter(range(len(schedule.frames)))
    report = play(schedule, lambda frames: [next(numbers) for _ in frames], send, clock)
    sent = schedule.frames[rows]
    passed_ns = np.array(times_ns) - times_ns[0]
    sent["t_us"] = START_US + np.rint(passed_ns / 1000).astype(np.int64)
    return report, sent


def _log_again(tape: Tape, folder: Path, bitrate_bps: int, seed: int) -> tuple[FrameTable, bool]:
    """Let a simulated logger record a tape, and download its session.

    Returns   (frames of the session, whether its ledger closes)
    """
    n_blocks = len(tape) // FRAMES_PER_BLOCK + int(tape["t_us"][-1]) * BLOCKS_PER_s // 10**6 + 1024
    n_buses = int(tape["bus"].max()) + 1
    settings = {"car": "LOOP", "buses": [{"bitrate_bps": bitrate_bps, "ids": None}] * n_buses}
    target = SimTarget(folder, card_blocks=n_blocks, settings=settings, seed=seed)
    try:
        target.play(tape)
        target.run_for(SETTLE_US)
        link = target.link
        hello = link.hello()
        link.control(CONTROL_STOP, hello.boot)
        fetch_session(link, link.list_sessions()[0], folder / "archive", facts_of(hello))
    finally:
        target.close()
    log = read_log(find_sessions(folder)[0].path)
    session = log.sessions[0]
    return session.read_frames(), account(session, log.damaged).complete


def _content(frames: FrameTable) -> NDArray[Any]:
    """Return a key for each frame; equal frames have equal keys."""
    table = np.zeros(len(frames), [(name, *_field(frames, name)) for name in _SAME])
    for name in _SAME:
        table[name] = frames[name]
    table["flags"] &= EXT | RTR
    return table.view(f"V{table.itemsize}")


def _field(frames: FrameTable, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    dtype = frames.dtype[name]
    return dtype.base, dtype.shape


def _differences(sent: NDArray[Any], logged: NDArray[Any]) -> tuple[int, int]:
    """Return (how many of `sent` are not in `logged`, the reverse), each as often as it occurs."""
    values, which = np.unique(np.concatenate([sent, logged]), return_inverse=True)
    n_sent = np.bincount(which[: len(sent)], minlength=len(values))
    n_logged = np.bincount(which[len(sent) :], minlength=len(values))
    excess = n_sent - n_logged
    return int(excess.clip(0).sum()), int((-excess).clip(0).sum())
