"""The wheel as a user installs it: a clean environment outside the checkout, an empty HOME.

First without extras: every verb works or names the extra to install, and none shows a traceback.
Then with all extras: every verb works, the firmware goes onto an emulated board, and the demo runs
from end to end. The verbs come from the command itself, so that a new one can't be left out.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from stagelog.cli import group
from stagelog.rig.runtimes import cache_path, find_runtime

pytest.importorskip("hatchling", reason="hatchling builds the wheel (extra dev)")
ROOT = Path(__file__).resolve().parents[2]

# Each verb as typed, in an order in which each finds what the ones before have left; the extra
# that it needs; its exit codes when it works. PORT is a simulated logger, BLANK an emulated board.
STEPS = (
    ("drive stage --duration 20 --out drive.log", None, {0}),
    ("convert drive.log drive.slog", None, {0}),
    ("convert drive.log drive.blf", None, {0}),
    ("convert drive.log drive.mf4", "mf4", {0}),
    ("align drive.log drive.blf --out aligned", None, {0}),
    ("info drive.slog", None, {0}),
    ("verify drive.slog", None, {0, 1}),
    ("dbc check DBC", None, {0}),
    ("dbc show DBC ENG_1", None, {0}),
    ("dbc new --log drive.slog --out new.dbc", None, {0}),
    ("profile new --dbc DBC --log drive.slog --out new.toml", None, {0}),
    ("profile check new.toml", None, {0}),
    ("decode drive.slog --dbc DBC --csv --out csv", None, {0}),
    ("decode drive.slog --dbc DBC --out parquet", "parquet", {0}),
    ("plot drive.slog --dbc DBC --strip EngSpd --out drive.png", "report", {0}),
    ("report drive.slog --out drive.html", None, {0, 1}),
    ("replay drive.slog --closed-loop --to 5", None, {0}),
    ("replay drive.slog --bus virtual:can0 --to 1 --bound-us 1000000", None, {0}),
    ("card prepare card.img --size 64MiB", None, {0}),
    ("card read card.img", None, {0}),
    ("loggers", None, {0}),
    ("status PORT", None, {0, 1}),
    ("watch PORT --duration 1", None, {0}),
    ("mark PORT puncture", None, {0, 3}),
    ("settings PORT", None, {0}),
    ("download PORT --stop --event TEST --car C03 --stage SS01", None, {0, 1}),
    ("life C03", None, {0, 1}),
    ("erase PORT --yes", None, {0, 1}),
    ("check PORT --listen-s 1", None, {0, 1}),
    ("summary PORT", None, {0, 1}),
    ("sync --yes --no-report --wait-s 2", None, {0, 1}),
    ("key new TeamX", None, {0}),
    ("key show", None, {0}),
    ("key trust nowhere", None, {5}),
    ("key passphrase --remove", None, {0}),
    ("key revoke 0123456789abcdef", None, {5}),
    ("evidence pack --event TEST --car C03 --stage SS01", None, {0, 1}),
    ("evidence verify TEST-C03-SS01.tar", None, {0, 1}),
    ("package build", None, {2}),  # there is no fleet file yet
    ("package show nowhere", None, {5}),
    ("card update nowhere card.img", None, {5}),
    ("fleet new", None, {0}),
    ("fleet check", None, {0}),
    ("provision PORT --yes", None, {0, 1}),
    ("query --dbc DBC 'select count(*) from ENG_1'", "query", {0}),
    ("lake build --dbc DBC", "parquet", {0}),
    ("since 'EngSpd > 0' --dbc DBC", "query", {0}),
    ("serve --archive nowhere", "serve", {5}),
    ("sim --target rp2040 --blank", "rig", {0}),
    ("flash BLANK --yes", "flash", {0}),
    ("bringup BLANK --yes --quick --rows wires,crystal", "flash", {0}),
)


def verbs_of(command, words=()):
    """Yield every verb below a click command, as typed."""
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from verbs_of(command.get_command(None, name), (*words, name))
    else:
        yield " ".join(words)


class Newcomer:
    """An environment in `folder` that has nothing of this checkout; commands run in `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COVERAGE", "PYTEST"))
        }
        self.environment |= {"HOME": str(folder / "home"), "STAGELOG_CACHE": str(cache_path())}
        self.environment |= {"XDG_RUNTIME_DIR": str(folder / "home"), "PIP_NO_CACHE_DIR": "1"}
        self.environment["STAGELOG_KEYS"] = str(folder / "home" / "keys")
        (folder / "home").mkdir()
        venv = [sys.executable, "-m", "venv", "--without-pip", folder / "venv"]
        subprocess.run(venv, check=True)

    def install(self, what):
        """Install with pip: wheels only, no cache, the versions that tools/setup installs."""
        command = [sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "-q"]
        command += ["--no-cache-dir", "--no-compile", "--only-binary=:all:"]
        command += ["-c", ROOT / "tools" / "constraints.txt", what]
        self.run(command, check=True, timeout=600)

    def run(self, command, **options):
        """Run a command; return it with its text."""
        options = {"timeout": 300, "text": True, "capture_output": True} | options
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def stagelog(self, *words):
        """Run the command that the wheel brought."""
        return self.run([self.bin / "stagelog", *words])

    @contextlib.contextmanager
    def simulator(self, *words):
        """Start a simulated logger; yield its port."""
        command = [self.bin / "stagelog", "sim", "--json", *words]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                lines = []
                for line in process.stdout:
                    lines.append(line)
                    if line.startswith("}"):
                        break
                yield json.loads("".join(lines))["port"]
            finally:
                process.terminate()


def walk(newcomer, steps, installed, blank):
    """Run `steps` of STEPS; return what is wrong with them, a line each."""
    wrong = []
    version = "python{}.{}".format(*sys.version_info)
    dbc = newcomer.folder / "venv" / "lib" / version / "site-packages/stagelog/_dbc/d7xr.dbc"
    with newcomer.simulator("--fast", "--drive", "stage", "--duration", "5") as port:
        places = {"DBC": dbc, "PORT": port, "BLANK": blank}
        for step, extra, codes in steps:
            done = newcomer.stagelog(*(places.get(word, word) for word in shlex.split(step)))
            said = done.stdout + done.stderr
            if "Traceback" in said:
                wrong.append(f"{step}: {said}")
            elif extra is None or extra in installed:
                if done.returncode not in codes:
                    wrong.append(f"{step}: exit code {done.returncode}: {said}")
            elif done.returncode != 2 or f'pip install "stagelog[{extra}]"' not in done.stderr:
                wrong.append(f"{step}: does not name the extra {extra}: {said}")
    return wrong


def test_every_verb_has_a_step():
    groups = "card|dbc|evidence|fleet|key|lake|package|profile"
    typed = {re.sub(rf"^((?:{groups}) \S+|\S+).*", r"\1", step) for step, *_ in STEPS}
    assert typed == set(verbs_of(group))


def test_every_verb_in_a_clean_environment(tmp_path):
    """One test, as its parts need each other: tests in parallel would install twice."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    (wheel,) = tmp_path.glob("*.whl")
    newcomer = Newcomer(tmp_path)
    newcomer.install(wheel)

    code = "import stagelog, slog, sys; print(stagelog.__file__, slog.__file__, *sys.path)"
    said = newcomer.run([newcomer.bin / "python", "-c", code]).stdout
    assert str(tmp_path) in said and str(ROOT) not in said, "nothing comes from the checkout"

    wrong = walk(newcomer, STEPS, installed=(), blank="/dev/null")
    assert not wrong, "without extras a verb works or names the one to install"

    for runtime in ("unix64", "pico-1.25"):
        if find_runtime(runtime) is None:
            pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
    newcomer.install(f"{wheel}[all]")
    lacked = [step for step in STEPS if step[1] and not step[0].startswith("sim")]
    with newcomer.simulator("--target", "rp2040", "--blank") as blank:
        wrong = walk(newcomer, lacked, {extra for _, extra, _ in STEPS}, blank)
    assert not wrong, "with extras every verb works"

    demo = [newcomer.bin / "python", ROOT / "tools" / "demo.py", "--seconds", "30"]
    done = newcomer.run([*demo, "--out", "demo"])
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "new uPlot(" in page and "leeoniya/uPlot" in page
