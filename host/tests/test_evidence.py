"""The evidence pack: made of an archive, verified without it, whatever was altered is named."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
from ed25519_by_hand import verify as verify_by_hand

from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.model import FRAME
from stagelog.proof import new_key

IDS = ("aa" * 8, "bb" * 8)
CHECK = '{"schema": "stagelog.check/1", "by": "Ann", "car": "C01", "light": "green"}\n'


@pytest.fixture(scope="module")
def rally(tmp_path_factory):
    """A folder with an archive of two loggers, a key, its public line, and the pack of SS03."""
    folder = tmp_path_factory.mktemp("rally")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAGELOG_KEYS", str(folder / "keys"))
        (folder / "team.pub").write_text(new_key("X").text)
        stage = stage_folder(folder / "archive", "E26", "C01", "SS03")
        for number, device_id in enumerate(IDS):
            frames = np.zeros(600, FRAME)
            frames["t_us"] = np.arange(600) * 500
            frames["can_id"] = 0x100 + number
            path = folder / f"{number}.slog"
            path.write_bytes(pack_session(frames, Identity(device_id, 1, 7)).tobytes())
            log = read_log(path)
            store_session(log, log.sessions[0], stage)
        (stage / "checks.jsonl").write_text(CHECK)
        (stage / "report.html").write_text("<html>all well</html>")
    return folder


@pytest.fixture
def at(rally, run, monkeypatch):
    """Return a function of words that runs `stagelog evidence` at the team's laptop."""
    monkeypatch.chdir(rally)

    def call(*words):
        monkeypatch.setenv("STAGELOG_KEYS", str(rally / "keys"))
        return run("evidence", *words)

    return call


PLACE = ("--archive", "archive", "--event", "E26", "--car", "C01", "--stage", "SS03")
NAMES = [
    *("evidence.json", "evidence.sig", "ledger.json", "manifest.json", "checks.jsonl"),
    *(f"{device_id}-1-00000007.slog" for device_id in IDS),
    "report.html",
]


@pytest.fixture(scope="module")
def pack(rally):
    """The bytes of the pack, made once."""
    from stagelog.park.evidence import pack_evidence
    from stagelog.proof import own_key

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAGELOG_KEYS", str(rally / "keys"))
        made = pack_evidence(rally / "archive", "E26", "C01", "SS03", own_key(), rally / "p.tar")
    assert made.verdict.complete and not made.missing
    return (rally / "p.tar").read_bytes()


@pytest.fixture
def verified(rally, run, monkeypatch, tmp_path):
    """Return a function of a pack's bytes: (exit code, what was found) on a computer that has
    nothing but the public key.
    """

    def verify(content, key=rally / "team.pub"):
        monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "none"))
        (tmp_path / "x.tar").write_bytes(content)
        code, out, err = run("evidence", "verify", tmp_path / "x.tar", "--key", key, "--json")
        return code, json.loads(out)["findings"] if out else err

    return verify


def places_of(content):
    """Return {member: (offset, length)} as Python's own tarfile reads the pack."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {info.name: (info.offset_data, info.size) for info in tar}


def flip(content, at, bit=1):
    return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


def test_a_pack_is_a_tar_with_everything_that_proves_the_stage(rally, at, pack, verified):
    assert list(places_of(pack)) == NAMES
    code, out, _ = at("pack", *PLACE, "--out", "again.tar")
    assert code == 0 and "again.tar: 8 members, signed by X" in out
    assert (rally / "again.tar").read_bytes() == pack  # the same archive, the same bytes
    assert str(rally).encode() not in pack  # names no computer
    assert verified(pack) == (0, [])
    code, out, _ = at("verify", "p.tar")
    assert code == 0 and out.startswith("VALID: E26, C01, SS03: signed by X (key ")
    assert out.count("entry of the archive signed by X") == 2


def test_another_program_reads_the_signature(pack):
    """Ed25519 of 'stagelog evidence by X', a line feed, evidence.json (docs/SECURITY.md)."""
    members = {name: pack[i : i + n] for name, (i, n) in places_of(pack).items()}
    signature = json.loads(members["evidence.sig"])
    message = b"stagelog evidence by X\n" + members["evidence.json"]
    key, value = bytes.fromhex(signature["key"]), bytes.fromhex(signature["value"])
    assert verify_by_hand(key, message, value)


@pytest.mark.parametrize("name", NAMES)
def test_an_altered_byte_of_a_member_is_named(pack, verified, name):
    """The first, a middle and the last byte; what makes the index no index is exit 5."""
    begin, n = places_of(pack)[name]
    for place in (begin, begin + n // 2, begin + n - 1):
        code, found = verified(flip(pack, place))
        assert code == 1 or (code, name) == (5, "evidence.json"), found
        assert name in str(found), found


def test_a_byte_between_the_members_is_named(pack, verified):
    """Headers, the fill behind each member, the end: no byte of the file is outside of the proof.
    One byte in 37 is tried, so that every kind of place is.
    """
    inside = [range(i, i + n) for i, n in places_of(pack).values()]
    between = [i for i in range(len(pack)) if not any(i in each for each in inside)]
    for place in between[::37]:
        code, found = verified(flip(pack, place, 0x20))
        assert code in (1, 5) and found, place


def with_members(pack, change):
    """Return a pack whose list of (name, content) was changed, framed as a tar again."""
    members = [(name, pack[i : i + n]) for name, (i, n) in places_of(pack).items()]
    made = b""
    for name, content in change(members):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        made += info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)
    return made + bytes(1024)


@pytest.mark.parametrize("name", NAMES[2:])
def test_a_missing_member_is_named(pack, verified, name):
    code, found = verified(with_members(pack, lambda rows: [r for r in rows if r[0] != name]))
    assert code == 1 and f"{name}: missing" in found


@pytest.mark.parametrize("place", [2, 5, 8])
def test_an_added_member_is_named(pack, verified, place):
    def add(rows):
        return [*rows[:place], ("other.slog", b"x" * 700), *rows[place:]]

    code, found = verified(with_members(pack, add))
    assert code == 1 and "other.slog: added, or named twice" in found
    assert not [text for text in found if "missing" in text]


def test_members_in_another_order_and_a_cut_pack_are_named(pack, verified):
    code, found = verified(with_members(pack, lambda rows: [*rows[:2], *rows[:1:-1]]))
    assert code == 1 and found
    for n in (len(pack) - 1, len(pack) // 2):
        code, found = verified(pack[:n])
        assert code == 1 and found
    code, found = verified(pack + b"\0")
    assert (code, found) == (1, ["the end of the pack was altered"])
    for n in (0, 100, 600):
        assert verified(pack[:n])[0] == 5


def test_another_key_is_named(rally, pack, verified, monkeypatch, tmp_path):
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "others"))
    (tmp_path / "other.pub").write_text(new_key("Other").text)
    code, found = verified(pack, tmp_path / "other.pub")
    assert code == 1 and "which calls itself X and is not trusted here" in found[0]


def test_without_a_key_nothing_is_said_to_be_valid(rally, run, pack, monkeypatch, tmp_path):
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path))
    code, _, err = run("evidence", "verify", rally / "p.tar")
    assert code == 2 and "no key is trusted here" in err
    code, _, err = run("evidence", "pack", *PLACE)
    assert code == 2 and "this computer has no key" in err


def test_a_log_that_was_altered_in_the_archive_is_named(rally, at, verified, tmp_path):
    """The pack is made and says so: exit 1 at the team's laptop, and for everybody else."""
    shutil.copytree(rally / "archive", tmp_path / "archive")
    path = next((tmp_path / "archive").rglob(NAMES[5]))
    path.write_bytes(flip(path.read_bytes(), 100))
    place = ("--archive", tmp_path / "archive", *PLACE[2:])
    code, out, _ = at("pack", *place, "--out", tmp_path / "bad.tar")
    assert code == 1 and "INCOMPLETE" in out
    code, found = verified((tmp_path / "bad.tar").read_bytes())
    assert code == 1 and found == [f"{NAMES[5]}: not the file that entered the archive"]


def test_what_the_archive_does_not_have_is_said(rally, at, tmp_path):
    shutil.copytree(rally / "archive", tmp_path / "archive")
    stage = stage_folder(tmp_path / "archive", "E26", "C01", "SS03")
    (stage / "checks.jsonl").unlink()
    (stage / "report.html").unlink()
    place = ("--archive", tmp_path / "archive", *PLACE[2:])
    code, out, _ = at("pack", *place, "--out", tmp_path / "bare.tar")
    assert code == 0 and "no check was signed off" in out and "there is no report" in out
    (stage / NAMES[5]).unlink()
    code, _, err = at("pack", *place, "--out", tmp_path / "bare.tar")
    assert code == 5 and f"{NAMES[5]} is missing" in err
    code, _, err = at("pack", *place[:6], "--stage", "SS9", "--out", tmp_path / "bare.tar")
    assert code == 5 and "holds no session" in err
