"""The part of `mcp2518fd` that works on each byte: the CRC of what was read, and objects of a
burst into the ring's open block. Plain Python where there is no native code.

`take` does what `Mcp2518fd._put` and `PolledRing.put_frame` do together; a test holds them equal.
"""

from array import array

from slog.layout import const
from slog.native import micropython, ptr8, ptr16, ptr32

# Words of `take`.
NEWEST = const(0)  # stamp of the newest object
NOW = const(1)  # the chip's time
OFFSET = const(2)  # from the chip's time to ours
CLOCK = const(3)  # our time, bits 27..0
LAST = const(4)  # time of the newest record
BUS = const(5)
N_WORDS = const(6)

# Of a burst: a byte that brings the objects to a word, the command, its length, the objects.
COMMAND = const(1)
OBJECTS = const(4)

# CRC-16 of the manual: x^16 + x^15 + x^2 + 1, first bit first, from 0xFFFF; of a byte at once.
_BYTES = array("H", [0] * 256)
for _i in range(256):
    _crc = _i << 8
    for _ in range(8):
        _crc = _crc << 1 ^ (0x8005 if _crc & 0x8000 else 0)
    _BYTES[_i] = _crc & 0xFFFF


@micropython.viper
def crc_of(buf: ptr8, i: int, end: int, table: ptr16) -> int:
    """Return the CRC of buf[i:end]."""
    crc = 0xFFFF
    while i < end:
        crc = (crc << 8 ^ table[crc >> 8 ^ buf[i]]) & 0xFFFF
        i += 1
    return crc


@micropython.native
def has_crc(burst, end):
    """Return whether the two bytes from `end` on are the CRC of a burst."""
    crc = crc_of(burst, COMMAND, end, _BYTES)  # type: ignore[arg-type]
    return crc == burst[end] << 8 | burst[end + 1]


@micropython.viper
def take(buf: ptr32, at: int, n: int, words: ptr32, state: ptr32, memory: ptr32) -> int:
    """Store up to `n` objects from byte `at` of `buf` on, as long as they are new and the open
    block stays open; return how many.
    """
    newest = int(words[0])
    last = int(words[4])
    bus = int(words[5])
    count = int(state[1])
    at >>= 2
    to = (int(state[0]) << 10) + 16 + (count << 2)
    i = 0
    while i < n and count < 251:
        stamp = buf[at + 2] & 0x0FFFFFFF
        later = (stamp - newest) & 0x0FFFFFFF
        if later == 0 or later >= 0x08000000:
            break
        if (int(words[1]) - stamp) & 0x0FFFFFFF >= 0x08000000:
            break
        control = buf[at + 1]
        if control & 0x80:  # CAN FD
            break
        newest = stamp
        lo = (stamp + int(words[2])) & 0x0FFFFFFF
        if (int(words[3]) - lo) & 0x0FFFFFFF >= 0x08000000:
            lo = int(words[3])  # the offset was a little ahead
        later = (lo - last) & 0x0FFFFFFF
        if later >= 0x08000000:
            lo = last
        last = lo
        low = buf[at]
        high = bus << 5
        if control & 0x10:
            high |= 0x80
            low = (low & 0x7FF) << 18 | low >> 11 & 0x3FFFF
        else:
            low &= 0x7FF
        dlc = control & 15
        if dlc > 8:
            dlc = 8
        n_bytes = dlc
        if control & 0x20:
            high |= 0x40
            n_bytes = 0
        first = buf[at + 3]
        second = buf[at + 4]
        if n_bytes < 8:
            if n_bytes > 4:
                second &= (1 << (n_bytes - 4 << 3)) - 1
            else:
                second = 0
                if n_bytes < 4:
                    first &= (1 << (n_bytes << 3)) - 1
        memory[to] = lo | dlc << 28
        memory[to + 1] = low | high << 24
        memory[to + 2] = first
        memory[to + 3] = second
        at += 5
        to += 4
        count += 1
        i += 1
    words[0] = newest
    words[4] = last
    state[4 + bus] = int(state[4 + bus]) + i
    state[1] = count
    return i
