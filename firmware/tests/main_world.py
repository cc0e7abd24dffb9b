"""Runs firmware/main.py on CPython: a flash of {path: bytes}, the memory of a reset, a watchdog.

What that memory holds after power-on is drawn by a seed: no data sheet of an ESP32 promises zeros.

A slot whose start.py says so starts, fails, or hands the board to the REPL; main.py's own imports
from the slot go through its `Slot`, as on the board.
"""

import builtins
import io
import random
import types
from functools import cache
from pathlib import Path

# RP2040 data sheet, 4.7.6, and RP2350 data sheet, 12.9.7: the watchdog at 0x40058000 and
# 0x400D8000, its first scratch register at 0x0C.
SCRATCH0 = {"RP2040": 0x4005800C, "RP2350": 0x400D800C}
SOURCE = Path(__file__).parents[1] / "main.py"


@cache
def _compiled(path):
    return compile(path.read_text(), "main.py", "exec")


class Flash:
    """The flash's files under their full names. Reads and renames as littlefs does."""

    def __init__(self, files):
        self.files = {path.lstrip("/"): content for path, content in files.items()}

    def open(self, path, mode="r"):
        try:
            return io.BytesIO(self.files[path.lstrip("/")])
        except KeyError:
            raise OSError(2) from None

    def rename(self, old, new):
        if old.lstrip("/") not in self.files:
            raise OSError(2)
        self.files[new.lstrip("/")] = self.files.pop(old.lstrip("/"))

    def listdir(self, path):
        return [path for path in self.files if "/" not in path]


class World:
    """One board, with an RP2040 or an RP2350. `memory` is what a power cut forgets; `started` the
    slots that were started; `watched` whether the watchdog ran when they were.
    """

    def __init__(self, files, named_memory=False, seed=1, chip="RP2040"):
        self.chip = chip
        self.address = SCRATCH0[chip]
        self.flash = Flash(files)
        self._random = random.Random(seed)
        self.memory = {}
        self.power_cut()
        self.named_memory = named_memory
        self.started = []
        self.watched = []
        self.timeout_ms = None
        self.n_resets = 0

    def boot(self):
        """Run main.py once; return the slot it started, 0 or 1, or None for the REPL."""
        before = len(self.started)
        self.timeout_ms = None
        namespace = {"__name__": "__main__", "__builtins__": self._builtins()}
        exec(_compiled(SOURCE), namespace)
        return self.started[-1] if len(self.started) > before else None

    def power_cut(self):
        """Forget what only power keeps."""
        self.memory.update({at: self._random.getrandbits(32) for at in (0, self.address)})

    def _builtins(self):
        machine = types.SimpleNamespace(mem32=self.memory, reset=self._reset, WDT=self._watch)
        if self.named_memory:
            machine.mem32 = None
            machine.mem_backup = lambda: self.memory
        mounted = []
        modules = {
            "machine": machine,
            "os": types.SimpleNamespace(
                listdir=self.flash.listdir,
                rename=self.flash.rename,
                mount=lambda slot, place: mounted.append(slot),
            ),
            "sys": types.SimpleNamespace(
                path=[],
                print_exception=lambda error: None,
                implementation=types.SimpleNamespace(_machine=f"Raspberry Pi with {self.chip}"),
            ),
        }

        def load(name, *args, **kwargs):
            if name == "start":
                return self._start(mounted[-1])
            return modules[name] if name in modules else builtins.__import__(name, *args, **kwargs)

        return {**vars(builtins), "open": self.flash.open, "print": self._said, "__import__": load}

    def _start(self, slot):
        assert slot.stat("/boards")[0] == 0x4000 and slot.stat("/start.py")[0] == 0x8000
        self.watched.append(self.timeout_ms)
        source = slot.open("/start.py", "rb").read()
        namespace = {"started": self.started}
        exec(source, namespace)
        return types.SimpleNamespace(**namespace)

    def _reset(self):
        self.n_resets += 1
        self.timeout_ms = None

    def _watch(self, timeout):
        self.timeout_ms = timeout

    def _said(self, *args):
        """Nobody reads it."""


GOOD = "def run(slot, memory, at):\n    started.append(slot)\n    memory[at] = 0\n"
FAILS = "def run(slot, memory, at):\n    started.append(slot)\n    raise MemoryError\n"
HANGS = "def run(slot, memory, at):\n    started.append(slot)\n"
