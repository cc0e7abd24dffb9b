"""The lake: the decoded Parquet of an archive, hive-partitioned, beside the session files.

    archive/event=DAKAR26/car=C03/stage=SS03/
        e66038b7130f2e29-12-9f3c2a11.slog                           the session, as downloaded
        session=e66038b7130f2e29-12-9f3c2a11/ENG_1.parquet ...      raw integers, scale in metadata

A session is decoded again when its log, its DBC or the code that decodes has changed: the SHA-256
of each stands in every file. Its folder appears whole, so no reader sees half of one; what a
killed build leaves has a name with a dot and is removed by the next. `workers` decodes in other
processes, or on Dask; the bytes are the same.
"""

from stagelog.lake.build import (
    Decoded,
    Known,
    build,
    cars_of,
    decode_archive,
    known_databases,
    stale_sessions,
    undecoded_cars,
)
from stagelog.lake.tables import facts_of, folder_of, hive_of

__all__ = [
    "Decoded",
    "build",
    "cars_of",
    "decode_archive",
    "facts_of",
    "folder_of",
    "hive_of",
    "Known",
    "known_databases",
    "stale_sessions",
    "undecoded_cars",
]
