"""What verbs over many loggers say of strangers, which loggers they choose, and flash --all."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from made_replies import reply

from slog import messages as m
from stagelog.cli._park import adopted, expected_units, refuse_port
from stagelog.errors import DeviceError, UsageError
from stagelog.park import flashing
from stagelog.park.fleet import load_fleet
from stagelog.park.unit import GOOD, WARN, Outcome, Unit
from stagelog.park.works import Download
from stagelog.replies import Hello

FLEET = """schema = "stagelog.fleet.v1"
[event]
name = "E"
[[car]]
name = "C01"
profile = "d7xr"
[[logger]]
device_id = "0000000000000001"
car = "C01"
place = "front"
[[logger]]
device_id = "0000000000000002"
car = "C01"
"""


@pytest.fixture
def fleet(tmp_path):
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET)
    return load_fleet(path)


def hello_of(number, car):
    return reply(Hello, m.HELLO_REPLY, device_id=bytes(7) + bytes([number]), car=car, slot=1)


def test_a_second_logger_that_claims_a_car_is_named_and_left_alone(fleet):
    unit = adopted(fleet, "0000000000000009", hello_of(9, b"C01"))
    assert unit.outcome.verdict == WARN and unit.outcome.text.endswith(
        "It says that it is of car C01, whose loggers are front, 0000000000000002"
    )
    stranger = adopted(fleet, "0000000000000009", hello_of(9, b"\x1b[2J"))
    assert "add it as a [[logger]]" in stranger.outcome.text
    assert "\x1b" not in stranger.outcome.text


def test_a_logger_of_the_fleet_that_is_left_out_is_no_stranger(fleet):
    """sync --only C02 erases on C02 alone: C01's logger is in the fleet file all the same."""
    front = adopted(fleet, "0000000000000001", hello_of(1, b"C01"))
    assert (front.name, front.outcome.text) == (
        adopted(fleet, "0000000000000001", None, True).name,
        "left out: nothing of it was downloaded",
    )


def test_without_a_fleet_file_every_logger_is_welcome():
    assert adopted(None, "0000000000000009", hello_of(9, b"C07")).car == "C07"
    blank = adopted(None, "0000000000000009", None)
    assert (blank.car, blank.outcome) == ("0000000000000009", None)


def test_only_chooses_by_car_place_and_id(fleet):
    def ids(*only):
        return [unit.device_id[-1] for unit in expected_units(fleet, only)]

    assert ids() == ["1", "2"] and ids("c01") == ["1", "2"]
    assert ids("front") == ["1"] and ids("0000000000000002", "front") == ["2", "1"]
    assert ids("C01", "front") == ["1", "2"]  # each once
    with pytest.raises(UsageError, match="no logger, car or place is called C09"):
        ids("C09")
    with pytest.raises(UsageError, match="--only without a fleet file"):
        expected_units(None, ("C01",))


def test_one_port_or_all():
    refuse_port("P", False, ())
    refuse_port(None, True, ("C01",))
    for words in (("P", True, ()), (None, False, ("C01",))):
        with pytest.raises(UsageError):
            refuse_port(*words)


@pytest.mark.parametrize("name", ["../../x", "..", "/etc", "C:\\x", "a\0b", "CON", "\u202e"])
def test_nothing_leaves_the_archive(tmp_path, name):
    """Names of event, car and stage as a device or a person may give them."""
    work = Download(Unit("00" * 8, name), tmp_path / "archive", name, name)
    inside = work._folder.resolve().relative_to((tmp_path / "archive").resolve())
    assert [part.partition("=")[0] for part in inside.parts] == ["event", "car", "stage"]


def test_the_firmware_is_built_once_for_all_boards_of_a_kind(monkeypatch):
    built = []

    def build(state, kind):
        built.append(state.machine)
        time.sleep(0.05)
        return object()

    monkeypatch.setattr(flashing, "app_for", build)
    monkeypatch.setattr(flashing, "_built", {})
    states = [SimpleNamespace(machine=f"board {n % 2}", mpy=1) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        apps = list(pool.map(lambda state: flashing.app_once(state, None), states))
    assert sorted(built) == ["board 0", "board 1"] and len(set(apps)) == 2


class Prompt:
    """A board at MicroPython's prompt with an id of its own."""

    def __init__(self, port):
        if port == "silent":
            raise DeviceError("no prompt")

    def stop(self):
        pass

    def exec(self, code):
        assert "unique_id" in code
        return "MicroPython banner\r\nid e66038b7130f2e29\r\n"


def test_a_blank_board_is_known_by_its_chip_and_no_other_device_is_asked(monkeypatch):
    monkeypatch.setattr(flashing, "simulator_ports", lambda: ["sim", "silent"])
    assert flashing.id_of_board("sim", Prompt) == "e66038b7130f2e29"
    assert flashing.id_of_board("silent", Prompt) is None
    assert flashing.id_of_board("/dev/ttyUSB9", pytest.fail) is None  # somebody's modem


class ClosedLink:
    name = "P"

    def __init__(self, *_):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_flash_gives_the_port_to_mpremote_and_says_what_runs(monkeypatch, tmp_path):
    seen = {}

    def flash(port, open_link, board, **options):
        seen.update(options, port=port, closed=link.closed)
        options["say"]("write 7 bytes into slot B")
        return hello_of(1, b"")

    link = ClosedLink()
    unit = Unit("0000000000000001", "C01")
    monkeypatch.setattr(flashing, "flash", flash)
    monkeypatch.setattr(flashing, "Remote", lambda port: None)
    monkeypatch.setattr(flashing, "open_stream", lambda port: None)
    monkeypatch.setattr(flashing, "LiveLink", ClosedLink)
    done = flashing.Flash(unit, None, tmp_path, "pico_mcp2515")(link)
    assert (done.verdict, done.text) == (GOOD, "firmware 0.0.0 runs from slot B")
    assert seen["port"] == "P" and seen["closed"] == 1 and unit.step.startswith("write 7")
    assert seen["kind"] == "pico_mcp2515" and seen["despite_sessions"] is False
    assert threading.active_count() < 20


def test_a_confirmation_for_an_unknown_car_is_refused(tmp_path, monkeypatch, run):
    (tmp_path / "fleet.toml").write_text(FLEET)
    monkeypatch.chdir(tmp_path)
    code, _, err = run("check", "--confirmed", "C09", "--wait-s", "0", "--no-sign")
    assert code == 2 and "--confirmed C09: there is no such car" in err and "C01" in err


@pytest.mark.parametrize("verb", ["check", "provision"])
@pytest.mark.parametrize("words", [("--all",), ("--only", "C01")])
def test_a_port_with_words_for_many_is_refused(tmp_path, monkeypatch, run, verb, words):
    """The words were passed over: PORT alone was checked."""
    (tmp_path / "fleet.toml").write_text(FLEET)
    monkeypatch.chdir(tmp_path)
    code, _, err = run(verb, "/dev/no_port", *words, *(("--yes",) if verb == "provision" else ()))
    assert code == 2 and f"a port with {words[0]}" in err


def test_a_check_of_one_car_signs_no_line_for_another(fleet, run, tmp_path, monkeypatch):
    """The loggers of C02 answer, too: its last light stays what it was."""
    text = open(fleet.path).read() + '[[car]]\nname = "C02"\nprofile = "d7xr"\n'
    text += '[[logger]]\ndevice_id = "0000000000000003"\ncar = "C02"\n'
    open(fleet.path, "w").write(text)
    monkeypatch.setenv("STAGELOG_FLEET", fleet.path)
    units = [Unit("0000000000000001", "C01", "front"), Unit("0000000000000002", "C01")]
    for unit in units:
        unit.end(Outcome(GOOD, "cleared"))
    left_out = adopted(load_fleet(fleet.path), "0000000000000003", hello_of(3, b"C02"), True)
    monkeypatch.setattr("stagelog.cli.check.run_many", lambda *_, **__: [*units, left_out])
    code, out, err = run("check", "--only", "C01", "--archive", tmp_path / "a", "--by", "Ann")
    assert code == 0 and [path.parent.parent.name for path in tmp_path.rglob("checks.jsonl")] == [
        "car=C01"
    ], out + err
