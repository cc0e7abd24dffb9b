"""Compressed logs of every kind, and files of known kinds that are no logs: named, not guessed."""

import gzip
import lzma
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard

from stagelog.cli import main
from stagelog.errors import InputError
from stagelog.importers import load_frames, sniff
from stagelog.pipes import real_path

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / "host/examples/drive.log.gz"
PACKERS = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,  # as the program zstd does
    # two frames, one after the other, as `cat a.zst b.zst` and the parallel programs make them
    "two.zst": lambda data: b"".join(
        zstandard.ZstdCompressor().compress(half) for half in (data[:7001], data[7001:])
    ),
}


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code or 0


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The first 3,000 lines of the example, as candump text and in three binary kinds."""
    folder = tmp_path_factory.mktemp("logs")
    lines = gzip.decompress(LOG.read_bytes()).splitlines(keepends=True)
    (folder / "x.log").write_bytes(b"".join(lines[:3000]))
    for kind in ("slog", "blf", "mf4"):
        assert run("convert", folder / "x.log", folder / f"x.{kind}") == 0
    return folder


@pytest.mark.parametrize("how", PACKERS)
@pytest.mark.parametrize("kind", ["log", "slog", "blf", "mf4"])
def test_a_packed_log_is_read_like_the_log(logs, tmp_path, kind, how):
    plain = logs / f"x.{kind}"
    packed = tmp_path / f"x.{kind}.{how}"
    packed.write_bytes(PACKERS[how](plain.read_bytes()))
    assert sniff(packed) == sniff(plain)
    found = load_frames(packed)
    assert np.array_equal(found.frames, load_frames(plain).frames) and len(found.frames) == 3000
    assert str(packed) in found.diagnostics.source


def test_a_packed_session_is_verified_and_a_packed_dbc_is_read(logs, tmp_path, capsys):
    (tmp_path / "x.slog.xz").write_bytes(lzma.compress((logs / "x.slog").read_bytes()))
    assert run("verify", tmp_path / "x.slog.xz") == 0
    dbc = tmp_path / "d7xr.dbc.zst"
    dbc.write_bytes(PACKERS["zst"]((ROOT / "dbc/d7xr.dbc").read_bytes()))
    assert run("dbc", "check", dbc) == 0
    assert "no defects" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["gz", "xz", "zst"])
@pytest.mark.parametrize("damage", ["torn", "flipped"])
def test_a_packed_log_that_is_torn_is_an_error_and_not_a_short_log(logs, tmp_path, how, damage):
    content = bytearray(PACKERS[how]((logs / "x.slog").read_bytes()))
    if damage == "torn":
        del content[-len(content) // 3 :]
    else:
        content[len(content) // 2] ^= 0xFF
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match="torn or damaged"):
        real_path(tmp_path / "x")


def test_what_expands_without_end_is_refused(tmp_path):
    """100 MB of zeros are 15 kB of xz: more than 1000 to 1 and more than 64 MiB."""
    (tmp_path / "bomb.xz").write_bytes(lzma.compress(bytes(100_000_000)))
    with pytest.raises(InputError, match="expands to more than 67,108,864 bytes"):
        real_path(tmp_path / "bomb.xz")


def test_plain_files_stay_where_they_are(logs):
    for name in ("x.log", "x.slog", "x.blf"):
        assert real_path(logs / name) == logs / name
    assert real_path(LOG) == LOG  # text in gzip: unpacked by its reader, line by line


def zip_of(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(LOG, "drive.log.gz")


BUSMASTER = b"***BUSMASTER Ver 3.2.0***\n***PROTOCOL CAN***\n13:40:28:7780 Rx 1 0x100 s 1 00\n"
NAMED = {
    "a BUSMASTER log": BUSMASTER,
    "a trace that begins with @ TEXT": b"@ TEXT @ 3 @ 18 @ 25 @ 29.1 @\n14:30:57.7 100 00\n",
    "a PCAP capture": bytes.fromhex("d4c3b2a1 02000400 00000000 00000000 00000400 e3000000"),
    "a DBC": b'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: A\n\nBO_ 1 X: 8 A\n',
    "HTML or XML": b"<?xml version='1.0'?><NetworkDefinition/>",
    "a ZIP archive": zip_of,
}


@pytest.mark.parametrize("what", NAMED)
def test_a_file_of_a_known_kind_is_named_with_what_to_do(tmp_path, capsys, what):
    path = tmp_path / "x.log"
    content = NAMED[what]
    content(path) if callable(content) else path.write_bytes(content)
    assert run("info", path) == 5
    error = capsys.readouterr().err
    assert f"x.log is {what}, which is not read as a log; " in error and error.count("\n") == 1


def test_a_log_whose_remark_names_another_kind_is_still_a_log(tmp_path):
    text = b"(1.000000) can0 100#00\n# BUSMASTER Ver 3 and BO_ 1 X: 8 A\n"
    (tmp_path / "x.log").write_bytes(text)
    assert sniff(tmp_path / "x.log") == "candump"
    shutil.copy(tmp_path / "x.log", tmp_path / "x.pcap")
    assert sniff(tmp_path / "x.pcap") == "candump"
