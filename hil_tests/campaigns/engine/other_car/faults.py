"""Sensors that fail in a drive: what comes on the bus from SINCE_s on."""

import numpy as np

from campaigns.engine.other_car.frames import START_us
from stagelog.model import FrameTable

SINCE_s = 15.0
_ACC, _GYRO, _DAMPERS, _WHEELS = 0x80, 0x81, 0x90, 0xA0
_SNA = 0xFFFF


def apply(fault: str, frames: FrameTable, seed: int) -> FrameTable:
    """Return frames with a fault of FAULTS."""
    frames = frames.copy()
    late = frames["t_us"] >= START_us + SINCE_s * 1e6
    rng = np.random.default_rng([seed, 11])
    keep = _MAKERS[fault](frames, late, rng)
    return frames if keep is None else frames[keep]


def _words(frames, rows):
    """Return the four words of 16 bits of some rows, as a copy [n, 4]."""
    return frames["data"][rows].copy().view("<u2")


def _put(frames, rows, words):
    frames["data"][rows] = words.view(np.uint8)


def _of(frames, late, can_id):
    return np.flatnonzero(late & (frames["can_id"] == can_id))


def _not_available(can_id, columns):
    def change(frames, late, rng):
        rows = _of(frames, late, can_id)
        words = _words(frames, rows)
        words[:, list(columns)] = _SNA
        _put(frames, rows, words)

    return change


def _not_sent(*can_ids):
    def change(frames, late, rng):
        return ~(late & np.isin(frames["can_id"], can_ids))

    return change


def _stuck(can_id, columns):
    def change(frames, late, rng):
        rows = _of(frames, late, can_id)
        words = _words(frames, rows)
        words[:, list(columns)] = words[:1, list(columns)]
        _put(frames, rows, words)

    return change


def _damper_noisy(frames, late, rng):
    """One damper's potentiometer is worn: jumps of some centimetres, many a second."""
    rows = _of(frames, late, _DAMPERS)
    words = _words(frames, rows)
    jumps = rng.normal(0, 3000, len(rows)) * (rng.uniform(size=len(rows)) < 0.2)
    words[:, 2] = np.clip(words[:, 2].astype(int) + jumps.astype(int), 0, 34000)
    _put(frames, rows, words)


def _damper_garbage(frames, late, rng):
    """Two in a hundred frames of the dampers are anything."""
    rows = _of(frames, late, _DAMPERS)
    rows = rows[rng.uniform(size=len(rows)) < 0.02]
    _put(frames, rows, rng.integers(0, 0x10000, (len(rows), 4)).astype("<u2"))


def _imu_fault(frames, late, rng):
    """The IMU says "Fault", its values "not available"."""
    rows = _of(frames, late, _ACC)
    words = _words(frames, rows)
    words[:, :3] = 0x8000
    words[:, 3] = (words[:, 3] & 0xF1FF) | (3 << 9)
    _put(frames, rows, words)
    rows = _of(frames, late, _GYRO)
    words = _words(frames, rows)
    words[:, :3] = 0x8000
    _put(frames, rows, words)


def _imu_frozen(frames, late, rng):
    """The IMU repeats its last values; its counters go on."""
    _stuck(_ACC, (0, 1, 2))(frames, late, rng)
    _stuck(_GYRO, (0, 1, 2))(frames, late, rng)


_MAKERS = {
    "damper_gone": _not_available(_DAMPERS, (0,)),
    "damper_stuck": _stuck(_DAMPERS, (3,)),
    "damper_noisy": _damper_noisy,
    "damper_garbage": _damper_garbage,
    "dampers_two_gone": _not_available(_DAMPERS, (1, 2)),
    "dampers_all_gone": _not_sent(_DAMPERS),
    "wheel_gone": _not_available(_WHEELS, (1,)),
    "wheels_gone": _not_sent(_WHEELS),
    "gyro_gone": _not_sent(_GYRO),
    "imu_gone": _not_sent(_ACC, _GYRO),
    "imu_fault": _imu_fault,
    "imu_frozen": _imu_frozen,
}
FAULTS = tuple(_MAKERS)
