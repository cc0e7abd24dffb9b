"""Checks a message's layout: unique names, room for each signal, selectors that exist.

Renames drafts or leaves them out where they cannot be used, and reports each defect. Never raises.
"""

from collections.abc import Mapping, Sequence

from stagelog.dbc.drafts import DraftMessage, DraftSignal
from stagelog.dbc.model import Condition, Defect, Ranges, bits_of, last_byte


def repair_layouts(
    messages: list[DraftMessage],
    ranges: Mapping[tuple[int, str], Condition],
    defects: list[Defect],
) -> None:
    """Check drafts in place.

    ranges   of the SG_MUL_VAL_ statements, by (dbc_id, signal name)
    """
    taken: dict[int, DraftMessage] = {}
    for message in list(messages):
        first = taken.setdefault(message.dbc_id, message)
        if first is not message:
            of = f'"{first.name}" (line {first.line})'
            what = f'message "{message.name}" has the identifier of {of}'
            defects.append(Defect(message.line, what, "left out"))
            messages.remove(message)
    _unique_names(messages, "message", defects)
    for message in messages:
        _unique_names(message.signals, f'signal of "{message.name}":', defects)
        _repair_selectors(message, ranges, defects)
        _check_places(message, ranges, defects)


def _unique_names(
    items: Sequence[DraftMessage | DraftSignal], what: str, defects: list[Defect]
) -> None:
    taken: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for item in items:
        name = item.name
        if name in taken:
            k = numbers.get(name, 2)
            while f"{name}_{k}" in taken:
                k += 1
            numbers[name] = k + 1
            item.name = f"{name}_{k}"
            where = f"also on line {taken[name]}"
            defects.append(
                Defect(
                    item.line,
                    f'{what} name "{name}" is there twice, {where}',
                    f'read as "{item.name}"',
                )
            )
        taken[item.name] = item.line


def _repair_selectors(
    message: DraftMessage, ranges: Mapping[tuple[int, str], Condition], defects: list[Defect]
) -> None:
    """Leave out signals whose selector does not exist.

    Keep one selector where several stand without ranges.
    """
    extended = any(key[0] == message.dbc_id for key in ranges)
    roots = [s for s in message.signals if s.mux == "M"]
    for extra in () if extended else roots[1:]:
        what = f'message "{message.name}" has a second selector "{extra.name}" and no SG_MUL_VAL_'
        defects.append(Defect(extra.line, what, f'only "{roots[0].name}" selects'))
        extra.mux = ""
    for signal in list(message.signals):
        if signal.mux.endswith("M") and signal.mux != "M" and not extended:
            what = f'"{signal.name}" selects in its turn, and there is no SG_MUL_VAL_'
            defects.append(Defect(signal.line, what, "read as selected only"))
            signal.mux = signal.mux[:-1]
        if signal.mux.startswith("m") and not roots:
            what = f'signal "{signal.name}" is multiplexed, and "{message.name}" has no selector'
            defects.append(Defect(signal.line, what, "left out: when it is valid is not known"))
            message.signals.remove(signal)


def _check_places(
    message: DraftMessage, ranges: Mapping[tuple[int, str], Condition], defects: list[Defect]
) -> None:
    """Report signals that do not fit and signals that share bits while both are present."""
    bits: dict[int, _Bit] = {}
    root = next((s.name for s in message.signals if s.mux == "M"), "")
    for signal in message.signals:
        is_motorola = signal.order == "0"
        last = last_byte(signal.start, signal.length, is_motorola)
        if last >= message.n_bytes:
            room = f'the {message.n_bytes} bytes of "{message.name}"'
            what = f'signal "{signal.name}" does not fit into {room}'
            defects.append(
                Defect(signal.line, what, f"decoded only from frames of {last + 1} bytes and more")
            )
        if signal.length > 64:
            what = f'signal "{signal.name}" has {signal.length} bits'
            defects.append(Defect(signal.line, what, "not decoded: more than 64"))
            continue
        condition = ranges.get((message.dbc_id, signal.name)) or _condition(signal, root)
        others: set[str | None] = set()
        for bit in bits_of(signal.start, signal.length, is_motorola):
            others.add(bits.setdefault(bit, _Bit()).add(signal.name, condition))
        for other in sorted(name for name in others if name):
            what = f'signals "{other}" and "{signal.name}" of "{message.name}" share bits'
            defects.append(Defect(signal.line, what, "both decoded"))


class _Bit:
    """The signals that own one bit of a payload, found again without comparing each with each."""

    def __init__(self) -> None:
        self.first: str | None = None  # any owner at all
        self.always: str | None = None
        self.at_value: dict[tuple[str, int], str] = {}  # (selector, value) -> owner
        self.in_ranges: list[tuple[str, Ranges, str]] = []  # selector, ranges, owner

    def add(self, name: str, condition: Condition | None) -> str | None:
        """Register an owner and return the name of one that can be present together with it, or
        None.
        """
        other = self._find(condition)
        self.first = self.first or name
        if condition is None:
            self.always = self.always or name
        elif (value := _value_of(condition)) is not None:
            self.at_value.setdefault((condition[0], value), name)
        elif len(self.in_ranges) < 64:
            self.in_ranges.append((*condition, name))
        return other

    def _find(self, condition: Condition | None) -> str | None:
        if condition is None or self.always:
            return self.always or self.first
        selector, ranges = condition
        value = _value_of(condition)
        if value is not None:
            if (selector, value) in self.at_value:
                return self.at_value[selector, value]
        else:
            for (other_selector, other_value), name in self.at_value.items():
                if other_selector == selector and _meet(ranges, ((other_value, other_value),)):
                    return name
        for other_selector, other_ranges, name in self.in_ranges:
            if other_selector == selector and _meet(ranges, other_ranges):
                return name
        return None


def _condition(signal: DraftSignal, root: str) -> Condition | None:
    """Return (selector, ranges) under which a signal is present, None for always.

    root   the selector of its message, which stands for it where no SG_MUL_VAL_ names one
    """
    if signal.mux.startswith("m"):
        value = int(signal.mux[1:].rstrip("M"))
        return root, ((value, value),)
    return None


def _value_of(condition: Condition) -> int | None:
    (low, high), *more = condition[1]
    return low if low == high and not more else None


def _meet(ranges: Ranges, others: Ranges) -> bool:
    return any(a[0] <= b[1] and b[0] <= a[1] for a in ranges for b in others)
