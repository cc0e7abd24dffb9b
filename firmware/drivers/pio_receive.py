# ruff: noqa: F821 (instructions, registers and labels are no names)
"""From the raw bits of a CAN bus to records in the ring, in Thumb assembler.

The bits lie in a ring in memory, one a bit time, the first in the highest bit of a byte, recessive
1; see `pio_can`, which fills it. Each 128 bits have a stamp: the timer when the last of them had
come. Here they become frames by ISO 11898-1, as a node sees them that only listens: stuff bits are
taken out, CRC-15 and the fixed bits are checked, and a frame counts when the last but one bit of
its end has come. After an error the next frame begins after ten recessive bits and no earlier. FD
frames are passed over.

Does not own the ring of blocks: `decode` comes back when a block is to be opened or closed. What
happens within a frame is in `pio_frame`.
"""

from array import array

import micropython
import uctypes
from micropython import const

from drivers.pio_frame import address

# Words of the state that `decode` works on; `pio_can` has them, too. The first five are a table of
# single bits: at 2 * stuff state + bit the next state, 16 if it is no stuff bit, 32 * the bit.
# Stuff states: 0 to 3 one to four dominant bits, 4 to 7 recessive ones, 8 five dominant, 9 five
# recessive ones; 14 and 15 six.
_W_POS = const(5)  # the next bit to sample, modulo the ring
_W_END = const(6)  # the first that has not come
_W_MASK = const(7)  # bits in the ring, less 1
_W_RAW = const(8)  # address of the ring, of its stamps, of the tables, of the ring of blocks
_W_STAMPS = const(9)
_W_STAMP_MASK = const(10)
_W_RUN = const(11)  # recessive bits before POS
_W_AFTER = const(12)  # 1: nothing but recessive bits since the last good frame
_W_UNSTUFF = const(13)
_W_CRC = const(14)
_W_STATE = const(15)
_W_MEMORY = const(16)
_W_HOT = const(17)  # of rp2_receive
_W_BUS = const(18)
_W_OPENED = const(19)  # 1: the block at HEAD is open though it may be empty
_W_DROP = const(20)  # 1: there is no room; frames are counted and dropped
_W_N_DROPPED = const(21)
_W_T_DROPPED = const(22)  # when the first of them began
_W_T = const(23)  # when the frame began
_W_ID = const(24)  # second word of its record
_W_N_BYTES = const(25)
_W_DATA = const(26)  # where its data begin: address of a word of the buffer, and bits
_W_SHIFT = const(27)
_W_DLC = const(28)
_W_FRAMES = const(29)
_W_FRAME = const(30)  # address of the routine for one frame
_W_LIMIT = const(31)  # a frame that begins later is left for another time
_W_STUFF = const(32)  # counters: six recessive bits in a row
_W_FLAGS = const(33)  # six dominant bits in a row: error flags, and stuff errors
_W_CRC_ERRORS = const(34)
_W_FORM = const(35)
_W_UNACKNOWLEDGED = const(36)
_W_FD = const(37)
_W_OVERLOADS = const(38)
_W_REMOTE = const(39)
_W_BUFFER = const(40)  # six words
_W_FILTERS = const(50)  # address of pairs: what a record's second word must be, in which bits
_W_N_FILTERS = const(51)  # of pairs; 0: all frames are wanted
_W_SPAN_US = const(52)  # 128 bits in microseconds
_W_WORDS = const(56)

# Words of the ring's state as in `logger.ring`, and of `hot` as in `rp2_receive`.
_S_STORED = const(4)
_H_LAST_LO = const(14)

_N_STATES = const(10)
unstuff_table = array("H", [0] * (256 * _N_STATES))
crc_table = array("H", [0] * 256)


@micropython.viper
def _fill_tables(bits: ptr8, unstuff: ptr16, crcs: ptr16):
    """Fill the table of single bits, from it the one of bytes, and that of the CRC.

    A byte's entry: its bits without stuff bits, their number << 8, the next state << 12.
    """
    state = 0
    while state < _N_STATES:
        bit = 0
        while bit < 2:
            at_end = 9 if bit else 8
            if state >= 8:
                to = (0xFF if bit else 0xFE) if state == at_end else (4 if bit else 0)
            elif (state >> 2) != bit:
                to = 0x10 | bit << 5 | (4 if bit else 0)
            else:
                to = 0x10 | bit << 5 | (at_end if state & 3 == 3 else state + 1)
            bits[2 * state + bit] = to
            bit += 1
        state += 1
    i = 0
    while i < 256 * _N_STATES:
        state = i >> 8
        out = 0
        n = 0
        k = 7
        while k >= 0:
            entry = bits[2 * state + (i >> k & 1)]
            state = entry & 15
            if state >= 14:
                k = 0
            elif entry & 16:
                out = out << 1 | entry >> 5 & 1
                n += 1
            k -= 1
        unstuff[i] = state << 12 | n << 8 | out
        i += 1
    i = 0
    while i < 256:
        crc = i << 8
        k = 0
        while k < 8:
            crc = crc << 1 ^ 0x8B32 if crc & 0x8000 else crc << 1
            k += 1
        crcs[i] = crc
        i += 1


def make_state():
    """Return the words for one bus, with the tables filled and the rest zero."""
    words = array("I", [0] * _W_WORDS)
    _fill_tables(words, unstuff_table, crc_table)
    words[_W_UNSTUFF] = uctypes.addressof(unstuff_table)
    words[_W_FRAME] = address
    words[_W_CRC] = uctypes.addressof(crc_table)
    return words


@micropython.asm_thumb
def decode(r0):
    """Decode from POS up to END; r0: the words. Return 0 if all is done that can be done, 1 if a
    block must be opened at time T first (or OPENED or DROP set), 2 if the block is full, 3 if the
    next frame begins at T, which is after LIMIT.

    r6: the position; r7: the words; r8: the ring of bits; r9: the table of bytes.
    """
    mov(r1, r8)
    mov(r2, r9)
    mov(r3, r10)
    mov(r4, r11)
    push({r1, r2, r3, r4})
    mov(r7, r0)
    ldr(r0, [r7, 4 * _W_RAW])
    mov(r8, r0)
    ldr(r0, [r7, 4 * _W_UNSTUFF])
    mov(r9, r0)
    ldr(r6, [r7, 4 * _W_POS])
    ldr(r5, [r7, 4 * _W_RUN])

    # Between frames; r5: recessive bits in a row. Whole words of them first.
    label(HUNT)
    ldr(r0, [r7, 4 * _W_MASK])
    and_(r6, r0)
    ldr(r0, [r7, 4 * _W_END])
    cmp(r6, r0)
    beq(DONE)
    lsr(r1, r6, 3)
    mov(r2, r8)
    add(r1, r1, r2)
    lsl(r0, r6, 27)
    bne(PART)
    ldr(r3, [r1, 0])
    mvn(r3, r3)
    bne(PART)
    add(r5, 32)
    add(r6, 32)
    b(HUNT)
    label(DONE)
    mov(r0, 0)
    b(LEAVE)
    label(PART)  # the bits up to the end of a byte
    ldrb(r3, [r1, 0])
    mov(r2, 7)
    and_(r2, r6)
    mov(r4, 8)
    sub(r4, r4, r2)
    add(r2, 24)
    lsl(r3, r2)
    label(BIT)
    lsl(r3, r3, 1)
    bcc(DOMINANT)
    add(r5, 1)
    add(r6, 1)
    sub(r4, 1)
    bne(BIT)
    b(HUNT)
    label(DOMINANT)
    cmp(r5, 10)
    bcs(SOF)
    mov(r5, 0)
    ldr(r0, [r7, 4 * _W_AFTER])
    cmp(r0, 0)
    beq(NO_OVERLOAD)
    str(r5, [r7, 4 * _W_AFTER])
    mov(r0, 4 * _W_OVERLOADS)
    bl(COUNT)
    label(NO_OVERLOAD)
    add(r6, 1)
    b(HUNT)

    label(COUNT)  # one more in the word at offset r0
    add(r0, r0, r7)
    ldr(r1, [r0, 0])
    add(r1, 1)
    str(r1, [r0, 0])
    bx(lr)

    # A frame begins; the longest has fewer than 192 bits. Its time is that of the next stamp less
    # the bits up to there: before it the bus was idle, where samples have another phase.
    label(SOF)
    ldr(r0, [r7, 4 * _W_END])
    sub(r0, r0, r6)
    ldr(r1, [r7, 4 * _W_MASK])
    and_(r0, r1)
    cmp(r0, 192)
    bcc(DONE)
    lsr(r0, r6, 7)
    lsl(r0, r0, 2)
    ldr(r3, [r7, 4 * _W_STAMPS])
    add(r0, r0, r3)
    ldr(r0, [r0, 0])
    mov(r2, r7)
    add(r2, 4 * _W_SPAN_US)
    ldr(r1, [r2, 0])
    mov(r2, 127)
    bic(r2, r6)
    lsl(r2, r2, 4)
    add(r2, 10)  # 16 * 0.61: a bit is sampled at 61 % of its length
    mul(r2, r1)
    lsr(r2, r2, 11)
    sub(r0, r0, r2)
    ldr(r1, [r7, 4 * _W_LIMIT])
    sub(r1, r1, r0)
    bmi(LATE)
    ldr(r1, [r7, 4 * _W_HOT])  # not before the newest record, if that is of the last second
    add(r1, 4 * _H_LAST_LO)
    ldr(r1, [r1, 0])
    sub(r2, r1, r0)
    lsl(r2, r2, 4)
    lsr(r1, r2, 24)
    bne(LATER)
    lsr(r2, r2, 4)
    add(r0, r0, r2)
    label(LATER)
    str(r0, [r7, 4 * _W_T])
    ldr(r0, [r7, 4 * _W_DROP])
    ldr(r1, [r7, 4 * _W_OPENED])
    orr(r0, r1)
    ldr(r1, [r7, 4 * _W_STATE])
    ldr(r1, [r1, 4])
    orr(r0, r1)
    bne(ROOM)
    mov(r0, 1)
    b(LEAVE)
    label(ROOM)
    ldr(r0, [r7, 4 * _W_FRAME])
    data(2, 0x4780)  # blx r0
    ldr(r1, [r7, 4 * _W_MASK])
    and_(r6, r1)
    cmp(r0, 0)
    bne(LEAVE)
    b(HUNT)

    label(LATE)
    str(r0, [r7, 4 * _W_T])
    mov(r0, 3)

    label(LEAVE)
    str(r6, [r7, 4 * _W_POS])
    cmp(r5, 255)
    bls(SHORT)
    mov(r5, 255)
    label(SHORT)
    str(r5, [r7, 4 * _W_RUN])
    pop({r1, r2, r3, r4})
    mov(r8, r1)
    mov(r9, r2)
    mov(r10, r3)
    mov(r11, r4)
