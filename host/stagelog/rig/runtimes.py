"""The MicroPython programs that the rig runs: found, or built once and kept.

    unix64, unix32          the unix port, 64 and 32 bits (a program)
    pico-1.25, pico-1.26    stock RPI_PICO images (UF2)
    pico-1.29               the same, official only
    rv32                    the port for QEMU's 32-bit RISC-V machine (ELF), with QEMU itself

A runtime is taken from the path in STAGELOG_UNIX64 (STAGELOG_PICO_1_25 and so on), the PATH (unix
port only), or the cache; else it is built from Debian's sources into the cache: no root, about
20 s for a unix port, 30 s for rv32 and 45 s for an image. An image that can't be built is
downloaded from its maker. Sources of a build are pinned by SHA-256, and so is a download that
`flash.base_image` knows; of another the SHA-256 is printed, to be compared with the maker's. The
cache is STAGELOG_CACHE, or stagelog in XDG_CACHE_HOME or ~/.cache.
`python -m stagelog.rig.runtimes NAME...` makes them ready and prints their paths; without a name
it lists what is there. Fails with RuntimeUnavailable, whose hint says what to do.
"""

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from stagelog.errors import StagelogError, UsageError
from stagelog.flash.base_image import RELEASES
from stagelog.rig.build.debian import RuntimeUnavailable
from stagelog.rig.build.recipes import RECIPES, build, locked
from stagelog.rig.build.toolchain import Program
from stagelog.rig.build.toolchain import find_qemu as _find_qemu

__all__ = [
    "RUNTIMES",
    "RuntimeUnavailable",
    "cache_path",
    "ensure_runtime",
    "find_qemu",
    "find_runtime",
]

_OFFICIAL_PLACE = "https://micropython.org/resources/firmware/"
_OFFICIAL = {
    "pico-1.25": "RPI_PICO-20250415-v1.25.0.uf2",
    "pico-1.26": "RPI_PICO-20250911-v1.26.1.uf2",
    "pico-1.29": "RPI_PICO-20260824-v1.29.0.uf2",
}
RUNTIMES = tuple(dict.fromkeys((*RECIPES, *_OFFICIAL)))

_UF2_BLOCK = struct.Struct("<8I")
_UF2_MAGIC = (0x0A324655, 0x9E5D5157)
_RP2040_FAMILY = 0xE48BFF56
_ELF_RISCV_32 = (b"\x7fELF\x01\x01", 243)  # its first bytes, and the machine at byte 18
_PROBE = """
import sys, array, binascii, hashlib, select, struct, time, uctypes, micropython
binascii.crc32, hashlib.sha256, select.poll, time.ticks_us, micropython.heap_lock, sys.stdin.buffer
print(sys.implementation[0], sys.implementation[1][0], sys.implementation[1][1], sys.maxsize)
"""
_OLDEST_UNIX = (1, 25)


Say: TypeAlias = Callable[[str], None]  # is given a line for each step
Make: TypeAlias = Callable[[str, Path, Path, Say], None]  # name, target, cache


def cache_path() -> Path:
    """Return the folder that built runtimes are kept in; it need not exist."""
    if own := os.environ.get("STAGELOG_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stagelog"


def variable_name(name: str) -> str:
    """Return the environment variable that names a runtime of the user's own."""
    return "STAGELOG_" + name.upper().replace("-", "_").replace(".", "_")


def find_runtime(name: str) -> Path | None:
    """Return the path of a runtime that is there, or None. Nothing is built or downloaded.

    Raises UsageError for an unknown name, and if the user's own path is not such a runtime.
    """
    if name not in RUNTIMES:
        raise UsageError(f"no runtime is called {name}", hint=f"known: {', '.join(RUNTIMES)}")
    variable = variable_name(name)
    if own := os.environ.get(variable):
        if defect := _find_defect(name, Path(own)):
            raise UsageError(f"{variable}={own}: {defect}", hint=f"correct or unset {variable}")
        return Path(own).absolute()
    if name.startswith("unix"):
        on_path = shutil.which("micropython")
        if on_path and not _find_defect(name, Path(on_path)):
            return Path(on_path)
    return next((path for path in _cached_paths(name).values() if _is_ready(name, path)), None)


def find_qemu() -> Program | None:
    """Return the emulator that runs rv32, or None."""
    return _find_qemu(cache_path() / "toolchains")


def ensure_runtime(name: str, say: Say | None = None) -> Path:
    """Return the path of a runtime, built or downloaded first if it is not there.

    say  is called with one line per step; default: to stderr
    Raises RuntimeUnavailable if it cannot be had on this machine.
    """
    say = say or _say
    if found := find_runtime(name):
        return found
    cache = cache_path()
    failures = []

    def say_step(text: str) -> None:
        say(f"{name}: {text}")

    with locked(cache / "locks" / f"{name}.lock", say_step):
        for make, target in _cached_paths(name).items():
            if _is_ready(name, target):
                return target
            start_s = time.monotonic()
            part = target.with_name(f"{target.name}.part")
            try:
                make(name, part, cache, say_step)
                if defect := _find_defect(name, part):
                    raise RuntimeUnavailable(f"{name} was made, but {defect}", hint=f"see {part}")
            except RuntimeUnavailable as error:
                failures.append(error)
                say_step(str(error))
                continue
            part.replace(target)
            say_step(f"ready after {time.monotonic() - start_s:.0f} s: {target}")
            return target
    hints = [error.hint for error in failures if error.hint]
    hints.append(f"or set {variable_name(name)} to the path of one")
    raise RuntimeUnavailable("; ".join(map(str, failures)), hint="; ".join(hints))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _is_ready(name: str, path: Path) -> bool:
    return path.exists() and (name != "rv32" or find_qemu() is not None)


def _cached_paths(name: str) -> dict[Make, Path]:
    """Return {what makes the runtime: where it is kept}, in the order of preference."""
    file_name = "micropython" if name.startswith("unix") else "firmware.uf2"
    if name == "rv32":
        file_name = "firmware.elf"
    ways: dict[Make, str] = {}
    if name in RECIPES:
        ways[_build] = RECIPES[name].key
    if name in _OFFICIAL:
        ways[_download] = "official"
    folder = cache_path() / "runtimes"
    return {make: folder / f"{name}-{key}" / file_name for make, key in ways.items()}


def _build(name: str, target: Path, cache: Path, say: Say) -> None:
    build(name, target, cache, say)


def _download(name: str, target: Path, cache: Path, say: Say) -> None:
    uri = _OFFICIAL_PLACE + _OFFICIAL[name]
    say(f"downloading {uri}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(uri, timeout=30) as answer:
            image = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise RuntimeUnavailable(
            f"the official image cannot be downloaded here ({error})",
            hint=f"download {uri} elsewhere",
        ) from error
    found = hashlib.sha256(image).hexdigest()
    if found != RELEASES.get(_OFFICIAL[name], found):
        raise RuntimeUnavailable(
            f"{uri} has SHA-256 {found}, {RELEASES[_OFFICIAL[name]]} is wanted",
            hint=f"download {uri} elsewhere",
        )
    target.write_bytes(image)
    if _OFFICIAL[name] not in RELEASES:
        say(f"SHA-256 {found}: compare it with the maker's")


def _find_defect(name: str, path: Path) -> str | None:
    """Return what is wrong with the file as runtime `name`, or None."""
    if not path.is_file():
        return "there is no such file"
    if name == "rv32":
        return _find_elf_defect(path)
    return (
        _find_unix_defect(name, path) if name.startswith("unix") else _find_uf2_defect(name, path)
    )


def _find_elf_defect(path: Path) -> str | None:
    start, machine = _ELF_RISCV_32
    with path.open("rb") as file:
        header = file.read(20)
    if not header.startswith(start) or header[18:] != machine.to_bytes(2, "little"):
        return "it is not a program for a 32-bit RISC-V"
    return None if find_qemu() else "there is no qemu-system-riscv32 to run it"


def _find_unix_defect(name: str, path: Path) -> str | None:
    try:
        probe = subprocess.run(
            [path, "-c", _PROBE], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it does not run ({error})"
    words = probe.stdout.split()
    if probe.returncode or len(words) != 4 or words[0] != "micropython":
        return f"it is not a MicroPython with what is needed: {probe.stderr.strip()[-200:]}"
    version = int(words[1]), int(words[2])
    if version < _OLDEST_UNIX:
        return f"it is MicroPython {words[1]}.{words[2]}, needed is 1.25 or later"
    bits = 64 if int(words[3]) > 2**32 else 32
    return None if name == f"unix{bits}" else f"it has {bits} bits"


def _find_uf2_defect(name: str, path: Path) -> str | None:
    image = path.read_bytes()
    if not image or len(image) % 512:
        return f"{len(image)} bytes are not a UF2 image"
    first = _UF2_BLOCK.unpack_from(image)
    if first[:2] != _UF2_MAGIC or first[7] != _RP2040_FAMILY:
        return "it is not a UF2 image for the RP2040"
    flash = b"".join(image[at + 32 : at + 288] for at in range(0, len(image), 512))
    version = name.removeprefix("pico-")
    return None if f"v{version}.".encode() in flash else f"it is not MicroPython {version}"


def main(names: Sequence[str]) -> int:
    """Print the path of each named runtime, made ready first; return the exit code."""
    exit_code = 0
    for name in names or RUNTIMES:
        try:
            path = ensure_runtime(name) if names else find_runtime(name)
        except StagelogError as error:
            print(f"runtimes: {error}", file=sys.stderr)
            exit_code = error.exit_code
        else:
            print(f"{name:<10} {path or 'not there'}")
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
