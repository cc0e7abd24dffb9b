"""On-car events in words: name, unit and meaning of every code of slog.events.

Owns the tables that a reader decodes by. Unknown codes stay numbers; nothing is raised.
"""

from slog.events import (
    ACKNOWLEDGED,
    AFTER,
    ALARM,
    BEFORE,
    BUTTON,
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
    HOST,
    IMPLAUSIBLE,
    LANDED,
    LATCHED,
    LEAK,
    MARK,
    MARK_TEXT,
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

# (code, name, unit and meaning of value, unit and meaning of extra, {state: name})
EVENTS = (
    (
        FLIGHT,
        "flight",
        "ms",
        "airtime; taken_off: from onset to confirmation, + 65536 x speed in km/h, 511: unknown",
        "",
        (
            "taken_off: time of the onset since boot in us, bits 31 to 0; landed: peak in 0.01 g, "
            "bits 11 to 0, confidence in %, bits 18 to 12, the car's own flight mode, bits 20 "
            "and 19: 0 unknown, 1 agrees, 2 silent, severity, bits 23 to 21: limits of the "
            "profile that the peak exceeds, 7: nothing measured the peak"
        ),
        {TAKEN_OFF: "taken_off", LANDED: "landed", CANCELLED: "cancelled", TOO_LONG: "too_long"},
    ),
    (CAR_FLIGHT, "car_flight", "ms", "the car alone said airborne", "", "0", {ON: "car_only"}),
    (ROLL_OVER, "roll_over", "mg", "vertical acceleration", "", "0", _ON_OFF),
    (STUCK, "stuck", "0.01 km/h", "wheel speed", "", "0", _ON_OFF),
    (HANDBRAKE, "handbrake_abuse", "0.01 km/h", "speed", "kPa", "handbrake pressure", {ON: "on"}),
    (REFUEL, "refuel", "cl", "added", "cl", "volume after it", {ON: "on"}),
    (LEAK, "fuel_leak", "cl", "lost beside the flow", "cl", "volume", {ON: "on"}),
    (FUEL, "fuel", "cl", "volume", "cl", "used since the session began", {ON: "on"}),
    (
        DIFF_MODEL,
        "diff_model",
        "0.01 degC",
        "measured minus model",
        "",
        "axle: 0 front, 1 rear",
        _ON_OFF,
    ),
    (RESUMED, "resumed", "s", "without a frame", "", "0", {ON: "on"}),
    (SKIPPED, "skipped", "blocks", "that were not watched", "", "0", {ON: "on"}),
    (RANGE, "range", "0.1 km", "reached in half of all cases", "0.1 km", "in 90 %", {ON: "on"}),
    (
        TABLE,
        "table",
        "",
        "good: signals in it; refused: 1 no memory for it, 2 not usable",
        "",
        "good: alarms in it",
        {ON: "good", OFF: "refused"},
    ),
    (
        FLOW_SCALE,
        "flow_scale",
        "0.000001",
        "true litres by metered litres",
        "0.000001",
        "its standard deviation",
        {ON: "on"},
    ),
    (
        MARK,
        "mark",
        "",
        "number of the mark in its session, from 1",
        "bytes",
        "length of its text, which follows in mark_text",
        {BUTTON: "button", HOST: "host"},
    ),
    (
        MARK_TEXT,
        "mark_text",
        "",
        "bytes 0 to 3 of the piece that the state numbers, from 0",
        "",
        "bytes 4 to 7 of the piece",
        {},
    ),
)

# What the codes from `code` on are, up to the next kind: rows as in EVENTS.
KINDS = (
    (SUMMARY, "summary", "", "of counter code - 0x80", "", "its second value", {ON: "running"}),
    (
        ALARM,
        "alarm",
        "0.01",
        "the signal of alarm code - 0x100, in its unit",
        "",
        "speed in km/h, bits 8 to 0; engine speed in 10 rpm, bits 18 to 9",
        _STATES_ALARM,
    ),
    (
        SENSOR,
        "sensor",
        "",
        "raw value of signal code - 0x200 of the signal table",
        "",
        "0",
        _STATES_SENSOR,
    ),
    (
        MESSAGE,
        "message",
        "",
        "identifier of message code - 0x400 of the signal table",
        "",
        "0",
        _STATES_SENSOR,
    ),
    (
        CONTEXT,
        "alarm_context",
        "0.01",
        "the signal of alarm code - 0x800 before or after it came, in its unit",
        "",
        "speed and engine speed then, as in alarm",
        _STATES_CONTEXT,
    ),
)

# Counters of the running summary: event code SUMMARY + index; the value is the counter.
# (name, its unit and meaning, unit and meaning of the second value)
SUMMARY_ITEMS = (
    ("engine_s", "s", "engine running", "s", "of power"),
    (
        "distance_m",
        "m",
        "by the wheels, flights at take-off speed",
        "0.01 km/h",
        "greatest speed",
    ),
    ("flights", "", "flights", "ms", "longest"),
    ("landings_light", "", "below the first limit of severity", "0.01 g", "greatest peak"),
    ("landings_medium", "", "above the first", "", "0"),
    ("landings_hard", "", "above the second", "", "0"),
    ("landings_severe", "", "above the third", "", "0"),
    ("air_ms", "ms", "in the air", "", "flights that the car did not see"),
    ("fuel_used_cl", "cl", "by flow and learned scale", "cl", "volume"),
    ("fuel_added_cl", "cl", "refuelled", "", "0"),
    ("alarm_warning_s", "s", "alarms at warning, summed", "", "alarms that came"),
    ("alarm_critical_s", "s", "alarms at critical, summed", "", "sensor faults that came"),
    ("diff_front_max", "0.01 degC", "highest diff oil, front", "s", "above its warning"),
    ("diff_rear_max", "0.01 degC", "highest diff oil, rear", "s", "above its warning"),
    ("shifts", "", "gear changes", "", "handbrake abuses"),
)


def describe(code):
    """Return (name, number, row of EVENTS or KINDS) of a code; number counts within its kind."""
    for row in reversed(KINDS):
        if code >= row[0]:
            return row[1], code - row[0], row
    for row in EVENTS:
        if row[0] == code:
            return row[1], 0, row
    return "unknown", code, None


def state_name(code, state):
    """Return the word for a state, or its number as text."""
    row = describe(code)[2]
    return row[-1].get(state, str(state)) if row else str(state)
