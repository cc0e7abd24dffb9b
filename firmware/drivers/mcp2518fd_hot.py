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

# CRC-16 of the manual: x^16 + x^15 + x^2 + 1, first bit first, from 0xFFFF; of four bits at once.
_NIBBLES = array("H", [0] * 16)
for _i in range(16):
    _crc = _i << 12
    for _ in range(4):
        _crc = _crc << 1 ^ (0x8005 if _crc & 0x8000 else 0)
    _NIBBLES[_i] = _crc & 0xFFFF


@micropython.viper
def crc_of(buf: ptr8, n: int, nibbles: ptr16) -> int:
    """Return the CRC of the first `n` bytes of `buf`."""
    crc = 0xFFFF
    i = 0
    while i < n:
        byte = buf[i]
        crc = (crc << 4 ^ nibbles[crc >> 12 ^ byte >> 4]) & 0xFFFF
        crc = (crc << 4 ^ nibbles[crc >> 12 ^ byte & 15]) & 0xFFFF
        i += 1
    return crc


def has_crc(buf, n):
    """Return whether the two bytes after the first `n` are their CRC."""
    crc = crc_of(buf, n, _NIBBLES)  # type: ignore[arg-type]
    return crc == buf[n] << 8 | buf[n + 1]


@micropython.viper
def take(buf: ptr8, at: int, n: int, words: ptr32, state: ptr32, memory: ptr8) -> int:
    """Store up to `n` objects from buf[at:], as long as they are new and the open block stays
    open; return how many.
    """
    newest = int(words[0])
    last = int(words[4])
    bus = int(words[5])
    count = int(state[1])
    i = 0
    while i < n and count < 251:
        stamp = buf[at + 8] | buf[at + 9] << 8 | buf[at + 10] << 16 | (buf[at + 11] & 15) << 24
        later = (stamp - newest) & 0x0FFFFFFF
        if later == 0 or later >= 0x08000000:
            break
        if (int(words[1]) - stamp) & 0x0FFFFFFF >= 0x08000000:
            break
        control = buf[at + 4]
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
        low = buf[at] | (buf[at + 1] & 7) << 8
        high = bus << 5
        if control & 0x10:
            ext = buf[at + 1] >> 3 | buf[at + 2] << 5 | (buf[at + 3] & 31) << 13
            high |= 0x80 | low >> 6
            low = (low & 63) << 18 | ext
        dlc = control & 15
        if dlc > 8:
            dlc = 8
        n_bytes = dlc
        if control & 0x20:
            high |= 0x40
            n_bytes = 0
        to = (int(state[0]) << 12) + 64 + (count << 4)
        memory[to] = lo & 255
        memory[to + 1] = lo >> 8 & 255
        memory[to + 2] = lo >> 16 & 255
        memory[to + 3] = lo >> 24 | dlc << 4
        memory[to + 4] = low & 255
        memory[to + 5] = low >> 8 & 255
        memory[to + 6] = low >> 16 & 255
        memory[to + 7] = high
        k = 0
        while k < 8:
            memory[to + 8 + k] = buf[at + 12 + k] if k < n_bytes else 0
            k += 1
        at += 20
        count += 1
        i += 1
    words[0] = newest
    words[4] = last
    state[4 + bus] = int(state[4 + bus]) + i
    state[1] = count
    return i
