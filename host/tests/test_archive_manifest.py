"""The manifest: entries that overlap, files that changed, digests, and what is refused."""

import hashlib
import json
import os

import numpy as np
import pytest

from stagelog.archive import (
    Entry,
    find_session,
    find_unlisted,
    load_manifest,
    superseded,
)
from stagelog.archive.manifest import MANIFEST, SCHEMA, put_entry, sha256_of
from stagelog.archive.part import PartFile
from stagelog.blocks import Identity, pack_session, seal
from stagelog.errors import DeviceError, InputError, OutputError
from stagelog.model import FRAME
from stagelog.platform.names import safe_name
from stagelog.replies import ListedSession


def values(name="a", boot=1, first_seq=100, n_blocks=10, **more):
    return {
        "file": f"{name}.slog",
        "sha256": hashlib.sha256(b"content").hexdigest(),
        "n_bytes": 7,
        "device_id": "ab" * 8,
        "boot": boot,
        "nonce": 7,
        "first_seq": first_seq,
        "n_blocks": n_blocks,
        "complete": True,
        **more,
    }


def entry(folder="x", **given):
    from pathlib import Path

    return Entry(Path(folder), values(**given))


@pytest.mark.parametrize("n_bytes", [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 17])
def test_the_digest_is_that_of_the_whole_file(tmp_path, n_bytes):
    content = bytes(range(251)) * (n_bytes // 251 + 1)
    (tmp_path / "x").write_bytes(content[:n_bytes])
    assert sha256_of(tmp_path / "x") == hashlib.sha256(content[:n_bytes]).hexdigest()


@pytest.mark.parametrize(
    ("first_seq", "n_blocks", "more", "overlap"),
    [
        (110, 5, {}, False),  # 100 to 109 and 110 to 114
        (109, 5, {}, True),
        (95, 5, {}, False),
        (95, 6, {}, True),
        (95, 99, {}, True),
        (103, 2, {}, True),
        (95, 99, {"last_seq": 99}, False),  # damaged at its end: the numbers say more
        (95, 1, {"last_seq": 100}, True),
        (95, 6, {"last_seq": True}, True),  # no number: by the length
    ],
)
def test_two_entries_overlap_where_they_name_one_number(first_seq, n_blocks, more, overlap):
    other = entry(first_seq=first_seq, n_blocks=n_blocks, **more)
    assert entry().overlaps(other) == overlap == other.overlaps(entry())


def test_a_copy_with_less_of_a_session_is_superseded():
    """20 blocks of which 12 are damaged are less than 10; another part or boot is no copy."""
    whole, damaged = entry(name="a"), entry(name="b", n_blocks=20, n_damaged=12)
    later, other = entry(name="c", first_seq=120), entry(name="d", boot=2)
    assert superseded([damaged, whole, later, other]) == [damaged]
    assert superseded([entry(name="e", n_blocks=11), whole]) == [whole]
    assert superseded([whole, later, other]) == []


def test_a_file_is_unchanged_by_its_size_its_time_and_its_digest(tmp_path):
    path = tmp_path / "a.slog"
    path.write_bytes(b"content")
    known = {"mtime_ns": path.stat().st_mtime_ns}
    assert entry(tmp_path).is_unchanged() and entry(tmp_path, **known).is_unchanged()
    path.write_bytes(b"changed")
    os.utime(path, ns=(known["mtime_ns"], known["mtime_ns"]))
    assert entry(tmp_path, **known).is_unchanged()  # nobody wrote it since: not read
    assert not entry(tmp_path, **known).is_unchanged(always=True)
    assert not entry(tmp_path).is_unchanged()
    for content in (b"content!", b"conten"):
        path.write_bytes(content)
        assert not entry(tmp_path, mtime_ns=path.stat().st_mtime_ns).is_unchanged()
    path.unlink()
    assert not entry(tmp_path).is_unchanged()


def test_entries_are_replaced_by_their_file_and_kept_in_order(tmp_path):
    for given in (values("b", first_seq=50), values("a", first_seq=90), values("c", first_seq=50)):
        put_entry(tmp_path, given)
    put_entry(tmp_path, values("a", first_seq=10, n_blocks=99))
    found = [(e.values["file"], e.values["n_blocks"]) for e in load_manifest(tmp_path)]
    assert found == [("a.slog", 99), ("b.slog", 10), ("c.slog", 10)]
    assert json.loads((tmp_path / MANIFEST).read_text())["schema"] == SCHEMA
    for name in ("a", "b", "z"):
        (tmp_path / f"{name}.slog").write_bytes(b"")
    assert find_unlisted(tmp_path, load_manifest(tmp_path)) == [tmp_path / "z.slog"]


def test_the_longest_of_a_session_is_found(tmp_path):
    for folder, n_blocks in (("one", 10), ("two", 30), ("three", 20)):
        (tmp_path / folder).mkdir()
        put_entry(tmp_path / folder, values(n_blocks=n_blocks))
    who = ("ab" * 8, 1, 7)
    assert find_session(tmp_path, *who).folder == tmp_path / "two"
    assert find_session(tmp_path, *who, 100).values["n_blocks"] == 30
    assert find_session(tmp_path, *who, 101) is None
    assert find_session(tmp_path, "ab" * 8, 2, 7) is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"n_bytes": True}, "'n_bytes' of a session is not int"),
        ({"complete": 1}, "'complete' of a session is not bool"),
        ({"boot": "1"}, "'boot' of a session is not int"),
        ({"sha256": None}, "'sha256' of a session is not str"),
        ({"file": "a.txt"}, "is no name of a session file"),
    ],
)
def test_an_entry_of_another_kind_is_refused(tmp_path, more, says):
    content = {"schema": SCHEMA, "sessions": [values(), values("b") | more]}
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(InputError, match=says):
        load_manifest(tmp_path)


def listed(**more):
    given = {"device_id": b"\xab" * 8, "boot": 1, "nonce": 7, "first_seq": 100, "running": False}
    given |= {"position": 4, "n_blocks": 3, "data_first": 4, "data_end": 10}
    return ListedSession(**given | more)


def test_a_part_that_ends_within_a_block_goes_on_there(tmp_path):
    with PartFile.open(tmp_path, listed()) as part:
        name = part.name
    (tmp_path / f"{name}.part").write_bytes(bytes(4096 + 100))
    with PartFile.open(tmp_path, listed()) as part:
        assert part.missing() == [4, 5, 6] and part.n_held == 0


@pytest.mark.parametrize(
    "more",
    [
        {"position": 3},
        {"position": 10},
        {"n_blocks": 0},
        {"n_blocks": 7},
        {"data_end": 4},
        {"data_end": (1 << 22) + 5, "n_blocks": 1},
    ],
)
def test_a_session_that_no_card_can_hold_is_refused(tmp_path, more):
    with pytest.raises(DeviceError, match="cannot be"):
        PartFile.open(tmp_path, listed(**more))
    with PartFile.open(tmp_path, listed(n_blocks=6, position=9)) as part:
        assert part.missing() == [9, 4, 5, 6, 7, 8]


def three_blocks():
    """Return the blocks of the session that `listed` names, at places 4 to 6."""
    frames = np.zeros(600, FRAME)
    frames["t_us"] = np.arange(600) * 500
    blocks = pack_session(frames, Identity("ab" * 8, 1, 7), first_seq=100)
    assert len(blocks) == 3
    blocks[:, 24:28] = (4 + np.arange(3, dtype="<u4")).view("u1").reshape(3, 4)
    seal(blocks)
    return [block.tobytes() for block in blocks]


def test_a_place_that_was_bad_may_become_good(tmp_path):
    blocks = three_blocks()
    with PartFile.open(tmp_path, listed()) as part:
        assert not part.put(5, bytes(4096))
        assert (part.n_bad, part.n_held, part.missing()) == (1, 0, [4, 6])
        assert part.put(5, blocks[1]) and part.put(4, blocks[0])
        assert (part.n_bad, part.n_held, part.missing()) == (0, 2, [6])
        for place, block in ((7, blocks[0]), (5, blocks[1][:-1])):
            with pytest.raises(ValueError):
                part.put(place, block)
        with pytest.raises(OutputError, match="1 of 3 blocks missing"):
            part.finish()


def test_a_session_of_which_no_block_can_be_read_is_not_finished(tmp_path):
    with PartFile.open(tmp_path, listed()) as part:
        for place in (4, 5, 6):
            part.put(place, bytes(4096))
        assert part.missing() == []
        with pytest.raises(OutputError, match="3 of 3 blocks missing"):
            part.finish()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a" * 63 + ".b", "a" * 63),
        ("com9", "com9_"),
        ("LPT0.txt", "LPT0.txt_"),
        ("com10", "com10"),
        ("nul.tar.gz", "nul.tar.gz_"),
    ],
)
def test_names_that_windows_reserves_or_cuts(text, name):
    assert safe_name(text) == name
