"""What each runtime is built from, and the building itself.

A recipe names its sources by their SHA-256; its key changes with anything that could change the
result, so that a cache never serves an old build for a new recipe.
"""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeAlias

from stagelog.rig.build.debian import RuntimeUnavailable, fetch
from stagelog.rig.build.toolchain import build_environment

_HERE = Path(__file__).resolve().parent
_POOL = "pool/main"
_PICO_TREES = {
    "SDK": (
        f"{_POOL}/p/pico-sdk/pico-sdk_2.1.1.orig.tar.gz",
        "179c5531e75ac7f82d0679e70b6e8881f871738dc0ef17baf3b4ff4679291c41",
        "pico-sdk-2.1.1",
    ),
    "MBEDTLS": (
        f"{_POOL}/m/mbedtls/mbedtls_3.6.6.orig.tar.bz2",
        "8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a",
        "mbedtls-3.6.6",
    ),
    "TINYUSB": (
        f"{_POOL}/t/tinyusb/tinyusb-source_0.18.0+dfsg-1_all.deb",
        "01ce2c645df68f14a8a7dcfc8fb355713152543757955820479a87949a61154e",
        "usr/src/tinyusb",
    ),
}


Tree: TypeAlias = tuple[str, str, str]  # path in the mirror, SHA-256, folder inside


@dataclass(frozen=True, slots=True)
class Recipe:
    """One build. `trees` are its sources, by the variable of the build script."""

    kind: str  # unix64, unix32, pico or rv32
    script: str
    epoch: int  # the release's date in unix seconds, so that the same source gives the same image
    trees: dict[str, Tree]

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that stand for sources and script."""
        digest = hashlib.sha256(f"{self.kind} {self.epoch} {sorted(self.trees.items())}".encode())
        digest.update((_HERE / self.script).read_bytes())
        return digest.hexdigest()[:12]


def _micropython(version: str, sha256: str) -> dict[str, Tree]:
    path = f"{_POOL}/m/micropython/micropython_{version}+ds.orig.tar.xz"
    return {"SRC": (path, sha256, f"micropython-{version}")}


_SOURCE_1_25 = _micropython(
    "1.25.0", "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"
)
_SOURCE_1_26 = _micropython(
    "1.26.1", "f5ad2ec89d3e921f753d448955af98b6005655f84ba26087dde6ba0e8d062f34"
)

RECIPES = {
    "unix64": Recipe("unix64", "unix.sh", 1744675200, _SOURCE_1_25),
    "unix32": Recipe("unix32", "unix.sh", 1744675200, _SOURCE_1_25),
    "pico-1.25": Recipe("pico", "pico.sh", 1744675200, _SOURCE_1_25 | _PICO_TREES),
    "pico-1.26": Recipe("pico", "pico.sh", 1757548800, _SOURCE_1_26 | _PICO_TREES),
    "rv32": Recipe("rv32", "rv32.sh", 1757548800, _SOURCE_1_26),
}


def build(name: str, target: Path, cache: Path, say: Callable[[str], None]) -> None:
    """Build runtime `name` into the file `target`, with everything else kept below `cache`.

    say  is called with each step, one line
    The caller holds the lock of `name`.
    Raises RuntimeUnavailable if sources or compilers cannot be had, or the build fails.
    """
    recipe = RECIPES[name]
    log_path = cache / "logs" / f"{name}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    (cache / "work").mkdir(exist_ok=True)
    for left_by_a_killed_build in (cache / "work").glob(f"{name}-*"):
        shutil.rmtree(left_by_a_killed_build, ignore_errors=True)
    with (
        log_path.open("w") as log,
        tempfile.TemporaryDirectory(prefix=f"{name}-", dir=cache / "work") as scratch,
    ):
        work = Path(scratch)
        with locked(cache / "locks" / "downloads.lock", say):
            env = build_environment(recipe.kind, cache / "toolchains", log, say)
            say("fetching MicroPython's source packages")
            for variable, (path, sha256, folder) in recipe.trees.items():
                archive = fetch(path, sha256, cache / "downloads", log)
                _unpack(archive, work, log)
                env[variable] = str(work / folder)
        say(f"building, log in {log_path}")
        made = work / target.name
        env |= {
            "OUT": str(made),
            "WORK": str(work),
            "SOURCE_DATE_EPOCH": str(recipe.epoch),
            "GIT_CEILING_DIRECTORIES": str(work),  # the version is the source's, not a checkout's
        }
        command = ["sh", str(_HERE / recipe.script)]
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
        )
        if done.returncode:
            raise RuntimeUnavailable(
                f"building {name} failed: {_cause(log_path)}", hint=f"see {log_path}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        made.replace(target)


@contextlib.contextmanager
def locked(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold an inter-process lock; report it if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that builds it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(archive: Path, folder: Path, log: TextIO) -> None:
    if archive.suffix == ".deb":
        if not shutil.which("dpkg-deb"):
            raise RuntimeUnavailable(f"cannot unpack {archive.name}: no dpkg-deb on this machine")
        subprocess.run(["dpkg-deb", "-x", archive, folder], stdout=log, stderr=log, check=True)
        return
    with tarfile.open(archive) as tree:
        tree.extraction_filter = lambda member, _path: member  # its SHA-256 has been checked
        tree.extractall(folder)


def _cause(path: Path) -> str:
    """Return the line of a build's log that most likely gives the reason of the failure."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("make")]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no output"])[-1]
