"""The service link on this machine: MicroPython's `select`, stdin and stdout are faked."""

import importlib
import sys
import types

import pytest


class Port:
    """The USB port: `come` waits to be read; the host takes `room` more bytes."""

    def __init__(self):
        self.come = bytearray()
        self.gone = bytearray()
        self.room = 1 << 20
        self.interrupts = []
        self.n_writes = 0
        self.buffer = self  # of stdin and stdout

    def readinto(self, buf):
        assert self.come, "a read that waits for the host"
        n = min(len(buf), len(self.come))
        buf[:n] = self.come[:n]
        del self.come[:n]
        return n

    def write(self, buf, at, n):
        self.n_writes += 1
        n = min(n, self.room)
        self.gone += bytes(buf[at : at + n])
        self.room -= n
        return n

    def select(self):
        port = self

        class Poll:
            def register(self, stream, flag):
                self.flag = flag

            def ipoll(self, timeout_ms):
                assert timeout_ms == 0, "a poll that waits"
                ready = port.come if self.flag == 1 else port.room
                return iter([(port, self.flag)] if ready else [])

        return types.SimpleNamespace(poll=Poll, POLLIN=1, POLLOUT=4)


@pytest.fixture
def port(monkeypatch):
    made = Port()
    fake = types.SimpleNamespace(kbd_intr=made.interrupts.append)
    monkeypatch.setitem(sys.modules, "micropython", fake)
    monkeypatch.setitem(sys.modules, "select", made.select())
    monkeypatch.delitem(sys.modules, "drivers.usb_link", raising=False)
    module = importlib.import_module("drivers.usb_link")
    monkeypatch.setattr(module, "sys", types.SimpleNamespace(stdin=made, stdout=made))
    made.link = module.UsbLink()
    yield made
    del sys.modules["drivers.usb_link"]


def test_ctrl_c_is_a_byte_while_the_link_is_open(port):
    """MicroPython: kbd_intr(-1) switches the interrupt off, 3 is Ctrl-C."""
    assert port.interrupts == [-1]
    port.link.close()
    assert port.interrupts == [-1, 3]


@pytest.mark.parametrize("n_come", [0, 1, 5, 8, 9, 20])
def test_a_read_takes_what_has_come_and_waits_for_nothing(port, n_come):
    port.come += bytes(range(1, 1 + n_come))
    buf = bytearray(8)
    assert port.link.read(buf) == min(n_come, 8)
    assert buf == bytes(range(1, 1 + min(n_come, 8))).ljust(8, b"\0")
    assert port.come == bytes(range(9, 1 + n_come))


@pytest.mark.parametrize("n", [1, 64])
def test_a_packet_without_room_is_not_written(port, n):
    port.room = 0
    assert port.link.write(bytes(64), 0, n) == 0 and port.n_writes == 0
    port.room = 1000
    assert port.link.write(bytes(range(100)), 30, n) == n
    assert port.gone == bytes(range(30, 30 + n)), "not from its place"


def test_a_longer_write_waits_only_for_a_host_that_reads(port):
    """The first asks for room; after one that went whole the next need not; after one that went in
    part, as the host stopped reading, the next asks again and is not begun.
    """
    data = bytes(448)
    port.room = 0
    assert port.link.write(data, 0, 448) == 0 and port.n_writes == 0
    port.room = 448
    assert port.link.write(data, 0, 448) == 448
    assert port.link.write(data, 0, 448) == 0 and port.n_writes == 2, "it was not tried"
    assert port.link.write(data, 0, 448) == 0 and port.n_writes == 2, "it waits each time"
    port.room = 100
    assert port.link.write(data, 0, 448) == 100
    assert port.link.write(data, 100, 348) == 0 and port.n_writes == 3
    port.room = 1000
    assert port.link.write(data, 100, 348) == 348


def test_a_packet_asks_for_room_even_if_the_host_reads(port):
    """A write of one packet never waits."""
    assert port.link.write(bytes(448), 0, 448) == 448
    port.room = 0
    assert port.link.write(bytes(64), 0, 64) == 0 and port.n_writes == 1
