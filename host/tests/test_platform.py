"""The verbs where a laptop is not a Linux: without what Windows lacks (windows_like.py), and on
TCP ports in place of pseudo-terminals.

The first hour of an engineer is typed in one folder, step after step, each in a process of its
own; a step names its exit code and words that it must print.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stagelog.errors import DeviceError
from stagelog.link import Link
from stagelog.platform import files
from stagelog.ports import SocketStream, list_ports, simulator_folder, simulator_ports
from stagelog.rig.live import LiveLogger, TcpLink, announced

ROOT = Path(__file__).resolve().parents[2]
LIKE = Path(__file__).with_name("windows_like.py")
WINDOWS = [sys.executable, "-X", "warn_default_encoding", str(LIKE)]
LOG, DBC = ROOT / "host/examples/drive.log.gz", ROOT / "dbc/d7xr.dbc"
# 2 s of the car's five speeds of message: 3,734 frames, as `drive` counts them for the same seed.
N = "3,734"

STEPS = [  # exit code, command, words in what it prints
    (0, "--version", "stagelog"),
    (0, "--help", "Exit codes"),
    (0, "drive light_crest --duration 2 --out d.log", f"{N} frames"),
    (0, f"info {LOG}", "37,340 frames"),
    (0, "convert d.log d.slog", f"{N} frames read"),
    *((0, f"convert d.log d.{kind}", f"{N} frames read") for kind in ("asc", "blf", "mf4", "trc")),
    *((0, f"info d.{kind}", N) for kind in ("asc", "blf", "mf4", "slog", "trc")),
    *((0, f"convert d.slog v.{kind} --dbc {DBC}", "values") for kind in ("csv", "ld", "mcap")),
    (0, "verify d.slog", "foreign log"),
    (0, f"decode d.slog --dbc {DBC} --out decoded", f"{N} of {N} frames decoded"),
    (0, f"dbc check {DBC}", "no defects"),
    (0, f"dbc show {DBC} EngSpd", "rpm"),
    (0, "dbc new --log d.slog --out new.dbc", "guesses"),
    (0, f"profile new --dbc {DBC} --log d.slog --out new.toml", "roles proposed"),
    (0, "profile check new.toml", "everything fits"),
    (0, "report d.slog --profile new.toml --out short.html", "What is in this log?"),
    (0, f"plot d.slog --dbc {DBC} --strip EngSpd --out speed.svg", "speed.svg"),
    (0, "report d.slog --out report.html", "report.html"),
    (0, "replay d.log --bus virtual:x --bound-us 5e6", f"{N} of {N} frames"),
    (0, "replay d.log --closed-loop", "SAME"),
    (0, "card prepare card.img --size 48MiB", "prepared"),
    (0, "card read card.img", "0 sessions"),
    (0, "loggers", "socket://"),
    (1, "status", "SILENT"),
    (1, "status <port>", "SILENT"),
    (0, "settings <port>", "bitrate_bps"),
    (0, "watch <port> --duration 0.5", ""),
    (0, "download --archive a --event E1 --stage S1 --stop", "complete"),
    (0, "verify a", "COMPLETE"),
    (0, f"query --archive a --dbc {DBC} 'select count(*) as n from ENG_1'", "n"),
    (0, "report a --out stage.html", "COMPLETE"),
    (0, "download --archive a --event E1 --stage S1 --again", ""),
    (0, "erase --archive a --yes", "erased"),
    (3, "flash COM77 --yes", "COM77"),
    (3, "status COM77", "no such port"),
    (2, "sim --target rp2040 --tcp 0", "--tcp"),
]
IDS = [words.split(f" {ROOT}")[0] for _, words, _ in STEPS]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder, with a temporary folder of its own."""
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "tmp").mkdir()
    return folder


def on_windows(place, *words):
    environment = os.environ | {"TMPDIR": str(place / "tmp"), "PYTHONUNBUFFERED": "1"}
    environment.pop("XDG_RUNTIME_DIR", None)
    return [*WINDOWS, *words], {"cwd": place, "env": environment, "text": True}


@pytest.fixture(scope="module")
def port(place):
    """A simulated logger that has recorded 3 s, as Windows would start it; the port it prints."""
    words = "sim --drive light_crest --duration 3 --fast --car C03".split()
    command, options = on_windows(place, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as logger:
        yield logger.stdout.readline().strip()
        logger.send_signal(signal.SIGTERM)
        assert logger.wait(20) == 0
    assert not list((place / "tmp").rglob("sim-*")), "it leaves its port behind"


@pytest.mark.parametrize(("code", "words", "shown"), STEPS, ids=IDS)
def test_a_verb_needs_nothing_that_windows_lacks(place, port, code, words, shown):
    command, options = on_windows(place, *shlex.split(words.replace("<port>", port)))
    done = subprocess.run(command, capture_output=True, timeout=120, **options)
    printed = done.stdout + done.stderr
    assert done.returncode == code and "Traceback" not in printed, printed
    assert shown in printed
    left = [path.name for path in (place / "tmp").iterdir() if "stagelog-sim" not in path.name]
    assert set(left) <= {"stagelog"}, "a temporary folder stays: a file in it was open or mapped"


def test_a_tcp_port_carries_what_a_cable_carries(tmp_path):
    """HELLO, a host that hangs up in the middle of a request, and the next host."""
    from stagelog.card import prepare_raw

    prepare_raw(tmp_path / "card.img", 64)
    args = {"card": str(tmp_path / "card.img"), "settings": {"car": "C07"}}
    logger = LiveLogger(args, tcp=0)
    ended = threading.Event()
    thread = threading.Thread(target=logger.run, args=(ended.is_set,))
    thread.start()
    try:
        for _ in range(2):
            link = Link(SocketStream(logger.port))
            assert link.hello().car.rstrip(b"\0") == b"C07"
            link.close()
        stream = SocketStream(logger.port)
        stream.write(b"\x05half a")
        stream.close()
        link = Link(SocketStream(logger.port))
        assert link.hello().boot == 1
        link.close()
    finally:
        ended.set()
        thread.join()
        logger.close()
    with pytest.raises(DeviceError, match="is its simulator running"):
        SocketStream(logger.port)


@pytest.mark.parametrize("url", ["socket://", "socket://host", "socket://host:", "socket://:7x"])
def test_a_tcp_port_is_named_with_host_and_number(url):
    with pytest.raises(DeviceError, match="names no port"):
        SocketStream(url)


def test_a_tcp_port_that_is_taken_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with pytest.raises(DeviceError, match=f"TCP port {number}"):
            TcpLink(number)


def test_a_simulator_that_was_killed_leaves_no_port_to_write_to(tmp_path, monkeypatch):
    """Its pseudo-terminal goes to whoever opens the next one; its link must not name it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    somebody, terminal = os.openpty()
    folder = Path(simulator_folder())
    folder.mkdir()
    (folder / f"sim-{gone.pid}").symlink_to(os.ttyname(terminal))
    young = folder / f"sim-{os.getpid()}"  # a number that went to another process since
    young.symlink_to(os.ttyname(terminal))
    os.utime(young, (1e9, 1e9), follow_symlinks=False)
    assert simulator_ports() == [] and list(folder.iterdir()) == []
    with announced(os.ttyname(terminal), f"sim-{os.getpid()}") as path:
        assert path in list_ports()
    with announced("socket://127.0.0.1:7000", f"sim-{os.getpid()}") as path:
        assert path == "socket://127.0.0.1:7000" and path in list_ports()
    os.close(somebody)
    os.close(terminal)


@pytest.mark.parametrize("is_link", [True, False])
def test_a_simulator_whose_cable_is_pulled_while_it_is_looked_for_is_no_port(
    monkeypatch, tmp_path, is_link
):
    """The name of its port goes between the listing of the folder and the look at it; a run of
    'sync' with five loggers ended there.
    """
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = Path(simulator_folder())
    folder.mkdir(parents=True)
    entry = folder / f"sim-{os.getpid()}"
    if is_link:
        entry.symlink_to(tmp_path)
    else:
        entry.write_text("socket://127.0.0.1:9", encoding="ascii")
    assert len(simulator_ports()) == 1

    class Process:
        def __init__(self, number):
            assert number == os.getpid()

        def create_time(self):
            entry.unlink()
            return 0.0

    monkeypatch.setattr("psutil.Process", Process)
    assert simulator_ports() == []


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_simulator_whose_terminal_is_closed_takes_its_port_with_it(tmp_path, how):
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    command = [sys.executable, "-c", "from stagelog.cli import main; main()", "sim"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as logger:
        assert Path(logger.stdout.readline().decode().strip()).is_symlink()
        logger.send_signal(how)
        assert logger.wait(20) == 0
    assert not list(tmp_path.rglob("sim-*"))


class Windows:
    """What the module `os` is to platform.files on Windows; `held` counts refused renames."""

    name = "nt"

    def __init__(self, held=0):
        self.held = held

    def __getattr__(self, name):
        return getattr(os, name)

    def replace(self, source, target):
        if self.held:
            self.held -= 1
            raise PermissionError(13, "it is being used by another process")
        os.replace(source, target)

    def open(self, path, flags):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return os.open(path, flags)


@pytest.mark.parametrize(("held", "done"), [(0, True), (19, True), (20, False)])
def test_a_rename_waits_for_a_scanner_that_holds_the_file(tmp_path, monkeypatch, held, done):
    """20 tries, 50 ms apart: 19 refusals are outlived, 20 are not."""
    monkeypatch.setattr(files, "os", Windows(held))
    monkeypatch.setattr(files.time, "sleep", lambda s: None)
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    if done:
        files.replace(tmp_path / "a", tmp_path / "b")
    else:
        with pytest.raises(PermissionError):
            files.replace(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == ("new" if done else "old")


def test_elsewhere_a_refused_rename_is_an_error_at_once(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(files.time, "sleep", slept.append)
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13)))
    with pytest.raises(PermissionError):
        files.replace(tmp_path / "a", tmp_path / "b")
    assert not slept


@pytest.mark.parametrize("system", [os, Windows()], ids=["posix", "nt"])
def test_a_locked_folder_keeps_a_second_one_out(tmp_path, monkeypatch, system):
    """Two threads, each 20 times: nobody is inside while another one is."""
    monkeypatch.setattr(files, "os", system)
    inside, seen = [], []

    def work():
        for _ in range(20):
            with files.locked_folder(tmp_path):
                inside.append(1)
                seen.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 40
    assert [path.name for path in tmp_path.iterdir()] == (
        [] if system is os else [".stagelog.lock"]
    )


def test_a_file_is_locked_by_one_at_a_time(tmp_path):
    with open(tmp_path / "x", "w+b") as first, open(tmp_path / "x", "r+b") as second:
        assert files.lock_file(first.fileno()) and not files.lock_file(second.fileno())
    with open(tmp_path / "x", "r+b") as third:
        assert files.lock_file(third.fileno())


ENDED_IN_A_CALLBACK = """
import ctypes, os, signal
from stagelog.platform.terminal import interrupt_on_ending, is_ending

interrupt_on_ending()
assert not is_ending()
ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signal.SIGTERM))()
raise SystemExit(0 if is_ending() else 9)
"""


def test_a_signal_that_ctypes_swallows_is_still_known():
    """What a handler raises while C code calls Python is printed and dropped (ctypes' manual)."""
    words = [sys.executable, "-c", ENDED_IN_A_CALLBACK]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "KeyboardInterrupt" in done.stderr
