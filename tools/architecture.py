"""Draw the rooms of the host and the firmware, and the imports between them, as an SVG.

    python tools/architecture.py      writes docs/pictures/architecture.svg (tools/docs calls it)

Rows and rules come from host/tests/test_layers.py, arrows from the import statements; nothing is
placed by hand. An arrow that follows from two others is left out.
"""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
BOX_W, BOX_H, GAP_X, GAP_Y, MARGIN = 128, 46, 16, 58, 24
STYLE = (
    "text{font:13px sans-serif;text-anchor:middle}.lines{font-size:10px;fill:#666}"
    ".row{font-size:12px;fill:#888;text-anchor:start}rect{fill:#fff;stroke:#8d6e63}"
    ".side rect{fill:#f3ece9}path{fill:none;stroke:#8d6e63;stroke-opacity:.45}"
)


def load_rules() -> object:
    """Return the module of the test that holds the rules."""
    spec = importlib.util.spec_from_file_location("layers", ROOT / "host/tests/test_layers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rooms_of(rules: object) -> tuple[list[list[str]], dict[str, int], set[tuple[str, str]]]:
    """Return (rows from the top, lines of each room, arrows from importer to imported)."""
    host_rows = [sorted(rules.TOP - {"__init__"}), sorted(rules.BESIDE)]
    host_rows += [sorted(row) for row in reversed(rules.ROWS)]
    lines: dict[str, int] = {}
    arrows: set[tuple[str, str]] = set()
    for path in rules.modules_below(rules.PACKAGE):
        room = rules.part_of(path)
        lines[room] = lines.get(room, 0) + len(path.read_text(encoding="utf-8").splitlines())
        for name in rules.host_imports(path):
            parts = name.split(".")
            if parts[0] == "stagelog" and len(parts) > 1:
                arrows.add((room, parts[1]))
            elif parts[0] in rules.FIRMWARE_ARROWS:
                arrows.add((room, parts[0]))
    for room in rules.FIRMWARE_ARROWS:
        paths = rules.modules_below(rules.FIRMWARE / room)
        lines[room] = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
        for path in paths:
            used = {name.split(".")[0] for name in rules.imported_modules(path)}
            arrows |= {(room, name) for name in used & set(rules.FIRMWARE_ARROWS)}
    depth = {room: len(allowed) for room, allowed in rules.FIRMWARE_ARROWS.items()}
    firmware_rows = [
        sorted(room for room in depth if depth[room] == n)
        for n in sorted(set(depth.values()), reverse=True)
    ]
    rows = [[room for room in row if room in lines] for row in host_rows + firmware_rows]
    known = {room for row in rows for room in row}
    return rows, lines, {(a, b) for a, b in arrows if a != b and {a, b} <= known}


def without_detours(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows that do not follow from others (the transitive reduction)."""
    below: dict[str, set[str]] = {}
    for a, b in arrows:
        below.setdefault(a, set()).add(b)

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        for room in below.get(start, set()) - seen:
            if room == goal or reaches(room, goal, seen | {room}):
                return True
        return False

    return {
        (a, b)
        for a, b in arrows
        if not any(room != b and reaches(room, b, {a, room}) for room in below[a])
    }


def draw(rows: list[list[str]], lines: dict[str, int], arrows: set[tuple[str, str]]) -> str:
    """Return the SVG."""
    widest = max(len(row) for row in rows)
    width = 2 * MARGIN + widest * (BOX_W + GAP_X) - GAP_X
    height = 2 * MARGIN + len(rows) * (BOX_H + GAP_Y) - GAP_Y
    place = {}
    for j, row in enumerate(rows):
        left = (width - len(row) * (BOX_W + GAP_X) + GAP_X) / 2
        for i, room in enumerate(row):
            place[room] = (left + i * (BOX_W + GAP_X), MARGIN + j * (BOX_H + GAP_Y))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">',
        f"<style>{STYLE}</style>",
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
            ' markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" style="fill:#8d6e63"/>'
            "</marker></defs>"
        ),
        f'<rect width="{width:g}" height="{height:g}" style="fill:#fff;stroke:none"/>',
    ]
    for a, b in sorted(arrows):
        (ax, ay), (bx, by) = place[a], place[b]
        x1, x2 = ax + BOX_W / 2, bx + BOX_W / 2
        if ay == by:
            y1, y2, bend = ay + BOX_H, by + BOX_H, ay + BOX_H + GAP_Y / 2
        else:
            y1, y2 = ay + BOX_H, by
            bend = (y1 + y2) / 2
        out.append(
            f'<path marker-end="url(#tip)" d="M{x1:g} {y1:g}C{x1:g} {bend:g} {x2:g} {bend:g} '
            f'{x2:g} {y2:g}"/>'
        )
    for room, (x, y) in place.items():
        out.append(
            f'<g><rect x="{x:g}" y="{y:g}" width="{BOX_W}" height="{BOX_H}" rx="5"/>'
            f'<text x="{x + BOX_W / 2:g}" y="{y + 20:g}">{room}</text>'
            f'<text class="lines" x="{x + BOX_W / 2:g}" y="{y + 36:g}">{lines[room]:,} lines'
            "</text></g>"
        )
    return "\n".join([*out, "</svg>", ""])


def main() -> None:
    """Write the picture."""
    rows, lines, arrows = rooms_of(load_rules())
    picture = draw(rows, lines, without_detours(arrows))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
