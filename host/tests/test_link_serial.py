"""A serial port that is real to the program: a pseudo-terminal, whose other end we hold."""

import errno
import os
import pty
import time
import tty

import pytest

from stagelog.errors import DeviceError, PortBusy
from stagelog.ports import SerialStream


@pytest.fixture
def line():
    """Return (our end, name of the other end)."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    for end in (ours, theirs):
        try:
            os.close(end)
        except OSError:
            pass


def test_a_read_takes_no_more_than_it_was_asked_for_and_loses_nothing(line):
    ours, name = line
    stream = SerialStream(name)
    os.write(ours, b"0123456789")
    time.sleep(0.05)
    assert stream.read(4) == b"0123" and stream.read(100) == b"456789"
    stream.close()


def test_a_read_of_a_silent_line_returns_after_20_ms(line):
    stream = SerialStream(line[1])
    begin_s = time.monotonic()
    assert stream.read(65536) == b""
    assert 0.015 < time.monotonic() - begin_s < 10  # of a line that waits for ever
    stream.close()


def test_a_port_has_one_user(line):
    stream = SerialStream(line[1])
    with pytest.raises(PortBusy, match="in use by another program; close the other program"):
        SerialStream(line[1])
    stream.close()
    SerialStream(line[1]).close()


@pytest.mark.parametrize("act", ["read", "write"])
def test_a_line_that_is_gone_is_an_error_with_its_port(line, act):
    """The other end is closed, as by a cable that is pulled out."""
    ours, name = line
    stream = SerialStream(name)
    os.close(ours)
    with pytest.raises(DeviceError, match=f"{name} is gone: .*; plug the cable in") as caught:
        for _ in range(3):
            stream.read(10) if act == "read" else stream.write(b"hello")
    assert "what was received is kept" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((errno.EPERM, "could not open port /dev/x"), "no permission"),
        ((errno.EIO, "could not open port /dev/x: PermissionError"), "cannot open /dev/x: .Errno"),
        ((errno.EIO, "port /dev/x: FileNotFoundError"), "cannot open /dev/x: .Errno"),
        (("could not open port 'COM3': OSError(22, '')",), "cannot open /dev/x: could not open"),
    ],
)
def test_the_cause_is_what_the_system_says_where_it_gives_a_number(arguments, words, monkeypatch):
    import serial

    def refuse(*_, **__):
        raise serial.SerialException(*arguments)

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(DeviceError, match=words) as caught:
        SerialStream("/dev/x")
    assert not isinstance(caught.value, PortBusy)
