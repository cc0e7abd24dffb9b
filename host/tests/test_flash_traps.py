"""What the packer inserts, drops and refuses, in more than one module.

CPython runs each before and after it is packed: both must return the same.
"""

import ast

import pytest
from packed_run import check_trap, install

from stagelog.errors import InputError
from stagelog.flash.shrink import fold, shrink

# name: (own names that get short ones, what run returns, {module: source}); leaves first
TRAPS = {
    "constants of constants, in this module and in another": (
        {"answer"},
        (12, 24, 25, 12),
        {
            "logger.trap": """
from micropython import const
WIDTH = const(4)
AREA = const(WIDTH * 3)
TWICE = 2 * AREA
def answer():
    return AREA
""",
            "main": """
from micropython import const
from logger.trap import AREA, TWICE, answer
from logger import trap
MORE = const(TWICE + 1)
def run():
    return AREA, trap.TWICE, MORE, answer()
""",
        },
    ),
    "a constant that is changed while the module loads": (
        set(),
        (6, 9, 3),
        {
            "logger.trap": """
LIMIT = 2
LIMIT += 4
for COUNT in range(4):
    pass
LAST = 1
for LAST in (5, 9):
    pass
def run():
    return LIMIT, LAST, COUNT
"""
        },
    ),
    "an attribute of a class with the name of a constant": (
        {"value_of"},
        (3, 5, 6, 3),
        {
            "logger.trap": """
SIZE = 3
class Box:
    SIZE = 5
    twice = SIZE + 1
    def value_of(self):
        return SIZE
def run():
    return SIZE, Box.SIZE, Box.twice, Box().value_of()
"""
        },
    ),
    "a constant under another name": (
        set(),
        (4, 5),
        {
            "logger.trap": "WIDTH = 4\n",
            "main": """
from logger.trap import WIDTH as WIDE
def more():
    from logger.trap import WIDTH as BROAD
    return BROAD + 1
def run():
    return WIDE, more()
""",
        },
    ),
    "a module of a package under another name": (
        set(),
        (4, 9),
        {
            "logger.trap": "WIDTH = 4\ndef area(height):\n    return height * height\n",
            "main": """
import logger.trap as shapes
def run():
    return shapes.WIDTH, shapes.area(3)
""",
        },
    ),
    "an argument in capitals for a function of Python's": (
        set(),
        {"LIMIT": 3},
        {"main": "def run():\n    return dict(LIMIT=3)\n"},
    ),
    "a class that has a constant of its module": (
        set(),
        (4, 5, 4),
        {
            "logger.trap": "WIDTH = 4\n",
            "main": """
from logger.trap import WIDTH
class Box:
    WIDTH = WIDTH
    more = WIDTH + 1
def run():
    return Box.WIDTH, Box.more, WIDTH
""",
        },
    ),
    "one letter in capitals is a variable, too": (
        set(),
        (3, 7, 8, 9),
        {
            "logger.trap": """
N = 3
def inner():
    N = 7
    return N
def given(N):
    return N
def run():
    return N, inner(), given(8), given(N=9)
"""
        },
    ),
    "an import of constants alone in a function": (
        set(),
        (4, None, 4),
        {
            "logger.trap": "WIDTH = 4\n",
            "main": """
def width():
    from logger.trap import WIDTH
    return WIDTH
def nothing():
    from logger.trap import WIDTH
def tried():
    try:
        from logger.trap import WIDTH
    except ImportError:
        return None
    return WIDTH
def run():
    return width(), nothing(), tried()
""",
        },
    ),
    "truths are no numbers": (
        set(),
        ("True", "False", "1", True, "False"),
        {
            "logger.trap": "YES = True\nNO = False\nONE = 1\nIS_SO = ONE == 1\n",
            "main": """
from logger.trap import YES, NO, ONE, IS_SO
from logger import trap
def run():
    return repr(YES), repr(NO), repr(ONE), IS_SO is True, repr(trap.NO)
""",
        },
    ),
    "text, bytes and numbers with a point": (
        set(),
        ("ab", b"ab", 1.5, -3, 2.0, "ab"),
        {
            "logger.trap": "TEXT = 'a' + 'b'\nBYTES = b'a' + b'b'\nHALF = 1.5\nLESS = -3\n"
            "WHOLE = 2.0\n",
            "main": """
from logger.trap import TEXT, BYTES, HALF, LESS, WHOLE
from logger import trap
def run():
    return TEXT, BYTES, HALF, LESS, WHOLE, trap.TEXT
""",
        },
    ),
    "classes of which nothing is left": (
        {"Nothing", "Refused"},
        (True, "Refused", 4),
        {
            "main": """
class Nothing:
    never = 1
class Refused(Exception):
    "An error without more."
class Only:
    def unused(self):
        return 1
class Below(Only):
    kept = 4
def run():
    try:
        raise Refused
    except Refused:
        found = "Refused"
    return Nothing() is not None, found, Below().kept
"""
        },
    ),
    "targets in tuples": (
        {"middle"},
        (1, 4, [5, 6], 9, 8, 12, 6),
        {
            "logger.trap": """
LOW, HIGH = 1, 4
lower, (upper, MIDDLE) = 9, (8, 12)
FIRST = SECOND = 6
class Holder:
    pass
def run():
    holder = Holder()
    one, *many = 4, 5, 6
    holder.lower, holder.upper = lower, upper
    for one, middle in ((1, 2), (LOW, HIGH)):
        pass
    return one, middle, many, holder.lower, holder.upper, MIDDLE, SECOND
"""
        },
    ),
    "one value for two names, of which only the second is used": (
        set(),
        (8, 8),
        {
            "logger.trap": "first = second = 4 + 4\nFIRST = other = 8\ndef run():\n"
            "    return second, other\n"
        },
    ),
    "a number that is only ever counted up": (
        {"n_calls", "n_all"},
        2,
        {
            "main": """
n_all = 0
class Counted:
    n_calls = 0
    def call(self):
        global n_all
        n_all += 1
        self.n_calls += 1
def run():
    counted = Counted()
    counted.call()
    counted.call()
    return 2
"""
        },
    ),
    "a property that is only ever set": (
        {"seen", "depth"},
        8,
        {
            "main": """
class Watched:
    seen = 0
    @property
    def depth(self):
        return 1
    @depth.setter
    def depth(self, value):
        self.seen = value + 1
def run():
    watched = Watched()
    watched.depth = 7
    return watched.seen
"""
        },
    ),
    "methods that only Python calls": (
        set(),
        (["ab", "\n"], 5, 3),
        {
            "main": """
class Stream:
    def __init__(self):
        self.texts = []
    def write(self, text):
        self.texts.append(text)
    def __enter__(self):
        return 5
    def __exit__(self, *error):
        self.texts.append("left")
    def __call__(self):
        return 3
def run():
    stream, other = Stream(), Stream()
    print("ab", file=stream)
    with other as entered:
        pass
    return stream.texts, entered, stream()
"""
        },
    ),
    "a loop that tries, and no constant in it": (
        {"attempt"},
        "constant",
        {
            "main": """
try:
    attempt = "constant"
except ValueError:
    attempt = None
def run():
    return attempt
"""
        },
    ),
}


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("trap", TRAPS)
def test_what_is_folded_and_dropped_does_the_same(monkeypatch, trap, readable):
    check_trap(monkeypatch, *TRAPS[trap], readable)


REFUSED = {
    "arguments collected by their names": "def run(**more):\n    return more\n",
    "arguments given by texts": "def own(a):\n    return a\ndef run():\n    own(**{'a': 1})\n",
    "a module of a package by its path": "import logger.parts\ndef run():\n"
    "    return logger.parts.SIZE\n",
    "a parameter with the name of a module": "from logger import parts\ndef run(parts):\n"
    "    return parts.SIZE\n",
    "a variable with the name of a constant": "from logger.parts import N\ndef run():\n"
    "    N = 5\n    return N\n",
    "one constant's name for two": "from logger.parts import SIZE\ndef run():\n"
    "    from logger.more import SIZE\n    return SIZE\n",
    "a constant that a function imports anew": "LIMIT = 1\ndef run():\n"
    "    global LIMIT\n    import math as LIMIT\n    return LIMIT.pi\n",
    "fields named in a text": "from collections import namedtuple\n"
    "Pair = namedtuple('Pair', 'left right')\ndef run():\n    return Pair(1, 2).left\n",
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_packed_is_refused(what):
    with pytest.raises(InputError, match=r"logger/trap\.py, line \d+: "):
        shrink({"logger.parts": "SIZE = N = 1\n", "logger.more": "", "logger.trap": REFUSED[what]})


def test_arguments_by_texts_may_go_to_what_is_not_ours():
    """`init` of a timer is MicroPython's: its arguments are texts that nobody renames."""
    source = "def run(timer, when):\n    timer.init(hard=True, **when)\n"
    assert "hard=True" in shrink({"main": source}, readable=False)["main"]


def test_a_body_of_which_nothing_is_left_is_code(monkeypatch):
    """What the host compiles is folded, and nothing of it is dropped."""
    sources = {
        "logger.trap": "WIDTH = 4\n",
        "main": "def nothing():\n    from logger.trap import WIDTH\n",
    }
    install(monkeypatch, sources)
    assert ast.unparse(fold(sources)["main"]) == "def nothing():\n    pass"


def test_what_only_unused_code_uses_is_dropped():
    source = "def first():\n    second()\ndef second():\n    third()\ndef third():\n    pass\n"
    packed = shrink({"main": source + "def run():\n    return 1\n"})["main"]
    assert packed == "def run():\n    return 1"
