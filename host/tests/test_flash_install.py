"""Installing: the power may go at any operation; the board starts the old firmware or the new."""

import contextlib
import hashlib
import importlib.util
import io
import json
from pathlib import Path

import pytest
from made_replies import reply

from slog import messages as m
from stagelog.errors import ContractError, DeviceError
from stagelog.flash import flash, leave_logger
from stagelog.flash.build import App, FlashError, pack_app
from stagelog.flash.install import BoardState, app_for, install, read_state
from stagelog.replies import Hello, ListedSession, Status

_SPEC = importlib.util.spec_from_file_location(
    "main_world", Path(__file__).parents[2] / "firmware" / "tests" / "main_world.py"
)
main_world = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(main_world)
MAIN = main_world.SOURCE.read_bytes()
GOOD = main_world.GOOD


def app_of(name):
    # The import of a source reads to the end of the slot, so start.py is the last.
    content = pack_app({"boards/__init__.py": name.encode(), "start.py": GOOD.encode()})
    return App("pico_mcp2515", "armv6m", (), content)


OLD, NEW = app_of("old"), app_of("new")


class PowerCut(Exception):
    pass


class FakeBoard:
    """remote.Remote on a dict of files. The power goes before operation `cut`, or in it."""

    def __init__(self, files=(), cut=None, torn=False):
        self.files = dict(files)
        self.cut = cut
        self.torn = torn
        self.n_operations = 0
        self.memory = {0x4005800C: 15}
        self.spoil = None

    def exec(self, code):
        machine = type("machine", (), {"mem32": self.memory})
        said = io.StringIO()
        namespace = {"open": self._open, "print": lambda text: said.write(str(text) + "\n")}
        modules = {"os": self, "machine": machine, "sys": self, "json": json, "hashlib": hashlib}
        builtins = {**vars(__import__("builtins"))}
        builtins["__import__"] = lambda name, *args: modules[name]
        namespace["__builtins__"] = builtins
        exec(code, namespace)
        return said.getvalue()

    def put(self, content, path):
        with self._operation(torn=lambda: self.files.update({path: content[: len(content) // 2]})):
            self.files[path] = content
        if self.spoil == path:
            self.files[path] = content[:-1] + b"?"

    # what the code sees as os and sys

    class implementation:
        _machine = "Raspberry Pi Pico with RP2040"
        _mpy = 4870
        version = (1, 25, 0, "")

    def listdir(self, path):
        return [path.lstrip("/") for path in self.files]

    def rename(self, old, new):
        with self._operation():
            self.files[new] = self.files.pop(old)

    def _open(self, path, mode="r"):
        if mode == "w":
            with self._operation():
                self.files[path] = b""
            return io.BytesIO()
        if path not in self.files:
            raise OSError(2)
        return io.BytesIO(self.files[path])

    @contextlib.contextmanager
    def _operation(self, torn=None):
        self.n_operations += 1
        if self.n_operations == self.cut:
            if self.torn and torn is not None:
                torn()
            raise PowerCut
        yield


def running(app, slot="a"):
    return {f"/{slot}.app": app.content, f"/slot.{slot}": b"", "/main.py": MAIN}


def boots(files):
    """Return the content of the slot that main.py starts on this flash, None for the prompt."""
    if files.get("/main.py") is None:
        return None
    world = main_world.World(files)
    slot = world.boot()
    return None if slot is None else files[f"/{'ab'[slot]}.app"]


def count_operations(files):
    board = FakeBoard(files)
    install(board, read_state(board), NEW)
    return board.n_operations


STARTS = {
    "blank": {},
    "from slot a": running(OLD),
    "from slot b": {**running(OLD, "b"), "/a.app": app_of("older").content},
    "with another main.py": {**running(OLD), "/main.py": MAIN + b"# older\n"},
}


@pytest.mark.parametrize("files", STARTS.values(), ids=STARTS)
def test_the_new_firmware_starts(files):
    board = FakeBoard(files)
    slot = install(board, read_state(board), NEW)
    assert boots(board.files) == NEW.content
    assert slot == ("b" if "/slot.a" in files else "a")
    assert board.memory[0x4005800C] == 0, "tries of the slot's former firmware count"
    assert not [path for path in board.files if path.endswith(".new")]


@pytest.mark.parametrize("torn", [False, True], ids=["before", "torn"])
@pytest.mark.parametrize("files", STARTS.values(), ids=STARTS)
def test_a_power_cut_leaves_the_old_or_the_new(files, torn):
    n = count_operations(files)
    assert n >= 3
    for cut in range(1, n + 1):
        board = FakeBoard(files, cut, torn)
        with pytest.raises(PowerCut):
            install(board, read_state(board), NEW)
        assert boots(board.files) == boots(files), f"cut at operation {cut}"
        again = FakeBoard(board.files)
        install(again, read_state(again), NEW)
        assert boots(again.files) == NEW.content, f"repeated after a cut at operation {cut}"


def test_what_reads_back_wrong_is_not_started():
    board = FakeBoard(running(OLD))
    board.spoil = "/b.new"
    with pytest.raises(FlashError, match="b.new reads back as"):
        install(board, read_state(board), NEW)
    assert boots(board.files) == OLD.content


def test_a_board_that_nobody_knows_is_named():
    board = FakeBoard()
    board.implementation = type("i", (), {"_machine": "Toaster", "_mpy": 4870, "version": (1,)})
    with pytest.raises(FlashError, match="'Toaster'.*--board"):
        app_for(read_state(board))


@pytest.mark.parametrize("name", [None, "pico_mcp2515"])
def test_a_pico_w_is_refused(name):
    """GPIO 24 and 25 are lines of its radio (Pico W data sheet, 2.1); the logger's light is 25."""
    board = FakeBoard()
    machine = "Raspberry Pi Pico W with RP2040"
    board.implementation = type("i", (), {"_machine": machine, "_mpy": 4870, "version": (1,)})
    with pytest.raises(FlashError, match="Pico W"):
        app_for(read_state(board), name)


def state_of(machine, mpy):
    return BoardState(machine, mpy, (1, 29, 0), (), None)


@pytest.mark.parametrize(
    ("machine", "board"),
    [
        ("Generic ESP32 module with ESP32", "esp32_mcp2518fd"),
        ("Generic ESP32 module with SPIRAM with ESP32", "esp32_mcp2518fd"),
        ("Generic ESP32S3 module with ESP32S3", "esp32s3_mcp2518"),
        ("Generic ESP32S3 module with Octal-SPIRAM with ESP32S3", "esp32s3_mcp2518"),
        ("ESP32C3 module with ESP32C3", "esp32c3_mcp2518"),
        ("Raspberry Pi Pico2 with RP2350", "pico2_mcp2518fd"),
    ],
)
def test_a_board_is_recognised_by_its_chip(machine, board):
    """MicroPython's `_machine` is the board's name, " with " and the chip's. `_mpy`: version 6,
    subversion 3 in bits 8 and 9, architecture above: 7 Cortex-M4 and M33 with floats, 10 Xtensa,
    11 RISC-V (py/persistentcode.h).
    """
    arch = 11 if "C3" in machine else 7 if "RP2350" in machine else 10
    app = app_for(state_of(machine, 6 | 3 << 8 | arch << 10))
    assert app.board == board and app.content


@pytest.mark.parametrize(
    "machine", ["Raspberry Pi Pico2 with RP2350", "Pimoroni Tiny with RP2350"]
)
@pytest.mark.parametrize("name", ["pico_mcp2515", "pico_mcp2518fd", "pico_pio", "pico_pio_dual"])
def test_firmware_for_registers_of_another_chip_is_refused(machine, name):
    """0x40058000, an RP2040's watchdog, is the USB's PLL on an RP2350 (its data sheet, 2.2)."""
    with pytest.raises(FlashError, match="elsewhere on an RP2350"):
        app_for(state_of(machine, 6 | 3 << 8 | 7 << 10), name)


@pytest.mark.parametrize(
    "machine", ["Raspberry Pi Pico 2 W with RP2350", "Raspberry Pi Pico2 W with RP2350"]
)
def test_a_pico_2_w_is_refused(machine):
    with pytest.raises(FlashError, match="Pico W|radio"):
        app_for(state_of(machine, 6 | 3 << 8 | 7 << 10), "pico2_mcp2518fd")
    with pytest.raises(FlashError, match="no firmware is known"):
        app_for(state_of(machine, 6 | 3 << 8 | 7 << 10))


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ("ESP32C6 module with ESP32C6", "not compared"),
        ("Pimoroni Tiny with RP2350", "Pico 2 alone"),
    ],
)
def test_a_chip_without_firmware_is_reported_with_its_reason(machine, reason):
    with pytest.raises(FlashError, match=f"{machine}': .*{reason}.*; there is one for pico_mcp"):
        app_for(state_of(machine, 4870))


def test_a_watchdog_that_a_start_left_on_is_stopped():
    """RP2040 data sheet, 4.7: CTRL at 0x40058000, atomic clear 0x3000 above, bit 30 enables."""
    board = FakeBoard()
    read_state(board)
    assert board.memory[0x4005B000] == 1 << 30


def test_on_an_rp2350_the_registers_are_elsewhere():
    """RP2350 data sheet, 2.2.4 and 12.9.7: the watchdog is at 0x400D8000, CTRL at 0, SCRATCH0 at
    0x0C; 0x40058000 is the PLL of the USB: what is written there ends the cable.
    """
    board = FakeBoard()
    board.memory = {0x400D800C: 15}
    board.implementation = type(
        "i", (), {"_machine": "Raspberry Pi Pico2 with RP2350", "_mpy": 7942, "version": (1, 29)}
    )
    install(board, read_state(board), NEW)
    assert board.memory == {0x400D800C: 0, 0x400DB000: 1 << 30}


def test_what_is_no_micropython_is_said():
    class Strange(FakeBoard):
        def exec(self, code):
            return "login: "

    with pytest.raises(FlashError, match="'login: '"):
        read_state(Strange())


class FakeLink:
    """A logger that answers."""

    def __init__(self, sessions=(), stored=0, contract=None, slot=0, program=b""):
        self.sessions = list(sessions)
        self.contract = contract or m.contract_hash()
        self.stored = stored
        self.slot = slot
        self.program = program
        self.log = []

    def ask(self, kind, values):
        answer = {"contract": self.contract, "boot": 7, "slot": self.slot}
        return m.parse(m.HELLO_REPLY, m.build(m.HELLO_REPLY, answer))

    def hello(self):
        if self.contract != m.contract_hash():
            raise ContractError("another contract")
        return Hello.of(self.ask(m.HELLO, {})[0])

    def status(self):
        return reply(Status, m.STATUS_REPLY, stored0=self.stored)

    def list_sessions(self):
        return self.sessions

    def control(self, action, boot):
        self.log.append((action, boot))

    def get_config(self, item):
        return {m.CONFIG_FIRMWARE: self.program}[item]

    def replace_config(self, item, content):
        self.log.append((item, content))

    def restart(self):
        self.log.append("restart")

    def close(self):
        self.log.append("close")


OLD_SESSION = reply(ListedSession, m.LIST_REPLY, running=0, boot=6)
RUNNING = reply(ListedSession, m.LIST_REPLY, running=1, boot=7)


def leave(link, **options):
    leave_logger("PORT", lambda tries: link, sleep=lambda s: None, **options)
    return link.log


def test_a_running_logger_is_asked_for_its_prompt():
    expected = [(m.CONTROL_STOP, 7), (m.CONTROL_REPL, 7), "close"]
    assert leave(FakeLink([RUNNING])) == expected


@pytest.mark.parametrize("link", [FakeLink([RUNNING, OLD_SESSION]), FakeLink([RUNNING], stored=1)])
def test_sessions_that_nobody_holds_are_not_left_behind(link):
    with pytest.raises(FlashError, match="card of .* that were not downloaded: 1"):
        leave(link)
    assert link.log == ["close"]
    leave(link, despite_sessions=True)


def test_sessions_that_the_archive_holds_may_stay():
    leave(FakeLink([RUNNING, OLD_SESSION]), is_held=lambda session: session.boot == 6)


def test_an_older_contract_needs_a_word():
    link = FakeLink(contract=bytes(8))
    with pytest.raises(FlashError, match="older contract.*--despite-sessions"):
        leave(link)
    leave(link, despite_sessions=True)


def test_a_blank_board_has_nothing_to_leave():
    def nobody(tries):
        raise DeviceError("nobody")

    leave_logger("PORT", nobody)


class Bench:
    """A board that comes up as a logger after `reset`."""

    def __init__(self, files, comes_up_in=None, silent=False):
        self.board = FakeBoard(files)
        self.board.stop = lambda: None
        self.board.reset = self._reset
        self.comes_up_in = comes_up_in
        self.silent = silent
        self.program = None
        self.link = None
        self.t_s = 0

    def open_link(self, tries):
        if self.link is None:
            raise DeviceError("nobody answers")
        return self.link

    def flash(self, **options):
        return flash(
            "PORT",
            self.open_link,
            self.board,
            clock=lambda: self.t_s,
            sleep=self._sleep,
            **options,
        )

    def _sleep(self, s):
        self.t_s += s

    def _reset(self):
        slot = "slot.b" in self.board.listdir("/")
        if not self.silent:
            slot = int(slot) if self.comes_up_in is None else self.comes_up_in
            program = self.board.files[f"/{'ab'[slot]}.app"][:32]
            self.link = FakeLink(slot=slot, program=self.program or program)


def test_flash_ends_with_hello_from_the_new_slot_and_its_settings():
    bench = Bench(running(OLD))
    hello = bench.flash(settings=b"{}", signals=b"SLST")
    assert hello.slot == 1
    assert bench.link.log == [
        (m.CONFIG_SETTINGS, b"{}"),
        (m.CONFIG_SIGNALS, b"SLST"),
        "restart",
        "close",
        "close",
    ]


def test_only_a_new_signal_table_needs_a_restart():
    """SPEC: settings are taken over at once, in a new session."""
    bench = Bench(running(OLD))
    bench.flash(settings=b"{}")
    assert bench.link.log == [(m.CONFIG_SETTINGS, b"{}"), "close"]
    bench = Bench(running(OLD))
    bench.flash(signals=b"SLST")
    assert bench.link.log == [(m.CONFIG_SIGNALS, b"SLST"), "restart", "close", "close"]


def test_flash_says_when_the_board_went_back():
    with pytest.raises(FlashError, match="runs from slot A, not the new one"):
        Bench(running(OLD), comes_up_in=0).flash()


def test_flash_says_when_another_program_runs():
    """The new slot answers, with a SHA-256 that is not the one that was installed."""
    bench = Bench(running(OLD))
    bench.program = bytes(32)
    with pytest.raises(FlashError, match=r"runs program 0{16}, [0-9a-f]{16} was installed"):
        bench.flash()


def test_flash_says_when_nobody_comes_up():
    bench = Bench({}, silent=True)
    with pytest.raises(FlashError, match="no logger answers on PORT 30 s after"):
        bench.flash()
    assert 30 < bench.t_s < 33


def test_flash_compiles_the_signal_table_of_the_profile_that_is_named(monkeypatch):
    """A signal table starts with the letters SLST (SPEC 11); WIRING.md names the profile d7xr."""
    from click.testing import CliRunner

    import stagelog.flash
    from stagelog.cli.flash import command

    given = {}

    def fake_flash(port, open_port, remote, **options):
        given.update(options)
        return reply(Hello, m.HELLO_REPLY, firmware=0x000100)

    monkeypatch.setattr(stagelog.flash, "flash", fake_flash)
    monkeypatch.setattr("stagelog.flash.remote.Remote", lambda port: None)
    done = CliRunner().invoke(command, ["/dev/none", "--signals", "d7xr", "--yes"])
    assert done.exit_code == 0, done.output
    assert given["signals"][:4] == b"SLST" and given["settings"] is None
    done = CliRunner().invoke(command, ["/dev/none", "--signals", "unknown", "--yes"])
    assert done.exit_code and "unknown" in str(done.exception)
