"""The data set of the benchmarks: a bus of 4,000 frames/s, 30 identifiers, 186 signals, made from
a seed.

Owns the making and the cache folder. Payloads are smooth physical curves with about one bit of
noise, so that compression is neither the best nor the worst case; layouts hold signed, Motorola,
scaled, multiplexed and 29-bit ones.
"""

import os
from pathlib import Path

import numpy as np

from stagelog.dbc import load_database
from stagelog.model import EXT, FRAME

SEED = 7
RATE_Hz = 4000
PERIODS_ms = [2] * 4 + [5] * 5 + [10] * 6 + [20] * 7 + [50] * 4 + [100] * 4
NAMES = (
    "Engine Gearbox WheelSpeed Imu Brake Steer Damper Throttle Lambda Temps Press Fuel "
    "Diff Gps1 Gps2 Ecu1 Ecu2 Pdm1 Pdm2 Dash Tyre1 Tyre2 Aero Clutch Lights Box Tpms Driver "
    "Diag MuxTemps"
).split()
UNITS = ["rpm", "km/h", "bar", "degC", "g", "deg", "V", "A", "%", "mm"]
WIDTHS = {
    4: [16, 16, 16, 16],
    5: [16, 16, 12, 12, 8],
    6: [16, 12, 12, 12, 8, 4],
    7: [12, 12, 10, 10, 8, 8, 4],
    8: [8, 8, 8, 8, 8, 8, 12, 4],
}
CACHE = Path(__file__).parents[2] / ".cache" / "bench"


def make_dbc(rng):
    """Return the DBC text."""
    lines = ['VERSION "1"', "", "BS_:", "", "BU_: ECU", ""]
    values = []
    for i, name in enumerate(NAMES):
        number = (0x18FEF100 + i) | 0x80000000 if i in (13, 28) else 0x100 + 0x10 * i
        lines.append(f"BO_ {number} {name}: 8 ECU")
        if name == "MuxTemps":
            lines.append(' SG_ Sel M : 0|8@1+ (1,0) [0|0] "" ECU')
            lines.append(' SG_ Count : 56|8@1+ (1,0) [0|0] "" ECU')
            for k in range(4):
                for j in range(3):
                    offset = -40 if j else 0
                    lines.append(
                        f' SG_ T{k}_{j} m{k} : {8 + 16 * j}|16@1- (0.1,{offset}) [0|0] "degC" ECU'
                    )
            continue
        at = 0
        for j, width in enumerate(rng.permutation(WIDTHS[4 + i % 5]).tolist()):
            is_motorola = i % 3 == 2
            sign = "-" if (j + i) % 3 == 0 and width > 4 else "+"
            scale = [1, 0.1, 0.01, 0.25, 0.5, 0.001][(i + j) % 6] if width > 4 else 1
            offset = [0, 0, -40, 0, 100][(i * 3 + j) % 5] if width > 4 else 0
            start = (at // 8) * 8 + (7 - at % 8) if is_motorola else at
            layout = f"{start}|{width}@{0 if is_motorola else 1}{sign}"
            unit = UNITS[(i + j) % 10]
            lines.append(f' SG_ {name}_{j} : {layout} ({scale},{offset}) [0|0] "{unit}" ECU')
            if width == 4 and i % 2 == 0:
                texts = " ".join(f'{v} "St{v}"' for v in range(16))
                values.append(f"VAL_ {number} {name}_{j} {texts} ;")
            at += width
    return "\n".join([*lines, "", *values, ""])


def smooth(rng, n, rate_Hz, width, is_signed):
    """Return n raw integers of a bounded curve with one bit of noise."""
    t_s = np.arange(n) / rate_Hz
    span = (1 << width) - 1
    f_Hz = rng.uniform(0.02, 2.0)
    curve = 0.5 + 0.3 * np.sin(2 * np.pi * f_Hz * t_s + rng.random() * 6)
    curve += 0.12 * np.sin(2 * np.pi * f_Hz * 3.7 * t_s) + rng.normal(0, 1 / max(span, 200), n)
    raw = np.clip(np.rint(curve * span), 0, span).astype(np.int64)
    return raw - (span + 1) // 2 if is_signed else raw


def make_frames(database, n_frames, rng):
    """Return a FRAME table of n_frames, all messages at their rates, in order of time."""
    rates = np.array([1000 / p for p in PERIODS_ms])
    rates *= RATE_Hz / rates.sum()
    by_name = {m.name: m for m in database.messages}
    t, source = [], []
    for k, rate in enumerate(rates):
        n = int(n_frames / RATE_Hz * rate) + 2
        t_us = (np.arange(n) / rate + rng.random() / rate) * 1e6 + rng.normal(0, 30, n)
        t.append(np.maximum(t_us, 0).astype(np.int64))
        source.append(np.full(n, k, np.uint8))
    t, source = np.concatenate(t), np.concatenate(source)
    order = np.argsort(t, kind="stable")[:n_frames]
    frames = np.zeros(len(order), FRAME)
    source = source[order]
    frames["t_us"], frames["dlc"], frames["n_bytes"] = t[order], 8, 8
    words = np.zeros(len(order), np.uint64)
    for k, name in enumerate(NAMES):
        message = by_name[name]
        rows = np.flatnonzero(source == k)
        frames["can_id"][rows] = message.can_id
        frames["flags"][rows] = EXT if message.is_ext else 0
        words[rows] = payloads(message, len(rows), rates[k], rng)
    frames["data"] = words.view(np.uint8).reshape(-1, 8)
    return frames


def payloads(message, n, rate_Hz, rng):
    """Return n payloads of a message as little-endian words."""
    intel, motorola = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    selector = np.arange(n) % 4
    for signal in message.signals:
        if signal.is_selector:
            raw = selector.astype(np.int64)
        elif signal.name == "Count":
            raw = np.arange(n) % 256
        else:
            raw = smooth(rng, n, rate_Hz, signal.length, signal.is_signed)
        raw = raw.astype(np.uint64) & np.uint64((1 << signal.length) - 1)
        if signal.selector:
            raw = np.where(selector == signal.selector_ranges[0][0], raw, np.uint64(0))
        if signal.is_motorola:
            first = (signal.start // 8) * 8 + 7 - signal.start % 8
            motorola |= raw << np.uint64(64 - first - signal.length)
        else:
            intel |= raw << np.uint64(signal.start)
    return intel | motorola.byteswap()


def load(n_frames=5_000_000):
    """Return (database, frames) from the cache folder, made first if they are not there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    dbc, table = CACHE / "race.dbc", CACHE / f"frames_{n_frames}.npy"
    text = make_dbc(rng)
    if not dbc.exists() or dbc.read_text() != text:
        part = dbc.with_name(f"{os.getpid()}-{dbc.name}")
        part.write_text(text)
        part.replace(dbc)
    database = load_database(dbc)
    if not table.exists():
        part = table.with_name(f"{os.getpid()}-{table.name}")
        with open(part, "wb") as file:
            np.save(file, make_frames(database, n_frames, rng))
        part.replace(table)
    return database, np.load(table)
