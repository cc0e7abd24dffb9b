"""One signal as a row of the signal table, worked out by hand from its place in the frame."""

from types import SimpleNamespace

import pytest

from slog import signal_table as st
from stagelog.dbc import Signal, load_database
from stagelog.events.signal_rows import signal_row


@pytest.fixture
def row_of(tmp_path):
    """Return a function that makes the row of a signal of a DBC, by its columns' names."""

    def make(place, numbers="(1,0)", rule=None, rest=None, limits="[0|0]"):
        path = tmp_path / "x.dbc"
        text = f'VERSION ""\nBS_:\nBU_: E\nBO_ 256 M: 8 E\n SG_ S : {place} {numbers} '
        path.write_text(f'{text}{limits} "u" E\n')
        (signal,) = load_database(path).messages[0].signals
        return signal_row(signal, 4, rule, (2, 1), rest)

    return make


@pytest.mark.parametrize(
    ("place", "kind", "first", "step", "n", "shift"),
    [
        ("8|8@1+", st.U8, 1, 1, 1, 0),
        ("8|8@1-", st.ANY, 1, -1, 1, 0),  # no kind of its own: a signed byte
        ("16|16@1+", st.U16, 2, 1, 2, 0),
        ("16|16@1-", st.S16, 2, 1, 2, 0),
        ("4|12@1+", st.ANY, 1, -1, 2, 4),  # bits 4 to 15: high byte first, four bits too many
        ("6|4@1+", st.ANY, 1, -1, 2, 6),  # bits 6 to 9: two bytes
        ("3|12@0+", st.ANY, 0, 1, 2, 0),  # low half of byte 0, all of byte 1
        ("7|12@0+", st.ANY, 0, 1, 2, 4),  # byte 0, high half of byte 1
        ("17|3@0+", st.ANY, 2, 1, 2, 7),  # bits 1, 0 of byte 2 and bit 7 of byte 3
    ],
)
def test_where_the_bytes_are(row_of, place, kind, first, step, n, shift):
    assert row_of(place)[:6] == [4, kind, first, step, n, shift]


def test_what_the_signal_can_be(row_of):
    """0.5 degC a bit from -40 degC: -40..215 degC is 0..510, 15 degC/s is 30 a second, 3 in a
    tenth; 16 degC/s is 3.2, so 4. Stuck after 3 s: 30 steps. 10 and 20.4 degC are 100 and 120.8.
    """
    rule = SimpleNamespace(min=-40.0, max=215.0, max_step_per_s=16.0, stuck_s=3.0)
    row = row_of("0|10@1+", "(0.5,-40)", rule, (20.4, 10.0), limits="[0|50]")
    assert row[6:12] == [10, 0, 0, 510, 4, 30] and row[12:14] == [2, 1]
    assert row[14:] == [round(50 * 2**st.SCALE_BITS), -4000, 100, 120]


@pytest.mark.parametrize("limits", [{"minimum": -10}, {"maximum": 10}])
def test_one_limit_alone_is_none(limits):
    """KCD and ARXML may give a minimum without a maximum, or the other way round."""
    row = signal_row(Signal("S", 0, 10, **limits), 4, None, (-1, 0))
    assert row[8:10] == [-0x3FFFFFFF, 0x3FFFFFFF]


def test_limits_are_those_of_the_dbc_without_a_rule(row_of):
    """-10..10 at -0.5 a bit: 20 at the lower end, -20 at the upper one."""
    assert row_of("0|10@1-", "(-0.5,0)", limits="[-10|10]")[7:12] == [1, -20, 20, 0, 0]
    cap = 0x3FFFFFFF
    assert row_of("0|10@1-")[8:10] == [-cap, cap] and row_of("0|10@1-")[16:] == [-cap, cap]
