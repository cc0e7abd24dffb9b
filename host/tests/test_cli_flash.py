"""What flash and erase do with their words: the image first, the board after; what is printed."""

import json
from types import SimpleNamespace

import pytest
from made_replies import reply

from slog import messages as m
from stagelog import download as download_steps
from stagelog import flash as flash_package
from stagelog import ports
from stagelog.flash import base_image, remote
from stagelog.replies import Hello, ListedSession

HELLO = reply(Hello, m.HELLO_REPLY, firmware=0x010203, slot=1, device_id=b"\x0a\x0b")


@pytest.fixture
def flashed(run, monkeypatch, tmp_path):
    """Return a function of words that runs `flash`: (exit code, out, err, what was done)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.uf2").write_bytes(b"image")
    (tmp_path / "car.json").write_bytes(b"{}")
    done = []

    def checked(path, sha256):
        done.append(("checked", str(path), sha256))
        return b"image"

    def flash(port, open_link, board, **given):
        done.append(("flash", port, board, given))
        given["say"]("write main.py")
        return HELLO

    monkeypatch.setattr(base_image, "checked_image", checked)
    monkeypatch.setattr(
        base_image, "write_uf2", lambda *given: done.append(("uf2", *given)) or "/media/RPI-RP2"
    )
    monkeypatch.setattr(base_image, "write_esp", lambda *given: done.append(("esp", *given)))
    monkeypatch.setattr(flash_package, "flash", flash)
    monkeypatch.setattr(remote, "Remote", lambda port: f"remote {port}")

    def call(*words):
        done.clear()
        return (*run("flash", *words), list(done))

    return call


def test_micropython_alone_goes_onto_a_board_in_its_boot_loader(flashed):
    code, out, err, done = flashed("--base", "x.uf2", "--sha256", "ab", "--drive", "/d", "--yes")
    assert code == 0 and done == [("checked", "x.uf2", "ab"), ("uf2", b"image", "/d")]
    assert out == "" and err == "/media/RPI-RP2: written; the board starts MicroPython by itself\n"


def test_an_esp32_needs_its_port(flashed):
    words = ("--base", "x.uf2", "--chip", "esp32", "--yes")
    code, _, err, done = flashed(*words)
    assert code == 2 and "an ESP32 is written over its port" in err
    assert [step[0] for step in done] == ["checked"]
    _, _, _, done = flashed("P", *words)
    assert done[:2] == [("checked", "x.uf2", None), ("esp", b"image", "P", "esp32")]
    assert done[2][:3] == ("flash", "P", "remote P")


def test_the_firmware_gets_settings_and_what_the_archive_holds(flashed, monkeypatch, tmp_path):
    words = ("P", "--yes", "--settings", "car.json", "--board", "pico_mcp2515")
    code, out, err, ((_, _, _, given),) = flashed(*words, "--despite-sessions")
    assert code == 0 and out == "P: firmware 1.2.3 runs from slot B\n"
    assert err == "write main.py\n"
    assert (given["settings"], given["signals"], given["kind"]) == (b"{}", None, "pico_mcp2515")
    assert given["despite_sessions"] is True
    seen = []
    monkeypatch.setattr(download_steps, "is_held", lambda root, s: seen.append((root, s)) or "e")
    assert not given["is_held"]("s") and not seen  # there is no archive
    (tmp_path / "archive").mkdir()
    ((_, _, _, given),) = flashed("P", "--yes")[3]
    assert given["is_held"]("s") and seen == [("archive", "s")]
    assert (given["settings"], given["despite_sessions"]) == (None, False)


def test_nothing_is_flashed_without_a_word_or_a_board(flashed):
    code, _, err, done = flashed("P")
    assert code == 2 and "--yes" in err and not done
    code, _, err, done = flashed("--yes")
    assert code == 2 and "no board named" in err and not done
    code, _, err, done = flashed("P", "--yes", "--settings", "none.json")
    assert code == 5 and "cannot read none.json" in err and not done


# erase


@pytest.fixture
def erase(run, monkeypatch, tmp_path):
    """Return a function: what `erase` prints of sessions (boot, running, Entry or None, text)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archive").mkdir()

    def call(*rows, words=("--yes",)):
        sessions = [
            reply(ListedSession, m.LIST_REPLY, boot=boot, nonce=7, running=running)
            for boot, running, *_ in rows
        ]
        link = SimpleNamespace(name="C03", list_sessions=lambda: sessions, close=lambda: None)
        monkeypatch.setattr(ports, "open_link", lambda port: link)
        steps = [(s, *row[2:]) for s, row in zip(sessions, rows, strict=True)]
        monkeypatch.setattr(download_steps, "erase_held", lambda *_: iter(steps))
        return run("erase", "P", *words)

    return call


def test_an_erase_says_what_became_of_each(erase):
    """What is being recorded may stay; another one that stays is exit 1."""
    gone, stays = (1, 0, "entry", "erased"), (2, 0, None, "the archive does not hold it")
    runs = (3, 1, None, "it is being recorded")
    assert erase(gone, runs) == (0, "boot 1: erased\nboot 3: it is being recorded\n", "")
    code, out, _ = erase(gone, stays)
    assert code == 1 and out.splitlines()[1] == "boot 2: the archive does not hold it"
    rows = json.loads(erase(gone, runs, words=("--yes", "--json"))[1])["sessions"]
    assert rows == [
        {"boot": 1, "nonce": 7, "erased": True, "running": False, "text": "erased"},
        {"boot": 3, "nonce": 7, "erased": False, "running": True, "text": "it is being recorded"},
    ]


def test_an_erase_asks_only_where_there_is_something(erase):
    """Without a terminal it needs --yes, unless all that is there is being recorded."""
    assert erase((1, 0, "entry", "erased"), words=())[0] == 2
    assert erase((3, 1, None, "it is being recorded"), words=())[0] == 0
    assert erase(words=()) == (0, "", "nothing to erase\n")
    code, _, err = erase(words=("--archive", "none"))
    assert code == 2 and "there is no archive none" in err
