"""Compilers for a build: the machine's own where they work, else unpacked from packages.

`build_environment` returns the variables that unix.sh and pico.sh run with. Whether a compiler is
there is tested by compiling with it, not by its name. Fails with RuntimeUnavailable.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from stagelog.rig.build.debian import RuntimeUnavailable, unpack_packages

_GCC = ["gcc", "-x", "c"]
_ARM_GXX = "arm-none-eabi-g++ -mcpu=cortex-m0plus -mthumb --specs=nosys.specs -x c++".split()
_HOST_PROGRAM = "int main(void) { return 0; }\n"
_HOST_PROGRAM_32 = "#include <errno.h>\n#include <math.h>\n#include <stdio.h>\n" + _HOST_PROGRAM
_ARM_PROGRAM = "#include <cstdlib>\nint main() { std::abort(); }\n"
# The library for C++ programs is 300 MB packed and no line of the image needs it: its headers and
# an empty archive do. Of the rest only the libraries for the RP2040's core are kept.
_ARM_PACKAGES = ["gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "libstdc++-arm-none-eabi-dev"]
_ARM_EXCLUDED = ["*/thumb/v7*", "*/thumb/v8*", "*/arm/v5te*", "./usr/share/doc"]
# Without -misa-spec, gcc 12 finds no library for these instructions.
_RISCV = "riscv64-unknown-elf-gcc -march=rv32imac -misa-spec=2.2 -mabi=ilp32".split()
_RISCV += "--specs=picolibc.specs -x c".split()
_RISCV_PROGRAM = '#include <string.h>\nint main(void) { return (int)strlen(""); }\n'
_RISCV_PACKAGES = ["gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf"]
_QEMU = "qemu-system-riscv32"
_QEMU_PACKAGES = ["qemu-system-misc"]
_QEMU_EXCLUDED = [
    "./usr/share",
    "*/qemu-system-[!r]*",
    "*/qemu-system-riscv64",
    "*/qemu-system-rx",
]
_RISCV_EXCLUDED = ["./usr/share", "*/lib/release", "*/lto1", "*/plugin", "*/rv64*", "*/rv32e*"]
_RISCV_EXCLUDED += ["*/rv32i", "*/rv32i[!m]*", "*/rv32im", "*/rv32imf*", "*/rv32imaf*"]
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Program:
    """A program and the environment that it needs; None: this process's."""

    path: str
    env: dict[str, str] | None = None


def find_qemu(folder: Path) -> Program | None:
    """Return the emulator of the RISC-V machine: the machine's own, or the one that was unpacked
    into `folder`; None without one.
    """
    if own := shutil.which(_QEMU):
        return Program(own)
    root = _root(folder, "qemu")
    program = root / "usr/bin" / _QEMU
    if not program.exists():
        return None
    libraries = [str(path) for path in root.glob("usr/lib/*-linux-gnu*")]
    libraries += [str(path) for path in root.glob("lib/*-linux-gnu*")]
    return Program(str(program), dict(os.environ, LD_LIBRARY_PATH=":".join(libraries)))


def build_environment(
    kind: str, folder: Path, log: TextIO, say: Callable[[str], None]
) -> dict[str, str]:
    """Return the environment to build `kind` in: "unix64", "unix32", "pico" or "rv32".

    folder  holds unpacked toolchains and package lists between builds
    say     is called with one line before something is downloaded
    """
    env = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    env |= {
        "LC_ALL": "C",
        "JOBS": str(os.cpu_count() or 1),
        "PYTHON": sys.executable,
        "M_CFLAGS": "",
        "M_LDFLAGS": "",
        "TARGET_LIBS": "",
    }
    if not _compiles(_GCC, _HOST_PROGRAM, env, log):
        raise RuntimeUnavailable(
            "no working C compiler (gcc) on this machine", hint="install gcc and libc6-dev"
        )
    tools = ["make"] if kind != "pico" else ["make", "cmake", "g++"]
    if missing := [tool for tool in tools if not shutil.which(tool, path=env["PATH"])]:
        name = f"tools-{'-'.join(missing)}"
        _add_tools(env, _unpack(name, missing, folder, log, say))
    if kind == "unix32":
        _add_32_bits(env, folder, log, say)
    elif kind == "pico":
        _add_arm(env, folder, log, say)
    elif kind == "rv32":
        _add_riscv(env, folder, log, say)
    return env


def _add_tools(env: dict[str, str], root: Path) -> None:
    libraries = root / "usr/lib" / _multiarch(env)
    env["PATH"] = f"{root / 'usr/bin'}:{env['PATH']}"
    env["LD_LIBRARY_PATH"] = f"{libraries}:{root / 'lib' / _multiarch(env)}"


def _add_32_bits(
    env: dict[str, str], folder: Path, log: TextIO, say: Callable[[str], None]
) -> None:
    """Let gcc link 32-bit programs, static ones, so that they need no 32-bit loader."""
    if platform.machine() != "x86_64":
        raise RuntimeUnavailable(
            f"the 32-bit unix port is built on x86-64 only, this machine is {platform.machine()}",
            hint="set STAGELOG_UNIX32 to one that was built elsewhere",
        )
    env["M_CFLAGS"], env["M_LDFLAGS"] = "-m32", "-m32 -static"
    if _compiles([*_GCC, "-m32", "-static"], _HOST_PROGRAM_32, env, log):
        return
    major = _output(["gcc", "-dumpversion"], env).split(".")[0]
    packages = ["libc6-dev-i386", f"lib32gcc-{major}-dev"]
    root = _unpack(f"32-bits-gcc-{major}", packages, folder, log, say)
    multiarch = _multiarch(env)
    # The headers are the machine's own 64-bit ones; the package adds the few that differ.
    headers = [root / "usr/include" / multiarch, Path("/usr/include") / multiarch]
    objects = [root / "usr/lib/gcc" / multiarch / major / "32", root / "usr/lib32"]
    c_flags = ["-m32", *(f"-isystem{path}" for path in headers)]
    link_flags = [
        "-m32",
        "-static",
        *(f"{flag}{path}" for path in objects for flag in ("-B", "-L")),
    ]
    if not _compiles([*_GCC, *c_flags, *link_flags], _HOST_PROGRAM_32, env, log):
        raise RuntimeUnavailable(
            f"gcc does not build 32-bit programs, even with {root}; see {log.name}",
            hint="install gcc-multilib",
        )
    env["M_CFLAGS"], env["M_LDFLAGS"] = " ".join(c_flags), " ".join(link_flags)


def _add_arm(env: dict[str, str], folder: Path, log: TextIO, say: Callable[[str], None]) -> None:
    if _compiles(_ARM_GXX, _ARM_PROGRAM, env, log):
        return
    root = _unpack("arm", _ARM_PACKAGES, folder, log, say, _ARM_EXCLUDED)
    env["PATH"] = f"{root / 'usr/bin'}:{env['PATH']}"
    arm = root / "usr/lib/arm-none-eabi"
    for link, target in ((arm / "lib", "newlib"), (arm / "include", "../../include/newlib")):
        if not link.exists():  # the packages leave these to their installation scripts
            link.symlink_to(target)
    empty = root / "empty"
    empty.mkdir(exist_ok=True)
    subprocess.run(["arm-none-eabi-ar", "crs", empty / "libstdc++.a"], env=env, check=True)
    if not _compiles([*_ARM_GXX, f"-L{empty}"], _ARM_PROGRAM, env, log):
        raise RuntimeUnavailable(
            f"the ARM compiler in {root} does not work; see {log.name}",
            hint="install gcc-arm-none-eabi and libstdc++-arm-none-eabi-newlib",
        )
    env["TARGET_LIBS"] = str(empty)


def _add_riscv(env: dict[str, str], folder: Path, log: TextIO, say: Callable[[str], None]) -> None:
    """Add the compiler, and unpack the emulator that its programs run on."""
    if find_qemu(folder) is None:
        _unpack("qemu", _QEMU_PACKAGES, folder, log, say, _QEMU_EXCLUDED)
    if _compiles(_RISCV, _RISCV_PROGRAM, env, log):
        return
    root = _unpack("riscv", _RISCV_PACKAGES, folder, log, say, _RISCV_EXCLUDED)
    env["PATH"] = f"{root / 'usr/bin'}:{env['PATH']}"
    picolibc = "usr/lib/picolibc"
    for place in (root / "usr/lib/gcc").glob("*/*"):  # the specs name their folder in /usr
        specs = (root / picolibc / place.parent.name / "picolibc.specs").read_text()
        specs = specs.replace(f"/{picolibc}", str(root / picolibc))
        (place / "picolibc.specs").write_text(specs)
    if not _compiles(_RISCV, _RISCV_PROGRAM, env, log):
        raise RuntimeUnavailable(
            f"the RISC-V compiler in {root} does not work; see {log.name}",
            hint=f"install {' and '.join(_RISCV_PACKAGES)}",
        )


def _root(folder: Path, name: str) -> Path:
    """Return the folder of an unpacked toolchain."""
    return folder / f"{name}-{platform.machine()}"


def _unpack(
    name: str,
    packages: Sequence[str],
    folder: Path,
    log: TextIO,
    say: Callable[[str], None],
    exclude: Sequence[str] = (),
) -> Path:
    """Return the folder with the unpacked packages, made whole or not at all."""
    root = _root(folder, name)
    if not root.exists():
        say(f"fetching what this machine lacks: {', '.join(packages)}")
        part = root.with_name(f"{root.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        unpack_packages(packages, part, folder, log, exclude)
        part.rename(root)
    return root


def _compiles(command: Sequence[str], program: str, env: dict[str, str], log: TextIO) -> bool:
    """Return whether the compiler makes a program of this source."""
    command = [*command, "-", "-lm", "-o", os.devnull]
    try:
        done = subprocess.run(
            command, input=program, env=env, stdout=log, stderr=log, text=True, check=False
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


def _multiarch(env: dict[str, str]) -> str:
    return _output(["gcc", "-print-multiarch"], env)


def _output(command: Sequence[str], env: dict[str, str]) -> str:
    return subprocess.run(
        command, env=env, capture_output=True, text=True, check=True
    ).stdout.strip()
