"""Turn frames to be sent into the tape of a bus listener, with bit times and arbitration."""

import numpy as np

from stagelog.errors import UsageError
from stagelog.model import EXT, RTR, FrameTable
from stagelog.rig.bus import Bus, nodes
from stagelog.rig.tape import FRAME, Tape, join_tapes

BITRATE_BPS = 500_000


def play_on_bus(
    frames: FrameTable, bitrate_bps: int = BITRATE_BPS, start_us: int = 0
) -> tuple[Tape, float]:
    """Play a frame table (model.FRAME, ascending t_us) on simulated buses, one for each bus index
    in it.

    start_us  when the first frame is sent, from the start of the tape
    Returns  (tape of a listener, largest delay in us that the bus itself added)
    Raises   UsageError for frames that classic CAN can't carry.
    """
    if not len(frames):
        raise UsageError("there are no frames to play", "choose a log that holds some")
    tapes = []
    worst_ns = 0
    for index in np.unique(frames["bus"]):
        mine = frames[frames["bus"] == index]
        lag_ns = int(mine["t_us"][0] - frames["t_us"][0]) * 1000
        bus = Bus(bitrate_bps, int(index))
        bus.add_node("car", nodes.play(mine, bitrate_bps, start_us * 1000 + lag_ns))
        bus.add_node("dash")
        bus.add_node("logger", listen_only=True)
        span_ns = int(mine["t_us"][-1] - mine["t_us"][0]) * 1000
        longest_ns = 160 * 10**9 // bitrate_bps
        log = bus.run(start_us * 1000 + lag_ns + span_ns + (len(mine) + 2) * longest_ns)
        worst_ns = max(worst_ns, int(nodes.shifts_ns(log, mine).max()))
        tapes.append(log.tape("logger"))
    return join_tapes(tapes), worst_ns / 1000


def saturated_tape(bitrate_bps: int, duration_us: int, n_bytes: int = 8, seed: int = 0) -> Tape:
    """Return the tape of a bus that is never idle for `duration_us`: frames of n_bytes back to
    back.
    """
    bus = Bus(bitrate_bps)
    bus.add_node("source", nodes.saturate(n_bytes, seed=seed))
    bus.add_node("dash")
    bus.add_node("logger", listen_only=True)
    return bus.run(duration_us * 1000).tape("logger")


def on_buses(tape: Tape, n_buses: int) -> Tape:
    """Return the tape of as many buses that all carry what this one does."""
    tapes = [tape.copy() for _ in range(n_buses)]
    for bus, one in enumerate(tapes):
        one["bus"] = bus
    return join_tapes(tapes)


def same_frames(tape: Tape, frames: FrameTable) -> bool:
    """Return whether a frame table holds the frames of a tape, in their order, times aside."""
    sent = tape[tape["kind"] == FRAME]
    if len(sent) != len(frames):
        return False
    whole = np.array_equal(np.minimum(sent["dlc"], 8), frames["dlc"])
    kind = np.array_equal(sent["flags"] & (EXT | RTR), frames["flags"] & (EXT | RTR))
    same = [np.array_equal(sent[name], frames[name]) for name in ("can_id", "data")]
    return whole and kind and all(same)
