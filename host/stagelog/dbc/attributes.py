"""Attributes of a DBC: their definitions, defaults and values, as far as they can be used.

Owns BA_DEF_, BA_DEF_DEF_ and BA_. An attribute without definition gets the usual one if it is well
known, else it is left out with a defect.
"""

from __future__ import annotations

import re
from typing import Protocol

from stagelog.dbc.drafts import NUMBER, DraftMessage, DraftSignal
from stagelog.dbc.statements import Statement

_TEXT = r'"(?:\\"|[^"])*"'
_DEFINITION = re.compile(
    r'BA_DEF_\s+(?:(SG_|BO_|EV_|BU_)\s+)?"(\w+)"\s+([A-Z]+)\s*(.*)', re.DOTALL
)
_DEFAULT = re.compile(rf'BA_DEF_DEF_\s+"(\w+)"\s*({_TEXT}|{NUMBER})', re.DOTALL)
_VALUE = re.compile(
    rf'BA_\s+"(\w+)"\s+(?:(BO_)\s+(\d+)\s+|(SG_)\s+(\d+)\s+(\S+)\s+|(BU_|EV_)\s+(\S+)\s+)?({_TEXT}|{NUMBER})',
    re.DOTALL,
)
_FRAME_FORMATS = ["StandardCAN", "ExtendedCAN", "reserved", "J1939PG", *["reserved"] * 10]
_FRAME_FORMATS += ["StandardCAN_FD", "ExtendedCAN_FD"]
_USUAL = {
    "GenMsgCycleTime": ("BO_", "INT", "0 3600000"),
    "GenMsgSendType": ("BO_", "STRING", ""),
    "VFrameFormat": ("BO_", "ENUM", ",".join(f'"{f}"' for f in _FRAME_FORMATS)),
    "SystemMessageLongSymbol": ("BO_", "STRING", ""),
    "SystemSignalLongSymbol": ("SG_", "STRING", ""),
    "SPN": ("SG_", "INT", "0 524287"),
    "GenSigStartValue": ("SG_", "FLOAT", "0 0"),
    "BusType": ("", "STRING", ""),
    "DBName": ("", "STRING", ""),
    "ProtocolType": ("", "STRING", ""),
    "Baudrate": ("", "INT", "0 8000000"),
}


class Repairer(Protocol):
    """The file that is repaired, as far as attributes need it."""

    statements: list[Statement]
    nodes: list[str]

    def report(self, statement: Statement, what: str, done: str) -> None:
        """Add a defect at the line of a statement."""

    def find_message(self, statement: Statement, number: str) -> DraftMessage | None:
        """Return the draft that a statement refers to; report the defect if there is none."""

    def find_signal(
        self, statement: Statement, number: str, name: str
    ) -> tuple[DraftMessage, DraftSignal] | None:
        """Return (message, signal) that a statement refers to, or None; report the defect."""


class Definitions:
    """The attributes of one file; `lines()` gives those that can be used as DBC text."""

    def __init__(self, repairer: Repairer) -> None:
        self.repairer = repairer
        self.definitions: dict[str, tuple[str, str, str]] = {}  # name -> (kind, type, rest)
        self.defaults: dict[str, str] = {}
        self.values: list[str] = []
        for statement in repairer.statements:
            if statement.keyword == "BA_DEF_":
                self.read_definition(statement)
        for statement in repairer.statements:
            if statement.keyword == "BA_DEF_DEF_":
                self.read_default(statement)
        if self.definitions.get("VFrameFormat", ("", "ENUM"))[1] == "INT":
            self.defaults.setdefault("VFrameFormat", "0")

    def read_definition(self, statement: Statement) -> None:
        match = _DEFINITION.fullmatch(statement.text)
        if not match or match[3] not in ("INT", "HEX", "FLOAT", "STRING", "ENUM"):
            self.repairer.report(statement, f"not understood: {statement.text[:60]}", "left out")
            return
        kind, name, type_name, rest = match[1] or "", match[2], match[3], match[4].strip()
        if type_name == "ENUM":
            texts = re.findall(_TEXT, rest)
            if not texts:
                self.repairer.report(
                    statement, f'attribute "{name}" is an ENUM of nothing', "left out"
                )
                return
            rest = ",".join(texts)
        elif type_name != "STRING":
            numbers = re.findall(NUMBER, rest)
            rest = " ".join(numbers) if len(numbers) == 2 else "0 0"
        else:
            rest = ""
        self.definitions[name] = (kind, type_name, rest)

    def read_default(self, statement: Statement) -> None:
        match = _DEFAULT.fullmatch(statement.text)
        if not match:
            self.repairer.report(statement, f"not understood: {statement.text[:60]}", "left out")
        elif match[1] not in self.definitions:
            what = f'default for attribute "{match[1]}", which is not defined'
            self.repairer.report(statement, what, "left out")
        else:
            value = self.repair_value(match[1], match[2], is_default=True)
            if value is None:
                what = f'attribute "{match[1]}" cannot be {match[2][:40]}'
                self.repairer.report(statement, what, "left out")
            else:
                self.defaults[match[1]] = value

    def read_attribute(self, statement: Statement) -> None:
        match = _VALUE.fullmatch(statement.text)
        if not match:
            self.repairer.report(statement, f"not understood: {statement.text[:60]}", "left out")
            return
        name = match[1]
        if name not in self.definitions:
            if name not in _USUAL:
                self.repairer.report(statement, f'attribute "{name}" is not defined', "left out")
                return
            self.repairer.report(
                statement, f'attribute "{name}" is not defined', "the usual meaning"
            )
            self.definitions[name] = _USUAL[name]
        value = self.repair_value(name, match[9])
        if value is None:
            what = f'attribute "{name}" cannot be {match[9][:40]}'
            self.repairer.report(statement, what, "left out")
            return
        target = self.find_target(statement, match)
        if target is not None:
            self.values.append(f'BA_ "{name}" {target}{value};')

    def find_target(self, statement: Statement, match: re.Match[str]) -> str | None:
        if match[2]:
            message = self.repairer.find_message(statement, match[3])
            return f"BO_ {message.dbc_id} " if message else None
        if match[4]:
            found = self.repairer.find_signal(statement, match[5], match[6])
            return f"SG_ {found[0].dbc_id} {found[1].name} " if found else None
        if match[7]:
            return (
                f"BU_ {match[8]} "
                if match[7] == "BU_" and match[8] in self.repairer.nodes
                else None
            )
        return ""

    def repair_value(self, name: str, text: str, is_default: bool = False) -> str | None:
        """Return a value as its definition wants it, or None if that cannot be."""
        _, type_name, rest = self.definitions[name]
        plain = text[1:-1].strip() if text[0] == '"' else text
        if type_name == "STRING":
            return text if text[0] == '"' else f'"{text}"'
        if type_name == "ENUM":
            choices = [t[1:-1] for t in re.findall(_TEXT, rest)]
            if is_default:
                return text if plain in choices or text[0] == '"' else None
            if plain in choices:
                return str(choices.index(plain))
            return plain if plain.isdigit() and int(plain[:9]) < len(choices) else None
        if not re.fullmatch(NUMBER, plain) or abs(float(plain)) > 1e300:
            return None
        return plain if type_name == "FLOAT" else str(int(float(plain)))

    def lines(self) -> list[str]:
        """Return definitions, defaults and values as DBC text."""
        lines = []
        for name, (kind, type_name, rest) in self.definitions.items():
            lines.append(f'BA_DEF_ {kind} "{name}" {type_name} {rest};')
        lines += [f'BA_DEF_DEF_ "{name}" {value};' for name, value in self.defaults.items()]
        return lines + self.values
