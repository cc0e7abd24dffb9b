"""COMPLETE needs a witness of the end: what `verify` says of a session on a card by what lies
behind its last block.

The drives are those of `cut_drives`.
"""

import json
import zlib

import numpy as np
import pytest
from cut_drives import ALICE, BOB, drive_blocks, says

from slog.layout import BLOCK_BYTES, RELEASE, RELEASE_MAGIC, pack
from stagelog.blocks import Identity, seal
from stagelog.card import prepare, prepare_raw, read_card


def lay(image, first, blocks):
    """Write blocks onto a card image, from place `first` of its extent on."""
    log = read_card(image)
    blocks = blocks.copy()
    places = first + np.arange(len(blocks), dtype="<u4")
    blocks[:, 24:28] = places.view("u1").reshape(-1, 4)
    seal(blocks)
    with open(image, "r+b") as file:
        file.seek(log.extent["lba"] * 512 + first * BLOCK_BYTES)
        file.write(blocks.tobytes())


@pytest.fixture
def card(tmp_path):
    """A card of 200 places whose ring starts at place 4."""
    path = tmp_path / "card.img"
    prepare_raw(path, 200)
    return path


def test_the_next_session_on_the_card_is_a_witness(run, card):
    """Ten blocks of Alice without her last one, then Bob with the number behind it."""
    blocks = drive_blocks(2600)
    lay(card, 4, blocks[:-1])
    lay(card, 4 + len(blocks) - 1, drive_blocks(1000, BOB, first_seq=len(blocks)))
    code, out, _ = run("verify", card)
    assert code == 0 and says(out)[0].startswith("COMPLETE up to power-off at 14:03:23.")


def test_numbers_missing_before_the_next_session_are_blocks_missing(run, card):
    """Alice has 11 blocks; her last 4 are zeros on the card, Bob begins with number 12."""
    blocks = drive_blocks(2600)
    assert len(blocks) == 11
    lay(card, 4, blocks[:7])
    lay(card, 4 + 11, drive_blocks(1000, BOB, first_seq=12))
    code, out, _ = run("verify", card)
    assert code == 1
    assert says(out)[0] == "INCOMPLETE: 4 blocks at the end missing"
    assert "4 blocks behind the last one, says the session that follows" in out


def test_space_behind_the_last_block_is_a_witness(run, card):
    lay(card, 4, drive_blocks(2600)[:7])
    code, out, _ = run("verify", card)
    assert code == 0 and says(out)[0].startswith("COMPLETE up to power-off")


def test_an_image_that_is_cut_off_is_never_complete(run, card):
    lay(card, 4, drive_blocks(20_000))
    with open(card, "r+b") as file:
        file.truncate(40 * BLOCK_BYTES)
    code, out, _ = run("verify", card)
    assert code == 1 and says(out)[0].startswith("open end: cannot know what is missing after 14:")
    assert "160 places of the card are not in it" in out


def test_the_image_of_a_prepared_card_cut_off_behind_a_session(run, tmp_path):
    """62 MB cut to what holds the session and no more: others may have followed."""
    image = tmp_path / "card.img"
    made = prepare(image, 62_000_000)
    first = read_card(image).extent["data_first"]
    blocks = drive_blocks(2600)
    lay(image, first, blocks)
    code, out, _ = run("verify", image)
    assert code == 0 and says(out) == ["COMPLETE: every frame that was seen is here"]
    with open(image, "r+b") as file:
        file.truncate(made.lba * 512 + (first + len(blocks)) * BLOCK_BYTES)
    code, out, _ = run("verify", image)
    assert code == 1 and says(out)[-1].startswith("open end: cannot know what is missing,")


def test_a_session_copied_from_a_card_is_complete_in_the_archive(run, card, tmp_path):
    lay(card, 4, drive_blocks(2600)[:7])
    code, _, _ = run("card", "read", card, "--archive", tmp_path / "a")
    assert code in (0, None)
    code, out, _ = run("verify", tmp_path / "a")
    assert code == 0 and says(out)[0].startswith("COMPLETE up to power-off")


@pytest.mark.parametrize(("n_between", "code"), [(0, 0), (1, 0), (2, 1)])
def test_one_number_may_be_missing_before_the_next_session(run, card, n_between, code):
    """Alice's numbers end with 7; the block that was being written may have had number 8."""
    lay(card, 4, drive_blocks(2600)[:7])
    lay(card, 4 + 7 + n_between, drive_blocks(1000, BOB, first_seq=8 + n_between))
    found, out, _ = run("verify", card)
    expected = "INCOMPLETE: 2 blocks at the end missing" if code else "COMPLETE up to power-off"
    assert found == code and says(out)[0].startswith(expected)


def test_behind_the_end_of_the_ring_comes_its_start(run, card):
    """The last block lies on the last of 200 places; place 4, the first of the ring, is empty."""
    lay(card, 193, drive_blocks(2600)[:7])
    code, out, _ = run("verify", card)
    assert code == 0 and says(out)[0].startswith("COMPLETE up to power-off")


def test_older_blocks_behind_the_last_one_are_a_witness(run, card):
    lay(card, 4, drive_blocks(2600, first_seq=500)[:7])
    lay(card, 11, drive_blocks(2600, BOB, first_seq=100))
    code, out, _ = run("verify", card)
    assert code == 0 and says(out)[1].startswith("COMPLETE up to power-off")


@pytest.mark.parametrize(("n_places", "word"), [(11, "open end"), (12, "COMPLETE up to")])
def test_the_place_behind_the_last_block_must_be_in_the_image(run, card, n_places, word):
    """The blocks lie on the places 4 to 10."""
    lay(card, 4, drive_blocks(2600)[:7])
    with open(card, "r+b") as file:
        file.truncate(n_places * BLOCK_BYTES)
    code, out, _ = run("verify", card, "--json")
    (log,) = json.loads(out)["logs"]
    assert code == 1 and log["verdict"]["kind"] == "open end"
    assert log["sessions"][0]["verdict"]["text"].startswith(word)


def test_a_next_session_without_its_start_counts_no_blocks(run, card):
    """Bob's first two blocks are gone: whose the two places behind Alice are, nobody knows."""
    lay(card, 4, drive_blocks(2600)[:7])
    lay(card, 4 + 7 + 2, drive_blocks(2600, BOB, first_seq=8)[2:])
    code, out, _ = run("verify", card)
    assert code == 1 and "2 damaged places behind the last block" in out
    assert says(out)[0] == "INCOMPLETE: frames may be missing, and nobody counted them"


def test_places_before_the_next_session_are_copied_with_the_session(run, card, tmp_path):
    """Alice's last 4 of 11 blocks are zeros on the card: the copy holds 11 places."""
    lay(card, 4, drive_blocks(2600)[:7])
    lay(card, 4 + 11, drive_blocks(1000, BOB, first_seq=12))
    run("card", "read", card, "--archive", tmp_path / "a")
    (path,) = (tmp_path / "a").rglob(f"{ALICE.name}.slog")
    assert path.stat().st_size == 11 * BLOCK_BYTES
    code, out, _ = run("verify", path)
    assert code == 1 and "4 damaged places behind the last block" in out


def spoil(image, places):
    """Change four bytes in each of these places of the extent; headers stay readable."""
    start = read_card(image).extent["lba"] * 512
    with open(image, "r+b") as file:
        for place in places:
            file.seek(start + place * BLOCK_BYTES + 70)
            file.write(b"XXXX")


@pytest.mark.parametrize(("n_damaged", "code"), [(0, 0), (1, 0), (2, 1), (5, 1)])
def test_more_than_one_damaged_block_at_the_end_is_no_power_cut(run, card, n_damaged, code):
    """9 blocks, their last `n_damaged` with a wrong CRC: a power cut damages one."""
    lay(card, 4, drive_blocks(2600)[:9])
    spoil(card, range(13 - n_damaged, 13))
    found, out, _ = run("verify", card)
    expected = f"INCOMPLETE: {n_damaged} blocks at the end missing"
    assert found == code
    assert says(out)[0].startswith(expected if code else "COMPLETE up to power-off")


CAROL = Identity(ALICE.device_id, ALICE.boot, 0x5EED)  # recorded after Alice in the same boot


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize(
    ("damaged", "n"),
    [(range(15, 20), 5), (range(15, 16), 0), (range(16, 18), 2), (range(19, 20), 1)],
)
def test_a_session_of_which_no_block_can_be_read_is_named(run, card, stopped, damaged, n):
    """Alice's 11 blocks on the places 4 to 14, Carol's five on 15 to 19. Headers can be read in
    `damaged`, the others are zeros. A power cut may damage one block, and the first block of a
    session alone may have been that one; a later one shows that the first is missing too.
    """
    lay(card, 4, drive_blocks(2600, stopped=stopped))
    carol = drive_blocks(1200, CAROL, first_seq=12)
    for place in damaged:
        lay(card, place, carol[place - 15 : place - 14])
    spoil(card, damaged)
    code, out, _ = run("verify", card)
    assert code == bool(n) and says(out)[0].startswith("COMPLETE")  # of Alice nothing is missing
    blocks = "block of it is" if n == 1 else "blocks of it are"
    text = f"INCOMPLETE: {card}: no block of session {CAROL.name} can be read, {n} {blocks} there"
    assert (text in out) == bool(n)
    assert (CAROL.name in run("info", card)[1]) == bool(n)


def test_a_card_of_which_no_block_can_be_read_is_not_empty(run, card):
    lay(card, 4, drive_blocks(2600))
    spoil(card, range(4, 15))
    code, out, _ = run("verify", card)
    assert code == 1 and "holds none" not in out
    assert f"no block of session {ALICE.name} can be read, 11 blocks of it are there" in out


def test_a_session_between_two_of_which_no_block_can_be_read_is_named(run, card):
    """Carol's five blocks lie between those of Alice, who was stopped, and of Bob."""
    lay(card, 4, drive_blocks(2600))
    lay(card, 15, drive_blocks(1200, CAROL, first_seq=12))
    lay(card, 20, drive_blocks(1000, BOB, first_seq=17))
    spoil(card, range(15, 20))
    code, out, _ = run("verify", card, "--json")
    (log,) = json.loads(out)["logs"]
    assert code == 1 and log["verdict"]["kind"] == "incomplete"
    (problem,) = log["problems"]
    assert f"no block of session {CAROL.name} can be read, 5 blocks of it are there" in problem


def test_headers_that_are_older_or_out_of_place_name_no_session(run, card):
    """Damaged blocks of Carol that are older than all that is kept, erased, of another logger, or
    at places that they were not written for, are not of a session that anybody expects here.
    """
    lay(card, 4, drive_blocks(2600, first_seq=100, stopped=False))
    lay(card, 30, drive_blocks(1200, CAROL, first_seq=40))
    other = Identity("0011223344556677", ALICE.boot, ALICE.nonce)
    lay(card, 60, drive_blocks(1200, other, first_seq=112))
    spoil(card, [*range(30, 35), *range(60, 65)])
    lay(card, 90, drive_blocks(1200, CAROL, first_seq=300))
    start = read_card(card).extent["lba"] * 512
    content = bytearray(card.read_bytes())
    moved = content[start + 90 * BLOCK_BYTES : start + 95 * BLOCK_BYTES]
    content[start + 90 * BLOCK_BYTES : start + 95 * BLOCK_BYTES] = bytes(len(moved))
    content[start + 120 * BLOCK_BYTES : start + 125 * BLOCK_BYTES] = moved
    card.write_bytes(content)
    spoil(card, range(120, 125))
    code, out, _ = run("verify", card)
    assert code == 0 and "can be read" not in out


@pytest.mark.parametrize(("n_free", "code"), [(0, 0), (1, 1), (2, 0), (50, 0)])
def test_a_full_card_is_no_witness_of_the_end(run, card, n_free, code):
    """A logger that may not overwrite keeps one of the 196 places of the ring free (SPEC 7): then
    what came later was dropped. With none free it overwrites, so the oldest block is no limit.
    """
    blocks = drive_blocks(60_000)[: 196 - n_free]
    lay(card, 4, blocks)
    found, out, _ = run("verify", card)
    assert found == code
    assert ("the card was full" in out) == bool(code)
    assert says(out)[0].startswith("open end" if code else "COMPLETE up to power-off")


def test_a_released_block_does_not_make_a_card_full(run, card):
    """Alice was erased: her places are free although Bob ends one place before them."""
    lay(card, 4, drive_blocks(60_000)[:20])
    lay(card, 24, drive_blocks(60_000, BOB, first_seq=21)[:175])
    assert run("verify", card)[0] == 1
    log = read_card(card)
    fields = {"extent_id": log.extent["extent_id"], "generation": 1}
    fields |= {"released_seq": 21, "position": 24, "magic": RELEASE_MAGIC, "crc": 0}
    packed = pack(RELEASE, fields)
    packed = packed[:-4] + zlib.crc32(packed[:-4]).to_bytes(4, "little")
    with open(card, "r+b") as file:
        file.seek(log.extent["lba"] * 512 + log.extent["release_b"] * BLOCK_BYTES)
        file.write(packed)
    found, out, _ = run("verify", card)
    assert found == 0 and says(out)[0].startswith("COMPLETE up to power-off")
