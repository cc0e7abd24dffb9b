"""On-car events: what the code, the state, the value and the extra of a META_EVENT record mean.

A record's arg is code | state << 16; code has 16 bits, state 5. Codes from ALARM on carry the
number of the alarm of the car profile, codes from SENSOR on the index of a signal in the signal
table. Times inside an event are microseconds since boot, bits 31 to 0. Nothing here evaluates.
"""

from slog.layout import const

FLIGHT = const(1)
CAR_FLIGHT = const(2)
ROLL_OVER = const(3)
STUCK = const(4)
HANDBRAKE = const(5)
REFUEL = const(6)
LEAK = const(7)
FUEL = const(8)
DIFF_MODEL = const(9)
RESUMED = const(10)
SKIPPED = const(11)
RANGE = const(12)
TABLE = const(13)
FLOW_SCALE = const(14)
SUMMARY = const(0x80)
ALARM = const(0x100)
SENSOR = const(0x200)
MESSAGE = const(0x400)

# states of FLIGHT
TAKEN_OFF = const(1)
LANDED = const(2)
CANCELLED = const(3)
TOO_LONG = const(4)
# states of ALARM
WARNING = const(1)
CRITICAL = const(2)
CLEAR = const(3)
LATCHED = const(4)
ACKNOWLEDGED = const(5)
# states of SENSOR and MESSAGE
GOOD = const(0)
IMPLAUSIBLE = const(1)
STUCK_VALUE = const(2)
STATUS_BAD = const(3)
STALE = const(4)
# states of what is on or off
OFF = const(0)
ON = const(1)

# LANDED packs its extra.
PEAK_MASK = const(0xFFF)  # centi-g
CONFIDENCE_SHIFT = const(12)  # 7 bits, percent
CAR_SHIFT = const(19)  # 2 bits
SEVERITY_SHIFT = const(21)  # 3 bits: limits of the profile that the peak exceeds
CAR_UNKNOWN = const(0)
CAR_AGREES = const(1)
CAR_SILENT = const(2)
# ALARM packs its extra.
RPM_SHIFT = const(9)  # speed in km/h below it, 10 rpm above it

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
    (TABLE, "table", "signals in the table", "alarms in the table", {ON: "good", OFF: "refused"}),
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
    if code >= SENSOR:
        names = _STATES_SENSOR
    elif code >= ALARM:
        names = _STATES_ALARM
    elif code >= SUMMARY:
        names = {ON: "running"}
    else:
        row = describe(code)[2]
        names = row[4] if row else {}
    return names.get(state, str(state))
