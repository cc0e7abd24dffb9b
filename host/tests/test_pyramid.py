"""No level of a channel hides a spike."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stagelog.report.pyramid import EMPTY, TOP, build_channel, unpack_level


def phys(channel, level):
    low, high = unpack_level(level)
    empty = low == EMPTY
    low = np.where(empty, np.nan, channel["lo"] + low * channel["step"])
    return low, np.where(empty, np.nan, channel["lo"] + high * channel["step"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30_000), st.integers(1, 5_000))
def test_every_sample_lies_in_the_envelope_of_every_level(seed, n, longest_us):
    rng = np.random.default_rng(seed)
    t_us = np.cumsum(rng.integers(1, longest_us + 1, n)).astype(np.int64)
    values = rng.normal(size=n) * 10.0 ** rng.integers(-3, 4)
    values[rng.integers(0, n)] *= 1000
    start, end = int(t_us[0]) - 7, int(t_us[-1]) + 11
    channel = build_channel(t_us, values, start, end)
    slack = 1e-9 * (abs(channel["lo"]) + channel["step"] * 65535)
    for level in channel["levels"]:
        low, high = phys(channel, level)
        bins = (t_us - start) // (channel["bin_us"] * level["k"])
        assert np.all(low[bins] <= values + slack) and np.all(values - slack <= high[bins])
    assert channel["levels"][-1]["n"] <= TOP


def test_bins_without_samples_are_empty():
    t_us = np.concatenate((np.arange(0, 1_000_000, 100), np.arange(5_000_000, 6_000_000, 100)))
    channel = build_channel(t_us, np.ones(len(t_us)), 0, 6_000_000)
    low, _ = phys(channel, channel["levels"][0])
    middle = slice(int(1_100_000 // channel["bin_us"]), int(4_900_000 // channel["bin_us"]))
    assert np.isnan(low[middle]).all() and np.isfinite(low[: middle.start // 2]).all()


def test_twenty_channels_of_a_million_samples_of_noise_fit_a_page():
    n = 1_000_000
    noise = np.random.default_rng(3).normal(size=n)
    channel = build_channel(np.arange(n) * 1000, noise, 0, n * 1000)
    page_and_script = 150_000
    assert 20 * len(json.dumps(channel)) + page_and_script < 7_000_000


def test_nan_and_nothing_are_no_samples():
    t_us = np.arange(10) * 1000
    values = np.full(10, np.nan)
    low, _ = phys(*(lambda c: (c, c["levels"][0]))(build_channel(t_us, values, 0, 10_000)))
    assert np.isnan(low).all()
