"""stagelog for scripts and notebooks: open a log or an archive, get arrays.

    import stagelog
    drive = stagelog.open("archive/event=DAKAR26/car=C03/stage=SS03", dbc="dbc/d7xr.dbc")
    drive.frames                            FRAME table, NumPy
    t_us, rpm = drive.signal("EngSpd")      NumPy, in the unit of the DBC
    drive.to_pandas("ENG_1")                one row per frame of the message
    drive.gaps                              what is missing, and why

Owns the binding of the parts below it; nothing is read before it is asked for, and kept then.
Fails with InputError (a log or DBC that cannot be read) and UsageError (a name that does not
exist, no DBC given, a library that is not installed).
"""

import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stagelog.errors import InputError, UsageError
from stagelog.model import FrameTable
from stagelog.pipes import is_pipe

if TYPE_CHECKING:
    from stagelog.accounts import Account, LogAccount
    from stagelog.dbc import Database
    from stagelog.decode import MessageTable
    from stagelog.importers import Diagnostics
    from stagelog.ledger import Gap, Ledger
    from stagelog.verdict import Verdict


Dbc: TypeAlias = "str | Path | Sequence[str] | Database"  # one, or "can0=a.dbc" for each bus


class Series(NamedTuple):
    """The values of one signal: t_us int64[n], values float64[n] in `unit`, rising in time."""

    t_us: NDArray[np.int64]
    values: NDArray[Any]
    unit: str = ""


class Drive:
    """A log, or several that belong together, with the DBC that explains them.

    paths   the files, in order
    times   "absolute": t_us counts from the epoch; "relative": from the start of each recording
    """

    def __init__(
        self,
        paths: Iterable[Path],
        dbc: "Dbc | None" = None,
        session: str | None = None,
        bus: int | None = None,
    ) -> None:
        self.paths = tuple(paths)
        self._dbc = dbc
        self._session = session
        self._bus = bus

    def __repr__(self) -> str:
        return f"<Drive {', '.join(path.name for path in self.paths)}>"

    @cached_property
    def database(self) -> "Database":
        """Return the dbc.Database; UsageError if none was given."""
        from stagelog.dbc import Database, load_databases

        if self._dbc is None:
            raise UsageError("signals need a DBC", 'open the log with dbc="car.dbc"')
        if isinstance(self._dbc, Database):
            return self._dbc
        words = [self._dbc] if isinstance(self._dbc, str | Path) else self._dbc
        return load_databases([str(word) for word in words])

    @cached_property
    def _loaded(self) -> "tuple[FrameTable, list[Diagnostics]]":
        """Return (frames, diagnostics of each file)."""
        from stagelog.importers import stream_frames
        from stagelog.importers.slog import stream_slog
        from stagelog.importers.stream import collect, join_frames

        name = self._session
        if len(self.paths) == 1:
            streams = [stream_slog(p, name) if name else stream_frames(p) for p in self.paths]
        else:  # of copies of a session no block comes twice
            own = {log.path: [each.session for each in log.accounts] for log in self._judged}
            streams = [
                stream_slog(p, sessions=own[p]) if p in own else stream_frames(p)
                for p in self.paths
            ]
        found = [collect(stream) for stream in streams]
        frames = join_frames([log.frames for log in found])
        if self._bus is not None:
            frames = frames[frames["bus"] == self._bus]
        return frames, [log.diagnostics for log in found]

    @property
    def frames(self) -> FrameTable:
        """Return all frames (model.FRAME, or FRAME_FD), in the order of the log."""
        return self._loaded[0]

    @property
    def diagnostics(self) -> "list[Diagnostics]":
        """Return what is wrong with the files, importers.Diagnostics of each."""
        return self._loaded[1]

    @property
    def times(self) -> str:
        """Return "absolute" if every t_us counts from the epoch, else "relative"."""
        every = {diagnostics.times for diagnostics in self.diagnostics}
        return "absolute" if every == {"absolute"} else "relative"

    def signal(self, name: str) -> Series:
        """Return the Series of "Message.Signal", or of a signal whose name stands in one message.

        Empty if its message did not occur. Raises UsageError for a name that is not in the DBC.
        """
        return self.signals([name])[name]

    def signals(self, names: Iterable[str]) -> dict[str, Series]:
        """Return {name: Series} of several signals, decoded in one pass.

        Warns of a message that comes on several buses: a Series has the samples of all of them.
        """
        from stagelog.decode import compile_plan, decode, find_origins

        asked = {name: self._full_name(name) for name in names}
        plan = compile_plan(self.database, sorted({f"{m}.{s}" for m, s in asked.values()}))
        decoded = decode(self.frames, plan)
        for line in find_origins([decoded]).warnings("the samples of all are in one series"):
            warnings.warn(line.replace("--bus", "open(..., bus=...)"), stacklevel=3)
        found = {}
        for name, (message, signal) in asked.items():
            unit = self.database.message(message).signal(signal).unit
            table = decoded.messages.get(message)
            if table is None:
                found[name] = Series(np.empty(0, np.int64), np.empty(0), unit)
            else:
                t_us, values = table.series(signal)
                found[name] = Series(t_us, values, unit)
        return found

    def message(self, name: str) -> "MessageTable | None":
        """Return the decode.MessageTable of all signals of a message, None if it did not occur."""
        from stagelog.decode import compile_plan, decode

        plan = compile_plan(self.database, [name])
        names = {p.message.name for p in plan.messages}
        if names != {name}:
            raise UsageError(f'"{name}" is not the name of a message', "give one of the DBC")
        return decode(self.frames, plan).messages.get(name)

    def to_pandas(self, message: str | None = None) -> Any:
        """Return a DataFrame: of all frames, or of one message with a column per signal."""
        return _need("pandas", "pandas").DataFrame(self._columns(message))

    def to_polars(self, message: str | None = None) -> Any:
        """Return a polars DataFrame: of all frames, or of one message."""
        return _need("polars", "polars").DataFrame(self._columns(message))

    @cached_property
    def _judged(self) -> "list[LogAccount]":
        """Return the accounts.LogAccount of each log of ours."""
        from stagelog.accounts import judge_logs
        from stagelog.archive import entry_of
        from stagelog.importers import sniff

        own = [path for path in self.paths if sniff(path) == "slog"]
        return judge_logs([(path, entry_of(path)) for path in own])

    @cached_property
    def accounts(self) -> "tuple[Account, ...]":
        """Return the Account of each session of ours, in order; empty for foreign logs."""
        each = (account for log in self._judged for account in log.accounts)
        name = self._session or ""
        found = tuple(one for one in each if one.session.identity.name.startswith(name))
        if name and len(found) != 1:
            listed = ", ".join(one.session.identity.name for one in found) or "none"
            raise InputError(f"{name} is the start of {len(found)} sessions: {listed}")
        return found

    @cached_property
    def verdict(self) -> "Verdict":
        """Return the verdict.Verdict of `stagelog verify` on all of it; reads foreign logs."""
        from stagelog.verdict import judge_foreign, worst

        found = [v for log in self._judged for v in (*log.problems, *log.copies)]
        found += [account.verdict for account in self.accounts]
        if len(self._judged) < len(self.paths):
            found += [judge_foreign(d) for d in self.diagnostics if d.kind != "slog"]
        return worst(found)

    @property
    def ledger(self) -> "Ledger":
        """Return the ledger.Ledger of the only session.

        Raises InputError if there are none or several; `accounts` has them all.
        """
        if len(self.accounts) != 1:
            listed = ", ".join(a.session.identity.name for a in self.accounts) or "none of ours"
            raise InputError(
                f"{len(self.accounts)} sessions ({listed})", "use .accounts, or name a session"
            )
        return self.accounts[0].ledger

    @property
    def gaps(self) -> "list[Gap]":
        """Return the [ledger.Gap] of all sessions, on the same clock as `frames`."""
        from stagelog.ledger import on_clock

        found = []
        for each in self.accounts:
            for gap in each.ledger.gaps:
                timeline = each.timeline
                if timeline is not None and self.times == "absolute":
                    gap = on_clock(gap, timeline)
                found.append(gap)
        return found

    def _full_name(self, name: str) -> tuple[str, str]:
        """Return (message, signal) of a name."""
        message, _, signal = name.rpartition(".")
        found = [
            (m.name, signal)
            for m in self.database.messages
            if message in ("", m.name) and any(s.name == signal for s in m.signals)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"{m}.{signal}" for m, _ in found)
            raise UsageError(f'"{name}" stands in several messages', f"name one of {listed}")
        raise UsageError(f'the DBC has no signal "{name}"', _nearest(self.database, name))

    def _columns(self, message: str | None) -> dict[str, Any]:
        """Return {column: array} of the frames, or of a message; NaN where a signal is absent."""
        if message is None:
            columns = {k: self.frames[k] for k in self.frames.dtype.names or () if k != "data"}
            n_bytes, data = self.frames["n_bytes"], self.frames["data"]
            rows = zip(data, n_bytes.tolist(), strict=True)
            return {**columns, "data": [row[:n].tobytes() for row, n in rows]}
        table = self.message(message)
        if table is None:
            names = [s.name for s in self.database.message(message).signals]
            return {"t_us": np.empty(0, np.int64), **{name: np.empty(0) for name in names}}
        return {**table.of_frames(), **{n: table.dense(n) for n in table.signals}}


def open_drive(
    path: str | Path,
    dbc: "Dbc | None" = None,
    session: str | None = None,
    bus: int | None = None,
) -> Drive:
    """Open a log of any kind, or a folder of the archive with all sessions in it, as a Drive.

    dbc      path of a database, ["can0=a.dbc", "can1=b.dbc"] of one for each bus, or a
             dbc.Database; only signals need it
    session  start of a session's name, to take that one only
    bus      number of a bus, to take its frames only
    Raises   InputError if there is nothing to read; files are read when something is asked for.
    """
    from stagelog.archive import find_sessions

    path = Path(path)
    if not path.is_dir():
        if not path.exists() and not is_pipe(path):
            raise InputError(f"{path}: no such file or folder", "check the path")
        return Drive([path], dbc, session, bus)
    files = [entry.path for entry in find_sessions(path)]
    files += sorted(set(path.rglob("*.slog")) - set(files))
    if session is not None:
        files = [file for file in files if file.name.startswith(session)]
    if not files:
        raise InputError(f"{path} holds no session file", "name a log, or a folder of the archive")
    return Drive(files, dbc, None, bus)


def _nearest(database: "Database", name: str) -> str:
    from difflib import get_close_matches

    pairs = [(m.name, s.name) for m in database.messages for s in m.signals]
    known = [f"{message}.{signal}" for message, signal in pairs]
    near = get_close_matches(name, [*known, *(signal for _, signal in pairs)], 1)
    return f"did you mean {near[0]}?" if near else "'stagelog dbc show' lists them"


def _need(module: str, package: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise UsageError(
            f"this needs {package}, which is not installed", f"pip install {package}"
        ) from None
