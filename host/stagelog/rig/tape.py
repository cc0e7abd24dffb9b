"""The tape: what a listener on a bus saw, as a file that a simulated logger can be fed from.

Owns the 32 bytes of a record, writing and reading them. Does not own the bus that made it (`bus`)
nor the controller model that it is played to. A file that is no tape is an InputError; nothing is
repaired.

    0       4       8     9    10   11     12      16   17   18     19    20    28
    t_us lo t_us hi kind  bus  dlc  flags  can_id  tec  rec  state  code  data  zeros to 32
    u32     u32     u8    u8   u8   u8     u32     u8   u8   u8     u8    u8*8

Little-endian, no header, ascending in time. t_us counts microseconds since the start of the tape,
at the end of the frame or at the event. A frame has min(dlc, 8) payload bytes, none with RTR; one
of CAN FD the length of its code, in a tape in memory (TAPE_FD): a file has classic frames alone.
tec and rec stop at 255.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import InputError, OutputError, UsageError
from stagelog.model import FD, FD_LENGTHS, RTR, FrameTable
from stagelog.platform.files import beside, replace

RECORD_BYTES = 32

# kind: a frame, an error frame, a change of the observer's error state
FRAME, ERROR, STATE = range(3)
# state: the observer's own
ACTIVE, WARNING, PASSIVE, BUS_OFF = range(4)
# code: what kind of error; NO_ERROR where there is none
NO_ERROR, BIT_ERROR, STUFF_ERROR, FORM_ERROR, ACK_ERROR, CRC_ERROR = range(6)
# flags: of model, EXT | RTR | SUSPECT

# (t_us, kind, bus, flags, can_id, dlc, state, tec, rec, data): a record as rig.sim.world plays it
Event: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, Sequence[int]]
Tape: TypeAlias = NDArray[Any]  # of dtype TAPE or TAPE_FD
TAPE = np.dtype(
    [
        ("t_us", "<u8"),
        ("kind", "u1"),
        ("bus", "u1"),
        ("dlc", "u1"),
        ("flags", "u1"),
        ("can_id", "<u4"),
        ("tec", "u1"),
        ("rec", "u1"),
        ("state", "u1"),
        ("code", "u1"),
        ("data", "u1", (8,)),
        ("zero", "<u4"),
    ]
)
TAPE_FD = np.dtype(TAPE.descr[:-2] + [("data", "u1", (64,)), ("zero", "<u4")])


def tape_of(frames: FrameTable) -> Tape:
    """Return a frame table (model.FRAME or FRAME_FD, ascending t_us >= 0) as a tape of frames."""
    out = np.zeros(len(frames), TAPE_FD if frames["data"].shape[1] > 8 else TAPE)
    out["kind"] = FRAME
    for name in ("t_us", "bus", "dlc", "flags", "can_id", "data"):
        out[name] = frames[name]
    return out


def join_tapes(tapes: Sequence[Tape]) -> Tape:
    """Return the tapes of several buses as one, in time order and then in the order given."""
    joined = np.concatenate(tapes)
    return joined[np.argsort(joined["t_us"], kind="stable")]


def n_bytes_on(tape: Tape) -> NDArray[np.uint8]:
    """Return the payload length of each record, uint8[n]; 0 for events."""
    none = (tape["flags"] & RTR != 0) | (tape["kind"] != FRAME)
    classic = np.minimum(tape["dlc"], 8)
    n_bytes = np.where(tape["flags"] & FD, FD_LENGTHS[tape["dlc"] & 15], classic)
    return np.where(none, 0, n_bytes).astype(np.uint8)


def write_tape(path: str | Path, records: Tape | FrameTable) -> None:
    """Write a tape, or a frame table (model.FRAME) as one; the file appears whole or not at all.

    Raises   UsageError if time goes back or a frame is of CAN FD, OutputError if it cannot be
             written.
    """
    tape = records if records.dtype in (TAPE, TAPE_FD) else tape_of(records)
    if (tape["flags"] & FD).any():
        raise UsageError("a tape file holds no frame of CAN FD", "play the tape from memory")
    if tape.dtype == TAPE_FD:
        tape = _narrow(tape)
    late = _first_step_back(tape)
    if late is not None:
        raise UsageError(
            f"tape record {late} is earlier than the one before", "sort by t_us, or join_tapes"
        )
    path = Path(path)
    part = beside(path, ".part")
    try:
        with open(part, "wb") as file:
            file.write(tape.tobytes())
        replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OutputError(
            f"cannot write tape {path}: {error.strerror}",
            "free some space or choose another path",
        ) from error


def read_tape(path: str | Path) -> Tape:
    """Read a tape file as an array of dtype TAPE.

    Raises   InputError naming the file and the record, if it is no tape or a damaged one.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read tape {path}: {error.strerror}", "check the path") from error
    if len(raw) % RECORD_BYTES:
        raise InputError(
            f"{path} has {len(raw)} bytes, no multiple of {RECORD_BYTES}",
            "it is cut short or not a tape",
        )
    tape = np.frombuffer(raw, TAPE)
    foreign = (tape["kind"] > STATE) | (tape["zero"] != 0) | (tape["dlc"] > 15)
    if foreign.any():
        raise InputError(
            f"{path}: record {int(np.argmax(foreign))} is not a record of a tape",
            "it is damaged or not a tape",
        )
    late = _first_step_back(tape)
    if late is not None:
        raise InputError(
            f"{path}: record {late} is earlier than the one before", "it is damaged or not a tape"
        )
    return tape


def _narrow(tape: Tape) -> Tape:
    out = np.zeros(len(tape), TAPE)
    for name in TAPE.names or ():
        out[name] = tape[name][:, :8] if name == "data" else tape[name]
    return out


def _first_step_back(tape: Tape) -> int | None:
    back = tape["t_us"][1:] < tape["t_us"][:-1]
    return int(np.argmax(back)) + 1 if back.any() else None
