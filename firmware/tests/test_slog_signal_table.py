"""What a logger takes for a signal table: the example of the layout in bytes, and all that is
damaged, cut, of another version or of other columns.
"""

import io
import struct
import zlib

import pytest
from hand_table import Car

from slog import signal_table as st

TABLE = Car(2, alarms=[{"signal": 0, "warning": 100}]).data
NOW = st.VERSION
SIZES = {1: 7, 2: 18, 3: 4, 4: 5, 5: 19, 6: 3, 7: 1, 8: 1, 9: 1, 10: 1}  # columns by section


def table_of(sections, version=NOW, bus=1, magic=b"SLST", n_sections=None):
    """Return the bytes of a table from [(tag, columns, rows, values)], written by hand."""
    n = len(sections) if n_sections is None else n_sections
    body = magic + struct.pack("<BBH", version, bus, n)
    for tag, n_columns, n_rows, values in sections:
        body += struct.pack("<BBH", tag, n_columns, n_rows)
        body += struct.pack(f"<{len(values)}i", *values)
    return body + struct.pack("<I", zlib.crc32(body))


def every_section(**changes):
    """Return a section of two rows for each tag; `t3` replaces that of tag 3."""
    made = [(t, n, 2, [100 * t - i for i in range(2 * n)]) for t, n in SIZES.items()]
    return [changes.get(f"t{section[0]}", section) for section in made]


def test_the_numbers_in_a_table_are_those_that_tables_were_written_with():
    """Roles by number: accelerations and rates 0 to 5, four dampers, four wheels.. two axles each
    of differential and slip. Kinds of signal, sources of a gate, kinds of alarm, sections.
    """
    assert (st.ACC_X, st.ACC_Y, st.ACC_Z, st.RATE_X, st.RATE_Y, st.RATE_Z) == (0, 1, 2, 3, 4, 5)
    assert (st.DAMPER, st.WHEEL, st.FLIGHT_STATE, st.RPM, st.PEDAL, st.GEAR) == (
        6,
        10,
        *range(14, 18),
    )
    assert (st.FUEL_USED, st.LEVEL, st.DIFF, st.SLIP, st.OUT_TORQUE) == (18, 19, 21, 23, 25)
    assert (st.AMBIENT, st.HANDBRAKE, st.ACKNOWLEDGE, st.N_ROLES) == (26, 27, 28, 29)
    assert (st.ANY, st.U8, st.U16, st.S16) == (0, 1, 2, 3)
    assert (st.OF_SIGNAL, st.OF_SPEED, st.OF_AIRBORNE, st.OF_ENGINE) == (0, 1, 2, 3)
    assert (st.ABOVE, st.BELOW, st.RATE, st.TIME_TO_LIMIT) == (0, 1, 2, 3)
    assert (st.BELOW_TABLE, st.ABOVE_TABLE, st.FAN, st.DROP) == (4, 5, 6, 7)
    assert (st.DIFFERENCE, st.COOLER, st.SCALE_BITS) == (8, 9, 14)
    assert (st.SLOTS, st.SIGNALS, st.ROLES, st.GATES, st.ALARMS) == (1, 2, 3, 4, 5)
    assert (st.POINTS, st.FLIGHT, st.FUEL, st.HEAT, st.WATCH) == (6, 7, 8, 9, 10)


def test_a_table_is_read_as_it_was_written():
    bus, sections = st.load(table_of(every_section()))
    assert bus == 1 and sorted(sections) == list(SIZES)
    for tag, n in SIZES.items():
        assert list(sections[tag]) == [100 * tag - i for i in range(2 * n)]


def test_it_is_packed_as_it_is_drawn():
    rows = {
        tag: [[100 * tag - i - k * n for i in range(n)] for k in (0, 1)]
        for tag, n in SIZES.items()
    }
    assert st.pack(1, rows) == table_of(every_section())


BAD = {
    "another mark": (table_of(every_section(), magic=b"SLSU"), "not a signal table"),
    "an older version": (
        table_of(every_section(), version=NOW - 1),
        f"version {NOW - 1}, wanted {NOW}",
    ),
    "a newer version": (
        table_of(every_section(), version=NOW + 1),
        f"version {NOW + 1}, wanted {NOW}",
    ),
    "a column more": (table_of(every_section(t3=(3, 5, 1, [0] * 5))), "section 3 has 5 columns"),
    "a column less": (table_of(every_section(t3=(3, 3, 1, [0] * 3))), "section 3 has 3 columns"),
    "section 0": (table_of(every_section(t1=(0, 7, 0, []))), "section 0 has"),
    "section 11": (table_of(every_section(t1=(11, 7, 0, []))), "section 11 has"),
    "a section missing": (table_of(every_section()[:-1]), "section 10 is missing"),
    "more rows than bytes": (table_of(every_section(t10=(10, 1, 900, [1]))), "900 rows"),
    "a row more": (table_of(every_section(t10=(10, 1, 3, [1, 2]))), "3 rows"),
    "a row less": (table_of(every_section(t10=(10, 1, 1, [1, 2]))), "CRC"),
    "sections that are not there": (table_of(every_section(), n_sections=11), "section 10"),
    "a section too many": (table_of(every_section(), n_sections=9), "CRC"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_table_that_is_none_is_refused_with_its_reason(what):
    data, text = BAD[what]
    with pytest.raises(st.TableError, match=text):
        st.load(data)


def test_a_table_cut_anywhere_is_refused():
    """Whether the length is that of the file, or of the whole table."""
    for n in range(len(TABLE)):
        for file, length in ((TABLE[:n], n), (TABLE[:n], len(TABLE)), (TABLE, n)):
            with pytest.raises(st.TableError):
                st.read(io.BytesIO(file), length)


def test_a_wrong_bit_anywhere_is_noticed():
    for at in range(len(TABLE)):
        with pytest.raises(st.TableError):
            st.load(TABLE[:at] + bytes((TABLE[at] ^ 1,)) + TABLE[at + 1 :])


def test_what_follows_a_table_in_its_file_is_not_read():
    file = io.BytesIO(TABLE + b"more")
    st.read(file, len(TABLE))
    assert file.read() == b"more"
    with pytest.raises(st.TableError):
        st.load(TABLE + b"more")


def test_values_have_their_names_and_their_numbers():
    named = st.named([7, 8, 9], ("a", "b"))
    assert (named["a"], named["b"], named[0], named[1]) == (7, 8, 7, 8)
    st.named([7, 8], ("a", "b"))
    with pytest.raises(st.TableError, match="1 values, wanted 2"):
        st.named([7], ("a", "b"))
