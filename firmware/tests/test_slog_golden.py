"""Golden files are read for ever, by our reader and by one written from SPEC.md alone, alike."""

import ast
import csv
import gzip
import json
import runpy
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drivers.fd_ring import FdRing
from slog.block import crc_of, is_block, seal
from slog.framing import Receiver
from slog.layout import VERSION
from stagelog.blocks import decode_meta, read_log
from stagelog.model import BRS, ESI, EXT, FD, RTR

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).resolve().parents[2]
DUMP_BLOCK = ROOT / "tools" / "dump_block"
LOW = (1 << 28) - 1
NAMES_V2 = ["v2_session.slog", "v2_frames.csv"]
NAMES = ["v1_session.slog", "v1_extent.img.gz", "v1_frames.csv", "v1_wire.bin"]


@pytest.fixture
def extent(tmp_path):
    path = tmp_path / "extent.img"
    path.write_bytes(gzip.decompress((GOLDEN / "v1_extent.img.gz").read_bytes()))
    return path


def dumped_blocks(path):
    command = [sys.executable, DUMP_BLOCK, path, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def expected_frames(version=1):
    with open(GOLDEN / f"v{version}_frames.csv", newline="") as file:
        return list(csv.DictReader(file))


def as_rows(frames):
    """Return frames of our reader as the rows of v1_frames.csv."""
    return [
        {
            "t_us": str(frame["t_us"]),
            "bus": str(frame["bus"]),
            "can_id": f"{frame['can_id']:X}",
            "flags": str(frame["flags"]),
            "dlc": str(frame["dlc"]),
            "data": frame["data"][: frame["n_bytes"]].tobytes().hex(),
        }
        for frame in frames
    ]


@pytest.mark.skipif(VERSION != 1, reason="the firmware writes a later version")
@pytest.mark.parametrize("name", NAMES)
def test_the_firmware_still_writes_version_1(make, name):
    built, kept = make.build()[name], (GOLDEN / name).read_bytes()
    if name.endswith(".gz"):  # the bytes of gzip depend on the version of zlib
        built, kept = gzip.decompress(built), gzip.decompress(kept)
    assert built == kept


def test_golden_files_are_small():
    assert sum(path.stat().st_size for path in GOLDEN.glob("v1_*")) < 60_000


def test_every_frame_of_the_golden_session_is_read():
    log = read_log(GOLDEN / "v1_session.slog")
    (session,) = log.sessions
    assert as_rows(session.read_frames()) == expected_frames()
    assert not log.damaged and not log.diagnostics
    assert session.identity.name == "e66038b7130f2e29-2-5eed0001"
    names = [meta.name for meta in session.decoded_meta()]
    assert {"session", "hash", "anchor", "bus", "event", "unknown", "gap", "health", "end"} == set(
        names
    )


def test_the_golden_extent_is_read(extent):
    log = read_log(extent)
    first, second = log.sessions
    assert as_rows(first.read_frames()) == expected_frames()
    assert (second.n_frames, second.has_last) == (20, False)
    assert log.n_erased == 1 and [bad.position for bad in log.damaged] == [7]
    everything = read_log(extent, include_erased=True)
    assert [session.n_frames for session in everything.sessions] == [1, 600, 20]


@pytest.mark.parametrize("name", NAMES_V2)
def test_the_host_still_writes_version_2(name):
    built = runpy.run_path(str(GOLDEN / "make_v2.py"))["build"]()[name]
    assert built == (GOLDEN / name).read_bytes()


def test_every_frame_of_version_2_is_read():
    log = read_log(GOLDEN / "v2_session.slog")
    (session,) = log.sessions
    assert as_rows(session.read_frames()) == expected_frames(2)
    assert session.n_frames == 300 and session.scan.n_unknown == 0
    assert (session.headers["version"] == 2).all()
    assert not log.damaged and not log.diagnostics


def test_the_firmware_knows_version_2_and_refuses_version_3():
    """A card may come from a logger with CAN FD: its numbers must not be given again."""
    block = bytearray((GOLDEN / "v2_session.slog").read_bytes()[:4096])
    position = int.from_bytes(block[24:28], "little")
    assert is_block(block, position)
    for version in (0, 3):
        block[2] = version
        struct.pack_into("<I", block, 60, crc_of(block))
        assert not is_block(block, position)


def test_the_firmware_writes_version_2_as_the_host_does():
    """The frames of the golden file, one by one into the ring of a board, its blocks sealed."""
    ring = FdRing(8)
    ring.start_session()
    ring.hold_fd()
    blocks = []

    def seal_waiting(flags=0):
        while ring.n_waiting():
            block = ring.first_waiting()
            n = len(blocks)
            flag = (
                (block[3] < 252) | (2 if n == 0 else 0) | (flags if ring.n_waiting() == 1 else 0)
            )
            identity = (bytes.fromhex("e66038b7130f2e29"), 2, 0x5EED0003)
            seal(block, *identity, 1 + n, n, flag, ring.version)
            blocks.append(bytes(block))
            ring.release()

    rows = runpy.run_path(str(GOLDEN / "make_v2.py"))["frames"]()
    t_us = rows[0][0]
    ring.put_meta(t_us & LOW, t_us >> 28, 1, 0, 0, b"\2\1" + bytes(6))
    for t_us, bus, can_id, flags, dlc, payload in rows:
        lo, hi = t_us & LOW, t_us >> 28
        if ring.open_age_us(lo) >= 250_000:
            ring.close_block()
        kind = bus | (flags & RTR) | (flags & EXT) << 2
        if flags & FD:
            first = dlc | (flags & BRS) << 1 | (flags & ESI) << 1
            ring.put_fd(lo, hi, can_id, kind, first, payload, 0, len(payload))
        else:
            ring.put_frame(lo, hi, can_id, kind, dlc, payload.ljust(8, b"\0"))
        seal_waiting()
    n_blocks = len(blocks) + 1
    ring.put_meta(lo, hi, 8, 1, 0, struct.pack("<II", n_blocks, 0))
    ring.close_block()
    seal_waiting(4)
    golden = (GOLDEN / "v2_session.slog").read_bytes()
    assert len(blocks) == len(golden) // 4096
    for i, block in enumerate(blocks):
        end = 64 + 16 * block[3]
        assert block[:end] == golden[4096 * i : 4096 * i + end], i


@pytest.mark.parametrize("name", ["session", "extent", "v2_session"])
def test_both_readers_read_the_same(extent, name):
    path = GOLDEN / f"{name}.slog" if name == "v2_session" else GOLDEN / "v1_session.slog"
    path = extent if name == "extent" else path
    ours = read_log(path, include_erased=True)
    theirs = dumped_blocks(path)
    assert sum(session.n_blocks for session in ours.sessions) == len(theirs)
    for session in ours.sessions:
        key = (session.device_id, session.boot, session.nonce)
        blocks = [b for b in theirs if (b["device_id"], b["boot"], b["nonce"]) == key]
        blocks.sort(key=lambda block: block["seq"])
        compare_headers(session, blocks)
        compare_frames(session, [r for b in blocks for r in b["records"] if "dlc" in r])
        compare_meta(session, [r for b in blocks for r in b["records"] if "meta" in r])


def compare_headers(session, blocks):
    for header, block in zip(session.headers, blocks, strict=True):
        assert (int(header["seq"]), int(header["position"])) == (block["seq"], block["position"])
        assert block["t0_us"] == int(header["t0_hi"]) << 28 | int(header["t0_lo"])
        assert block["flags"] == header["flags"]
        for name in ("stored", "dropped", "at_least"):
            assert block[name] == [header[f"{name}0"], header[f"{name}1"]]


def compare_frames(session, records):
    frames = session.read_frames()
    assert frames["t_us"].tolist() == [r["t_us"] for r in records]
    assert frames["can_id"].tolist() == [r["can_id"] for r in records]
    assert frames["bus"].tolist() == [r["bus"] for r in records]
    assert frames["dlc"].tolist() == [r["dlc"] for r in records]
    flags = [
        EXT * r["ext"]
        | RTR * r["rtr"]
        | FD * r.get("fd", False)
        | BRS * r.get("brs", False)
        | ESI * r.get("esi", False)
        for r in records
    ]
    assert frames["flags"].tolist() == flags
    assert [row["data"] for row in as_rows(frames)] == [r["data"] for r in records]


def compare_meta(session, records):
    for row, record in zip(session.meta, records, strict=True):
        meta = decode_meta(row)
        assert (meta.t_us, meta.kind, meta.arg, meta.bus, meta.name) == tuple(
            record[name] for name in ("t_us", "kind", "arg", "bus", "meta")
        )
        for name, value in meta.values.items():
            assert (value.hex() if isinstance(value, bytes) else value) == record[name]


def test_the_independent_reader_imports_nothing_of_ours():
    modules = {
        name.name.split(".")[0]
        for node in ast.walk(ast.parse(DUMP_BLOCK.read_text()))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert modules == {"binascii", "json", "struct", "sys"}
    assert "from " not in DUMP_BLOCK.read_text().split('"""')[2]


def test_golden_frames_of_the_link_are_received(make):
    got = []
    receiver = Receiver()
    content = (GOLDEN / "v1_wire.bin").read_bytes()
    receiver.feed(content, lambda *frame: got.append((frame[0], frame[1], bytes(frame[2]))))
    assert got == make.wire_payloads() and receiver.n_bad == 0


def test_counts_of_the_golden_session_close():
    session = read_log(GOLDEN / "v1_session.slog").sessions[0]
    stored = np.array([session.headers["stored0"], session.headers["stored1"]]).T.astype(np.int64)
    assert np.array_equal(np.diff(stored, axis=0, prepend=0), session.scan.n_frames)
