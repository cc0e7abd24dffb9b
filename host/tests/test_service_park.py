"""docs/howto/service_park.md, typed: the day of three cars with eight simulated loggers, from
empty boards on.

The lines that end with "&" are started and left running; all others are typed one after the other.
What must come of each is written here by hand.
"""

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stagelog.archive import check_sha256, find_sessions
from stagelog.car import drive
from stagelog.config_items import signal_table
from stagelog.flash.build import build_app
from stagelog.serve.wall import Wall

pytest.importorskip("duckdb", reason="the day ends with SQL (extra query)")
ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/howto/service_park.md").read_text(encoding="utf-8")
FLEET = re.search(r"^```toml\n(.*?)^```", TEXT, re.M | re.S)[1]
CAR_OF = dict(re.findall(r'device_id = "(\w+)"\ncar = "(\w+)"', FLEET))
TWO = ["report-chassis.html", "report-powertrain.html"]
THREE = ["report-cabin.html", *TWO]
REPORTS = {"C01": THREE, "C02": THREE, "C03": TWO}
SWITCHED_OFF, FULL = 4, 7  # by the order of the page: chassis loggers of C02 and C03
PULLED_AT_kB = 720


def blocks():
    """Return the commands of each block of the page."""
    found = re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)
    return [block.strip().splitlines() for block in found]


class Day:
    """The page's folder, with what runs in it."""

    def __init__(self, folder):
        self.folder = folder
        bin_ = Path(sys.executable).parent
        self.environment = os.environ | {
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "XDG_RUNTIME_DIR": str(folder),
            "STAGELOG_KEYS": str(folder / "keys"),
            "PYTHONUNBUFFERED": "1",
        }
        self.running = []

    def start(self, line):
        words = shlex.split(line.rstrip(" &"))
        process = subprocess.Popen(
            words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        self.running.append(process)
        return process

    def type(self, line):
        """Return (exit code, stdout, stderr) of a command."""
        done = subprocess.run(
            shlex.split(line), cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def stop(self, number):
        """Switch a simulated logger off."""
        self.running[number].send_signal(signal.SIGTERM)
        self.running[number].wait(20)

    def end(self):
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(20)
            process.stdout.close()


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """The simulators of the page's first block; the fleet file."""
    day = Day(tmp_path_factory.mktemp("day"))
    try:
        first, *simulators = blocks()[0]
        assert day.type(first)[0] == 0
        day.ports = [day.start(line).stdout for line in simulators]
        day.ports = [port.readline().strip() for port in day.ports]
        assert all(day.ports) and len(day.ports) == len(CAR_OF) == 8
        (day.folder / "fleet.toml").write_text(FLEET)
        yield day
    finally:
        day.end()


def way_km(t_s):
    """Return how far the car has come by then in the drive of the page, by the car's model; the
    drive is repeated.
    """
    truth = drive("stage", duration_s=120).truth
    n, rest_s = divmod(t_s, truth.t_us[-1] / 1e6)
    way_m = truth.arrays["distance_m"]
    return (n * way_m[-1] + np.interp(rest_s, truth.t_us / 1e6, way_m)) / 1000


def cars(out):
    """Return {car: light} of what check prints."""
    return dict(re.findall(r"^(C\d\d)  (GREEN|AMBER|RED)$", out, re.M))


def facts_of(day, port):
    code, out, err = day.type(f"stagelog status {port} --json")
    assert code in (0, 1), err  # 1: a full card
    return json.loads(out)


def settings_of(day, port):
    code, out, err = day.type(f"stagelog settings {port} --json")
    assert code == 0, err
    return json.loads(out)["settings"]


def wait_until(day, port, is_so):
    deadline = time.monotonic() + 240
    while not is_so(facts_of(day, port)):
        assert time.monotonic() < deadline, facts_of(day, port)
        time.sleep(1)


def head_of_table(profile):
    """Return the head of the SHA-256 of the signal table of a profile."""
    return hashlib.sha256(signal_table(profile)).hexdigest()[:16]


def test_a_day_in_the_service_park(day):
    words = blocks()
    _, before_event, key, flash, evening, morning, repair, pit, closer, after, *words = words
    question, across, proof, night = words
    code, out, err = day.type(*before_event)
    assert (code, out) == (
        0,
        f"{day.folder}/fleet.toml: DAKAR26, 3 cars, 8 loggers, 1 stage; stage in hand: SS03\n",
    ), err

    code, out, err = day.type(*key)
    assert code == 0 and out.startswith("ssh-ed25519 ") and out.endswith(" TeamX\n"), err

    flashed_s = time.monotonic()
    code, out, err = day.type(*flash)
    assert code == 0 and "8 loggers: 8 good" in out, out + err
    done = r"firmware \S+ runs from slot A; car (C0\d), written: settings, signal table, key for "
    done += "packages; read back and equal; clock set"
    assert sorted(re.findall(done, err)) == sorted(CAR_OF.values()), err
    asked_s = time.monotonic()
    recorded_s = facts_of(day, day.ports[0])["t_us"] / 1e6  # of the drive, until now
    (evening,) = evening
    code, out, err = day.type(evening.replace("PORT", day.ports[SWITCHED_OFF]))
    assert code == 0, err

    wait_until(day, day.ports[FULL], lambda facts: facts["state"] == "card full")
    code, out, err = day.type(*morning)
    assert code == 1 and cars(out)["C02"] == cars(out)["C03"] == "RED", out + err
    assert cars(out)["C01"] in ("GREEN", "AMBER"), out  # amber where this machine stalls
    has, wanted = head_of_table("d7xr_mule"), head_of_table("d7xr_2")
    remedy = "another DBC or profile: 'stagelog provision'"
    assert [line for line in out.splitlines() if "provision" in line] == [
        f"  chassis, signal table: it has {has}, wanted is {wanted} -> {remedy}"
    ], out
    assert "  chassis, fault: the card is full of sessions that were not downloaded" in out

    codes = [day.type(line) for line in repair]
    assert [code for code, *_ in codes[:2]] == [0, 0], codes
    assert "written: signal table" in codes[0][2]
    assert cars(codes[1][1])["C02"] in ("GREEN", "AMBER")
    assert re.search(r"C03 chassis: good: \d sessions? erased", codes[2][2]), codes[2]

    code, out, err = day.type(*pit)
    assert "8 loggers: " in out and code in (0, 1), out + err
    assert len(re.findall(r"frames stored", err)) == 8, err

    fetch, verify = closer
    code, _, err = day.type(fetch.replace("PORT", day.ports[0]))
    assert code == 0, err
    code, out, err = day.type(verify)
    assert code == 1 and re.search("open end|INCOMPLETE", out), out + err

    n_wanted = PULLED_AT_kB * 1000 // 4096 // 2 + 1  # a summary and its download are more then
    wait_until(day, day.ports[1], lambda facts: facts["blocks_written"] > n_wanted)
    least_s = time.monotonic() - asked_s + recorded_s
    code, out, err = day.type(*after)
    most_s = time.monotonic() - flashed_s
    assert "8 loggers: 8 good" in out and code in (0, 1), out + err  # 1: a report asks for work
    # Pulled within the download: after its line, or so soon that the wait has its megabytes.
    pulled = r"NAME: download(.*\n)+NAME: waits|NAME: waits for its port [\d.]+ of"
    assert re.search(pulled.replace("NAME", "C01 chassis"), err), err
    entries = find_sessions(day.folder / "archive")
    assert {entry.key[0] for entry in entries} == CAR_OF.keys()
    assert not check_sha256(entries) and len({entry.key for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.folder.parent.name == f"car={CAR_OF[entry.key[0]]}"
        assert entry.folder.name == "stage=SS03"
    for car in ("C01", "C02", "C03"):
        folder = day.folder / f"archive/event=DAKAR26/car={car}/stage=SS03"
        pages = sorted(path.name for path in folder.glob("report*.html"))
        assert pages == REPORTS[car]
        assert all("</html>" in (folder / page).read_text() for page in pages)
        checks = [json.loads(line) for line in (folder / "checks.jsonl").read_text().splitlines()]
        assert {check["by"] for check in checks} == {"Ann"} and len(checks) == (1 + (car == "C02"))

    code, out, err = day.type(*question)
    held = {car: sum(CAR_OF[e.key[0]] == car for e in entries) for car in ("C01", "C02", "C03")}
    assert [line.split() for line in out.splitlines()[1:]] == [
        [car, str(n)] for car, n in held.items()
    ], out + err

    life, since = across
    code, out, err = day.type(life)
    assert out.startswith("C01: 1 stage, DAKAR26 SS03\n") and code in (0, 1), out + err
    line = next(line for line in out.splitlines() if line.startswith("Gearbox "))
    # Once, though two loggers saw it: the way of the drive up to the end of the recording, which
    # lies within `after`; a moment's slip of wheels and the range of their speed are 3 %.
    begun_km = way_km(recorded_s)  # at most, before it was provisioned and started again
    least_km, most_km = way_km(least_s) - begun_km, way_km(most_s)
    assert 0.97 * least_km < float(line.split()[4]) < 1.03 * most_km + 0.05, line
    code, out, err = day.type(since)
    assert [line[:3] for line in out.splitlines()[1:4]] == ["C01", "C02", "C03"], out + err

    pack, verify = proof
    code, out, err = day.type(pack)
    assert code in (0, 1) and "signed by TeamX" in out, out + err  # 1: this machine lost frames
    assert "not in it" not in out, out
    code, out, err = day.type(verify)
    assert code == 0 and out.startswith("VALID: DAKAR26, C01, SS03: signed by TeamX"), out + err
    assert out.count("entry of the archive signed by TeamX") == held["C01"], out

    wall = Wall(day.folder / "archive", day.folder / "fleet.toml").read()
    assert wall["problems"] == [] and wall["stage"] == "SS03"
    assert [car["name"] for car in wall["cars"]] == ["C01", "C02", "C03"]
    for car in wall["cars"]:
        assert {logger["run"] for logger in car["loggers"]} == {"erase"}  # the last of sync
        assert {logger["logger"] for logger in car["loggers"]} == {
            each for each in CAR_OF if CAR_OF[each] == car["name"]
        }
        assert sorted(one["file"] for one in car["reports"]) == REPORTS[car["name"]]
        assert car["checked"]["by"] == "Ann" and car["life"]["n_stages"] == 1
    assert wall["cars"][2]["checked"]["light"] == "red"

    build, update, power_on, status = night
    port = day.ports[SWITCHED_OFF]
    assert facts_of(day, port)["package"] == {"number": 0, "reason": None}
    assert settings_of(day, port) == {"car": "C02"}
    (day.folder / "c02.json").write_text(re.search(r"^```json\n(.*?)^```", TEXT, re.M | re.S)[1])
    settled = FLEET.replace('profile = "d7xr_2"', 'profile = "d7xr_2"\nsettings = "c02.json"')
    (day.folder / "fleet.toml").write_text(settled)
    day.stop(SWITCHED_OFF)
    for line in (build, update):
        code, out, err = day.type(line)
        assert code == 0, out + err
    port = day.start(power_on).stdout.readline().strip()
    code, out, err = day.type(status.replace("PORT", port))
    assert code == 0 and "  package on the card: installed\n" in out, out + err
    facts = facts_of(day, port)
    assert facts["car"] == "C02" and facts["state"] == "recording", facts
    assert facts["firmware_sha256"] == build_app("pico_mcp2515", "armv6m").digest
    assert settings_of(day, port) == {"car": "C02", "flush_ms": 100}
