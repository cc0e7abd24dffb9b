"""The picture never hides a spike, and says what it shows: names, units, seconds."""

import numpy as np
import pytest

from stagelog.errors import OutputError
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


def test_as_many_samples_as_points_stay_as_they_are():
    """Two bins are four points."""
    t_us, values = np.arange(4), np.array([0.0, 1.0, 2.0, 3.0])
    assert envelope(t_us, values, 0, 3, 2)[1].tolist() == [0, 1, 2, 3]
    t_us, values = np.arange(6), np.array([5.0, 6.0, 7.0, 1.0, 3.0, 2.0])
    t_kept, kept = envelope(t_us, values, 0, 6, 2)
    assert (t_kept.tolist(), kept.tolist()) == ([0, 2, 3, 4], [5, 7, 1, 3])


def test_picture_is_written(tmp_path, figures):
    """Times count in seconds from the first sample of any trace, here 2 s; an empty strip is none.

    20,000 samples of one, with one spike, on 1,600 pixels; it ends halfway.
    """
    t_us = 2_000_000 + np.arange(0, 10_000_000, 500)
    values = np.zeros(20_000)
    values[7_777] = 99.0
    late = Trace("EngSpd", "rpm", np.array([4_000_000, 22_000_000]), np.array([700.0, 900.0]))
    other = Trace("TrnInSpd", "rpm", np.array([5_000_000]), np.array([650.0]))
    path = tmp_path / "strips.png"
    save_strips(path, [[late, other], [], [Trace("WhlSpdFL", "km/h", t_us, values)]], "a stage")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    (figure,) = figures
    rpm, speed = figure.axes
    assert [line.get_xdata().tolist() for line in rpm.lines] == [[2.0, 20.0], [3.0]]
    assert [line.get_ydata().tolist() for line in rpm.lines] == [[700.0, 900.0], [650.0]]
    assert [text.get_text() for text in rpm.get_legend().get_texts()] == ["EngSpd", "TrnInSpd"]
    assert (rpm.get_ylabel(), speed.get_ylabel()) == ("rpm", "km/h")
    assert (rpm.get_title(loc="left"), speed.get_title(loc="left")) == ("a stage", "")
    assert (rpm.get_xlabel(), speed.get_xlabel()) == ("", "s")
    assert rpm.get_xlim() == speed.get_xlim() == (0.0, 20.0)
    (line,) = speed.lines
    x, y = line.get_data()
    assert y.max() == 99.0 and x[np.argmax(y)] == pytest.approx(7_777 * 0.0005)
    # 20 s on 1,600 pixels: the 10 s are on 800 of them, with at least one point each
    assert 800 <= len(x) <= 1600
    colours = [each.get_color() for each in rpm.lines]
    assert colours[0] != colours[1]


def test_a_picture_that_cannot_be_written_is_refused(tmp_path):
    trace = Trace("a", "", np.array([0, 1]), np.array([0.0, 1.0]))
    for name in ("x.nothing", "no/folder.png"):
        with pytest.raises(OutputError, match="x.nothing: Format|folder.png: No such file"):
            save_strips(tmp_path / name, [[trace]])
