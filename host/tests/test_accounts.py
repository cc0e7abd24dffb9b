"""Whole logs judged together: no block counts twice, none is forgotten, every loss is named.

Drives of `cut_drives`: the first block holds 250 frames, each further one 252.
"""

import numpy as np
import pytest
from cut_drives import ALICE, BOB, drive_blocks, says, write

from slog.layout import BLOCK_BYTES, HEADER_BYTES
from stagelog.accounts import judge_logs
from stagelog.blocks import Identity, read_log, seal
from stagelog.card import prepare_raw, read_card


def put(image, place, block):
    """Write one block onto a raw card image, as it is."""
    with open(image, "r+b") as file:
        file.seek(place * BLOCK_BYTES)
        file.write(block.tobytes())


def placed(block, place):
    """Return a block that was written for a place of a card."""
    block = block.copy()
    block[24:28] = np.frombuffer(place.to_bytes(4, "little"), np.uint8)
    seal(block[None])
    return block


def test_of_several_copies_every_block_counts_once(tmp_path):
    """B has the most blocks and counts first; of A only block 3 is new; C's blocks 3 and 8 lie in
    A and B. D has a block 2 with another content: nobody knows which is right, so both count.
    """
    blocks = drive_blocks(2600)
    other = blocks[2:3].copy()
    other[0, HEADER_BYTES + 8] ^= 1
    seal(other)
    numbers = {"a": range(6), "b": (0, 1, 2, 4, 5, 6, 7, 8, 9), "c": (3, 8)}
    paths = [write(tmp_path / f"{name}.slog", blocks[list(k)]) for name, k in numbers.items()]
    paths.append(write(tmp_path / "d.slog", other))
    judged = judge_logs([(path, None) for path in paths])
    assert [log.path for log in judged] == paths
    held = [sum(each.session.n_frames for each in log.accounts) for log in judged]
    assert held == [252, 250 + 8 * 252, 0, 252]
    assert [len(log.copies) for log in judged] == [0, 0, 1, 0]
    text = f"superseded: every block of session {ALICE.name} lies in {paths[1]} or {paths[0]} too"
    assert judged[2].copies[0].text == f"{text}, and counts there"


def test_a_copy_names_only_the_files_that_its_blocks_count_in(tmp_path):
    """Blocks 3 and 4 lie in the longest of three files, block 9 only in the second."""
    blocks = drive_blocks(2600)
    numbers = {"a": range(9), "b": (8, 9), "c": (3, 4), "d": (9,)}
    paths = [write(tmp_path / f"{name}.slog", blocks[list(k)]) for name, k in numbers.items()]
    copies = [log.copies for log in judge_logs([(path, None) for path in paths])]
    assert [len(found) for found in copies] == [0, 0, 1, 1]
    assert f"lies in {paths[0]} too" in copies[2][0].text
    assert f"lies in {paths[1]} too" in copies[3][0].text


def test_a_second_session_of_a_file_stays_when_the_first_counts_elsewhere(tmp_path):
    """X holds Alice and Bob, Y Alice alone, by one block longer."""
    alice, bob = drive_blocks(2600), drive_blocks(1000, BOB, first_seq=12)
    both = write(tmp_path / "x.slog", np.concatenate([alice[:10], bob]))
    longer = write(tmp_path / "y.slog", alice)
    judged = judge_logs([(both, None), (longer, None)])
    names = [[each.session.identity for each in log.accounts] for log in judged]
    assert names == [[BOB], [ALICE]]
    assert [log.accounts[0].session.n_frames for log in judged] == [1000, 2600]


@pytest.mark.parametrize("n_cut", [0, 1, 2])
def test_an_image_that_lacks_the_last_places_is_an_open_end(run, tmp_path, n_cut):
    """A whole session lies on the card; what lay on its last places, nobody knows."""
    image = tmp_path / "card.img"
    prepare_raw(image, 200)
    for k, block in enumerate(drive_blocks(2600)):
        put(image, 4 + k, placed(block, 4 + k))
    with open(image, "r+b") as file:
        file.truncate((200 - n_cut) * BLOCK_BYTES)
    code, out, _ = run("verify", image)
    assert code == bool(n_cut)
    assert (f"is cut off: {n_cut} places" in out) == bool(n_cut)
    assert any(text.startswith("open end") for text in says(out)) == bool(n_cut)


def test_headers_far_behind_the_last_block_count_what_is_missing(run, tmp_path):
    """Of 150 blocks 7 are good, 100 are zeros, and of the last 43 the headers can be read."""
    image = tmp_path / "card.img"
    prepare_raw(image, 300)
    for k, block in enumerate(drive_blocks(60_000)[:150]):
        block = placed(block, 4 + k)
        if k >= 107:
            block[HEADER_BYTES + 5] ^= 1
        if k < 7 or k >= 107:
            put(image, 4 + k, block)
    code, out, _ = run("verify", image)
    assert code == 1 and says(out)[0] == "INCOMPLETE: 143 blocks at the end missing"


@pytest.mark.parametrize("gone", [0, 3, 4, 5])
def test_a_block_lost_where_the_ring_begins_anew_is_named(tmp_path, gone):
    """A ring of the places 4 to 63; ten blocks lie on 60 to 63 and 4 to 9."""
    image = tmp_path / "card.img"
    prepare_raw(image, 64)
    places = [60, 61, 62, 63, 4, 5, 6, 7, 8, 9]
    for k, block in enumerate(drive_blocks(2500)[:10]):
        if k != gone:
            put(image, places[k], placed(block, places[k]))
    log = read_card(image)
    assert log.sessions[0].n_blocks == 9
    expected = [places[gone]] if gone else []  # nothing shows that one lay before the first
    assert [bad.position for bad in log.damaged] == expected


def test_two_sessions_of_the_same_numbers_are_no_doubles(tmp_path):
    """Cards that were exchanged, files put together: both have the numbers 1 to 11."""
    path = write(
        tmp_path / "x.slog", np.concatenate([drive_blocks(2600), drive_blocks(2600, BOB)])
    )
    log = read_log(path)
    assert {session.identity: session.n_frames for session in log.sessions} == {
        ALICE: 2600,
        BOB: 2600,
    }
    assert not log.damaged
    assert "duplicate" not in {remark.kind for remark in log.diagnostics}


def test_of_two_copies_on_a_card_the_one_at_its_place_counts(tmp_path):
    """Block 3 of ten lies at its place 6 and, as a card with worn cells shows it, at 40, too."""
    image = tmp_path / "card.img"
    prepare_raw(image, 64)
    blocks = [placed(block, 4 + k) for k, block in enumerate(drive_blocks(2500)[:10])]
    for k, block in enumerate(blocks):
        put(image, 4 + k, block)
    put(image, 40, blocks[2])
    log = read_card(image)
    assert log.sessions[0].rows.tolist() == list(range(4, 14)) and not log.damaged
    assert {remark.kind for remark in log.diagnostics} == {"duplicate", "misplaced"}


@pytest.mark.parametrize(("first_seq", "n_sessions"), [(20, 1), (900, 2)])
def test_a_block_amid_a_session_file_is_left_over_only_if_it_is_older(
    tmp_path, first_seq, n_sessions
):
    """Alice has the numbers 100 to 110; her place 5 holds a block of boot 3."""
    blocks = drive_blocks(2600, first_seq=100)
    strange = Identity(ALICE.device_id, 3, 9)
    blocks[5] = placed(drive_blocks(100, strange, first_seq=first_seq)[0], 5)
    log = read_log(write(tmp_path / "x.slog", blocks))
    assert len(log.sessions) == n_sessions
    (alice,) = [session for session in log.sessions if session.identity == ALICE]
    assert alice.n_frames == 2600 - 252
