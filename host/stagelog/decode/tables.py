"""The result of decoding: one table per message. Values only."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Message
from stagelog.decode.missing import Counts, Missing


@dataclass(slots=True)
class MessageTable:
    """The signals of one message: row k of `t_us` is its k-th frame.

    A signal that is absent from some frames (multiplexed, or frame too short) has fewer values
    than there are rows; `rows[name]` then says which rows they belong to. A signal without an
    entry in `rows` has one value per row. `missing` says of J1939 and NMEA 2000 where, and how,
    the frame itself says that there is no value.
    """

    message: Message
    t_us: NDArray[np.int64]
    bus: NDArray[np.uint8]
    source: NDArray[np.uint8] | None = None
    signals: dict[str, NDArray[Any]] = field(default_factory=dict)
    rows: dict[str, NDArray[np.intp]] = field(default_factory=dict)
    n_short: dict[str, int] = field(default_factory=dict)
    missing: dict[str, Missing] = field(default_factory=dict)
    t_unix_us: NDArray[np.int64] | None = None  # UTC of each row, where somebody has set it

    @property
    def name(self) -> str:
        """Return the message's name."""
        return self.message.name

    def __len__(self) -> int:
        return len(self.t_us)

    def of_frames(self) -> dict[str, NDArray[Any]]:
        """Return what is known of each row's frame: t_us, t_unix_us if set, bus, of J1939 source.

        By the name of its column: frame_bus where a signal is called bus, and so on.
        """
        known: dict[str, NDArray[Any] | None] = {
            "t_us": self.t_us,
            "t_unix_us": self.t_unix_us,
            "bus": self.bus,
            "source": self.source,
        }
        return {
            f"frame_{name}" if name in self.signals else name: values
            for name, values in known.items()
            if values is not None
        }

    def series(self, name: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return (t_us int64[k], values[k]) of one signal."""
        rows = self.rows.get(name)
        return (self.t_us if rows is None else self.t_us[rows]), self.signals[name]

    def dense(self, name: str) -> NDArray[np.float64]:
        """Return float64[m], one value per row, NaN where the signal is absent."""
        values, rows = self.signals[name], self.rows.get(name)
        if rows is None:
            return values.astype(np.float64)
        dense = np.full(len(self), np.nan)
        dense[rows] = values
        return dense

    def labels(self, name: str) -> NDArray[np.object_]:
        """Return the texts of a raw signal's value table as an object array.

        Numbers without a text as text.
        """
        choices = self.message.signal(name).choices or {}
        values, inverse = np.unique(self.signals[name], return_inverse=True)
        texts = [choices.get(int(v), str(v)) for v in values.tolist()]
        return np.array(texts, object)[inverse]


@dataclass(slots=True)
class Decoded:
    """All messages of a frame table, and what was not decoded.

    n_not_data   remote and error frames
    n_suspect    frames marked as suspect by the logger, left out unless asked for
    n_other_bus  frames of buses that the plan was not compiled for
    incomplete   frames of messages of several frames (J1939, NMEA 2000) that never became whole
    """

    mode: str
    messages: dict[str, MessageTable] = field(default_factory=dict)
    n_frames: int = 0
    n_decoded: int = 0
    n_not_data: int = 0
    n_suspect: int = 0
    n_other_bus: int = 0
    unknown: dict[tuple[int, bool], int] = field(default_factory=dict)
    incomplete: dict[int, int] = field(default_factory=dict)  # by 29-bit identifier

    @property
    def n_unknown(self) -> int:
        """Return the number of data frames whose identifier is not in the plan."""
        return sum(self.unknown.values())

    @property
    def n_incomplete(self) -> int:
        """Return the number of frames of messages that never became whole."""
        return sum(self.incomplete.values())

    @property
    def n_short(self) -> int:
        """Return the number of signal values missing because their frame was too short."""
        return sum(n for table in self.messages.values() for n in table.n_short.values())

    @property
    def missing(self) -> Counts:
        """Return {"Message.Signal": {kind: how often}} of values that frames say are none."""
        return {
            f"{table.name}.{name}": each.counts()
            for table in self.messages.values()
            for name, each in table.missing.items()
        }

    @property
    def n_values(self) -> int:
        """Return the number of decoded values."""
        return sum(len(v) for t in self.messages.values() for v in t.signals.values())

    def __getitem__(self, name: str) -> MessageTable:
        return self.messages[name]

    def series(self, name: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return (t_us, values) of `Message.Signal`, or of a signal name that stands in one
        message only.
        """
        message, _, signal = name.rpartition(".")
        for table in self.messages.values():
            if signal in table.signals and message in ("", table.name):
                return table.series(signal)
        raise KeyError(name)
