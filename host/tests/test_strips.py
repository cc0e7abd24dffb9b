"""The picture never hides a spike."""

import numpy as np

from stagelog.report.strips import Trace, envelope, save_strips


def test_envelope_keeps_every_bins_extremes():
    rng = np.random.default_rng(5)
    t_us = np.cumsum(rng.integers(1, 2000, 100_000)).astype(np.int64)
    values = rng.normal(size=100_000)
    values[41_234] = 99.0
    values[77_777] = -99.0
    t_kept, kept = envelope(t_us, values, t_us[0], t_us[-1], 500)
    assert len(kept) <= 1000
    assert kept.max() == 99.0 and kept.min() == -99.0
    assert np.all(np.diff(t_kept) > 0)
    edges = np.linspace(t_us[0], t_us[-1], 501)
    whole = np.searchsorted(t_us, edges[:-1])
    thin = np.searchsorted(t_kept, edges[:-1])
    assert np.array_equal(np.maximum.reduceat(values, whole), np.maximum.reduceat(kept, thin))


def test_picture_is_written(tmp_path):
    t_us = np.arange(0, 10_000_000, 1000)
    path = tmp_path / "strips.png"
    save_strips(path, [[Trace("speed", "km/h", t_us, np.sin(t_us / 1e6))], []], "a stage")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
