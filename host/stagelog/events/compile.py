"""Compile DBC and car profile into the signal table that the logger watches the bus with.

Owns the step from physical limits to raw integers. An entry that the DBC cannot carry is a
TableProblem, an InputError with file, line and entry. The layout is slog.signal_table's.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from slog import signal_table as st
from slog.messages import MAX_CONFIG_BYTES
from stagelog.dbc import Database, Message, Signal, load_database
from stagelog.errors import InputError
from stagelog.events import detector_rows as rows_of
from stagelog.events.alarm_rows import AlarmNames, alarm_sections
from stagelog.events.signal_rows import Row, signal_row
from stagelog.profile import place_of
from stagelog.profile.schema import Profile
from stagelog.profile.toml_lines import Keys

__all__ = ["SignalTable", "TableProblem", "compile_table"]


class TableProblem(InputError):
    """A profile entry that does not fit into a signal table."""

    def __init__(self, profile: Profile, entry: Keys, text: str) -> None:
        file, line = place_of(profile.path, entry)
        super().__init__(f"{file}, line {line}: {text}", hint="correct the profile or the DBC")


@dataclass(frozen=True, slots=True)
class SignalTable:
    """A compiled table: `data` for the logger, names for the readers of its events.

    data     bytes, at most 16 KiB
    signals  names by index
    units    units by index of the signal
    alarms   {number: (profile key, signal name, unit)}
    slots    message names by slot
    """

    data: bytes
    signals: list[str]
    units: list[str]
    alarms: AlarmNames
    slots: list[str]


# (role, entry of [roles], its elements, unit in the DBC, how many units of the role are one of it)
_ROLES = (
    (st.ACC_X, "acceleration", 3, "m/s^2", 1000 / 9.80665),
    (st.RATE_X, "rates", 3, "deg/s", math.pi / 180 * 1024),
    (st.DAMPER, "damper", 4, "mm", 100),
    (st.WHEEL, "wheel_speed", 4, "km/h", 100),
    (st.FLIGHT_STATE, "flight_state", 1, "", 1),
    (st.RPM, "engine_speed", 1, "rpm", 1),
    (st.PEDAL, "pedal", 1, "%", 10),
    (st.GEAR, "gear", 1, "", 1),
    (st.FUEL_USED, "fuel_used", 1, "l", 1000),
    (st.LEVEL, "fuel_level", 2, "mm", 100),
    (st.DIFF, "diff_temperature", 2, "degC", 100),
    (st.SLIP, "axle_slip", 2, "km/h", 100),
    (st.OUT_TORQUE, "output_torque", 1, "Nm", 1),
    (st.AMBIENT, "ambient_temperature", 1, "degC", 100),
    (st.HANDBRAKE, "handbrake_pressure", 1, "kPa", 1),
    (st.ACKNOWLEDGE, "acknowledge", 1, "", 1),
)


def compile_table(profile: Profile, dbc: str | Path | Database, bus: int = 0) -> SignalTable:
    """Return the SignalTable of a checked car profile and a DBC.

    dbc      the database, or its path
    bus      index of the bus whose frames the logger watches
    Raises   TableProblem; InputError if the DBC can't be read.
    """
    database = dbc if isinstance(dbc, Database) else load_database(dbc)
    builder = _TableBuilder(profile, database)
    roles = []
    for role, entry, n, unit, factor in _ROLES:
        given = getattr(profile.roles, entry)
        names = (given,) if isinstance(given, str) else given
        if given == "":
            continue
        if len(names) != n:
            raise TableProblem(profile, ("roles", entry), f"roles.{entry} needs {n} signals")
        for k, name in enumerate(names):
            if not builder.has(name):
                continue
            signal = builder.signal(name, ("roles", entry))
            if signal.unit != unit:
                text = f"roles.{entry}: {name} is in '{signal.unit}', expected '{unit}'"
                raise TableProblem(profile, ("roles", entry), text)
            mul = round(signal.scale * factor * (1 << st.SCALE_BITS))
            add = round(signal.offset * factor)
            roles.append([role + k, builder.index(name), mul, add])
    alarms, alarm_parts = alarm_sections(profile, builder, TableProblem)
    try:
        sections = {
            st.ROLES: roles,
            **alarm_parts,
            st.FLIGHT: rows_of.flight(profile, builder),
            st.FUEL: rows_of.fuel(profile),
            st.HEAT: rows_of.heat(profile),
            st.WATCH: rows_of.watch(profile, builder),
        }
    except rows_of.Contradiction as problem:
        raise TableProblem(profile, problem.entry, str(problem)) from problem
    slots, signal_rows = builder.finish()
    sections[st.SLOTS] = slots
    sections[st.SIGNALS] = signal_rows
    data = st.pack(bus, sections)
    if len(data) > MAX_CONFIG_BYTES:
        text = f"the signal table has {len(data)} bytes, at most {MAX_CONFIG_BYTES} fit"
        raise TableProblem(profile, ("alarm",), text)
    units = [builder.found[name][1].unit for name in builder.names]
    return SignalTable(data, list(builder.names), units, alarms, list(builder.slot_names))


class _TableBuilder:
    """A SignalIndex: signals in the order of the first request, and the messages that carry them.

    found   the signals that this car sends; `known` the names of all that the DBC has
    """

    def __init__(self, profile: Profile, database: Database) -> None:
        self.profile = profile
        self.names: list[str] = []
        self.slot_names: list[str] = []
        self.found = {
            s.name: (m, s)
            for m in database.messages
            if m.name not in profile.car.not_fitted
            for s in m.signals
        }
        self.known = {s.name for m in database.messages for s in m.signals}
        self.rules = {name: rule for rule in profile.plausible for name in rule.signals}

    def has(self, name: str) -> bool:
        """Return whether this car sends the signal; an error only if no DBC message has it."""
        return name in self.found or name not in self.known

    def signal(self, name: str, entry: Keys) -> Signal:
        """Return the signal; TableProblem if it can't be watched."""
        if name not in self.found:
            raise TableProblem(self.profile, entry, f"signal {name} is not on this car's bus")
        message, signal = self.found[name]
        if message.is_ext or message.can_id > 0x7FF or message.is_fd:
            text = f"{name} is in {message.name}: only 11-bit classic frames are watched"
            raise TableProblem(self.profile, entry, text)
        if signal.is_float or signal.length > 32:
            text = f"{name} is a float or wider than 32 bits: it can't be watched"
            raise TableProblem(self.profile, entry, text)
        return signal

    def index(self, name: str, entry: Keys = ("roles",)) -> int:
        """Return the index of a signal in the table, which is added if it is not there."""
        if name not in self.names:
            self.signal(name, entry)
            self.names.append(name)
            status = self.profile.status.get(name)
            if status is not None and self.has(status[0]):
                self.index(status[0], ("status", name))
        return self.names.index(name)

    def finish(self) -> tuple[list[Row], list[Row]]:
        """Return (rows of SLOTS, rows of SIGNALS)."""
        plain: dict[tuple[str, int | None], Message] = {}
        selected: dict[tuple[str, int], Message] = {}
        for name in self.names:
            message, signal = self.found[name]
            if signal.selector is None:
                plain.setdefault((message.name, None), message)
            else:
                low, high = signal.selector_ranges[0]
                if low != high or len(signal.selector_ranges) > 1:
                    text = f"{name} is present at several values of its selector"
                    raise TableProblem(self.profile, ("roles",), text)
                selected.setdefault((message.name, low), message)
        order = [*plain, *sorted(selected)]
        self.slot_names = [key[0] for key in order]
        slots = [self._slot(key[1], (plain | selected)[key]) for key in order]
        places = {key: n for n, key in enumerate(order)}
        rows = []
        for name in self.names:
            message, signal = self.found[name]
            select = None if signal.selector is None else signal.selector_ranges[0][0]
            status = self.profile.status.get(name)
            good = (-1, 0)
            if status is not None and status[0] in self.names:
                good = (self.names.index(status[0]), status[1])
            rule = self.rules.get(name)
            rest = None
            if name in self.profile.roles.fuel_level:
                rest = self.profile.fuel.sender_dead_mm
            place = places[message.name, select]
            rows.append(signal_row(signal, place, rule, good, rest))
        return slots, rows

    def _slot(self, select: int | None, message: Message) -> Row:
        """Return the row of SLOTS of a message, or of it at one value of its selector."""
        cycle_ms = message.cycle_ms or 1000
        if select is None:
            stale = self._stale(cycle_ms)
            return [message.can_id, message.n_bytes, stale, 0, 0, 0, 0]
        selector = next(s for s in message.signals if s.is_selector)
        shift = selector.start % 8
        if shift + selector.length > 8 or selector.is_motorola:
            text = f"the selector of {message.name} must lie within one byte"
            raise TableProblem(self.profile, ("roles",), text)
        n_values = len({r for s in message.signals for r in s.selector_ranges})
        stale = self._stale(cycle_ms * n_values)
        mask = (1 << selector.length) - 1
        return [message.can_id, message.n_bytes, stale, selector.start // 8, shift, mask, select]

    def _stale(self, cycle_ms: int) -> int:
        return max(math.ceil(self.profile.validity.stale_cycles * cycle_ms / 10), 5)
