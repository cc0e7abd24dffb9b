"""The report: facts from a log, their judgement, and a page that holds all it needs."""

import json
import re

import numpy as np
import pytest

from slog import events as ev
from stagelog.blocks.placement import Identity
from stagelog.blocks.writer import pack_session
from stagelog.car import drive
from stagelog.cli import main
from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode
from stagelog.events import Detected
from stagelog.events.compare import Disagreement
from stagelog.model import FRAME
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import compare_facts, plain_facts, stage_facts
from stagelog.report.html import COLOURS, render
from stagelog.report.source import Source, read_source
from stagelog.report.stage import Stage
from stagelog.report.tables import records

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
UNIX_US = 1_769_000_000_000_000


@pytest.fixture(scope="module")
def profile():
    return load_profile("d7xr")


@pytest.fixture(scope="module")
def drives():
    return [drive("stage", seed=seed, duration_s=43) for seed in (1, 2)]


def write_log(path, frames, boot=1, unix_us=UNIX_US, first_seq=1, without=(), device_id="0a" * 8):
    """Write frames as a session file; `without` are shares (first, last) of its blocks."""
    identity = Identity(device_id, boot, 7)
    anchors = [(int(frames["t_us"][0]) + 1000, unix_us)]
    blocks = pack_session(frames, identity, anchors=anchors, first_seq=first_seq)
    keep = np.ones(len(blocks), bool)
    for first, last in without:
        keep[int(first * len(blocks)) : int(last * len(blocks))] = False
    path.write_bytes(blocks[keep].tobytes())
    return first_seq + len(blocks)


@pytest.fixture(scope="module")
def sources(drives, profile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    found = []
    for number, driven in enumerate(drives, 1):
        path = folder / f"C0{number}.slog"
        write_log(path, driven.frames)
        found.append(read_source([path], profile, dbc_file(profile), f"C0{number}"))
    return found


def section(facts, name):
    return next(one for one in facts["sections"] if one["id"] == name)


def table(facts, name, number=0):
    return records(section(facts, name)["tables"][number])


def test_distance_is_that_of_the_truth(profile):
    driven = drive("stage", seed=3, duration_s=60)
    plan = compile_plan(load_database(dbc_file(profile)))
    stage = Stage(decode(driven.frames, plan), profile)
    truth_km = float(np.trapezoid(driven.truth.arrays["speed_kmh"], driven.truth.t_us)) / 3.6e9
    assert stage.distance_km[-1] == pytest.approx(truth_km, rel=0.03)


def test_wheels_that_lie_do_not_drive(sources, profile):
    stage = sources[0].stage
    start, end = stage.end_us - 10_000_000, stage.end_us - 5_000_000
    stuck = Stage(stage.decoded, profile, stuck=[(start, end)])
    assert stuck.km(end) - stuck.km(start) < 0.5 * (stage.km(end) - stage.km(start))
    flying = Stage(stage.decoded, profile, flights=[(start, end)])
    before = flying.speed_kmh[np.searchsorted(flying.grid_us, start) - 1]
    held = (flying.km(end) - flying.km(start)) / 5 * 3600
    assert held == pytest.approx(before, rel=0.01)


def test_facts_name_every_limit_and_its_worst_moment(sources):
    facts = stage_facts(sources[0])
    rows = {row["signal"]: row for row in table(facts, "gearbox", 1)}
    stage = sources[0].stage
    t_us, values = stage.decoded.series("DiffOilTempR")
    assert rows["DiffOilTempR"]["highest"] == pytest.approx(values.max())
    worst = stage.seconds(int(t_us[np.argmax(values)]))
    assert rows["DiffOilTempR"]["t_s"] == pytest.approx(worst, abs=0.2)


def test_jumps_have_place_speed_airtime_and_landing(sources, drives):
    (jump, *_) = table(stage_facts(sources[0]), "jumps")
    truth = next(event for event in drives[0].truth.events if event.kind == "jump")
    stage = sources[0].stage
    assert jump["t_s"] == pytest.approx(stage.seconds(truth.t_us), abs=0.1)
    assert jump["at_km"] == pytest.approx(truth.at_km, abs=0.05)
    assert jump["take_off_kmh"] == pytest.approx(truth.speed_kmh, abs=5)
    assert jump["airtime_ms"] == pytest.approx(1000 * truth.airtime_s, abs=80)
    assert jump["landing_peak_g"] == pytest.approx(truth.landing_peak_g, rel=0.3)
    assert 50 < jump["reacted_after_ms"] < 200  # the profile's flight_mode.delay_ms, and its bus
    assert jump["torque_at_landing_Nm"] < 200 and 1 < jump["compression_m_per_s"] < 12


def test_holes_of_a_log_are_reported_in_words_and_greyed(drives, profile, tmp_path):
    path = tmp_path / "torn.slog"
    write_log(path, drives[0].frames, without=[(0.4, 0.5)])
    source = read_source([path], profile, dbc_file(profile), "torn")
    facts = stage_facts(source)
    health = section(facts, "health")
    assert health["note"].startswith("INCOMPLETE") and health["level"] == "bad"
    (hole,) = table(facts, "health")
    missing = len(drives[0].frames) - source.health.n_frames
    assert hole["lost_frames"] == missing and "missing" in hole["in_words"]
    (grey,) = facts["pauses"]
    assert grey["x1"] - grey["x0"] == pytest.approx(hole["for_s"], abs=0.01)
    assert facts["verdict"]["answer"].startswith("As far as the log goes")
    assert "not complete" in facts["verdict"]["reasons"]["rows"][0]["cells"][0]


def test_key_cycles_follow_each_other_on_one_axis(drives, profile, tmp_path):
    seq = write_log(tmp_path / "a.slog", drives[0].frames)
    later_us = UNIX_US + 3_600_000_000
    write_log(tmp_path / "b.slog", drives[1].frames, 2, later_us, seq)
    paths = sorted(tmp_path.glob("*.slog"))
    source = read_source(paths, profile, dbc_file(profile), "two")
    facts = stage_facts(source)
    cycles = table(facts, "health")
    assert [row["key_cycle"] for row in cycles] == ["boot 1", "boot 2"]
    assert cycles[1]["off_before_it_min"] == pytest.approx(59.2, abs=0.1)
    alone = [stage_facts(read_source([path], profile, dbc_file(profile))) for path in paths]
    apart = [row["airtime_ms"] for one in alone for row in table(one, "jumps")]
    assert [row["airtime_ms"] for row in table(facts, "jumps")] == apart
    assert any(f"{len(apart)} landings" in line for line in section(facts, "life")["lines"])
    assert source.stage.unix_us(source.stage.end_us) > later_us
    assert np.all(np.diff(source.stage.find("DmpPosFL").t_us) >= 0)


def test_the_log_of_another_recorder_has_no_account(drives, profile, tmp_path):
    from stagelog.export import open_frame_sink

    path = tmp_path / "other.log"
    with open_frame_sink(path, "candump", from_epoch=True) as sink:
        sink.write(drives[0].frames)
    facts = stage_facts(read_source([path], profile, dbc_file(profile), "other"))
    note = section(facts, "health")["note"]
    assert note.startswith("foreign log: what its logger lost cannot be known.")
    assert facts["tiles"][0]["value"] == "foreign log"
    assert table(facts, "jumps")


def test_a_log_with_little_of_the_car_is_not_called_good(drives, profile, tmp_path):
    path = tmp_path / "little.slog"
    frames = drives[0].frames
    write_log(path, frames[np.isin(frames["can_id"], (0x0A0, 0x100))])
    verdict = stage_facts(read_source([path], profile, dbc_file(profile)))["verdict"]
    assert verdict["level"] == "warn" and "does not say" in verdict["answer"]
    assert any("No data" in row["cells"][0] for row in verdict["reasons"]["rows"])


def test_a_quiet_drive_may_start(profile, tmp_path):
    path = tmp_path / "quiet.slog"
    write_log(path, drive("light_crest", seed=2, duration_s=20).frames)
    facts = stage_facts(read_source([path], profile, dbc_file(profile)))
    assert facts["verdict"]["level"] == "good", facts["verdict"]["reasons"]["rows"]
    assert not table(facts, "exceedances") and not table(facts, "jumps")
    render(facts)


def test_an_alarm_is_judged_and_says_what_to_inspect(sources):
    stage, signals = sources[0].stage, sources[0].table
    number = next(n for n, row in signals.alarms.items() if row[1] == "DiffOilTempR")
    at_us = stage.start_us + 20_000_000
    found = [
        Detected(at_us, ev.ALARM + number, ev.WARNING, 12100, 50),
        Detected(at_us + 2_000_000, ev.ALARM + number, ev.CRITICAL, 14100, 50),
        Detected(at_us + 9_000_000, ev.ALARM + number, ev.CLEAR, 11000, 50),
    ]
    facts = stage_facts(Source(stage, sources[0].health, found, signals, None))
    (alarm,) = table(facts, "exceedances")
    assert (alarm["severity"], alarm["ended"]) == ("critical", True)
    assert (alarm["limit"], alarm["limit_unit"]) == (140.0, "degC")
    series = stage.find("DiffOilTempR")
    during = series.within(at_us - 10_000_000, at_us + 9_000_000)
    assert alarm["worst"] == during.values.max()
    assert alarm["before"] == series.at([at_us - 10_000_000])[0] and alarm["for_s"] == 0.0
    assert facts["verdict"]["level"] == "bad"
    why, inspect = facts["verdict"]["reasons"]["rows"][0]["cells"]
    assert "DiffOilTempR critical" in why and "oil level" in inspect
    assert {"x": 20.0, "level": "bad", "text": "diff oil, DiffOilTempR"} in facts["marks"]


def test_many_alarms_are_summed_up_and_none_is_lost(sources):
    stage, signals = sources[0].stage, sources[0].table
    number = next(n for n, row in signals.alarms.items() if row[1] == "CoolantTemp")
    found = []
    for k in range(40):
        at_us = stage.start_us + 1_000_000 * k
        found.append(Detected(at_us, ev.ALARM + number, ev.WARNING, 11000, 50))
        found.append(Detected(at_us + 500_000, ev.ALARM + number, ev.CLEAR, 10000, 50))
    facts = stage_facts(Source(stage, sources[0].health, found, signals, None))
    (summed,) = table(facts, "exceedances")
    assert (summed["signal"], summed["times"]) == ("CoolantTemp", 40)
    assert len(table(facts, "exceedances", 1)) == 40
    page = render(facts)
    assert "15 more</summary>" in page and page.count(">coolant</button>") == 41


def test_disagreement_of_car_and_laptop_is_shown(sources):
    source = sources[0]
    event = source.found[0]
    differing = Source(
        source.stage,
        source.health,
        source.found,
        source.table,
        [Disagreement("car only", event, None)],
    )
    facts = stage_facts(differing)
    assert section(facts, "agreement")["title"] == "Car and laptop disagree"
    assert any("differ" in tile["value"] for tile in facts["tiles"])


def test_cars_are_laid_over_each_other_by_distance(sources):
    facts = compare_facts(sources)
    speed = next(chart for chart in facts["charts"] if chart["id"] == "k-speed")
    assert [channel["name"] for channel in speed["channels"]] == ["C01", "C02"]
    assert speed["x_unit"] == "km"
    longest = max(source.stage.distance_km[-1] for source in sources)
    assert speed["x1"] == pytest.approx(longest)
    driven = {row["fact"]: row for row in table(facts, "cars", 1)}
    assert driven["distance"]["C02"] == pytest.approx(sources[1].stage.distance_km[-1])


def test_behind_is_the_difference_of_passing_times(sources):
    behind = next(c for c in compare_facts([sources[0]] * 2)["charts"] if c["id"] == "k-behind")
    (channel,) = behind["channels"]
    assert channel["lo"] == 0.0 and channel["step"] == 1.0


def test_json_says_what_the_page_says(sources):
    facts = stage_facts(sources[0])
    plain = json.loads(json.dumps(plain_facts(facts), allow_nan=False))
    jumps = plain["sections"]["jumps"]["tables"][0]["rows"]
    assert jumps == table(facts, "jumps")
    page = render(facts)
    assert f"{jumps[0]['airtime_ms']:,}</td>" in page
    assert plain["verdict"]["answer"] in page


def test_page_escapes_every_name(sources):
    facts = json.dumps(stage_facts(sources[0], EVIL)).replace("DmpPosFL", "EVIL")
    evil = json.loads(facts, object_hook=_evil)
    page = render({**evil, "title": EVIL, "subtitle": EVIL})
    assert "<script>alert" not in page and "<img src=x" not in page
    assert page.count("&lt;script&gt;alert") > 3


def _evil(value):
    return {key: EVIL if inner == "EVIL" else inner for key, inner in value.items()}


def test_page_loads_nothing(sources):
    page = render(stage_facts(sources[0])).split("<script>")[0]
    assert not re.search(r"(src|href)=[\"'](?!#)|@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_facts_are_readable_without_a_script(sources):
    page = render(stage_facts(sources[0])).split("<script")[0]
    text = re.sub(r"<[^>]+>", " ", page)
    for words in ("Can the car start tomorrow?", "COMPLETE", "Jumps", "DiffOilTempR", "l/100 km"):
        assert words in text


def test_every_signed_level_has_a_sign_beside_its_colour(sources):
    page = render(stage_facts(sources[0]))
    rows = re.findall(r'<tr class="(bad|warn|good)">(.*?)</tr>', page)
    assert rows and all(f'class="sign {level}"' in row for level, row in rows)


# Machado, Oliveira, Fernandes 2009: what is left of linear red, green, blue without one cone.
BLIND = {
    "none": np.eye(3),
    "red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", BLIND)
def test_colours_of_channels_differ_for_every_eye(kind):
    seen = [lab(BLIND[kind] @ linear(colour)) for colour in COLOURS]
    apart = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a in range(8) for b in range(a)}
    assert min(apart.values()) > 20, min(apart, key=apart.get)


def test_colours_are_dark_enough_for_the_sun():
    contrast = [1.05 / (TO_XYZ[1] @ linear(colour) + 0.05) for colour in COLOURS]
    assert min(contrast) > 3.2 and min(contrast[:4]) > 3.5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("error")
def test_any_content_makes_a_page(profile, tmp_path, seed):
    rng = np.random.default_rng(seed)
    messages = load_database(dbc_file(profile)).messages
    used = rng.choice([m.can_id for m in messages], rng.integers(1, len(messages) + 1))
    n = int(rng.choice([40, 2000]))
    frames = np.zeros(n, FRAME)
    step_us = int(rng.choice([10, 1000, 200_000, 3_000_000]))
    frames["t_us"] = rng.integers(0, 10**9) + np.cumsum(rng.integers(0, step_us, n))
    frames["can_id"] = rng.choice(used, n)
    frames["data"] = rng.integers(0, 256, (n, 8)) if seed % 4 else 0
    frames["dlc"] = frames["n_bytes"] = 8 if seed % 3 else rng.integers(0, 9)
    write_log(tmp_path / "any.slog", frames)
    source = read_source([tmp_path / "any.slog"], profile, dbc_file(profile), "any")
    facts = stage_facts(source)
    json.dumps(plain_facts(facts), allow_nan=False)
    assert "</html>" in render(facts) and "</html>" in render(compare_facts([source, source]))


@pytest.fixture(scope="module")
def log(drives, tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "C09.slog"
    write_log(path, drives[0].frames[:60_000])
    return path


def stagelog(*words):
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return ended.value.code


def test_command_writes_a_page_and_keeps_an_old_one(log, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert stagelog("report", log, "-o", page) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "Can the car start tomorrow?" in capsys.readouterr().out
    assert stagelog("report", log, "-o", page) == 6
    assert stagelog("report", log, "-o", page, "--force", "--title", EVIL) == 0
    assert "<script>alert" not in page.read_text(encoding="utf-8")


def test_command_prints_facts_without_a_page(log, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert stagelog("report", log, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["schema"] == "stagelog.report/3" and "exceedances" in facts["sections"]
    assert not list(tmp_path.iterdir())


def test_command_takes_a_profile_for_each_car(log, capsys):
    words = ("report", log, log, log, "--profile", "d7xr", "--profile", "d7xr_2")
    assert stagelog(*words) == 2
    assert "2 profiles for 3 logs" in capsys.readouterr().err


def test_a_log_of_another_car_is_refused_with_the_reason(drives, tmp_path, capsys):
    frames = drives[0].frames[:5000].copy()
    frames["can_id"] = 0x7F0
    write_log(tmp_path / "alien.slog", frames)
    words = ("report", tmp_path / "alien.slog", "-o", tmp_path / "page.html")
    assert stagelog(*words, "--profile", "d7xr") == 5
    assert "no message of the DBC" in capsys.readouterr().err


def test_logs_of_two_loggers_are_not_one_car(drives, tmp_path, capsys):
    write_log(tmp_path / "a.slog", drives[0].frames[:3000])
    write_log(tmp_path / "b.slog", drives[1].frames[:3000], device_id="0c" * 8)
    assert stagelog("report", tmp_path, "-o", tmp_path / "page.html") == 5
    assert "2 loggers" in capsys.readouterr().err
