"""The life of a car's parts over stages: sums by hand, replacements, and files in the archive."""

import json
from dataclasses import replace

import numpy as np
import pytest
from stage_values import during

from slog import event_names
from slog import events as ev
from stagelog.archive import find_sessions, stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.cli.life import _stage_of, _time_of
from stagelog.dbc import load_database
from stagelog.errors import UsageError
from stagelog.events import Detected, compile_table
from stagelog.profile import dbc_file, load_profile
from stagelog.report.build import stage_facts
from stagelog.report.car_life import (
    Replacement,
    components,
    driven_stages,
    load_replaced,
    record,
)
from stagelog.report.lives import (
    PartLife,
    StageLife,
    keep_life,
    life_of,
    load_life,
    made_with,
    whole_of_logger,
)
from stagelog.report.source import Health, Source
from stagelog.verdict import COMPLETE, Verdict

DAY_US = 86_400_000_000
T0_UNIX_US = 1_768_608_000_000_000  # 2026-01-17 00:00 UTC
LANDINGS = {"light": 3, "medium": 2, "hard": 1, "severe": 1}


def life(stage, day, logger="aa" * 8, **other):
    """Return a stage of 2 h of engine, 100 km, seven landings; the gearbox was hot for 5 min."""
    parts = (PartLife("gearbox", "Gearbox", 5.0, 1.0), PartLife("damper_fl", "Damper", 0.5, 0.0))
    t_unix_us = None if day is None else T0_UNIX_US + day * DAY_US
    whole = StageLife(
        "D26", "C03", stage, logger, t_unix_us, True, "good", "Yes.",
        2.0, 2.5, 100.0, 7, LANDINGS, parts, {}, "",
    )  # fmt: skip
    return replace(whole, **other)


def rows(lives, replaced=()):
    """Return {place: as_dict of its component}."""
    found = components(lives, driven_stages(lives), replaced)
    return {one.place: one.as_dict() for one in found}


def test_stages_add_up_in_the_order_in_which_they_were_driven():
    """Three stages: 6 h, 7.5 h, 300 km, 21 landings; gearbox 15 and 3 min, damper 1.5 min."""
    lives = [life("SS10", 2), life("SS02", 0), life("SS03", 1)]
    assert [one.stage for one in driven_stages(lives)] == ["SS02", "SS03", "SS10"]
    gearbox, damper = rows(lives).values()
    assert gearbox == {
        "place": "gearbox", "name": "Gearbox", "replaced": None, "note": "", "n_stages": 3,
        "engine_h": 6.0, "power_h": 7.5, "driven_km": 300.0, "n_landings": 21,
        "landings": {"light": 9, "medium": 6, "hard": 3, "severe": 3},
        "over_warning_min": 15.0, "over_critical_min": 3.0,
    }  # fmt: skip
    assert (damper["over_warning_min"], damper["over_critical_min"]) == (1.5, 0.0)


def test_two_loggers_of_a_car_saw_the_same_drive():
    """The second was switched on late: 60 km, 1 h, two landings, but it alone has the dampers'
    sensor, 4 min. Counted are 100 km, 2 h, seven landings, 5 min and 4 min.
    """
    late = life(
        "SS02", 0, "bb" * 8, engine_h=1.0, power_h=1.2, driven_km=60.0, n_landings=2,
        landings={"light": 0, "medium": 0, "hard": 2, "severe": 0},
        parts=(PartLife("gearbox", "Gearbox", 2.0, 1.5), PartLife("damper_fl", "Damper", 4.0, 0)),
    )  # fmt: skip
    for lives in ([life("SS02", 0), late], [late, life("SS02", 0)]):
        found = rows(lives)
        assert found["gearbox"]["driven_km"] == 100.0 and found["gearbox"]["engine_h"] == 2.0
        assert found["gearbox"]["landings"] == LANDINGS and found["gearbox"]["n_stages"] == 1
        assert found["gearbox"]["over_warning_min"] == 5.0
        assert found["gearbox"]["over_critical_min"] == 1.5
        assert found["damper_fl"]["over_warning_min"] == 4.0
        [stage] = driven_stages(lives)
        assert stage.loggers == ("aa" * 8, "bb" * 8)


def of(place, stage=None, at_us=0, **other):
    return Replacement("C03", place, stage and ("D26", stage), at_us, **other)


LIVES = [life("SS02", 0), life("SS03", 1), life("SS04", 2)]


@pytest.mark.parametrize(
    ("replaced", "n_stages"),
    [
        ([of("gearbox", "SS03")], 2),
        ([of("gearbox", "SS04"), of("gearbox", "SS03")], 1),  # the last counts, in any order
        ([of("gearbox", at_us=T0_UNIX_US + DAY_US)], 2),  # at its start: it saw all of SS03
        ([of("gearbox", at_us=T0_UNIX_US + DAY_US + 1)], 1),
        ([of("gearbox", at_us=T0_UNIX_US + 9 * DAY_US)], 0),  # new in the car
        ([of("gearbox", "SS05", T0_UNIX_US + 2 * DAY_US + 1)], 0),  # for a stage to come
        ([of("gearbox", "SS05", T0_UNIX_US + 1)], 2),  # which was not driven in the end
        ([of("gearbox", "SS03"), of("gearbox", "SS03", is_undone=True)], 3),
        ([of("damper_fl", "SS03")], 3),  # another part
    ],
)
def test_a_replaced_part_counts_from_then_on(replaced, n_stages):
    found = rows(LIVES, replaced)["gearbox"]
    assert found["n_stages"] == n_stages and found["driven_km"] == 100.0 * n_stages
    assert found["over_warning_min"] == 5.0 * n_stages


def test_a_stage_without_a_clock_counts_for_a_part_that_was_replaced_at_a_time():
    lives = [*LIVES, life("SS01", None)]
    assert [one.stage for one in driven_stages(lives)][0] == "SS01"
    found = rows(lives, [of("gearbox", at_us=T0_UNIX_US + DAY_US)])["gearbox"]
    assert found["n_stages"] == 3  # SS03, SS04 and the unknown one: rather more than less


def test_replacements_are_lines_of_the_archive(tmp_path):
    one = of("gearbox", "SS03", 5, by="Ann", note="<b>second</b> gear \u202e")
    record(tmp_path, one, clock_ns=lambda: 7000)
    record(tmp_path, replace(one, car="C04"))
    path = record(tmp_path, of("damper_fl", None, 9))
    with open(path, "ab") as file:  # torn, of another schema, of wrong types
        file.write(b'{"schema": "stagelog.repl\n[]\n{"schema": "stagelog.replaced/1"}\n')
        file.write(b'{"schema": "stagelog.replaced/1", "car": "C03", "place": 7, "at_unix_us": 1}')
    assert load_replaced(tmp_path, "C03") == [one, of("damper_fl", None, 9)]
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["schema"], first["t_unix_us"]) == ("stagelog.replaced/1", 7)
    assert load_replaced(tmp_path / "nowhere", "C03") == []


def summary(at_s, **values):
    names = [row[0] for row in event_names.SUMMARY_ITEMS]
    return [
        Detected(round(at_s * 1e6) + n, ev.SUMMARY + n, 1, *values.get(name, (0, 0)))
        for n, name in enumerate(names)
    ]


def session_in(root, stage, number, logger="ab" * 8, n_frames=400):
    """Store a session of some frames of no message."""
    from stagelog.model import FRAME

    frames = np.zeros(n_frames, FRAME)
    frames["t_us"] = 1000 * np.arange(n_frames) + 500
    frames["n_bytes"] = frames["dlc"] = 8
    folder = stage_folder(root, "D26", "C03", stage)
    folder.mkdir(parents=True, exist_ok=True)
    path = root / f"{number}.tmp"
    path.write_bytes(pack_session(frames, Identity(logger, number, number)).tobytes())
    log = read_log(path)
    entry = store_session(log, log.session(), folder)
    path.unlink()
    return entry


def test_life_of_a_report_by_hand(make_stage, tmp_path):
    """100 s at 20 m/s are 2.0 km. The rear left disc is above 600 degC for 30 s and above none of
    its others, the sump above 115 for 30 s and above 130 for 6 s. Of the rear left damper's two
    sensors one is above 120 degC for 12 s, the other for 6 of these: 0.2 min. Summary: 2 h, 2.5 h,
    7 landings.
    """
    profile = load_profile("d7xr")
    table = compile_table(profile, load_database(dbc_file(profile)))
    stage = make_stage(
        DiscTempRL=during(20, 50, 700.0, 200.0),
        DmpTempRL1=during(20, 26, 125.0, 60.0),
        DmpTempRL2=during(20, 32, 125.0, 60.0),
        TrnOilTempSump=lambda t_s: during(20, 50, 120.0, 90.0)(t_s) + during(30, 36, 15.0)(t_s),
    )
    found = summary(
        80, engine_s=(7200, 9000), flights=(7, 1830), landings_light=(3, 912),
        landings_medium=(2, 0), landings_hard=(1, 0), landings_severe=(1, 0),
    )  # fmt: skip
    whole = Verdict(COMPLETE, "COMPLETE: every frame that was seen is here")
    facts = json.loads(json.dumps(stage_facts(Source(stage, Health([whole]), found, table, None))))
    entry = session_in(tmp_path, "SS02", 1)
    seen = life_of(facts, [entry], "made")
    assert (seen.event, seen.car, seen.stage, seen.logger) == ("D26", "C03", "SS02", "ab" * 8)
    assert (seen.engine_h, seen.power_h, seen.n_landings) == (2.0, 2.5, 7)
    assert seen.driven_km == pytest.approx(2.0, abs=0.01) and seen.complete is True
    assert seen.landings == LANDINGS and seen.level == facts["verdict"]["level"]
    minutes = {part.place: (part.over_warning_min, part.over_critical_min) for part in seen.parts}
    assert minutes["gearbox"] == pytest.approx((0.5, 0.1))
    assert minutes["brake_rl"] == pytest.approx((0.5, 0.0))
    assert minutes["damper_rl"] == pytest.approx((0.2, 0.0))
    assert minutes["brake_fl"] == minutes["diff_rear"] == (0.0, 0.0)
    assert [part.name for part in seen.parts if part.place == "gearbox"] == ["Gearbox"]
    facts["sections"] = [s for s in facts["sections"] if s["id"] != "life"]
    assert life_of(facts, [entry], "made") is None


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Two sessions of a logger in SS02, one of another logger, and one in SS03; what is kept of
    the first two.
    """
    entries = [session_in(tmp_path, "SS02", n) for n in (1, 2)]
    session_in(tmp_path, "SS02", 3, "cd" * 8)
    session_in(tmp_path, "SS03", 4)
    sessions = {entry.path.name: entry.values["sha256"] for entry in entries}
    known = life("SS02", 0, "ab" * 8, sessions=sessions, made_with="made")
    monkeypatch.setattr("stagelog.report.lives.life_of", lambda *_: known)
    assert keep_life({}, [entry.path for entry in entries], "made") == known
    return entries, known


def test_what_is_kept_counts_as_long_as_the_sessions_are_the_same(kept, tmp_path):
    entries, known = kept
    assert load_life(entries) == load_life(entries, "made") == known
    assert load_life(entries, "other") is None
    assert load_life(entries[:1]) is None
    more = [*entries, session_in(tmp_path, "SS02", 5)]
    assert load_life(more) is None
    assert len(list(tmp_path.rglob("*.life.json"))) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        b"", b"{", b"[]", b"7", b"[" * 100_000,
        {"engine_h": "2"}, {"landings": {"light": 1}}, {"landings": 7}, {"parts": 7},
        {"parts": [{"place": "x"}]}, {"t_unix_us": "soon"}, {"stage": 7}, {"more": 1},
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_not_believed(kept, wrong):
    entries, _ = kept
    path = entries[0].folder / f"{'ab' * 8}.life.json"
    if isinstance(wrong, dict):
        wrong = json.dumps(json.loads(path.read_text()) | wrong).encode()
    path.write_bytes(wrong)
    assert load_life(entries) is None


def test_a_report_on_some_sessions_is_no_life_of_a_stage(kept, tmp_path):
    entries, _ = kept
    every = [entry.path for entry in find_sessions(tmp_path)]
    own = [entry.path for entry in entries]
    assert len(whole_of_logger(own)) == 2
    for paths in (own[:1], every, [*own, every[-1]], [tmp_path / "x.slog"], []):
        assert whole_of_logger(paths) == []


def test_another_profile_or_dbc_is_another_life(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("a")
    seen = {made_with((), ()), made_with(("d7xr",), ()), made_with((str(mine),), ())}
    mine.write_text("b")
    seen |= {made_with((str(mine),), ()), made_with((), (str(mine),))}
    assert len(seen) == 5
    assert made_with((), (f"can0={mine}",)) == made_with((), (str(mine),))


@pytest.fixture(scope="module")
def drive_log(tmp_path_factory):
    """Four seconds of the virtual car in a session file."""
    from stagelog.car import drive

    path = tmp_path_factory.mktemp("drive") / "drive.slog"
    frames = drive("light_crest", seed=2, duration_s=4).frames
    anchors = [(int(frames["t_us"][0]), T0_UNIX_US)]
    path.write_bytes(pack_session(frames, Identity("0a" * 8, 1, 7), anchors=anchors).tobytes())
    return path


def test_a_report_keeps_the_life_and_the_command_reads_it(drive_log, tmp_path, run, monkeypatch):
    """What the report says of distance is what the life says; nothing is read twice."""
    root = tmp_path / "archive"
    folder = stage_folder(root, "D26", "C03", "SS01")
    folder.mkdir(parents=True)
    log = read_log(drive_log)
    entry = store_session(log, log.session(), folder)
    kept = folder / f"{'0a' * 8}.life.json"
    code, _, err = run("report", folder, "--bus", 0, "--out", tmp_path / "a.html")
    assert code == 0 and not kept.exists(), err  # of one bus only
    code, out, err = run("report", folder / ("0a" * 8), "--json")
    assert code == 0 and kept.exists(), err
    life_values = json.loads(out)["sections"]["life"]["values"]
    monkeypatch.setattr("stagelog.cli.report.facts_of", pytest.fail)
    code, out, err = run("life", "03", "--archive", root, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["car"] == "C03" and facts["not_counted"] == []
    [stage] = facts["stages"]
    assert stage["driven_km"] == pytest.approx(life_values["driven_km"], abs=0.001)
    assert stage["t_unix_us"] == entry.values["t_first_unix_us"]
    assert all(part["n_stages"] == 1 for part in facts["components"])

    words = ("life", "C03", "--archive", root, "--replaced", "Rear diff", "--at")
    code, out, _ = run(*words, "2026-01-17T18:30", "--note", "magnet full of chips")
    assert code == 0 and "Rear diff, replaced 2026-01-17 18:30: magnet full of chips" in out
    line = next(line for line in out.splitlines() if line.startswith("Rear diff "))
    assert line.split() == "Rear diff 2026-01-17 18:30 0 0.00 0.0 0 0 0 0 0.0 0.0".split()
    code, out, _ = run(*words, "2026-01-17T18:30", "--undo", "--json")
    facts = json.loads(out)
    assert {part["n_stages"] for part in facts["components"]} == {1}
    assert [one["is_undone"] for one in facts["replaced"]] == [False, True]
    code, _, err = run(*words, "SS01", "--undo")
    assert code == 2 and "has no record that diff_rear was replaced at D26 SS01" in err


def test_a_copy_in_a_folder_with_other_sessions_counts_once(drive_log, tmp_path, run):
    """The same drive is boot 1 and boot 2. SS01 holds boot 1; SS02 boot 2 and a copy of boot 1, as
    two laptops leave it. SS02 is boot 2 alone, also after a report on it.
    """
    root = tmp_path / "archive"
    frames = np.concatenate(list(read_log(drive_log).session().iter_frames()))
    for boot, stages in ((1, ("SS01", "SS02")), (2, ("SS02",))):
        path = tmp_path / f"{boot}.tmp"
        anchors = [(int(frames["t_us"][0]), T0_UNIX_US + boot * DAY_US)]
        path.write_bytes(
            pack_session(frames, Identity("0a" * 8, boot, 7), anchors=anchors).tobytes()
        )
        log = read_log(path)
        for stage in stages:
            folder = stage_folder(root, "D26", "C03", stage)
            folder.mkdir(parents=True, exist_ok=True)
            store_session(log, log.session(), folder)
    report = ("report", folder / ("0a" * 8), "--out", tmp_path / "a.html")
    for words in ((), report):
        assert not words or run(*words)[0] == 0
        code, out, err = run("life", "03", "--archive", root, "--json")
        assert code == 0, err
        first, second = json.loads(out)["stages"]
        assert (first["stage"], second["stage"]) == ("SS01", "SS02")
        assert second["t_unix_us"] == T0_UNIX_US + 2 * DAY_US, "the start of boot 2"
        kept = json.loads((folder / f"{'0a' * 8}.life.json").read_text())
        assert [name.split("-")[1] for name in kept["sessions"]] == ["2"]


def test_the_stage_of_a_replacement_is_one_that_was_driven_or_one_to_come(tmp_path, monkeypatch):
    """SS02 was driven in two events; SS05 stands in the fleet file only."""
    driven = driven_stages([life("SS02", 0), life("SS02", 9, event="E27"), life("SS03", 1)])
    fleet = 'schema = "stagelog.fleet.v1"\n[event]\nname = "D26"\n[[stage]]\nname = "SS05"\n'
    (tmp_path / "fleet.toml").write_text(fleet)
    monkeypatch.setenv("STAGELOG_FLEET", str(tmp_path / "fleet.toml"))
    assert _stage_of("C03", "ss03", driven) == ("D26", "SS03")
    assert _stage_of("C03", "E27/SS02", driven) == ("E27", "SS02")
    assert _stage_of("C03", "D26 SS02", driven) == ("D26", "SS02")
    assert _stage_of("C03", "SS05", driven) == ("D26", "SS05")
    for text, says in (
        ("SS02", "several stages.*D26/SS02, E27/SS02"),
        ("SS06", "is no time, and"),
    ):
        with pytest.raises(UsageError, match=says):
            _stage_of("C03", text, driven)
    monkeypatch.setenv("STAGELOG_FLEET", "")
    with pytest.raises(UsageError, match="is no time, and"):
        _stage_of("C03", "SS05", driven)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-17", T0_UNIX_US),
        ("2026-01-17T03:00", T0_UNIX_US + 3 * 3_600_000_000),
        ("2026-01-17 03:00+03:00", T0_UNIX_US),
        ("SS03", None),
        ("2026-13-01", None),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text, wanted):
    assert _time_of(text) == wanted
