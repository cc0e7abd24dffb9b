"""The firmware of a slot: what goes in, what is left out, and that it fits the board."""

import ast
import re

import pytest

from slog import block, signal_table
from slog import messages as m
from stagelog.errors import InputError
from stagelog.flash.build import FlashError, arch_of, build_app, compile_module, pack_app
from stagelog.flash.names import shorten
from stagelog.flash.shrink import shrink
from stagelog.resources import firmware_path

MPY_ARMV6M = 4870  # sys.implementation._mpy of a Pico, MicroPython 1.25 to 1.29
MOST_BYTES = 96_000  # of a slot: a second of boot, and what the heap can take


@pytest.fixture(scope="module")
def app():
    return build_app("pico_mcp2515", arch_of(MPY_ARMV6M))


@pytest.fixture(scope="module")
def modules():
    """The files of a readable build: one for each module."""
    return build_app("pico_mcp2515", "armv6m", readable=True).modules


def test_holds_what_the_board_imports_and_no_more(modules):
    assert {"start.mpy", "boards/pico_mcp2515.mpy", "drivers/rp2_hot.mpy"} <= set(modules)
    by_a_function = {"detectors/events.mpy", "detectors/airborne.mpy"}
    assert by_a_function <= set(modules)
    assert not [path for path in modules if "clock" in path or "test" in path]


def test_is_loaded_in_a_few_files(app):
    """Each file costs 10 ms of the start. What the board file imports from `boards`, in the order
    of its lines, and itself; the detectors and the update by card only where they are needed.
    """
    by_a_function = {"detectors/events.mpy", "slog/signal_table.mpy", "logger/card_update.mpy"}
    names = ["pico_card", "files", "rp2_board", "pico_mcp2515"]
    at_once = [f"boards/{name}.mpy" for name in names]
    assert set(app.modules) == {"start.mpy", *at_once, *by_a_function}


def test_fits_the_board(app):
    assert len(app.content) < MOST_BYTES


def test_compiles_for_the_chip_of_the_other_board():
    app = build_app("esp32_mcp2518fd", "xtensawin", readable=True)
    assert "detectors/alarms.mpy" in app.modules


def test_is_the_same_every_time(app):
    assert build_app.__wrapped__("pico_mcp2515", "armv6m").sha256 == app.sha256
    compiled = [compile_module.__wrapped__("a.py", "x = 1\n", "armv6m") for _ in range(2)]
    assert compiled[0] == compiled[1]


def test_an_older_format_is_refused():
    with pytest.raises(FlashError, match="format 6.1 for chip 4.*MicroPython 1.25"):
        arch_of(6 | 1 << 8 | 4 << 10)


def test_an_unknown_chip_is_refused():
    with pytest.raises(FlashError, match="chip 63"):
        arch_of(6 | 3 << 8 | 63 << 10)


@pytest.mark.parametrize("name", ["toaster", "pico_card", "rp2_board"])
def test_an_unknown_board_is_named(name):
    """The files of `boards` that start a logger are boards; the others are parts of them."""
    with pytest.raises(FlashError, match=f"'{name}'") as caught:
        build_app(name, "armv6m")
    esp32 = "esp32_mcp2518fd, esp32c3_mcp2518, esp32s3_mcp2518, pico2_mcp2518fd"
    assert (
        caught.value.hint
        == f"known: {esp32}, pico_mcp2515, pico_mcp2518fd, pico_pio, pico_pio_dual"
    )


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
            "def run(state):\n    return state == BUS_OFF, la.META_DLC\n",
        }
    )
    assert small["slog.layout"].strip() == ""
    assert "return (state == 4, 15)" in small["logger.x"] and "BUS_OFF" not in small["logger.x"]


def test_what_nobody_uses_is_left_out():
    sources = {
        "slog.events": "USED = (1,)\nUNUSED = {1: 'text'}\ndef unused():\n    return UNUSED\n",
        "logger.app": "from slog.events import USED\nclass App:\n    def step(self):\n"
        "        return USED\n    def never(self):\n        return 1\ndef run():\n"
        "    App().step()\n",
    }
    small = shrink(sources)
    assert "unused" not in small["slog.events"].lower() and "USED" in small["slog.events"]
    assert "step" in small["logger.app"] and "never" not in small["logger.app"]


def test_a_function_of_the_same_name_elsewhere_keeps_none():
    sources = {
        "slog.a": "def pack(x):\n    return x\n",
        "logger.b": "from slog import c\ndef run():\n    return c.pack(1)\n",
        "slog.c": "def pack(x):\n    return -x\n",
    }
    small = shrink(sources)
    assert "pack" not in small["slog.a"] and "pack" in small["slog.c"]


def test_what_the_contract_computes_is_a_number():
    with open(block.__file__) as file:
        source = file.read()
    user = "from slog.block import N_RECORDS, seal\ndef run(b):\n    return seal(b), N_RECORDS\n"
    small = shrink({"slog.block": source, "logger.x": user})
    assert f"seal(b), {block.N_RECORDS})" in small["logger.x"]
    assert "offsets" not in small["slog.block"] and "BLOCK_HEADER" not in small["slog.block"]


def test_named_values_of_a_table_are_found_by_index():
    source = (
        "from slog import signal_table as st\ndef run(sections):\n"
        "    rows = st.named(sections[st.WATCH], st.WATCH_ROWS)\n    return rows['roll_mg']\n"
    )
    small = shrink({"logger.x": source, "slog.signal_table": "WATCH = const(10)\n"})
    assert "rows = sections[10]" in small["logger.x"]
    assert f"rows[{signal_table.WATCH_ROWS.index('roll_mg')}]" in small["logger.x"]
    with pytest.raises(ValueError, match="two values.*'preload0'"):
        shrink({"logger.x": source.replace("roll_mg", "preload0")})


def test_short_names_are_shared_by_what_never_meets():
    source = (
        "class A:\n    def __init__(self, first, other):\n        self.left = first\n"
        "        self.right = other\nclass B:\n    def __init__(self):\n        self.top = 3\n"
        "    def total(self, a):\n        return self.top + a.left - a.right\n"
        "def run():\n    return B().total(A(other=5, first=20))\n"
    )
    small = shrink({"logger.x": source}, readable=False)["logger.x"]
    assert not {"left", "right", "top", "total", "first", "other"} & set(re.findall(r"\w+", small))
    space = {}
    exec(small, space)
    assert space["run"]() == 18
    names = set(re.findall(r"\w+", small)) - set(re.findall(r"\w+", source))
    assert len(names) <= 6, "two classes, five attributes and methods, three parameters"


def test_names_of_a_grandparent_stay_apart_from_those_of_its_grandchild():
    """`kept` and `again` never stand in one class, but an object of C has both."""
    source = (
        "class A:\n    def __init__(self):\n        self.kept = None\n"
        "class B(A):\n    def middle(self):\n        return self.kept\n"
        "class C(B):\n    def again(self):\n        return 7\n"
        "def run():\n    one = C()\n    return one.again(), one.middle(), one.kept\n"
    )
    space = {}
    exec(shrink({"logger.x": source}, readable=False)["logger.x"], space)
    assert space["run"]() == (7, None, None)


def test_names_that_others_know_stay():
    source = (
        "import machine\nfrom hashlib import sha256\nclass Port:\n"
        "    def __init__(self, pin):\n        self.pin = machine.Pin(pin, value=1)\n"
        "    def read(self, buf):\n        return sha256(buf).digest()\n"
        "def run(port):\n    return Port(port).read(b'')\n"
    )
    small = shrink({"drivers.x": source}, readable=False)["drivers.x"]
    for name in ("machine.Pin", "value=1", "sha256", "digest", "read", "__init__", "def run("):
        assert name in small


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


def test_units_and_descriptions_are_cut():
    source = "TABLE = (('n', 'B', '', 'frames'), ('t', 'I', 'us', 'time'))\n"
    small = shrink({"slog.layout": source, "logger.x": "from slog.layout import TABLE\nTABLE\n"})
    assert ast.literal_eval(ast.parse(small["slog.layout"]).body[0].value) == (
        ("n", "B"),
        ("t", "I"),
    )


def test_no_short_name_is_a_word_of_the_language():
    functions = "".join(f"def function{i}():\n    return {i}\n" for i in range(900))
    calls = ", ".join(f"function{i}()" for i in range(900))
    source = f"{functions}def run():\n    return sum([{calls}])\n"
    small = shrink({"logger.x": source}, readable=False)
    space = {}
    exec(small["logger.x"], space)
    assert space["run"]() == sum(range(900))


def test_paths_that_main_py_cannot_tell_apart_are_refused():
    with pytest.raises(FlashError, match="m2064924.mpy from m9.mpy"):
        pack_app({"m9.mpy": b"1", "m2064924.mpy": b"2"})


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [
        ("def f(a):\n    return getattr(a, 'b')\n", 2, "getattr"),
        ("def f(a):\n    a.__dict__['b'] = 1\n", 2, "__dict__"),
        ("from slog.layout import *\n", 1, r"import \*"),
        ("LIMIT = 3\ndef f():\n    global LIMIT\n    LIMIT = 4\n", 3, "LIMIT"),
        ("def f(LIMIT):\n    return LIMIT\n", 1, "LIMIT"),
        ("LIMIT = 3\ndef f():\n    for LIMIT in (1, 2):\n        pass\n", 3, "LIMIT"),
        ("from slog import layout\nlayout.LIMIT = 4\n", 2, "LIMIT"),
    ],
)
def test_what_cannot_be_shrunk_is_refused_with_its_line(source, line, word):
    with pytest.raises(InputError, match=rf"^logger/x\.py, line {line}: .*{word}"):
        shrink({"logger.x": source})


def test_what_only_looks_like_it_is_shrunk():
    """A keyword of a call, a constant that is read, an attribute with a short name in capitals."""
    source = "LIMIT = 3\ndef run(f):\n    return f(LIMIT, LOW=LIMIT)\n"
    space = {}
    exec(shrink({"drivers.x": source})["drivers.x"], space)
    assert space["run"](lambda a, LOW: (a, LOW)) == (3, 3)


def test_methods_of_files_keep_their_names():
    """A class of ours with a `tell` once renamed that of files, too: the board ended at the first
    CONFIG_GET.
    """
    tree = ast.parse(
        "class Sensors:\n    def tell(self): return self.grown\n"
        "    def seek(self): self.grown = 1\n"
        "def at(file): return file.tell(), file.seek(0)\n"
    )
    shorten({"m": tree})
    text = ast.unparse(tree)
    assert text.count("tell(") == 2 and text.count("seek(") == 2 and "grown" not in text


def test_modules_that_do_nothing_are_left_out(modules):
    """Of slog/faults.py constants are all that there is, of the packages' own files nothing."""
    assert {"slog/layout.mpy", "logger/places.mpy", "start.mpy"} <= set(modules)
    assert not {"slog/faults.mpy", "slog/events.mpy", "slog/__init__.mpy"} & set(modules)


def test_the_name_of_a_board_fits_into_hello_and_a_package():
    """SPEC 8: 16 bytes in HELLO and in a package; a longer one is cut, and no board has that."""
    files = (firmware_path() / "boards").glob("*.py")
    names = [path.stem for path in files if "\ndef run(" in path.read_text(encoding="utf-8")]
    assert len(names) >= 8 and max(map(len, names)) <= 16
