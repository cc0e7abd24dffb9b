"""Every verb keeps its contract with scripts: its exit codes and the keys of its JSON.

The tables below are what a script is written against. They stand here in full and are derived from
nothing; the verbs are listed from the command itself, so that a new one fails until its lines are
here. A logger is a simulated one in virtual time behind the port PORT.
"""

import itertools
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest

from slog import messages
from stagelog import flash as flash_package
from stagelog import ports
from stagelog.blocks import Identity, pack_session, seal
from stagelog.card import prepare_raw
from stagelog.cli import group, main
from stagelog.download import fetch_session, finish_running
from stagelog.errors import DeviceError
from stagelog.model import FRAME
from stagelog.rig.live import FastLogger
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import SimTarget, tape_events

MANY = ("check", "provision", "sync", "watch")  # print a line of JSON for each change
PORT = "/dev/simulated"
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
"""
FLEET = """schema = "stagelog.fleet.v1"
event = {name = "E"}
car = [{name = "C1", profile = "d7xr"}]
"""
BEYOND = ' SG_ Wide : 60|16@1+ (1,0) [0|0] "" ECU\n'  # bits 60 to 75 of 64
GOOD, BAD, USAGE, DEVICE, CONTRACT, UNREADABLE, UNWRITABLE = range(7)

# verb: [(exit code, its words)]; what has to be there first is in `world`, by name
CASES = {
    "fleet check": [
        (GOOD, "good.toml"),
        (BAD, "bad.toml"),
        (USAGE, ""),
        (UNREADABLE, "junk.slog"),
        (UNREADABLE, "nowhere.toml"),
    ],
    "fleet new": [
        (GOOD, "new.toml"),
        (USAGE, "new.toml more"),
        (UNWRITABLE, "file"),
        (UNWRITABLE, "file/new.toml"),
    ],
    "loggers": [(GOOD, "<logger>"), (USAGE, PORT)],
    "status": [
        (GOOD, PORT),
        (BAD, f"{PORT} <silent>"),
        (USAGE, f"{PORT} {PORT}"),
        (DEVICE, "/dev/other"),
        (DEVICE, "<nobody>"),
        (CONTRACT, f"{PORT} <contract>"),
    ],
    "check": [
        (GOOD, f"{PORT} --archive a --listen-s 0 <recording>"),
        (GOOD, "--archive a --listen-s 0 <recording>"),
        (BAD, f"{PORT} --archive a --listen-s 0 <stopped>"),
        (USAGE, f"{PORT} {PORT}"),
        (DEVICE, "/dev/other --archive a"),
        (CONTRACT, f"{PORT} --archive a <contract>"),
        (UNREADABLE, f"{PORT} --archive broken <stopped>"),
    ],
    "provision": [
        (GOOD, f"{PORT} --yes <fleet>"),
        (BAD, "--yes --wait-s 0 <nobody>"),
        (USAGE, f"{PORT} --yes"),
        (USAGE, PORT),
        (DEVICE, "/dev/other --yes"),
    ],
    "download": [
        (GOOD, f"{PORT} --archive a --stop"),
        (GOOD, f"{PORT} --archive a"),
        (BAD, f"{PORT} --archive a <stopped> <spoilt>"),
        (USAGE, f"{PORT} --archive a --boot 77"),
        (DEVICE, "/dev/other --archive a"),
        (DEVICE, "--archive a <nobody>"),
        (CONTRACT, f"{PORT} --archive a <contract>"),
        (UNWRITABLE, f"{PORT} --archive file --stop"),
    ],
    "sync": [
        (GOOD, "--archive a --yes --no-report <stopped>"),
        (BAD, "--archive a --keep --wait-s 0 <nobody>"),
        (USAGE, "--archive a <logger>"),
        (USAGE, "--archive a --keep --only C9"),
    ],
    "erase": [
        (GOOD, f"{PORT} --archive a --yes <stopped> <archived>"),
        (BAD, f"{PORT} --archive empty --yes <stopped>"),
        (USAGE, f"{PORT} --archive nowhere --yes"),
        (USAGE, f"{PORT} --archive empty <stopped>"),
        (DEVICE, "/dev/other --archive empty --yes"),
        (CONTRACT, f"{PORT} --archive empty --yes <contract>"),
        (UNREADABLE, f"{PORT} --archive broken --yes <stopped>"),
    ],
    "info": [
        (GOOD, "good.slog --ids --events"),
        (USAGE, ""),
        (UNREADABLE, "junk.slog"),
        (UNREADABLE, "nowhere.slog"),
    ],
    "verify": [
        (GOOD, "good.slog"),
        (BAD, "hole.slog"),
        (USAGE, ""),
        (UNREADABLE, "junk.slog"),
        (UNREADABLE, "empty"),
    ],
    "decode": [
        (GOOD, "good.slog --dbc x.dbc --out out"),
        (BAD, "good.slog --dbc other.dbc --out out"),
        (USAGE, "good.slog --dbc x.dbc --out out --rate-Hz 10"),
        (USAGE, "good.slog --out out"),
        (UNREADABLE, "junk.slog --dbc x.dbc --out out"),
        (UNREADABLE, "good.slog --dbc junk.slog --out out"),
        (UNWRITABLE, "good.slog --dbc x.dbc --out file"),
        (UNWRITABLE, "good.slog --dbc x.dbc --out full"),
    ],
    "card prepare": [
        (GOOD, "new.img --size 48MiB"),
        (GOOD, "new.img --size 1MiB --raw"),
        (USAGE, "new.img"),
        (USAGE, "new.img --size 1MiB"),
        (USAGE, "new.img --raw"),
        (UNWRITABLE, "junk.slog"),
        (UNWRITABLE, "file/new.img --size 48MiB"),
        (UNWRITABLE, "empty --size 48MiB"),
    ],
    "card read": [
        (GOOD, "card.img"),
        (USAGE, ""),
        (UNREADABLE, "junk.slog"),
        (UNREADABLE, "good.slog"),
        (UNWRITABLE, "used.img --archive file"),
    ],
    "drive": [
        (GOOD, "light_crest --duration 1 --out new.tape"),
        (GOOD, "light_crest --duration 1 --out new.log"),
        (USAGE, "light_crest"),
        (USAGE, "no_such_drive --out new.tape"),
        (UNWRITABLE, "light_crest --duration 1 --out file"),
        (UNWRITABLE, "light_crest --duration 1 --out file/new.tape"),
        (UNWRITABLE, "light_crest --duration 1 --out file/new.log"),
    ],
    "sim": [
        (GOOD, "--fast <runs>"),
        (USAGE, "--blank"),
        (USAGE, "--stall soon --fast"),
        (USAGE, "--log good.slog --drive stage"),
        (UNREADABLE, "--log junk.slog --fast"),
        (UNWRITABLE, "--card file/new.img --fast"),
    ],
    "flash": [
        (GOOD, f"{PORT} --yes <board>"),
        (USAGE, ""),
        (USAGE, PORT),
        (DEVICE, "/dev/other --yes"),
        (UNREADABLE, f"{PORT} --yes --settings nowhere.json"),
        (UNREADABLE, "--base nowhere.uf2 --yes"),
    ],
    "settings": [
        (GOOD, PORT),
        (GOOD, f"{PORT} --set car.json --yes"),
        (USAGE, f"{PORT} --set car.json"),
        (DEVICE, "/dev/other"),
        (CONTRACT, f"{PORT} <contract>"),
        (UNREADABLE, f"{PORT} --set junk.slog --yes"),
        (UNREADABLE, f"{PORT} --set nowhere.json --yes"),
    ],
    "dbc check": [
        (GOOD, "x.dbc --log good.slog"),
        (BAD, "defect.dbc"),
        (BAD, "other.dbc --log good.slog"),
        (USAGE, ""),
        (UNREADABLE, "junk.slog"),
        (UNREADABLE, "nowhere.dbc"),
        (UNREADABLE, "x.dbc --log junk.slog"),
    ],
    "dbc new": [
        (GOOD, "--log good.slog"),
        (GOOD, "--log good.slog --out new.dbc"),
        (USAGE, ""),
        (UNREADABLE, "--log junk.slog"),
        (UNWRITABLE, "--log good.slog --out file"),
    ],
    "dbc show": [
        (GOOD, "x.dbc"),
        (GOOD, "x.dbc Eng*"),
        (USAGE, "x.dbc NoSuchSignal"),
        (UNREADABLE, "junk.slog"),
    ],
    "profile check": [
        (GOOD, "d7xr"),
        (USAGE, ""),
        (UNREADABLE, "nowhere.toml"),
        (UNREADABLE, "junk.slog"),
    ],
    "profile new": [
        (GOOD, "--dbc x.dbc --log good.slog --out new.toml"),
        (USAGE, "--log good.slog"),
        (UNREADABLE, "--dbc junk.slog"),
        (UNREADABLE, "--dbc x.dbc --log junk.slog"),
        (UNWRITABLE, "--dbc x.dbc --out file"),
    ],
    "plot": [
        (GOOD, "good.slog --dbc x.dbc --strip EngSpd --out new.svg"),
        (USAGE, "good.slog --dbc x.dbc --strip NoSuchSignal --out new.svg"),
        (USAGE, "good.slog --dbc x.dbc --strip , --out new.svg"),
        (UNREADABLE, "junk.slog --dbc x.dbc --strip EngSpd --out new.svg"),
        (UNREADABLE, "good.slog --dbc other.dbc --strip Other --out new.svg"),
        (UNWRITABLE, "good.slog --dbc x.dbc --strip EngSpd --out file"),
        (UNWRITABLE, "good.slog --dbc x.dbc --strip EngSpd --out file/new.svg"),
    ],
    "convert": [
        (GOOD, "good.slog new.log"),
        (GOOD, "good.slog new.csv --dbc x.dbc"),
        (BAD, "error.log new.trc"),
        (USAGE, "good.slog new.doc"),
        (USAGE, "good.slog new.log --rate-Hz 5"),
        (USAGE, "good.slog new.log --signal EngSpd"),
        (UNREADABLE, "junk.slog new.log"),
        (UNREADABLE, "good.slog new.csv --dbc other.dbc"),
        (UNWRITABLE, "good.slog file.log"),
        (UNWRITABLE, "good.slog file/new.log"),
    ],
    "replay": [
        (GOOD, "short.slog --bus virtual:contract --bound-us 5e6 --no-real-time"),
        (GOOD, "short.slog --closed-loop"),
        (BAD, "short.slog --bus virtual:contract --bound-us 0 --no-real-time"),
        (BAD, "short.slog --bus virtual:contract --bound-us 5e6 --no-real-time <refusing>"),
        (USAGE, "short.slog"),
        (USAGE, "short.slog --closed-loop --loop 2"),
        (USAGE, "short.slog --closed-loop --bus virtual:contract"),
        (DEVICE, "short.slog --bus socketcan:nowhere0"),
        (UNREADABLE, "junk.slog --closed-loop"),
    ],
    "watch": [
        (GOOD, f"{PORT} --duration 0.3 <busy>"),
        (GOOD, f"{PORT} --duration 0.3 --dbc all.dbc <busy>"),
        (USAGE, f"{PORT} --signal EngSpd"),
        (DEVICE, "/dev/other"),
        (CONTRACT, f"{PORT} <contract>"),
        (UNREADABLE, f"{PORT} --dbc junk.slog"),
    ],
    "query": [
        (GOOD, "--archive empty"),
        (USAGE, "--archive empty --csv --json"),
        (UNREADABLE, "--archive nowhere"),
        (USAGE, "--archive empty select"),
    ],
    "report": [
        (GOOD, "drive.slog --out new.html"),
        (USAGE, ""),
        (USAGE, "drive.slog --profile d7xr --profile d7xr"),
        (UNREADABLE, "junk.slog"),
        (UNREADABLE, "drive.slog --profile nowhere.toml"),
        (UNWRITABLE, "drive.slog --out file"),
        (UNWRITABLE, "drive.slog --out file/new.html"),
    ],
}
# Schema and keys of what --json prints, for every row above that ends with 0 or 1: `a{b c}` is an
# object a with the keys b and c, `a[]` a list, `a[]{b}` one of objects. Of report's sections the
# columns of tables are left out: test_report_facts.py has them, with their values.
JSON = tomllib.loads(Path(__file__).with_name("cli_json_keys.toml").read_text())


class Cable:
    """What ports.SerialStream is to a port, to the simulated logger."""

    target = None

    def __init__(self, port):
        if port != PORT:
            raise DeviceError(f"cannot open {port}: there is no such port", "look for it")

    def write(self, data):
        self.target.send(data)

    def read(self, n):
        return self.target._logger.read(n)

    def close(self):
        pass


def session(n_frames=3000, t0_unix_us=1_768_658_602_120_000):
    """Return the blocks of a stopped session: message 0x100, one a millisecond, with a clock."""
    frames = np.zeros(n_frames, FRAME)
    frames["t_us"] = 1_000_000 + np.arange(n_frames) * 1000
    frames["can_id"] = 0x100
    frames["dlc"] = frames["n_bytes"] = 8
    frames["data"][:, 0] = np.arange(n_frames) % 200
    alice = Identity("e66038b7130f2e29", 12, 0x9F3C2A11)
    return pack_session(frames, alice, anchors=[(1_000_000, t0_unix_us)])


@pytest.fixture(scope="module")
def drive_log(tmp_path_factory):
    """A session file of four seconds of the virtual car."""
    from stagelog.car import drive

    frames = drive("light_crest", seed=2, duration_s=4).frames
    path = tmp_path_factory.mktemp("drive") / "drive.slog"
    path.write_bytes(pack_session(frames, Identity("0a" * 8, 1, 7)).tobytes())
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch, drive_log):
    """A working folder with logs and other files, good ones and bad ones."""
    monkeypatch.chdir(tmp_path)
    blocks = session()
    names = {"good.slog": blocks, "hole.slog": np.delete(blocks, 3, 0), "short.slog": session(50)}
    for name, content in names.items():
        (tmp_path / name).write_bytes(content.tobytes())
    (tmp_path / "drive.slog").symlink_to(drive_log)
    (tmp_path / "junk.slog").write_bytes(b"dear reader\n" * 2000)
    (tmp_path / "error.log").write_text("(1.000000) can0 100#00\n(1.100000) can0 20000004#00\n")
    (tmp_path / "x.dbc").write_text(DBC)
    (tmp_path / "other.dbc").write_text(DBC.replace("256", "257").replace("EngSpd", "Other"))
    (tmp_path / "all.dbc").write_text(DBC.replace("256", "2047"))
    (tmp_path / "defect.dbc").write_text(DBC + BEYOND)
    (tmp_path / "car.json").write_text('{"car": "C09", "buses": [{"bitrate_bps": 250000}]}')
    (tmp_path / "good.toml").write_text(FLEET)
    (tmp_path / "bad.toml").write_text(FLEET.replace("d7xr", "nowhere"))
    for name in ("file", "file.log"):
        (tmp_path / name).write_text("what is here stays\n")
    for name in ("empty", "broken", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    (tmp_path / "full" / "Engine.parquet").write_text("what is here stays\n")
    prepare_raw("card.img", 64)
    blocks = session()
    blocks[:, 24:28] = (4 + np.arange(len(blocks), dtype="<u4")).view("u1").reshape(-1, 4)
    seal(blocks)
    content = bytearray((tmp_path / "card.img").read_bytes())
    content[4 * 4096 : (4 + len(blocks)) * 4096] = blocks.tobytes()
    (tmp_path / "used.img").write_bytes(content)
    return tmp_path


@pytest.fixture
def target(folder, monkeypatch):
    """A simulated logger that has just recorded 0.2 s of a full bus, behind PORT."""
    (folder / "logger").mkdir()
    rig = SimTarget(folder / "logger")
    rig.play(saturated_tape(500_000, 200_000))
    monkeypatch.setattr(Cable, "target", rig)
    monkeypatch.setattr(ports, "SerialStream", Cable)
    monkeypatch.setattr(ports, "list_ports", lambda: [PORT])
    yield rig
    rig.close()


class State:
    """What "<word>" in CASES does to the world before the verb is called."""

    def __init__(self, target, monkeypatch):
        self.target = target
        self.patch = monkeypatch.setattr

    def logger(self):
        """Have one logger, the simulated one."""

    def nobody(self):
        self.patch(ports, "list_ports", list)

    def silent(self):
        self.target.run_for(4_000_000)

    def busy(self):
        tape = saturated_tape(500_000, 300_000)
        self.target._logger.world.add_events(tape_events(tape, self.target.now_us))

    def contract(self):
        hashes = itertools.cycle((bytes(8), b"another."))
        self.patch(messages, "contract_hash", lambda: next(hashes))

    def stopped(self):
        finish_running(self.target.link, always=True)

    def spoilt(self):
        """Turn a bit in the third block of the session, on the card."""
        (listed,) = self.target.link.list_sessions()
        with open(self.target.card_path, "r+b") as file:
            file.seek((listed.position + 2) * 4096 + 100)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))

    def fleet(self):
        """Have a fleet file with the simulated logger."""
        logger = 'logger = [{device_id = "53494d3030303031", car = "C1"}]'
        Path("fleet.toml").write_text(FLEET + logger + "\n")

    def recording(self):
        """Keep its bus alive in what follows."""
        tape = saturated_tape(500_000, 400_000)
        self.target.play(tape)

    def archived(self):
        (listed,) = self.target.link.list_sessions()
        fetch_session(self.target.link, listed, Path("a"))

    def runs(self):
        """Let the simulator end as soon as it has said its port."""
        self.patch(FastLogger, "run", lambda self: None)

    def board(self):
        """Let the installation itself succeed, into slot B; test_flash_install.py tests it."""
        hello = replace(self.target.link.hello(), slot=1)
        self.patch(flash_package, "flash", lambda *_, **__: hello)

    def refusing(self):
        import can
        from can.interfaces.virtual import VirtualBus

        def send(*_, **__):
            raise can.CanOperationError("the controller is bus-off")

        self.patch(VirtualBus, "send", send)


def leaves(command, words=()):
    """Yield every verb below a click group, "card prepare" for one in a group of its own."""
    for name in command.list_commands(None):
        inner = command.get_command(None, name)
        if isinstance(inner, click.Group):
            yield from leaves(inner, (*words, name))
        else:
            yield " ".join((*words, name))


def shape_of(value):
    """Return the keys in what json.loads gives, as in cli_json_keys.toml; "" for a number or text.

    The objects of a list are taken together.
    """
    if isinstance(value, list):
        return "[]" + (shape_of(_joined(value)) if value else "")
    if not isinstance(value, dict):
        return ""
    return "{" + " ".join(sorted(key + shape_of(inner) for key, inner in value.items())) + "}"


def _joined(rows):
    """Return one object with the keys of all, and lists in it with the rows of all."""
    if not all(isinstance(row, dict) for row in rows):
        return None
    whole = {}
    for row in rows:
        for key, value in row.items():
            if isinstance(value, list) and isinstance(whole.get(key), list):
                value = whole[key] + value
            elif isinstance(value, dict) and isinstance(whole.get(key), dict):
                value = _joined([whole[key], value])
            whole[key] = value
    return whole


@pytest.fixture
def call(request, folder, monkeypatch, capsys):
    """Return a function of words that runs the command: (exit code, stdout, stderr)."""

    def run(words):
        monkeypatch.setattr(ports, "list_ports", list)
        target = request.getfixturevalue("target") if PORT in words or "<" in words else None
        for word in words.split():
            if word.startswith("<"):
                getattr(State(target, monkeypatch), word.strip("<>"))()
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([word for word in words.split() if not word.startswith("<")])
        return (ended.value.code, *capsys.readouterr())

    return run


def test_every_verb_has_its_rows():
    verbs = list(leaves(group))
    assert verbs == list(CASES)
    for verb in verbs:
        assert {GOOD, USAGE} <= {code for code, _ in CASES[verb]}, verb
        for code, words in CASES[verb]:
            assert code > BAD or f"{verb} {words}".strip() in JSON, f"{verb} {words}"


EVERY = [
    pytest.param(verb, code, words, id=f"{verb} {words}".strip())
    for verb, cases in CASES.items()
    for code, words in cases
]


@pytest.mark.parametrize(("verb", "code", "words"), EVERY)
def test_exit_code(verb, code, words, call):
    got, out, err = call(f"{verb} {words}")
    assert got == code, out + err
    if code >= USAGE:
        assert err.startswith("stagelog: ") and err.count("\n") == 1
        assert not out or code == UNWRITABLE
    for name in ("file", "file.log", "full/Engine.parquet"):
        assert Path(name).read_text() == "what is here stays\n"


@pytest.mark.parametrize(
    ("verb", "code", "words"), [case for case in EVERY if case.values[1] in (GOOD, BAD)]
)
def test_json_has_exactly_these_keys(verb, code, words, call):
    got, out, err = call(f"{verb} {words} --json")
    assert got == code, out + err
    wanted = JSON[f"{verb} {words}".strip()]
    facts = json.loads(out.splitlines()[0] if verb in MANY else out)
    assert facts.pop("schema", "none") == wanted["schema"]
    for section in facts.get("sections", {}).values() if verb == "report" else ():
        section["tables"] = [{"rows": [], "title": None} for _ in section["tables"]]
    assert shape_of(facts) == wanted["keys"]
