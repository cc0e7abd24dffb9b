"""A logger is chosen by its car's name or by its id, as well as by its port."""

import pytest

from stagelog import ports
from stagelog.errors import DeviceError
from stagelog.ports import LoggerPort


class Hello:
    def __init__(self, car, device_id):
        self.car_name, self.device_id = car, bytes.fromhex(device_id)


class Link:
    def __init__(self, stream, port):
        self.port = port

    def hello(self):
        pass


LOGGERS = [
    LoggerPort("/dev/a", Hello("C03", "e66038b7130f2e29")),
    LoggerPort("/dev/b", Hello("C07", "e66038b799999999")),
    LoggerPort("/dev/c", Hello("", "0123456789abcdef")),
    LoggerPort("/dev/d", None, "in use"),
]


@pytest.fixture
def opened(monkeypatch):
    monkeypatch.setattr(ports, "find_loggers", lambda: LOGGERS)
    monkeypatch.setattr(ports, "open_stream", lambda port: None)
    monkeypatch.setattr(ports, "Link", Link)
    return lambda port: ports.open_link(port).port


@pytest.mark.parametrize(
    ("word", "port"),
    [
        ("C03", "/dev/a"),
        ("c07", "/dev/b"),
        ("0123", "/dev/c"),
        ("e66038b79", "/dev/b"),
        ("/dev/d", "/dev/d"),  # a port is opened as it is
        ("COM7", "COM7"),
        ("socket://h:1", "socket://h:1"),
    ],
)
def test_a_name_is_a_car_an_id_or_a_port(opened, word, port):
    assert opened(word) == port


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("e660", r"2 loggers are e660 \(/dev/a, /dev/b\)"),
        ("C99", "no logger of that car or id answers.*there are: C03, C07, 0123456789abcdef"),
    ],
)
def test_what_is_not_one_logger_is_a_device_error(opened, word, says):
    with pytest.raises(DeviceError, match=says):
        opened(word)


def test_every_verb_with_a_port_takes_a_name(monkeypatch, tmp_path, run):
    """Each fails when it opens the port, and names it: /dev/b is C07's."""

    def refuse(port):
        raise DeviceError(f"opened {port}", "stop")

    monkeypatch.setattr(ports, "find_loggers", lambda: LOGGERS)
    monkeypatch.setattr(ports, "open_stream", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archive").mkdir()
    monkeypatch.setattr("stagelog.listen.open_stream", refuse)
    monkeypatch.setattr("stagelog.bringup.bench.open_stream", refuse)
    verbs = (
        ("status",), ("check", "--no-sign"), ("summary",), ("provision", "--yes"),
        ("download",), ("erase", "--yes"),
        ("watch",), ("settings",), ("bringup", "--yes"), ("flash", "--yes"),
    )  # fmt: skip
    for verb in verbs:
        code, _, err = run(*verb, "C07")
        assert (code, "/dev/b" in err) == (3, True), (verb, err)
