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
_SQLITE = b"SQLite format 3\0"
_CAN_CSV = re.compile(rb"^timestamp,arbitration_id,extended,remote,error,dlc,data$")
_ASC = re.compile(
    rb"^(date |base\s+(hex|dec)|(no )?internal events logged|begin triggerblock)", re.I
)
_TRC = re.compile(rb"^;(\$FILEVERSION|\$COLUMNS|\s*Message Number|.*PCAN|.*PEAK)", re.I)
_CONVERT = "write it as ASC, BLF or candump with the program that made it"
_NOT_READ = (
    (b"\xd4\xc3\xb2\xa1", "a PCAP capture", "'candump -l' writes what is read"),
    (b"\xa1\xb2\xc3\xd4", "a PCAP capture", "'candump -l' writes what is read"),
    (b"\x0a\x0d\x0d\x0a", "a PCAPNG capture", "'candump -l' writes what is read"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it, and name a log in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and name a log in it"),
    (b"BZh", "a bzip2 file", "unpack it: 'bunzip2'"),
    (b"\x89MCAP", "an MCAP file with signals", _CONVERT),
    (b"PAR1", "a Parquet file", "'stagelog query' reads those that 'decode' wrote"),
    (b"%PDF", "a PDF", "name a log"),
)
_TEXTS_NOT_READ = (
    (re.compile(rb"\A\**BUSMASTER Ver", re.I), "a BUSMASTER log", _CONVERT),
    (re.compile(rb"\A@ TEXT @"), "a trace that begins with @ TEXT", _CONVERT),
    (
        re.compile(rb'^\s*(VERSION\s+"|BO_\s+\d+\s+\w+\s*:|NS_\s*:)', re.M),
        "a DBC",
        "'stagelog dbc check' and 'stagelog dbc show' say what it holds",
    ),
    (re.compile(rb"\A\s*(<!doctype|<html|<\?xml)", re.I), "HTML or XML", "name a log"),
)
_SAVVYCAN = re.compile(rb"^\"?Time Stamp\"?\s*,\s*\"?ID\"?\s*,", re.I)


def sniff(path: str | Path) -> str:
    """Return "slog", "candump", "blf", "asc", "trc", "mf4", "savvycan", "can_csv" or "can_sqlite".

    Raises InputError if the file cannot be opened, is empty, or is none of them.
    """
    with open_log(path) as file:
        head = file.read(_N_BYTES)
    if not head:
        raise InputError(f"{path} is empty")
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(_SQLITE):
        return "can_sqlite"
    text = _as_text(head)
    found = _text_kind(text)
    if found is None:
        _refuse_others(path, head, text)
    return found or "slog"


def _refuse_others(path: str | Path, head: bytes, text: bytes) -> None:
    """Raise InputError for a file of a known kind that is not read, with what to do about it."""
    for magic, what, hint in _NOT_READ:
        if head.startswith(magic):
            raise InputError(f"{path} is {what}, which is not read as a log", hint)
    for pattern, what, hint in _TEXTS_NOT_READ:
        if pattern.search(text[:4096]):
            raise InputError(f"{path} is {what}, which is not read as a log", hint)


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
        if _CAN_CSV.match(line):
            return "can_csv"
        if looks_like_frame(line):
            return "candump"
    return None
