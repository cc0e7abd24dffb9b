"""Names that the packer makes short, in several modules and with meanings elsewhere.

CPython runs each before and after it is packed: both must return the same.
"""

import pytest
from packed_run import check_trap, outcome

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
    "a variable with the name of a module that others import": (
        {"beside"},
        (9, 3),
        {
            "parts": "depth = 3\n",
            "more": "def beside(parts):\n    return parts + 1\n",
            "main": "import parts\nfrom more import beside\n"
            "def run():\n    return beside(8), parts.depth\n",
        },
    ),
    "a function without a name, and an argument that it does not use": (
        {"second_one", "plus"},
        (4, 6),
        {
            "main": """
plus = lambda first_one, second_one: first_one + 3
class Held:
    take = lambda self, first_one, second_one: second_one
def run():
    return plus(1, 2), Held().take(5, 6)
"""
        },
    ),
    "arguments by name to a function of Python's module": (
        {"given"},
        ('{"a":1,"b":2}', ",:"),
        {
            "main": """
import json
def run():
    separators = (",", ":")
    given = {"a": 1, "b": 2}
    return json.dumps(given, separators=separators), "".join(separators)
"""
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
    @property
    def depth(self):
        return self.last
    @depth.setter
    def depth(self, value):
        self.last = value
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
    "an import under another name beside a variable": (
        {"build", "first_value", "make_one"},
        (7, 5),
        {
            "parts": "def make_one(value):\n    return value + 2\n",
            "main": """
from parts import make_one as build
first_value = 1
def builds():
    return build(build(build(1)))
def firsts():
    return first_value + first_value + first_value + first_value + first_value
def run():
    return builds(), firsts()
""",
        },
    ),
    "an error under a name that nobody reads": (
        {"total", "level_of"},
        (8, 12),
        {
            "main": """
def levels():
    problem = 3
    level_of = problem + problem + problem + problem
    return level_of
def totals():
    total = 2
    try:
        total += total + total
        raise OSError(5)
    except OSError as problem:
        total += 2
    return total
def run():
    return totals(), levels()
"""
        },
    ),
    "a class in a class, with a base of the module": (
        {"Root", "attribute"},
        (3, 6, 12),
        {
            "main": """
class Root:
    three = 3
def roots():
    return Root.three + Root.three + Root.three + Root.three
class Outer:
    attribute = 6
    class Inner(Root):
        pass
def attributes(held):
    return held.attribute + held.attribute + held.attribute - held.attribute - held.attribute
def run():
    return Outer.Inner().three, attributes(Outer()), roots()
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
}


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("trap", TRAPS)
def test_what_is_renamed_does_the_same(monkeypatch, trap, readable):
    check_trap(monkeypatch, *TRAPS[trap], readable)


def test_so_many_names_meet_that_words_of_the_language_are_left_out():
    """Short names are a to Z, then aa to Z9: 26 + 26 + 14 * 62 + 18 = 938 come before `or`, among
    them as, if, in, is and the builtin `id`, which the function uses, too.
    """
    names = [f"name_{k}" for k in range(960)]
    lines = [f"    {name} = {k}" for k, name in enumerate(names)]
    total = f"sum(({', '.join(names)}))"
    source = "def run():\n" + "\n".join(lines)
    source += f"\n    return {total}, id(name_7) == id(name_7)\n"
    packed = shrink({"main": source}, readable=False)
    assert outcome(packed) == (960 * 959 // 2, True)
    assert "name_" not in packed["main"]


def test_a_constant_that_the_compiler_inserts_keeps_its_name():
    """mpy-cross leaves out NAME = const(...) where the name begins with an underscore; under a
    short name each would take a place in the module's memory.
    """
    source = "from micropython import const\n_LIMIT = const(5)\ndef run():\n    return _LIMIT\n"
    assert "_LIMIT = const(5)" in shrink({"main": source}, readable=False)["main"]
