"""What a logger answers to HELLO, STATUS and LIST, one type for each.

Fields, order and units are those of the tables in `slog.messages` (SPEC.md), without the code
that every answer begins with. `link` reads them off the wire.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self


class _Reply:
    """A reply that is made from the fields of its table, by their names."""

    __slots__ = ()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the reply with the values of `fields`; the code of the answer is left out."""
        return cls(**{name: value for name, value in fields.items() if name != "status"})


@dataclass(frozen=True, slots=True)
class Hello(_Reply):
    """HELLO: which logger answers, and what it does."""

    version: int
    state: int
    slot: int
    contract: bytes
    device_id: bytes
    boot: int
    nonce: int
    firmware: int
    max_read: int
    board: bytes
    car: bytes

    @property
    def car_name(self) -> str:
        """The car in its settings, "" if they name none."""
        return self.car.rstrip(b"\0").decode(errors="replace")

    @property
    def board_name(self) -> str:
        """The kind of its board."""
        return self.board.rstrip(b"\0").decode(errors="replace")

    @property
    def firmware_text(self) -> str:
        """The version of its firmware, as 0.1.0."""
        return version_text(self.firmware)


def version_text(firmware: int) -> str:
    """Return a firmware version as 0.1.0; HELLO and the session's first record have it as
    0x000100.
    """
    return f"{firmware >> 16}.{firmware >> 8 & 255}.{firmware & 255}"


class BusStatus(NamedTuple):
    """STATUS of one bus: frames of this session, state and error counters of its controller."""

    stored: int
    dropped: int
    at_least: int
    state: int
    tec: int
    rec: int
    doubts: int


@dataclass(frozen=True, slots=True)
class Status(_Reply):
    """STATUS: the health of a logger. `fault` is a code of slog.faults."""

    state: int
    fault: int
    n_buses: int
    t_us: int
    stored0: int
    stored1: int
    dropped0: int
    dropped1: int
    at_least0: int
    at_least1: int
    bus_state0: int
    bus_state1: int
    tec0: int
    rec0: int
    tec1: int
    rec1: int
    doubts0: int
    doubts1: int
    ring_blocks: int
    ring_worst: int
    blocks_written: int
    blocks_free: int
    write_worst_ms: int
    write_errors: int
    write_retries: int
    slots_skipped: int
    verify_errors: int
    bad_frames: int
    heap_free_bytes: int
    loop_worst_us: int
    boot_to_frame_ms: int

    @property
    def buses(self) -> list[BusStatus]:
        """Return the status of each bus that is captured."""
        names = ("stored", "dropped", "at_least", "bus_state", "tec", "rec", "doubts")
        rows = range(self.n_buses)
        return [BusStatus(*(getattr(self, f"{name}{bus}") for name in names)) for bus in rows]


@dataclass(frozen=True, slots=True)
class BusCounts(_Reply):
    """BUS: what a receiver without a controller counted by kind in this session, and the bit rate
    on the wire, 0 if it was not asked for or is none that is known.
    """

    bus: int
    rate_bps: int
    stuff: int
    flags: int
    crc: int
    form: int
    unacknowledged: int
    fd: int
    overload: int
    remote: int
    missed_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession(_Reply):
    """LIST: a session on the card, and where it lies in the ring of places."""

    running: bool
    index: int = 0  # 0 is the newest
    boot: int
    nonce: int
    device_id: bytes
    first_seq: int
    position: int
    n_blocks: int
    data_first: int
    data_end: int
    t0_us: int = 0
