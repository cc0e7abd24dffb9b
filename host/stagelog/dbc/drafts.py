"""Messages and signals of a DBC while they are read and repaired, and their form as DBC text.

Owns the grammar of BO_ and SG_ and the repair of names and numbers. Each repair is added to a list
of defects.
"""

import re
from dataclasses import dataclass, field

from stagelog.dbc.model import Defect
from stagelog.dbc.statements import RESERVED, Statement

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
MAX_BYTES = 255 * 7  # of J1939's transport; a parser makes tables of a message's bits
MAX_START = MAX_BYTES * 8
_EXT = 0x80000000
INDEPENDENT = 0xC0000000  # VECTOR_INDEPENDENT_SIG_MSG holds signals of no message

_NUMBER = re.compile(NUMBER)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,8}")
_BO = re.compile(r"BO_\s+(\S+)\s+(.+?)\s*:\s*(\S+)(?:\s+(.*))?", re.DOTALL)
_SG_HEAD = re.compile(r"SG_\s+(\S.*?)\s*:\s*(.*)", re.DOTALL)
_SG_LAYOUT = re.compile(
    rf"({NUMBER})\s*\|\s*({NUMBER})\s*@\s*([01])\s*([+-])\s*"
    rf"\(\s*({NUMBER})\s*[,;]\s*({NUMBER})\s*\)\s*(.*)",
    re.DOTALL,
)
_SG_LIMITS = re.compile(r"\[\s*([^|\]]*?)\s*\|\s*([^|\]]*?)\s*\]\s*(.*)", re.DOTALL)
_SG_UNIT = re.compile(r'("(?:\\"|[^"])*")\s*(.*)', re.DOTALL)
_MUX = re.compile(r"M|m?(\d+)(M?)")


@dataclass(slots=True)
class DraftSignal:
    """One SG_ statement. `mux` is "", "M", "m3" or "m3M"; numbers are canonical text."""

    name: str
    mux: str
    start: int
    length: int
    order: str
    sign: str
    scale: str
    offset: str
    minimum: str
    maximum: str
    unit: str
    receivers: list[str]
    line: int
    original_name: str = ""

    def text(self) -> str:
        """Return the statement as DBC text."""
        limits = f"[{self.minimum}|{self.maximum}]"
        conversion = f"({self.scale},{self.offset})"
        layout = f"{self.start}|{self.length}@{self.order}{self.sign}"
        who = ",".join(self.receivers)
        return f" SG_ {self.name} {self.mux}: {layout} {conversion} {limits} {self.unit} {who}"


@dataclass(slots=True)
class DraftMessage:
    """One BO_ statement with its signals.

    `dbc_id` has bit 31 set for 29-bit identifiers, `file_id` as it stood.
    """

    file_id: int
    dbc_id: int
    name: str
    n_bytes: int
    sender: str
    line: int
    signals: list[DraftSignal] = field(default_factory=list)

    def find(self, name: str) -> DraftSignal | None:
        """Return the signal that had this name in the file, or None."""
        for signal in self.signals:
            if signal.original_name == name:
                return signal
        return None

    def text(self) -> str:
        """Return the statements as DBC text."""
        head = f"BO_ {self.dbc_id} {self.name}: {self.n_bytes} {self.sender}"
        return "\n".join([head, *(s.text() for s in self.signals)]) + "\n"


def repair_number(text: str) -> tuple[str | None, bool]:
    """Return (canonical text or None, True if it had to be changed)."""
    text = text.strip()
    if not _NUMBER.fullmatch(text) or not abs(float(text)) < float("inf"):
        return None, True
    sign, digits = ("-" if text[0] == "-" else ""), text.lstrip("+-")
    if digits[0] == ".":
        return f"{sign}0{digits}", True
    return text, False


def repair_name(text: str, line: int, what: str, defects: list[Defect]) -> str:
    """Return a C identifier for a name; report a defect if the name was not one."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    if name[:1].isdigit() or name in RESERVED:
        name = "_" + name
    if name != text:
        why = "starts with a digit" if text[:1].isdigit() else "is not an identifier"
        defects.append(Defect(line, f'{what} "{text}" {why}', f'read as "{name}"'))
    return name or "_"


def parse_message(statement: Statement, defects: list[Defect]) -> DraftMessage | None:
    """Return a DraftMessage, or None if the statement is beyond repair."""
    line = statement.line
    match = _BO.fullmatch(statement.text)
    number = _whole(match[1]) if match else None
    n_bytes = _whole(match[3]) if match else None
    if (
        match is None
        or number is None
        or n_bytes is None
        or number > 0xFFFFFFFF
        or (min(number, n_bytes) < 0)
    ):
        defects.append(Defect(line, f"not a message: {_short(statement.text)}", "left out"))
        return None
    if n_bytes > MAX_BYTES:
        defects.append(
            Defect(line, f'message "{match[2]}" has {n_bytes:,} bytes', f"read as {MAX_BYTES:,}")
        )
    sender = (match[4] or "").split()[:1]
    if not sender:
        defects.append(Defect(line, f'message "{match[2]}" names no sender', "read without"))
    return DraftMessage(
        file_id=number,
        dbc_id=_repair_identifier(number, match[2], line, defects),
        name=repair_name(match[2], line, "message name", defects),
        n_bytes=min(n_bytes, MAX_BYTES),
        sender=_quiet_name(sender[0]) if sender else "Vector__XXX",
        line=line,
    )


def parse_signal(statement: Statement, defects: list[Defect]) -> DraftSignal | None:
    """Return a DraftSignal, or None if the statement is beyond repair."""
    line = statement.line
    head = _SG_HEAD.fullmatch(statement.text)
    layout = _SG_LAYOUT.fullmatch(head[2]) if head else None
    if head is None or layout is None:
        defects.append(Defect(line, f"not a signal: {_short(statement.text)}", "left out"))
        return None
    name, _, mux = head[1].strip().partition(" ")
    start, length = _whole(layout[1]), _whole(layout[2])
    if start is None or length is None or not _is_place(start, length):
        what = f'signal "{name}" has no place in a payload ({layout[1]}|{layout[2]})'
        defects.append(Defect(line, what, "left out"))
        return None
    numbers: dict[str, str] = {}
    minimum, maximum, rest = _limits(layout[7])
    for key, text in (
        ("scale", layout[5]),
        ("offset", layout[6]),
        ("minimum", minimum),
        ("maximum", maximum),
    ):
        repaired, changed = repair_number(text)
        numbers[key] = repaired or ("1" if key == "scale" else "0")
        if changed:
            what = f'signal "{name}" has {key} "{text}"'
            defects.append(Defect(line, what, f"read as {numbers[key]}"))
    unit = _SG_UNIT.match(rest)
    receivers = re.split(r"[,\s]+", (unit[2] if unit else rest.strip('"')).strip())
    receivers = [_quiet_name(r) for r in receivers if r]
    if not unit or not receivers:
        missing = "unit" if not unit else "receiver"
        defects.append(Defect(line, f'signal "{name}" names no {missing}', "read without"))
    draft = DraftSignal(
        name=repair_name(name, line, "signal name", defects),
        original_name=name,
        mux=_repair_mux(mux.strip(), name, line, defects),
        start=start,
        length=length,
        order=layout[3],
        sign=layout[4],
        unit=unit[1] if unit else '""',
        receivers=receivers or ["Vector__XXX"],
        line=line,
        **numbers,
    )
    _check_numbers(draft, defects)
    return draft


def _check_numbers(draft: DraftSignal, defects: list[Defect]) -> None:
    if float(draft.scale) == 0:
        defects.append(Defect(draft.line, f'signal "{draft.name}" has scale 0', "read as 1"))
        draft.scale = "1"
    if float(draft.minimum) > float(draft.maximum):
        what = f'signal "{draft.name}" has minimum {draft.minimum} > maximum {draft.maximum}'
        defects.append(Defect(draft.line, what, "read without limits"))
        draft.minimum = draft.maximum = "0"


def _repair_identifier(number: int, name: str, line: int, defects: list[Defect]) -> int:
    if number == INDEPENDENT or (number & _EXT and not number & 0x60000000):
        return number
    if number & 0x60000000:
        repaired = number & 0x9FFFFFFF | (_EXT if number & 0x1FFFFFFF > 0x7FF else 0)
        what = f'message "{name}" has an identifier of more than 29 bits (0x{number:X})'
        defects.append(Defect(line, what, f"read as 0x{repaired & 0x1FFFFFFF:X}"))
        return repaired
    if number > 0x7FF:
        what = f'message "{name}": 29-bit identifier 0x{number:X} without the flag (bit 31)'
        defects.append(Defect(line, what, "read as 29 bits"))
        return number | _EXT
    return number


def _repair_mux(text: str, name: str, line: int, defects: list[Defect]) -> str:
    if not text:
        return ""
    if text == "m":
        what = f'signal "{name}" has multiplexer mark "m" without a value'
        defects.append(Defect(line, what, "read as the selector"))
        return "M"
    match = _MUX.fullmatch(text)
    if not match:
        what = f'signal "{name}" has multiplexer mark "{text}"'
        defects.append(Defect(line, what, "read as not multiplexed"))
        return ""
    repaired = "M" if text == "M" else f"m{int(match[1][:9])}{match[2]}"
    if text[0] not in "Mm":
        what = f'signal "{name}" has multiplexer mark "{text}"'
        defects.append(Defect(line, what, f'read as "{repaired}"'))
    return repaired


def _limits(text: str) -> tuple[str, str, str]:
    match = _SG_LIMITS.match(text)
    return (match[1], match[2], match[3]) if match else ("0", "0", text)


def _is_place(start: int, length: int) -> bool:
    return 0 <= start < MAX_START and 0 < length <= MAX_START


def _whole(text: str) -> int | None:
    """Return an integer, also from `8.0`, or None."""
    if text.isdecimal() and len(text) <= 12:
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if not _NUMBER.fullmatch(text) or len(text) > 24 or abs(float(text)) > 1e12:
        return None
    return int(float(text)) if float(text).is_integer() else None


def _quiet_name(text: str) -> str:
    """Return a node name that any parser takes.

    Nodes matter to no decoder, so this is no defect.
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return "_" + name if not name or name[0].isdigit() or name in RESERVED else name


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
