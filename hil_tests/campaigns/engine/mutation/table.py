"""The table of mutants in RESULTS.md: one line for each area, of the last time that it was judged.

Owns the lines and their text. `write` replaces those of the areas given and leaves the others;
the sum is made anew. Fails with InputError for a file without the table.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import areas
from stagelog.errors import InputError

_BEGIN, _END = "<!-- mutants of areas -->", "<!-- end mutants of areas -->"
_COLUMNS = "area sources seed changes judged killed timed_out listed open noticed".split()
_HEAD = f"| {' | '.join(_COLUMNS).replace('_', ' ')} |\n|---|---|{8 * '---:|'}"


@dataclass(frozen=True, slots=True)
class Line:
    """One area.

    sources  what names its files (digest_of)
    changes  of it in all; judged of these, in four kinds; `listed` are those with a reason
    """

    area: str
    sources: str
    seed: str
    changes: int
    killed: int
    timed_out: int
    listed: int
    open: int

    @property
    def judged(self) -> int:
        """Return the number of changes that were judged."""
        return self.killed + self.timed_out + self.listed + self.open

    def __str__(self) -> str:
        n = self.judged
        noticed = f"{100 * (self.killed + self.timed_out) / n:.0f} %" if n else ""
        numbers = (self.changes, n, self.killed, self.timed_out, self.listed, self.open)
        cells = (self.area, self.sources, self.seed, *(f"{n:,}" for n in numbers), noticed)
        return f"| {' | '.join(cells)} |"


def digest_of(area: str) -> str:
    """Return 8 hex digits that name the files of an area, so that an old line is seen as such."""
    digest = hashlib.sha256()
    for name in areas.product_files():
        if areas.area_of(name).name == area:
            digest.update((areas.ROOT / name).read_bytes())
    return digest.hexdigest()[:8]


def text_of(lines: Iterable[Line]) -> str:
    """Return the table in Markdown, with its sum."""
    lines = list(lines)
    counts = [sum(column) for column in zip(*(astuple(line)[3:] for line in lines), strict=True)]
    total = [Line("**all**", "", "", *counts)] if lines else []
    return "\n".join([_HEAD, *map(str, [*lines, *total])])


def lines_of(text: str) -> list[Line]:
    """Return the lines of a table in Markdown, without its sum."""
    found = []
    for row in re.findall(r"^\| ([a-z].*) \|$", text, re.MULTILINE):
        area, *cells = row.split(" | ")
        if area == "area":
            continue
        sources, seed, *numbers = cells[:-1]
        changes, _, *kinds = (int(number.replace(",", "")) for number in numbers)
        found.append(Line(area, sources, seed, changes, *kinds))
    return found


def write(path: Path, lines: Iterable[Line]) -> None:
    """Replace the lines of these areas in the table of a file, in the order of areas.toml."""
    text = path.read_text(encoding="utf-8")
    if _BEGIN not in text or _END not in text:
        raise InputError(f"{path} has no table of mutants", f"it stands behind {_BEGIN}")
    before, _, rest = text.partition(_BEGIN)
    table, _, behind = rest.partition(_END)
    by_area = {line.area: line for line in [*lines_of(table), *lines]}
    order = [area.name for area in areas.load_areas()]
    kept = sorted(
        (by_area[name] for name in by_area if name in order), key=lambda x: order.index(x.area)
    )
    path.write_text(f"{before}{_BEGIN}\n{text_of(kept)}\n{_END}{behind}", encoding="utf-8")
