"""On-car events: what the code, the state, the value and the extra of a META_EVENT record mean.

A record's arg is code | state << 16; code has 16 bits, state 5. Codes from ALARM and CONTEXT on
carry the number of the alarm of the car profile, codes from SENSOR on the index of a signal in the
signal table. Times inside an event are microseconds since boot, bits 31 to 0. Names, units and
what each value means are in slog.event_names, which a logger need not load.
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
MARK = const(15)
MARK_TEXT = const(16)
SUMMARY = const(0x80)
ALARM = const(0x100)
SENSOR = const(0x200)
MESSAGE = const(0x400)
CONTEXT = const(0x800)

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
# states of CONTEXT
BEFORE = const(1)
AFTER = const(2)
# states of SENSOR and MESSAGE
GOOD = const(0)
IMPLAUSIBLE = const(1)
STUCK_VALUE = const(2)
STATUS_BAD = const(3)
STALE = const(4)
# states of MARK: who set it
BUTTON = const(1)
HOST = const(2)
# states of what is on or off
OFF = const(0)
ON = const(1)

# LANDED packs its extra.
PEAK_MASK = const(0xFFF)  # centi-g
CONFIDENCE_SHIFT = const(12)  # 7 bits, percent
CAR_SHIFT = const(19)  # 2 bits
SEVERITY_SHIFT = const(21)  # 3 bits: limits of the profile that the peak exceeds
NO_SEVERITY = const(7)  # nothing measured the peak
NO_SPEED = const(511)  # of TAKEN_OFF: no wheel gives it
CAR_UNKNOWN = const(0)
CAR_AGREES = const(1)
CAR_SILENT = const(2)
# ALARM and CONTEXT pack their extra.
RPM_SHIFT = const(9)  # speed in km/h below it, 10 rpm above it
