"""The firmware of a slot: what goes in, what is left out, and that it fits the board."""

import ast

import pytest

from slog import messages as m
from stagelog.flash.build import FlashError, _compile, arch_of, build_app, pack_app
from stagelog.flash.shrink import shrink

MPY_ARMV6M = 4870  # sys.implementation._mpy of a Pico, MicroPython 1.25 to 1.29
MOST_BYTES = 96_000  # of a slot: a second of boot, and what the heap can take


@pytest.fixture(scope="module")
def app():
    return build_app("pico_mcp2515", arch_of(MPY_ARMV6M))


def test_holds_what_the_board_imports_and_no_more(app):
    assert {"start.mpy", "boards/pico_mcp2515.mpy", "drivers/rp2_hot.mpy"} <= set(app.modules)
    assert {"logger/events.mpy", "logger/airborne.mpy"} <= set(app.modules), "loaded by a function"
    assert not [path for path in app.modules if "clock" in path or "test" in path]


def test_fits_the_board(app):
    assert len(app.content) < MOST_BYTES


def test_is_the_same_every_time(app):
    assert build_app("pico_mcp2515", "armv6m").sha256 == app.sha256
    compiled = [_compile.__wrapped__("a.py", "x = 1\n", "armv6m") for _ in range(2)]
    assert compiled[0] == compiled[1]


def test_an_older_format_is_refused():
    with pytest.raises(FlashError, match="format 6.1 for chip 4.*MicroPython 1.25"):
        arch_of(6 | 1 << 8 | 4 << 10)


def test_an_unknown_chip_is_refused():
    with pytest.raises(FlashError, match="chip 63"):
        arch_of(6 | 3 << 8 | 63 << 10)


def test_an_unknown_board_is_named():
    with pytest.raises(FlashError, match="'toaster'; known: .*pico_mcp2515"):
        build_app("toaster", "armv6m")


def test_the_index_leads_to_the_contents():
    content = pack_app({"start.py": b"12", "a/b.py": b"345"})
    n = int.from_bytes(content[32:34], "little")
    assert content[34 : 34 + n] == b"a 0\nstart.py 2\na/b.py 3"
    assert content[34 + n :] == b"12345"


def test_constants_are_put_where_they_are_used():
    small = shrink(
        {
            "slog.layout": "BUS_OFF = const(4)\nMETA_DLC = const(15)\n",
            "logger.x": "from slog.layout import BUS_OFF\nfrom slog import layout as la\n"
            "def f(state):\n    return state == BUS_OFF, la.META_DLC\n",
        }
    )
    assert small["slog.layout"].strip() == ""
    assert "return (state == 4, 15)" in small["logger.x"] and "BUS_OFF" not in small["logger.x"]


def test_what_nobody_uses_is_left_out_of_the_contract_only():
    sources = {
        "slog.events": "USED = (1,)\nUNUSED = {1: 'text'}\ndef unused():\n    return UNUSED\n",
        "logger.app": "from slog.events import USED\nOWN = 1\nprint(USED)\n",
    }
    small = shrink(sources)
    assert "unused" not in small["slog.events"].lower() and "USED" in small["slog.events"]
    assert "OWN = 1" in small["logger.app"]


def test_the_contract_hash_is_computed_here():
    with open(m.__file__) as file:
        small = shrink(
            {
                "slog.messages": file.read(),
                "logger.x": "from slog import messages as m\nm.contract_hash()\n",
            }
        )
    assert repr(m.contract_hash()) in small["slog.messages"]
    ast.parse(small["slog.messages"])


def test_descriptions_are_emptied_and_names_kept():
    source = "TABLE = (('n', 'B', '', 'frames'), ('t', 'I', 'us', 'time'))\n"
    small = shrink({"slog.layout": source, "logger.x": "from slog.layout import TABLE\nTABLE\n"})
    assert ast.literal_eval(ast.parse(small["slog.layout"]).body[0].value) == (
        ("n", "B", "", ""),
        ("t", "I", "us", ""),
    )
