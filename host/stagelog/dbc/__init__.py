"""CAN databases, however defective.

    load_database(path) -> Database         DBC, ARXML, KCD, SYM; InputError if nothing can be read
    load_databases(words) -> Database       also one for each bus: ["can0=a.dbc", "can1=b.dbc"]

How good a database is, by itself and against a log: stagelog.decode.doctor.

Database: path, kind, sha256, encoding, version, messages, defects (line, what, done), cantools.
Message: name, can_id, n_bytes, signals, is_ext, is_fd, is_j1939, cycle_ms, senders, comment.
Signal: name, start, length, is_motorola, is_signed, is_float, scale, offset, minimum, maximum,
unit, choices, is_selector, selector, selector_ranges, comment.
"""

from stagelog.dbc.buses import load_databases
from stagelog.dbc.loader import load_database
from stagelog.dbc.model import Database, Defect, Message, Signal

__all__ = ["Database", "Defect", "Message", "Signal", "load_database", "load_databases"]
