"""A faster line for boards whose cable is a UART: RATE, a message of the service link (SPEC 8.5).

The line begins at BASE_bps. The host asks for a rate; the logger answers at the old one and
changes 50 ms later, so does the host, and asks again: the answer at the new rate confirms it.
Without a good request for 1 s at a rate that was not confirmed, for 10 s at one that was, the
logger goes back to BASE_bps. Only boards with a UART load it.
"""

from slog.layout import const

RATE = const(0x0D)
BASE_bps = const(115_200)
RATES_bps = (2_000_000, 921_600, 460_800)
BOARDS = ("esp32_mcp2518fd",)
CHANGE_US = const(50_000)
UNCONFIRMED_US = const(1_000_000)
SILENT_US = const(10_000_000)
RATE_REQUEST = (("rate_bps", "I", "bit/s", "wanted, one of RATES_bps or 115,200"),)
RATE_REPLY = (
    ("status", "B", "", "0; OUT_OF_RANGE, no such rate"),
    ("rate_bps", "I", "bit/s", "rate of the line from 50 ms after this answer on"),
)
MESSAGES = ((RATE, "RATE", RATE_REQUEST, RATE_REPLY),)
