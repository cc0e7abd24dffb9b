"""Records of CAN FD, version 2: bytes worked out by hand from SPEC.md section 1, and damage.

The golden files of version 2 and the second reader: firmware/tests/test_slog_golden.py.
"""

import struct

import numpy as np
import pytest

from stagelog.blocks import Identity, pack_session, read_log, seal
from stagelog.model import BRS, ESI, EXT, FD, FD_LENGTHS, FRAME, FRAME_FD

ALICE = Identity("0a" * 8, 1, 7)
RECORDS = 64  # where they begin in a block


def fd_frames(*codes, t_us=5_000):
    """Return a frame of CAN FD for each dlc code, a millisecond apart; payload 1, 2, 3, ..."""
    frames = np.zeros(len(codes), FRAME_FD)
    frames["t_us"] = t_us + 1000 * np.arange(len(codes))
    frames["can_id"] = 0x123
    frames["flags"] = FD
    frames["dlc"] = codes
    frames["n_bytes"] = FD_LENGTHS[list(codes)]
    data = np.broadcast_to(np.arange(1, 65), (len(codes), 64))
    frames["data"] = np.where(np.arange(64) < frames["n_bytes"][:, None], data, 0)
    return frames


def read_back(tmp_path, blocks):
    path = tmp_path / "x.slog"
    path.write_bytes(blocks.tobytes())
    return read_log(path)


def test_a_frame_of_24_bytes_in_three_records():
    """dlc code 12 is 24 bytes: 7 in the head, 12 and 5 behind it. 5,000 us is 0x1388.

    head: w0 = 0x90001388, w1 = ext << 31 | bus 1 << 29 | 0x1ABCDEF; data 0x3C = ESI | BRS | 12
    """
    frames = fd_frames(12)
    frames["flags"] |= EXT | BRS | ESI
    frames["bus"], frames["can_id"] = 1, 0x1ABCDEF
    blocks = pack_session(frames, ALICE)
    records = blocks[0, RECORDS + 16 : RECORDS + 64].tobytes()  # the first is META_SESSION
    wanted = struct.pack("<IIB7s", 0x90001388, 0xA1ABCDEF, 0x3C, bytes(range(1, 8)))
    wanted += struct.pack("<I12s", 0xA0001388, bytes(range(8, 20)))
    wanted += struct.pack("<I12s", 0xA0001388, bytes(range(20, 25)))
    assert records == wanted
    assert blocks[0, 2] == 2 and blocks[0, 3] == 5  # version; records: session, three, end
    assert struct.unpack_from("<II", blocks[0], 36) == (0, 1)  # stored: one of bus 1


def test_a_log_without_can_fd_stays_at_version_1():
    wide = fd_frames(8, 3)
    wide["flags"] = 0
    narrow = np.zeros(2, FRAME)
    for name in FRAME.names:
        narrow[name] = wide[name][:, :8] if name == "data" else wide[name]
    assert (pack_session(wide, ALICE) == pack_session(narrow, ALICE)).all()
    assert pack_session(wide, ALICE)[0, 2] == 1


def test_a_frame_never_lies_in_two_blocks(tmp_path):
    """A block has 252 records; frames of 64 bytes take six, and META_SESSION one: 41 in the first
    (247), 42 in the next (252), until a block is closed after 250 ms."""
    frames = fd_frames(*[15] * 100)
    blocks = pack_session(frames, ALICE, flush_us=10_000_000)
    assert blocks[:, 3].tolist() == [247, 252, 103]  # 100 - 41 - 42 = 17 frames, and the end
    (session,) = read_back(tmp_path, blocks).sessions
    assert (session.read_frames() == frames).all()
    one = read_back(tmp_path, blocks[1:2]).sessions[0].read_frames()
    assert (one == frames[41:83]).all()


@pytest.mark.parametrize("code", range(16))
def test_every_length_comes_back(tmp_path, code):
    frames = fd_frames(code, 0, code)
    (session,) = read_back(tmp_path, pack_session(frames, ALICE)).sessions
    assert (session.read_frames() == frames).all() and session.scan.n_unknown == 0


def test_a_head_without_its_records_is_no_frame(tmp_path):
    """The second of two frames of 12 bytes loses what follows it; one more record says dlc 12."""
    blocks = pack_session(fd_frames(9, 9), ALICE)
    first_more, second_more = RECORDS + 2 * 16, RECORDS + 4 * 16  # session, head, more, head, more
    assert [blocks[0, at + 3] >> 4 for at in (first_more, second_more)] == [10, 10]
    blocks[0, second_more + 3] = 12 << 4
    seal(blocks)
    (session,) = read_back(tmp_path, blocks).sessions
    assert session.read_frames()["t_us"].tolist() == [5_000]
    assert session.n_frames == 1 and session.scan.n_unknown == 2


def test_such_records_in_a_block_of_version_1_are_unknown(tmp_path):
    blocks = pack_session(fd_frames(9), ALICE)
    blocks[:, 2] = 1
    seal(blocks)
    (session,) = read_back(tmp_path, blocks).sessions
    assert len(session.read_frames()) == 0 and session.scan.n_unknown == 2


def test_the_length_in_a_head_is_believed_not_what_lies_beyond(tmp_path):
    """Bytes behind the end of the payload are 0 in the table, whatever the record has there."""
    blocks = pack_session(fd_frames(2), ALICE)
    blocks[0, RECORDS + 16 + 12 : RECORDS + 32] = 0xEE
    seal(blocks)
    (frame,) = read_back(tmp_path, blocks).sessions[0].read_frames()
    assert bytes(frame["data"]) == bytes([1, 2]).ljust(64, b"\0")
