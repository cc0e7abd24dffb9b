"""The first-hour tutorials are typed as they stand; what they promise is compared with what their
maker computes: first_hour.py's formulas, by hand."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stagelog

ROOT = Path(__file__).resolve().parents[2]


def type_all(name, folder):
    """Run every line of the page's shell blocks in `folder`; return {line: what it printed}."""
    page = (ROOT / f"docs/tutorial/{name}.md").read_text(encoding="utf-8")
    program = Path(sys.executable).with_name("stagelog")
    printed = {}
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S):
        for line in block.splitlines():
            words = line.split()
            if words[0] == "python":
                words = [sys.executable, ROOT / words[1], *words[2:]]
            else:
                words = [program, *words[1:]]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
            assert done.returncode in (0, 1), f"{line}\n{done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr
            printed[line] = done.stdout + done.stderr
    return printed


def found(printed, beginning):
    return next(text for line, text in printed.items() if line.startswith(f"stagelog {beginning}"))


def last_row(path):
    head, *rows = path.read_text(encoding="utf-8-sig").splitlines()
    names = [name.partition(" [")[0] for name in head.split(",")]
    return dict(zip(names, rows[-1].split(","), strict=True))


def test_toyota(tmp_path):
    printed = type_all("toyota", tmp_path)
    assert "2,000 frames" in found(printed, "info")
    assert "foreign log" in found(printed, "verify")
    guess = (tmp_path / "guess.dbc").read_text()
    # four Motorola words in 0x0AA, a checksum of Toyota's in 0x2C1
    assert len(re.findall(r"SG_ Word_\d : \d+\|16@0", guess)) == 4 and "(Toyota)" in guess
    assert "Counter_1" in guess
    speed = stagelog.open(tmp_path / "toyota.log", dbc=tmp_path / "toyota.dbc").signal(
        "WheelSpeed_FL"
    )
    assert np.allclose(speed.values, 0.1 * np.arange(1000), atol=0.006)
    assert "2 roles proposed" in found(printed, "profile new")
    assert "6 channels" in found(printed, "report")
    limit = re.search(r"```toml\n(.*?)```", (ROOT / "docs/tutorial/toyota.md").read_text(), re.S)
    profile = tmp_path / "toyota.toml"
    profile.write_text(profile.read_text() + limit[1])
    program = Path(sys.executable).with_name("stagelog")
    words = [program, "report", "toyota.log", "--profile", "toyota.toml", "--out", "b.html"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert "2 of 2 limits are exceeded" in done.stdout


def test_truck(tmp_path):
    printed = type_all("truck", tmp_path)
    assert "J1939, 3 groups, sources 00 0F" in found(printed, "info")
    decoded = found(printed, "decode")
    for line in (
        "ET1.OilTemp has no value: 10 not available",
        "ET1.CoolantTemp has no value: 5 error",
        "EEC1.EngineSpeed has no value: 100 not available",
    ):
        assert line in decoded
    row = last_row(tmp_path / "truck.csv")
    assert float(row["EEC1@sa00.EngineSpeed"]) == 1200 and row["EEC1@sa0F.EngineSpeed"] == ""
    assert float(row["VehicleSpeed"]) == 80 and float(row["CoolantTemp"]) == 90


def test_boat(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    printed = type_all("boat", tmp_path)
    assert "NMEA 2000, 4 groups, sources 23" in found(printed, "info")
    assert "shorter" not in found(printed, "dbc check"), "7 frames of Gnss are one message"
    assert "Depth.WaterDepth has no value: 2 not available" in found(printed, "decode")
    gnss = pq.read_table(tmp_path / "values/Gnss.parquet")
    assert gnss["Satellites"].to_pylist() == [9] * 10
    assert np.allclose(gnss["Altitude"].to_pylist(), 12)
    depth = pq.read_table(tmp_path / "values/Depth.parquet")["WaterDepth"].to_pylist()
    assert np.allclose(depth[:8], 5.2) and depth[8:] == [None, None]
    assert set(pq.read_table(tmp_path / "values/Engine.parquet")["EngineSpeed"].to_pylist()) == {
        2400.0
    }
    row = last_row(tmp_path / "boat.csv")
    # at 9.0 s: 43.5 deg + 900 of 1e-7
    assert float(row["Latitude"]) == pytest.approx(43.50009, abs=1e-7)
    assert float(row["Longitude"]) == pytest.approx(7.1)
