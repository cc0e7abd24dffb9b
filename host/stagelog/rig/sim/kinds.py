"""How controllers of rig.sim are handed the kind of a frame; imports nothing, so that the emulated
boards can use it without the application.
"""


def kind_of(flags: int) -> int:
    """Return the flags of a tape's frame (EXT 1, RTR 2, FD 4, BRS 8, ESI 16) as the controllers of
    rig.sim take them, above the bus: RTR 2, EXT 4, FD 8, BRS 16, ESI 32.
    """
    return (flags & 2) | (flags & 1) << 2 | (flags & 28) << 1
