"""Prepare a card for a logger, and read one in the laptop's reader.

A prepared card holds one contiguous extent: signature, two release marks, a ring of blocks, and a
second signature. The logger finds it by the signature and never touches the file system. Owns all
that the host writes to a card. Refuses (OutputError) a card with blocks that were not released,
a file that is not a card, and a disk in use.
"""

from stagelog.card.prepare import Prepared, extent_layout, prepare, prepare_raw, read_card

__all__ = ["Prepared", "extent_layout", "prepare", "prepare_raw", "read_card"]
