"""The report: facts from a log, one page that holds all it needs."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from stagelog.car import drive, load_profile
from stagelog.car.profile import dbc_file
from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode
from stagelog.report.build import compare_facts, stage_facts
from stagelog.report.html import render
from stagelog.report.stage import Stage

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def stages():
    profile = load_profile("d7xr")
    plan = compile_plan(load_database(dbc_file(profile)))
    return [
        Stage(decode(drive("stage", seed=seed, duration_s=50).frames, plan), profile, f"C0{seed}")
        for seed in (1, 2)
    ]


def section(facts, name):
    return next(one for one in facts["sections"] if one["id"] == name)


def test_distance_is_that_of_the_truth():
    profile = load_profile("d7xr")
    driven = drive("stage", seed=3, duration_s=60)
    plan = compile_plan(load_database(dbc_file(profile)))
    stage = Stage(decode(driven.frames, plan), profile)
    truth_km = float(np.trapezoid(driven.truth.arrays["speed_kmh"], driven.truth.t_us)) / 3.6e9
    assert stage.distance_km[-1] == pytest.approx(truth_km, rel=0.03)


def test_facts_name_every_limit_and_its_worst_moment(stages):
    facts = stage_facts(stages[0], [], [], [])
    rows = section(facts, "limits")["tables"][0]["rows"]
    by_name = {row["cells"][0]: row for row in rows}
    t_us, values = stages[0].decoded.series("DiffOilTempR")
    row = by_name["DiffOilTempR"]
    assert float(row["cells"][4]) == pytest.approx(values.max(), abs=0.06)
    worst = stages[0].seconds(int(t_us[np.argmax(values)]))
    assert row["x_s"] == pytest.approx(worst, abs=0.2)
    json.dumps(facts, allow_nan=False)


def test_damage_stands_first_and_is_bad(stages):
    facts = stage_facts(stages[0], [], ["14:03 bus 0: 12 frames lost"], ["block 7: CRC"])
    assert facts["sections"][0]["lines"] == ["14:03 bus 0: 12 frames lost", "block 7: CRC"]
    assert facts["tiles"][0]["level"] == "bad"


def test_cars_are_laid_over_each_other_by_distance(stages):
    facts = compare_facts(stages)
    chart = facts["charts"][0]
    assert [channel["name"] for channel in chart["channels"]] == ["C01", "C02"]
    assert chart["x_unit"] == "km"
    assert chart["x1"] == pytest.approx(max(stage.distance_km[-1] for stage in stages))


def test_page_loads_nothing_and_escapes_names(stages):
    stage = stages[0]
    facts = stage_facts(stage, [], ["<script>alert(1)</script>"], [])
    page = render({**facts, "title": "</title><script>alert(2)</script>"})
    assert "<script>alert" not in page
    assert not re.search(r"(src|href)=[\"'](?!#)", page)
    assert len(page) < 3_000_000


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_page_draws_and_jumps_in_a_browser(stages, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(render(stage_facts(stages[0], [], [], [])))
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    words += ["--disable-background-networking", "--disable-sync", "--virtual-time-budget=9000"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1500,6000"]
    done = subprocess.run(
        [*words, "--dump-dom", f"file://{page}#t=37.5"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 'data-zoom="27.500..57.500"' in done.stdout
    assert done.stdout.count('class="uplot') >= 10
    shot = tmp_path / "report.png"
    subprocess.run([*words, f"--screenshot={shot}", f"file://{page}"], capture_output=True)
    assert shot.stat().st_size > 100_000
