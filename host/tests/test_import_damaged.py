"""Damaged logs of every kind: a result with diagnostics or an InputError, in bounded time and
memory.

The mutations are those that python-can was found to hang, fail or swell on: flips, cuts, doubled,
zeroed and inserted bytes, and length fields. Logs that once broke a reader stay in evil/logs.
"""

import random
import resource
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from stagelog.can_messages import messages_of
from stagelog.errors import InputError
from stagelog.importers import load_frames
from stagelog.model import FD, FD_LENGTHS, FRAME_FD

can = pytest.importorskip("can")

EVIL = Path(__file__).parent / "evil" / "logs"
WRITERS = {
    "candump": can.CanutilsLogWriter,
    "blf": can.BLFWriter,
    "asc": can.ASCWriter,
    "trc": can.TRCWriter,
    "mf4": can.MF4Writer,
}
MAX_s = 5


def base_log(path, kind):
    """Write a log of 60 frames, one of them FD where the format has it."""
    rng = np.random.default_rng(2)
    frames = np.zeros(60, FRAME_FD)
    frames["t_us"] = 1_700_000_000_000_000 + np.arange(60) * 1000
    frames["can_id"] = rng.integers(0, 2048, 60)
    frames["n_bytes"] = frames["dlc"] = rng.integers(0, 9, 60)
    if kind != "trc":
        frames["flags"][30], frames["n_bytes"][30] = FD, 24
        frames["dlc"][30] = np.searchsorted(FD_LENGTHS, 24)
    inside = np.arange(64) < frames["n_bytes"][:, None]
    frames["data"] = np.where(inside, rng.integers(0, 256, (60, 64)), 0)
    writer = WRITERS[kind](str(path), **({"max_container_size": 600} if kind == "blf" else {}))
    for message in messages_of(frames, channel_of=dict.fromkeys(range(256), 0)):
        writer.on_message_received(message)
    writer.stop()
    return path.read_bytes()


def mutate(data, rng):
    """Return a mutant: 1 to 4 changes of the usual kinds."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        end = min(len(data), at + rng.choice((1, 2, 4, 30, 200)))
        kind = rng.randrange(9)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:end] = bytes(end - at)
        elif kind == 2:
            data[at:end] = b"\xff" * (end - at)
        elif kind == 3:
            data[at:at] = data[at:end]
        elif kind == 4:
            data[at:at] = rng.randbytes(end - at)
        elif kind == 5:
            del data[at:end]
        elif kind == 6:
            del data[max(1, at) :]
        elif kind == 7:
            data[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 2**31, 2**32 - 1, len(data))))
        else:
            data[at:at] = rng.choice((b"LOBJ", b"\n", b"\r", b" ", b"#", b"\0", b"(", b"[", b"-1"))
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def check(path):
    """Load a file; return the frames or None. Fails on any other exception, and on long work."""
    start = time.process_time()
    try:
        log = load_frames(path)
    except InputError as error:
        assert str(path) in str(error)
        return None
    finally:
        assert time.process_time() - start < MAX_s
    frames = log.frames
    assert log.diagnostics.n_frames == len(frames)
    assert (frames["n_bytes"] <= 64).all() and (frames["can_id"] < 1 << 29).all()
    assert not len(frames) or int(frames["bus"].max()) < max(len(log.ifaces), 1)
    return frames


@pytest.mark.parametrize(
    ("kind", "n"), [("candump", 300), ("blf", 400), ("asc", 120), ("trc", 120)]
)
def test_mutants_end_in_frames_or_a_clear_error(tmp_path, kind, n):
    path = tmp_path / "x"
    data = base_log(path, kind)
    whole = {f.tobytes() for f in load_frames(path).frames.astype(FRAME_FD)}
    rng = random.Random(f"{kind} 1")
    n_kept = 0
    for _ in range(n):
        path.write_bytes(mutate(data, rng))
        frames = check(path)
        if frames is not None:
            n_kept += sum(f.tobytes() in whole for f in frames.astype(FRAME_FD))
    assert n_kept > 0.4 * n * len(whole)  # most of what is whole is read


def test_mutants_of_mf4(tmp_path):
    pytest.importorskip("asammdf")
    path = tmp_path / "x.mf4"
    data = base_log(path, "mf4")
    rng = random.Random(1)
    for _ in range(2):
        path.write_bytes(mutate(data, rng))
        try:
            load_frames(path)
        except InputError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("kind", ["candump", "blf", "asc", "trc"])
def test_cut_anywhere(tmp_path, kind):
    path = tmp_path / "x"
    data = base_log(path, kind)
    whole = load_frames(path).frames.astype(FRAME_FD)
    last = 0
    for cut in range(1, len(data), 37):
        path.write_bytes(data[:cut])
        frames = check(path)
        if frames is None:
            continue
        # what is whole is a beginning of the log; only the last line of a text may be cut
        wide = frames.astype(FRAME_FD)
        n = len(wide) if kind == "blf" else max(0, len(wide) - 1)
        assert wide[:n].tobytes() == whole[:n].tobytes()
        assert len(wide) >= last - 1
        last = len(wide)
    assert last > 50


def container(payload, n_declared=None):
    """Return a BLF container with any declared size."""
    n_declared = len(payload) if n_declared is None else n_declared
    data = zlib.compress(payload)
    head = struct.pack("<4sHHLLH6xL4x", b"LOBJ", 16, 1, 32 + len(data), 10, 2, n_declared)
    return head + data + bytes((32 + len(data)) % 4)


def can_object(can_id, size=48):
    """Return a BLF CAN message with any declared size."""
    head = struct.pack("<4sHHLLLHHQ", b"LOBJ", 32, 1, size, 1, 2, 0, 0, 1000)
    return head + struct.pack("<HBBL8s", 1, 0, 8, can_id, bytes(8))


BLF_HEAD = b"LOGG" + struct.pack("<L", 144) + bytes(136)


def test_blf_bomb_stays_small(tmp_path):
    path = tmp_path / "x.blf"
    path.write_bytes(
        BLF_HEAD + container(bytes(500_000_000), 128 << 10) + container(can_object(5))
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    log = load_frames(path)
    assert log.frames["can_id"].tolist() == [5]
    assert log.diagnostics.counts["wrong size"] == 1
    grown_kB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kB < 128 << 10  # the bomb itself was made in this process, before


def test_blf_bomb_that_declares_its_size(tmp_path):
    path = tmp_path / "x.blf"
    piece = container(bytes(60_000_000))
    path.write_bytes(BLF_HEAD + piece * 20)
    start = time.process_time()
    log = load_frames(path)
    assert len(log.frames) == 0 and log.diagnostics.counts["expands too far"] == 1
    assert time.process_time() - start < MAX_s


@pytest.mark.parametrize("size", [0, 1, 15, 16, 47, 49, 5000, 2**31, 2**32 - 1])
def test_blf_object_with_a_wrong_size_costs_itself_only(tmp_path, size):
    path = tmp_path / "x.blf"
    objects = [can_object(k) for k in range(10)]
    objects[4] = can_object(4, size)
    path.write_bytes(BLF_HEAD + container(b"".join(objects)))
    log = load_frames(path)
    ids = log.frames["can_id"].tolist()
    assert [k for k in ids if k != 4] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert log.diagnostics.counts


@pytest.mark.parametrize("n_junk", [5, 48, 400])
def test_blf_junk_between_objects_is_told(tmp_path, n_junk):
    path = tmp_path / "x.blf"
    path.write_bytes(BLF_HEAD + container(can_object(1) + b"\x33" * n_junk + can_object(2)))
    log = load_frames(path)
    assert log.frames["can_id"].tolist() == [1, 2]
    assert log.diagnostics.counts == {"no object": 1}


def test_a_line_with_fewer_bytes_than_it_says_is_no_frame():
    log = load_frames(EVIL / "length_of_99.asc")
    assert len(log.frames) == 0
    assert log.diagnostics.counts == {"not a frame": 2}


def test_blf_mark_inside_a_payload_is_a_payload(tmp_path):
    path = tmp_path / "x.blf"
    tricky = can_object(7)[:40] + b"LOBJLOBJ"
    path.write_bytes(BLF_HEAD + container(can_object(1) + tricky + can_object(2)))
    log = load_frames(path)
    assert log.frames["can_id"].tolist() == [1, 7, 2] and log.diagnostics.ok
    assert log.frames["data"][1].tobytes() == b"LOBJLOBJ"


def test_blf_garbage_between_containers(tmp_path):
    path = tmp_path / "x.blf"
    good = [container(can_object(k) * 20) for k in range(3)]
    path.write_bytes(BLF_HEAD + good[0] + b"\x55" * 333 + good[1] + good[2][:-40])
    log = load_frames(path)
    assert log.frames["can_id"].tolist()[:40] == [0] * 20 + [1] * 20
    assert {"no object", "wrong size"} <= log.diagnostics.counts.keys()


@pytest.mark.parametrize("path", sorted(EVIL.glob("*")), ids=lambda p: p.name)
def test_evil_logs(path):
    check(path)


NASTY = {
    "newlines": b"\n" * 3_000_000,
    "short lines": b"x\n" * 1_500_000,
    "hashes": b"#" * 3_000_000,
    "lines of nothing much": b"a b c d\n" * 300_000,
    "brackets": b"(1.0) can0 123 [" * 50_000,
    "open times": b"(" * 1_000_000,
    "one endless line": b"(1.000000) can0 123#" + b"11" * 2_000_000,
}


@pytest.mark.parametrize("name", NASTY)
def test_nasty_texts_take_time_by_their_size_only(tmp_path, name):
    path = tmp_path / "x"
    path.write_bytes(b"(1.000000) can0 123#11\n" + NASTY[name])
    frames = check(path)
    assert frames["can_id"].tolist() == [0x123]
