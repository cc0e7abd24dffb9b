"""The line of each entry of a TOML file: tomllib does not report it, so the lines are scanned.

Owns the map from a path of keys to a line number. Knows headers, keys and values over several
lines; an entry inside an inline table is found at the line of the key that holds it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*([A-Za-z0-9_\-.]+|"[^"]*"|'[^']*')\s*=\s*(.*)$""")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')


Keys: TypeAlias = tuple[str | int, ...]  # keys, and indices of lists


def map_lines(text: str) -> dict[Keys, int]:
    """Return {path: line}, paths as tuples of keys and list indices, lines counted from 1."""
    lines: dict[Keys, int] = {(): 1}
    table: Keys = ()
    counts: dict[Keys, int] = {}
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        if depth > 0:
            depth += _depth(line)
            continue
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table += (counts[table],)
            for n in range(1, len(table) + 1):
                lines.setdefault(table[:n], number)
        elif key:
            name = key[1] if key[1][0] in "\"'" else tuple(key[1].split("."))
            path = table + (name if isinstance(name, tuple) else (name.strip("\"'"),))
            lines.setdefault(path, number)
            depth = _depth(key[2])
    return lines


def line_of(lines: Mapping[Keys, int], path: Iterable[str | int]) -> int:
    """Return the line of `path`, or of the nearest table that should have held it."""
    path = tuple(path)
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _depth(text: str) -> int:
    bare = _STRING.sub("", text).split("#", 1)[0]
    return bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}")
