"""The simple detectors that others use, on the same accelerations: the peers of the score table.

Rules as published (domain notes 4.1), at 100 Hz on what the IMU reads, without any correction.
"""

import numpy as np

G_ms2 = 9.80665
RATE_Hz = 100


def acceleration(frames, can_id=0x80, scale=0.005):
    """Return (t_s, acc [n, 3] m/s^2) of the IMU's message."""
    rows = frames[frames["can_id"] == can_id]
    raw = rows["data"][:, :6].copy().view("<i2").reshape(-1, 3)
    return rows["t_us"] / 1e6, raw * scale


def _runs(t, low, confirm_s, shortest_s=0.0):
    """Return (onset, end, confirmed) of runs of True that last confirm_s."""
    edge = np.flatnonzero(np.diff(np.concatenate(([0], low.view(np.int8), [0]))))
    found = []
    for a, b in edge.reshape(-1, 2):
        end = t[min(b, len(t) - 1)]
        if end - t[a] >= max(confirm_s, shortest_s):
            found.append((t[a], end, t[a] + confirm_s))
    return found


def free_fall(t, acc):
    """ADXL345 FREE_FALL: every axis below 0.4 g for 100 ms."""
    return _runs(t, (np.abs(acc) < 0.4 * G_ms2).all(axis=1), 0.1)


def px4(t, acc):
    """PX4 MulticopterLandDetector: |a| below 2 m/s^2 for 300 ms."""
    return _runs(t, np.linalg.norm(acc, axis=1) < 2.0, 0.3)


def ardupilot(t, acc):
    """ArduCopter throw mode: |a| below 1 g and falling, confirmed by 2.5 m/s within 0.5 s."""
    low = (np.linalg.norm(acc, axis=1) < G_ms2) & (acc[:, 2] < 0.75 * G_ms2)
    edge = np.flatnonzero(np.diff(np.concatenate(([0], low.view(np.int8), [0]))))
    found = []
    for a, b in edge.reshape(-1, 2):
        speed = np.cumsum(G_ms2 - acc[a:b, 2]) / RATE_Hz
        part = speed[: RATE_Hz // 2]
        if (part >= 2.5).any():
            at = a + int(np.argmax(part >= 2.5))
            found.append((t[a], t[min(b, len(t) - 1)], t[at]))
    return found


def mountain_bike(t, acc):
    """A jump app: z below 2 m/s^2, at least 150 ms, then a peak above 15 m/s^2."""
    found = []
    for onset, end, confirmed in _runs(t, acc[:, 2] < 2.0, 0.15):
        after = (t >= end) & (t < end + 0.5)
        if (acc[after, 2] > 15.0).any():
            found.append((onset, end, confirmed))
    return found


PEERS = {
    "free fall (ADXL345)": free_fall,
    "PX4 free fall": px4,
    "ArduPilot throw": ardupilot,
    "jump app": mountain_bike,
}
