"""The nouns of a CAN database as stagelog uses them: messages, signals, and what was wrong with
the file.

Values only. Layout follows the DBC: a signal's `start` is the number of its least significant bit
(Intel) or of its most significant bit (Motorola), bit 0 being the lowest bit of the first byte;
drawing 2 of dbc/README.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]  # (low, high) of a selector's values
Condition: TypeAlias = tuple[str, Ranges]  # the selector's name, and where it has to lie


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect of a database file.

    line   1-based, 0 if it concerns the whole file
    what   what is wrong there
    done   what stagelog did about it
    """

    line: int
    what: str
    done: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.what}; {self.done}"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a message: phys = raw * scale + offset, in `unit`.

    selector_ranges   (low, high) of the values of `selector` at which this one is present
    choices           raw value -> text, None if there is no value table
    """

    name: str
    start: int
    length: int
    is_motorola: bool = False
    is_signed: bool = False
    is_float: bool = False
    scale: float = 1
    offset: float = 0
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    choices: dict[int, str] | None = field(default=None, hash=False)
    is_selector: bool = False
    selector: str | None = None
    selector_ranges: Ranges = ()
    comment: str | None = None

    @property
    def n_bytes(self) -> int:
        """Return how many payload bytes a frame needs to hold the signal."""
        return last_byte(self.start, self.length, self.is_motorola) + 1


@dataclass(frozen=True, slots=True)
class Message:
    """One message: an identifier, a length and signals.

    J1939 messages match by PGN, see decode. `bus` is None for a message of any bus.
    """

    name: str
    can_id: int
    n_bytes: int
    signals: tuple[Signal, ...] = ()
    is_ext: bool = False
    is_fd: bool = False
    is_j1939: bool = False
    cycle_ms: int | None = None
    senders: tuple[str, ...] = ()
    comment: str | None = None
    bus: int | None = None

    def signal(self, name: str) -> Signal:
        """Return the signal of that name; KeyError if there is none."""
        for signal in self.signals:
            if signal.name == name:
                return signal
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Database:
    """A database file as far as it could be read.

    kind       "dbc", "arxml", "kcd" or "sym"
    sha256     of the file's bytes, hexadecimal
    encoding   how its text was read
    cantools   the same database as a cantools object, for encoding and for its many writers
    j1939      whether somebody said that 29-bit messages are of J1939; None: the file says it
    """

    path: Path
    kind: str
    sha256: str
    encoding: str
    messages: tuple[Message, ...]
    defects: tuple[Defect, ...] = ()
    version: str = ""
    cantools: object = field(default=None, compare=False, repr=False)
    parts: tuple[tuple[int, Path], ...] = ()  # bus and file, if each bus has one of its own
    j1939: bool | None = None

    @property
    def words(self) -> list[str]:
        """Return what --dbc takes to load it again, with whole paths."""
        if self.parts:
            return [f"can{bus}={path.absolute()}" for bus, path in self.parts]
        return [str(self.path.absolute())]

    def message(self, name: str) -> Message:
        """Return the message of that name; KeyError if there is none."""
        for message in self.messages:
            if message.name == name:
                return message
        raise KeyError(name)

    @property
    def n_signals(self) -> int:
        """Return the number of signals of all messages."""
        return sum(len(m.signals) for m in self.messages)


def bits_of(start: int, length: int, is_motorola: bool) -> Sequence[int]:
    """Return the DBC bit numbers of a signal, most significant first."""
    if not is_motorola:
        return range(start + length - 1, start - 1, -1)
    first = (start // 8) * 8 + 7 - start % 8  # position when bits are counted as they are sent
    return [(k // 8) * 8 + 7 - k % 8 for k in range(first, first + length)]


def last_byte(start: int, length: int, is_motorola: bool) -> int:
    """Return the index of the last payload byte that a signal touches."""
    if is_motorola:
        return ((start // 8) * 8 + 7 - start % 8 + length - 1) // 8
    return (start + length - 1) // 8
