"""Reads any DBC text, lists its defects, and writes it again so that a strict parser accepts it.

Owns the statements beside messages and signals: value tables, comments, attributes, multiplexing,
float types. What refers to nothing is left out. `Repaired.text` holds what decoding and encoding
need; signal groups, environment variables and relations are not carried over. Never raises.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from stagelog.dbc import attributes
from stagelog.dbc.drafts import (
    INDEPENDENT,
    NUMBER,
    DraftMessage,
    DraftSignal,
    parse_message,
    parse_signal,
)
from stagelog.dbc.layout import repair_layouts
from stagelog.dbc.model import Condition, Defect
from stagelog.dbc.statements import RESERVED, Statement, split_statements

_TEXT = r'"(?:\\"|[^"])*"'
_PAIR = re.compile(rf"({NUMBER}|0[xX][0-9a-fA-F]+)\s*({_TEXT})")
_VAL = re.compile(r"VAL_\s+(\d+)\s+(\S+)\s*(.*)", re.DOTALL)
_VAL_TABLE = re.compile(r"VAL_TABLE_\s+(\w+)\s*(.*)", re.DOTALL)
_CM = re.compile(
    rf"CM_\s+(?:(SG_)\s+(\d+)\s+(\S+)|(BO_)\s+(\d+)|(BU_|EV_)\s+(\S+))?\s*({_TEXT})", re.DOTALL
)
_VALTYPE = re.compile(r"SIG_VALTYPE_\s+(\d+)\s+(\S+?)\s*:?\s*([0-3])")
_MUL = re.compile(r"SG_MUL_VAL_\s+(\d+)\s+(\S+)\s+(\S+)\s+(.*)", re.DOTALL)
_RANGE = re.compile(r"(\d{1,18})\s*-\s*(\d{1,18})")
_SENDERS = re.compile(r"BO_TX_BU_\s+(\d+)\s*:?\s*(.*)", re.DOTALL)
_IMPORT = re.compile(r'"IMPORT\s+(\S+)"')
MAX_IDS_IN_TEXT = 256  # some parsers expand ranges into lists: keep those short


@dataclass(slots=True)
class Repaired:
    """A DBC text after repair.

    `ranges`: (dbc_id, signal) -> (selector, ((low, high), ...)), unclipped.
    """

    text: str
    defects: list[Defect]
    messages: list[DraftMessage]
    ranges: dict[tuple[int, str], Condition]
    is_changed: bool


def repair(text: str) -> Repaired:
    """Return Repaired for any text."""
    return _Repairer(text).run()


class _Repairer:
    def __init__(self, text: str) -> None:
        self.statements = split_statements(text)
        self.defects: list[Defect] = []
        self.messages: list[DraftMessage] = []
        self.by_id: dict[int, DraftMessage] = {}  # by the identifier in the file
        self.tables: dict[str, str] = {}
        self.ranges: dict[tuple[int, str], Condition] = {}
        self.out: list[str] = []  # statements after the messages
        self.version = '""'
        self.nodes: list[str] = []

    def run(self) -> Repaired:
        for statement in self.statements:
            if statement.is_torn:
                what = f"{statement.keyword or 'text'} has no proper end"
                self.report(statement, what, "read as far as it goes")
        self.read_messages()
        for statement in self.statements:
            if statement.keyword == "SG_MUL_VAL_":
                self.read_ranges(statement)
        repair_layouts(self.messages, self.ranges, self.defects)
        kept = {id(m) for m in self.messages}
        self.by_id = {k: m for k, m in self.by_id.items() if id(m) in kept}
        self.write_ranges()
        definitions = attributes.Definitions(self)
        readers: dict[str, Callable[[Statement], None]] = {
            "VAL_": self.read_values,
            "CM_": self.read_comment,
            "SIG_VALTYPE_": self.read_float,
            "BO_TX_BU_": self.read_senders,
            "BA_": definitions.read_attribute,
            "": lambda s: self.report(s, f"not understood: {s.text[:60]}", "left out"),
        }
        for statement in self.statements:
            reader = readers.get(statement.keyword)
            if reader:
                reader(statement)
        self.defects.sort(key=lambda d: d.line)
        return Repaired(
            self.write(definitions), self.defects, self.messages, self.ranges, bool(self.defects)
        )

    def report(self, statement: Statement, what: str, done: str) -> None:
        """Add a defect at the line of a statement."""
        self.defects.append(Defect(statement.line, what, done))

    def find_message(self, statement: Statement, number: str) -> DraftMessage | None:
        """Return the draft that a statement refers to; report the defect if there is none."""
        draft = self.by_id.get(int(number[:12]))
        if draft is None and int(number[:12]) != INDEPENDENT:
            self.report(
                statement,
                f"{statement.keyword} for message {number[:12]}, which is not there",
                "left out",
            )
        return draft

    def find_signal(
        self, statement: Statement, number: str, name: str
    ) -> tuple[DraftMessage, DraftSignal] | None:
        """Return (message, signal) that a statement refers to, or None; report the defect."""
        message = self.find_message(statement, number)
        if message is None:
            return None
        signal = message.find(name)
        if signal is None:
            what = (
                f'{statement.keyword} for signal "{name}" of "{message.name}", which is not there'
            )
            self.report(statement, what, "left out")
            return None
        return message, signal

    def read_messages(self) -> None:
        """Read VERSION, BS_, BU_, BO_, SG_ and value tables."""
        current = None
        for statement in self.statements:
            keyword = statement.keyword
            if keyword == "BO_":
                current = parse_message(statement, self.defects)
                if current and current.dbc_id != INDEPENDENT:
                    self.messages.append(current)
                    self.by_id.setdefault(current.file_id, current)
            elif keyword == "SG_":
                self.read_signal(statement, current)
            elif keyword == "VERSION":
                texts = re.findall(_TEXT, statement.text)
                self.version = texts[0] if texts else '""'
            elif keyword == "BU_":
                names = statement.text.partition(":")[2].split()
                good = [n for n in names if _is_name(n)]
                self.nodes += good
                if len(good) < len(names):
                    self.report(
                        statement, "BU_ holds names that are no identifiers", "those left out"
                    )
            elif keyword == "BS_" and statement.text.partition(":")[2].strip():
                self.report(
                    statement, f"BS_ states a bit rate: {statement.text[:40]}", "read without it"
                )
            elif keyword == "VAL_TABLE_":
                match = _VAL_TABLE.fullmatch(statement.text)
                if match:
                    self.tables[match[1]] = match[2]

    def read_signal(self, statement: Statement, message: DraftMessage | None) -> None:
        if message is None:
            self.report(
                statement, f"signal outside of a message: {statement.text[:40]}", "left out"
            )
        elif draft := parse_signal(statement, self.defects):
            message.signals.append(draft)

    def read_ranges(self, statement: Statement) -> None:
        match = _MUL.fullmatch(statement.text)
        given = [(int(a), int(b)) for a, b in _RANGE.findall(match[4])] if match else []
        if match is None or not given:
            self.report(statement, f"not understood: {statement.text[:60]}", "left out")
            return
        found = self.find_signal(statement, match[1], match[2])
        if found is None:
            return
        selector = found[0].find(match[3])
        if selector is None:
            what = f'SG_MUL_VAL_ names selector "{match[3]}", which is not there'
            self.report(statement, what, "left out")
        elif "M" not in selector.mux:
            self.report(statement, f'SG_MUL_VAL_: "{match[3]}" is no selector', "left out")
        else:
            top = (1 << min(selector.length, 64)) - 1
            ranges = tuple(sorted((a, min(b, top)) for a, b in given if a <= min(b, top)))
            if ranges:
                self.ranges[found[0].dbc_id, found[1].name] = (selector.name, ranges)
                self.mark_selected(statement, found[1], ranges[0][0])

    def mark_selected(self, statement: Statement, signal: DraftSignal, value: int) -> None:
        """Add the multiplexer mark that a signal named in SG_MUL_VAL_ lacks."""
        if signal.mux == "M":
            signal.mux = f"m{value}M"  # some writers leave the first half out
        elif not signal.mux:
            signal.mux = f"m{value}"
            self.report(
                statement, f'SG_MUL_VAL_ for "{signal.name}", which has no mark', "multiplexed"
            )

    def write_ranges(self) -> None:
        names = {m.dbc_id: {s.name for s in m.signals} for m in self.messages}
        for (number, name), (selector, ranges) in list(self.ranges.items()):
            if not {name, selector} <= names.get(number, set()):
                del self.ranges[number, name]
                continue
            left, pairs = MAX_IDS_IN_TEXT, []
            for low, high in ranges:
                if left > 0:
                    pairs.append(f"{low}-{min(high, low + left - 1)}")
                    left -= high - low + 1
            self.out.append(f"SG_MUL_VAL_ {number} {name} {selector} {', '.join(pairs)};")

    def read_values(self, statement: Statement) -> None:
        match = _VAL.fullmatch(statement.text)
        if not match:
            if not re.match(r"VAL_\s+[A-Za-z_]", statement.text):
                self.report(statement, f"not understood: {statement.text[:60]}", "left out")
            return
        found = self.find_signal(statement, match[1], match[2])
        if not found:
            return
        body: str = self.tables.get(match[3].strip(), match[3])
        pairs: dict[int, str] = {}
        for number, text in _PAIR.findall(body):
            whole = int(number, 16) if "x" in number.lower() else float(number)
            if abs(whole) < 2**64 and whole == int(whole):
                pairs.setdefault(int(whole), text)
            else:
                self.report(
                    statement, f"VAL_ names {number[:20]}, which no raw value is", "left out"
                )
        if _PAIR.sub("", body).strip():
            self.report(
                statement,
                f"VAL_ holds what is no value: {_PAIR.sub('', body).strip()[:40]}",
                "left out",
            )
        if pairs:
            body = " ".join(f"{k} {v}" for k, v in pairs.items())
            self.out.append(f"VAL_ {found[0].dbc_id} {found[1].name} {body} ;")

    def read_comment(self, statement: Statement) -> None:
        match = _CM.fullmatch(statement.text)
        if not match:
            self.report(statement, f"not understood: {statement.text[:60]}", "left out")
            return
        fragment = _IMPORT.fullmatch(match[8])
        if fragment:
            what = f"this is a fragment that imports {fragment[1]}"
            self.report(statement, what, "not followed: load the file that is generated from it")
        if match[1]:
            found = self.find_signal(statement, match[2], match[3])
            if found:
                self.out.append(f"CM_ SG_ {found[0].dbc_id} {found[1].name} {match[8]};")
        elif match[4]:
            message = self.find_message(statement, match[5])
            if message:
                self.out.append(f"CM_ BO_ {message.dbc_id} {match[8]};")
        elif not match[6]:
            self.out.append(f"CM_ {match[8]};")

    def read_float(self, statement: Statement) -> None:
        match = _VALTYPE.fullmatch(statement.text)
        if not match:
            self.report(statement, f"not understood: {statement.text[:60]}", "left out")
            return
        found = self.find_signal(statement, match[1], match[2])
        if not found or match[3] in "03":
            return
        n_bits = 32 if match[3] == "1" else 64
        if found[1].length != n_bits:
            name, length = found[1].name, found[1].length
            what = f'"{name}" is said to be a float of {n_bits} bits and has {length}'
            self.report(statement, what, "read as an integer")
            return
        self.out.append(f"SIG_VALTYPE_ {found[0].dbc_id} {found[1].name} : {match[3]};")

    def read_senders(self, statement: Statement) -> None:
        match = _SENDERS.fullmatch(statement.text)
        message = self.find_message(statement, match[1]) if match else None
        names = [n for n in re.split(r"[,\s]+", match[2]) if _is_name(n)] if match else []
        if message and names:
            self.out.append(f"BO_TX_BU_ {message.dbc_id} : {','.join(names)};")

    def write(self, definitions: attributes.Definitions) -> str:
        """Return the repaired text."""
        head = [
            f"VERSION {self.version}",
            "NS_ :",
            "",
            "BS_:",
            "",
            "BU_: " + " ".join(dict.fromkeys(self.nodes)),
        ]
        body = [m.text() for m in self.messages]
        return "\n".join([*head, *body, *definitions.lines(), *self.out]) + "\n"


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is not None and text not in RESERVED
