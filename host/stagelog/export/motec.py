"""Writes MoTeC .ld with its .ldx: every signal as a channel of a whole number of Hz.

The layout is REVERSE-ENGINEERED, by others, in public (gotzl/ldparser, BoYanZh/MotecLogGenerator,
crate motec-i2); MoTeC has not published it, and no licence feature of MoTeC's software is
imitated: the word that marks a log as made by a "pro" logger is left zero. Written from the
description below; not yet opened in i2 itself.

    header      1,762 bytes from 0
                u32 0x40 at 0; u32 first channel at 8, first data at 12, event at 36;
                u16 1, 0x4240, 0xf at 64; u32 serial at 70; 8 s device at 74; u16 version at 82;
                u16 0xadb0 at 84; u32 number of channels at 86; 16 s date "dd/mm/yyyy" at 94;
                16 s time at 126; 64 s driver at 158, vehicle at 222, venue at 350, short comment
                at 1,572
    event       1,154 bytes from 1,762: 64 s name, 64 s session, 1,024 s comment, u16 venue
    venue       1,100 bytes from 5,078: 64 s name, ..., u16 vehicle at 1,098
    vehicle     260 bytes from 8,180: 64 s name, ..., u32 weight at 192, 32 s type, 32 s comment
    channels    124 bytes each from 11,336: u32 previous, next, data, n; u16 counter,
                u16 class (7 float), u16 bytes (4), u16 rate_Hz; i16 shift, factor, divisor,
                decimals; 32 s name, 8 s short name, 12 s unit, 40 x
    data        float32, channel after channel

    value = (stored / divisor * 10^-decimals + shift) * factor, here 0, 1, 1, 0

A channel has a value from the first sample on: before its first frame, that of its first frame.
Times are UTC. Fails with OutputError, also for logs beyond 4 GiB, which the format's 32-bit
addresses cannot hold.
"""

import datetime
import struct
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from stagelog.dbc.model import Message
from stagelog.decode.plan import Plan
from stagelog.decode.tables import Decoded
from stagelog.errors import OutputError
from stagelog.export.files import SignalSink, writing
from stagelog.export.resample import Columns, Resampler, column_names, span_of

RATES_Hz = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_EVENT, _VENUE, _VEHICLE, _CHANNELS = 1762, 5078, 8180, 11336
_CHANNEL = struct.Struct("<IIIIHHHHhhhh32s8s12s40x")


class _ChannelData(NamedTuple):
    name: str
    unit: str
    rate_Hz: float
    data: NDArray[np.float32]


class MotecSink(SignalSink):
    """Writes Decoded (mode "phys") after Decoded into `path` (.ld) and its .ldx.

    rate_Hz   one whole rate for all channels, or None: each message's own, of RATES_Hz
    about     texts: driver, vehicle, venue, event, session, comment
    markers   pairs (t_us, name) for the .ldx, such as stage start and finish
    """

    mode = "phys"

    def __init__(
        self,
        path: str | Path,
        plan: Plan,
        rate_Hz: int | None = None,
        *,
        about: Mapping[str, object] | None = None,
        markers: Iterable[tuple[int, str]] = (),
        overwrite: bool = False,
    ) -> None:
        super().__init__(overwrite)
        self._path = Path(path)
        self._part = self.new(self._path)
        self._ldx = self.new(self._path.with_suffix(".ldx"))
        self._about = {k: str(v) for k, v in (about or {}).items()}
        self._markers = list(markers)
        self._rate_Hz = rate_Hz
        self._messages = {p.message.name: p.message for p in plan.messages}
        self._signals = column_names(plan)
        self._resamplers: list[Resampler] | None = None
        self._last_us = 0
        self._spool = tempfile.TemporaryFile()
        # (place, n) in the spool
        self._pieces: dict[str, list[tuple[int, int]]] = {n: [] for n in self._signals.values()}

    def write(self, decoded: Decoded) -> None:
        """Add the samples of one Decoded."""
        span = span_of(decoded)
        if span is None:
            return
        if self._resamplers is None:
            self._resamplers = self._make_resamplers(decoded, span[0])
        self._last_us = max(self._last_us, span[1])
        with writing(self._path):
            for resampler in self._resamplers:
                _, values = resampler.feed(decoded)
                if not len(values):
                    continue
                columns = np.ascontiguousarray(values.T, dtype=np.float32)
                for name, column in zip(resampler.names, columns, strict=True):
                    self._pieces[name].append((self._spool.tell(), len(column)))
                    self._spool.write(column.tobytes())

    def _make_resamplers(self, decoded: Decoded, t0_us: int) -> list[Resampler]:
        groups: dict[int, Columns] = {}
        for (message, signal), name in self._signals.items():
            rate_Hz = self._rate_Hz or rate_of(self._messages[message], decoded)
            groups.setdefault(rate_Hz, {})[message, signal] = name
        return [Resampler(group, rate_Hz, t0_us) for rate_Hz, group in groups.items()]

    def finish(self) -> None:
        """Assemble the channels."""
        channels = []
        for resampler in self._resamplers or ():
            for (message, signal), name in resampler.signals.items():
                data = self._data_of(name)
                if data is not None:
                    unit = self._messages[message].signal(signal).unit
                    channels.append(_ChannelData(name, unit, resampler.rate_Hz, data))
        self._write_ld(channels)
        t0_us = self._t0_us()
        self._ldx.write_text(ldx_text(self._markers, t0_us, self._about), encoding="utf-8")
        self._spool.close()

    def _t0_us(self) -> int:
        """Return where the grid of all channels begins, 0 before the first sample."""
        return (self._resamplers[0].t0_us or 0) if self._resamplers else 0

    def release(self) -> None:
        """Delete the spool file."""
        self._spool.close()

    def _data_of(self, name: str) -> NDArray[np.float32] | None:
        """Return float32 samples of a channel, None if it never had a value."""
        parts = []
        for place, n in self._pieces[name]:
            self._spool.seek(place)
            parts.append(np.frombuffer(self._spool.read(4 * n), np.float32))
        data = np.concatenate(parts) if parts else np.empty(0, np.float32)
        known = np.flatnonzero(~np.isnan(data))
        if not len(known):
            return None
        data[: known[0]] = data[known[0]]
        return data

    def _write_ld(self, channels: list[_ChannelData]) -> None:
        first_data = _CHANNELS + _CHANNEL.size * len(channels)
        if first_data + 4 * sum(len(c.data) for c in channels) >= 1 << 32:
            raise OutputError(
                f"{self._path}: more than 4 GiB", "choose a lower rate or fewer signals"
            )
        t0_us = self._t0_us()
        with open(self._part, "wb") as file:
            file.write(header_bytes(self._about, t0_us, len(channels), first_data))
            data_at = first_data
            for k, (name, unit, rate_Hz, data) in enumerate(channels):
                at = _CHANNELS + k * _CHANNEL.size
                file.write(
                    _CHANNEL.pack(
                        at - _CHANNEL.size if k else 0,
                        at + _CHANNEL.size if k + 1 < len(channels) else 0,
                        data_at,
                        len(data),
                        0x2EE1 + k & 0xFFFF,
                        7,
                        4,
                        rate_Hz,
                        0,
                        1,
                        1,
                        0,
                        _text(name, 32),
                        _text(name, 8),
                        _text(unit, 12),
                    )
                )
                data_at += 4 * len(data)
            for *_, data in channels:
                file.write(data.tobytes())


def rate_of(message: Message, decoded: Decoded) -> int:
    """Return the rate in RATES_Hz that keeps up with a message: as seen, else as specified,
    else 10.
    """
    table = decoded.messages.get(message.name)
    n = 0 if table is None else len(table)
    step_us: float = (message.cycle_ms or 0) * 1000
    if table is not None and (n >= 5 or (n >= 2 and not step_us)):
        step_us = float(np.median(np.diff(table.t_us)))
    if step_us <= 0:
        return 10
    wanted_Hz = 0.95e6 / step_us
    return next((r for r in RATES_Hz if r >= wanted_Hz), RATES_Hz[-1])


def header_bytes(about: Mapping[str, str], t0_us: int, n_channels: int, first_data: int) -> bytes:
    """Return everything before the channels."""
    start = datetime.datetime.fromtimestamp(max(t0_us, 0) / 1e6, datetime.UTC)
    text = bytearray(_CHANNELS)

    def put(at: int, code: str, *values: int | bytes) -> None:
        struct.pack_into("<" + code, text, at, *values)

    put(0, "I", 0x40)
    put(8, "II", _CHANNELS if n_channels else 0, first_data)
    put(36, "I", _EVENT)
    put(64, "HHH", 1, 0x4240, 0xF)
    put(70, "I8sH", 0x1F44, b"ADL", 420)
    put(84, "HI", 0xADB0, n_channels)
    put(94, "16s", start.strftime("%d/%m/%Y").encode())
    put(126, "16s", start.strftime("%H:%M:%S").encode())
    put(158, "64s", _text(about.get("driver", ""), 64))
    put(222, "64s", _text(about.get("vehicle", ""), 64))
    put(350, "64s", _text(about.get("venue", ""), 64))
    put(1572, "64s", _text("written by stagelog", 64))
    put(_EVENT, "64s64s", _text(about.get("event", ""), 64), _text(about.get("session", ""), 64))
    put(_EVENT + 128, "1024sH", _text(about.get("comment", ""), 1024), _VENUE)
    put(_VENUE, "64s", _text(about.get("venue", ""), 64))
    put(_VENUE + 1098, "H", _VEHICLE)
    put(_VEHICLE, "64s", _text(about.get("vehicle", ""), 64))
    return bytes(text)


def _text(text: str, n: int) -> bytes:
    """Return text as a field of n bytes, plain ASCII, with a zero at its end."""
    plain = text.replace("\N{DEGREE SIGN}", "deg").encode("ascii", "replace")
    return plain[: n - 1].ljust(n, b"\0")


def ldx_text(markers: Iterable[tuple[int, str]], t0_us: int, about: Mapping[str, str]) -> str:
    """Return the .ldx: markers in microseconds from the start, and details."""
    lines = [
        '<?xml version="1.0"?>',
        '<LDXFile Locale="English_United Kingdom.1252" Version="1.6">',
    ]
    lines += [
        " <Layers>",
        "  <Layer>",
        "   <MarkerBlock>",
        '    <MarkerGroup Name="Beacons" Index="3">',
    ]
    for t_us, name in markers:
        lines.append(
            f'     <Marker Version="100" ClassName="BCN" Name={quoteattr(name)}'
            f' Flags="77" Time="{t_us - t0_us}"/>'
        )
    lines += [
        "    </MarkerGroup>",
        "   </MarkerBlock>",
        "   <RangeBlock/>",
        "  </Layer>",
        "  <Details>",
    ]
    for key, value in sorted(about.items()):
        lines.append(f"   <String Id={quoteattr(key)} Value={quoteattr(value)}/>")
    return "\n".join([*lines, "  </Details>", " </Layers>", "</LDXFile>", ""])
