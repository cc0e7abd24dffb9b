"""Write the new firmware into the slot that does not run, and switch to it.

    /a.app, /b.app    the slots          /a.new, /b.new    a slot being written
    /slot.a           or /slot.b: which one main.py starts; a rename switches
    /main.py          fixed; replaced by a rename if ours differs

An interruption at any step leaves a board that starts the old firmware, after the last step the
new one. Fails with FlashError when something reads back wrong, and with what `Board` raises.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from stagelog.flash.build import BOARDS, REFUSED, WITHOUT, App, FlashError, arch_of, build_app
from stagelog.flash.remote import Board
from stagelog.resources import firmware_path

_HELPERS = """
import json, os, sys
from hashlib import sha256
def digest(path):
    try:
        with open(path, "rb") as file:
            h, buf = sha256(), bytearray(1024)
            while True:
                n = file.readinto(buf)
                if not n:
                    return h.digest().hex()
                h.update(memoryview(buf)[:n])
    except OSError:
        return None
"""
_STATE = """
import machine
i = sys.implementation
if "RP2040" in i._machine:  # a start that was interrupted leaves the watchdog on
    machine.mem32[0x4005B000] = 1 << 30
elif "RP2350" in i._machine:
    machine.mem32[0x400DB000] = 1 << 30
elif "ESP32" in i._machine:
    machine.WDT(timeout=3600000)
print(json.dumps([i._machine, i._mpy, list(i.version)[:3], os.listdir("/"), digest("/main.py")]))
"""
_FORGET_TRIES = """
import machine
if hasattr(machine, "mem_backup"):
    machine.mem_backup()[0] = 0
elif "RP2040" in sys.implementation._machine:
    machine.mem32[0x4005800C] = 0
elif "RP2350" in sys.implementation._machine:
    machine.mem32[0x400D800C] = 0
"""


Say = Callable[[str], None]  # is given a line of progress


@dataclass(frozen=True, slots=True)
class BoardState:
    """What a board reports at its prompt. `slot`: 'a', 'b', or None if it never had one."""

    machine: str
    mpy: int
    version: tuple[int, ...]
    files: tuple[str, ...]
    main_sha256: str | None

    @property
    def slot(self) -> str | None:
        """The slot that main.py would start."""
        if "slot.b" in self.files:
            return "b"
        return "a" if "slot.a" in self.files else None


def read_state(board: Board) -> BoardState:
    """Return the BoardState of a board."""
    text = board.exec(_HELPERS + _STATE)
    try:
        machine, mpy, version, files, main_sha256 = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise FlashError(f"the board answers {text!r}, not what MicroPython would") from None
    return BoardState(machine, mpy, tuple(version), tuple(sorted(files)), main_sha256)


def app_for(state: BoardState, name: str | None = None) -> App:
    """Build the firmware for the board of `state`; `name` overrides the kind of board."""
    known = (board for machine, board in BOARDS.items() if state.machine.endswith(machine))
    name = name or next(known, None)
    if name is None:
        reasons = [why for machine, why in WITHOUT if state.machine.endswith(machine)]
        raise FlashError(
            ": ".join([f"no firmware is known for '{state.machine}'", *reasons]),
            hint=f"there is one for {', '.join(BOARDS.values())}; name one with --board",
        )
    check_board(state.machine, name)
    return build_app(name, arch_of(state.mpy))


def check_board(machine: str, name: str) -> None:
    """Raise FlashError where the firmware of a board must not run on a machine."""
    for known, refused, why in REFUSED:
        if known in machine and name == refused:
            raise FlashError(f"{name} can't run on a {machine}: {why}", hint="use a Pico")


def install(board: Board, state: BoardState, app: App, say: Say = lambda text: None) -> str:
    """Write `app` into the other slot and switch to it; return the slot, 'a' or 'b'.

    The board must be at its prompt and stays there; its next start runs the new firmware.
    """
    slot = "b" if state.slot == "a" else "a"
    say(f"write {len(app.content)} bytes into slot {slot.upper()}")
    replace_file(board, f"/{slot}.app", f"/{slot}.new", app.content)
    main = (firmware_path() / "main.py").read_bytes()
    if state.slot is None:
        board.exec(f"open('/slot.{slot}', 'w').close()")
    if state.main_sha256 != hashlib.sha256(main).hexdigest():
        say("write main.py")
        replace_file(board, "/main.py", "/main.new", main)
    say(f"switch to slot {slot.upper()}")
    switch = f"os.rename('/slot.{state.slot}', '/slot.{slot}')\n" if state.slot else ""
    board.exec(_HELPERS + _FORGET_TRIES + switch)
    return slot


def file_digest(board: Board, path: str) -> str:
    """Return the SHA-256 of a file on the board as hex, "None" if there is none."""
    return board.exec(f"{_HELPERS}print(digest('{path}'))").strip()


def replace_file(board: Board, path: str, fresh: str, content: bytes) -> None:
    """Put `content` at `path`: write it to `fresh`, check its digest on the board, rename."""
    board.put(content, fresh)
    wanted = hashlib.sha256(content).hexdigest()
    rename = f"if found == '{wanted}':\n    os.rename('{fresh}', '{path}')\n"
    found = board.exec(f"{_HELPERS}found = digest('{fresh}')\n{rename}print(found)").strip()
    if found != wanted:
        raise FlashError(
            f"{fresh} reads back as {found[:16]}, {wanted[:16]} was written",
            hint="repeat the command; if it fails again the board's flash is worn out",
        )
