"""An archive of small sessions, made by hand: two messages with counted-up values."""

import numpy as np

from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.dbc import load_database
from stagelog.model import FRAME

T0_UNIX_US = 1_790_000_000_000_000
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ ({scale},0) [0|0] "rpm" ECU
 SG_ OilTemp : 16|8@1- (0.1,-40) [0|0] "degC" ECU
 SG_ Count : 24|8@1+ (1,0) [0|0] "" ECU
 SG_ AirTemp : 16|8@1+ (1,-40) [0|0] "degC" ECU
BO_ 257 Box: 8 ECU
 SG_ Sel M : 0|8@1+ (1,0) [0|0] "" ECU
 SG_ GearTemp m1 : 8|16@1+ (0.01,0) [0|0] "degC" ECU
"""


def load_dbc(folder, scale=0.25):
    """Return the database of these messages, from a file in `folder`."""
    path = folder / "car.dbc"
    path.write_text(DBC.format(scale=scale))
    return load_database(path)


def frames_of(n, start):
    """Return `n` frames, one a millisecond, Engine and Box in turn; raw values from `start` on."""
    frames = np.zeros(n, FRAME)
    frames["t_us"] = 1000 * np.arange(n) + 500
    frames["can_id"] = np.where(np.arange(n) % 2, 257, 256)
    frames["dlc"] = frames["n_bytes"] = 8
    raw = start + np.arange(n)
    frames["data"][:, 0] = np.where(np.arange(n) % 2, np.arange(n) // 2 % 2, raw & 0xFF)
    frames["data"][:, 1] = raw >> 8
    frames["data"][:, 2] = raw & 0x7F
    return frames


def store(root, folder, car, stage, number, has_clock=True, n=400):
    """Put session `number` of a car's stage into the archive `root` by way of a file in `folder`;
    return its Entry.
    """
    frames = frames_of(n, 1000 * number)
    anchors = [(0, T0_UNIX_US + number * 10**9)] if has_clock else []
    path = folder / f"{number}.slog"
    identity = Identity("ab" * 8, number + 1, number)
    path.write_bytes(pack_session(frames, identity, anchors=anchors).tobytes())
    place = stage_folder(root, "DAKAR26", car, stage)
    place.mkdir(parents=True, exist_ok=True)
    log = read_log(path)
    return store_session(log, log.session(), place)
