"""The layout tables of `slog` on the host: NumPy dtypes in bulk, `construct` for single ones.

Owns the derivation only; the tables are in firmware/slog. Fails with InputError on bytes that are
cut short. `construct` is imported when first asked for.
"""

from functools import cache
from typing import Any, TypeAlias

import numpy as np

from slog import layout
from stagelog.errors import InputError

Table: TypeAlias = tuple[tuple[str, str, str, str], ...]  # name, code, unit, meaning
Buffer: TypeAlias = bytes | bytearray | memoryview

_DTYPES = {"B": "u1", "H": "<u2", "I": "<u4", "Q": "<u8", "i": "<i4"}


def dtype_of(table: Table) -> np.dtype[Any]:
    """Return the packed NumPy dtype of a layout table; byte fields are u1 arrays."""
    fields: list[Any] = []
    for name, code, _, _ in table:
        if code.endswith("s"):
            fields.append((name, "u1", (int(code[:-1]),)))
        else:
            fields.append((name, _DTYPES[code]))
    return np.dtype(fields)


@cache
def struct_of(table: Table) -> Any:
    """Return the `construct.Struct` of a layout table, for one header or message at a time."""
    import construct

    numbers = {
        "B": construct.Int8ul,
        "H": construct.Int16ul,
        "I": construct.Int32ul,
        "Q": construct.Int64ul,
        "i": construct.Int32sl,
    }
    fields = []
    for name, code, _, _ in table:
        field = construct.Bytes(int(code[:-1])) if code.endswith("s") else numbers[code]
        fields.append(name / field)
    return construct.Struct(*fields)


def parse(table: Table, data: Buffer) -> dict[str, Any]:
    """Return {field: value} of the bytes of one table; InputError names the field cut short."""
    import construct

    try:
        found = struct_of(table).parse(bytes(data))
    except construct.ConstructError as error:
        raise InputError(f"cut short: {error}") from None
    return {name: found[name] for name, _, _, _ in table}


HEADER = dtype_of(layout.BLOCK_HEADER)
RECORD = dtype_of(layout.RECORD)
