"""The commands against simulated loggers on pseudo-terminals: what a user at the car can meet."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from stagelog import ports
from stagelog.card import prepare_raw
from stagelog.errors import DeviceError, PortBusy
from stagelog.ports import SerialStream
from stagelog.rig.live import FastLogger, LiveLogger, announced, open_pty
from stagelog.rig.play import saturated_tape
from stagelog.rig.tape import write_tape

COMMAND = [str(Path(sys.executable).with_name("stagelog"))]
LINGER_US = 3_000_000


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder of simulators of our own; starts loggers by name."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    with contextlib.ExitStack() as stack:

        def start(name, seconds=1, **more):
            tape = saturated_tape(500_000, seconds * 1_000_000)
            write_tape(tmp_path / f"{name}.tape", tape)
            prepare_raw(tmp_path / f"{name}.img", 2048)
            args = {
                "card": str(tmp_path / f"{name}.img"),
                "tape": str(tmp_path / f"{name}.tape"),
                "linger_us": LINGER_US,
                "settings": {"car": name, "buses": [{"bitrate_bps": 500_000}]},
                **more,
            }
            logger = FastLogger(args)
            stack.callback(logger.close)
            logger.wait_until(int(tape["t_us"][-1]) + LINGER_US)
            return stack.enter_context(announced(logger.port, name))

        yield start


def stagelog(*words, cwd=None):
    """Run the command; return (exit code, stdout, stderr)."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, cwd=cwd, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def test_nobody_answers(world):
    code, _, text = stagelog("status")
    assert code == 3 and text.count("\n") == 1 and "no logger answers" in text


def test_one_logger_needs_no_name(world):
    port = world("C03")
    code, out, _ = stagelog("loggers", "--json")
    assert code == 0
    assert [row["port"] for row in json.loads(out)["loggers"]] == [port]
    code, out, _ = stagelog("status", "--json")
    facts = json.loads(out)
    assert facts["car"] == "C03" and facts["dropped0"] == 0
    assert code == 1 and "no frame on a bus" in facts["fault"]


def test_two_loggers_want_a_name(world):
    world("C01")
    second = world("C02")
    code, _, text = stagelog("status")
    assert code == 3 and "2 loggers answer" in text and second in text
    assert stagelog("status", second)[0] == 1


def test_port_in_use_says_so(world):
    import serial

    port = world("C03")
    with serial.Serial(port, exclusive=True):
        code, _, text = stagelog("status", port)
    assert code == 3 and "in use" in text and "close the other program" in text


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        # POSIX: pyserial gives the number of the system's error.
        ((errno.EBUSY, "could not open port /dev/x"), PortBusy, "in use"),
        ((errno.EAGAIN, "Could not exclusively lock port /dev/x"), PortBusy, "in use"),
        ((errno.ENOENT, "could not open port /dev/x"), DeviceError, "no such port"),
        ((errno.EACCES, "could not open port /dev/x"), DeviceError, "dialout"),
        # Windows: only a text, that of serialwin32.py with the name of the system's error.
        (("could not open port 'COM3': PermissionError(13, 'Access')",), PortBusy, "in use"),
        (("could not open port 'COM9': FileNotFoundError(2, '')",), DeviceError, "no such port"),
    ],
)
def test_port_that_does_not_open_says_why(arguments, kind, words, monkeypatch):
    import serial

    def refuse(*_, **__):
        raise serial.SerialException(*arguments)

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(DeviceError, match=words) as caught:
        SerialStream("/dev/x")
    assert type(caught.value) is kind


def test_port_that_is_not_there(world):
    code, _, text = stagelog("status", "/dev/ttyACM77")
    assert code == 3 and "no such port" in text


def test_logger_with_another_contract_is_refused(world, tmp_path):
    firmware = tmp_path / "slog"
    port = world("C03")
    code, out, _ = stagelog("loggers", "--json")
    assert code == 0 and port in out
    program = (
        "import slog.messages as m; m.contract_hash = lambda: bytes(8); "
        f"import sys; sys.argv = ['stagelog', 'status', {port!r}]; "
        "import stagelog.cli; stagelog.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 4 and "contract" in done.stderr and "flash" in done.stderr
    assert not firmware.exists()


def test_download_interrupted_goes_on(world, tmp_path):
    port = world("C03", seconds=4)
    words = [*COMMAND, "download", port, "--archive", str(tmp_path / "a"), "--stage", "SS1"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "a" / "event=unsorted" / "car=C03" / "stage=SS1"
    deadline = time.monotonic() + 20
    while not list(folder.glob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=20)
    if process.returncode == 0:
        pytest.skip("the download was quicker than the interrupt")
    assert process.returncode == 130 and "interrupted" in text and "Traceback" not in text
    # The logger records again; --stop, because it may not have noticed yet that its bus is silent.
    words = ("download", port, "--stop", "--archive", tmp_path / "a", "--stage", "SS1")
    code, out, _ = stagelog(*words)
    assert code == 0 and "complete" in out
    code, out, text = stagelog("verify", folder)
    assert code == 0, out + text
    assert not list(folder.glob("*.part*"))


def test_full_disk_is_one_line_and_loses_nothing(world, tmp_path):
    port = world("C03", seconds=4)
    archive = tmp_path / "a"
    limited = f"ulimit -f 200; exec {COMMAND[0]} download {port} --archive {archive}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=60)
    assert done.returncode == 6 and done.stderr.count("\n") == 1, done.stderr
    code, out, _ = stagelog("download", port, "--archive", archive)
    assert code == 0 and "complete" in out


def test_existing_output_is_not_overwritten(tmp_path):
    path = tmp_path / "drive.tape"
    path.write_bytes(b"mine")
    code, _, text = stagelog("drive", "stage", "--duration", "1", "--out", path)
    assert code == 6 and "exists" in text and path.read_bytes() == b"mine"


def test_live_logger_records_in_real_time(tmp_path):
    prepare_raw(tmp_path / "card.img", 512)
    tape = saturated_tape(500_000, 200_000)
    from stagelog.rig.target import tape_events

    logger = LiveLogger({"card": str(tmp_path / "card.img")}, tape_events(tape))
    deadline = time.monotonic() + 10
    ring = logger.app.board.ring
    logger.run(lambda: ring.state[4] == len(tape) or time.monotonic() > deadline)
    assert ring.state[4] == len(tape)
    assert os.path.exists(logger.port)
    logger.close()


def test_drive_is_written_as_candump_and_as_tape(tmp_path):
    from stagelog.importers import load_frames
    from stagelog.rig.tape import read_tape

    code, out, _ = stagelog("drive", "stage", "--duration", "2", "--out", tmp_path / "a.log")
    assert code == 0 and "frames" in out
    code, out, _ = stagelog(
        "drive", "stage", "--duration", "2", "--out", tmp_path / "a.tape", "--json"
    )
    assert code == 0 and json.loads(out)["seed"] == 1
    assert len(load_frames(tmp_path / "a.log").frames) == len(read_tape(tmp_path / "a.tape"))


def test_settings_and_signal_table_are_replaced(world, tmp_path):
    port = world("C03")
    given = tmp_path / "car.json"
    given.write_text('{"car": "C09", "buses": [{"bitrate_bps": 250000}]}')
    code, out, _ = stagelog(
        "settings", port, "--set", given, "--signals", "d7xr", "--yes", "--json"
    )
    assert code == 0 and json.loads(out)["settings"]["car"] == "C09"
    code, _, text = stagelog("settings", port, "--set", given)
    assert code == 2 and "--yes" in text
    given.write_text('{"flush_ms": 1}')
    code, _, text = stagelog("settings", port, "--set", given, "--yes")
    assert code == 5 and "flush_ms" in text


def test_a_logger_on_cable_and_radio_is_one_and_its_cable_is_used(monkeypatch):
    def answers(port, device_id):
        hello = SimpleNamespace(device_id=bytes.fromhex(device_id), car_name="C1")
        return ports.LoggerPort(port, hello, "")

    found = [answers("/dev/a", "ab" * 8), answers("tcp://192.168.4.1:7011", "ab" * 8)]
    monkeypatch.setattr(ports, "find_loggers", lambda: found)
    assert ports.port_of("C1") == ports.port_of("abab") == "/dev/a"
    found[0] = answers("/dev/a", "cd" * 8)
    with pytest.raises(DeviceError, match="2 loggers are C1"):
        ports.port_of("C1")


@pytest.mark.skipif(os.name != "posix", reason="a lock of POSIX")
def test_a_closed_port_is_free_although_a_new_process_has_its_file(tmp_path):
    """A process begins with all open files of the one that starts it, and a lock lasts as long as
    one of them is open: 'flash --all' starts mpremote for one board while another is opened again.
    """
    master, slave, port = open_pty()
    stream = SerialStream(port)
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    try:
        with pytest.raises(PortBusy):
            SerialStream(port)
        stream.close()
        SerialStream(port).close()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)
        os.close(slave)
