"""The service link over TCP, with real sockets on loopback: the firmware's end runs on CPython, on
MicroPython's unix ports (64 and 32 bits), the host's end is `stagelog.radio`.

What a stranger sends is made here by hand, with Python's own hmac.
"""

import hashlib
import hmac
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slog import messages as m
from slog import radio
from stagelog.card import prepare_raw
from stagelog.errors import DeviceError, PortBusy, PortRefused
from stagelog.link import Link
from stagelog.proof import device_key, new_key, own_key
from stagelog.radio import RadioStream
from stagelog.resources import firmware_path
from stagelog.rig.runtimes import find_runtime

HOST = Path(__file__).resolve().parents[2] / "host"
ID = "53494d3030303031"
RUNTIMES = ["cpython", "unix64", "unix32"]


def code(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.fixture
def key(tmp_path, monkeypatch):
    """The key of the logger, as `stagelog provision` would give it."""
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "keys"))
    new_key("team")
    return device_key(own_key(), ID)


class Server:
    """The logger, its radio on."""

    def __init__(self, runtime, folder, key, **args):
        binary = sys.executable if runtime == "cpython" else find_runtime(runtime)
        if binary is None:
            pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
        card = folder / "card.img"
        prepare_raw(card, 256)
        self.number = free_port()
        paths = os.pathsep.join((str(firmware_path()), str(HOST)))
        args = {
            "card": str(card),
            "seconds": 60,
            "wifi": {"key": key.hex(), "port": self.number},
            **args,
        }
        self.process = subprocess.Popen(
            [binary, str(Path(__file__).with_name("radio_server.py"))],
            env={
                **os.environ,
                "MICROPYPATH": paths,
                "PYTHONPATH": paths,
                "STAGELOG_SIM": json.dumps(args),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line == "open 2\n", self.process.stderr.read()  # 2: the own access point
        self.url = f"tcp://127.0.0.1:{self.number}"

    def link(self):
        return Link(RadioStream(self.url), self.url)

    def socket(self):
        """Return a connection on which nothing was said yet."""
        made = socket.create_connection(("127.0.0.1", self.number), 5)
        made.settimeout(8)
        return made

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(params=RUNTIMES)
def server(request, tmp_path, key):
    made = Server(request.param, tmp_path, key)
    yield made
    made.close()


@pytest.fixture
def quick(tmp_path, key):
    """On CPython alone, for what does not depend on the runtime."""
    made = Server("cpython", tmp_path, key)
    yield made
    made.close()


def take(sock, n):
    data = b""
    while len(data) < n:
        chunk = sock.recv(n - len(data))
        if not chunk:
            break
        data += chunk
    return data


def challenged(sock):
    """Return (device id, nonce) of a challenge: 8 bytes magic, version, 8 bytes, 16 bytes."""
    wire = take(sock, 33)
    assert wire[:9] == b"STAGELOG\x01"
    return wire[9:17], wire[17:]


def greeted(server, key, nonce=bytes(range(16))):
    """Return (socket, key of the host's pieces, key of the logger's) after a good greeting."""
    sock = server.socket()
    device_id, theirs = challenged(sock)
    link = code(key, b"stagelog radio 1")
    sock.sendall(nonce + code(link, b"host", device_id, theirs, nonce))
    verdict = take(sock, 33)
    assert verdict == b"\0" + code(link, b"logger", device_id, theirs, nonce)
    pieces = [
        code(link, b"pieces of ", side, device_id, theirs, nonce) for side in (b"host", b"logger")
    ]
    return sock, *pieces


def sealed(key, number, data):
    wire = struct.pack("<H", len(data)) + data
    return wire + code(key, struct.pack("<I", number), wire)[:16]


def refusal(sock, key, number=0):
    """Return the status of the refusal that comes, and check that nothing comes after it."""
    wire = take(sock, 19)
    assert wire[:2] == b"\0\0"
    assert wire[3:] == code(key, struct.pack("<I", number), wire[:3])[:16]
    assert sock.recv(1) == b""
    return wire[2]


def test_a_host_with_the_key_talks_as_on_a_cable(server):
    link = server.link()
    try:
        hello = link.hello()
        assert hello.device_id.hex() == ID and hello.state == m.STATE_IDLE
        session = link.list_sessions()[0]
        blocks = dict(link.read_blocks([session.position]))
        assert blocks[session.position][:2] == b"SL" and len(blocks[session.position]) == 4096
    finally:
        link.close()
    for _ in range(20):
        again = server.link()
        assert again.hello().device_id.hex() == ID, "who hung up may come back at once"
        again.send(m.STATUS, b"")
        again.close()


def test_a_wrong_key_is_refused(server, key):
    sock = server.socket()
    device_id, theirs = challenged(sock)
    wrong = code(bytes(32), b"stagelog radio 1")
    sock.sendall(bytes(16) + code(wrong, b"host", device_id, theirs, bytes(16)))
    assert take(sock, 34) == bytes([radio.WRONG_KEY]) + bytes(32), "a status, no proof, the end"


def test_an_answer_to_an_old_challenge_is_refused(server, key):
    """Recorded from a good greeting, word by word."""
    sock = server.socket()
    device_id, theirs = challenged(sock)
    link = code(key, b"stagelog radio 1")
    answer = bytes(16) + code(link, b"host", device_id, theirs, bytes(16))
    sock.sendall(answer)
    assert take(sock, 33)[0] == radio.OK
    sock.close()
    time.sleep(0.1)
    sock = server.socket()
    _, fresh = challenged(sock)
    assert fresh != theirs
    sock.sendall(answer)
    assert take(sock, 34) == bytes([radio.WRONG_KEY]) + bytes(32)


@pytest.mark.parametrize("n", [1281, 65535])
def test_a_piece_that_is_too_long_ends_the_connection(server, key, n):
    sock, ours, theirs = greeted(server, key)
    sock.sendall(struct.pack("<H", n))
    sock.sendall(bytes(4))
    assert refusal(sock, theirs) == radio.TOO_LONG


def test_an_altered_a_repeated_and_a_lost_piece_end_the_connection(server, key):
    for pieces in (
        lambda k: sealed(k, 0, b"\0\0")[:-1] + b"?",
        lambda k: sealed(k, 0, b"\0\0") + sealed(k, 0, b"\0\0"),
        lambda k: sealed(k, 1, b"\0\0"),
    ):
        sock, ours, theirs = greeted(server, key)
        sock.sendall(pieces(ours))
        assert refusal(sock, theirs) == radio.ALTERED
        sock.close()


def test_a_connection_that_says_nothing_is_closed_and_holds_nobody_up(server):
    """3 s, and the next one is served: the system holds it meanwhile."""
    t0_s = time.monotonic()
    mute = server.socket()
    challenged(mute)
    link = server.link()
    assert link.hello().device_id.hex() == ID
    assert 2.5 < time.monotonic() - t0_s < 8
    assert take(mute, 34) == bytes([radio.TOO_SLOW]) + bytes(32)
    link.close()


def test_half_an_answer_is_closed_too(quick):
    sock = quick.socket()
    challenged(sock)
    sock.sendall(bytes(20))
    assert take(sock, 34) == bytes([radio.TOO_SLOW]) + bytes(32)


def test_a_second_computer_is_refused_while_the_first_works(server):
    link = server.link()
    link.hello()
    with pytest.raises(PortBusy, match="another computer uses this logger"):
        server.link()
    assert link.hello().device_id.hex() == ID, "the first one goes on"
    link.close()


def test_a_second_computer_takes_over_from_one_that_is_silent(quick, key):
    """10 s: a computer that fell asleep leaves a connection that looks alive."""
    first = quick.link()
    first.hello()
    time.sleep(10.2)
    second = quick.link()
    assert second.hello().device_id.hex() == ID
    with pytest.raises(PortRefused, match="another computer"):
        first.hello()
    second.close()


def test_a_second_computer_without_the_key_never_takes_over(quick, key):
    first = quick.link()
    first.hello()
    for _ in range(3):
        sock = quick.socket()
        challenged(sock)
        sock.sendall(bytes(48))
        assert take(sock, 34)[0] == radio.WRONG_KEY
    assert first.hello().device_id.hex() == ID
    first.close()


def test_garbage_and_pulled_connections_leave_it_serving(quick, key):
    for wire in (b"GET / HTTP/1.1\r\n\r\n" * 4, bytes(48), b"\xff" * 5000):
        with quick.socket() as sock:
            sock.sendall(wire)
    for cut in range(1, 24, 7):
        sock, ours, _ = greeted(quick, key)
        sock.sendall(sealed(ours, 0, b"\0\0\0\0\0\0")[:cut])
        sock.close()
        time.sleep(0.05)
    link = quick.link()
    assert link.hello().device_id.hex() == ID
    link.close()


def test_a_logger_that_cannot_prove_its_key_is_refused(tmp_path, key):
    """Somebody answers in the logger's place with its id, which is no secret."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            sock, _ = listening.accept()
            sock.sendall(b"STAGELOG\x01" + bytes.fromhex(ID) + bytes(16))
            take(sock, 48)
            sock.sendall(b"\0" + hashlib.sha256(b"a guess").digest())
            sock.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(PortRefused, match="cannot prove it"):
            RadioStream(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


def test_another_logger_on_the_address_is_refused(quick):
    with pytest.raises(PortRefused, match=f"is logger {ID}, not 0123456789abcdef"):
        RadioStream(quick.url, "0123456789abcdef")


def test_a_computer_without_a_key_says_what_it_lacks(quick, tmp_path, monkeypatch):
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "nothing"))
    with pytest.raises(PortRefused, match="this computer has no team's key"):
        RadioStream(quick.url)


def test_nobody_there_is_a_device_error():
    with pytest.raises(DeviceError, match="service switch"):
        RadioStream(f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(DeviceError, match="names no port"):
        RadioStream("tcp://127.0.0.1")


# What the bare machine lacks: its serial port is the one connection that comes.
BARE = """
import logger.tcp_link
from slog import radio
from stagelog.rig.rv32.guest import RamImage, UartLink
from stagelog.rig.sim.assemble import DEFAULTS, build
from stagelog.rig.sim.models import NoLink
from stagelog.rig.sim.world import World

class Os:
    @staticmethod
    def urandom(n):
        return bytes(NONCE)

class Connection(UartLink):
    def setblocking(self, flag):
        pass

    def recv(self, n):
        buf = bytearray(n)
        n = self.read(buf)
        if not n:
            raise OSError(11)
        return bytes(buf[:n])

    def send(self, wire):
        return self.write(wire, 0, len(wire))

    def close(self):
        pass

class Port:
    n_left = 1

    def accept(self):
        if not self.n_left:
            raise OSError(11)
        self.n_left = 0
        return (Connection(),)

    def close(self):
        pass

logger.tcp_link.os = Os
args = dict(DEFAULTS)
args["wifi"] = {"key": KEY, "port": 0}
app = build(args, NoLink(), image=RamImage(SECTORS))
app._open_port = Port
app.start()
world = World(app, (), 1000)
world.run_for(1000000)
app.board.switch.is_closed = True
world.run_for(2000000)
answer = app.is_in_service
"""


def test_a_risc_v_proves_its_key_over_a_socket(tmp_path, key):
    """The logger on a 32-bit RISC-V without a network of its own: what a real connection on
    loopback carries goes through its serial port. The challenge, the proofs and each piece are
    computed there.
    """
    import threading

    from stagelog.rig.runtimes import find_qemu

    image, qemu = find_runtime("rv32"), find_qemu()
    if image is None or qemu is None:
        pytest.skip("no MicroPython for the RISC-V machine: run tools/runtimes rv32")
    from stagelog.flash.build import compile_module
    from stagelog.rig.rv32 import layout
    from stagelog.rig.rv32.machine import Machine

    card = tmp_path / "card.img"
    prepare_raw(card, 64)
    content = card.read_bytes()
    machine = Machine(tmp_path, image, qemu)
    is_over = threading.Event()
    bridge = None
    try:
        machine.start({"socket.mpy": compile_module("socket.py", "", "rv32imc")})
        machine.write(layout.CARD, content)
        names = f"KEY = {key.hex()!r}\nSECTORS = {len(content) // 512}\n"
        names += f"NONCE = {list(os.urandom(16))}\n"
        assert machine.call(names + BARE) == "True"
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def carry():
                sock, _ = listening.accept()
                sock.setblocking(False)
                while not is_over.is_set():
                    try:
                        machine.send(sock.recv(4096))
                    except BlockingIOError:
                        pass
                    machine.call("world.run_for(5000)")
                    if wire := machine.take(65536):
                        sock.sendall(wire)
                sock.close()

            bridge = threading.Thread(target=carry)
            bridge.start()
            url = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
            link = Link(RadioStream(url, ID), url)
            session = link.list_sessions()[0]
            blocks = dict(link.read_blocks([session.position]))
            assert blocks[session.position][:2] == b"SL"
            is_over.set()
            bridge.join()
    finally:
        is_over.set()
        if bridge is not None:
            bridge.join()
        machine.close()
