"""What the manifest says of a session file: times, counts and versions, worked out here."""

import hashlib

import numpy as np
import pytest

from slog.layout import BLOCK_BYTES, FLAG_LAST, HEADER_BYTES, META_SESSION, meta_table, pack
from stagelog.archive import store_session
from stagelog.archive.facts import complete_session
from stagelog.blocks import Identity, pack_session, read_log, seal
from stagelog.card import prepare_raw, read_card
from stagelog.model import FRAME
from stagelog.replies import ListedSession

ALICE = Identity("e66038b7130f2e29", 12, 0x9F3C2A11)
START_UNIX_US = 1_790_000_000_000_000


def blocks_of(n=120, identity=ALICE, first_seq=40, anchor_us=20_500):
    """Return blocks of one frame each, from 500 us on every 1,000 us, of firmware 1.20.3.

    A long session has an anchor, in the block of the frame of that moment.
    """
    frames = np.zeros(n, FRAME)
    frames["t_us"] = 500 + 1000 * np.arange(n)
    frames["dlc"] = frames["n_bytes"] = 8
    anchors = [(anchor_us, START_UNIX_US)] if n > 20 else []
    blocks = pack_session(frames, identity, anchors=anchors, first_seq=first_seq, flush_us=500)
    assert len(blocks) == n
    values = {"n_buses": 2, "firmware": 1 << 16 | 20 << 8 | 3}
    record = np.frombuffer(pack(meta_table(META_SESSION), values), np.uint8)
    blocks[0, HEADER_BYTES + 8 : HEADER_BYTES + 16] = record
    seal(blocks)
    return blocks


def entered(folder, blocks, more=None, **listed):
    """Write a session file and enter it as a download does; return the values of its entry."""
    path = folder / f"{ALICE.name}.slog"
    path.write_bytes(blocks.tobytes())
    session = ListedSession(
        device_id=bytes.fromhex(ALICE.device_id),
        boot=ALICE.boot,
        nonce=ALICE.nonce,
        first_seq=40,
        position=7,
        n_blocks=len(blocks),
        data_first=4,
        data_end=900,
        **{"running": False, **listed},
    )
    return complete_session(path, session, more).values


def test_times_counts_and_versions_of_an_entry(tmp_path):
    """The anchor says that 20,500 us is START: the first frame, 20,000 us before it, was 0.02 s
    before START. 105 of the blocks are damaged, the last one of them is the file's third last.
    """
    blocks = blocks_of()
    blocks[12 : 12 + 104, 70] ^= 1
    blocks[117, 70] ^= 1
    values = entered(tmp_path, blocks)
    assert values["t_first_us"] == 500 and values["t_last_us"] == 119_500
    assert values["t_first_unix_us"] is None  # its block is one of the damaged
    whole = entered(tmp_path, blocks_of())
    assert whole["t_first_unix_us"] == START_UNIX_US - 20_000
    assert (whole["n_frames"], whole["n_damaged"], whole["firmware"]) == (120, 0, "1.20.3")
    assert (values["n_damaged"], len(values["damaged"])) == (105, 100)
    assert values["n_frames"] == 120 - 105
    # 120 places from number 40 on; the file's last number is that of its last block, 159
    assert values["last_seq"] == whole["last_seq"] == 159
    assert (values["first_seq"], values["n_blocks"]) == (40, 120)
    heads = b"".join(block[:HEADER_BYTES].tobytes() for block in blocks)
    assert values["erase_digest"] == hashlib.sha256(heads).hexdigest()
    assert values["n_bytes"] == 120 * BLOCK_BYTES


@pytest.mark.parametrize(
    ("running", "more", "ended", "word"),
    [
        (False, None, True, "complete"),  # the logger lists it whole: it ended with the power
        (True, None, False, "open end"),
        (False, {"ended": False}, False, "open end"),
    ],
)
def test_a_session_ended_when_its_logger_says_so(tmp_path, running, more, ended, word):
    """Without an END record only the listing says whether more was to come."""
    blocks = blocks_of()[:-1]
    assert not blocks[-1, 6] & FLAG_LAST
    values = entered(tmp_path, blocks, more, running=running)
    assert (values["running"], values["ended"]) == (running, ended)
    assert values["verdict"]["kind"] == word


def test_what_is_copied_of_a_session_is_what_the_file_holds_of_it(tmp_path):
    """Two sessions in one file, the second with lower numbers of another boot: each is judged by
    its own blocks. The copy of one without an end says that its end is not known.
    """
    other = Identity(ALICE.device_id, 13, 5)
    path = tmp_path / "two.slog"
    first, second = blocks_of()[:-1], blocks_of(30, other, first_seq=400)
    path.write_bytes(first.tobytes() + second.tobytes())
    log = read_log(path)
    held = {s.identity: store_session(log, s, tmp_path / "a").values for s in log.sessions}
    assert {name: v["n_blocks"] for name, v in held.items()} == {ALICE: 119, other: 30}
    assert {name: v["n_frames"] for name, v in held.items()} == {ALICE: 119, other: 30}
    assert {name: v["ended"] for name, v in held.items()} == {ALICE: False, other: True}
    assert (tmp_path / "a" / f"{ALICE.name}.slog").read_bytes() == first.tobytes()


def test_blocks_of_an_earlier_session_before_those_of_the_file_change_nothing(tmp_path):
    """Three blocks of boot 11, numbered 1 to 3, lie before the 120 of the session."""
    earlier = blocks_of(3, Identity(ALICE.device_id, 11, 4), first_seq=1)
    values = entered(tmp_path, np.concatenate([earlier, blocks_of()]))
    assert (values["n_frames"], values["last_seq"]) == (120, 159)


def lay(image, first, blocks):
    """Write blocks onto a raw card image, from place `first` on."""
    blocks = blocks.copy()
    blocks[:, 24:28] = (first + np.arange(len(blocks), dtype="<u4")).view("u1").reshape(-1, 4)
    seal(blocks)
    with open(image, "r+b") as file:
        file.seek(first * BLOCK_BYTES)
        file.write(blocks.tobytes())


@pytest.mark.parametrize(("n_lost", "n_places"), [(0, 8), (1, 5)])
def test_a_copy_from_a_card_ends_where_the_next_session_begins(tmp_path, n_lost, n_places):
    """Five blocks at 4, three places of zeros, Bob at 12 with a high number of boot, Carol at 20
    with a low one: what lies before Bob is the first session's. Without Bob's first block nobody
    knows whose those places are; the copy ends with the last block, at 8.
    """
    image = tmp_path / "card.img"
    prepare_raw(image, 60)
    lay(image, 4, blocks_of(5))
    bob = blocks_of(8, Identity(ALICE.device_id, 50, 2), first_seq=48)
    lay(image, 12 + n_lost, bob[n_lost:])
    lay(image, 20, blocks_of(3, Identity(ALICE.device_id, 13, 3), first_seq=56))
    log = read_card(image)
    assert [session.boot for session in log.sessions] == [12, 50, 13]
    entry = store_session(log, log.sessions[0], tmp_path / "a")
    assert entry.values["n_blocks"] == n_places
    assert entry.path.stat().st_size == n_places * BLOCK_BYTES
