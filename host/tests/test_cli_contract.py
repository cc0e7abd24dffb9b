"""Every verb keeps its contract with scripts: its exit codes and the keys of its JSON.

The tables in cli_cases.py are what a script is written against. They stand there in full and are
derived from nothing; the verbs are listed from the command itself, so that a new one fails until
its lines are there. A logger is a simulated one in virtual time behind the port PORT.
"""

import itertools
import json
import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import click
import numpy as np
import pytest
from cli_cases import BAD, CASES, GOOD, PORT, UNWRITABLE, USAGE

from slog import messages
from stagelog import flash as flash_package
from stagelog import ports
from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log, seal
from stagelog.bringup import QUICK, BringUp, Sheet
from stagelog.bringup.sheet import Board, at_most
from stagelog.card import prepare, prepare_raw
from stagelog.cli import group, main
from stagelog.download import fetch_session, finish_running
from stagelog.errors import DeviceError
from stagelog.model import FRAME
from stagelog.park.publish import load_runs
from stagelog.rig.live import FastLogger
from stagelog.rig.play import saturated_tape
from stagelog.rig.target import SimTarget, tape_events
from stagelog.serve import app as serve_app

MANY = ("check", "provision", "summary", "sync", "watch")  # print a line of JSON for each change
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
        return self.target.logger.read(n)

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
    for name in ("drive.slog", "again.slog"):
        (tmp_path / name).symlink_to(drive_log)
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
        self.patch_env = lambda folder: monkeypatch.setenv("STAGELOG_KEYS", folder)
        self.patch_passphrase = lambda text: monkeypatch.setenv("STAGELOG_PASSPHRASE", text)

    def logger(self):
        """Have one logger, the simulated one."""

    def nobody(self):
        self.patch(ports, "list_ports", list)

    def silent(self):
        self.target.run_for(4_000_000)

    def busy(self):
        tape = saturated_tape(500_000, 300_000)
        self.target.logger.world.add_events(tape_events(tape, self.target.now_us))

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

    def driven(self):
        """Have a stage of a car in the archive a."""
        folder = stage_folder("a", "E", "C03", "SS01")
        folder.mkdir(parents=True)
        log = read_log("drive.slog")
        store_session(log, log.session(), folder)

    def stray(self):
        """Have a session file in the archive a that no manifest names."""
        Path("a/good.slog").write_bytes(session().tobytes())

    def served(self):
        """Let the server end as soon as it has said its address."""
        self.patch(serve_app, "run", lambda *_: None)

    def keyless(self):
        """Have no key yet, in a folder of this test."""
        self.patch_env("keys")

    def keyed(self):
        from stagelog.proof import new_key

        self.patch_env("keys")
        Path("team.pub").write_text(new_key("X").text)

    def locked(self):
        """Have a key, and a passphrase in the environment."""
        self.keyed()
        self.patch_passphrase("four words are better")

    def taken(self):
        """Trust another key by the name T."""
        from stagelog.proof import new_key, trust

        self.patch_env("others")
        Path("other.pub").write_text(new_key("T").text)
        self.patch_env("keys")
        trust("other.pub")

    def packed(self):
        """Have a session in the archive `packed`, as E, C1, S."""
        from stagelog.archive import stage_folder, store_session
        from stagelog.blocks import read_log

        log = read_log("good.slog")
        store_session(log, log.sessions[0], stage_folder("packed", "E", "C1", "S"))

    def torn(self):
        """Turn a bit in that session."""
        (path,) = Path("packed").rglob("*.slog")
        _turn_a_bit(path)

    def made(self):
        with pytest.raises(SystemExit):
            words = "evidence pack --archive packed --event E --car C1 --stage S"
            main(words.split())

    def fat(self):
        """Have an image of a card with a file system."""
        prepare("new.img", 48 << 20)

    def built(self):
        with pytest.raises(SystemExit):
            main(["package", "build"])

    def flipped(self):
        _turn_a_bit(Path("E-C1-S.tar"))

    def runs(self):
        """Let the simulator end as soon as it has said its port."""
        self.patch(FastLogger, "run", lambda self, until: None)

    def board(self):
        """Let the installation itself succeed, into slot B; test_flash_install.py tests it."""
        hello = replace(self.target.link.hello(), slot=1)
        self.patch(flash_package, "flash", lambda *_, **__: hello)

    def benched(self):
        """Let the bring-up itself measure one row; hil_tests/test_bringup.py tests it."""
        self._measure(at_most("spi.8MHz", "SPI at 8 MHz", 0, 0, "of 10", "shorten the wires"))

    def lame(self):
        self._measure(at_most("spi.8MHz", "SPI at 8 MHz", 3, 0, "of 10", "shorten the wires"))

    def _measure(self, row):
        board = Board("pico_mcp2515", "Raspberry Pi Pico with RP2040", "1.26.1", "00" * 8)
        counts = asdict(QUICK)
        sheet = Sheet(board, "a tester", 1_768_658_602_120_000, "0.1", counts, [row])
        self.patch(BringUp, "run", lambda *_: sheet)

    def refusing(self):
        import can
        from can.interfaces.virtual import VirtualBus

        def send(*_, **__):
            raise can.CanOperationError("the controller is bus-off")

        self.patch(VirtualBus, "send", send)


def _turn_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-5000] ^= 1
    path.write_bytes(content)


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


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("sync --archive a --yes --no-report <stopped>", ["download", "erase"]),
        ("check --archive a --listen-s 0 <recording>", ["check"]),
        ("download --all --archive a <logger>", ["download"]),
    ],
)
def test_a_run_leaves_what_it_does_for_the_wall_page(words, titles, call):
    Path("a").mkdir()
    call(words)
    runs = load_runs("a")
    assert [run["title"] for run in runs] == titles
    assert all(run["is_over"] and len(run["loggers"]) == 1 for run in runs)
