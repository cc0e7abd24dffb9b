"""Where the frames of a message come from: on which bus, and in J1939 from which source address.

Two control units that send one message are two sources of one signal. Rows of a table carry bus
and source; where there is one series per signal only (a picture, a resampled table, a channel) the
message is split, one for each origin, named `Engine@bus1` or `EEC1@sa03`. Values are never mixed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stagelog.decode.missing import Missing
from stagelog.decode.plan import Plan
from stagelog.decode.tables import Decoded, MessageTable


class Origin(NamedTuple):
    """`source` is a J1939 source address, None for messages that are not of J1939."""

    bus: int
    source: int | None


class Origins:
    """Collects the origins of each message, table after table."""

    def __init__(self) -> None:
        self._keys: dict[str, set[int]] = {}

    def add(self, decoded: Decoded) -> None:
        """Take the origins of the rows in a Decoded."""
        for name, table in decoded.messages.items():
            if len(table):
                keys = np.flatnonzero(np.bincount(_keys(table)))
                self._keys.setdefault(name, set()).update(keys.tolist())

    def watch(self, decoded: Iterable[Decoded]) -> Iterator[Decoded]:
        """Yield what is decoded unchanged, and collect its origins."""
        for each in decoded:
            self.add(each)
            yield each

    def of(self, name: str) -> list[Origin]:
        """Return the origins of a message, in order."""
        return [_origin(key) for key in sorted(self._keys.get(name, ()))]

    def names(self) -> dict[str, dict[Origin, str]]:
        """Return, for each message with several origins, its name for each of them."""
        named = {}
        for name in self._keys:
            origins = self.of(name)
            if len(origins) > 1:
                several_buses = len({origin.bus for origin in origins}) > 1
                several_sources = len({origin.source for origin in origins}) > 1
                named[name] = {
                    origin: name
                    + f"@bus{origin.bus}" * several_buses
                    + (f"@sa{origin.source:02X}" if several_sources else "")
                    for origin in origins
                }
        return named

    def warnings(self, what: str, what_of_sources: str = "") -> list[str]:
        """Return a line for each message that comes on several buses, or from several sources.

        what, what_of_sources  what was done with it; by default the same
        """
        lines = []
        for name in self._keys:
            origins = self.of(name)
            buses = sorted({str(origin.bus) for origin in origins}, key=int)
            sources = sorted({f"{o.source:02X}" for o in origins if o.source is not None})
            if len(buses) > 1:
                on = f"{name} comes on buses {_listed(buses)}"
                lines.append(f"{on}: {what}; --bus takes one of them")
            if len(sources) > 1:
                by = f"{name} comes from J1939 sources {_listed(sources)}"
                lines.append(f"{by}: {what_of_sources or what}")
        return lines


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}"


def find_origins(decoded: Iterable[Decoded]) -> Origins:
    """Return the Origins of all that is decoded."""
    origins = Origins()
    for each in decoded:
        origins.add(each)
    return origins


def split(decoded: Decoded, names: dict[str, dict[Origin, str]]) -> Decoded:
    """Return a Decoded in which each message with several origins is one message for each.

    names   of Origins.names() of the whole log, so that all its chunks get the same names
    """
    messages = {}
    for name, table in decoded.messages.items():
        if name not in names:
            messages[name] = table
            continue
        keys = _keys(table)
        for key in np.flatnonzero(np.bincount(keys)).tolist():
            part = _rows(table, np.flatnonzero(keys == key), names[name][_origin(key)])
            messages[part.name] = part
    return replace(decoded, messages=messages)


def split_plan(plan: Plan, names: dict[str, dict[Origin, str]]) -> Plan:
    """Return a Plan whose messages have the names that split() gives; decode with the old one."""
    messages = []
    for each in plan.messages:
        new = names.get(each.message.name)
        wanted = [each.message.name] if new is None else new.values()
        messages += [replace(each, message=replace(each.message, name=name)) for name in wanted]
    return replace(plan, messages=messages)


def _keys(table: MessageTable) -> NDArray[np.int64]:
    """Return one number per row: bus << 9 | source + 1, or 0 for no source."""
    keys = table.bus.astype(np.int64) << 9
    return keys if table.source is None else keys | (table.source.astype(np.int64) + 1)


def _origin(key: int) -> Origin:
    source = (key & 511) - 1
    return Origin(key >> 9, None if source < 0 else source)


def _rows(table: MessageTable, rows: NDArray[np.intp], name: str) -> MessageTable:
    """Return some rows of a MessageTable, under another name."""
    part = MessageTable(
        replace(table.message, name=name),
        table.t_us[rows],
        table.bus[rows],
        None if table.source is None else table.source[rows],
    )
    part.t_unix_us = None if table.t_unix_us is None else table.t_unix_us[rows]
    for signal, values in table.signals.items():
        present = table.rows.get(signal)
        if present is None:
            part.signals[signal] = values[rows]
            continue
        is_here = np.isin(present, rows)
        part.signals[signal] = values[is_here]
        part.rows[signal] = np.searchsorted(rows, present[is_here])
    for signal, missing in table.missing.items():
        is_here = np.isin(missing.rows, rows)
        if is_here.any():
            at = np.searchsorted(rows, missing.rows[is_here])
            part.missing[signal] = Missing(at, missing.kinds[is_here])
    return part
