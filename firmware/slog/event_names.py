"""On-car events in words: name, unit and meaning of every code of slog.events.

Owns the tables that a reader decodes by. Unknown codes stay numbers; nothing is raised.
"""

from slog.events import (
    ACKNOWLEDGED,
    AFTER,
    ALARM,
    BEFORE,
    CANCELLED,
    CAR_FLIGHT,
    CLEAR,
    CONTEXT,
    CRITICAL,
    DIFF_MODEL,
    FLIGHT,
    FLOW_SCALE,
    FUEL,
    GOOD,
    HANDBRAKE,
    IMPLAUSIBLE,
    LANDED,
    LATCHED,
    LEAK,
    MESSAGE,
    OFF,
    ON,
    RANGE,
    REFUEL,
    RESUMED,
    ROLL_OVER,
    SENSOR,
    SKIPPED,
    STALE,
    STATUS_BAD,
    STUCK,
    STUCK_VALUE,
    SUMMARY,
    TABLE,
    TAKEN_OFF,
    TOO_LONG,
    WARNING,
)

_STATES_ALARM = {
    WARNING: "warning",
    CRITICAL: "critical",
    CLEAR: "clear",
    LATCHED: "latched",
    ACKNOWLEDGED: "acknowledged",
}
_STATES_SENSOR = {
    GOOD: "good",
    IMPLAUSIBLE: "implausible",
    STUCK_VALUE: "stuck",
    STATUS_BAD: "status",
    STALE: "stale",
}
_STATES_CONTEXT = {BEFORE: "before", AFTER: "after"}
_ON_OFF = {OFF: "off", ON: "on"}

# (code, name, what value is, what extra is, {state: name})
EVENTS = (
    (
        FLIGHT,
        "flight",
        "taken_off: ms from onset to confirmation + 65536 x km/h; else airtime_ms",
        "taken_off: time of the onset, us; landed: peak, confidence, car and severity, packed",
        {TAKEN_OFF: "taken_off", LANDED: "landed", CANCELLED: "cancelled", TOO_LONG: "too_long"},
    ),
    (CAR_FLIGHT, "car_flight", "ms that the car alone said airborne", "0", {ON: "car_only"}),
    (ROLL_OVER, "roll_over", "vertical acceleration, mg", "0", _ON_OFF),
    (STUCK, "stuck", "wheel speed, 0.01 km/h", "0", _ON_OFF),
    (HANDBRAKE, "handbrake_abuse", "speed, 0.01 km/h", "kPa", {ON: "on"}),
    (REFUEL, "refuel", "litres added, cl", "volume after it, cl", {ON: "on"}),
    (LEAK, "fuel_leak", "litres lost beside the flow, cl", "volume, cl", {ON: "on"}),
    (FUEL, "fuel", "volume, cl", "used since the start of the session, cl", {ON: "on"}),
    (
        DIFF_MODEL,
        "diff_model",
        "measured minus model, 0.01 degC",
        "axle: 0 front, 1 rear",
        _ON_OFF,
    ),
    (RESUMED, "resumed", "seconds without a frame", "0", {ON: "on"}),
    (SKIPPED, "skipped", "blocks that were not watched", "0", {ON: "on"}),
    (RANGE, "range", "P50, 0.1 km", "P10, 0.1 km", {ON: "on"}),
    (
        TABLE,
        "table",
        "good: signals in it; refused: 1 no memory for it, 2 not usable",
        "good: alarms in it",
        {ON: "good", OFF: "refused"},
    ),
    (
        FLOW_SCALE,
        "flow_scale",
        "true litres by metered litres, 1e-6",
        "its sigma, 1e-6",
        {ON: "on"},
    ),
)

# Counters of the running summary: event code SUMMARY + index; the value is the counter.
SUMMARY_ITEMS = (
    ("engine_s", "s", "engine running", "s of power"),
    ("distance_m", "m", "by the wheels, flights at take-off speed", "greatest speed, 0.01 km/h"),
    ("flights", "", "flights", "longest, ms"),
    ("landings_light", "", "below the first limit of severity", "greatest peak, centi-g"),
    ("landings_medium", "", "above the first", "0"),
    ("landings_hard", "", "above the second", "0"),
    ("landings_severe", "", "above the third", "0"),
    ("air_ms", "ms", "in the air", "flights that the car did not see"),
    ("fuel_used_cl", "cl", "by flow and learned scale", "volume, cl"),
    ("fuel_added_cl", "cl", "refuelled", "0"),
    ("alarm_warning_s", "s", "alarms at warning, summed", "alarms that came"),
    ("alarm_critical_s", "s", "alarms at critical, summed", "sensor faults that came"),
    ("diff_front_max", "0.01 degC", "highest diff oil, front", "seconds above its warning"),
    ("diff_rear_max", "0.01 degC", "highest diff oil, rear", "seconds above its warning"),
    ("shifts", "", "gear changes", "handbrake abuses"),
)


def describe(code):
    """Return (name, number, row of EVENTS or None) of a code; number counts within its kind."""
    if code >= CONTEXT:
        return "alarm_context", code - CONTEXT, None
    if code >= MESSAGE:
        return "message", code - MESSAGE, None
    if code >= SENSOR:
        return "sensor", code - SENSOR, None
    if code >= ALARM:
        return "alarm", code - ALARM, None
    if code >= SUMMARY:
        return "summary", code - SUMMARY, None
    for row in EVENTS:
        if row[0] == code:
            return row[1], 0, row
    return "unknown", code, None


def state_name(code, state):
    """Return the word for a state, or its number as text."""
    if code >= CONTEXT:
        names = _STATES_CONTEXT
    elif code >= SENSOR:
        names = _STATES_SENSOR
    elif code >= ALARM:
        names = _STATES_ALARM
    elif code >= SUMMARY:
        names = {ON: "running"}
    else:
        row = describe(code)[2]
        names = row[4] if row else {}
    return names.get(state, str(state))
