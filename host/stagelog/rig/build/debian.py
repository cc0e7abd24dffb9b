"""Files and packages from the Debian mirror that this machine's apt is set up with, without root.

apt itself names the mirror, follows the machine's proxies and checks every hash; nothing is
installed. Packages are unpacked into a folder of ours. On a machine without apt, sources can still
be fetched from the mirror that STAGELOG_DEBIAN_MIRROR names. Fails with RuntimeUnavailable.
"""

import hashlib
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TextIO

from stagelog.errors import StagelogError

MIRROR_VARIABLE = "STAGELOG_DEBIAN_MIRROR"
_APT_HELPER = Path("/usr/lib/apt/apt-helper")
# Never unpacked: a second C library beside the machine's own loader would break every program.
_NEVER_UNPACKED = ("libc6_", "libc-bin_")


class RuntimeUnavailable(StagelogError):
    """A runtime that can be neither found nor built on this machine."""

    exit_code = 5


def fetch(path: str, sha256: str, folder: Path, log: TextIO) -> Path:
    """Return `path` of a mirror's pool as a file in `folder`, downloaded only if it is not there.

    The file's name holds its SHA-256, so a file that is there is the right one.
    """
    target = folder / f"{sha256[:16]}-{Path(path).name}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    mirrors = find_mirrors(folder, log)
    try:
        for mirror in mirrors:
            if _download(f"{mirror.rstrip('/')}/{path}", part, sha256, log):
                part.replace(target)
                return target
    finally:
        part.unlink(missing_ok=True)
    tried = ", ".join(mirrors) or "none: this machine's apt names no mirror"
    raise RuntimeUnavailable(
        f"{path} is not on the Debian mirror (tried: {tried}); it may have left the pool",
        hint=f"set {MIRROR_VARIABLE} to a mirror that still has it",
    )


def find_mirrors(folder: Path, log: TextIO) -> list[str]:
    """Return the addresses to try: STAGELOG_DEBIAN_MIRROR, else those of the machine's apt."""
    if own := os.environ.get(MIRROR_VARIABLE):
        return [own]
    if not shutil.which("apt-get"):
        return []
    found = _index_repositories([]) or _index_repositories(_refreshed_options(folder, log))
    return sorted(found, key=lambda uri: ("debian" not in uri, "security" in uri, uri))


def unpack_packages(
    packages: Sequence[str], root: Path, folder: Path, log: TextIO, exclude: Sequence[str] = ()
) -> None:
    """Download the packages and what they need beyond what is installed; unpack them into `root`.

    exclude  tar patterns of files that are not wanted
    """
    for tool in ("apt-get", "dpkg-deb", "tar"):
        if not shutil.which(tool):
            raise RuntimeUnavailable(
                f"cannot fetch {', '.join(packages)}: {tool} is not on this machine",
                hint="install the equivalent of these packages",
            )
    options = _refreshed_options(folder, log)
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "-y", "-qq", "--download-only", "--no-install-recommends", *options]
    command += ["-o", f"Dir::Cache::archives={archives}", "install", *packages]
    if _run(command, log).returncode:
        raise RuntimeUnavailable(
            f"apt cannot download {', '.join(packages)}; see {log.name}",
            hint="install them, or check the machine's apt sources",
        )
    root.mkdir(parents=True, exist_ok=True)
    patterns = [f"--exclude={pattern}" for pattern in exclude]
    for deb in sorted(archives.glob("*.deb")):
        if deb.name.startswith(_NEVER_UNPACKED):
            continue
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE
        ) as files:
            unpacked = _run(["tar", "-x", "-C", root, *patterns], log, stdin=files.stdout)
        if unpacked.returncode or files.returncode:
            raise RuntimeUnavailable(f"cannot unpack {deb} into {root}; see {log.name}")
    shutil.rmtree(archives)


def _refreshed_options(folder: Path, log: TextIO) -> list[str]:
    """Return apt options for private, fresh package lists in `folder`."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    options = [f"Dir::State::lists={lists}", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="]
    options += ["APT::Sandbox::User=root", "Debug::NoLocking=1", "Acquire::Languages=none"]
    options = [word for option in options for word in ("-o", option)]
    # A third party's source that does not answer must not stop us; needed ones are checked below.
    _run(["apt-get", "-qq", *options, "update"], log)
    return options


def _index_repositories(options: Sequence[str]) -> set[str]:
    answer = subprocess.run(
        ["apt-get", "indextargets", *options, "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    return set(answer.stdout.split())


def _download(uri: str, target: Path, sha256: str, log: TextIO) -> bool:
    """Fetch one address into `target`; False if it is not there or is another file."""
    if _APT_HELPER.exists():
        command: list[str | Path] = [_APT_HELPER, "-o", "APT::Sandbox::User=root"]
        command += ["download-file", uri, target, f"SHA256:{sha256}"]
        return _run(command, log).returncode == 0
    try:
        with urllib.request.urlopen(uri, timeout=60) as answer:
            content = answer.read()
    except (urllib.error.URLError, OSError) as error:
        log.write(f"{uri}: {error}\n")
        return False
    target.write_bytes(content)
    return hashlib.sha256(content).hexdigest() == sha256


def _run(
    command: Sequence[str | Path], log: TextIO, stdin: int | IO[bytes] | None = subprocess.DEVNULL
) -> subprocess.CompletedProcess[bytes]:
    log.write(f"+ {' '.join(str(word) for word in command)}\n")
    log.flush()
    return subprocess.run(command, stdin=stdin, stdout=log, stderr=log, check=False)
