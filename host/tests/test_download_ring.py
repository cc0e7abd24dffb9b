"""A download across the ring's end, its progress, and what is on the disk in which order."""

import io
import os
from dataclasses import replace

import numpy as np
import pytest
from made_replies import reply

from slog import messages as m
from slog.layout import META_END
from stagelog.archive import PartFile, check_sha256, find_sessions, load_manifest
from stagelog.blocks import Identity, pack_session, read_log, seal
from stagelog.download import (
    FETCHED,
    HELD,
    SO_FAR,
    erase_held,
    facts_of,
    fetch_session,
    finish_running,
    is_held,
)
from stagelog.errors import DeviceError
from stagelog.ledger import account
from stagelog.link import positions_of
from stagelog.model import FRAME
from stagelog.replies import Hello, ListedSession, Status
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import SimTarget


@pytest.fixture
def target(tmp_path):
    """A logger whose ring has 60 places, 4 to 63: 252 frames in each."""
    rig = SimTarget(tmp_path, card_blocks=64)
    yield rig
    rig.close()


def stopped(target):
    """Close the session that is being recorded; return it as LIST names it."""
    finish_running(target.link, always=True)
    return target.link.list_sessions()[0]


def go_on(target):
    target.link.control(m.CONTROL_START, target.link.hello().boot)


def fetch(target, session, folder, progress=None):
    return fetch_session(target.link, session, folder, facts_of(target.link.hello()), progress)


def test_a_session_round_the_end_of_the_ring_is_fetched_whole(target, tmp_path):
    """40 blocks, fetched and erased, then 40 more: places 44 to 63 and then 4 to 23, about."""
    tape = saturated_tape(500_000, 2_400_000)
    target.play(tape)
    first = stopped(target)
    fetch(target, first, tmp_path / "a")
    assert [text for *_, text in erase_held(target.link, tmp_path, [first])] == ["erased"]
    go_on(target)
    target.play(tape)
    second = stopped(target)
    assert second.position + second.n_blocks > 64 == second.data_end
    places = positions_of(second)
    assert places[0] == second.position == 4 + first.n_blocks
    assert 63 in places and places[places.index(63) + 1] == 4
    one = fetch(target, second, tmp_path / "a")
    assert one.entry.values["complete"] and one.n_new == second.n_blocks
    frames = read_log(one.entry.path).sessions[0].read_frames()
    assert np.array_equal(frames["can_id"], tape["can_id"])
    assert np.array_equal(frames["data"], tape["data"])
    assert check_sha256([one.entry]) == []


def test_progress_goes_on_where_the_download_stopped(target, tmp_path):
    """The cable is pulled after 10 blocks of n: the next run counts 11, 12, ... n of n."""
    target.play(saturated_tape(500_000, 2_000_000))
    session = stopped(target)
    n = session.n_blocks
    seen = []

    def pulled(done, total):
        seen.append((done, total))
        if done == 10:
            raise DeviceError("the cable is gone")

    with pytest.raises(DeviceError):
        fetch(target, session, tmp_path / "a", pulled)
    assert seen == [(k, n) for k in range(1, 11)]
    seen.clear()
    one = fetch(target, session, tmp_path / "a", lambda *now: seen.append(now))
    assert seen == [(k, n) for k in range(11, n + 1)]
    assert (one.n_new, one.n_unread, one.verdict) == (n - 10, 0, FETCHED)


def test_words_of_a_download(target, tmp_path):
    target.play(saturated_tape(500_000, 500_000))
    running = target.link.list_sessions()[0]
    one = fetch(target, running, tmp_path / "a")
    assert one.verdict == SO_FAR and one.entry.values["running"] is True
    assert is_held(tmp_path, running) is None
    session = stopped(target)
    assert is_held(tmp_path, session) is None  # the copy is shorter
    assert fetch(target, session, tmp_path / "a").verdict == FETCHED
    assert is_held(tmp_path, session) is not None
    assert fetch(target, session, tmp_path / "a").verdict == HELD


def test_a_shorter_copy_in_the_archive_is_not_the_session(target, tmp_path):
    """The archive has the first blocks only, as if they had been all: the rest is fetched."""
    target.play(saturated_tape(500_000, 1_000_000))
    session = stopped(target)
    short = replace(session, n_blocks=session.n_blocks - 3)
    fetch(target, short, tmp_path / "a")
    assert is_held(tmp_path, session) is None
    rows = list(erase_held(target.link, tmp_path, [session]))
    assert [(entry, text) for _, entry, text in rows] == [(None, "the archive does not hold it")]
    one = fetch(target, session, tmp_path / "a")
    assert one.n_new == 3 and one.entry.values["n_blocks"] == session.n_blocks
    assert len(find_sessions(tmp_path)) == 1
    assert [text for *_, text in erase_held(target.link, tmp_path, [session])] == ["erased"]


def test_the_oldest_session_goes_first_and_nothing_behind_one_that_stays(target, tmp_path):
    for _ in range(3):
        target.play(saturated_tape(500_000, 300_000))
        last = stopped(target)
        go_on(target)
    sessions = [s for s in target.link.list_sessions() if not s.running]
    assert sessions[0].first_seq == last.first_seq  # newest first
    fetch(target, sessions[2], tmp_path / "a")
    fetch(target, sessions[0], tmp_path / "a")  # not the one between
    rows = list(erase_held(target.link, tmp_path, sessions))
    assert [(s.first_seq, text) for s, _, text in rows] == [
        (sessions[2].first_seq, "erased"),
        (sessions[1].first_seq, "the archive does not hold it"),
    ]


def test_the_running_session_ends_an_erase(target, tmp_path):
    target.play(saturated_tape(500_000, 300_000))
    ((_, entry, text),) = erase_held(target.link, tmp_path, target.link.list_sessions())
    assert entry is None and text == "it is being recorded"


# What is on the disk in which order


def blocks_of(n_frames=2000):
    frames = np.zeros(n_frames, FRAME)
    frames["t_us"] = np.arange(n_frames) * 500
    return pack_session(frames, Identity("0a" * 8, 3, 9), position=4)


LISTED = ListedSession(
    device_id=bytes.fromhex("0a" * 8),
    boot=3,
    nonce=9,
    first_seq=1,
    position=4,
    data_first=4,
    data_end=64,
    running=False,
    n_blocks=0,
)


@pytest.fixture
def calls(monkeypatch):
    """Record [(what, name of the file or of both)] of the calls that bring data onto the disk."""
    found = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}

    def name_of(handle):
        return os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))

    class File(io.FileIO):
        def write(self, content):
            found.append(("write", name_of(self.fileno())))
            return super().write(content)

    def fsync(handle):
        found.append(("fsync", name_of(handle)))
        return real["fsync"](handle)

    def replace(old, new):
        found.append(("replace", os.path.basename(old), os.path.basename(new)))
        return real["replace"](old, new)

    monkeypatch.setattr(io, "FileIO", File)
    for name, one in (("fsync", fsync), ("replace", replace)):
        monkeypatch.setattr(os, name, one)
    return found


def test_data_is_on_the_disk_before_it_gets_its_name(tmp_path, calls):
    """The order that a power cut of the laptop needs: journal, blocks, name, folder, manifest."""
    blocks = blocks_of()
    folder = tmp_path / "stage"
    with PartFile.open(folder, replace(LISTED, n_blocks=len(blocks))) as part:
        for position in part.missing():
            part.put(position, blocks[position - 4].tobytes())
        entry = part.finish()
    name = entry.path.name.removesuffix(".slog")
    journal, manifest = f".{name}.part.json.tmp", ".manifest.json.tmp"
    wanted = [
        ("fsync", journal),
        ("replace", journal, f"{name}.part.json"),
        ("fsync", "stage"),
        *[("write", f"{name}.part")] * len(blocks),
        *[("fsync", f"{name}.part")] * 2,  # the blocks; and once more when it is closed
        ("replace", f"{name}.part", f"{name}.slog"),
        ("fsync", "stage"),
        ("fsync", manifest),
        ("replace", manifest, "manifest.json"),
        ("fsync", "stage"),
    ]
    assert calls == wanted
    assert load_manifest(folder)[0].values["n_blocks"] == len(blocks)


def test_what_was_fetched_is_brought_onto_the_disk_now_and_then(tmp_path, calls, monkeypatch):
    """Every 3 blocks of 8 here, and when the fetch is left: after 3, 6 and 8."""
    monkeypatch.setattr("stagelog.archive.part.SYNC_EVERY", 3)
    blocks = blocks_of()
    with PartFile.open(tmp_path, replace(LISTED, n_blocks=len(blocks))) as part:
        calls.clear()
        for position in part.missing()[:8]:
            part.put(position, blocks[position - 4].tobytes())
    kinds = "".join(call[0][0] for call in calls)
    assert kinds == "wwwfwwwfwwf"


# The count of blocks in the END record


def altered(n_more):
    """Return a session whose END record counts `n_more` blocks than there are."""
    blocks = blocks_of()
    n_records = int(blocks[-1][3])
    at = 64 + 16 * (n_records - 1) + 8  # the data of the last record
    count = int.from_bytes(blocks[-1][at : at + 4].tobytes(), "little")
    assert count == len(blocks)
    blocks[-1][at : at + 4] = np.frombuffer((count + n_more).to_bytes(4, "little"), np.uint8)
    seal(blocks)
    return blocks


@pytest.mark.parametrize(("n_more", "closes"), [(0, True), (1, False), (-1, False)])
def test_the_end_record_must_count_the_blocks_that_there_are(tmp_path, n_more, closes):
    blocks = altered(n_more)
    n = len(blocks)
    (tmp_path / "x.slog").write_bytes(blocks.tobytes())
    ledger = account(read_log(tmp_path / "x.slog").session())
    assert (ledger.closes, ledger.complete) == (closes, closes)
    if not closes:
        assert ledger.breaks == (
            f"block {n}: the END record counts {n + n_more} blocks, their numbers {n}",
        )


def test_a_session_without_its_start_is_not_compared_with_the_end_record(tmp_path):
    (tmp_path / "x.slog").write_bytes(blocks_of()[2:].tobytes())
    ledger = account(read_log(tmp_path / "x.slog").session())
    assert ledger.closes and not ledger.complete


@pytest.mark.parametrize("n_frames", [0, 1, 251, 252, 253, 504, 2520])
def test_the_logger_counts_its_own_blocks_right(target, tmp_path, n_frames):
    target.play(saturated_tape(500_000, 1_000_000)[:n_frames])
    one = fetch(target, stopped(target), tmp_path / "a")
    session = read_log(one.entry.path).session()
    (end,) = session.decoded_meta(META_END)
    assert end.values["n_blocks"] == one.entry.values["n_blocks"] == session.n_blocks


def test_one_bus_that_is_not_silent_goes_on_recording(target):
    """Two buses, one silent and one with traffic: nothing is stopped without being asked to."""

    class Two:
        def hello(self):
            return reply(Hello, m.HELLO_REPLY, state=m.STATE_RECORDING, boot=3)

        def status(self):
            states = {"bus_state0": 5, "bus_state1": 1}  # 5 silent, 1 alive
            return reply(Status, m.STATUS_REPLY, n_buses=2, **states)

        def control(self, action, boot):
            raise AssertionError("stopped")

    assert finish_running(Two()) is None
