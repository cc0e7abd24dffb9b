"""The main job, end to end, with no hardware: a stage is driven, logged, downloaded, checked,
decoded and shown.

Every step is the command a user would type, against a simulated logger: the shipped firmware on
MicroPython.
"""

import argparse
import contextlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from stagelog.resources import dbc_path

ROOT = Path(__file__).resolve().parents[1]
STAGELOG = Path(sys.executable).with_name("stagelog")
OPEN = "open" if sys.platform == "darwin" else "xdg-open"
STRIPS = (
    "WhlSpdFL,WhlSpdFR,WhlSpdRL,WhlSpdRR",
    "EngSpd",
    "DiffOilTempF,DiffOilTempR",
    "FuelLvlA,FuelLvlB",
    "DmpPosFL,DmpPosFR,DmpPosRL,DmpPosRR",
)


def run(*words, verdicts=(0,)):
    """Show a command, run it; end the demo if its exit code is not one of `verdicts`."""
    print(f"\n$ stagelog {shlex.join(map(str, words))}", flush=True)
    code = subprocess.run([STAGELOG, *map(str, words)]).returncode
    if code not in verdicts:
        sys.exit(f"demo: the command ended with exit code {code}")


def run_together(*commands):
    """Run commands beside each other; show each with what it said, in order."""
    started = [
        subprocess.Popen(
            [STAGELOG, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in commands
    ]
    for words, process in zip(commands, started, strict=True):
        text, _ = process.communicate()
        print(f"\n$ stagelog {shlex.join(map(str, words))}\n{text}", end="", flush=True)
    failed = [process.returncode for process in started if process.returncode]
    if failed:
        sys.exit(f"demo: a command ended with exit code {failed[0]}")


@contextlib.contextmanager
def simulated_logger(*words):
    """Start a simulated logger; yield its port."""
    command = [STAGELOG, "sim", *map(str, words), "--json"]
    print(f"$ stagelog sim {shlex.join(map(str, words))} &", flush=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            text = ""
            for line in process.stdout:
                text += line
                if line.startswith("}"):
                    break
            if not text:
                sys.exit(f"demo: the simulator ended with exit code {process.wait()}")
            yield json.loads(text)["port"]
        finally:
            process.terminate()


def main():
    """Run the demo into out/demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    dbc = dbc_path() / "d7xr.dbc"
    stage = given.out / "archive" / "event=DEMO" / "car=C03" / "stage=SS01"
    drive = ("--drive", "stage", "--duration", given.seconds, "--seed", given.seed, "--car", "C03")
    drive += ("--profile", "d7xr")
    with simulated_logger(*drive, "--fast", "--runtime", "unix64") as port:
        run("status", port, verdicts=(0, 1))
        where = ("--archive", given.out / "archive", "--event", "DEMO", "--stage", "SS01")
        run("download", port, *where)
        run("verify", stage)
        run("erase", port, "--archive", given.out / "archive", "--yes")
    picture = given.out / "stage.png"
    strips = [word for strip in STRIPS for word in ("--strip", strip)]
    report = given.out / "report.html"
    title = ("--title", "C03, SS01 (simulated)")
    run_together(
        ("decode", stage, "--dbc", dbc, "--out", given.out / "parquet"),
        ("plot", stage, "--dbc", dbc, "--out", picture, *title, *strips),
        ("report", stage, "--out", report),
    )
    print(f"\nArchive, Parquet and a picture are in {given.out}.")
    print(f"The report: {report}")
    print(f"Open it in any browser, offline:  {OPEN} {shlex.quote(str(report))}")


if __name__ == "__main__":
    main()
