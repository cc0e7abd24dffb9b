"""The signal table: what the logger watches on the bus, compiled from DBC and car profile.

All numbers are 32-bit integers, so that the car, the host and any interpreter calculate the same.

    "SLST" | version u8 | bus u8 | sections u16 | sections | crc u32
    section: tag u8 | columns u8 | rows u16 | rows x columns x i32

Owns the layout and its reading; the host writes it (stagelog.events.compile). A table that is
damaged, of another version or with other columns is a TableError, and nothing is watched.
"""

import binascii
import io
import struct
from array import array

from slog.layout import CRC_BYTES, const

MAGIC = b"SLST"
VERSION = const(3)
_HEAD_BYTES = const(8)  # magic, version, bus, sections
_SECTION_BYTES = const(4)  # tag, columns, rows
SCALE_BITS = const(14)  # mul of a signal or a weight is a factor times 2^14

SLOTS = const(1)
SIGNALS = const(2)
ROLES = const(3)
GATES = const(4)
ALARMS = const(5)
POINTS = const(6)
FLIGHT = const(7)
FUEL = const(8)
HEAT = const(9)
WATCH = const(10)

COLUMNS = {
    # One per message, or per value of the selector of a multiplexed one; these stand last.
    SLOTS: (
        "can_id",
        "n_bytes",
        "stale_ticks",
        "select_byte",
        "select_shift",
        "select_mask",
        "select_value",
    ),
    # Bytes from the most significant on, `step` apart; limits in raw; -1 for none.
    SIGNALS: (
        "slot",
        "kind",
        "first",
        "step",
        "n",
        "shift",
        "bits",
        "signed",
        "low",
        "high",
        "max_step",
        "stuck",
        "status",
        "status_good",
        "centi_mul",
        "centi_add",
        "still_low",
        "still_high",
    ),
    # What plays a part: value = (raw * mul >> 14) + add in the part's unit.
    ROLES: ("role", "signal", "mul", "add"),
    GATES: ("source", "signal", "limit", "falls", "steps"),
    ALARMS: (
        "number",
        "kind",
        "signal",
        "x",
        "warning",
        "critical",
        "clear",
        "in_warning",
        "in_critical",
        "out",
        "gates",
        "latch",
        "window",
        "floor",
        "limit",
        "drop",
        "points",
        "n_points",
        "group",
    ),
    POINTS: ("x", "warning", "critical"),
    FLIGHT: ("value",),
    FUEL: ("value",),
    HEAT: ("value",),
    WATCH: ("value",),
}
N_COLUMNS = bytes([0] + [len(COLUMNS[tag]) for tag in range(1, len(COLUMNS) + 1)])

# Kinds of signal: how its bytes are read.
ANY = const(0)
U8 = const(1)
U16 = const(2)
S16 = const(3)

# Roles and their units.
(ACC_X, ACC_Y, ACC_Z, RATE_X, RATE_Y, RATE_Z) = range(6)  # mg, rad/s / 1024
DAMPER = const(6)  # to 9: 0.01 mm
WHEEL = const(10)  # to 13: 0.01 km/h
FLIGHT_STATE = const(14)
RPM = const(15)  # 1/min
PEDAL = const(16)  # 0.1 %
GEAR = const(17)
FUEL_USED = const(18)  # ml
LEVEL = const(19)  # and 20: 0.01 mm
DIFF = const(21)  # and 22: 0.01 degC
SLIP = const(23)  # and 24: 0.01 km/h
OUT_TORQUE = const(25)  # Nm
AMBIENT = const(26)  # 0.01 degC
HANDBRAKE = const(27)  # kPa
ACKNOWLEDGE = const(28)
N_ROLES = const(29)

# Sources of a gate.
OF_SIGNAL = const(0)
OF_SPEED = const(1)
OF_AIRBORNE = const(2)
OF_ENGINE = const(3)

ABOVE = const(0)
BELOW = const(1)
RATE = const(2)
TIME_TO_LIMIT = const(3)
BELOW_TABLE = const(4)
ABOVE_TABLE = const(5)
FAN = const(6)
DROP = const(7)
DIFFERENCE = const(8)
COOLER = const(9)

# Rows of the sections with one column, in order.
FLIGHT_ROWS = (
    "arm_x",
    "arm_y",
    "arm_z",
    "spin_x",
    "spin_y",
    "spin_z",
    "filter",
    "acc_enter2",
    "acc_exit2",
    "landing",
    "unsprung",
    "jump",
    "gap",
    "droop",
    "droop_all",
    "load",
    "load_out",
    "mean",
    "mean_end",
    "mean_sure",
    "mean_spin",
    "flare",
    "flare_pedal",
    "confirm",
    "only_confirm",
    "compress",
    "hold",
    "merge",
    "shortest",
    "shortest_slow",
    "slow",
    "longest",
    "inhibit",
    "severity1",
    "severity2",
    "severity3",
    "back",
    "only_back",
    "airborne_code",
    "spring0",
    "spring1",
    "spring2",
    "spring3",
    "preload0",
    "preload1",
    "preload2",
    "preload3",
    "rebound0",
    "rebound1",
    "rebound2",
    "rebound3",
    "drift",
)
FUEL_ROWS = (
    "unusable",
    "start",
    "scale_sigma",
    "quiet_mg",
    "slope_mg",
    "quiet_speed",
    "quiet_s",
    "sigma_quiet",
    "sigma_moving",
    "gate",
    "refuel_rise",
    "refuel_speed",
    "leak",
    "leak_s",
    "reserve",
    "ewma_m",
    "plan",
    "dead_low",
    "dead_high",
    "first_n",
    "first_m",
    "range_km",
)  # then points of the tank: volume cl, height A, height B in 0.01 mm
HEAT_ROWS = (
    "mesh",
    "churn",
    "radius_mm",
    "residual",
    "hold_s",
    "settle_s",
    "capacity0",
    "still0",
    "moving0",
    "preload0",
    "lock0",
    "share0",
    "warning0",
    "capacity1",
    "still1",
    "moving1",
    "preload1",
    "lock1",
    "share1",
    "warning1",
)
WATCH_ROWS = (
    "stuck_speed",
    "roll_mg",
    "roll_n",
    "spin_speed",
    "spin_n",
    "spin_move",
    "hand_kPa",
    "hand_speed",
    "hand_n",
    "summary_s",
    "engine_rpm",
    "say_s",
    "before_s",
    "after_s",
    "fault",
    "grace_s",
    "bridge_ds",
)


# Where rows that belong together begin in them, and how many there are with a name.
WHEEL_ROWS = FLIGHT_ROWS.index("spring0")  # three times four
SEVERITY_ROWS = FLIGHT_ROWS.index("severity1")  # three
N_FUEL = len(FUEL_ROWS)
N_HEAT = len(HEAT_ROWS)
AXLE_ROWS = HEAT_ROWS.index("capacity0")  # twice these:
(CAPACITY, STILL, MOVING, PRELOAD, LOCK, SHARE, HEAT_WARNING, N_AXLE) = range(8)


class TableError(ValueError):
    """The bytes are no signal table that this firmware can use; the text says why."""


def load(data):
    """Return what `read` does, of bytes."""
    return read(io.BytesIO(data), len(data))


def read(file, n_bytes):
    """Return (bus, {tag: array("i") of rows, one after the other}) of the next `n_bytes`.

    Raises   TableError if they are not usable
    """
    head = file.read(_HEAD_BYTES)
    left = n_bytes - _HEAD_BYTES - CRC_BYTES
    if left < 0 or len(head) < _HEAD_BYTES or not head.startswith(MAGIC):
        raise TableError("not a signal table")
    _, version, bus, n_sections = struct.unpack("<4sBBH", head)
    if version != VERSION:
        raise TableError("version %d, wanted %d" % (version, VERSION))
    crc = binascii.crc32(head)
    sections = {}
    for _ in range(n_sections):
        head = file.read(_SECTION_BYTES)
        left -= _SECTION_BYTES
        if left < 0 or len(head) < _SECTION_BYTES:
            raise TableError("ends before section %d" % len(sections))
        tag, n_columns, n_rows = struct.unpack("<BBH", head)
        if not 0 < tag < len(N_COLUMNS) or n_columns != N_COLUMNS[tag]:
            raise TableError("section %d has %d columns" % (tag, n_columns))
        n = n_columns * n_rows
        left -= 4 * n
        if left < 0:
            raise TableError("section %d has %d rows, more than there are bytes" % (tag, n_rows))
        values = array("i", range(n))
        if file.readinto(values) < 4 * n:
            raise TableError("ends in section %d" % tag)
        crc = binascii.crc32(values, binascii.crc32(head, crc))
        sections[tag] = values
    end = file.read(CRC_BYTES)
    if left or len(end) < CRC_BYTES or struct.unpack("<I", end)[0] != crc:
        raise TableError("damaged: its CRC is wrong")
    for tag in range(1, len(N_COLUMNS)):
        if tag not in sections:
            raise TableError("section %d is missing" % tag)
    return bus, sections


def named(values, names):
    """Return the values of a section with one column by name and by index.

    On a board it is `values`, as stagelog.flash.shrink puts the index for the name.
    """
    if len(values) < len(names):
        raise TableError("%d values, wanted %d" % (len(values), len(names)))
    found = {}
    for i in range(len(names)):
        found[names[i]] = found[i] = values[i]
    return found


def pack(bus, sections):
    """Return the bytes of a table from {tag: list of rows}; a row is a list of integers."""
    out = [struct.pack("<4sBBH", MAGIC, VERSION, bus, len(sections))]
    for tag in sorted(sections):
        rows = sections[tag]
        out.append(struct.pack("<BBH", tag, len(COLUMNS[tag]), len(rows)))
        for row in rows:
            out.append(struct.pack("<%di" % len(COLUMNS[tag]), *row))
    body = b"".join(out)
    return body + struct.pack("<I", binascii.crc32(body))
