"""The decoded folder of one session: where it is, what it was made from, how it is made.

Owns the layout below a session and the facts that each of its files carries. Fails with InputError
(a session file that cannot be read, a Parquet file that is not ours), OutputError.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagelog.accounts import judge_log
from stagelog.archive import Entry
from stagelog.archive.manifest import sha256_of
from stagelog.archive.names import split_stage
from stagelog.errors import InputError
from stagelog.export.files import writing
from stagelog.export.parquet import SCHEMA
from stagelog.platform.files import beside, sync_folder

if TYPE_CHECKING:
    from stagelog.dbc import Database
    from stagelog.decode import Plan

NOTHING = "nothing.json"  # the hashes of a session of which nothing could be decoded
# Whose sources decide what the bytes of a decoded file are.
CODE = (
    *("accounts.py", "blocks", "dbc", "decode", "ending.py", "export/files.py"),
    *("export/parquet.py", "lake/tables.py", "ledger.py", "model.py", "timeline.py", "verdict.py"),
)


def folder_of(entry: Entry) -> Path:
    """Return the folder of a session's decoded files."""
    return entry.folder / f"session={entry.path.stem}"


def car_of(entry: Entry) -> str:
    """Return the car of a session by the names of its folders, "" without one."""
    return hive_of(entry.folder).get("car", "")


def hive_of(folder: Path) -> dict[str, str]:
    """Return {kind: value} of the folders event=, car=, stage= that the path of a stage's folder
    ends in. Folders above the archive may have such names, too.
    """
    root, found = split_stage(folder)
    return found if len(folder.absolute().parts) == len(root.parts) + len(found) else {}


@cache
def code_sha256() -> str:
    """Return the SHA-256 of the sources that decode."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for name in CODE:
        path = root / name
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(source.relative_to(root).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()


def facts_of(path: Path) -> tuple[dict[str, dict[str, str]], dict[str, Any]]:
    """Return ({column: its metadata}, the file's own metadata); InputError if it is not ours."""
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        facts = json.loads((schema.metadata or {}).get(b"stagelog", b"null"))
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise InputError(f"{path} was not written by stagelog", f"it lacks {SCHEMA}; remove it")
    fields = {}
    for field in schema:
        about = field.metadata or {}
        fields[field.name] = {key.decode(): value.decode() for key, value in about.items()}
    return fields, facts


def first_file(folder: Path) -> Path | None:
    """Return the first decoded file of a session by name, None if there is none."""
    return min(folder.glob("*.parquet"), default=None)


def is_fresh(entry: Entry, database: "Database") -> bool:
    """Return whether a session was decoded from what its log, the DBC and the code are now."""
    first = first_file(folder_of(entry))
    facts = _read_nothing(folder_of(entry) / NOTHING) if first is None else facts_of(first)[1]
    wanted = _made_from(database, entry.values["sha256"])
    return {name: facts.get(name) for name in wanted} == wanted


def _made_from(database: "Database", source_sha256: str) -> dict[str, str | bool | None]:
    return {
        "database_sha256": database.sha256,
        "source_sha256": source_sha256,
        "code_sha256": code_sha256(),
        "j1939": database.j1939,
    }


def _read_nothing(path: Path) -> dict[str, Any]:
    """Return what was kept of a session without a table, {} if nothing was."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def decode_session(entry: Entry, plan: "Plan", database: "Database") -> int:
    """Decode one session file into its folder, which appears whole; return the number of
    messages.

    29-bit messages are those of J1939 or NMEA 2000 if the traffic of the session is, whatever the
    DBC says, unless somebody said it (`database.j1939`).
    """
    from stagelog.decode import compile_plan, iter_decode
    from stagelog.decode.protocol import as_j1939, find_protocol, may_be_j1939
    from stagelog.export import ParquetSink

    if not entry.path.is_file():
        raise InputError(f"{entry.path}: the file is missing")
    judged = judge_log(entry.path, entry)
    if len(judged.accounts) != 1:
        raise InputError(f"{entry.path} holds {len(judged.accounts)} sessions")
    session, timeline = judged.accounts[0].session, judged.accounts[0].timeline
    made_from = _made_from(database, sha256_of(entry.path))
    is_open = database.j1939 is None and may_be_j1939(database)
    if is_open and find_protocol(session.iter_frames()) is not None:
        database = as_j1939(database)
        plan = compile_plan(database)
    metadata: dict[str, Any] = {
        **made_from,
        "session": session.identity.name,
        "verdict": judged.verdict_of(judged.accounts[0]).as_dict(),
        "dbc": database.words,
    }
    if timeline is not None:
        metadata["t0_us"] = timeline.t0_us
        metadata["t0_unix_us"] = timeline.t0_unix_us
        metadata["drift_ppm"] = timeline.drift_ppm
    folder = folder_of(entry)
    part = beside(folder, ".part")
    with writing(folder):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
    sink = ParquetSink(part, "archive", database=database, metadata=metadata)
    with sink:
        for decoded in iter_decode(session.iter_frames(), plan, sink.mode):
            sink.write(decoded)
    with writing(folder):
        if not sink.paths:
            (part / NOTHING).write_text(json.dumps(made_from), encoding="utf-8")
        _replace_folder(part, folder)
    return len(sink.paths)


def _replace_folder(part: Path, folder: Path) -> None:
    """Give `part` the name `folder`. Whenever this is cut off, `folder` is whole or is not there:
    a folder cannot be renamed onto one that holds files, and removing them takes its time.
    """
    old = beside(folder, ".old")
    shutil.rmtree(old, ignore_errors=True)
    sync_folder(part)
    if folder.exists():
        folder.replace(old)
    part.replace(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove what a killed build left in the folders of stages; nobody may be decoding there."""
    for folder in folders:
        for name in (".part", ".old"):
            for left in folder.glob(f".session=*{name}"):
                shutil.rmtree(left, ignore_errors=True)
