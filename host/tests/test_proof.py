"""Keys and signatures: who stored a session, and what a forger of the manifest is told.

A second program, ed25519_by_hand, reads what the library signed.
"""

import json
import os
import stat

import pytest
from ed25519_by_hand import verify as verify_by_hand

from stagelog.archive.manifest import MANIFEST, check_signature, load_manifest, put_entry
from stagelog.errors import InputError, OutputError
from stagelog.proof import (
    TRUSTED,
    UNCHECKED,
    UNKNOWN,
    UNSIGNED,
    WRONG,
    load_public,
    new_key,
    own_key,
    trust,
    trusted_keys,
)

STAGE = "event=E26/car=C01/stage=SS03"


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """Return a function that makes a computer the one in use: keys(name) of a team or of none."""

    def use(name, team=None):
        monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / f"keys of {name}"))
        return new_key(team) if team else None

    use("nobody")
    return use


def values(name, **more):
    whole = {"device_id": "ab" * 8, "boot": 1, "nonce": 7, "first_seq": 100, "n_blocks": 10}
    return {"file": f"{name}.slog", "sha256": "0" * 64, "n_bytes": 7, "complete": True} | (
        whole | {"ledger": {"drift": 1.5e-7, "words": "d'été"}} | more
    )


def standings(folder):
    return {e.values["file"]: check_signature(e).state for e in load_manifest(folder)}


def change(folder, change_of):
    """Change the parsed manifest of a folder as a forger would."""
    path = folder / MANIFEST
    content = json.loads(path.read_bytes())
    change_of(content["sessions"])
    path.write_text(json.dumps(content))


def test_the_reference_knows_the_vectors_of_rfc_8032():
    """TEST 2 of section 7.1."""
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify_by_hand(public, b"\x72", signature)
    assert not verify_by_hand(public, b"\x73", signature)


def test_an_entry_is_signed_as_the_document_says(keys, tmp_path):
    """Signed: "stagelog entry by Team_X", a line feed, the JSON with sorted keys and no spaces of
    the entry without its signature, its folder, and the files beside it (docs/SECURITY.md).
    """
    public = keys("laptop", "Team X")
    folder = tmp_path / "archive" / STAGE
    folder.mkdir(parents=True)
    put_entry(folder, values("a"))
    entry = json.loads((folder / MANIFEST).read_bytes())["sessions"][0]
    signature = entry.pop("signature")
    assert signature["team"] == public.name == "Team_X"
    signed = {"entry": entry, "folder": STAGE, "beside": []}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"))
    message = b"stagelog entry by Team_X\n" + text.encode()
    assert verify_by_hand(
        bytes.fromhex(signature["key"]), message, bytes.fromhex(signature["value"])
    )


def test_each_session_is_signed_by_who_stored_it(keys, tmp_path):
    """One before there was a key, one by each of two teams, of which the reader trusts one."""
    folder = tmp_path / "archive" / STAGE
    folder.mkdir(parents=True)
    put_entry(folder, values("old"))
    keys("A", "A")
    put_entry(folder, values("a"))
    b = keys("B", "B")
    put_entry(folder, values("b"))
    line = tmp_path / "b.pub"
    line.write_text(b.text)
    keys("reader")
    assert standings(folder) == {"old.slog": UNSIGNED, "a.slog": UNCHECKED, "b.slog": UNCHECKED}
    trust(line)
    assert standings(folder) == {"old.slog": UNSIGNED, "a.slog": UNKNOWN, "b.slog": TRUSTED}
    text = {e.values["file"]: check_signature(e).text for e in load_manifest(folder)}
    assert text["b.slog"] == f"signed by B (key {b.key_id})"
    assert "which calls itself A and is not trusted here" in text["a.slog"]


@pytest.mark.parametrize(
    ("forge", "wrong", "says"),
    [
        (lambda rows: rows[0].update(sha256="1" * 64), "a", "altered after it was signed"),
        (lambda rows: rows[0].update(verdict="good"), "a", "altered after it was signed"),
        (lambda rows: rows[0]["ledger"].pop("words"), "a", "altered after it was signed"),
        (lambda rows: rows[0]["signature"].update(folder="x"), "a", "altered after"),
        (lambda rows: rows[0]["signature"].update(value="00"), "a", "altered after"),
        (lambda rows: rows[0]["signature"].update(team="Y"), "a", "altered after"),
        (lambda rows: rows[0]["signature"].update(value="no"), "a", "cannot be read"),
        (lambda rows: rows[0].update(signature=[]), "a", "none that this stagelog knows"),
        (lambda rows: rows.pop(0), "b", "the entry of a.slog was there when it was signed"),
    ],
)
def test_what_a_forger_changes_is_named(keys, tmp_path, forge, wrong, says):
    keys("laptop", "X")
    folder = tmp_path / "archive" / STAGE
    folder.mkdir(parents=True)
    for name in "ab":
        put_entry(folder, values(name))
    change(folder, forge)
    found = {e.values["file"][0]: check_signature(e) for e in load_manifest(folder)}
    assert found.pop(wrong).state == WRONG
    assert {standing.state for standing in found.values()} <= {TRUSTED}
    (entry,) = (e for e in load_manifest(folder) if e.values["file"] == f"{wrong}.slog")
    assert says in check_signature(entry).text


def test_a_later_session_vouches_for_no_earlier_one(keys, tmp_path):
    """An altered entry, and one whose signature was taken off, stay so when a new one comes."""
    keys("laptop", "X")
    folder = tmp_path / "archive" / STAGE
    folder.mkdir(parents=True)
    for name in "ab":
        put_entry(folder, values(name))
    change(folder, lambda rows: (rows[0].update(n_bytes=8), rows[1].pop("signature")))
    put_entry(folder, values("c"))
    assert standings(folder) == {"a.slog": WRONG, "b.slog": UNSIGNED, "c.slog": TRUSTED}


def test_an_entry_that_was_moved_to_another_stage_is_named(keys, tmp_path):
    keys("laptop", "X")
    folder = tmp_path / "archive" / STAGE
    folder.mkdir(parents=True)
    put_entry(folder, values("a"))
    other = folder.with_name("stage=SS04")
    folder.rename(other)
    (entry,) = load_manifest(other)
    assert check_signature(entry).text == f"its entry was signed as {STAGE}, and was moved"
    moved = tmp_path / "elsewhere"  # the archive as a whole may go anywhere
    (tmp_path / "archive").rename(moved)
    (moved / STAGE.replace("SS03", "SS04")).rename(moved / STAGE)
    assert standings(moved / STAGE) == {"a.slog": TRUSTED}


# keys


@pytest.mark.skipif(os.name == "nt", reason="modes of files")
def test_the_private_key_is_for_its_owner_alone(keys, tmp_path):
    public = keys("laptop", "X")
    path = tmp_path / "keys of laptop" / "team.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert own_key().public == public and list(trusted_keys().values()) == [public]
    path.chmod(0o640)
    with pytest.raises(InputError, match="may be read by others; chmod 600"):
        own_key()


def test_a_key_is_never_replaced(keys, tmp_path):
    first = keys("laptop", "X")
    with pytest.raises(OutputError, match="exists"):
        new_key("Y")
    assert own_key().public == first


@pytest.mark.parametrize("content", [b"", b"ssh-ed25519", b"ssh-rsa AAAA x", b"\xff" * 5000])
def test_a_file_that_is_no_key_is_refused(keys, tmp_path, content):
    path = tmp_path / "x.pub"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no public key"):
        load_public(path)
    keys("laptop", "X")
    (tmp_path / "keys of laptop" / "team.key").write_bytes(content)
    with pytest.raises(InputError, match="is no private key"):
        own_key()


def test_a_name_belongs_to_one_key(keys, tmp_path):
    """Names become files: a hostile one stays in its folder."""
    for name in ("A", "B"):
        key = keys(name, "../../Team")
        (tmp_path / f"{name}.pub").write_text(key.text)
    keys("reader")
    assert trust(tmp_path / "A.pub").name == "Team"
    assert trust(tmp_path / "A.pub").name == "Team"
    with pytest.raises(OutputError, match="another key is called Team"):
        trust(tmp_path / "B.pub")
    assert trust(tmp_path / "B.pub", "../B").name == "B"
    assert sorted(p.name for p in (tmp_path / "keys of reader/trusted").iterdir()) == [
        "B.pub",
        "Team.pub",
    ]
