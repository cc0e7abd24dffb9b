"""Traffic sources for nodes of the simulated bus: streams of (due_ns, frames) chunks.

Owns when a node wants to send what. Does not own what the bus makes of it (`bus`). All are
generators, read only as far as the bus gets; time counts in ns from the start of the bus; whatever
is random takes a seed. A source that makes no sense is a UsageError.

A node sends in the order of its source. Messages that must be able to overtake each other go to
several nodes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import UsageError
from stagelog.model import EXT, FRAME, RTR, FrameTable
from stagelog.rig.bus import canbits
from stagelog.rig.bus.log import Log
from stagelog.rig.bus.node import LAST_NS, Chunk

if TYPE_CHECKING:
    from cantools.database.can import Message

CHUNK = 4096
WINDOW_ns = 5 * 10**9  # of a periodic source: one chunk


MakePayload: TypeAlias = Callable[
    [NDArray[np.int64], NDArray[np.int64]],  # due_ns, k
    NDArray[np.uint8],
]


@dataclass(frozen=True, slots=True)
class Periodic:
    """One message at a fixed cycle: at offset_ns + k * cycle_ns, each delayed by 0..jitter_ns.

    payload   bytes, or a function (due_ns int64[n], k int64[n]) -> uint8[n, n_bytes]; k from 0
    """

    can_id: int
    cycle_ns: int
    n_bytes: int = 8
    flags: int = 0
    offset_ns: int = 0
    jitter_ns: int = 0
    payload: bytes | MakePayload | None = None

    def __post_init__(self) -> None:
        if (
            not 0 <= self.jitter_ns < self.cycle_ns
            or self.offset_ns < 0
            or not 0 <= self.n_bytes <= 8
        ):
            raise UsageError(
                f"message 0x{self.can_id:X}: {self.n_bytes} bytes every {self.cycle_ns} ns "
                f"from {self.offset_ns} ns, jitter {self.jitter_ns} ns",
                "give 0..8 bytes, an offset of 0 or more, a jitter below the cycle",
            )


def counting(n_bytes: int) -> MakePayload:
    """Return a payload function that counts frames, little-endian: no two are the same."""

    def payload(due_ns: NDArray[np.int64], k: NDArray[np.int64]) -> NDArray[np.uint8]:
        return k.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :n_bytes]

    return payload


def periodic(
    messages: Sequence[Periodic], until_ns: int = LAST_NS, seed: int = 0
) -> Iterator[Chunk]:
    """Yield the frames of several Periodic messages, all from one node, as they become due."""
    if not messages:
        return
    rng = np.random.default_rng(seed)
    for start_ns in range(0, until_ns, WINDOW_ns):
        end_ns = min(start_ns + WINDOW_ns, until_ns)
        parts = [_window(message, start_ns, end_ns, rng) for message in messages]
        due_ns = np.concatenate([part[0] for part in parts])
        frames = np.concatenate([part[1] for part in parts])
        order = np.argsort(due_ns, kind="stable")
        yield due_ns[order], frames[order]


def schedule_of(messages: "Iterable[Message]", seed: int = 0) -> dict[str, list[Periodic]]:
    """Return {sender: [Periodic, ...]} for the DBC messages (of cantools) that have a cycle time.

    Offsets are spread over the cycle by the seed; payloads count. A message without sender is sent
    by "unknown".
    """
    rng = np.random.default_rng(seed)
    schedule: dict[str, list[Periodic]] = {}
    for message in messages:
        if not message.cycle_time:
            continue
        cycle_ns = round(message.cycle_time * 1e6)
        n_bytes = min(message.length, 8)
        sender = message.senders[0] if message.senders else "unknown"
        schedule.setdefault(sender, []).append(
            Periodic(
                message.frame_id,
                cycle_ns,
                n_bytes,
                EXT if message.is_extended_frame else 0,
                int(rng.integers(cycle_ns)),
                payload=counting(n_bytes),
            )
        )
    return schedule


def saturate(
    n_bytes: int = 8,
    can_id: int = 0x7FF,
    flags: int = 0,
    count: int | None = None,
    start_ns: int = 0,
    seed: int = 0,
) -> Iterator[Chunk]:
    """Yield frames that are always due: a running count of up to four bytes, then random ones.

    With the lowest priority it fills what others leave; with can_id 0 it is a babbling node.
    """
    rng = np.random.default_rng(seed)
    done = 0
    while count is None or done < count:
        n = CHUNK if count is None else min(CHUNK, count - done)
        frames = np.zeros(n, FRAME)
        frames["can_id"], frames["flags"] = can_id, flags
        frames["dlc"] = n_bytes
        if not flags & RTR:
            frames["n_bytes"] = n_bytes
            frames["data"][:, :n_bytes] = rng.integers(0, 256, (n, n_bytes), np.uint8)
            k = np.arange(done, done + n, dtype="<u4").view(np.uint8).reshape(-1, 4)
            frames["data"][:, : min(4, n_bytes)] = k[:, :n_bytes]
        yield np.full(n, start_ns, np.int64), frames
        done += n


def random_frames(rate_Hz: float, seed: int, lane: int = 0, n_lanes: int = 1) -> Iterator[Chunk]:
    """Yield frames of every kind (see random_table) at random times with exponential gaps.

    Several such nodes keep their identifiers apart by lanes: can_id % n_lanes == lane.
    """
    if not 0 <= lane < n_lanes or rate_Hz <= 0:
        raise UsageError(
            f"lane {lane} of {n_lanes} at {rate_Hz} Hz", "count lanes from 0, give a rate"
        )
    rng = np.random.default_rng(seed)
    t_ns = 0
    while True:
        due_ns = t_ns + np.cumsum(rng.exponential(1e9 / rate_Hz, CHUNK)).astype(np.int64)
        t_ns = int(due_ns[-1])
        yield due_ns, random_table(CHUNK, rng, lane, n_lanes)


def random_table(n: int, rng: np.random.Generator, lane: int = 0, n_lanes: int = 1) -> FrameTable:
    """Return n random frames (model.FRAME): both formats, RTR, DLC 0..15, many equal bits."""
    frames = np.zeros(n, FRAME)
    frames["flags"] = rng.choice(
        np.array([0, EXT, RTR, EXT | RTR], np.uint8), n, p=[0.5, 0.4, 0.05, 0.05]
    )
    span = np.where(frames["flags"] & EXT, 1 << 29, 1 << 11) // n_lanes
    frames["can_id"] = (rng.random(n) * span).astype(np.uint32) * n_lanes + lane
    frames["dlc"] = rng.integers(0, 16, n)
    frames["n_bytes"] = np.where(frames["flags"] & RTR, 0, np.minimum(frames["dlc"], 8))
    data = rng.integers(0, 256, (n, 8), np.uint8)
    flat = rng.choice(np.array([0x00, 0xFF, 0x0F, 0xF0, 0x83, 0xC1], np.uint8), (n, 8))
    data = np.where(rng.random((n, 1)) < 1 / 3, flat, data)
    frames["data"] = np.where(np.arange(8) < frames["n_bytes"][:, np.newaxis], data, 0)
    return frames


def play(frames: FrameTable, bitrate_bps: int, start_ns: int = 0) -> Iterator[Chunk]:
    """Yield a recorded frame table (model.FRAME) at its recorded times, taken as ends of frames.

    The first frame begins at start_ns; each later one so that it would end at its recorded
    distance from the first. Where the recording has frames closer together than the bus can carry,
    they come later: see shifts_ns.
    """
    if not len(frames):
        return
    bits = canbits.frame_bits(frames)
    on_wire_ns = bits * 10**9 // bitrate_bps
    due_ns = start_ns + (frames["t_us"] - frames["t_us"][0]) * 1000 + on_wire_ns[0] - on_wire_ns
    due_ns = np.maximum(due_ns, start_ns)
    for i in range(0, len(frames), CHUNK):
        yield due_ns[i : i + CHUNK], frames[i : i + CHUNK]


def shifts_ns(log: Log, frames: FrameTable) -> NDArray[np.int64]:
    """Return by how much each frame of a played table came later than recorded, int64[n].

    The first frame is the reference.

    Raises   UsageError if the log (bus.log.Log) does not hold just these frames.
    """
    rows = log.sent
    if len(rows) != len(frames):
        raise UsageError(
            f"the bus carried {len(rows)} frames, the recording has {len(frames)}",
            "run to its end",
        )
    recorded_ns = (frames["t_us"] - frames["t_us"][0]) * 1000
    return rows["t_ns"] - rows["t_ns"][0] - recorded_ns


def _window(message: Periodic, start_ns: int, end_ns: int, rng: np.random.Generator) -> Chunk:
    """Return (due_ns, frames) of one message whose nominal time lies in [start_ns, end_ns)."""
    first = max(0, -(-(start_ns - message.offset_ns) // message.cycle_ns))
    last = max(0, -(-(end_ns - message.offset_ns) // message.cycle_ns))
    k = np.arange(first, last, dtype=np.int64)
    due_ns = message.offset_ns + k * message.cycle_ns
    if message.jitter_ns:
        due_ns = due_ns + rng.integers(0, message.jitter_ns + 1, len(k))
    frames = np.zeros(len(k), FRAME)
    frames["can_id"], frames["flags"], frames["dlc"] = (
        message.can_id,
        message.flags,
        message.n_bytes,
    )
    if not message.flags & RTR:
        frames["n_bytes"] = message.n_bytes
        frames["data"][:, : message.n_bytes] = _payload(message, due_ns, k)
    return due_ns, frames


def _payload(
    message: Periodic, due_ns: NDArray[np.int64], k: NDArray[np.int64]
) -> NDArray[np.uint8]:
    if message.payload is None:
        return np.zeros(message.n_bytes, np.uint8)
    if callable(message.payload):
        return message.payload(due_ns, k)
    return np.frombuffer(message.payload, np.uint8)
