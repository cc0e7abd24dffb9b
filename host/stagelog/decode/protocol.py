"""Which protocol the traffic of a bus is of: J1939, NMEA 2000, or none that is known.

Found by the groups (PGNs) that nearly every such bus carries, in 29-bit identifiers: three
different ones are taken as proof. Owns the way from a Database to one whose 29-bit messages are of
J1939, or not.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from stagelog.dbc.model import Database
from stagelog.decode.lookup import pgn_key
from stagelog.model import ERR, EXT, RTR, FrameTable

J1939, NMEA_2000 = "J1939", "NMEA 2000"
MIN_GROUPS = 3
N_SAMPLED = 1_000_000  # frames

# Of both: request, transport (2), address claimed.
_OF_BOTH = {0xEA00, 0xEB00, 0xEC00, 0xEE00}
# TSC1, ETC1, EEC2, EEC1, EBC1, VD, HOURS, DM1, ET1, EFL/P1, CCVS1, LFE1, AMB, IC1, VEP1, DD1
_OF_J1939 = {0x0000, 0xF001, 0xF002, 0xF003, 0xF004, 0xFEE0, 0xFEE5, 0xFECA, 0xFEEE, 0xFEEF}
_OF_J1939 |= {0xFEF1, 0xFEF2, 0xFEF5, 0xFEF6, 0xFEF7, 0xFEFC}
# System time, heartbeat, product, rudder, heading, turn, attitude, engine (2), transmission,
# fluid, battery, speed, depth, position, course, GNSS, wind, environment (3)
_OF_NMEA_2000 = {126992, 126993, 126996, 127245, 127250, 127251, 127257, 127488, 127489, 127493}
_OF_NMEA_2000 |= {127505, 127508, 128259, 128267, 129025, 129026, 129029, 130306, 130310}
_OF_NMEA_2000 |= {130311, 130312}


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a bus speaks, and who: the source addresses in order."""

    name: str
    n_groups: int
    sources: tuple[int, ...]

    def __str__(self) -> str:
        listed = " ".join(f"{source:02X}" for source in self.sources[:20])
        more = " ..." if len(self.sources) > 20 else ""
        return f"{self.name}, {self.n_groups} groups, sources {listed}{more}"


def protocol_of(ids: Iterable[int]) -> Protocol | None:
    """Return the Protocol that 29-bit identifiers of one bus are of, None if it is not known."""
    numbers = np.array(sorted(set(ids)), np.uint32)
    groups = set((pgn_key(numbers) >> np.uint32(8)).tolist())
    boat, truck = (groups & (own | _OF_BOTH) for own in (_OF_NMEA_2000, _OF_J1939))
    name, known = max(((NMEA_2000, boat), (J1939, truck)), key=lambda each: len(each[1]))
    if len(known) < MIN_GROUPS or known <= _OF_BOTH:
        return None
    sources = sorted(set((numbers & np.uint32(0xFF)).tolist()))
    return Protocol(name, len(groups), tuple(sources))


def find_protocol(tables: Iterable[FrameTable]) -> Protocol | None:
    """Return the Protocol of the first bus that speaks one; reads the first million frames."""
    ids: dict[int, set[int]] = {}
    n_seen = 0
    for frames in tables:
        n_seen += len(frames)
        data = frames[(frames["flags"] & (EXT | RTR | ERR)) == EXT]
        for bus in np.unique(data["bus"]).tolist():
            known = ids.setdefault(bus, set())
            n_before = len(known)
            known.update(np.unique(data["can_id"][data["bus"] == bus]).tolist())
            found = protocol_of(known) if len(known) > n_before else None
            if found is not None:
                return found
        if n_seen >= N_SAMPLED:
            break
    return None


def may_be_j1939(database: Database) -> bool:
    """Return whether a database has 29-bit messages that it does not itself call J1939."""
    return any(message.is_ext and not message.is_j1939 for message in database.messages)


def as_said(database: Database, j1939: bool | None) -> Database:
    """Return a Database as somebody says: 29-bit messages of J1939 or not; None: as it is."""
    return database if j1939 is None else as_j1939(database, j1939)


def as_j1939(database: Database, wanted: bool = True) -> Database:
    """Return a Database whose 29-bit messages are all of J1939 (or NMEA 2000), or none."""
    messages = tuple(
        replace(message, is_j1939=wanted and message.is_ext) for message in database.messages
    )
    return replace(database, messages=messages, j1939=wanted)
