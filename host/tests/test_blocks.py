"""A log is read whole, and damage of any kind costs the damaged block only and is always told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slog.block import BOOT, CRC, N_RECORDS, POSITION, SEQ
from slog.layout import BLOCK_BYTES, HEADER_BYTES, RECORD_BYTES
from stagelog.blocks import Identity, pack_session, read_log, seal
from stagelog.errors import InputError
from stagelog.model import EXT, FRAME, RTR

ALICE = Identity("e66038b7130f2e29", 12, 0x9F3C2A11)
BOB = Identity("e66038b7130f2e00", 3, 7)


def some_frames(n, seed=1, start_us=0, step_us=500):
    rng = np.random.default_rng(seed)
    frames = np.zeros(n, FRAME)
    frames["t_us"] = start_us + np.cumsum(rng.integers(1, step_us, n))
    frames["flags"] = rng.choice([0, EXT, RTR, EXT | RTR], n, p=[0.7, 0.2, 0.05, 0.05])
    frames["can_id"] = rng.integers(0, 1 << 11, n)
    extended = frames["flags"] & EXT > 0
    frames["can_id"][extended] = rng.integers(0, 1 << 29, extended.sum())
    frames["bus"] = rng.integers(0, 2, n)
    frames["dlc"] = rng.integers(0, 9, n)
    frames["n_bytes"] = np.where(frames["flags"] & RTR, 0, frames["dlc"])
    frames["data"] = rng.integers(0, 256, (n, 8))
    frames["data"][np.arange(8) >= frames["n_bytes"][:, None]] = 0
    return frames


def frames_in(frames, blocks, wanted):
    """Return the frames in the blocks with these indices; one meta record opens the session."""
    ends = np.cumsum(blocks[:, N_RECORDS].astype(int))
    block_of = np.searchsorted(ends, np.arange(len(frames)) + 1, side="right")
    return frames[np.isin(block_of, wanted)]


@pytest.fixture
def log_file(tmp_path):
    def write(blocks, name="x.slog"):
        path = tmp_path / name
        path.write_bytes(blocks if isinstance(blocks, bytes) else blocks.tobytes())
        return path

    return write


@pytest.mark.parametrize("n", [0, 1, 250, 251, 252, 10_000])
@pytest.mark.parametrize("start_us", [0, (1 << 28) - 1000, 5 << 40])
def test_all_frames_come_back(log_file, n, start_us):
    frames = some_frames(n, start_us=start_us)
    log = read_log(log_file(pack_session(frames, ALICE)))
    (session,) = log.sessions
    assert session.identity == ALICE
    assert session.n_frames == n
    assert session.has_first and session.has_last
    assert np.array_equal(session.read_frames(), frames)
    assert np.array_equal(np.concatenate(list(session.iter_frames(500))), frames)
    assert not log.damaged and not log.diagnostics


@pytest.mark.parametrize("step_us", [40_000_000, 120_000_000, 134_000_000])
def test_times_come_back_when_a_block_is_open_for_many_wraps(log_file, step_us):
    frames = some_frames(400, step_us=step_us)
    blocks = pack_session(frames, ALICE, flush_us=1 << 50)
    assert len(blocks) == 2
    assert np.array_equal(read_log(log_file(blocks)).sessions[0].read_frames(), frames)


def test_a_record_may_be_older_than_the_one_before_it(log_file):
    frames = some_frames(20, start_us=(1 << 28) - 4000)
    blocks = pack_session(frames, ALICE)
    records = blocks[0, HEADER_BYTES:].reshape(-1, RECORD_BYTES)
    records[[4, 5]] = records[[5, 4]]
    seal(blocks)
    frames[[3, 4]] = frames[[4, 3]]
    assert np.array_equal(read_log(log_file(blocks)).sessions[0].read_frames(), frames)


def test_meta_records_are_decoded(log_file):
    frames = some_frames(3000)
    anchor = (int(frames["t_us"][1500]), 1_700_000_000_000_000)
    session = read_log(log_file(pack_session(frames, ALICE, anchors=[anchor]))).sessions[0]
    metas = session.decoded_meta()
    assert [meta.name for meta in metas] == ["session", "anchor", "end"]
    assert (metas[1].t_us, metas[1].values["t_unix_us"]) == anchor
    assert metas[2].values["n_blocks"] == session.n_blocks


@pytest.mark.parametrize("dlc", [9, 14])
def test_unknown_meta_kinds_are_kept_and_unknown_records_counted(log_file, dlc):
    frames = some_frames(100)
    blocks = pack_session(frames, ALICE)
    records = blocks[0, HEADER_BYTES:].view("<u4").reshape(-1, 4)
    records[0, 1] = 200 | 77 << 8 | 1 << 29
    records[3, 0] = records[3, 0] & 0x0FFFFFFF | dlc << 28
    seal(blocks)
    session = read_log(log_file(blocks)).sessions[0]
    unknown = session.decoded_meta()[0]
    assert (unknown.name, unknown.kind, unknown.arg, unknown.bus) == ("unknown", 200, 77, 1)
    assert session.scan.n_unknown == 1
    assert np.array_equal(session.read_frames(), np.delete(frames, 2))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_blocks_cost_only_themselves(tmp_path_factory, data):
    frames = some_frames(3000, seed=2)
    blocks = pack_session(frames, ALICE)
    hurt = data.draw(
        st.sets(st.integers(0, len(blocks) - 1), min_size=1, max_size=len(blocks) - 1)
    )
    damaged = blocks.copy()
    for i in hurt:
        if data.draw(st.booleans()):
            bit = data.draw(
                st.integers(0, (HEADER_BYTES + int(blocks[i, N_RECORDS]) * 16) * 8 - 1)
            )
            damaged[i, bit // 8] ^= 1 << bit % 8
        else:
            filler = data.draw(st.sampled_from(["zeros", "ones", "noise"]))
            noise = np.random.default_rng(i).integers(0, 256, BLOCK_BYTES)
            damaged[i] = {"zeros": 0, "ones": 0xFF, "noise": noise}[filler]
    path = tmp_path_factory.mktemp("hurt") / "x.slog"
    path.write_bytes(damaged.tobytes())
    log = read_log(path)
    whole = [i for i in range(len(blocks)) if i not in hurt]
    assert np.array_equal(log.sessions[0].read_frames(), frames_in(frames, blocks, whole))
    assert sorted(bad.offset // BLOCK_BYTES for bad in log.damaged) == sorted(hurt)


@settings(max_examples=40, deadline=None)
@given(
    at=st.integers(1, 40_000),
    n=st.integers(1, 9000),
    grow=st.booleans(),
)
def test_lost_or_added_bytes_cost_the_blocks_they_touch(tmp_path_factory, at, n, grow):
    frames = some_frames(3000, seed=3)
    blocks = pack_session(frames, ALICE)
    whole = blocks.tobytes()
    noise = np.random.default_rng(n).integers(0, 256, n, np.uint8).tobytes()
    hurt = whole[:at] + noise + whole[at:] if grow else whole[:at] + whole[at + n :]
    path = tmp_path_factory.mktemp("shift") / "x.slog"
    path.write_bytes(hurt)
    touched = range(at // BLOCK_BYTES, (at + (0 if grow else n) - 1) // BLOCK_BYTES + 1)
    if grow and at % BLOCK_BYTES == 0:
        touched = range(0)
    left = [i for i in range(len(blocks)) if i not in touched]
    log = read_log(path)
    assert np.array_equal(log.sessions[0].read_frames(), frames_in(frames, blocks, left))
    n_bad = sum(bad.n_bytes for bad in log.damaged)
    assert n_bad == len(hurt) - len(left) * BLOCK_BYTES


@pytest.mark.parametrize("n_bytes", [1, 4095, 4096, 4097, 20_000])
def test_a_cut_file_keeps_its_whole_blocks(log_file, n_bytes):
    frames = some_frames(3000)
    blocks = pack_session(frames, ALICE)
    path = log_file(blocks.tobytes()[:n_bytes])
    if n_bytes < BLOCK_BYTES:
        with pytest.raises(InputError, match="cut short|not known here"):
            read_log(path)
        return
    n = n_bytes // BLOCK_BYTES
    log = read_log(path)
    assert np.array_equal(log.sessions[0].read_frames(), frames_in(frames, blocks, range(n)))
    assert [bad.reason for bad in log.damaged] == (
        [f"cut short: {n_bytes % BLOCK_BYTES:,} of 4,096 bytes"] if n_bytes % BLOCK_BYTES else []
    )


def test_a_block_that_is_there_twice_counts_once(log_file):
    frames = some_frames(2000)
    blocks = pack_session(frames, ALICE)
    again = np.insert(blocks, 4, blocks[3], axis=0)
    again[4:, POSITION : POSITION + 4] = (
        (np.arange(4, len(again), dtype="<u4")).reshape(-1, 1).view("u1")
    )
    seal(again)
    log = read_log(log_file(again))
    assert np.array_equal(log.sessions[0].read_frames(), frames)
    assert [note.kind for note in log.diagnostics] == ["duplicate"]
    assert not log.damaged


def test_places_that_the_logger_gave_up_are_no_damage(log_file):
    frames = some_frames(2000)
    blocks = pack_session(frames, ALICE)
    gap = np.insert(blocks, [4, 4], np.uint8(0xA5), axis=0)
    log = read_log(log_file(gap))
    assert np.array_equal(log.sessions[0].read_frames(), frames)
    assert not log.damaged
    assert [str(note) for note in log.diagnostics] == [
        "place 3: 2 places behind it skipped by the logger"
    ]


def test_a_stale_block_of_an_older_session_is_refused_and_told(log_file):
    frames = some_frames(2000)
    whole = pack_session(frames, ALICE, first_seq=1000)
    blocks = whole.copy()
    blocks[4] = pack_session(some_frames(200, seed=9), BOB, first_seq=500)[0]
    log = read_log(log_file(blocks))
    assert [session.identity for session in log.sessions] == [ALICE]
    others = [i for i in range(len(blocks)) if i != 4]
    assert np.array_equal(log.sessions[0].read_frames(), frames_in(frames, whole, others))
    assert BOB.name in log.damaged[0].reason


def test_a_misdirected_block_is_used_and_told(log_file):
    frames = some_frames(4000)
    blocks = pack_session(frames, ALICE)
    blocks[[3, 9]] = blocks[[9, 3]]
    log = read_log(log_file(blocks))
    assert np.array_equal(log.sessions[0].read_frames(), frames)
    assert {note.kind for note in log.diagnostics} == {"misplaced"}


def test_a_session_that_went_round_the_ring_is_whole(log_file):
    frames = some_frames(4000)
    blocks = pack_session(frames, ALICE, position=50)
    blocks[6:, POSITION : POSITION + 4] = (
        np.arange(3, 3 + len(blocks) - 6, dtype="<u4").reshape(-1, 1).view("u1")
    )
    seal(blocks)
    log = read_log(log_file(blocks))
    assert np.array_equal(log.sessions[0].read_frames(), frames)
    assert not log.damaged and not log.diagnostics


def test_two_sessions_in_one_file_stay_apart(log_file):
    first, second = some_frames(1000), some_frames(900, seed=5)
    blocks = np.concatenate(
        [pack_session(first, ALICE), pack_session(second, BOB, first_seq=50, position=77)]
    )
    log = read_log(log_file(blocks))
    assert [session.identity for session in log.sessions] == [ALICE, BOB]
    assert np.array_equal(log.sessions[0].read_frames(), first)
    assert np.array_equal(log.sessions[1].read_frames(), second)
    with pytest.raises(InputError, match="2 sessions"):
        log.session()
    assert log.session(BOB.name).identity == BOB


def test_blocks_of_a_later_version_are_told(log_file):
    frames = some_frames(1000)
    blocks = pack_session(frames, ALICE)
    blocks[2, 2] = 3
    log = read_log(log_file(blocks))
    assert "format version 3" in log.damaged[0].reason
    with pytest.raises(InputError, match="format version 3"):
        read_log(log_file(blocks[2:3]))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"LOGG" + bytes(200), "BLF"),
        (b"MDF     4.10" + bytes(9000), "MF4"),
        (b"(1436509052.249713) vcan0 044#2A366C2BBA\n" * 300, "candump"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (bytes(20_000), "zeros"),
        (b"\x00" * 510 + b"\x55\xaa" + bytes(8192), "has not prepared"),
        (b"SL\x01" + b"\x07" * 8192, "no CRC is right"),
        (b"SL\x01" + b"\x07" * 100, "cut short after 103 bytes"),
        (bytes(range(256)) * 40, "its kind is not known here"),
    ],
)
def test_what_is_no_log_gives_one_clear_line(log_file, content, says):
    with pytest.raises(InputError) as caught:
        read_log(log_file(content))
    text = str(caught.value)
    assert says in text and "x.slog" in text and "\n" not in text


def test_a_missing_file_and_a_folder_give_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_log(tmp_path / "none.slog")
    with pytest.raises(InputError, match="is a folder"):
        read_log(tmp_path)


def test_bytes_that_imitate_blocks_do_not_take_long(log_file):
    frames = some_frames(500)
    blocks = pack_session(frames, ALICE).tobytes()
    log = read_log(log_file(blocks + b"SL\x01\x05" * 500_000))
    assert np.array_equal(log.sessions[0].read_frames(), frames)
    assert len(log.damaged) == 2_000_000 // BLOCK_BYTES + 1


def test_header_fields_of_bad_blocks_are_not_believed(log_file):
    frames = some_frames(3000)
    blocks = pack_session(frames, ALICE)
    for at in (SEQ, BOOT, POSITION, CRC, N_RECORDS):
        hurt = blocks.copy()
        hurt[5, at] ^= 0x55
        log = read_log(log_file(hurt))
        assert len(log.sessions) == 1
        assert log.sessions[0].n_blocks == len(blocks) - 1
