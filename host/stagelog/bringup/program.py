"""The program on the board: compiled, sent, loaded at the prompt, called row by row, removed.

It is a file beside the slots that main.py knows nothing of: whatever happens, the next power-on
starts the logger. Fails with DeviceError and FlashError.
"""

import ast
import hashlib
import json
from typing import Any

from stagelog.bringup.bench import Bench
from stagelog.bringup.sheet import Board
from stagelog.errors import DeviceError
from stagelog.flash import leave_logger
from stagelog.flash.build import build_app
from stagelog.flash.install import app_for, file_digest, read_state, replace_file
from stagelog.resources import firmware_path

_ENTRIES = {  # by kind of board
    "pico_mcp2515": "bringup.program",
    "pico_pio": "bringup.receiver",
    "pico_pio_dual": "bringup.receiver",
}
_NAME = "bringup"
_MOUNT = f"""
os.mount(Slot("{_NAME}"), "/app")
sys.path[:] = ["/app"]
import start
start.run("hello", {{}})
"""


class Program:
    """The bring-up's program on one board."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._prompt = bench.prompt
        self._entry = ""  # module of the program, once it is known

    def install(self, kind: str) -> Board:
        """Bring the board, of a kind, to its prompt, write the program into its flash, load it."""
        self._leave()
        self._prompt.stop()
        state = read_state(self._prompt)
        port = self._prompt.port
        if state.slot is None:
            raise DeviceError(
                f"the board on {port} has no firmware", f"'stagelog flash {port}' first"
            )
        app = app_for(state, kind)
        if app.board not in _ENTRIES:
            raise DeviceError(
                f"no bring-up is known for {app.board}", f"known: {', '.join(_ENTRIES)}"
            )
        self._entry = _ENTRIES[app.board]
        content = build_program(app.board, app.arch)
        path = f"/{_NAME}.app"
        if file_digest(self._prompt, path) != hashlib.sha256(content).hexdigest():
            replace_file(self._prompt, path, f"/{_NAME}.new", content)
        device_id = self._prompt.exec("import machine\nprint(machine.unique_id().hex())").strip()
        self._prompt.stop()  # what wrote the file has left holes in the heap
        self._load()
        version = ".".join(map(str, state.version))
        return Board(app.board, state.machine, version, device_id)

    def reload(self) -> None:
        """Load the program anew, whatever the board does now."""
        self._leave()
        self._prompt.stop()
        self._load()

    def call(self, row: str, **args: Any) -> Any:
        """Measure a row; return what the board printed."""
        text = self._prompt.exec(self._call(row, args))
        try:
            return json.loads(text)
        except ValueError:
            raise DeviceError(
                f"the bring-up's program answers {text[-200:]!r} to {row}", "repeat the command"
            ) from None

    def start(self, row: str, **args: Any) -> None:
        """Begin a row that goes on until the host asks for the prompt over the link."""
        self._prompt.start(self._call(row, args))

    def remove(self) -> None:
        """Delete the program and start the logger."""
        self._leave()
        self._prompt.stop()
        self._prompt.exec(
            f"import os\nfor name in ('{_NAME}.app', '{_NAME}.new'):\n"
            "    if name in os.listdir('/'): os.remove('/' + name)"
        )
        self._prompt.reset()

    def _call(self, row: str, args: dict[str, Any]) -> str:
        return f"from {self._entry} import run\nrun({row!r}, {args!r})\n"

    def _leave(self) -> None:
        leave_logger(
            self._prompt.port,
            self._bench.open_link,
            despite_sessions=True,
            sleep=self._bench.sleep,
        )

    def _load(self) -> None:
        self._prompt.exec(_slot_reader() + _MOUNT)


def build_program(kind: str, arch: str) -> bytes:
    """Return the program's file for a kind of board and its chip."""
    return bytes(build_app(kind, arch, entry=_ENTRIES[kind]).content)


def _slot_reader() -> str:
    """Return the part of main.py that mounts a slot's file, without what starts it."""
    source = (firmware_path() / "main.py").read_text(encoding="utf-8")
    kept = (ast.Import, ast.ImportFrom, ast.ClassDef)
    nodes = [node for node in ast.parse(source).body if isinstance(node, kept)]
    return "\n".join(ast.unparse(node) for node in nodes)
