"""Small programs by chance, run by CPython before and after they are packed.

Each has classes that inherit across two modules, methods with arguments by name, constants of
constants, functions in functions and errors under names. Names are drawn from a few: words that
Python's own objects have, too, one and two letters that the packer gives itself, underscores.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packed_run import install, outcome

from stagelog.flash.shrink import shrink

NAMES = """
    a b c d e f aa _a _hidden tell read count index state level speed limit other values key
    reverse self_ cls_
""".split()
CONSTANTS = ["LIMIT", "WIDTH", "_INNER", "AREA", "Q"]


class Program:
    """Draws one program. A name has one role in a tree of classes: attribute or method."""

    def __init__(self, draw):
        self.draw = draw
        names = draw(st.permutations(NAMES))
        self.attributes, self.methods, self.free = ["__deep", *names[:6]], names[6:11], names[11:]
        self.known = []  # constants so far

    def pick(self, options):
        return self.draw(st.sampled_from(options))

    def some(self, options, least=1, most=3):
        return self.draw(
            st.lists(st.sampled_from(options), min_size=least, max_size=most, unique=True)
        )

    def number(self):
        """Return an expression of the constants so far."""
        text = str(self.draw(st.integers(0, 300)))
        if self.known and self.draw(st.booleans()):
            text = f"{self.pick(self.known)} {self.pick('+-*')} {text}"
        return text

    def constants(self):
        lines = []
        for name in self.some(CONSTANTS, 1, 4):
            value = self.number()
            kind = self.pick(["{}", "const({})", "{}", "{} > 7", "({}) / 4"])
            lines.append(f"{name} = {kind.format(value)}")
            if kind in ("{}", "const({})"):
                self.known.append(name)
        return lines

    def made(self, number, base):
        """Return the lines of a class. Its methods return tuples of numbers."""
        attributes, methods = self.some(self.attributes), self.some(self.methods)
        lines = [f"class Kind{number}{f'({base})' if base else ''}:"]
        lines += [f"    {name} = {self.number()}" for name in self.some(self.attributes, 0, 2)]
        lines += ["    def __init__(self):"]
        lines += ["        super().__init__()"] if base else []
        lines += [f"        self.{name} = {self.number()}" for name in attributes]
        for name in methods:
            first, second, local = self.draw(st.permutations(self.free))[:3]
            read = self.pick(attributes)
            lines += [
                f"    def {name}(self, {first}, {second}={self.number()}):",
                f"        {local}, *rest = {first} + 1, {second}, self.{read}",
                f"        self.{read} += {local} if rest[0] > 5 else 1",
                f"        return {local}, {first} - {second}, self.{read}",
            ]
            self.calls.append((number, name, first, second))
        return lines

    def nested(self):
        outer, inner, value, step, problem = self.draw(st.permutations(self.free))[:5]
        return [
            f"def {outer}({value}):",
            f"    def {inner}({step}=3):",
            f"        nonlocal {value}",
            f"        {value} += {step}",
            f"        return [{step} * {problem} for {problem} in ({value}, {step})]",
            "    try:",
            f"        return {inner}({step}={value}) + [int('x')]",
            f"    except ValueError as {problem}:",
            f"        return {inner}(), len({problem}.args), {value}",
        ], outer

    def sources(self):
        """Return {module: source} of two modules."""
        self.calls = []
        parts = ["from micropython import const", *self.constants(), *self.made(1, None)]
        parts += self.made(2, self.pick([None, "Kind1"]))
        shared = list(self.known)
        imported = [name for name in shared if not name.startswith("_")]
        self.known = list(imported)
        kind = self.pick(["Kind2", "Base", "parts.Kind2"])
        main = ["from micropython import const", "from logger import parts"]
        main += ["from logger.parts import Kind1, Kind2 as Base, Kind2"]
        main += [f"from logger.parts import {name}" for name in imported]
        main += [f"MORE = {self.number()}", *self.made(3, kind), *self.made(4, "Kind1")]
        lines, outer = self.nested()
        main += [*lines, "def run():", "    found = [MORE]"]
        for n, (number, name, first, second) in enumerate(self.calls):
            main += [f"    one{n} = {'Base' if number == 2 else f'Kind{number}'}()"]
            given = self.pick([f"1, {second}=7", f"{second}=2, {first}=9", f"{first}=4", "5"])
            main += [f"    found += one{n}.{name}({given})"]
        main += [f"    found.append({outer}({self.number()}))"]
        main += [f"    found += [{', '.join(['1', *imported])}]", "    return found"]
        return {"logger.parts": "\n".join(parts) + "\n", "main": "\n".join(main) + "\n"}


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_a_program_by_chance_does_the_same(data):
    sources = Program(data.draw).sources()
    with pytest.MonkeyPatch.context() as patch:
        install(patch, sources)
        expected = outcome(sources)
        assert not isinstance(expected, type), sources["main"]
        for readable in (True, False):
            packed = shrink(sources, readable)
            assert outcome(packed) == expected, "\n".join([*sources.values(), *packed.values()])
