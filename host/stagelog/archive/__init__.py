"""The archive: folders event / car / stage, raw session files, one manifest per folder.

    archive/event=DAKAR26/car=C03/stage=SS03/
        e66038b7130f2e29-12-9f3c2a11.slog   the session's blocks verbatim, as they lie on the card
        manifest.json                       what each file is, its SHA-256, its ledger, and the
                                            signature of the team that stored it

One session has one folder: the one where it was stored first. A later download continues that
file, whatever stage it names. Where there are copies none the less, the one with the
most blocks counts, a block that only another copy holds counts too, and none counts twice. Nothing
is deleted.

Everything appears by atomic rename; what is being fetched is a `.part` file with a journal beside
it. Names from users and loggers are data and are made safe before they become names. Fails with
OutputError (cannot write), InputError (a manifest that cannot be read).
"""

from stagelog.archive.manifest import (
    Entry,
    Key,
    check_sha256,
    check_signature,
    counted,
    entry_of,
    find_session,
    find_sessions,
    find_unlisted,
    home_of,
    load_manifest,
    of_logger,
    superseded,
)
from stagelog.archive.names import hive_value, split_stage, stage_folder
from stagelog.archive.part import PartFile
from stagelog.archive.store import store_session

__all__ = [
    "Entry",
    "Key",
    "PartFile",
    "check_sha256",
    "check_signature",
    "counted",
    "entry_of",
    "find_session",
    "find_sessions",
    "find_unlisted",
    "hive_value",
    "home_of",
    "load_manifest",
    "of_logger",
    "split_stage",
    "stage_folder",
    "store_session",
    "superseded",
]
