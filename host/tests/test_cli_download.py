"""What download does in which order, what it prints, and with which code it ends.

The logger and the archive are noted only; with a simulated one: test_download*.py.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_replies import reply

from slog import messages as m
from stagelog import download as download_steps
from stagelog import ports
from stagelog.replies import Hello, ListedSession


class FakeLogger:
    """A link of which only the order of the steps counts."""

    name = "P"

    def __init__(self, n=2):
        self.done = []
        self.sessions = [
            reply(ListedSession, m.LIST_REPLY, boot=k, nonce=k, device_id=b"\1" * 8, first_seq=1)
            for k in range(n, 0, -1)
        ]

    def hello(self):
        return reply(
            Hello,
            m.HELLO_REPLY,
            device_id=b"\1" * 8,
            car=b"C03",
            board=b"pico",
            firmware=0x010203,
            contract=b"\2" * 8,
            state=1,
            boot=9,
        )

    def list_sessions(self):
        return self.sessions

    def control(self, action, boot):
        self.done.append(("start", boot))

    def set_time(self, t_unix_us):
        self.done.append("clock")

    def close(self):
        self.done.append("close")


@pytest.fixture
def fake(run, tmp_path, monkeypatch):
    """Return a function of words that runs `download`: (exit code, out, steps, folders)."""
    monkeypatch.chdir(tmp_path)
    link = FakeLogger()
    link.verdicts = {}
    monkeypatch.setattr(ports, "open_link", lambda port: link)

    def finish(link, always=False):
        link.done.append(("finish", always))
        return 9

    def entry(boot):
        complete = link.verdicts.get(boot, True)
        values = {"complete": complete, "n_bytes": 4096, "verdict": {}}
        return SimpleNamespace(path=f"{boot}.slog", values=values)

    def fetch(link, session, place, facts, progress, again):
        link.done.append(("fetch", session.boot, str(place), again))
        return download_steps.Fetched(session, entry(session.boot), download_steps.FETCHED, 5, 3)

    monkeypatch.setattr(download_steps, "finish_running", finish)
    monkeypatch.setattr(download_steps, "fetch_session", fetch)
    monkeypatch.setattr(
        download_steps, "is_held", lambda root, s: entry(1) if s.boot in link.held else None
    )
    link.held = ()

    def call(*words):
        link.done.clear()
        code, out, err = run("download", "P", "--archive", "a", *words)
        return code, out, err, list(link.done)

    call.link = link
    return call


FOLDER = "a/event=unsorted/car=C03/stage=unsorted"


def test_a_download_goes_from_the_oldest_on(fake):
    """The clock first; a session that runs is closed if its buses are silent, and goes on."""
    code, out, _, done = fake()
    assert code == 0 and done == [
        "clock",
        ("finish", False),
        ("fetch", 1, FOLDER, False),
        ("fetch", 2, FOLDER, False),
        ("start", 9),
        "close",
    ]
    assert out.splitlines() == ["1.slog  4.1 kB  complete", "2.slog  4.1 kB  complete"]
    assert fake("--stop")[3][1] == ("finish", True)
    assert not [step for step in fake("--no-stop")[3] if step[0] in ("finish", "start")]


def test_a_download_takes_what_it_is_asked_for(fake):
    where = ("--event", "DAKAR26", "--car", "7", "--stage", "SS1")
    (step,) = [each for each in fake("--boot", "2", *where)[3] if each[0] == "fetch"]
    assert step == ("fetch", 2, "a/event=DAKAR26/car=C7/stage=SS1", False)
    fake.link.held = (1,)
    code, out, _, done = fake("--json")
    rows = json.loads(out)["sessions"]
    assert [(row["outcome"], row["n_new_blocks"], row["n_unread_blocks"]) for row in rows] == [
        ("held already", 0, 0),
        ("fetched", 5, 3),
    ]
    assert [step[1] for step in done if step[0] == "fetch"] == [2]
    done = fake("--again")[3]
    assert [step[1::2] for step in done if step[0] == "fetch"] == [(1, True), (2, True)]


def test_one_session_that_is_not_complete_ends_with_one(fake):
    """What was held before, or is being recorded, does not count."""
    fake.link.verdicts = {2: False}
    code, out, _, _ = fake()
    assert code == 1 and "2.slog  4.1 kB  NOT COMPLETE, see 'stagelog verify'" in out
    fake.link.sessions[0] = replace(fake.link.sessions[0], running=True)
    code, out, _, _ = fake()
    assert code == 0 and "2.slog  4.1 kB  fetched" in out
    fake.link.verdicts = {1: False}
    fake.link.held = (1, 2)
    assert fake()[0] == 0
    fake.link.sessions = []
    code, out, err, _ = fake()
    assert (code, out) == (0, "") and "the card holds no session" in err
