"""Detectors read the signal table by names of its columns; the compiler folds the names away."""

import re

import pytest

from slog import signal_table as st
from stagelog.resources import firmware_path

# First letters of the constants of a section.
SECTIONS = {"A": st.ALARMS, "G": st.GATES, "P": st.POINTS, "S": st.SIGNALS, "M": st.SLOTS}
SECTIONS["R"] = st.ROLES
CONSTANT = re.compile(r"^_([AGPSMR])_(\w+) = const\((\d+)\)", re.M)
BARE = re.compile(r"(?:rows|row|slots|signals|points)\[[^\]]*[+-] \d+\]")


@pytest.mark.parametrize(
    ("module", "n"), [("alarms", 28), ("sensors", 16), ("watch", 18), ("body", 3)]
)
def test_the_names_of_columns_are_those_of_the_table(module, n):
    text = (firmware_path() / "detectors" / f"{module}.py").read_text()
    found = CONSTANT.findall(text)
    assert len(found) >= n
    for letter, name, number in found:
        columns = (*st.COLUMNS[SECTIONS[letter]], "columns")
        assert columns.index(name.lower()) == int(number), name


@pytest.mark.parametrize("module", ["alarms", "sensors", "watch", "body"])
def test_no_column_is_read_by_a_bare_number(module):
    text = (firmware_path() / "detectors" / f"{module}.py").read_text()
    assert not BARE.findall(text)
