"""SQL over the archive: one view per message over the decoded Parquet that stagelog.lake keeps.

    view "ENG_1"    event, car, stage, session    text, from the names of the folders
                    time      wall clock (UTC), null where the session has none
                    t_us      since power-on
                    bus       of the logger
                    EngSpd    and every other signal: physical values, null where absent
    view "sessions" what the manifests say: session, n_frames, complete, t_first_unix_us, ...
                    complete is false where the file is not what its manifest says

The session files behind a view are compared with the manifest by their size, by their SHA-256
only where they were written since. A file that no manifest names is not decoded and not in
"sessions"; the verdicts name it.

Owns the views. DuckDB runs in this process, loads no extension and needs no network. The same
files are read by polars, Spark or Trino, which apply the scale themselves. Fails with InputError
(no archive, a file that is not ours) and UsageError (SQL that DuckDB refuses, a library that is
not installed).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stagelog.accounts import judge_entry, judge_file, judge_unlisted
from stagelog.archive import Entry, counted, find_sessions, find_unlisted, superseded
from stagelog.errors import InputError, OutputError, StagelogError, UsageError
from stagelog.extras import need
from stagelog.lake import facts_of, folder_of, hive_of
from stagelog.verdict import INCOMPLETE, Verdict

_WITH_ZONE = "TIMESTAMP WITH TIME ZONE"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HIVE = ("event", "car", "stage", "session")
SESSION_FIELDS = {
    "n_frames": "BIGINT",
    "n_blocks": "BIGINT",
    "boot": "BIGINT",
    "device_id": "VARCHAR",
    "firmware": "VARCHAR",
    "complete": "BOOLEAN",
    "n_damaged": "BIGINT",
    "t_first_us": "BIGINT",
    "t_last_us": "BIGINT",
    "t_first_unix_us": "BIGINT",
    "file": "VARCHAR",
}


# (column, scale, offset) of each column of a file, None where it is no signal
Layout: TypeAlias = tuple[tuple[str, str | None, str | None], ...]
Hive: TypeAlias = tuple[tuple[str, str | None], ...]
_ROWS_PER_INSERT = 100


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view."""

    name: str
    unit: str


class Archive:
    """Views over the decoded Parquet below `root`. A context; also closed with `close`.

    Views are made when a query names them: an archive of a season has thousands of files.
    """

    def __init__(self, root: str | Path) -> None:
        duckdb = need("duckdb", "query")
        need("pyarrow.parquet", "query")
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise InputError(f"{root} is no folder", "name the archive")
        offline = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        self.connection = duckdb.connect(config=offline)
        self._duckdb = duckdb
        self._made: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    @cached_property
    def _entries(self) -> list[Entry]:
        return find_sessions(self.root)

    @cached_property
    def _judged(self) -> list[tuple[Entry, Verdict]]:
        """Return [(Entry, Verdict)] of the sessions that count."""
        return [(entry, judge_entry(entry)) for entry in counted(self._entries)]

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """Return {message: [Path]} of all decoded files, without those of copies of a session."""
        found: dict[str, list[Path]] = {}
        copies = {folder_of(entry) for entry in superseded(self._entries)}
        for path in sorted(self.root.rglob("session=*/*.parquet")):
            if path.parent in copies:
                continue
            if not path.parent.name.startswith(".") and not path.name.startswith("."):
                found.setdefault(path.stem, []).append(path)
        return found

    def columns(self, message: str) -> list[Column]:
        """Return the [Column] of a message's view, as its newest file has them."""
        self._need(message)
        fields = facts_of(self.files[message][-1])[0]
        hive = [Column(name, "") for name in (*HIVE, "time")]
        return hive + [Column(name, about.get("unit", "")) for name, about in fields.items()]

    def signals(self, message: str) -> list[Column]:
        """Return the [Column] of a message's signals, as the newest file of each car has them."""
        self._need(message)
        newest = {hive_of(path.parents[1]).get("car"): path for path in self.files[message]}
        each = [facts_of(path)[0] for path in newest.values()]
        found = {
            Column(name, about.get("unit", ""))
            for fields in each
            for name, about in fields.items()
            if "scale" in about
        }
        return sorted(found, key=lambda column: (column.name, column.unit))

    def sql(self, text: str) -> Any:
        """Run SQL and return DuckDB's relation: .fetchall(), .df(), .pl(), .columns.

        Raises UsageError with DuckDB's message if the SQL is wrong, InputError if a file cannot be
        read; None for a statement without a result.
        """
        lower = text.lower()
        for message in self.files:
            if message.lower() in lower:
                self._make(message)
        if "sessions" in lower:
            self._make_sessions()
        try:
            return self.connection.sql(text)
        except self._duckdb.Error as error:
            raise self._failure(error, self._known()) from None

    def rows(self, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run SQL and return (column names, rows as tuples); raises what `sql` raises.

        A time with a zone is a datetime in the zone of the session (SET TimeZone = ...).
        """
        relation = self.sql(text)
        if relation is None:
            return [], []
        try:
            if any(str(kind) == _WITH_ZONE for kind in relation.types):
                return relation.columns, self._rows_with_zone(relation)
            return relation.columns, relation.fetchall()
        except self._duckdb.Error as error:
            raise self._failure(error) from None

    def _rows_with_zone(self, relation: Any) -> list[tuple[Any, ...]]:
        """Return the rows; DuckDB's own way to datetimes with a zone needs pytz."""
        import pyarrow as pa

        [(zone,)] = self.connection.sql("select current_setting('TimeZone')").fetchall()
        kinds, table = relation.types, relation.to_arrow_table()
        columns = []
        for kind, column in zip(kinds, table.columns, strict=True):
            is_zoned = str(kind) == _WITH_ZONE
            values = (column.cast(pa.int64()) if is_zoned else column).to_pylist()
            columns.append([_in_zone(us, zone) for us in values] if is_zoned else values)
        return list(zip(*columns, strict=True))

    def _failure(self, error: Exception, hint: str | None = None) -> StagelogError:
        """Return the error of the user, of a file, or of a disk that DuckDB's error is."""
        duckdb, text = self._duckdb, _reason(error)
        if isinstance(error, duckdb.IOException) and "Could not write" in str(error):
            return OutputError(text, "free some space, or name another file")
        wrong_sql = (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError)
        return (UsageError if isinstance(error, wrong_sql) else InputError)(text, hint)

    @property
    def verdicts(self) -> dict[Path, Verdict]:
        """Return {Path of the session file: Verdict} of the sessions behind the views that were
        named, and of the files that these lack because no manifest names them.
        """
        if not self._made:
            return {}
        found = self._verdicts_of_rows()
        if "sessions" in self._made:
            found = {entry.path: verdict for entry, verdict in self._judged} | found
        return found | self.unlisted

    def _verdicts_of_rows(self) -> dict[Path, Verdict]:
        """Return {Path: Verdict} of the sessions whose decoded rows are in the views."""
        messages = self._made - {"sessions"}
        decoded = {path.parent: path for message in messages for path in self.files[message]}
        entries = {folder_of(entry): entry for entry in self._entries}
        found: dict[Path, Verdict] = {}
        for folder, path in decoded.items():
            entry = entries.get(folder)
            source = folder.with_name(folder.name.removeprefix("session=") + ".slog")
            found[source] = Verdict.from_dict(facts_of(path)[1].get("verdict"))
            if entry is not None and not entry.is_unchanged():
                found[source] = judge_file(source, entry)
            elif entry is None and not source.is_file():
                found[source] = Verdict(INCOMPLETE, f"INCOMPLETE: {source}: the file is missing")
        return found

    @cached_property
    def unlisted(self) -> dict[Path, Verdict]:
        """Return {Path: Verdict} of the session files that no manifest names."""
        return {path: judge_unlisted(path) for path in find_unlisted(self.root, self._entries)}

    @property
    def undecoded(self) -> list[Entry]:
        """Return the [Entry] of sessions that the views of messages lack: they were never decoded.

        Empty if no such view was named.
        """
        if not self._made - {"sessions"}:
            return []
        return [entry for entry in counted(self._entries) if not folder_of(entry).is_dir()]

    def _known(self) -> str:
        if not self.files:
            return "nothing is decoded here yet: add --dbc"
        return f"views: {', '.join(sorted(self.files))}, sessions"

    def _need(self, message: str) -> None:
        if message not in self.files:
            raise InputError(f'{self.root} holds nothing of "{message}"', self._known())

    def _make(self, message: str) -> None:
        """Create the view of a message: files of the same layout together, each scaled by its
        own.
        """
        if message in self._made:
            return
        groups: dict[tuple[Hive, str, Layout], list[Path]] = {}
        clocks: dict[str, dict[str, Any]] = {}
        for path in self.files[message]:
            fields, facts = facts_of(path)
            hive = self._hive_of(path)
            layout = tuple((n, a.get("scale"), a.get("offset")) for n, a in fields.items())
            groups.setdefault((hive, facts["form"], layout), []).append(path)
            if "t0_us" in facts:
                clocks[facts["session"]] = facts
        parts = [
            _select(paths, hive, form, layout, clocks)
            for (hive, form, layout), paths in groups.items()
        ]
        try:
            self.connection.execute(
                f"create view {quoted(message)} as " + " union all by name ".join(parts)
            )
        except self._duckdb.Error as error:  # a folder that somebody renamed
            raise InputError(_reason(error), "see the folders of the archive") from None
        self._made.add(message)

    def _hive_of(self, path: Path) -> Hive:
        """Return (kind, value) of the folders of a decoded file; the value is None where DuckDB
        reads it from the path. It would take a folder above the archive for one of ours.
        """
        session = path.parent
        found = {**hive_of(session.parent), "session": session.name.partition("=")[2]}
        values = found if self._is_below_hive else dict.fromkeys(found)
        return tuple((kind, values[kind]) for kind in HIVE if kind in values)

    @cached_property
    def _is_below_hive(self) -> bool:
        return any(part.partition("=")[0] in HIVE for part in self.root.absolute().parts)

    def _make_sessions(self) -> None:
        if "sessions" in self._made:
            return
        columns = ", ".join(f"{quoted(n)} VARCHAR" for n in HIVE)
        columns += "".join(f", {quoted(n)} {kind}" for n, kind in SESSION_FIELDS.items())
        self.connection.execute(f"create table sessions ({columns})")
        rows = []
        for entry, verdict in self._judged:
            values = {**entry.values}
            values["complete"] = values["complete"] and not verdict.exit_code
            hive = {**hive_of(entry.folder), "session": entry.path.stem}
            row = [hive.get(name) for name in HIVE]
            rows.append(row + [values.get(name) for name in SESSION_FIELDS])
        for start in range(0, len(rows), _ROWS_PER_INSERT):
            some = rows[start : start + _ROWS_PER_INSERT]
            marks = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
            self.connection.execute(f"insert into sessions values {marks}", sum(some, []))
        self._made.add("sessions")


def _select(
    paths: Sequence[Path],
    hive: Hive,
    form: str,
    layout: Layout,
    clocks: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the SELECT over files that have the same columns and scales."""
    columns = [
        quoted(name) if value is None else f"{literal(value)} as {quoted(name)}"
        for name, value in hive
    ]
    columns.append(f"{_time(paths, clocks)} as time")
    for name, scale, offset in layout:
        if scale is None or offset is None or form == "tool":
            columns.append(quoted(name))
        elif float(scale) == 1 and float(offset) == 0:
            columns.append(quoted(name))
        else:
            value = f"{quoted(name)}::DOUBLE * {literal(scale)}::DOUBLE"
            value += f" + {literal(offset)}::DOUBLE" if float(offset) else ""
            columns.append(f"{value} as {quoted(name)}")
    files = ", ".join(literal(path) for path in paths)
    source = f"read_parquet([{files}], hive_partitioning = true, hive_types_autocast = false)"
    return f"select {', '.join(columns)} from {source}"


def _time(paths: Sequence[Path], clocks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the expression of the wall clock: one branch per session, computed when asked for."""
    branches = []
    for session in dict.fromkeys(path.parent.name.removeprefix("session=") for path in paths):
        facts = clocks.get(session)
        if facts is not None:
            passed = f"(t_us - {int(facts['t0_us'])})"
            drift = f"({passed} * {literal(float(facts['drift_ppm']) * 1e-6)}::DOUBLE)::BIGINT"
            unix_us = f"{int(facts['t0_unix_us'])} + {passed} + {drift}"
            branches.append(f"when {literal(session)} then make_timestamp({unix_us})")
    if not branches:
        return "null::TIMESTAMP"
    return f"case session {' '.join(branches)} end"


def _in_zone(t_unix_us: int | None, zone: str) -> datetime | None:
    if t_unix_us is None:
        return None
    try:
        found: tzinfo = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        found = UTC
    return (_EPOCH + timedelta(microseconds=t_unix_us)).astimezone(found)


def _reason(error: Exception) -> str:
    return f"the query fails: {' '.join(str(error).split())}"


def quoted(text: object) -> str:
    """Return a name of a view or a column as SQL."""
    return '"' + str(text).replace('"', '""') + '"'


def literal(value: object) -> str:
    """Return a value as a text of SQL."""
    return "'" + str(value).replace("'", "''") + "'"
