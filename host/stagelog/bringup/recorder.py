"""The application on the board, recording the frames that its controller sends to itself.

Owns starting and ending such a run and what comes back: figures of the board, the session's
blocks, what the clocks said. Does not own what passes. Fails with DeviceError.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slog import messages as m
from slog.layout import BLOCK_BYTES, HEADER_BYTES, RECORDS_PER_BLOCK, SECTOR_BYTES
from stagelog.blocks import read_log
from stagelog.bringup.bench import Bench
from stagelog.bringup.program import Program
from stagelog.errors import ContractError, DeviceError
from stagelog.link import Link, positions_of
from stagelog.model import FRAME, FrameTable
from stagelog.replies import Hello, ListedSession, Status

PERIOD_us = 300  # between two frames of about 230 us at 500 kbit/s
BITRATE_BPS = 500_000
NO_SLOT = 255  # in HELLO: the bring-up's program answers, not the logger
CAN_ID = 0x555
_FOR_EVER = 1_000_000
_SMALL_BLOCK = 40  # frames of 12 ms, about what a card needs for a block
_PAUSE_S = 0.5
_START_S = 40.0
_STILL_S = 15.0  # without a further frame on the card the run is over
_LOAD_BLOCKS = 16  # read from the card between two STATUS, as load for USB and card
_ASKED_TIMES = 10
_UPLOAD_KIND = 0x7F  # no request: the logger drops it without a word
_UPLOAD_BYTES = 1000


class ClockPair(NamedTuple):
    """One moment by the host's clock and the board's; `within_s`: how well they agree."""

    host_s: float
    board_us: int
    within_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """What a run left behind.

    sent, skipped   frames, and times at which none could be sent
    is_hard         they were sent by an interrupt
    stamps          (us, how often) from the request of a frame to its stamp
    writes          (us, how often) a write of a block took
    supply_mV       least seen at VSYS
    supply_failed   how often "power good" was seen to fall
    first_sector    of the session on the card
    """

    sent: int
    skipped: int
    is_hard: bool
    stamps: list[tuple[int, int]]
    writes: list[tuple[int, int]]
    supply_mV: int
    supply_failed: int
    first_sector: int
    frames: FrameTable
    status: Status
    session: ListedSession
    digest: bytes
    clocks: tuple[ClockPair, ClockPair]
    download_kBps: float
    upload_kBps: float
    answer_ms: float


class Recorder:
    """Runs of the application on one board."""

    def __init__(self, bench: Bench, program: Program, crystal_Hz: int) -> None:
        self.bench = bench
        self._program = program
        self._crystal_Hz = crystal_Hz

    @contextmanager
    def running(self, n: int, numbered: bool, per_block: int, collect: bool) -> Iterator[Link]:
        """Start a run of `n` frames; yield its link, and close it. `collect`: garbage, all the
        time.
        """
        self._program.reload()
        self._program.start(
            "record",
            crystal_Hz=self._crystal_Hz,
            n=n,
            numbered=numbered,
            block=per_block,
            collect=collect,
            period_us=PERIOD_us,
        )
        link, _ = open_logger(self.bench, lambda hello: hello.slot == NO_SLOT)
        try:
            yield link
        finally:
            link.close()

    def run_frames(self, n: int, numbered: bool) -> Run:
        """Record `n` frames while the host keeps USB and card busy; fetch them."""
        return self._run(n, numbered, RECORDS_PER_BLOCK, True, lambda status: status.stored0 >= n)

    def run_writes(self, n: int) -> Run:
        """Record until `n` blocks are written, with little else to do; fetch them."""
        return self._run(
            _FOR_EVER, True, _SMALL_BLOCK, False, lambda status: status.blocks_written >= n
        )

    def _run(
        self,
        n: int,
        numbered: bool,
        per_block: int,
        is_loaded: bool,
        is_over: Callable[[Status], bool],
    ) -> Run:
        with self.running(n, numbered, per_block, is_loaded) as link:
            first = _clock_pair(self.bench, link)
            self._wait(link, is_loaded, is_over)
            boot = link.hello().boot
            link.control(m.CONTROL_STOP, boot)
            status = link.status()
            session = link.list_sessions()[0]
            upload_kBps = _upload(link)
            blocks, download_kBps = _download(link, session)
            last = _clock_pair(self.bench, link)
            link.control(m.CONTROL_REPL, boot)
        self.bench.sleep(1.0)
        seen = self._program.call("recorded")
        return Run(
            seen["sent"],
            seen["skipped"],
            seen["hard"],
            seen["times"],
            seen["writes"],
            seen["supply_mV"],
            seen["supply_failed"],
            seen["sector"] + session.position * BLOCK_BYTES // SECTOR_BYTES,
            frames_of(blocks),
            status,
            session,
            digest_of(blocks),
            (first, last),
            download_kBps,
            upload_kBps,
            1000 * first.within_s,
        )

    def _wait(self, link: Link, is_loaded: bool, is_over: Callable[[Status], bool]) -> None:
        """Wait until a run is over, or no more frames come."""
        bench = self.bench
        session = link.list_sessions()[0]
        positions = positions_of(session)[:_LOAD_BLOCKS]
        best, t_best = -1, bench.clock()
        while True:
            status = link.status()
            if is_over(status):
                return
            if status.stored0 > best:
                best, t_best = status.stored0, bench.clock()
            elif bench.clock() - t_best > _STILL_S:
                return
            if not is_loaded:
                bench.sleep(_PAUSE_S)
                continue
            for _ in link.read_blocks(positions):
                pass


def open_logger(bench: Bench, is_wanted: Callable[[Hello], bool]) -> tuple[Link, Hello]:
    """Wait for a logger whose HELLO is wanted; return it. DeviceError if none comes."""
    deadline = bench.clock() + _START_S
    while True:
        try:
            link = bench.open_link()
        except DeviceError:
            link = None
        if link is not None:
            try:
                hello = link.hello()
                if is_wanted(hello):
                    return link, hello
            except ContractError:
                link.close()
                raise
            except DeviceError:
                pass
            link.close()
        if bench.clock() > deadline:
            raise DeviceError(
                f"nothing answers on {bench.prompt.port} {_START_S:.0f} s after it was started",
                "unplug it, plug it in and repeat the command",
            )
        bench.sleep(0.3)


def fetch_blocks(link: Link, session: ListedSession) -> list[bytes]:
    """Return the blocks of a session; places that can't be read are left out."""
    read = link.read_blocks(positions_of(session))
    return [block for _, block in read if block is not None]


def frames_of(blocks: list[bytes]) -> FrameTable:
    """Return the frames of one session's blocks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "session.slog")
        path.write_bytes(b"".join(blocks))
        pieces = [frames for one in read_log(path).sessions for frames in one.iter_frames()]
    return np.concatenate(pieces) if pieces else np.empty(0, FRAME)


def digest_of(blocks: list[bytes]) -> bytes:
    """Return what ERASE asks for."""
    return hashlib.sha256(b"".join(block[:HEADER_BYTES] for block in blocks)).digest()


def _download(link: Link, session: ListedSession) -> tuple[list[bytes], float]:
    """Return the session's blocks and how fast they came, by the board's clock."""
    start_us = link.set_time(0)
    blocks = fetch_blocks(link, session)
    took_us = link.set_time(0) - start_us
    return blocks, len(blocks) * BLOCK_BYTES / max(took_us, 1) * 1000


def _upload(link: Link, n: int = 8) -> float:
    """Return how fast bytes go to the board, by its clock, in kB/s."""
    start_us = link.set_time(0)
    for _ in range(n):
        link.send(_UPLOAD_KIND, b"\x55" * _UPLOAD_BYTES)
    took_us = link.set_time(0) - start_us
    return n * _UPLOAD_BYTES / max(took_us, 1) * 1000


def _clock_pair(bench: Bench, link: Link) -> ClockPair:
    """Ask for the board's time some times; the quickest answer is the best."""
    pairs = []
    for _ in range(_ASKED_TIMES):
        before_s = bench.clock()
        board_us = link.set_time(0)
        after_s = bench.clock()
        pairs.append(ClockPair((before_s + after_s) / 2, board_us, (after_s - before_s) / 2))
    return min(pairs, key=lambda pair: pair.within_s)
