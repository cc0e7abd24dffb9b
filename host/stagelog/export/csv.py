"""CSV for spreadsheets: one file per message, or all signals in one file at a fixed rate.

Owns the text: a header `EngSpd [rpm]`, times in seconds with microseconds, in the first form bus
and J1939 source address, numbers with the digits that the signal's scale has and no more, empty
where a signal is absent. No header begins like a formula. A spreadsheet takes 1,048,576 rows: the
resampled form is for it. Integers above 53 bits keep all their digits in the first form; the
resampled one holds float64.
"""

import csv
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Signal
from stagelog.decode.plan import Plan
from stagelog.decode.tables import Decoded, MessageTable
from stagelog.export.files import FileNames, SignalSink, plain_text, writing
from stagelog.export.physical import physical
from stagelog.export.resample import Resampler, column_names


class CsvSink(SignalSink):
    """Writes Decoded (mode "raw") after Decoded, one file per message; a context, complete at its
    end.

    with_labels   write a value table's text instead of its number
    """

    mode = "raw"

    def __init__(
        self, folder: str | Path, *, with_labels: bool = False, overwrite: bool = False
    ) -> None:
        super().__init__(overwrite)
        self._folder = Path(folder)
        self._with_labels = with_labels
        self._names = FileNames()
        self._open: dict[str, TextIO] = {}

    def write(self, decoded: Decoded) -> None:
        """Add the rows of one Decoded."""
        for name, table in decoded.messages.items():
            if name not in self._open:
                path = self._folder / f"{self._names.of(name)}.csv"
                part = self.new(path)
                with writing(path):
                    file = open(part, "w", newline="", encoding="utf-8-sig")
                self._open[name] = file
                signals = [table.message.signal(s) for s in table.signals]
                names = ["t_s", *list(table.of_frames())[1:]]
                names = ["time_utc" if name == "t_unix_us" else name for name in names]
                names += [header_of(s.name, s.unit) for s in signals]
                csv.writer(file).writerow(names)
            _, *of_frames = table.of_frames().items()
            columns: list[list[Any]] = [
                _seconds(table.t_us),
                *(
                    _utc(values) if name == "t_unix_us" else values.tolist()
                    for name, values in of_frames
                ),
            ]
            columns += [self._column(table, s) for s in table.signals]
            with writing(self._folder):
                csv.writer(self._open[name]).writerows(zip(*columns, strict=True))

    def _column(self, table: MessageTable, name: str) -> list[Any]:
        signal = table.message.signal(name)
        values, rows = table.signals[name], table.rows.get(name)
        cells = _cells(physical(values, signal), signal)
        if self._with_labels and signal.choices:
            texts = map(signal.choices.get, values.tolist())
            cells = [plain_text(t) if t else c for t, c in zip(texts, cells, strict=True)]
        if rows is None:
            return cells
        column = [""] * len(table)
        for row, cell in zip(rows.tolist(), cells, strict=True):
            column[row] = cell
        return column

    def finish(self) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()

    release = finish


class ResampledCsvSink(SignalSink):
    """Writes all signals of a plan into one file, `rate_Hz` rows a second, last value held.

    clock  gives UTC (us since 1970) of times, for a column time_utc
    """

    mode = "phys"

    def __init__(
        self,
        path: str | Path,
        plan: Plan,
        rate_Hz: float,
        *,
        clock: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None,
        overwrite: bool = False,
    ) -> None:
        super().__init__(overwrite)
        self._clock = clock
        self._path = Path(path)
        self._resampler = Resampler(column_names(plan), rate_Hz)
        part = self.new(self._path)
        messages = {p.message.name: p.message for p in plan.messages}
        self._signals = [messages[m].signal(s) for m, s in self._resampler.signals]
        with writing(self._path):
            self._file = open(part, "w", newline="", encoding="utf-8-sig")
        named = zip(self._resampler.names, self._signals, strict=True)
        header = [header_of(name, signal.unit) for name, signal in named]
        times = ["t_s"] if clock is None else ["t_s", "time_utc"]
        csv.writer(self._file).writerow([*times, *header])

    def write(self, decoded: Decoded) -> None:
        """Add the rows that one Decoded completes."""
        t_us, values = self._resampler.feed(decoded)
        columns: list[list[Any]] = [_seconds(t_us)]
        if self._clock is not None:
            columns.append(_utc(self._clock(t_us)))
        for column, signal in zip(values.T, self._signals, strict=True):
            columns.append(_cells(column, signal))
        with writing(self._path):
            csv.writer(self._file).writerows(zip(*columns, strict=True))

    def finish(self) -> None:
        """Close the file."""
        self._file.close()

    release = finish


def header_of(name: str, unit: str) -> str:
    """Return a column header: `EngSpd [rpm]`."""
    return plain_text(f"{name} [{unit}]" if unit else name)


def _seconds(t_us: NDArray[np.int64]) -> list[str]:
    return [f"{t // 1_000_000}.{t % 1_000_000:06d}" for t in t_us.tolist()]


def _utc(t_unix_us: NDArray[np.int64]) -> list[str]:
    """Return UTC as 2026-01-17T14:03:22.120000Z."""
    return [f"{text}Z" for text in t_unix_us.astype("datetime64[us]").astype(str).tolist()]


def _cells(values: NDArray[np.float64] | Sequence[int], signal: Signal) -> list[Any]:
    """Return the cells of one signal: the digits that its scale and offset have, NaN empty."""
    if not isinstance(values, np.ndarray):
        return list(values)
    n_digits = digits_of(signal)
    if n_digits == 0:
        return [int(v) if v == v else "" for v in values.tolist()]
    rounded = values if n_digits is None else np.round(values, n_digits)
    return ["" if v != v else v for v in rounded.tolist()]


def digits_of(signal: Signal) -> int | None:
    """Return how many decimals a signal's values can have, None if that is not bounded by 9."""
    if signal.is_float:
        return None
    numbers = (Decimal(repr(signal.scale)), Decimal(repr(signal.offset)))
    n_digits = max(0, *(-int(d.normalize().as_tuple().exponent) for d in numbers))
    return n_digits if n_digits <= 9 else None
