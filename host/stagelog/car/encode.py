"""Pack columns of physical values into CAN payloads, by the layout of a DBC.

Owns quantisation, bit packing (Intel and Motorola), multiplexing, counters and checksums; not when
a message is due. Whole columns at a time: a payload is one 64-bit word until the very end.

NaN stands for "signal not available" and becomes the raw code of dbc/README.md: all ones for an
unsigned signal, the most negative code for a signed one. Other values are clamped to [min|max].
A message longer than 8 bytes or a signal wider than 64 bits raises InputError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stagelog.car.noise import Array
from stagelog.dbc.late_tester import import_cantools
from stagelog.errors import InputError

if TYPE_CHECKING:
    from cantools.database.can import Database, Message, Signal


__all__ = ["MessageEncoder", "SignalLayout", "load_database", "make_encoders"]


def load_database(dbc: str | Path) -> Database:
    """Return the database of a DBC as cantools reads it; InputError if it can't be read."""
    return _load(str(dbc))


@lru_cache(maxsize=8)
def _load(path: str) -> Database:
    cantools = import_cantools()
    try:
        return cantools.database.load_file(path, strict=True)
    except OSError as error:
        raise InputError(f"cannot read DBC {path}: {error.strerror}") from error
    except (cantools.database.Error, UnicodeDecodeError) as error:
        raise InputError(f"DBC {path} does not load: {error}") from error


@dataclass(frozen=True, slots=True)
class SignalLayout:
    """Where one signal's bits go and how a physical value becomes a raw one.

    shift counts from bit 0 of the little-endian word (Intel) or of the big-endian one (Motorola);
    measures is True for a quantity (with a unit and a code for "not available"), not for a state.
    """

    name: str
    shift: int
    length: int
    motorola: bool
    signed: bool
    is_float: bool
    scale: float
    offset: float
    low: float
    high: float
    mux_ids: tuple[int, ...]
    measures: bool
    function: str

    @property
    def sna(self) -> int:
        """The raw code of "not available", as an unsigned bit pattern."""
        return 1 << (self.length - 1) if self.signed else (1 << self.length) - 1

    def quantise(self, phys: NDArray[Any]) -> NDArray[np.uint64]:
        """Return the bit patterns of a float column as uint64; NaN becomes the code of SNA."""
        phys = np.asarray(phys, np.float64)
        if self.is_float:
            kind = (np.float32, np.uint32) if self.length == 32 else (np.float64, np.uint64)
            return phys.astype(kind[0]).view(kind[1]).astype(np.uint64)
        raw = (np.clip(phys, self.low, self.high) - self.offset) * (1.0 / self.scale)
        missing = np.isnan(raw)
        if missing.any():
            raw[missing] = 0.0
        bits = np.rint(raw, out=raw).astype(np.int64).view(np.uint64)
        if self.signed:
            bits &= np.uint64((1 << self.length) - 1)
        if missing.any():
            bits[missing] = self.sna
        return bits


class MessageEncoder:
    """Encodes all frames of one message. `signals` maps names to layouts."""

    def __init__(self, message: Message) -> None:
        if message.length > 8:
            raise InputError(f"message {message.name} has {message.length} bytes, not 8 or fewer")
        self.name = message.name
        self.can_id = message.frame_id
        self.extended = message.is_extended_frame
        self.n_bytes = message.length
        self.cycle_ms = message.cycle_time or 0  # 0: not sent by a cycle
        self.senders = tuple(message.senders)
        self.signals = {s.name: _layout(s, message) for s in message.signals}
        self.mux = next((s.name for s in message.signals if s.is_multiplexer), None)
        values = {m for s in self.signals.values() for m in s.mux_ids}
        self.mux_values = np.array(sorted(values), np.int64)

    def encode(
        self,
        values: Mapping[str, Array],
        n: int,
        mux: NDArray[np.int64] | None = None,
        count: NDArray[np.int64] | None = None,
    ) -> NDArray[np.uint64]:
        """Pack n frames; return their payloads as uint64, first byte lowest.

        values   {signal: float[n]} physical; a signal left out is 0 raw
        mux      int[n], the multiplexer's raw value of each frame
        count    int[n], number of each frame, for counters; default: from 0
        """
        intel, motorola = np.zeros(n, np.uint64), None
        count = np.arange(n) if count is None else count
        for name, layout in self.signals.items():
            rows: slice | NDArray[np.intp] = slice(None)
            if layout.mux_ids and mux is not None:
                rows = np.flatnonzero(np.isin(mux, layout.mux_ids))
            if name == self.mux:
                bits = np.asarray(mux, np.uint64)
            elif layout.function == "Counter":
                bits = np.asarray(count, np.uint64) & np.uint64((1 << layout.length) - 1)
            elif name in values:
                bits = layout.quantise(values[name][rows])
            else:
                continue
            bits <<= np.uint64(layout.shift)
            if layout.motorola:
                motorola = np.zeros(n, np.uint64) if motorola is None else motorola
                motorola[rows] |= bits
            else:
                intel[rows] |= bits
        words = intel if motorola is None else intel | motorola.byteswap()
        for layout in self.signals.values():
            if layout.function == "Checksum":
                words |= self.checksum(words, layout) << np.uint64(layout.shift)
        return words

    def checksum(self, words: NDArray[np.uint64], layout: SignalLayout) -> NDArray[np.uint64]:
        """Return (sum of bytes, the checksum as 0, plus the identifier) modulo 2^length."""
        total = words.view(np.uint8).reshape(len(words), 8).sum(axis=1, dtype=np.uint64)
        return (total + np.uint64(self.can_id)) & np.uint64((1 << layout.length) - 1)


def make_encoders(dbc: str | Path) -> dict[str, MessageEncoder]:
    """Return {message name: MessageEncoder} of a DBC, in the order of the file."""
    return {m.name: MessageEncoder(m) for m in load_database(dbc).messages}


def _layout(signal: Signal, message: Message) -> SignalLayout:
    if signal.length > 64:
        raise InputError(f"signal {signal.name} has {signal.length} bits, not 64 or fewer")
    motorola = signal.byte_order == "big_endian"
    shift = signal.start
    if motorola:
        first = signal.start // 8 * 8 + 7 - signal.start % 8
        shift = 64 - first - signal.length
    scale, offset = float(signal.scale), float(signal.offset)
    ends = _raw_ends(signal)
    reach = sorted(raw * scale + offset for raw in ends)
    low = reach[0] if signal.minimum is None else max(reach[0], float(signal.minimum))
    high = reach[1] if signal.maximum is None else min(reach[1], float(signal.maximum))
    attributes = signal.dbc.attributes if signal.dbc else {}
    function = attributes.get("SigFunction")
    return SignalLayout(
        name=signal.name,
        shift=shift,
        length=signal.length,
        motorola=motorola,
        signed=signal.is_signed,
        is_float=signal.is_float,
        scale=scale,
        offset=offset,
        low=low,
        high=high,
        mux_ids=tuple(signal.multiplexer_ids or ()),
        measures=bool(signal.unit) and signal.length >= 8,
        function=_function(function),
    )


def _raw_ends(signal: Signal) -> tuple[int, int]:
    if signal.is_signed:
        return -(1 << (signal.length - 1)), (1 << (signal.length - 1)) - 1
    return 0, (1 << signal.length) - 1


def _function(attribute: Any) -> str:
    if attribute is None:
        return "Plain"
    value = attribute.value
    return value if isinstance(value, str) else ("Plain", "Counter", "Checksum")[int(value)]
