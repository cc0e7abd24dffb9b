"""The sheet as one HTML page that opens offline and prints, signed with a name and a digest."""

import time
from collections.abc import Mapping
from html import escape

from stagelog.bringup.sheet import FAIL, NOT_MEASURED, PASS, Row, Sheet, sha256_of

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em;
  color: #1c1c1c; background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3em .6em;
  border-bottom: 1px solid #ddd; }
td.value, td.emulator { white-space: nowrap; }
td.emulator, .note { color: #5a5a5a; }
th.section { padding-top: 1.2em; border-bottom: 2px solid #888; }
.pass { color: #146c2e; } .fail { color: #a80000; font-weight: bold; } .not { color: #7a5b00; }
.do { display: block; color: #a80000; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1em 1em; }
dt { color: #5a5a5a; } dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { margin: 0; font-size: 11px; } }
"""
_TITLES = {
    "wires": "Wires",
    "spi": "SPI of the controller",
    "release": "Release of the pins",
    "crystal": "Crystal of the controller",
    "interrupt": "Receive interrupt, forced",
    "listen": "Bus, listened to at each rate",
    "stamp": "Stamps of frames under load",
    "capture": "Capture of numbered frames under load",
    "usb": "USB",
    "clock": "Clock",
    "card": "Card",
    "supply": "Supply",
    "power": "Power pulled",
}
_CLASSES = {PASS: "pass", FAIL: "fail", NOT_MEASURED: "not"}


def sheet_html(sheet: Sheet, reference: Mapping[str, Row]) -> str:
    """Return the page. `reference`: the rows of the emulated board by their keys."""
    n_fail = sum(row.verdict == FAIL for row in sheet.rows)
    n_open = sum(row.verdict == NOT_MEASURED for row in sheet.rows)
    verdict = f"{n_fail} rows failed" if n_fail else "passed"
    if n_open:
        verdict += f", {n_open} not measured"
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(sheet.t_unix_us // 1_000_000))
    facts = {
        "board": f"{sheet.board.kind}, {sheet.board.machine}",
        "chip": sheet.board.device_id,
        "MicroPython": sheet.board.micropython,
        "stagelog": sheet.stagelog,
        "when": when,
        "signed by": sheet.operator,
        "SHA-256 of the JSON": sha256_of(sheet.to_json()),
    }
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    lines = []
    section = ""
    for row in sheet.rows:
        if row.section != section:
            section = row.section
            lines.append(f'<tr><th class="section" colspan="5">{_TITLES[section]}</th></tr>')
        lines.append(_line(row, reference.get(row.key)))
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name="viewport" content="width=device-width">'
        f"<title>Bring-up of {escape(sheet.board.device_id)}</title><style>{_STYLE}</style></head>"
        f'<body><h1>Bring-up: <span class="{_CLASSES[sheet.verdict]}">{verdict}</span></h1>'
        f"<dl>{listed}</dl><table><thead><tr><th>what</th><th>this board</th><th>emulated board"
        "</th><th>passes</th><th>verdict</th></tr></thead><tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table></body></html>\n"
    )


def _line(row: Row, emulated: Row | None) -> str:
    notes = f'<span class="note"> {escape(row.note)}</span>' if row.note else ""
    action = f'<span class="do">{escape(row.action)}</span>' if row.verdict == FAIL else ""
    beside = (emulated.text or emulated.verdict) if emulated else ""
    return (
        f"<tr><td>{escape(row.title)}{notes}{action}</td>"
        f'<td class="value">{escape(row.text)}</td><td class="emulator">{escape(beside)}</td>'
        f'<td>{escape(row.limit)}</td><td class="{_CLASSES[row.verdict]}">{row.verdict}</td></tr>'
    )
