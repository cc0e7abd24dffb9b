"""The car from above, front up, as SVG: each part a link to its card, with its state's sign.

Owns the drawing. Parts in the middle carry name and word; those of a corner a sign each, and
their names stand outside of the wheel. Colour, sign and pattern come from the state's class in
report.css.
"""

from collections.abc import Iterator
from html import escape
from typing import Any

from stagelog.report.html_words import SIGNS
from stagelog.report.tables import Facts

WIDTH, HEIGHT = 560, 600
_SHORT = {"partly": "partly", "none": "not seen", "fault": "sensor"}  # words that fit into a box
_BODY = (
    "M205 12 H355 Q392 14 394 60 V96 H372 V196 H396 V404 H372 V504 H394 V560 Q392 588 355 590 "
    "H205 Q168 588 166 560 V504 H188 V404 H164 V196 H188 V96 H166 V60 Q168 14 205 12 Z"
)
_GLASS = "M196 262 L210 246 H350 L364 262 Z M196 262 V404 M364 262 V404"
_SHAFTS = "M280 146 V160 M280 300 V345 M280 425 V430 M188 146 H372 M188 454 H372"
_HATCH = (
    '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="8" height="8" class="hatch-back"/>'
    '<line x1="0" y1="0" x2="0" y2="8" class="hatch-line"/></pattern></defs>'
)
# Boxes in the middle: x, y, width, height.
_BOXES = {
    "radiators": (192, 22, 176, 42),
    "fans": (214, 68, 132, 34),
    "diff_front": (214, 122, 132, 46),
    "engine": (206, 174, 148, 70),
    "gearbox": (206, 250, 148, 46),
    "transfer": (206, 302, 148, 44),
    "handbrake": (190, 352, 180, 38),
    "tank": (192, 396, 176, 40),
    "diff_rear": (214, 442, 132, 46),
    "battery": (214, 494, 132, 46),
}
# Corners: the middle of the wheel, 1 where outside is to the right, 1 where the damper stands
# behind the axle.
_CORNERS = {
    "fl": (146, 146, -1, -1),
    "fr": (414, 146, 1, -1),
    "rl": (146, 454, -1, 1),
    "rr": (414, 454, 1, 1),
}
_ROWS = {"tyre": ("Tyre", -26), "brake": ("Brake", 6), "damper": ("Damper", 38)}


def car_svg(parts: list[Facts], name: str, prefix: str) -> str:
    """Return the drawing of `parts` (parts.parts); its links lead to `#{prefix}{place}`."""
    by_place = {part["place"]: part for part in parts}
    head = (
        f'<svg class="car" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
        f'aria-label="{escape(name)} from above, front up">'
    )
    found = [
        head,
        _HATCH,
        f'<path class="body" d="{_BODY}"/><path class="shaft" d="{_SHAFTS}"/>',
        f'<path class="glass" d="{_GLASS}"/>',
    ]
    for place, box in _BOXES.items():
        if place in by_place:
            found.append(_box(by_place[place], box, prefix))
    for corner, where in _CORNERS.items():
        found += _corner(by_place, corner, where, prefix)
    return "".join(found) + "</svg>"


def _link(part: Facts, inside: str, prefix: str) -> str:
    why = f": {'; '.join(part['why'])}" if part["why"] else ""
    words = escape(f"{part['name']}: {part['word']}{why}")
    return (
        f'<a class="part {part["state"]}" href="#{prefix}{part["place"]}" '
        f'data-place="{part["place"]}" aria-label="{words}"><title>{words}</title>{inside}</a>'
    )


def _box(part: Facts, box: Any, prefix: str) -> str:
    x, y, width, height = box
    middle, name = x + width / 2, escape(part["name"])
    state = f"{SIGNS[part['state']]} {_SHORT.get(part['state'], part['word'])}"
    if height < 44:
        is_short = part["state"] in ("bad", "warn", "good")
        words = f"{name} {SIGNS[part['state']]}" + (f" {part['word']}" if is_short else "")
        text = _text(middle, y + height / 2 + 6, words, "middle")
    else:
        text = _text(middle, y + height / 2 - 3, name, "middle")
        text += _text(middle, y + height / 2 + 16, state, "middle", "state")
    rect = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
    return _link(part, rect + text, prefix)


def _corner(by_place: dict[str, Facts], corner: str, where: Any, prefix: str) -> Iterator[str]:
    x, y, side, behind = where
    shapes = {
        "tyre": f'<rect x="{x - 22}" y="{y - 54}" width="44" height="108" rx="14"/>',
        "brake": f'<rect x="{x - side * 34 - 9}" y="{y - 30}" width="18" height="60" rx="5"/>',
        "damper": f'<circle cx="{x - side * 52}" cy="{y + behind * 37}" r="13"/>',
    }
    for what, (title, down) in _ROWS.items():
        part = by_place.get(f"{what}_{corner}")
        if part is None:
            continue
        mark = SIGNS[part["state"]]
        words = f"{mark} {title}" if side > 0 else f"{title} {mark}"
        anchor = "start" if side > 0 else "end"
        text = _text(x + side * 32, y + down, words, anchor, "outside")
        yield _link(part, shapes[what] + text, prefix)


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{more}">{words}</text>'
