"""Every layout of format version 1 as a table; all else is derived from these tables.

A row is (name, struct code, unit, meaning); fields are little-endian and packed without padding.
Struct strings, offsets, the tables of SPEC.md, the host's dtypes and the contract hash come from
here.
"""

import struct

try:
    from micropython import const
except ImportError:

    def const(value):
        return value


VERSION = const(1)
VERSION_FD = const(2)  # of a session whose records may be CAN FD; the rest is as in version 1
MAGIC = const(0x4C53)  # "SL" as the first two bytes of a block
BLOCK_BYTES = const(4096)
HEADER_BYTES = const(64)
RECORD_BYTES = const(16)
RECORDS_PER_BLOCK = const(252)
SECTOR_BYTES = const(512)
CRC_BYTES = const(4)
HASH_BYTES = const(8)  # of a SHA-256, from its start
N_BUSES = const(2)
TIME_BITS = const(28)  # a record holds the low 28 bits of the microsecond clock
META_DLC = const(15)  # a dlc of 15 marks a record that is not a frame

BLOCK_HEADER = (
    ("magic", "H", "", "0x4C53, the bytes SL"),
    ("version", "B", "", "format version, 1, or 2 where there may be CAN FD"),
    ("n_records", "B", "", "records in use, 0 to 252"),
    ("device_id", "8s", "", "unique id of the logger's chip"),
    ("boot", "I", "", "boot counter of the logger, from 1"),
    ("nonce", "I", "", "random number of the session, never 0"),
    ("seq", "I", "", "block sequence number, rises by 1 for ever"),
    ("position", "I", "blocks", "own place in the extent"),
    ("t0_lo", "I", "us", "time of the first record since boot, bits 27 to 0"),
    ("t0_hi", "I", "2^28 us", "time of the first record since boot, bits 59 to 28"),
    ("stored0", "I", "frames", "bus 0: stored in this session up to and with this block"),
    ("stored1", "I", "frames", "bus 1: the same"),
    ("dropped0", "I", "frames", "bus 0: dropped in this session, counted exactly"),
    ("dropped1", "I", "frames", "bus 1: the same"),
    ("at_least0", "H", "frames", "bus 0: lost in hardware, at least so many; stays at 65535"),
    ("at_least1", "H", "frames", "bus 1: the same"),
    (
        "flags",
        "H",
        "",
        "1 closed before it was full, 2 first of the session, 4 last of the session",
    ),
    ("spare", "H", "", "0"),
    ("crc", "I", "", "CRC-32 of bytes 0 to 59 and of the records in use"),
)

FLAG_PARTIAL = const(1)
FLAG_FIRST = const(2)
FLAG_LAST = const(4)

# w0 and w1 of a record are drawn in SPEC.md; the rows name the two words and the payload.
RECORD = (
    ("w0", "I", "", "time bits 27 to 0, dlc << 28"),
    ("w1", "I", "", "can_id bits 28 to 0, bus << 29, rtr << 30, ext << 31"),
    ("data", "8s", "", "payload, zero beyond its length"),
)

# A meta record has dlc 15 and w1 = kind | arg << 8 | bus << 29; its 8 data bytes are one of these.
META_SESSION = const(1)
META_ANCHOR = const(2)
META_GAP = const(3)
META_BUS = const(4)
META_EVENT = const(5)
META_HASH = const(6)
META_HEALTH = const(7)
META_END = const(8)

META = (
    (
        META_SESSION,
        "session",
        "first record of a session; arg = reset cause",
        (
            ("n_buses", "B", "", "buses that are captured"),
            ("listen_only", "B", "", "1 when no bus may transmit"),
            ("flush_ms", "H", "ms", "a partial block is closed after this time"),
            ("firmware", "I", "", "firmware version, major << 16 | minor << 8 | patch"),
        ),
    ),
    (
        META_ANCHOR,
        "anchor",
        "wall clock at this record's time; arg = source: 1 host, 2 GNSS, 3 RTC",
        (("t_unix_us", "Q", "us", "UTC since 1970"),),
    ),
    (
        META_GAP,
        "gap",
        "frames of this bus lost before this record; arg = cause",
        (
            ("n", "I", "frames", "frames lost; a lower bound where the cause says so"),
            ("t_first", "I", "us", "time of the first loss since boot, bits 31 to 0"),
        ),
    ),
    (
        META_BUS,
        "bus",
        "state of this bus's controller; arg = state",
        (
            ("tec", "B", "", "transmit error counter"),
            ("rec", "B", "", "receive error counter"),
            ("n_errors", "H", "", "errors since the last such record, at least; 65535 at most"),
            ("bitrate_bps", "I", "bit/s", "configured bit rate"),
        ),
    ),
    (
        META_EVENT,
        "event",
        "on-car event; arg = event code | state << 16",
        (
            ("value", "i", "", "value, scaled as the event says"),
            ("extra", "I", "", "second value, as the event says"),
        ),
    ),
    (
        META_HASH,
        "hash",
        "what the logger runs with; arg = 1 settings, 2 signal table, 3 firmware",
        (("sha256_head", "8s", "", "first 8 bytes of the SHA-256"),),
    ),
    (
        META_HEALTH,
        "health",
        "arg = 1 most blocks in the ring, 2 longest write in ms, 3 radio, 16 and above: see BUS",
        (
            ("value", "I", "", "the counter's value"),
            ("worst", "I", "", "its worst value in this session, where it has one"),
        ),
    ),
    (
        META_END,
        "end",
        "last record of a session that was stopped in order; arg = reason",
        (
            ("n_blocks", "I", "blocks", "blocks of this session, this one included"),
            ("spare", "I", "", "0"),
        ),
    ),
)

GAP_RING_FULL = const(1)  # exact: the ring of blocks was full
GAP_CONTROLLER = const(2)  # at least: the controller raised its overflow flag
GAP_CARD = const(3)  # exact: blocks discarded after the card failed
GAP_COPIED = const(4)  # exact: the log that a file was made of lacked them; 0: nobody counted
GAP_AT_LEAST = (GAP_CONTROLLER,)

# Args of the other records, in the order of META.
ANCHOR_HOST = const(1)
ANCHOR_GNSS = const(2)
ANCHOR_RTC = const(3)
ANCHOR_STAMPS = const(4)  # of a log that was converted: nobody set a logger's clock
ANCHOR_HEADER = const(5)
HASH_SETTINGS = const(1)
HASH_SIGNALS = const(2)
HASH_FIRMWARE = const(3)
HEALTH_RING_WORST = const(1)
HEALTH_WRITE_WORST = const(2)
HEALTH_RADIO = const(3)  # bits of slog.radio
HEALTH_BUS = const(16)  # and above: rows of slog.messages.BUS_COUNTERS
END_ASKED = const(1)

BUS_STOPPED = const(0)
BUS_ACTIVE = const(1)
BUS_WARNING = const(2)
BUS_PASSIVE = const(3)
BUS_OFF = const(4)
BUS_SILENT = const(5)  # no frame for a while

# What `write_poll` of a card returns; a card's driver and the store agree on them.
WRITE_DONE = const(0)
WRITE_BUSY = const(1)
ERROR_REJECTED = const(-1)
ERROR_TIMEOUT = const(-2)
ERROR_ABSENT = const(-3)
ERROR_READ_ONLY = const(-4)

SIGNATURE_MAGIC = b"STAGELOG extent\n"
RELEASE_MAGIC = b"STAGELOG release"
MAGIC_BYTES = len(SIGNATURE_MAGIC)
SIGNATURE = (
    ("magic", "16s", "", "STAGELOG extent and a line feed"),
    ("version", "I", "", "format version, 1"),
    ("extent_id", "8s", "", "random id, given when the card was prepared"),
    ("lba", "I", "sectors", "where the extent starts on the medium"),
    ("n_blocks", "I", "blocks", "length of the extent"),
    ("copy", "I", "blocks", "position of the second copy of this signature"),
    ("data_first", "I", "blocks", "first position of the ring"),
    ("data_end", "I", "blocks", "position after the last of the ring"),
    ("release_a", "I", "blocks", "position of release mark A"),
    ("release_b", "I", "blocks", "position of release mark B"),
    ("crc", "I", "", "CRC-32 of all bytes above"),
)
RELEASE = (
    ("magic", "16s", "", "STAGELOG release"),
    ("extent_id", "8s", "", "of the extent this mark belongs to"),
    ("generation", "I", "", "rises by 1 with every release; the highest valid mark counts"),
    ("released_seq", "I", "", "blocks with a lower sequence number are erased"),
    ("position", "I", "blocks", "first position of the ring that is not erased"),
    ("crc", "I", "", "CRC-32 of all bytes above"),
)


def struct_format(table):
    """Return the struct string of a table, little-endian and packed."""
    return "<" + "".join([row[1] for row in table])


def size(table):
    """Return the number of bytes of a table."""
    return struct.calcsize(struct_format(table))


def offsets(table):
    """Return {field name: byte offset}."""
    found = {}
    at = 0
    for row in table:
        found[row[0]] = at
        at += struct.calcsize("<" + row[1])
    return found


def unpack(table, buf, at=0):
    """Return {field name: value} of the bytes at `at`; struct.error or ValueError if too short."""
    values = struct.unpack_from(struct_format(table), buf, at)
    found = {}
    for row, value in zip(table, values):
        found[row[0]] = value
    return found


def pack(table, values):
    """Return the bytes of a table from {field name: value}; fields left out are zero."""
    listed = []
    for row in table:
        listed.append(values.get(row[0], b"" if row[1].endswith("s") else 0))
    return struct.pack(struct_format(table), *listed)


def meta_table(kind):
    """Return the payload table of a meta record kind, or None for a kind this version does not
    know.
    """
    for row in META:
        if row[0] == kind:
            return row[3]
    return None
