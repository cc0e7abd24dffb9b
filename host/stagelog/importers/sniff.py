"""Recognises the kind of a log by its content; the file's name is not used."""

import codecs
import re
import zlib
from pathlib import Path

from stagelog.errors import InputError
from stagelog.importers.candump_lines import looks_like_frame
from stagelog.importers.stream import open_log

_N_BYTES = 1 << 16
_MAGIC = ((b"LOGG", "blf"), (b"MDF     ", "mf4"), (b"UnFinMF ", "mf4"))
_ASC = re.compile(
    rb"^(date |base\s+(hex|dec)|(no )?internal events logged|begin triggerblock)", re.I
)
_TRC = re.compile(rb"^;(\$FILEVERSION|\$COLUMNS|\s*Message Number|.*PCAN|.*PEAK)", re.I)
_SAVVYCAN = re.compile(rb"^\"?Time Stamp\"?\s*,\s*\"?ID\"?\s*,", re.I)


def sniff(path: str | Path) -> str:
    """Return "slog", "candump", "blf", "asc", "trc", "mf4" or "savvycan".

    Raises InputError if the file cannot be opened, is empty, or is none of them.
    """
    with open_log(path) as file:
        head = file.read(_N_BYTES)
    if not head:
        raise InputError(f"{path} is empty")
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    return _text_kind(_as_text(head)) or "slog"


def _as_text(head: bytes) -> bytes:
    """Return the head as ASCII lines, whatever it is packed or encoded in."""
    if head[:2] == b"\x1f\x8b":
        try:
            return zlib.decompressobj(31).decompress(head, _N_BYTES)
        except zlib.error:
            return b""
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return head[: len(head) // 2 * 2].decode("utf-16", "replace").encode("ascii", "replace")
    return head.removeprefix(codecs.BOM_UTF8)


def _text_kind(text: bytes) -> str | None:
    """Return the kind of a text log, or None."""
    for line in text.splitlines()[:400]:
        line = line.strip()[:1024]
        if _ASC.match(line):
            return "asc"
        if _TRC.match(line):
            return "trc"
        if _SAVVYCAN.match(line):
            return "savvycan"
        if looks_like_frame(line):
            return "candump"
    return None
