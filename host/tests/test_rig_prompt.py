"""An empty simulated board: MicroPython's raw REPL, as its manual has it; flashed by mpremote."""

import struct
import threading
from types import SimpleNamespace

import pytest

from slog import messages as m
from stagelog.card import prepare_raw
from stagelog.flash import flash
from stagelog.flash.build import App, pack_app
from stagelog.flash.remote import Remote
from stagelog.link import Link
from stagelog.ports import open_stream
from stagelog.rig import live
from stagelog.rig.flash_prompt import Prompt
from stagelog.rig.live import LiveLogger
from stagelog.rig.live_cable import LiveCable

BANNER = b"raw REPL; CTRL-B to exit\r\n>"
ID = "53494d3030303031"


class Wire:
    """Both ends of a cable; `room` is what it takes of the board's bytes at once."""

    port = "wire"

    def __init__(self, room=10_000):
        self.to_board, self.to_host, self.room = b"", b"", room

    def read(self, buf):
        chunk, self.to_board = self.to_board[: len(buf)], self.to_board[len(buf) :]
        buf[: len(chunk)] = chunk
        return len(chunk)

    def write(self, buf, at, n):
        n = min(n, self.room)
        self.to_host += bytes(buf[at : at + n])
        return n

    def close(self):
        pass


@pytest.fixture
def say(tmp_path):
    """Return a function of bytes for a board at its raw REPL: what it answers."""
    wire = Wire()
    (tmp_path / "flash").mkdir()
    (tmp_path / "secret").write_text("not of the board")
    prompt = Prompt(wire, tmp_path / "flash", bytes.fromhex(ID))

    def call(data):
        wire.to_board, wire.to_host = data, b""
        call.is_reset = prompt.step()
        while wire.to_board:
            call.is_reset |= prompt.step()
        return wire.to_host

    call.wire, call.root = wire, tmp_path / "flash"
    assert call(b"\r\x01") == BANNER
    return call


def test_code_is_run_as_the_manual_of_the_raw_repl_says(say):
    """OK, what it prints, 4, its error, 4, the next prompt; Ctrl-C forgets a line, Ctrl-D alone is
    a soft reset, which forgets the variables.
    """
    assert say(b"a = 6\nprint(a * 7)\x04") == b"OK42\r\n\x04\x04>"
    assert say(b"prin\x03print(a)\x04") == b"OK6\r\n\x04\x04>"
    got = say(b"print(1)\n1 / 0\x04")
    assert got.startswith(b"OK1\r\n\x04Traceback (most recent call last):\r\n")
    assert got.endswith(b"ZeroDivisionError: division by zero\r\n\x04>")
    assert say(b"\x04") == b"OK\r\nMPY: soft reboot\r\n" + BANNER
    assert b"NameError" in say(b"a\x04") and not say.is_reset
    assert say(b"import machine\nprint(machine.unique_id().hex())\x04") == (
        b"OK" + ID.encode() + b"\r\n\x04\x04>"
    )
    say(b"machine.reset()\x04")
    assert say.is_reset


def test_code_is_pasted_in_windows(say):
    """The manual's raw-paste mode: R, 1, the window in two bytes; 1 for each window that is free
    again; 4 for the end. The code of 9,000 bytes fills two windows of 4,096.
    """
    answer = say(b"\x05A\x01")
    assert answer[:2] == b"R\x01" and struct.unpack("<H", answer[2:]) == (4096,)
    code = b"print(7)#".ljust(9000, b"-")
    assert say(code) == b"\x01\x01"
    assert say(b"\x04") == b"\x047\r\n\x04\x04>"


def test_a_slow_cable_takes_an_answer_in_pieces(say):
    say.wire.room = 7
    got = say(b"print('x' * 20)\x04")
    for _ in range(9):
        got += say(b"")
    assert got == b"OK" + b"x" * 20 + b"\r\n\x04\x04>"


@pytest.mark.parametrize("path", ["../secret", "/../secret", "a/../../secret", "/a/../../secret"])
def test_nothing_outside_of_its_folder_is_opened(say, path):
    say(b"import os\nos.mkdir('a')\x04")
    assert b"OSError: [Errno 2] ENOENT" in say(f"open('{path}')".encode() + b"\x04")
    say(f"open('{path}', 'w').write('gone')".encode() + b"\x04")
    assert (say.root.parent / "secret").read_text() == "not of the board"
    assert b"ImportError" in say(b"import subprocess\x04")


def test_a_cable_counts_only_what_it_is_asked_to(monkeypatch):
    """100 bytes of a stopped logger pull it, those of a recording one do not; a second later it is
    back under another name.
    """
    now_s, stopped, changes = [0.0], [False], []
    wires = iter([Wire(), Wire()])
    cable = LiveCable(lambda: next(wires), 0, [(100, 1.0)], lambda: stopped[0], lambda: now_s[0])
    cable.on_change = changes.append
    for _ in range(9):
        assert cable.write(bytes(90), 0, 90) == 90
    stopped[0] = True
    cable.write(bytes(99), 0, 99)
    assert changes == []
    cable.write(bytes(1), 0, 1)
    assert changes == [None]
    now_s[0] = 0.9
    cable.read(bytearray(1))
    assert changes == [None]
    now_s[0] = 1.0
    cable.read(bytearray(1))
    assert changes == [None, "wire"]


def test_a_machine_that_was_too_slow_does_not_shift_the_time_of_a_request(tmp_path, monkeypatch):
    """The simulator's process is left waiting for 2 s; a request that came in them is answered
    with the time of now: the clock of its log would be 2 s off.
    """
    now_s = [100.0]

    def sleep(seconds):
        now_s[0] += seconds

    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: now_s[0], sleep=sleep))
    prepare_raw(tmp_path / "card.img", 512)
    logger = LiveLogger({"card": str(tmp_path / "card.img")})
    passes = iter([*[False] * 9, True] * 2)
    logger.run(lambda: next(passes))
    link = Link(open_stream(logger.port), logger.port)
    request = link.send(m.TIME, m.build(m.TIME_REQUEST, {"t_unix_us": 1}))
    now_s[0] += 2.0
    logger.run(lambda: next(passes))
    kind, number, payload = link.receive(link.clock() + 20)
    assert (kind, number) == (m.TIME | m.REPLY, request)
    assert 2_000_000 <= link.parse(m.TIME, payload)[0]["t_us"] <= 2_050_000
    link.close()
    logger.close()


@pytest.fixture
def board(tmp_path):
    """An empty board that runs in a thread."""
    card = tmp_path / "card.img"
    prepare_raw(card, 512)
    args = {"card": str(card), "device_id": ID, "seed": 1, "settings": {"car": "C01"}}
    folder = tmp_path / "flash"
    folder.mkdir()
    (folder / "slot.a").touch()
    (folder / "a.app").write_bytes(bytes(100))  # torn: main.py would not start it
    logger = LiveLogger(args, flash=folder, blank=True)
    ended = threading.Event()
    thread = threading.Thread(target=logger.run, args=(ended.is_set,))
    thread.start()
    yield logger, folder
    ended.set()
    thread.join()
    logger.close()


def test_an_empty_board_is_flashed_and_flashed_again(board):
    """Its clock goes on: the second boot does not begin before the first has ended."""
    logger, folder = board
    assert logger.app is None
    port, seen = logger.port, []
    for name, slot in (("one", 1), ("two", 0)):
        app = App("pico_mcp2515", "armv6m", (), pack_app({"start.py": name.encode() * 50}))
        hello = flash(
            port,
            lambda tries: Link(open_stream(port), port, tries=tries),
            Remote(port),
            despite_sessions=True,
            make_app=lambda state, kind, app=app: app,
        )
        seen.append((logger.world.clock.boot_us, logger.world.clock.now_us))
        assert (hello.slot, hello.device_id.hex()) == (slot, ID)
        assert logger.app.state == m.STATE_RECORDING
        assert (folder / f"{'ab'[slot]}.app").read_bytes() == app.content
    assert seen[0][0] < 1_000_000 and seen[0][1] < seen[1][0]
