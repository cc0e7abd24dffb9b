"""Make the golden files of format version 2, which the host writes and no logger: CAN FD.

    .venv/bin/python firmware/tests/golden/make_v2.py

    v2_session.slog      classic frames, remote requests and CAN FD of every length, two buses
    v2_frames.csv        what a reader must find in it: t_us, bus, id, flags, dlc, data

Deterministic: a test makes them anew and compares.
"""

from pathlib import Path

import numpy as np

from stagelog.blocks import Identity, pack_session
from stagelog.model import BRS, ESI, EXT, FD, FRAME_FD, RTR

HERE = Path(__file__).parent
LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # ISO 11898-1, by dlc code
N_FRAMES = 300


def frames():
    """Return (t_us, bus, id, flags, dlc, payload) of each frame."""
    rows = []
    for k in range(N_FRAMES):
        t_us = (1 << 28) - 20_000 + 400 * k  # the low 28 bits start anew within the session
        is_long = k % 3 == 1
        flags = EXT * is_long
        can_id = 0x1FFFFFFF - k if is_long else 0x7FF - k
        if k % 8 == 5:
            rows.append((t_us, k % 2, can_id, flags | RTR, k % 9, b""))
            continue
        if k % 4 == 3:
            code = k % 9
        else:
            flags |= FD | BRS * (k % 2) | ESI * (k // 2 % 2)
            code = k * 7 % 16
        rows.append(
            (
                t_us,
                k % 2,
                can_id,
                flags,
                code,
                bytes((k + 3 * i) & 255 or 1 for i in range(LENGTHS[code])),
            )
        )
    return rows


def build():
    """Return {file name: bytes} of both files."""
    rows = frames()
    table = np.zeros(len(rows), FRAME_FD)
    for row, (t_us, bus, can_id, flags, dlc, payload) in zip(table, rows, strict=True):
        row["t_us"], row["bus"], row["can_id"], row["flags"] = t_us, bus, can_id, flags
        row["dlc"], row["n_bytes"] = dlc, len(payload)
        row["data"][: len(payload)] = np.frombuffer(payload, np.uint8)
    blocks = pack_session(table, Identity("e66038b7130f2e29", 2, 0x5EED0003))
    lines = ["t_us,bus,can_id,flags,dlc,data\n"]
    for t_us, bus, can_id, flags, dlc, payload in rows:
        lines.append(f"{t_us},{bus},{can_id:X},{flags},{dlc},{payload.hex()}\n")
    return {"v2_session.slog": blocks.tobytes(), "v2_frames.csv": "".join(lines).encode()}


def main():
    """Write the files beside this script."""
    for name, content in build().items():
        (HERE / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
