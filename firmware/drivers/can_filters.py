"""Acceptance filters of the MCP2515: from identifiers to filters, from filters to registers.

    buffer 0: mask 0 (0x20), filters 0, 1 (0x00, 0x04)
    buffer 1: mask 1 (0x24), filters 2 to 5 (0x08, 0x10, 0x14, 0x18)

A filter or mask is four bytes: id 28..21 | id 20..18, 1 bit EXIDE, id 17..16 | id 15..8 | id
7..0, with a standard identifier in bits 28..18. A frame passes if it agrees with a filter in all
bits of the mask and is extended if and only if EXIDE is set. In a standard frame bits 15..0 are
compared with its first two data bytes, so a mask with those bits serves extended filters only.
"""

FLAG_RTR = 1  # as machine.CAN
FLAG_EXT_ID = 2
EXTENDED = 0x08  # in the second byte

_MASKS = (0x20, 0x24)
_FILTERS = ((0x00, 0x04), (0x08, 0x10, 0x14, 0x18))
_ALL = ((0, 0, 0), (0, 0, FLAG_EXT_ID))
_MAX_STANDARD = 0x7FF


def cover_ids(ids, most=6, shares=(2, 4)):
    """Return filters (id, mask, flags) that let all `ids` pass: exactly these where they fit.

    They fit if all are of one kind and at most `most`, or as many of both kinds as `shares` says.
    Otherwise the mask drops bits, those first that separate most identifiers. Above 0x7FF an
    id is extended.
    """
    standard = sorted({x for x in ids if x <= _MAX_STANDARD})
    extended = sorted({x for x in ids if x > _MAX_STANDARD})
    if not extended:
        return _cover(standard, most, _MAX_STANDARD, 0)
    if not standard:
        return _cover(extended, most, 0x1FFFFFFF, FLAG_EXT_ID)
    n_standard, n_extended = shares if len(standard) <= len(extended) else shares[::-1]
    return _cover(standard, n_standard, _MAX_STANDARD, 0) + _cover(
        extended, n_extended, 0x1FFFFFFF, FLAG_EXT_ID
    )


def filter_registers(filters):
    """Return [(address, 4 bytes)] for filters (id, mask, flags); None lets all pass.

    Raises ValueError if there is none, if they need more than two masks or 2 and 4 places, for
    another flag than FLAG_EXT_ID, and for an id or mask that is too long.
    """
    filters = _ALL if filters is None else filters
    by_mask = {}
    for can_id, mask, flags in filters:
        extended = flags & FLAG_EXT_ID
        if flags != extended or (can_id | mask) >> (29 if extended else 11):
            raise ValueError("invalid id")
        by_mask.setdefault(_packed(mask, extended), []).append(
            _packed(can_id, extended, EXTENDED if extended else 0)
        )
    groups = sorted(by_mask.items(), key=lambda group: len(group[1]))
    if len(groups) == 1:
        mask, listed = groups[0]
        groups = [(mask, listed[:2]), (mask, listed[2:] or listed[:2])]
    if len(groups) != 2 or len(groups[0][1]) > 2 or len(groups[1][1]) > 4:
        raise ValueError("filters: 1 or 2 of one mask and 1 to 4 of another")
    registers = []
    for buffer, (mask, listed) in enumerate(groups):
        registers.append((_MASKS[buffer], mask))
        for i, address in enumerate(_FILTERS[buffer]):
            registers.append((address, listed[min(i, len(listed) - 1)]))
    return registers


def _cover(ids, n_filters, mask, flags):
    while len({x & mask for x in ids}) > n_filters:
        fewest = None
        bit = 1
        while bit <= mask:
            if mask & bit:
                n = len({x & mask & ~bit for x in ids})
                if fewest is None or n < fewest:
                    fewest, dropped = n, bit
            bit <<= 1
        mask &= ~dropped
    return [(x, mask, flags) for x in sorted({x & mask for x in ids})]


def _packed(value, extended, exide=0):
    if not extended:
        value <<= 18
    return bytes(
        (
            value >> 21 & 0xFF,
            value >> 13 & 0xE0 | exide | value >> 16 & 3,
            value >> 8 & 0xFF,
            value & 0xFF,
        )
    )
