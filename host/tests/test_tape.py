import struct

import numpy as np
import pytest

from stagelog.errors import InputError, OutputError, UsageError
from stagelog.model import EXT, FRAME, RTR
from stagelog.rig import tape
from stagelog.rig.bus import Bus, nodes
from stagelog.rig.bus.faults import BitFault, Effect
from stagelog.rig.play import play_on_bus

MS = 10**6


def test_a_tape_begins_when_the_caller_says():
    """Times of 1970's January and of ten minutes after power-on: their size says nothing."""
    for t_us in (10**12, 600_000_000):
        frames = nodes.random_table(3, np.random.default_rng(1))
        frames["t_us"] = t_us + np.arange(3) * 1000
        tape_us = play_on_bus(frames, start_us=5000)[0]["t_us"]
        assert 5000 < tape_us[0] < 5400 and tape_us[-1] < 7400  # 160 bits of 2 us are the most


@pytest.fixture
def log():
    bus = Bus(500_000, index=2)
    bus.add_node("car", nodes.random_frames(2000, seed=3))
    bus.add_node("dash")
    bus.add_node("logger", listen_only=True)
    bus.add_fault(BitFault(Effect.WIRE_INVERT, None, 4, 20))
    return bus.run(50 * MS)


def test_a_record_has_the_32_bytes_of_the_drawing(tmp_path):
    record = np.zeros(1, tape.TAPE)
    record["t_us"] = (7 << 32) + 5
    record["kind"], record["bus"], record["dlc"], record["flags"] = 0, 3, 8, EXT
    record["can_id"] = 0x1ABCDEF0
    record["tec"], record["rec"], record["state"], record["code"] = 8, 9, 2, 4
    record["data"] = np.arange(8)
    tape.write_tape(tmp_path / "one.tape", record)
    raw = (tmp_path / "one.tape").read_bytes()
    fields = struct.unpack("<IIBBBBIBBBB8sI", raw)
    assert fields == (5, 7, 0, 3, 8, EXT, 0x1ABCDEF0, 8, 9, 2, 4, bytes(range(8)), 0)


def test_a_tape_comes_back_as_it_was_written(tmp_path, log):
    written = log.tape("logger")
    tape.write_tape(tmp_path / "drive.tape", written)
    assert np.array_equal(tape.read_tape(tmp_path / "drive.tape"), written)
    assert not list(tmp_path.glob("*.part"))


def test_a_tape_holds_frames_and_events_of_the_listener_in_order(log):
    played = log.tape("logger")
    assert set(played["kind"]) == {tape.FRAME, tape.ERROR}
    assert (np.diff(played["t_us"].astype(np.int64)) >= 0).all()
    assert (played["bus"] == 2).all()
    frames = played[played["kind"] == tape.FRAME]
    assert np.array_equal(frames["data"], log.frames["data"])
    assert np.array_equal(frames["t_us"], log.frames["t_us"])
    assert np.array_equal(tape.n_bytes_on(frames), log.frames["n_bytes"])
    assert tape.n_bytes_on(played)[played["kind"] == tape.ERROR].tolist() == [0]


def test_a_frame_table_is_written_as_a_tape_of_frames(tmp_path):
    table = nodes.random_table(100, np.random.default_rng(1))
    table["t_us"] = np.arange(100) * 250
    tape.write_tape(tmp_path / "frames.tape", table)
    played = tape.read_tape(tmp_path / "frames.tape")
    for name in ("t_us", "can_id", "flags", "dlc", "data"):
        assert np.array_equal(played[name], table[name])
    assert np.array_equal(tape.n_bytes_on(played), table["n_bytes"])
    assert (played["flags"] & RTR).any()


def test_tapes_of_two_buses_are_joined_by_time(log):
    one, two = log.tape("logger").copy(), log.tape("logger").copy()
    two["bus"] = 1
    joined = tape.join_tapes([one, two])
    assert len(joined) == len(one) + len(two)
    assert joined["bus"][:4].tolist() == [2, 1, 2, 1]
    assert (np.diff(joined["t_us"].astype(np.int64)) >= 0).all()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda raw: raw[:-1], "no multiple of 32"),
        (lambda raw: raw[:8] + b"\x09" + raw[9:], "record 0 is not a record of a tape"),
        (lambda raw: raw[:95] + b"\x01" + raw[96:], "record 2 is not a record of a tape"),
        (lambda raw: raw[64:96] + raw, "record 1 is earlier"),
    ],
)
def test_a_file_that_is_no_tape_is_refused_with_the_place(tmp_path, log, spoil, words):
    path = tmp_path / "bad.tape"
    path.write_bytes(spoil(log.tape("logger").tobytes()))
    with pytest.raises(InputError, match=words) as caught:
        tape.read_tape(path)
    assert "bad.tape" in str(caught.value) and caught.value.exit_code == 5


def test_an_empty_tape_is_a_tape(tmp_path):
    tape.write_tape(tmp_path / "empty.tape", np.zeros(0, FRAME))
    assert len(tape.read_tape(tmp_path / "empty.tape")) == 0


def test_what_cannot_be_written_or_read_says_so(tmp_path, log):
    with pytest.raises(OutputError, match="nowhere"):
        tape.write_tape(tmp_path / "nowhere" / "x.tape", log.tape("logger"))
    with pytest.raises(InputError, match="absent"):
        tape.read_tape(tmp_path / "absent.tape")
    with pytest.raises(UsageError, match="record 1 is earlier"):
        tape.write_tape(tmp_path / "x.tape", log.tape("logger")[::-1])
    assert not list(tmp_path.iterdir())
