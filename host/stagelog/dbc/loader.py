"""Loads a CAN database: what can be read of any file, with a list of what could not.

Owns files, encodings and the way from cantools objects to stagelog's. A DBC goes to cantools
unchanged if it has no defect, else as repaired text. Raises InputError if nothing at all can be
read.
"""

import codecs
import contextlib
import gc
import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from stagelog.dbc.late_tester import import_cantools
from stagelog.dbc.model import Condition, Database, Defect, Message, Ranges, Signal
from stagelog.dbc.repair import Repaired, repair
from stagelog.errors import InputError
from stagelog.model import FD_LENGTHS
from stagelog.pipes import real_path
from stagelog.resources import dbc_path

_KINDS = {".dbc": "dbc", ".arxml": "arxml", ".kcd": "kcd", ".sym": "sym"}
_MAX_TRIES = 50


def load_database(path: str | Path) -> Database:
    """Load a database file (DBC, ARXML, KCD, SYM) and return a Database; a name without suffix is
    one that comes with stagelog.

    Defective parts of a DBC are repaired or left out one by one and listed in `defects`. Raises
    InputError with the first line at fault if no message can be read, or if the file cannot be
    opened.
    """
    path = _shipped(Path(path))
    try:
        data = real_path(path).read_bytes()
    except OSError as error:
        hint = f"by name there are: {', '.join(names_of_shipped())}" if not path.suffix else None
        raise InputError(f"cannot read {path}: {error.strerror}", hint) from None
    return _load(path, _KINDS.get(path.suffix.lower(), "dbc"), data)


def names_of_shipped() -> list[str]:
    """Return the names of the databases that come with stagelog: --dbc d7xr."""
    return sorted(path.stem for path in dbc_path().glob("*.dbc"))


def _shipped(path: Path) -> Path:
    """Return the path of the database that a plain name stands for, if there is no such file."""
    if path.suffix or path.name != str(path) or os.path.lexists(path):
        return path
    found = dbc_path() / f"{path}.dbc"
    return found if found.is_file() else path


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: what a parser makes stays, and collecting is a quarter of its
    time.
    """
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_collecting:
            gc.enable()


@lru_cache(maxsize=4)  # a profile's checks, the detectors and the decoder ask for the same file
def _load(path: Path, kind: str, data: bytes) -> Database:
    sha256 = hashlib.sha256(data).hexdigest()
    text, encoding, defects = decode_text(data)
    with _no_collection():
        return _load_text(path, kind, text, sha256, encoding, defects)


def _load_text(
    path: Path, kind: str, text: str, sha256: str, encoding: str, defects: list[Defect]
) -> Database:
    if kind != "dbc":
        cantools = _load_other(path, text, kind)
        messages = tuple(_message(m, {}) for m in cantools.messages)
        return Database(
            path,
            kind,
            sha256,
            encoding,
            messages,
            tuple(defects),
            cantools.version or "",
            cantools,
        )
    return _load_dbc(path, text, sha256, encoding, defects)


def decode_text(data: bytes) -> tuple[str, str, list[Defect]]:
    """Return (text, encoding, defects) of a file's bytes: UTF-8, UTF-16 with a mark, else cp1252.

    Newlines are LF.
    """
    defects = []
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        text, encoding = data.decode("utf-16", "replace"), "utf-16"
        defects.append(Defect(0, "the text is UTF-16", "read as such"))
    else:
        try:
            text, encoding = data.decode("utf-8-sig"), "utf-8"
            encoding = "ascii" if text.isascii() else encoding
        except UnicodeDecodeError:
            text, encoding = data.decode("cp1252", "replace"), "cp1252"
    for bad, what in (("\ufffd", "bytes that are no text"), ("\0", "zero bytes")):
        if bad in text:
            line = text[: text.index(bad)].count("\n") + 1
            defects.append(Defect(line, f"{what}, {text.count(bad)} times", "taken out"))
            text = text.replace(bad, "")
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding, defects


def _load_dbc(
    path: Path, text: str, sha256: str, encoding: str, defects: list[Defect]
) -> Database:
    repaired = repair(text)
    defects += repaired.defects
    if not repaired.messages:
        first = next((d for d in defects if d.line), None)
        where = f"; first defect: {first}" if first else ""
        raise InputError(f"{path}: no message can be read from this DBC{where}")
    cantools = None if repaired.is_changed else _parse(text)[0]
    if cantools is None:
        cantools = _parse_stepwise(repaired, defects)
    if cantools is None:
        raise InputError(f"{path}: no message can be read from this DBC")
    is_j1939 = _is_j1939(cantools) or _has_long_messages(cantools)
    lines = {m.dbc_id: m.line for m in repaired.messages}
    messages: list[Message] = []
    taken: set[str] = set()
    for source in cantools.messages:
        name = source.name
        if name in taken:
            name = f"{name}_{source.frame_id:X}"
            line = lines.get(source.frame_id | (0x80000000 if source.is_extended_frame else 0), 0)
            defects.append(
                Defect(line, f'two messages are named "{source.name}"', f'read as "{name}"')
            )
        taken.add(name)
        messages.append(_message(source, repaired.ranges, name, is_j1939))
    version = cantools.version or ""
    return Database(
        path, "dbc", sha256, encoding, tuple(messages), tuple(defects), version, cantools
    )


def _parse(text: str) -> tuple[Any, str]:
    """Return (cantools database, "") or (None, why not)."""
    cantools = import_cantools()
    logging.getLogger("cantools").setLevel(logging.ERROR)
    try:
        return cantools.database.load_string(text, "dbc", strict=False), ""
    except Exception as error:  # cantools raises its own, ValueError, KeyError, IndexError, ...
        return None, str(error)


def _parse_stepwise(repaired: Repaired, defects: list[Defect]) -> Any:
    """Parse repaired text.

    What cantools still rejects is left out, first by line, then message by message.
    """
    lines = repaired.text.split("\n")
    for _ in range(_MAX_TRIES):
        cantools, why = _parse("\n".join(lines))
        if cantools is not None:
            return cantools
        place = re.search(r"at line (\d+)", why)
        if not place or not 0 < int(place[1]) <= len(lines):
            break
        at = int(place[1]) - 1
        defects.append(Defect(0, f"not understood: {lines[at][:60]}", "left out"))
        lines[at] = ""
    good = []
    for message in repaired.messages:
        cantools, why = _parse(message.text())
        if cantools is None:
            defects.append(
                Defect(message.line, f'message "{message.name}": {why[:80]}', "left out")
            )
        else:
            good.append(message.text())
    defects.append(
        Defect(0, "the file as a whole is not understood", "read without its attributes")
    )
    return _parse("\n".join(good))[0] if good else None


def _load_other(path: Path, text: str, kind: str) -> Any:
    cantools = import_cantools()
    logging.getLogger("cantools").setLevel(logging.ERROR)
    try:
        return cantools.database.load_string(text, kind, strict=False)
    except Exception as error:  # any parser error of any kind
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"{path}: not a {kind.upper()} database: {reason[:200]}") from None


def _is_j1939(cantools: Any) -> bool:
    """Return whether an attribute of the database says that it is J1939."""
    values = getattr(cantools.dbc, "attributes", None) or {}
    texts = [str(values[k].value) for k in ("ProtocolType", "BusType") if k in values]
    return any("J1939" in t.upper() for t in texts)


def _has_long_messages(cantools: Any) -> bool:
    """Return whether a 29-bit message has a length that no frame has, not in CAN FD either: it
    comes in several frames, as in NMEA 2000 and J1939.
    """
    lengths = {m.length for m in cantools.messages if m.is_extended_frame and not m.is_fd}
    return bool(lengths - set(FD_LENGTHS.tolist()))


def _message(
    source: Any,
    ranges: Mapping[tuple[int, str], Condition],
    name: str | None = None,
    is_j1939: bool = False,
) -> Message:
    number = source.frame_id | (0x80000000 if source.is_extended_frame else 0)
    signals = tuple(_signal(s, ranges.get((number, s.name))) for s in source.signals)
    return Message(
        name=name or source.name,
        can_id=source.frame_id,
        n_bytes=source.length,
        signals=signals,
        is_ext=bool(source.is_extended_frame),
        is_fd=bool(source.is_fd),
        is_j1939=source.is_extended_frame and (is_j1939 or source.protocol == "j1939"),
        cycle_ms=source.cycle_time or None,
        senders=tuple(source.senders),
        comment=source.comment,
    )


def _signal(source: Any, entry: Condition | None) -> Signal:
    selector, ranges = entry or (source.multiplexer_signal, _ranges(source.multiplexer_ids or ()))
    choices = source.choices
    return Signal(
        name=source.name,
        start=source.start,
        length=source.length,
        is_motorola=source.byte_order == "big_endian",
        is_signed=bool(source.is_signed) and not source.is_float,
        is_float=bool(source.is_float),
        scale=source.scale,
        offset=source.offset,
        minimum=source.minimum,
        maximum=source.maximum,
        unit=source.unit or "",
        choices={int(k): str(v) for k, v in choices.items()} if choices else None,
        is_selector=bool(source.is_multiplexer),
        selector=selector,
        selector_ranges=ranges,
        comment=source.comment,
    )


def _ranges(ids: Iterable[int]) -> Ranges:
    """Return sorted numbers as (low, high) ranges."""
    ranges: list[tuple[int, int]] = []
    for k in sorted(ids):
        if ranges and k == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], k)
        else:
            ranges.append((k, k))
    return tuple(ranges)
