"""Contradictions inside a car profile, and between it and the DBC.

Each check yields (path of keys, text). Nothing is raised here; stagelog.profile does that.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from slog import event_names
from stagelog.dbc import Database, Signal, load_database
from stagelog.profile.limits import DERIVED, Alarm, Plausible
from stagelog.profile.report_parts import PLACES
from stagelog.profile.schema import Profile, Roles, ShortProfile
from stagelog.profile.simulation import Simulation
from stagelog.profile.toml_lines import Keys

Contradictions: TypeAlias = Iterator[tuple[Keys, str]]  # where, and what

_NEEDS = {
    "rate": ("window_s", "floor"),
    "time_to_limit": ("window_s", "floor", "limit"),
    "below_table": ("x_signal", "table_x", "table_y"),
    "above_table": ("x_signal", "table_x", "table_y"),
    "fan": ("x_signals", "x_limit"),
    "drop": ("window_s",),
    "difference": ("x_signal",),
    "cooler": ("x_signals", "floor"),
}


def find_contradictions(profile: Profile) -> Contradictions:
    """Yield contradictions."""
    yield from _find_lengths(profile)
    yield from _find_orders(profile)
    yield from _find_gates(profile)
    yield from _find_alarms(profile)
    yield from _find_marks(profile)
    yield from _find_components(profile)


def find_simulation_contradictions(profile: Profile, simulation: Simulation) -> Contradictions:
    """Yield contradictions in [simulation], and between it and the vehicle."""
    for where, text in _find_in_simulation(profile, simulation):
        yield ("simulation", *where), text


def find_dbc_contradictions(profile: Profile, dbc: str | Path | Database) -> Contradictions:
    """Yield signal names that the DBC lacks and limits that its signals cannot reach."""
    database = dbc if isinstance(dbc, Database) else load_database(dbc)
    signals = {s.name: s for m in database.messages for s in m.signals}
    yield from _find_messages(profile, database)
    for where, name in _names(profile):
        if name not in signals and name not in DERIVED:
            yield where, f"signal {name} is not in {database.path}"
    yield from _find_units(profile, signals)
    for key, alarm in profile.alarm.items():
        if alarm.kind not in ("above", "below"):
            continue
        for name in alarm.signals:
            for level in ("warning", "critical"):
                limit, signal = getattr(alarm, level), signals.get(name)
                if limit is None or signal is None:
                    continue
                low, high = signal.minimum, signal.maximum
                if low is None or high is None:
                    continue
                if not low <= limit <= high:
                    text = f"{level} {limit:g} is outside what {name} can carry: {low} to {high}"
                    yield ("alarm", key, level), text


def find_short_contradictions(profile: ShortProfile, dbc: str | Path | Database) -> Contradictions:
    """Yield what contradicts itself in a short profile, and what its DBC lacks."""
    database = dbc if isinstance(dbc, Database) else load_database(dbc)
    signals = {s.name: s for m in database.messages for s in m.signals}
    places = list(_names_of_roles(profile.roles))
    for n, rule in enumerate(profile.plausible):
        places += [(("plausible", n, "signals"), name) for name in rule.signals]
    for key, alarm in profile.alarm.items():
        if alarm.kind not in ("above", "below"):
            yield (
                ("alarm", key, "kind"),
                f"alarm {key} is {alarm.kind}, which needs a whole profile",
            )
        places += [(("alarm", key, "signals"), name) for name in alarm.signals]
        yield from _find_levels(key, alarm)
    places += [(("names", name), name) for name in profile.names]
    places += [(("mark", key, "signal"), m.signal) for key, m in profile.mark.items() if m.signal]
    for where, name in places:
        if name not in signals:
            yield where, f"signal {name} is not in {database.path}"
    yield from _find_messages(profile, database)
    for key, mark in profile.mark.items():
        if mark.event:
            yield ("mark", key, "event"), f"mark {key} is of an event, which needs a whole profile"
    yield from _find_marks(profile)
    yield from _find_units(profile, signals)
    yield from _find_plausible(profile)


def _find_messages(p: Profile | ShortProfile, database: Database) -> Contradictions:
    messages = {m.name for m in database.messages}
    for name in p.car.not_fitted:
        if name not in messages:
            yield ("car", "not_fitted"), f"message {name} is not in {database.path}"
    for key, rule in p.mark.items():
        if rule.message and rule.message not in messages:
            yield ("mark", key, "message"), f"message {rule.message} is not in {database.path}"


def _find_units(p: Profile | ShortProfile, signals: dict[str, Signal]) -> Contradictions:
    """A limit in another unit than its signal's would be a limit on something else."""
    for key, alarm in p.alarm.items():
        for name in (name for name in alarm.signals if name in signals):
            unit = signals[name].unit or ""
            known: dict[str, tuple[str, ...]] = {
                "rate": (f"{unit}/min",),
                "time_to_limit": ("min",),
                "drop": ("%",),
            }
            known |= dict.fromkeys(("below_table", "above_table"), (unit, "%"))
            wanted = known.get(alarm.kind, (unit,))
            if alarm.unit not in wanted:
                text = f"alarm {key} is in {alarm.unit}, but {name} is in {unit}"
                yield ("alarm", key, "unit"), f"{text}: expected {' or '.join(wanted)}"


def _find_in_simulation(p: Profile, s: Simulation) -> Contradictions:
    yield from _find_pairs(
        s,
        ("engine", "torque_Nm", "torque_rpm"),
        ("engine", "friction_Nm", "torque_rpm"),
        ("engine", "boost_max_kPa", "boost_rpm"),
        ("engine", "oil_pressure_kPa", "oil_pressure_rpm"),
    )
    yield from _find_unordered(
        s,
        ("gearbox", "upshift_light_rpm", "upshift_full_rpm"),
        ("gearbox", "downshift_light_rpm", "upshift_light_rpm"),
        ("gearbox", "downshift_full_rpm", "upshift_full_rpm"),
        ("cooling", "fan_on_degC", "fan_full_degC"),
        ("cooling", "thermostat_degC", "thermostat_open_degC"),
    )
    n = len(s.cooling.radiator_W_per_K)
    if n != p.cooling.radiators:
        text = f"cooling.radiators is {p.cooling.radiators}, but radiator_W_per_K has {n} elements"
        yield ("cooling", "radiator_W_per_K"), text
    if s.engine.limiter_rpm <= p.engine.idle_rpm:
        text = f"engine.limiter_rpm is not above engine.idle_rpm ({p.engine.idle_rpm:g})"
        yield ("engine", "limiter_rpm"), text
    if s.gearbox.upshift_full_rpm >= s.engine.limiter_rpm:
        text = "gearbox.upshift_full_rpm is not below engine.limiter_rpm"
        yield ("gearbox", "upshift_full_rpm"), text
    if s.mass.wheelbase_m <= p.mass.cg_behind_front_axle_m:
        text = "mass.wheelbase_m is not above mass.cg_behind_front_axle_m"
        yield ("mass", "wheelbase_m"), text


def _find_pairs(part: object, *pairs: tuple[str, str, str]) -> Contradictions:
    for table, name, other in pairs:
        entries = getattr(part, table)
        n, m = len(getattr(entries, name)), len(getattr(entries, other))
        if n != m:
            yield (table, name), f"{table}.{name} has {n} elements, {table}.{other} has {m}"


def _find_unordered(part: object, *orders: tuple[str, str, str]) -> Contradictions:
    for table, low, high in orders:
        a, b = getattr(getattr(part, table), low), getattr(getattr(part, table), high)
        if a >= b:
            text = f"{table}.{low} is {a:g}, not below {table}.{high} ({b:g})"
            yield (table, low), text


def _find_lengths(p: Profile) -> Contradictions:
    yield from _find_pairs(
        p,
        ("fuel", "sender_a_mm", "sender_volume_l"),
        ("fuel", "sender_b_mm", "sender_volume_l"),
    )
    if len(p.airborne.landing_severity_g) != 3:
        text = "airborne.landing_severity_g needs three limits: medium, hard, severe"
        yield ("airborne", "landing_severity_g"), text
    for key, alarm in p.alarm.items():
        fitted = {"cooler": ("radiators", p.cooling.radiators), "fan": ("fans", p.cooling.fans)}
        what, count = fitted.get(alarm.kind, ("", len(alarm.signals)))
        if len(alarm.signals) != count:
            text = f"alarm {key} has {len(alarm.signals)} signals, cooling.{what} is {count}"
            yield ("alarm", key, "signals"), text
    if len(p.fuel.sender_dead_mm) != 2:
        yield ("fuel", "sender_dead_mm"), "fuel.sender_dead_mm needs a lower and an upper height"


def _find_orders(p: Profile) -> Contradictions:
    ratios = p.gearbox.ratios
    if any(a <= b for a, b in zip(ratios, ratios[1:], strict=False)):
        yield ("gearbox", "ratios"), "gearbox.ratios must fall from gear to gear"
    yield from _find_unordered(
        p,
        ("fuel", "unusable_l", "start_l"),
        ("airborne", "acc_enter_g", "acc_exit_g"),
        ("airborne", "min_airtime_ms", "max_airtime_ms"),
        ("fuel_estimate", "level_sigma_quiet_l", "level_sigma_moving_l"),
    )
    if p.fuel.start_l > p.fuel.capacity_l:
        text = f"fuel.start_l is {p.fuel.start_l:g}, above capacity_l ({p.fuel.capacity_l:g})"
        yield ("fuel", "start_l"), text
    plans = p.fuel.plan_l_per_100km
    for mode, name in p.fuel.plan_of_mode.items():
        if name not in plans:
            text = f"fuel.plan_of_mode.{mode} is {name}, which fuel.plan_l_per_100km has not"
            yield ("fuel", "plan_of_mode", mode), text
    if p.fuel_estimate.first_terrain not in plans:
        text = f"no fuel.plan_l_per_100km is called {p.fuel_estimate.first_terrain}"
        yield ("fuel_estimate", "first_terrain"), text
    if p.fuel.sender_volume_l[-1] != p.fuel.capacity_l:
        yield ("fuel", "sender_volume_l"), "fuel.sender_volume_l must end at fuel.capacity_l"
    s = p.suspension
    for i, wheel in enumerate(("FL", "FR", "RL", "RR")):
        if s.bump_stop_from_mm[i] >= s.travel_mm[i]:
            text = f"suspension.bump_stop_from_mm of {wheel} is not below its travel_mm"
            yield ("suspension", "bump_stop_from_mm"), text
    air = p.airborne
    if air.mean_long_share >= 4 * air.load_share:
        text = f"airborne.mean_long_share is {air.mean_long_share:g}"
        yield ("airborne", "mean_long_share"), f"{text}, not below 4 times airborne.load_share"
    if p.airborne.droop_mm >= min(s.travel_mm):
        yield ("airborne", "droop_mm"), "airborne.droop_mm is not below suspension.travel_mm"
    yield from _find_plausible(p)


def _find_plausible(p: Profile | ShortProfile) -> Contradictions:
    rules: dict[str, Plausible] = {}
    for n, rule in enumerate(p.plausible):
        if rule.min >= rule.max:
            text = f"plausible min {rule.min:g} is not below max {rule.max:g}"
            yield ("plausible", n, "min"), text
        for name in rule.signals:
            if name in rules:
                yield ("plausible", n, "signals"), f"{name} is in two entries of plausible"
            rules[name] = rule
    for key, alarm in p.alarm.items():
        if alarm.kind not in ("above", "below"):
            continue
        for name in (name for name in alarm.signals if name in rules):
            low, high = rules[name].min, rules[name].max
            for level in ("warning", "critical"):
                limit = getattr(alarm, level)
                if limit is not None and not low < limit < high:
                    text = f"{level} {limit:g} of alarm {key} is beyond what is plausible for"
                    yield ("alarm", key, level), f"{text} {name}: {low:g} to {high:g}"


def _find_gates(p: Profile) -> Contradictions:
    for name, gate in p.gate.items():
        if (gate.above is None) == (gate.below is None):
            yield ("gate", name), f"gate {name} needs either above or below"


def _find_marks(p: Profile | ShortProfile) -> Contradictions:
    rows = (*event_names.EVENTS, *event_names.KINDS)
    known = {row[1] for row in rows} | {word for row in rows for word in row[-1].values()}
    for name, rule in p.mark.items():
        at = ("mark", name)
        is_level = rule.above is not None or rule.below is not None
        given = (rule.above is not None, rule.below is not None, rule.changes)
        if sum((*given, bool(rule.message), bool(rule.event))) != 1:
            text = f"mark {name} needs one of above, below, changes, message and event"
            yield at, text
        elif any(given) != bool(rule.signal):
            what = "needs a signal" if any(given) else "takes no signal"
            yield at, f"mark {name} {what}"
        elif (rule.for_s or rule.clear) and not is_level:
            yield at, f"mark {name}: for_s and clear belong to above and below"
        if rule.event and rule.event not in known | set(p.alarm):
            yield (*at, "event"), f"mark {name}: there is no event or alarm {rule.event}"


def _find_alarms(p: Profile) -> Contradictions:
    used: dict[int, str] = {}
    for name, alarm in p.alarm.items():
        at = ("alarm", name)
        for gate in alarm.gates:
            if gate not in p.gate:
                yield (*at, "gates"), f"alarm {name} names gate {gate}, which is not defined"
        for need in _NEEDS.get(alarm.kind, ()):
            if getattr(alarm, need) is None:
                yield at, f"alarm {name} of kind {alarm.kind} needs {need}"
        for number in range(alarm.id, alarm.id + len(alarm.signals)):
            if number in used:
                text = f"alarm {name} takes number {number}, already used by {used[number]}"
                yield (*at, "id"), text
            used[number] = name
        if alarm.id + len(alarm.signals) - 1 > 255:
            yield (*at, "id"), f"alarm {name} runs past number 255"
        yield from _find_levels(name, alarm)


def _find_components(p: Profile) -> Contradictions:
    for n, component in enumerate(p.report.component):
        for name in component.alarms:
            if name not in p.alarm:
                at = ("report", "component", n, "alarms")
                yield at, f"component {component.name} names alarm {name}, which is not defined"
    for place, part in (p.report.part or {}).items():
        where: Keys = ("report", "part", place)
        if place not in PLACES:
            yield where, f"part {place} has no place on the drawing; places: {', '.join(PLACES)}"
        for name in part.own_alarms:
            if name not in p.alarm:
                text = f"part {place} names alarm {name}, which is not defined"
                yield (*where, "own_alarms"), text
    for pair in p.report.radiators:
        if len(pair) != 2:
            yield ("report", "radiators"), "report.radiators are pairs: signal in, signal out"


def _find_levels(name: str, alarm: Alarm) -> Contradictions:
    at, low, high = ("alarm", name), alarm.warning, alarm.critical
    if low is None and high is None:
        yield at, f"alarm {name} needs warning or critical"
    falls = alarm.kind in ("below", "time_to_limit", "cooler")
    if low is not None and high is not None and (low <= high if falls else low >= high):
        text = f"alarm {name}: critical {high:g} is not beyond warning {low:g}"
        yield (*at, "critical"), text
    x = alarm.table_x or ()
    if any(a >= b for a, b in zip(x, x[1:], strict=False)):
        yield (*at, "table_x"), f"alarm {name}: table_x must rise from element to element"
    y = alarm.table_y
    if alarm.table_x is not None and y is not None and len(x) != len(y):
        yield (*at, "table_y"), f"alarm {name}: table_x and table_y differ in length"
    if alarm.x_signals is not None and len(alarm.x_signals) != len(alarm.signals):
        yield (*at, "x_signals"), f"alarm {name}: one x_signal for each signal is needed"


def _names_of_roles(roles: Roles) -> Contradictions:
    """Yield (where, signal) of the roles that a signal has."""
    for field in roles.__dataclass_fields__:
        value = getattr(roles, field)
        for name in (value,) if isinstance(value, str) else value:
            if name:
                yield ("roles", field), name


def _names(p: Profile) -> Contradictions:
    yield from _names_of_roles(p.roles)
    for name, (status, _) in p.status.items():
        yield ("status", name), name
        yield ("status", name), status
    if p.gearbox_abuse is not None:
        for field in ("gear_target", "shifting", "input_speed", "output_speed"):
            yield ("gearbox_abuse", field), getattr(p.gearbox_abuse, field)
    report = p.report
    for field in ("limiter", "converter"):
        if getattr(report, field):
            yield ("report", field), getattr(report, field)
    for name in report.tyre_temperature:
        yield ("report", "tyre_temperature"), name
    for name in (name for pair in report.radiators for name in pair):
        yield ("report", "radiators"), name
    for place, part in (report.part or {}).items():
        for name in part.signals:
            yield ("report", "part", place, "signals"), name
    for n, rule in enumerate(p.plausible):
        for name in rule.signals:
            yield ("plausible", n, "signals"), name
    for key, gate in p.gate.items():
        yield ("gate", key, "signal"), gate.signal
    for key, mark in p.mark.items():
        if mark.signal:
            yield ("mark", key, "signal"), mark.signal
    for key, alarm in p.alarm.items():
        for name in alarm.signals:
            yield ("alarm", key, "signals"), name
        for name in alarm.x_signals or ([] if alarm.x_signal is None else [alarm.x_signal]):
            yield ("alarm", key, "x_signal"), name
