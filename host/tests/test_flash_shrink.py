"""Shrunk sources do what they did: CPython runs them before and after, and both say the same.

Each text is one trap of renaming, folding or dropping; `run` returns what must stay.
"""

import ast

import pytest
from packed_run import install, outcome

from stagelog.flash.shrink import shrink

TRAPS = {
    "a global of a function": """
counter = 5
def add():
    global counter
    counter += 1
def run():
    add()
    return counter
""",
    "a name of an outer function": """
def run():
    total = 1
    def more():
        nonlocal total
        total += 2
    more()
    return total
""",
    "a base's attribute beside one of its own": """
class Base:
    def __init__(self):
        self.first, self.second, self.third = 1, 2, 3
class Upper(Base):
    def __init__(self):
        super().__init__()
        self.fourth = 4
        self.fifth = 5
def run():
    upper = Upper()
    return upper.first, upper.second, upper.third, upper.fourth, upper.fifth
""",
    "an attribute set from outside": """
class Box:
    def __init__(self):
        self.inner = 1
        self.outer = 7
def run():
    box = Box()
    box.label = 2
    return box.inner, box.label, box.outer
""",
    "a class's own attribute by cls": """
class Made:
    count = 3
    size = 4
    @classmethod
    def of(cls):
        cls.total = cls.count + cls.size
        return cls.total, cls.count, cls.size
def run():
    return Made.of()
""",
    "an error's name": """
def run():
    value = 1
    other = 2
    try:
        raise OSError(5)
    except OSError as failure:
        value += failure.errno or failure.args[0]
    return value, other
""",
    "names of the language and of Python": """
def run():
    length = len([1, 2])
    listed = list(range(length))
    return max(listed), sorted(listed), __name__
""",
    "a private attribute": """
class Kept:
    def __init__(self):
        self._hidden = 1
        self.__len = 2
    def get(self):
        return self._hidden + self.__len
def run():
    return Kept().get()
""",
    "a constant that is assigned twice": """
LIMIT = 1
LIMIT = LIMIT + 4
def run():
    return LIMIT
""",
    "a truth is no number": """
from micropython import const
ENABLED = const(1)
YES = True
def run():
    return ENABLED, YES, YES is True
""",
    "a method that only a name reaches": """
class Only:
    def step(self):
        return 3
    other = step
def run():
    return Only().other()
""",
    "a class of which nothing is left": """
class Empty:
    unused = 1
    def never(self):
        return 2
def run():
    return Empty() is not None
""",
    "an assignment to two names": """
first = second = 8
def run():
    return first
""",
    "two names at once of which one is a constant": """
from micropython import const
WIDTH = const(4)
lower, upper = 1, WIDTH
def run():
    return lower, upper, WIDTH
""",
    "a tuple of four texts that is no row": """
ROW = ("speed", "Hz and more", "km/h", "of the car")
LONG = ("a", "B", "c", "d", 5)
def run():
    return ROW, LONG
""",
    "a fallback for what is not there": """
try:
    import no_such_module
except ImportError:
    no_such_module = 9
def run():
    return no_such_module
""",
    "a method with two underscores": """
class Sized:
    def __len__(self):
        return 6
def run():
    return len(Sized())
""",
}


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("trap", TRAPS)
def test_what_is_shrunk_does_the_same(monkeypatch, trap, readable):
    sources = {"main": TRAPS[trap]}
    install(monkeypatch, sources)  # the constants of a module are asked of the module itself
    assert outcome(shrink(sources, readable)) == outcome(sources)
    assert not isinstance(outcome(sources), type)


@pytest.mark.parametrize("readable", [True, False])
def test_a_name_that_is_imported_as_another_is_the_same(readable):
    """main's LIMIT is a variable of its own, beside the constant of `parts` under another name."""
    sources = {
        "parts": "def make(size):\n    return size + 1\nlimit = 3\n",
        "main": "from parts import make as build, limit as most\n"
        "def run():\n    make = 5\n    return build(make), most\n",
    }
    assert outcome(shrink(sources, readable)) == outcome(sources) == (6, 3)


def test_the_name_that_is_used_most_is_among_the_shortest():
    """`often` stands there 60 times; 60 others once each: two letters are for one of those."""
    others = [f"other_{k}" for k in range(60)]
    lines = [f"    {name} = {k}" for k, name in enumerate(others)]
    lines += [f"    often = {name}" for name in others]
    source = "def run():\n    often = 0\n" + "\n".join(lines) + "\n    return often\n"
    short = shrink({"main": source}, readable=False)["main"]
    (returned,) = [n for n in ast.walk(ast.parse(short)) if isinstance(n, ast.Return)]
    assert len(returned.value.id) == 1
