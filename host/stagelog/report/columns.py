"""Signals of a whole day in little memory: raw integers and steps of time, made into values when
they are asked for.

Takes decoded parts in order and keeps of each what it needs: raw values in the type that the
decoder gives them, times as differences in the smallest type that holds them. The values are those
of one decoding of everything, to the bit.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Message
from stagelog.decode.tables import Decoded
from stagelog.report.series import Times, Values

Rows: TypeAlias = NDArray[np.intp]


@dataclass(slots=True)
class Steps:
    """Times: the first, then int64 differences, kept in fewer bytes where they fit."""

    first: int
    steps: NDArray[Any]

    @classmethod
    def of(cls, t_us: Times) -> "Steps":
        """Return Steps of int64[n], n > 0."""
        steps = np.diff(t_us)
        if len(steps) and steps.min() >= 0:
            steps = steps.astype(np.min_scalar_type(int(steps.max())))
        return cls(int(t_us[0]), steps)

    def __len__(self) -> int:
        return len(self.steps) + 1

    def put(self, out: Times) -> None:
        """Write the times to int64[n]."""
        out[0] = self.first
        np.cumsum(self.steps, out=out[1:])
        out[1:] += self.first


@dataclass(slots=True)
class Column:
    """One message: as decode.MessageTable, of parts in order.

    times    [Steps], one a part
    signals  {name: [(part, raw values, rows of the part or None)]}
    """

    message: Message
    times: list[Steps] = field(default_factory=list)
    signals: dict[str, list[tuple[int, NDArray[Any], Rows | None]]] = field(default_factory=dict)
    _made: WeakValueDictionary[tuple[int, ...], Times] = field(default_factory=WeakValueDictionary)

    def __len__(self) -> int:
        return sum(map(len, self.times))

    @property
    def t_us(self) -> Times:
        """Return the times of all frames, int64[n]; not to be written to."""
        return self._times(range(len(self.times)))

    def series(self, name: str, without: Rows | None = None) -> tuple[Times, Values]:
        """Return (t_us int64[k], values float64[k]) of one signal.

        without  rows that are left out, ascending; the result has its own memory, no more
        """
        held = self.signals[name]
        if without is not None:
            return self._part_by_part(name, without)
        if all(rows is None for _, _, rows in held):
            t_us = self._times([part for part, _, _ in held])
        else:
            parts = [(self._times([part]), rows) for part, _, rows in held]
            t_us = np.concatenate([t if rows is None else t[rows] for t, rows in parts])
        values = np.empty(sum(len(raw) for _, raw, _ in held))
        at = 0
        for _, raw, _ in held:
            self._put(name, raw, values[at : at + len(raw)])
            at += len(raw)
        return t_us, values

    def _part_by_part(self, name: str, without: Rows) -> tuple[Times, Values]:
        held = self.signals[name]
        n = sum(len(raw) for _, raw, _ in held) - len(without)
        t_us, values = np.empty(n, np.int64), np.empty(n)
        first = at = 0
        for part, raw, rows in held:
            keep = np.ones(len(raw), bool)
            inside = slice(*np.searchsorted(without, (first, first + len(raw))).tolist())
            keep[without[inside] - first] = False
            piece = np.empty(len(raw))
            self._put(name, raw, piece)
            times = self._times([part])
            end = at + int(np.count_nonzero(keep))
            t_us[at:end] = (times if rows is None else times[rows])[keep]
            values[at:end] = piece[keep]
            first, at = first + len(raw), end
        return t_us, values

    def _times(self, parts: Iterable[int]) -> Times:
        """Return the times of some parts; one array for all who use them at the same time."""
        key = tuple(parts)
        out = self._made.get(key)
        if out is None:
            chosen = [self.times[part] for part in key]
            out = self._made[key] = np.empty(sum(map(len, chosen)), np.int64)
            at = 0
            for each in chosen:
                each.put(out[at : at + len(each)])
                at += len(each)
        return out

    def _put(self, name: str, raw: NDArray[Any], out: Values) -> None:
        """Write physical values as decode.engine calculates them."""
        signal = self.message.signal(name)
        np.multiply(raw, np.float64(signal.scale), out=out)
        if signal.offset:
            out += signal.offset


class Columns:
    """All messages: as decode.Decoded, of parts decoded in mode "raw"."""

    def __init__(self) -> None:
        self.messages: dict[str, Column] = {}

    def add(self, part: Decoded, on_axis: Callable[[Times], Times]) -> None:
        """Take a part; `on_axis` brings its times onto the axis of the stage."""
        for name, table in part.messages.items():
            if not len(table):
                continue
            column = self.messages.setdefault(name, Column(table.message))
            number = len(column.times)
            column.times.append(Steps.of(on_axis(table.t_us)))
            for signal, raw in table.signals.items():
                held = column.signals.setdefault(signal, [])
                held.append((number, raw, table.rows.get(signal)))

    def finish(self) -> None:
        """Bring the messages in the order of their names, however the parts came."""
        self.messages = {name: self.messages[name] for name in sorted(self.messages)}

    def series(self, name: str, without: Rows | None = None) -> tuple[Times, Values]:
        """Return (t_us, values) of `Message.Signal` or of a signal name, as Decoded does."""
        column, signal = self._column(name)
        return column.series(signal, without)

    def count(self, name: str) -> int:
        """Return how many values `series` has, 0 where the log does not hold the signal."""
        try:
            column, signal = self._column(name)
        except KeyError:
            return 0
        return sum(len(raw) for _, raw, _ in column.signals[signal])

    def _column(self, name: str) -> tuple[Column, str]:
        message, _, signal = name.rpartition(".")
        for column in self.messages.values():
            if signal in column.signals and message in ("", column.message.name):
                return column, signal
        raise KeyError(name)
