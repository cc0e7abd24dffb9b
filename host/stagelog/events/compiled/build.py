"""Compile the detectors for this machine: python -m stagelog.events.compiled.build [--force]

Needs Cython and a C compiler. Does nothing if what is here was compiled from the same sources.
Exit code 1, and nothing changed, if it cannot be done: stagelog then runs the pure form.
"""

import argparse
import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from stagelog.events.compiled import NAME, digest_of, file_of, read_sources
from stagelog.events.compiled.translate import translate


class BuildError(Exception):
    """The detectors cannot be compiled; says why."""


class NoCompiler(BuildError):
    """What compiles them is not here."""


def build(force: bool = False) -> None:
    """Compile the detectors for this machine, if that was not done for these sources yet.

    Raises   BuildError
    """
    sources = read_sources()
    target = file_of(digest_of(sources))
    if target.is_file() and not force:
        return
    build_module(sources, target)
    for old in target.parent.glob(f"{NAME}_*"):
        if old != target:
            old.unlink(missing_ok=True)


def build_module(sources: dict[str, str], target: Path) -> None:
    """Compile {module name: source} of the detectors and of slog into the Python module `target`.

    Raises   BuildError
    """
    if sys.platform == "win32":
        raise NoCompiler("the integers of its C compilers are others")
    if importlib.util.find_spec("Cython") is None:
        raise NoCompiler("Cython is not installed (extra compile)")
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        raise NoCompiler("Python.h is not here (Debian: python3-dev)")
    try:
        text = translate(sources)
    except NotImplementedError as error:
        raise BuildError(f"not known how to translate: {error}") from error
    with tempfile.TemporaryDirectory() as made:
        name = target.name.partition(".")[0]
        source = Path(made, f"{name}.py")
        source.write_text(text, encoding="utf-8")
        _to_c(source, name)
        fresh = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            _compile(source.with_suffix(".c"), fresh)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)


def _to_c(source: Path, name: str) -> None:
    from Cython.Compiler.Errors import CompileError
    from Cython.Compiler.Main import compile_single
    from Cython.Compiler.Options import CompilationOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            result = compile_single(str(source), CompilationOptions(), name)
    except CompileError as error:
        raise BuildError(f"Cython: {error}") from error
    if result.num_errors:
        raise BuildError(f"Cython: {said.getvalue()[-2000:]}")


def _compile(source: Path, target: Path) -> None:
    """Compile one C file. -O1: as fast here as -O2, made in half the time."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    link = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    include = f"-I{sysconfig.get_paths()['include']}"
    command = [*compiler, "-O1", "-w", "-fPIC", *link, include, str(source), "-o", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise NoCompiler(f"no C compiler: {error}") from error
    if done.returncode:
        raise BuildError(f"the C compiler: {done.stderr[-2000:]}")


def main() -> int:
    """Compile, and print whether the module was made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="compile again if nothing changed")
    given = parser.parse_args()
    try:
        build(force=given.force)
    except (BuildError, OSError) as error:
        print(f"the detectors are not compiled: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
