"""The packer's traps in more than one module, and in names that mean something elsewhere.

CPython runs each before and after it is packed: both must return the same. `own` below are names
that must be gone from the packed sources, so that a trap cannot pass because nothing was renamed.
"""

import re

import pytest
from packed_run import install, outcome

from stagelog.errors import InputError
from stagelog.flash.shrink import shrink

# name: (own names that get short ones, what run returns, {module: source}); leaves first
TRAPS = {
    "one underscore is ours, two are the language's": (
        {"_hidden", "_step"},
        (3, 8, 5),
        {
            "main": """
_hidden = 3
class Kept:
    __slots_of = 5
    def __init__(self):
        self._step = 8
        self.__inner = 4
    def __len__(self):
        return self.__inner + 1
def run():
    kept = Kept()
    return _hidden, kept._step, len(kept)
"""
        },
    ),
    "arguments by name": (
        {"first_one", "second_one", "factor", "make"},
        (12, 7, -3, 90),
        {
            "main": """
class Scaled:
    def __init__(self, first_one, second_one=2):
        self.factor = first_one - second_one
    def make(self, *, second_one, first_one=9):
        return first_one * second_one
def minus(first_one, second_one):
    return first_one - second_one
def run():
    scaled = Scaled(second_one=3, first_one=15)
    return scaled.factor, minus(second_one=1, first_one=8), Scaled(1, second_one=4).factor, \
        scaled.make(second_one=10)
"""
        },
    ),
    "an argument of Python's own function is no name of ours": (
        {"order_of"},
        ([3, 2, 1], 255, "7-8", 4),
        {
            "main": """
def run():
    reverse, base, left, default = True, 16, 7, 4
    order_of = sorted([1, 2, 3], reverse=reverse)
    return order_of, int("ff", base=base), "{left}-{0}".format(8, left=left)[::1] and \
        "{left}-{right}".format(left=left, right=8), max([], default=default)
"""
        },
    ),
    "an error under a name": (
        {"total", "text_of"},
        (5, "again", 2),
        {
            "main": """
class Refused(Exception):
    def __init__(self, text_of):
        self.text_of = text_of
def run():
    total = 2
    found = None
    try:
        raise OSError(5)
    except (ValueError, OSError) as problem:
        code = problem.errno or problem.args[0]
    try:
        raise Refused("again")
    except Refused as problem:
        found = problem.text_of
    return code, found, total
"""
        },
    ),
    "cls and self": (
        {"amount", "build", "extra"},
        (7, 11, 4, 5),
        {
            "main": """
class Made:
    amount = 3
    extra = 4
    @classmethod
    def build(cls, amount):
        made = cls()
        made.amount = amount
        cls.extra += 1
        return made
    @staticmethod
    def seven():
        return 7
class Other(Made):
    amount = 5
def run():
    before = Made.extra
    return Made.seven(), Other.build(11).amount, before, Other.amount
"""
        },
    ),
    "a module under another name": (
        {"level_of", "make_one", "depth", "deeper"},
        (6, 3, 4, 16),
        {
            "parts": "depth = 3\ndeeper = 4\ndef make_one(level_of):\n"
            "    return level_of + depth\ndef make_two(level_of):\n    return level_of + 10\n",
            "main": """
import parts as made_of
import parts
from parts import make_two as build, deeper as how_deep
def run():
    make_two = 4
    return made_of.make_one(level_of=3), parts.depth, how_deep, build(6)
""",
        },
    ),
    "a module of Python's under another name": (
        {"as_int"},
        (b"\x05\x00", 2, 40),
        {
            "main": """
import struct as packing
from binascii import hexlify as pack
class Own:
    def calcsize(self):
        return 40
    def unpack(self):
        return 1
def run():
    as_int = packing.calcsize("<H")
    return packing.pack("<H", 5), as_int, Own().calcsize()
"""
        },
    ),
    "a class of a foreign module and its attributes": (
        {"built"},
        (1, 7),
        {
            "main": """
from fractions import Fraction
class Own:
    def from_float(self):
        return 7
def run():
    built = Fraction.from_float(1.0)
    return int(built), Own().from_float()
"""
        },
    ),
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
    "functions in functions": (
        {"outer_value", "add_to", "sum_of"},
        (13, 33, [2, 3], 6),
        {
            "main": """
def outer_value(start):
    total = start
    def add_to(step, factor=2):
        nonlocal total
        def deeper(step_more):
            return total + step_more
        total += step * factor
        return deeper(step)
    add_to(1)
    return add_to
def run():
    add = outer_value(5)
    sum_of = lambda one, two=3: one + two
    first = add(step=2)
    return first, add(factor=10, step=2 - 0) + 0, [one + 1 for one in (1, 2)], sum_of(one=3)
"""
        },
    ),
    "methods that a built-in object has, too": (
        set(),
        (3, 11, 2, [1, 5], b"xy", 30),
        {
            "main": """
import io
class Own:
    def tell(self):
        return 11
    def getbuffer(self):
        return 30
    def popleft(self):
        return 31
    def extend(self, more):
        return more
    def setter(self):
        return 1
def run():
    file = io.BytesIO(b"xyz")
    file.read(3)
    listed = [1]
    listed.extend([5])
    return file.tell(), Own().tell(), len(Own().extend("ab")), listed, \
        bytes(file.getbuffer()[:2]), Own().getbuffer()
"""
        },
    ),
    "a base of another module, under another name": (
        {"base_value", "again", "level"},
        (1, 2, 3, 4, 10),
        {
            "parts": """
class Base:
    def __init__(self):
        self.base_value = 1
        self.again = 2
    def both(self):
        return self.base_value, self.again
""",
            "main": """
import parts
from parts import Base as Root
class One(Root):
    def __init__(self):
        super().__init__()
        self.level = 3
class Two(parts.Base):
    def __init__(self):
        super().__init__()
        self.other_level = 4
        self.last_level = 10
def run():
    return *One().both(), One().level, Two().other_level, Two().last_level
""",
        },
    ),
    "two classes of one name with two bases": (
        {"alpha", "beta", "gamma", "delta"},
        (1, 2, 3, 4),
        {
            "parts": """
class Above:
    def __init__(self):
        self.alpha = 1
class Same(Above):
    def __init__(self):
        super().__init__()
        self.beta = 2
def make():
    return Same()
""",
            "main": """
from parts import make
class Higher:
    def __init__(self):
        self.gamma = 3
class Same(Higher):
    def __init__(self):
        super().__init__()
        self.delta = 4
def run():
    return make().alpha, make().beta, Same().gamma, Same().delta
""",
        },
    ),
    "a default that a module gives beside an attribute of the class": (
        {"begin_at", "attribute"},
        (5, 2, 15, 4),
        {
            "main": """
begin_at = 5
def thrice():
    return begin_at + begin_at + begin_at
class Held:
    attribute = 2
    def first(self, start=begin_at):
        return start
    def second(self, begin=attribute):
        return begin
def twice(held):
    return (held.attribute + held.attribute + held.attribute) // held.attribute + 1
def run():
    return Held().first(), Held().second(), thrice(), twice(Held())
"""
        },
    ),
    "a function that stands under a condition": (
        {"helper_one", "helper_two", "first_value"},
        (4, 8, 6, 43),
        {
            "main": """
first_value = 1
if len("ab") == 2:
    def helper_one(value):
        return value + 1
    class Inner:
        def helper(self):
            return 43
try:
    from struct import no_such_name as other
except ImportError:
    def helper_two(value):
        return value + 2
def ones():
    return helper_one(helper_one(helper_one(1)))
def twos():
    return helper_two(helper_two(helper_two(2)))
def firsts():
    return first_value + first_value + first_value + first_value + first_value + first_value
def run():
    return ones(), twos(), firsts(), Inner().helper()
"""
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
    "a name of a module that another one sets": (
        {"first_of", "added"},
        (4, 1, 5),
        {
            "parts": "first_of = 1\ndef both():\n    return first_of\n",
            "main": """
import parts
def run():
    parts.added = 4
    parts.also_added = 5
    return parts.added, parts.both(), parts.also_added
""",
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
def test_what_is_packed_does_the_same(monkeypatch, trap, readable):
    own, expected, sources = TRAPS[trap]
    install(monkeypatch, sources)
    entry = list(sources)[-1]
    packed = shrink(sources, readable)
    assert outcome(sources, entry) == expected
    assert outcome(packed, entry) == expected, "\n\n".join(packed.values())
    if not readable:
        words = set(re.findall(r"\w+", re.sub(r"'.*?'", "", "\n".join(packed.values()))))
        assert not words & own


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
