"""The registers of the MCP2515 as the data sheet DS20001801H draws them, and what follows from
their bits alone.
"""

import ctypes
from functools import cache
from typing import TypeAlias

from stagelog.model import EXT, RTR

Registers: TypeAlias = "ctypes.Array[ctypes.c_uint8] | bytearray"
Levels: TypeAlias = tuple[bool | None, ...]  # of INT, RX0BF, RX1BF; None: not driven

BFPCTRL, CANSTAT, CANCTRL = 0x0C, 0x0E, 0x0F
TEC, REC = 0x1C, 0x1D
CNF3, CNF2, CNF1, CANINTE, CANINTF, EFLG = 0x28, 0x29, 0x2A, 0x2B, 0x2C, 0x2D
RXB0CTRL, RXB0, RXB1CTRL, RXB1 = 0x60, 0x61, 0x70, 0x71

RESET, READ, WRITE, BIT_MODIFY, READ_STATUS, RX_STATUS = 0xC0, 0x03, 0x02, 0x05, 0xA0, 0xB0
READ_RX_BUFFER, LOAD_TX_BUFFER, REQUEST_TO_SEND = 0x90, 0x40, 0x80

MODE_MASK = 0xE0
MODE_NORMAL, MODE_SLEEP, MODE_LOOPBACK, MODE_LISTEN_ONLY, MODE_CONFIGURATION = (
    0x00,
    0x20,
    0x40,
    0x60,
    0x80,
)
MERRF, ERRIF = 0x80, 0x20  # in CANINTF
RX1OVR, RX0OVR = 0x80, 0x40  # in EFLG
STATE_BITS = 0x3F
PASSIVE_BITS = 0x38  # passive or bus-off
BUKT, TXREQ = 0x04, 0x08

_FILTERS = (0x00, 0x04, 0x08, 0x10, 0x14, 0x18)
_MASKS = (0x20, 0x24)
_ANY_MESSAGE = 0x60

BIT_MODIFIABLE = frozenset(
    (BFPCTRL, 0x0D, CNF3, CNF2, CNF1, CANINTE, CANINTF, EFLG, 0x30, 0x40, 0x50, RXB0CTRL, RXB1CTRL)
    + tuple(range(CANCTRL, 0x80, 0x10))
)


def mirror(registers: Registers, address: int, value: int) -> None:
    """Write CANSTAT or CANCTRL, which are seen in all eight rows."""
    for row in range(address, 0x80, 0x10):
        registers[row] = value & 0xFF


def writable_bits(address: int, is_configuring: bool) -> int:
    """Return which bits of a register a write can change."""
    if address & 0x0F == CANSTAT or address in (TEC, REC):
        return 0
    if address <= 0x0B or 0x10 <= address <= 0x1B or 0x20 <= address <= CNF1:
        return 0xFF if is_configuring else 0
    if address == EFLG:
        return RX1OVR | RX0OVR
    if address == RXB0CTRL:
        return 0x64
    if address == RXB1CTRL:
        return 0x60
    if RXB0 <= address <= 0x6D or RXB1 <= address <= 0x7D:
        return 0
    return 0x3F if address == BFPCTRL else 0xFF


def bit_rate_bps(registers: Registers, crystal_Hz: int) -> float:
    """Return the bit rate of CNF1 to CNF3; 0 if the segments break the rules of section 5."""
    cnf1, cnf2, cnf3 = registers[CNF1], registers[CNF2], registers[CNF3]
    propagation, phase1 = (cnf2 & 7) + 1, (cnf2 >> 3 & 7) + 1
    phase2 = (cnf3 & 7) + 1 if cnf2 & 0x80 else max(phase1, 2)
    jump = (cnf1 >> 6) + 1
    if phase2 < 2 or propagation + phase1 < phase2 or phase2 < jump:
        return 0
    quanta = 1 + propagation + phase1 + phase2
    return crystal_Hz / (2 * ((cnf1 & 63) + 1) * quanta)


@cache
def pin_levels(raised: int, enabled: int, control: int) -> Levels:
    """Return levels of INT, RX0BF, RX1BF for CANINTF, CANINTE, BFPCTRL; None: not driven."""
    levels: list[bool | None] = [not raised & enabled]
    for buffer in (0, 1):
        if not control >> (2 + buffer) & 1:
            levels.append(None)
        elif control >> buffer & 1:
            levels.append(not raised >> buffer & 1)
        else:
            levels.append(bool(control >> (4 + buffer) & 1))
    return tuple(levels)


def state_bits(tec: int, rec: int) -> int:
    """Return TXBO, TXEP, RXEP, TXWAR, RXWAR and EWARN for the error counters."""
    bits = (
        (tec >= 255) << 5
        | (tec >= 128) << 4
        | (rec >= 128) << 3
        | (tec >= 96) << 2
        | (rec >= 96) << 1
    )
    return bits | (bits & 6 != 0)


def find_match(
    registers: Registers, can_id: int, flags: int, data: bytes
) -> tuple[int, int] | None:
    """Return (buffer, filter number) for a frame, or None if no filter passes it."""
    for buffer, filters in ((0, (0, 1)), (1, (2, 3, 4, 5))):
        if registers[RXB0CTRL + 0x10 * buffer] & _ANY_MESSAGE == _ANY_MESSAGE:
            return buffer, filters[0]
        mask = _pattern(registers, _MASKS[buffer])
        for number in filters:
            at = _FILTERS[number]
            if bool(registers[at + 1] & 0x08) == bool(flags & EXT):
                wanted = _pattern(registers, at)
                if (
                    not (wanted ^ _pattern_of(can_id, flags, data))
                    & mask
                    & (-1 if flags & EXT else ~(3 << 16))
                ):
                    return buffer, number
    return None


def _pattern(registers: Registers, at: int) -> int:
    """Return SIDH, SIDL, EID8, EID0 as 29 bits."""
    high = registers[at] << 3 | registers[at + 1] >> 5
    return high << 18 | (registers[at + 1] & 3) << 16 | registers[at + 2] << 8 | registers[at + 3]


def _pattern_of(can_id: int, flags: int, data: bytes) -> int:
    """Return the 29 bits a frame is compared by; a standard frame's low 16 are its first bytes."""
    if flags & EXT:
        return can_id
    first = data[:2].ljust(2, b"\0")
    return can_id << 18 | first[0] << 8 | first[1]


def fill_buffer(
    registers: Registers,
    buffer: int,
    can_id: int,
    flags: int,
    dlc: int,
    data: bytes,
    hit: int,
    rolled: bool,
) -> None:
    """Write a received frame into a buffer; bytes beyond its payload keep what they had."""
    at = RXB0 + 0x10 * buffer
    remote = bool(flags & RTR)
    if flags & EXT:
        registers[at] = can_id >> 21 & 0xFF
        registers[at + 1] = (can_id >> 13 & 0xE0) | 0x08 | (can_id >> 16 & 3)
        registers[at + 2] = can_id >> 8 & 0xFF
        registers[at + 3] = can_id & 0xFF
        registers[at + 4] = remote << 6 | dlc
    else:
        registers[at] = can_id >> 3
        registers[at + 1] = (can_id << 5 & 0xE0) | remote << 4
        registers[at + 4] = dlc
    for i, byte in enumerate(data):
        registers[at + 5 + i] = byte
    control = at - 1
    if buffer == 0:
        registers[control] = (
            (registers[control] & 0x64) | remote << 3 | (registers[control] & BUKT) >> 1 | hit & 1
        )
    else:
        registers[control] = (
            (registers[control] & 0x60) | remote << 3 | (hit & 1 if rolled else hit)
        )


def read_identifier(registers: Registers, at: int) -> tuple[int, int, int]:
    """Return (can_id, flags, dlc) of a transmit buffer whose SIDH is at `at`."""
    high = registers[at] << 3 | registers[at + 1] >> 5
    dlc = registers[at + 4]
    flags = RTR if dlc & 0x40 else 0
    if registers[at + 1] & 0x08:
        low = (registers[at + 1] & 3) << 16 | registers[at + 2] << 8 | registers[at + 3]
        return high << 18 | low, flags | EXT, dlc & 15
    return high, flags, dlc & 15


def quick_status(registers: Registers) -> int:
    """Return the answer to READ STATUS."""
    raised = registers[CANINTF]
    status = raised & 3
    for buffer in range(3):
        status |= (registers[0x30 + 0x10 * buffer] >> 3 & 1) << (2 + 2 * buffer)
        status |= (raised >> (2 + buffer) & 1) << (3 + 2 * buffer)
    return status


def receive_status(registers: Registers) -> int:
    """Return the answer to RX STATUS: buffers, type and filter of the first full one's frame."""
    raised = registers[CANINTF] & 3
    status = raised << 6
    if not raised:
        return status
    buffer = 0 if raised & 1 else 1
    at = RXB0 + 0x10 * buffer
    is_extended = registers[at + 1] >> 3 & 1
    remote = registers[at + 4] >> 6 & 1 if is_extended else registers[at + 1] >> 4 & 1
    hit = registers[at - 1] & 7
    if buffer == 1 and hit < 2:
        hit += 6
    return status | is_extended << 4 | remote << 3 | (hit & 1 if buffer == 0 else hit)
