"""Numbers that logs store for ever, and those that two modules agree on: each stands in one place.

Expected values are those of firmware/SPEC.md, in the descriptions of the META records.
"""

import ast
import re
import struct
from pathlib import Path

import pytest

from detectors import watch
from drivers import fd_ring
from logger import ring
from slog import block, layout

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {
    "GAP": ("RING_FULL", "CONTROLLER", "CARD", "COPIED"),
    "ANCHOR": ("HOST", "GNSS", "RTC", "STAMPS", "HEADER"),
    "HASH": ("SETTINGS", "SIGNALS", "FIRMWARE"),
    "HEALTH": ("RING_WORST", "WRITE_WORST"),
    "END": ("ASKED",),
}
OF_WRITES = ("WRITE_DONE", "WRITE_BUSY", "ERROR_REJECTED", "ERROR_TIMEOUT", "ERROR_ABSENT")


def test_args_of_records_count_from_one():
    for group, names in NUMBERS.items():
        found = [getattr(layout, f"{group}_{name}") for name in names]
        assert found == list(range(1, len(names) + 1)), group
    assert layout.GAP_AT_LEAST == (2,)


def test_results_of_a_write_are_all_different():
    """A write that is done or goes on is not negative, an error is."""
    results = [getattr(layout, name) for name in (*OF_WRITES, "ERROR_READ_ONLY")]
    assert results == [0, 1, -1, -2, -3, -4]


def test_each_number_stands_in_one_place():
    names = [f"{group}_{name}" for group, each in NUMBERS.items() for name in each]
    written = re.compile(rf"^_?({'|'.join((*names, *OF_WRITES))}) = (const\()?-?\d", re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("firmware", "host/stagelog", "hil_tests/campaigns/engine")
        for path in (ROOT / folder).rglob("*.py")
        if written.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"firmware/slog/layout.py"}


def test_the_assembler_has_the_words_of_the_ring_and_the_bytes_of_the_header():
    """It takes numbers of its own module only: `_S_HEAD` there is `logger.ring.HEAD`."""
    text = (ROOT / "firmware/drivers/rp2_receive.py").read_text(encoding="utf-8")
    found = {name: int(n) for name, n in re.findall(r"^(_[SB]_\w+) = const\((\d+)\)", text, re.M)}
    header = layout.offsets(layout.BLOCK_HEADER)
    words = {name: n for name, n in found.items() if name.startswith("_S_")}
    assert len(words) == 11 and len(found) == 17
    assert words == {name: getattr(ring, name.removeprefix("_S_")) for name in words}
    fields = {"_B_N_RECORDS": "n_records", "_B_T0_LO": "t0_lo", "_B_T0_HI": "t0_hi"}
    fields |= {"_B_STORED": "stored0", "_B_DROPPED": "dropped0", "_B_AT_LEAST": "at_least0"}
    assert {name: n for name, n in found.items() if name.startswith("_B_")} == {
        name: header[field] for name, field in fields.items()
    }
    assert header["stored1"] == header["stored0"] + 4 and header["dropped1"] == 48


def _literals(node):
    """Return the whole numbers from 4 on in an expression; smaller ones are places in tuples."""
    found = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
    return [each for each in found if isinstance(each, int) and each >= 4]


def _bare_offsets(tree):
    """Return (line, text) of each offset that is written as a number: of `unpack_from` and
    `pack_into`, and in slices.
    """
    found = []
    for node in ast.walk(tree):
        places = []
        if isinstance(node, ast.Call):
            if ast.unparse(node.func).split(".")[-1] in ("unpack_from", "pack_into"):
                places = node.args[2:3]
        elif isinstance(node, ast.Slice):
            places = [each for each in (node.lower, node.upper) if each is not None]
        if any(_literals(each) for each in places):
            found.append((node.lineno, ast.unparse(node)))
    return found


def test_an_offset_as_a_number_is_found():
    text = "a = unpack_from('<I', b, 28)\nc = struct.pack_into('<I', b, at + 8, 7)\nd = e[4:12]\n"
    text += "f = struct.unpack_from('<I', b, T0)\ng = e[:n]\nh = e[1:]\nunpack_from('<I', b, 44)"
    assert sorted(line for line, _ in _bare_offsets(ast.parse(text))) == [1, 2, 3, 7]


@pytest.mark.parametrize("folder", ["logger", "slog"])
def test_offsets_have_names(folder):
    """A layout stands in one place: whoever reads bytes by hand takes the offset from there."""
    found = {
        path.name: bare
        for path in (ROOT / "firmware" / folder).glob("*.py")
        if (bare := _bare_offsets(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert not found


def test_the_fields_of_a_record_are_where_the_table_says():
    """SPEC.md, Records: two words of 4 bytes, then the payload."""
    assert block.RECORD_DATA == 8
    fields = layout.offsets(layout.RECORD)
    assert (fields["w0"], watch._TOP) == (0, 3), "the highest byte of w0"
    ids = (watch._ID, watch._ID1, watch._ID2, watch._KIND_BYTE)
    assert ids == tuple(fields["w1"] + n for n in range(4))
    assert watch._DATA == fields["data"] and watch._RECORD_BYTES == layout.RECORD_BYTES
    assert watch._FD == fd_ring._HEAD_DLC << 4 and watch._OTHER == fd_ring._MORE_DLC << 4
    assert watch._LOW + 1 == 2 * watch._HALF == 1 << layout.TIME_BITS
    assert layout.CRC_BYTES == struct.calcsize("<I")
    assert len(layout.SIGNATURE_MAGIC) == len(layout.RELEASE_MAGIC) == layout.MAGIC_BYTES
