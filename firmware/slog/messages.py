"""Service messages: what host and logger say to each other inside a frame.

The host asks, the logger answers with kind | 0x80 and the same request number. Every request says
all that is needed to answer it, so loss, duplication, reordering and a reset of the logger do no
harm: the host asks again.
"""

import hashlib

from slog.layout import (
    BLOCK_HEADER,
    HASH_BYTES,
    META,
    RECORD,
    RELEASE,
    SIGNATURE,
    VERSION,
    const,
    pack,
    size,
    unpack,
)

HELLO = const(0x01)
STATUS = const(0x02)
TIME = const(0x03)
LIST = const(0x04)
READ = const(0x05)
ERASE = const(0x06)
CONFIG_GET = const(0x07)
CONFIG_SET = const(0x08)
CONTROL = const(0x09)
LIVE = const(0x0A)
BUS = const(0x0B)
MARK = const(0x0C)
REPLY = const(0x80)

OK = const(0)
PENDING = const(1)
BAD_REQUEST = const(2)
NO_CARD = const(3)
OUT_OF_RANGE = const(4)
READ_ERROR = const(5)
WRONG_DIGEST = const(6)
WRONG_SESSION = const(7)
BUSY = const(8)
WRONG_CONTRACT = const(9)
REFUSED = const(10)

STATUS_TEXT = {
    OK: "done",
    PENDING: "still working",
    BAD_REQUEST: "request not understood",
    NO_CARD: "no usable card",
    OUT_OF_RANGE: "position outside of the extent",
    READ_ERROR: "the card could not be read",
    WRONG_DIGEST: "the digest does not match what is on the card",
    WRONG_SESSION: "no such session on the card",
    BUSY: "busy",
    WRONG_CONTRACT: "another contract",
    REFUSED: "refused in this state",
}

MAX_READ = const(4096)
MAX_RUN = const(64)  # places that one READ asks for
CONFIG_SETTINGS = const(0)  # JSON text, see firmware/SPEC.md
CONFIG_SIGNALS = const(1)  # compiled signal table
CONFIG_FIRMWARE = const(2)  # SHA-256 of the program that runs, 32 bytes; it is only read
CONFIG_UPDATE = const(3)  # which package the logger has: slog.package
CONFIG_KEY = const(4)  # 32 secret bytes for packages from a card; its SHA-256 is what is read
MAX_CONFIG_BYTES = const(16384)
MAX_MARK_BYTES = const(32)  # of the text of a mark

CONTROL_STOP = const(1)
CONTROL_START = const(2)
CONTROL_RESET = const(3)
CONTROL_REPL = const(4)
CONTROL_BOOTLOADER = const(5)
CONTROL_UPDATE = const(6)  # by the logger itself, for a package on the card

STATE_BOOT = const(0)
STATE_IDLE = const(1)
STATE_RECORDING = const(2)
STATE_FULL = const(3)
STATE_CARD_FAULT = const(4)
STATE_NO_CARD = const(5)
STATE_TEXT = {
    STATE_BOOT: "starting",
    STATE_IDLE: "stopped",
    STATE_RECORDING: "recording",
    STATE_FULL: "card full",
    STATE_CARD_FAULT: "card fault",
    STATE_NO_CARD: "no usable card",
}

HELLO_REQUEST = (("contract", "8s", "", "the host's contract hash; any value is answered"),)
HELLO_REPLY = (
    ("status", "B", "", "0"),
    ("version", "B", "", "format version"),
    ("state", "B", "", "state of the logger"),
    ("slot", "B", "", "firmware slot, 0 A, 1 B, 255 none"),
    ("contract", "8s", "", "the logger's contract hash"),
    ("device_id", "8s", "", "unique id of the chip"),
    ("boot", "I", "", "boot counter"),
    ("nonce", "I", "", "random number of the running session, 0 if none"),
    ("firmware", "I", "", "firmware version"),
    ("max_read", "H", "bytes", "longest READ that is answered"),
    ("board", "16s", "", "name of the board, zero padded"),
    ("car", "8s", "", "name of the car from the settings, zero padded"),
)
STATUS_REPLY = (
    ("status", "B", "", "0"),
    ("state", "B", "", "state of the logger"),
    ("fault", "B", "", "fault code, 0 for none"),
    ("n_buses", "B", "", "buses that are captured"),
    ("t_us", "Q", "us", "time since boot"),
    ("stored0", "I", "frames", "bus 0: on the card in this session"),
    ("stored1", "I", "frames", "bus 1: the same"),
    ("dropped0", "I", "frames", "bus 0: dropped, exact"),
    ("dropped1", "I", "frames", "bus 1: dropped, exact"),
    ("at_least0", "H", "frames", "bus 0: lost in hardware, at least"),
    ("at_least1", "H", "frames", "bus 1: lost in hardware, at least"),
    ("bus_state0", "B", "", "state of controller 0"),
    ("bus_state1", "B", "", "state of controller 1"),
    ("tec0", "B", "", "transmit error counter 0"),
    ("rec0", "B", "", "receive error counter 0"),
    ("tec1", "B", "", "transmit error counter 1"),
    ("rec1", "B", "", "receive error counter 1"),
    ("doubts0", "H", "", "answers of controller 0 that cannot be right, since power-on"),
    ("doubts1", "H", "", "answers of controller 1: the same"),
    ("ring_blocks", "H", "blocks", "size of the ring in memory"),
    ("ring_worst", "H", "blocks", "most blocks that ever waited in it"),
    ("blocks_written", "I", "blocks", "written in this session"),
    ("blocks_free", "I", "blocks", "left on the card"),
    ("write_worst_ms", "I", "ms", "longest time one block took to write"),
    ("write_errors", "I", "", "writes that the card rejected or that timed out"),
    ("write_retries", "I", "", "writes that were tried again"),
    ("slots_skipped", "I", "blocks", "places on the card skipped after failed writes"),
    ("verify_errors", "I", "", "blocks that read back wrong"),
    ("bad_frames", "I", "", "garbage frames on the service link"),
    ("heap_free_bytes", "I", "bytes", "free heap"),
    ("loop_worst_us", "I", "us", "longest pass of the main loop"),
    ("boot_to_frame_ms", "I", "ms", "power-on to the first stored frame, 0 if none yet"),
)
TIME_REQUEST = (("t_unix_us", "Q", "us", "UTC since 1970; stored as an anchor unless 0"),)
TIME_REPLY = (
    ("status", "B", "", "result"),
    ("t_us", "Q", "us", "time since boot at which the request was read"),
)
LIST_REQUEST = (("index", "H", "", "0 is the newest session, then older ones"),)
LIST_REPLY = (
    ("status", "B", "", "0; OUT_OF_RANGE past the oldest; PENDING, ask again"),
    ("running", "B", "", "1 while this session is being recorded"),
    ("index", "H", "", "as asked"),
    ("boot", "I", "", "boot counter"),
    ("nonce", "I", "", "random number of the session"),
    ("device_id", "8s", "", "logger that wrote it"),
    ("first_seq", "I", "", "sequence number of the first block"),
    ("position", "I", "blocks", "place of the first block in the extent"),
    ("n_blocks", "I", "blocks", "places from there, round the ring, that belong to the session"),
    ("data_first", "I", "blocks", "first position of the ring"),
    ("data_end", "I", "blocks", "position after the last of the ring"),
    ("t0_us", "Q", "us", "time of its first record since boot"),
)
READ_REQUEST = (
    ("position", "I", "blocks", "place in the extent"),
    ("at", "H", "bytes", "first byte within the block"),
    ("n", "H", "bytes", "bytes wanted, up to max_read and to the end of the block"),
    ("n_blocks", "H", "blocks", "places wanted from there on, 1 to 64; each has its own answer"),
)
READ_REPLY = (
    ("status", "B", "", "result; the data follow only with 0"),
    ("spare", "B", "", "0"),
    ("position", "I", "blocks", "the place that is answered"),
    ("at", "H", "bytes", "as asked"),
    ("n", "H", "bytes", "bytes that follow"),
)
ERASE_REQUEST = (
    ("device_id", "8s", "", "of the logger that is meant"),
    ("boot", "I", "", "session: boot counter"),
    ("nonce", "I", "", "session: random number"),
    ("first_seq", "I", "", "session: sequence number of the first block"),
    ("n_blocks", "I", "blocks", "session: length"),
    ("digest", "32s", "", "SHA-256 of the first 64 bytes of every block of the session"),
)
ERASE_REPLY = (
    ("status", "B", "", "0 erased; PENDING, ask again; WRONG_DIGEST; WRONG_SESSION; REFUSED"),
    ("done_pct", "B", "%", "progress of the check"),
    ("released_seq", "I", "", "blocks below this number are erased"),
)
CONFIG_GET_REQUEST = (
    ("item", "B", "", "0 settings, 1 signal table, 2 firmware, 3 update, 4 key"),
    ("at", "H", "bytes", "first byte wanted"),
)
CONFIG_GET_REPLY = (
    ("status", "B", "", "result"),
    ("item", "B", "", "as asked"),
    ("at", "H", "bytes", "as asked"),
    ("total", "H", "bytes", "length of the item; up to 1,024 bytes from `at` follow"),
    ("crc", "I", "", "CRC-32 of the whole item"),
)
CONFIG_SET_REQUEST = (
    ("item", "B", "", "0 settings, 1 signal table, 3 update, 4 key"),
    ("at", "H", "bytes", "place of the data that follow"),
    ("total", "H", "bytes", "length of the whole item"),
    ("crc", "I", "", "CRC-32 of the whole item; it is taken over when all bytes are there"),
)
CONFIG_SET_REPLY = (
    (
        "status",
        "B",
        "",
        "0 taken over; PENDING, more bytes are wanted; BUSY, recording; REFUSED, not valid",
    ),
    ("item", "B", "", "as asked"),
    ("at", "H", "bytes", "next byte wanted"),
)
CONTROL_REQUEST = (
    ("action", "B", "", "1 stop, 2 start, 3 reset, 4 open the REPL, 5 boot loader"),
    ("boot", "I", "", "boot counter from HELLO: a late request does nothing after a reset"),
)
CONTROL_REPLY = (
    ("status", "B", "", "result"),
    ("state", "B", "", "state after it"),
)

LIVE_REQUEST = (("on", "B", "", "1 push records from now on, 0 stop; must be renewed every 10 s"),)
LIVE_REPLY = (
    ("status", "B", "", "0; also sent unasked with request 0 while pushing is on"),
    ("n", "B", "records", "records of 16 bytes that follow, up to 64"),
    ("n_skipped", "H", "blocks", "blocks that were not pushed because the link was too slow"),
    ("t0_lo", "I", "us", "time of the first record of their block, bits 27 to 0"),
    ("t0_hi", "I", "2^28 us", "the same, bits 59 to 28"),
)

# What a receiver without a controller counts of its bus in a session, see SPEC.md.
BUS_COUNTERS = (
    ("stuff", "I", "", "six recessive bits in a row within a frame"),
    ("flags", "I", "", "six dominant bits in a row: error frames, stuff errors of dominant bits"),
    ("crc", "I", "", "frames whose CRC is wrong"),
    ("form", "I", "", "a fixed bit of a frame was dominant"),
    ("unacknowledged", "I", "", "frames that nobody acknowledged"),
    ("fd", "I", "frames", "CAN FD frames, which are passed over"),
    ("overload", "I", "", "overload frames"),
    ("remote", "I", "frames", "remote frames, which are stored"),
    ("missed_us", "I", "us", "time of the bus that was overwritten before it was decoded"),
)
BUS_REQUEST = (
    ("bus", "B", "", "number of the bus"),
    ("measure", "B", "", "1 measure the bit rate on the wire: PENDING until 1 ms was heard"),
)
BUS_REPLY = (
    (
        "status",
        "B",
        "",
        "0; PENDING, ask again; OUT_OF_RANGE, no such bus; REFUSED, the board cannot",
    ),
    ("bus", "B", "", "as asked"),
    ("rate_bps", "I", "bit/s", "bit rate on the wire; 0: not asked for, or none that is known"),
) + BUS_COUNTERS
MARK_REQUEST = (
    ("token", "I", "", "random, not 0; the same again sets no second mark"),
    ("n", "B", "bytes", "length of the text that follows, UTF-8, at most 32"),
)
MARK_REPLY = (
    ("status", "B", "", "0; BAD_REQUEST, no such text; REFUSED, not recording, or no place"),
    ("number", "I", "", "of the mark in its session, from 1"),
)

MESSAGES = (
    (HELLO, "HELLO", HELLO_REQUEST, HELLO_REPLY),
    (STATUS, "STATUS", (), STATUS_REPLY),
    (TIME, "TIME", TIME_REQUEST, TIME_REPLY),
    (LIST, "LIST", LIST_REQUEST, LIST_REPLY),
    (READ, "READ", READ_REQUEST, READ_REPLY),
    (ERASE, "ERASE", ERASE_REQUEST, ERASE_REPLY),
    (CONFIG_GET, "CONFIG_GET", CONFIG_GET_REQUEST, CONFIG_GET_REPLY),
    (CONFIG_SET, "CONFIG_SET", CONFIG_SET_REQUEST, CONFIG_SET_REPLY),
    (CONTROL, "CONTROL", CONTROL_REQUEST, CONTROL_REPLY),
    (LIVE, "LIVE", LIVE_REQUEST, LIVE_REPLY),
    (BUS, "BUS", BUS_REQUEST, BUS_REPLY),
    (MARK, "MARK", MARK_REQUEST, MARK_REPLY),
)


def contract_hash():
    """Return the first 8 bytes of the SHA-256 over all layouts, event codes and the signal table:
    equal on both ends or they do not talk.
    """
    from slog import event_names, table_names

    h = hashlib.sha256()
    h.update(b"stagelog %d" % VERSION)
    for table in (BLOCK_HEADER, RECORD, SIGNATURE, RELEASE):
        _hash_table(h, "", table)
    for kind, name, _, table in META:
        _hash_table(h, "meta %d %s" % (kind, name), table)
    for kind, name, request, reply in MESSAGES:
        _hash_table(h, "ask %d %s" % (kind, name), request)
        _hash_table(h, "answer %d %s" % (kind, name), reply)
    for code, name, unit, _, extra_unit, _, states in event_names.EVENTS + event_names.KINDS:
        rows = [(state, states[state], "") for state in sorted(states)]
        _hash_table(h, "event %d %s %s %s" % (code, name, unit, extra_unit), rows)
    rows = [(row[0], row[1], row[3]) for row in event_names.SUMMARY_ITEMS]
    _hash_table(h, "summary", rows)
    _hash_table(h, "signal table %d" % table_names.VERSION, ())
    for tag in sorted(table_names.SECTIONS):
        name, _, columns = table_names.SECTIONS[tag]
        rows = [(row[0], row[1], "") for row in columns + table_names.ROWS.get(tag, ())]
        _hash_table(h, "section %d %s" % (tag, name), rows)
    for role in table_names.ROLES:
        h.update(("|role %d %s %d %s" % role).encode())
    return h.digest()[:HASH_BYTES]


def _hash_table(h, title, table):
    h.update(title.encode())
    for row in table:
        h.update(("|%s %s %s" % row[:3]).encode())


class MessageError(ValueError):
    """A frame whose CRC is right but whose content is not a message of this contract."""


def parse(table, payload):
    """Return ({field: value}, rest of the payload); MessageError if it is too short."""
    n = size(table)
    if len(payload) < n:
        raise MessageError("%d bytes, %d wanted" % (len(payload), n))
    return unpack(table, payload), payload[n:]


def build(table, values, rest=b""):
    """Return the payload of a message."""
    return pack(table, values) + bytes(rest)
