"""A key with a passphrase, and keys that were revoked: what signs, and what is believed."""

import json
import os
import stat

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from stagelog.errors import InputError
from stagelog.proof import (
    REVOKED,
    TRUSTED,
    UNCHECKED,
    check,
    keys,
    new_key,
    own_key,
    own_public,
    revoke,
    set_passphrase,
    sign,
    trust,
    trusted_keys,
)

WORDS = "correct horse battery staple"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "keys"))
    monkeypatch.setattr(keys, "_known", {})
    monkeypatch.delenv(keys.PASSPHRASE, raising=False)
    return tmp_path / "keys"


def test_the_file_is_of_no_use_without_the_passphrase(folder, monkeypatch):
    """Read by the library alone, as a thief would: PKCS 8, encrypted."""
    public = new_key("X", WORDS)
    path = folder / "team.key"
    content = path.read_bytes()
    assert content.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for wrong in (None, b"correct horse"):
        with pytest.raises((TypeError, ValueError)):
            load_pem_private_key(content, wrong)
    assert load_pem_private_key(content, WORDS.encode())
    assert own_public().raw == public.raw, "asks for nothing"
    with pytest.raises(InputError, match="has a passphrase"):
        own_key()
    monkeypatch.setenv(keys.PASSPHRASE, "wrong")
    with pytest.raises(InputError, match="the passphrase is wrong"):
        own_key()
    monkeypatch.setenv(keys.PASSPHRASE, WORDS)
    signature = sign(own_key(), "entry", b"x")
    assert check(signature, "entry", b"x", trusted_keys()).state == TRUSTED


def test_who_sits_at_the_terminal_is_asked_once(monkeypatch):
    new_key("X", WORDS)
    asked = []
    answers = iter(["wrong", WORDS])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda *a: (asked.append(a), next(answers))[1])
    with pytest.raises(InputError, match="wrong"):
        own_key()
    for _ in range(3):
        assert own_key() is not None
    assert len(asked) == 2


def test_a_passphrase_is_given_changed_and_removed(folder, monkeypatch):
    """The same key all the time: what it signed stays right."""
    new_key("X")
    before = own_key()
    for words in (WORDS, "another one, of more words", None):
        key = set_passphrase(words)
        assert key.raw == before.public.raw
        monkeypatch.setenv(keys.PASSPHRASE, words or "")
        assert own_key().derive(b"a") == before.derive(b"a")
        assert (b"ENCRYPTED" in (folder / "team.key").read_bytes()) is bool(words)
    assert sorted(os.listdir(folder)) == ["team.key", "team.pub"]


def test_nothing_that_a_revoked_key_signed_is_believed(folder, tmp_path):
    """The own key of a stolen laptop: a new one follows; others have the old one's file."""
    old = new_key("X")
    signature = sign(own_key(), "entry", b"x")
    line = tmp_path / "old.pub"
    line.write_text(old.text)
    assert revoke("X").is_revoked and own_key() is None
    found = check(signature, "entry", b"x", trusted_keys())
    assert (found.state, found.is_bad) == (REVOKED, True) and "revoked here" in found.text
    new = new_key("X")
    assert own_key().public.raw == new.raw != old.raw
    later = sign(own_key(), "entry", b"x")
    assert check(later, "entry", b"x", trusted_keys()).state == TRUSTED
    assert check(signature, "entry", b"x", trusted_keys()).state == REVOKED
    trust(line, "again")
    assert check(signature, "entry", b"x", trusted_keys()).state == REVOKED, "trust gives nothing"
    with pytest.raises(InputError, match="no key is called Z"):
        revoke("Z")


def test_a_key_of_others_is_revoked_by_its_file_or_id(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "theirs"))
    theirs = new_key("Y")
    signature = sign(own_key(), "entry", b"x")
    line = tmp_path / "y.pub"
    line.write_text(theirs.text)
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "mine"))
    assert check(signature, "entry", b"x", trusted_keys()).state == UNCHECKED
    assert revoke(str(line)).key_id == theirs.key_id
    assert check(signature, "entry", b"x", trusted_keys()).state == REVOKED
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "third"))
    trust(line)
    assert revoke(theirs.key_id).name == "Y"
    assert check(signature, "entry", b"x", trusted_keys()).state == REVOKED


def test_the_commands(run, tmp_path, monkeypatch):
    monkeypatch.setenv(keys.PASSPHRASE, "short")
    code, _, err = run("key", "new", "X", "--passphrase")
    assert code == 2 and "5 characters" in err
    monkeypatch.setenv(keys.PASSPHRASE, WORDS)
    assert run("key", "new", "X", "--passphrase")[0] == 0
    monkeypatch.delenv(keys.PASSPHRASE)
    code, out, _ = run("key", "show", "--json")
    assert code == 0 and json.loads(out)["keys"][0]["own"], "the public key needs no passphrase"
    code, _, err = run("key", "passphrase", "--remove")
    assert code == 5 and "has a passphrase" in err
    monkeypatch.setenv(keys.PASSPHRASE, WORDS)
    assert run("key", "passphrase", "--remove")[0] == 0
    monkeypatch.delenv(keys.PASSPHRASE)
    assert own_key() is not None
    assert run("key", "revoke", "X")[0] == 0
    code, out, err = run("key", "show", "--json")
    (row,) = json.loads(out)["keys"]
    assert row["revoked"] and not row["own"] and "signs nothing" in err
