"""The archive holds what was fetched, verbatim and checked, whatever happens meanwhile."""

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slog.layout import BLOCK_BYTES, HEADER_BYTES
from stagelog.accounts import judge_log
from stagelog.archive import (
    Entry,
    PartFile,
    check_sha256,
    find_session,
    find_sessions,
    hive_value,
    load_manifest,
    stage_folder,
    store_session,
    superseded,
)
from stagelog.archive.manifest import put_entry
from stagelog.blocks import Identity, pack_session, read_log, seal
from stagelog.card import prepare_raw, read_card
from stagelog.errors import DeviceError, InputError, OutputError
from stagelog.model import FRAME
from stagelog.platform.names import safe_name
from stagelog.replies import ListedSession

ALICE = Identity("e66038b7130f2e29", 12, 0x9F3C2A11)
BOB = Identity("e66038b7130f2e29", 13, 0x77)
FIRST, END = 4, 60


def card_blocks(n_frames=5000, identity=ALICE, first_seq=100, position=50):
    """Return {position: bytes} of a session that goes round the end of the ring."""
    frames = np.zeros(n_frames, FRAME)
    frames["t_us"] = np.arange(n_frames) * 500
    frames["can_id"] = np.arange(n_frames) % 2048
    blocks = pack_session(frames, identity, first_seq=first_seq)
    found = {}
    for i, block in enumerate(blocks):
        at = FIRST + (position - FIRST + i) % (END - FIRST)
        block[24:28] = np.frombuffer(at.to_bytes(4, "little"), np.uint8)
        seal(block[None])
        found[at] = block.tobytes()
    return found


def listed(blocks, identity=ALICE, first_seq=100, n_blocks=None, running=False):
    return ListedSession(
        device_id=bytes.fromhex(identity.device_id),
        boot=identity.boot,
        nonce=identity.nonce,
        first_seq=first_seq,
        position=next(iter(blocks)),
        n_blocks=n_blocks or len(blocks),
        data_first=FIRST,
        data_end=END,
        running=running,
    )


def fetch(folder, blocks, session=None, most=None):
    """Fetch like a downloader; stop after `most` blocks without a finish."""
    with PartFile.open(folder, session or listed(blocks)) as part:
        for n, position in enumerate(part.missing()):
            if n == most:
                return part
            part.put(position, blocks[position])
        part.finish({"car": "C03"})
        return part


def test_a_fetched_session_is_verbatim_and_entered(tmp_path):
    folder = stage_folder(tmp_path, "DAKAR26", "03", "SS 03/a")
    assert folder.relative_to(tmp_path).as_posix() == "event=DAKAR26/car=C03/stage=SS_03_a"
    blocks = card_blocks()
    part = fetch(folder, blocks)
    content = part.path.read_bytes()
    assert content == b"".join(blocks.values())
    assert sorted(path.name for path in folder.iterdir()) == [part.path.name, "manifest.json"]
    (entry,) = load_manifest(folder)
    assert entry.values["sha256"] == hashlib.sha256(content).hexdigest()
    heads = b"".join(block[:HEADER_BYTES] for block in blocks.values())
    assert entry.values["erase_digest"] == hashlib.sha256(heads).hexdigest()
    assert entry.values["complete"] and entry.values["n_frames"] == 5000
    assert entry.values["ledger"]["buses"][0]["n_held"] == 5000
    assert find_session(tmp_path, ALICE.device_id, ALICE.boot, ALICE.nonce).path == part.path
    assert find_session(tmp_path, ALICE.device_id, 1, ALICE.nonce) is None
    assert PartFile.open(folder, listed(blocks)).is_finished
    assert not check_sha256(find_sessions(tmp_path))


def test_blocks_are_flushed_to_the_disk_on_the_way(tmp_path, monkeypatch):
    """One flush for each 8 blocks: 2 for the first 17 of them, before the part is closed."""
    monkeypatch.setattr("stagelog.archive.part.SYNC_EVERY", 8)
    flushed = []
    blocks = card_blocks()
    with PartFile.open(tmp_path, listed(blocks)) as part:
        monkeypatch.setattr(
            "stagelog.archive.part.os.fsync", lambda file: flushed.append(part.n_held)
        )
        for position in part.missing()[:17]:
            part.put(position, blocks[position])
        assert flushed == [8, 16]


def test_a_fetch_goes_on_where_it_stopped(tmp_path):
    blocks = card_blocks()
    fetch(tmp_path, blocks, most=7)
    part = PartFile.open(tmp_path, listed(blocks))
    assert part.missing() == list(blocks)[7:]
    assert not part.path.exists() and not load_manifest(tmp_path)
    part.close()
    assert fetch(tmp_path, blocks).path.read_bytes() == b"".join(blocks.values())


def test_torn_blocks_of_an_earlier_run_are_fetched_again(tmp_path):
    blocks = card_blocks()
    fetch(tmp_path, blocks, most=9)
    (path,) = tmp_path.glob("*.part")
    content = bytearray(path.read_bytes())
    content[3 * BLOCK_BYTES + 100] ^= 1
    content[5 * BLOCK_BYTES : 6 * BLOCK_BYTES] = bytes(BLOCK_BYTES)
    path.write_bytes(content[:-1000])
    part = PartFile.open(tmp_path, listed(blocks))
    assert [list(blocks).index(position) for position in part.missing()] == [
        3,
        5,
        *range(8, len(blocks)),
    ]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("torn", [False, True])
def test_a_fetch_that_is_killed_at_any_call_goes_on(tmp_path, monkeypatch, torn):
    """Kill before, or half-way through, the n-th call that changes the disk, for every n."""
    blocks = card_blocks(1500)
    real = {name: getattr(os, name) for name in ("pwrite", "fsync", "replace", "open")}
    count = {"left": 0}

    def killing(name):
        def call(*args, **options):
            count["left"] -= 1
            if count["left"] == 0:
                if torn and name == "pwrite":
                    real[name](args[0], args[1][: len(args[1]) // 2], args[2])
                raise Killed
            return real[name](*args, **options)

        return call

    for name in real:
        monkeypatch.setattr(os, name, killing(name))
    n_kills = 0
    for n in range(1, 200):
        folder = tmp_path / f"{n}"
        try:
            count["left"] = n
            fetch(folder, blocks)
        except Killed:
            n_kills += 1
        else:
            break
        count["left"] = -1
        part = fetch(folder, blocks)
        assert part.path.read_bytes() == b"".join(blocks.values())
        assert load_manifest(folder)[0].values["complete"]
        assert not list(folder.glob("*.part*"))
    assert n_kills > 15


def test_a_session_that_grew_is_completed(tmp_path):
    blocks = card_blocks()
    early = dict(list(blocks.items())[:6])
    fetch(tmp_path, early, listed(early, running=True))
    (entry,) = load_manifest(tmp_path)
    assert not entry.values["complete"] and entry.values["n_blocks"] == 6
    part = PartFile.open(tmp_path, listed(blocks))
    assert part.missing() == list(blocks)[6:]
    part.close()
    assert fetch(tmp_path, blocks).path.read_bytes() == b"".join(blocks.values())
    (entry,) = load_manifest(tmp_path)
    assert entry.values["complete"]


def test_a_place_given_up_by_the_logger_is_kept_as_it_is(tmp_path):
    blocks = card_blocks()
    gone = list(blocks)[4]
    blocks[gone] = b"\x5a" * BLOCK_BYTES
    part = fetch(tmp_path, blocks)
    assert part.n_bad == 1
    assert part.path.read_bytes() == b"".join(blocks.values())
    (entry,) = load_manifest(tmp_path)
    assert entry.values["n_damaged"] == 1 and not entry.values["complete"]
    assert PartFile.open(tmp_path, listed(blocks)).is_finished
    with PartFile.open(tmp_path, listed(blocks), again=True) as part:
        assert part.missing() == [gone]


def test_a_session_overwritten_meanwhile_is_refused(tmp_path):
    blocks = card_blocks()
    newer = card_blocks(identity=BOB, first_seq=400)
    with PartFile.open(tmp_path, listed(blocks)) as part:
        positions = part.missing()
        part.put(positions[0], blocks[positions[0]])
        with pytest.raises(DeviceError, match="overwritten"):
            part.put(positions[1], newer[positions[1]])
        with pytest.raises(OutputError, match="blocks missing"):
            part.finish()
    assert not list(tmp_path.glob("*.slog"))


def test_an_older_block_in_the_place_does_not_count_as_ours(tmp_path):
    blocks = card_blocks()
    stale = card_blocks(identity=BOB, first_seq=20)
    with PartFile.open(tmp_path, listed(blocks)) as part:
        position = part.missing()[2]
        assert not part.put(position, stale[position])
        assert part.put(part.missing()[0], blocks[part.missing()[0]])
        swapped = part.missing()[:2]
        assert not part.put(swapped[0], blocks[swapped[1]])


def test_one_session_on_two_cards_gives_two_files(tmp_path):
    first = card_blocks()
    second = card_blocks(first_seq=900, position=20)
    fetch(tmp_path, first)
    fetch(tmp_path, second, listed(second, first_seq=900))
    names = sorted(entry.values["file"] for entry in load_manifest(tmp_path))
    assert names == [f"{ALICE.name}-900.slog", f"{ALICE.name}.slog"]
    fetch(tmp_path / "x", first, most=3)
    part = fetch(tmp_path / "x", second, listed(second, first_seq=900), most=3)
    assert part.name == f"{ALICE.name}-900"


def test_two_processes_do_not_fetch_one_session_at_once(tmp_path):
    blocks = card_blocks()
    with (
        PartFile.open(tmp_path, listed(blocks)),
        pytest.raises(OutputError, match="another stagelog"),
    ):
        PartFile.open(tmp_path, listed(blocks))


def test_a_full_disk_is_reported_and_keeps_what_is_there(tmp_path, monkeypatch):
    blocks = card_blocks()

    class Full(io.FileIO):
        def write(self, content):
            if self.tell() >= 5 * BLOCK_BYTES:
                raise OSError(28, "No space left on device")
            return super().write(content[:1000])

    with monkeypatch.context() as patch:
        patch.setattr(io, "FileIO", Full)
        with pytest.raises(OutputError, match="No space left.*what is there is kept"):
            fetch(tmp_path, blocks)
    with PartFile.open(tmp_path, listed(blocks)) as part:
        assert part.n_held == 5


def test_changed_and_missing_files_are_found(tmp_path):
    part = fetch(tmp_path, card_blocks())
    content = bytearray(part.path.read_bytes())
    content[9] ^= 1
    part.path.write_bytes(content)
    assert "has changed" in check_sha256(find_sessions(tmp_path))[0][1]
    part.path.unlink()
    assert "is missing" in check_sha256(find_sessions(tmp_path))[0][1]


@pytest.mark.parametrize("n_from", [4, 55])
def test_a_card_in_the_laptop_gives_the_same_file_as_the_cable(tmp_path, n_from):
    blocks = card_blocks(position=n_from)
    del blocks[list(blocks)[5]]
    image = tmp_path / "raw.img"
    prepare_raw(image, END)
    with open(image, "r+b") as file:
        for position, block in blocks.items():
            file.seek(position * BLOCK_BYTES)
            file.write(block)
    log = read_card(image)
    assert log.extent["data_first"] == FIRST and log.extent["data_end"] == END
    entry = store_session(log, log.sessions[0], tmp_path / "a", {"car": "C03"})
    content = entry.path.read_bytes()
    assert content[: 5 * BLOCK_BYTES] == b"".join(list(blocks.values())[:5])
    assert content[5 * BLOCK_BYTES : 6 * BLOCK_BYTES] == bytes(BLOCK_BYTES)
    assert read_log(entry.path).sessions[0].n_blocks == len(blocks)
    assert entry.values["source"] == "raw.img" and entry.values["n_damaged"] == 1


def test_a_session_file_can_be_taken_into_the_archive(tmp_path):
    blocks = card_blocks()
    path = tmp_path / "mail attachment.slog"
    path.write_bytes(b"".join(blocks.values()))
    log = read_log(path)
    entry = store_session(log, log.sessions[0], tmp_path / "a")
    assert entry.path.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("last", "n_places"), [(2, 3), (4, 5), (5, 6), (9, 10)])
def test_a_file_of_five_blocks_has_no_session_of_six_places(tmp_path, last, n_places):
    """Three blocks of Alice, the third written for the place `last` behind the first, and two of
    another session: places of hers that are not in the file are filled with zeros, up to the
    number of blocks that the file has.
    """
    alice = list(card_blocks(n_frames=700).values())
    assert len(alice) == 3
    third = np.frombuffer(alice[2], np.uint8).copy()
    third[24:28] = np.frombuffer((50 + last).to_bytes(4, "little"), np.uint8)
    seal(third[None])
    alice[2] = third.tobytes()
    strange = Identity("00" * 7 + "01", 1, 1)
    others = list(card_blocks(300, strange, 900, 90).values())
    path = tmp_path / "x.slog"
    path.write_bytes(b"".join([*alice, *others]))
    log = read_log(path)
    session = next(each for each in log.sessions if each.identity == ALICE)
    if n_places <= 5:
        entry = store_session(log, session, tmp_path / "a")
        assert entry.path.stat().st_size == n_places * BLOCK_BYTES
    else:
        text = f"lie on {n_places} places, in a file of 5"
        with pytest.raises(InputError, match=text):
            store_session(log, session, tmp_path / "a")
        assert not list((tmp_path / "a").rglob("*.slog*"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "etc_passwd"),
        ("C:\\Windows", "C_Windows"),
        ("CON", "CON_"),
        ("nul.txt", "nul.txt_"),
        ("", "unknown"),
        ("...", "unknown"),
        ("a\0b", "a_b"),
        ("\u202egpj.exe", "gpj.exe"),
        ("\u00c9tape 1", "Etape_1"),
        ("x" * 300, "x" * 64),
        ("-rf", "rf"),
    ],
)
def test_names_are_made_safe(text, name):
    assert safe_name(text) == name


@given(st.text(max_size=80))
def test_any_text_gives_a_safe_name(text):
    name = safe_name(text)
    assert 1 <= len(name) <= 64 and safe_name(name) == name
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert not name.startswith(".") and not name[0] == "-"
    value = hive_value("car", text)
    assert not value[0].isdigit() and len(value) <= 64


@pytest.mark.parametrize(
    ("text", "value"),
    [("03", "C03"), ("2026-01-17", "C2026-01-17"), ("nan", "Cnan"), ("X9", "X9")],
)
def test_values_of_folders_do_not_look_like_numbers(text, value):
    assert hive_value("car", text) == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b'{"schema": "stagelog.manifest/9", "sessions": []}',
        b'{"schema": "stagelog.manifest/1"}',
        b'{"schema": "stagelog.manifest/1", "sessions": [1]}',
        b'{"schema": "stagelog.manifest/1", "sessions": [{}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_manifest_that_is_none_gives_one_clear_line(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../x.slog", "a/b.slog", "/x.slog", "CON", "x.txt", ".slog"])
def test_a_manifest_does_not_lead_out_of_its_folder(tmp_path, name):
    fetch(tmp_path, card_blocks())
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_bytes())
    content["sessions"][0]["file"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no name of a session file"):
        load_manifest(tmp_path)


def entry_with(tmp_path, n_blocks, first_seq=100, n_damaged=0, stage="S1"):
    values = {"device_id": "ab" * 8, "boot": 1, "nonce": 7, "first_seq": first_seq}
    values |= {"n_blocks": n_blocks, "n_damaged": n_damaged, "file": "x.slog"}
    return Entry(tmp_path / stage, values | {"last_seq": first_seq + n_blocks - 1})


def test_of_copies_of_a_session_the_one_with_the_most_blocks_counts(tmp_path):
    whole = entry_with(tmp_path, 50)
    part = entry_with(tmp_path, 20, stage="S2")
    holed = entry_with(tmp_path, 52, n_damaged=3, stage="S3")
    other_card = entry_with(tmp_path, 20, first_seq=150, stage="S4")
    assert superseded([part, whole]) == superseded([whole, part]) == [part]
    assert superseded([holed, whole]) == [holed]  # 49 good blocks
    assert superseded([whole, other_card]) == []  # numbers 100 to 149, and 150 to 169
    assert superseded([whole, entry_with(tmp_path, 20, first_seq=149, stage="S5")]) != []


@pytest.mark.parametrize("longest", ["S1", "S2"])
def test_the_longest_copy_of_a_session_is_the_one_that_is_found(tmp_path, longest):
    """Of copies with 20 and 50 blocks that with 50, whichever folder comes first."""
    for stage in ("S1", "S2"):
        entry = entry_with(tmp_path, 50 if stage == longest else 20, stage=stage)
        entry.folder.mkdir()
        values = {"file": "x.slog", "sha256": "0" * 64, "n_bytes": 1, "complete": True}
        put_entry(entry.folder, entry.values | values)
    assert find_session(tmp_path, "ab" * 8, 1, 7).folder.name == longest
    assert find_session(tmp_path, "ab" * 8, 1, 7, 101) is None


@pytest.mark.parametrize("value", [None, "7", [], {}, 1e400, True])
def test_values_of_a_manifest_that_make_no_sense_are_left_aside(tmp_path, value):
    """Fields that no check of the manifest covers: they witness nothing and break nothing."""
    part = fetch(tmp_path, card_blocks())
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_bytes())
    ledger = {"buses": [{"bus": 0, "n_stored": value}, {"bus": value}, value]}
    content["sessions"][0] |= {"last_seq": value, "n_damaged": value, "mtime_ns": value}
    content["sessions"][0]["ledger"] = ledger
    path.write_text(json.dumps(content))
    entries = find_sessions(tmp_path)
    assert superseded(entries * 2) == entries and entries[0].is_unchanged()
    assert judge_log(part.path, entries[0]).verdict.complete
    os.truncate(part.path, 5 * BLOCK_BYTES)
    entries[0].values["last_seq"] = 100 + 9
    assert judge_log(part.path, entries[0]).verdict.text.startswith("INCOMPLETE: 5 blocks at the")


def test_a_file_that_appears_at_once_is_whole_on_the_disk_before_it_gets_its_name(
    tmp_path, monkeypatch
):
    """What a power cut behind the fsync leaves is what the file holds at that call."""
    from stagelog.platform.files import write_atomic

    on_disk, fsync = [], os.fsync

    def record(handle):
        if not os.path.isdir(f"/proc/self/fd/{handle}"):
            on_disk.append(Path(os.readlink(f"/proc/self/fd/{handle}")).read_bytes())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    write_atomic(tmp_path / "x.json", b"seven bytes more or less")
    assert on_disk == [b"seven bytes more or less"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
