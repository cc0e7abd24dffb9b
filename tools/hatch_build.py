"""Build hook: what a wheel carries that is not in the repository as it lies in the wheel.

* slog and detectors as packages. An editable install reads them in place: Hatchling would copy a
  forced file there too, where it would hide the source.
* uPlot, which draws the charts of the report, from its npm package into the report's folder, with
  its licence. tools/setup comes by here through the editable install. A source archive carries the
  files, so that building from it needs no npm.
* The detectors compiled for this machine, if STAGELOG_COMPILED=1: such a wheel is for this Python
  and this kind of machine alone, and needs what tools/setup installs (--no-build-isolation).

Ends the build with the reason and what to do if the files cannot be had.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "uplot@1.6.32"
INTEGRITY = (
    "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTX"
    "ImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw=="
)
FILES = {
    "package/dist/uPlot.iife.min.js": "uplot.js",
    "package/dist/uPlot.min.css": "uplot.css",
    "package/LICENSE": "uplot.LICENSE",
}
COMPILED = "host/stagelog/events/compiled"
VENDOR = "host/stagelog/report/page/vendor"
SOURCE = f"{PACKAGE} {INTEGRITY}\n"  # written last: says that all files are there, and which


class BuildHook(BuildHookInterface):
    """Add what firmware and host both run to built wheels, and uPlot to all that is built."""

    def initialize(self, version, build_data):
        """Hatchling's hook; `version` is "standard" or "editable"."""
        if self.target_name == "wheel" and version == "standard":
            for package in ("slog", "detectors"):
                build_data["force_include"][f"firmware/{package}"] = package
            if os.environ.get("STAGELOG_COMPILED") == "1":
                self._put_detectors(build_data)
        build_data["artifacts"].append(f"/{VENDOR}/*")
        try:
            put_uplot(Path(self.root, VENDOR))
        except UplotError as error:
            self.app.abort(f"stagelog: {error}")

    def _put_detectors(self, build_data):
        paths = os.pathsep.join(str(Path(self.root, name)) for name in ("host", "firmware"))
        command = [sys.executable, "-m", "stagelog.events.compiled.build"]
        if subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}).returncode:
            self.app.abort("stagelog: build without STAGELOG_COMPILED")
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        (made,) = Path(self.root, COMPILED).glob(f"_detectors_*{suffix}")
        package = COMPILED.removeprefix("host/")
        build_data["force_include"][str(made)] = f"{package}/{made.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


class UplotError(Exception):
    """uPlot cannot be had; says why and what to do."""


def put_uplot(folder):
    """Have uPlot's files in `folder`; at once if they are those of INTEGRITY already."""
    source = folder / "SOURCE"
    if source.is_file() and source.read_text() == SOURCE:
        return
    files = _fetched()
    folder.mkdir(exist_ok=True)
    for name, content in (*files.items(), (source.name, SOURCE.encode())):
        fresh = folder / f"{name}.{os.getpid()}.part"
        fresh.write_bytes(content)
        fresh.replace(folder / name)


def _fetched():
    """Return {name: bytes} of FILES, out of the package that npm fetches and INTEGRITY knows."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        raise UplotError(
            f"{PACKAGE}, which draws the charts of the report, comes from npm, which is not "
            "installed; install Node.js with npm (Debian: apt-get install nodejs npm) and repeat"
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--cache", str(Path(folder, "cache")), PACKAGE]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            reason = (done.stderr + done.stdout).strip() or "no reason given"
            raise UplotError(f"npm does not fetch {PACKAGE}: {reason}\nrepeat with a network")
        digest = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
        if f"sha512-{digest}" != INTEGRITY:
            raise UplotError(
                f"{PACKAGE} as npm fetched it is sha512-{digest}, {INTEGRITY} is wanted; "
                "somebody changed the package or the way to it: do not use it"
            )
        with tarfile.open(archives[0]) as archive:
            return {name: archive.extractfile(path).read() for path, name in FILES.items()}
