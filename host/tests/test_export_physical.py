"""Physical values for texts: all digits where float64, which has 53 bits, would lose some.

2**53 + 1 = 9,007,199,254,740,993 is the first whole number that float64 does not have.
"""

import math

import numpy as np
import pytest

from stagelog.dbc import load_database
from stagelog.export.physical import physical

ODD = 2**53 + 1


@pytest.fixture
def signal_of(tmp_path):
    def make(n_bits, factor="(1,0)", sign="+", is_float=False):
        lines = [
            "BS_:",
            "BU_: E",
            "BO_ 1 M: 8 E",
            f' SG_ S : 0|{n_bits}@1{sign} {factor} [0|0] "" E',
        ]
        lines += ["SIG_VALTYPE_ 1 S : 2;"] if is_float else []
        (tmp_path / "x.dbc").write_text('VERSION ""\n' + "\n".join(lines) + "\n")
        return load_database(tmp_path / "x.dbc").message("M").signals[0]

    return make


@pytest.mark.parametrize("n_bits", [54, 64])
def test_whole_numbers_beyond_53_bits_keep_all_digits(signal_of, n_bits):
    raw = np.array([0, ODD], np.uint64)
    for factor, wanted in (("(1,0)", [0, ODD]), ("(3,-1)", [-1, 3 * ODD - 1])):
        values = physical(raw, signal_of(n_bits, factor))
        assert not isinstance(values, np.ndarray) and list(values) == wanted


def test_53_bits_and_fractions_are_float64(signal_of):
    for signal, raw, wanted in (
        (signal_of(53), 2**53 - 1, 2.0**53 - 1),
        (signal_of(64, "(0.5,0)"), 3, 1.5),
        (signal_of(64, "(1,0.25)"), 3, 3.25),
    ):
        values = physical(np.array([raw], np.uint64), signal)
        assert isinstance(values, np.ndarray) and values.dtype == np.float64
        assert values[0] == wanted


def test_a_float_of_64_bits_stays_one(signal_of):
    values = physical(np.array([1.5, math.nan]), signal_of(64, sign="-", is_float=True))
    assert isinstance(values, np.ndarray) and values[0] == 1.5 and math.isnan(values[1])
