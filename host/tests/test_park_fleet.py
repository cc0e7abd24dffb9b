"""The fleet file: what it holds, what is refused and at which line, what need not be typed.

Lines are counted by hand in the texts below.
"""

import datetime
import json
from pathlib import Path

import pytest

from slog.layout import BLOCK_BYTES
from stagelog.blocks import Identity, pack_session
from stagelog.cli import main
from stagelog.errors import InputError, UsageError
from stagelog.model import FRAME
from stagelog.park.fleet import FleetError, check_files, load_fleet, need_fleet
from stagelog.park.fleet_new import text_of_new
from stagelog.profile import load_profile

# Schema in line 1, event in 3, cars from 7 and 11, loggers from 15 and 19, stages from 23 and 29.
GOOD = """schema = "stagelog.fleet.v1"

[event]
name = "DAKAR26"
utc_offset_h = 3

[[car]]
name = "C01"
profile = "d7xr"

[[car]]
name = "C02"
profile = "d7xr_2"

[[logger]]
device_id = "e66038b7130f2e29"
car = "C01"

[[logger]]
device_id = "e66038b7130f2e2a"
car = "C02"

[[stage]]
name = "SS01"
date = 2026-01-04
order = [{ kind = "liaison", km = 100 }, { kind = "special", km = 200.5 },
  { kind = "refuel", fuel_l = 150 }, { kind = "special", km = 105 }]

[[stage]]
name = "SS 02"
date = 2026-01-05
"""


@pytest.fixture
def fleet_file(tmp_path, monkeypatch):
    """Return a function that writes a fleet file, with replacements, and makes its folder the
    working one; the path.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STAGELOG_FLEET", raising=False)

    def write(*changes, text=GOOD):
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "fleet.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_fleet_file_holds_cars_loggers_and_the_order_of_the_day(fleet_file):
    fleet = load_fleet(fleet_file())
    assert [car.name for car in fleet.car] == ["C01", "C02"]
    assert fleet.find_logger("e66038b7130f2e2a").car == "C02"
    stage = fleet.find_stage("ss01")
    assert [leg.kind for leg in stage.order] == ["liaison", "special", "refuel", "special"]
    assert stage.km_of("special") == 305.5  # 200.5 + 105
    assert fleet.archive_path == fleet.folder / "archive"
    assert fleet.find_stage("SS_02").name == "SS 02"  # as its folder is called
    check_files(fleet)


@pytest.mark.parametrize(
    ("utc", "stage"),
    [
        ("2026-01-03T20:59:59", None),  # 23:59:59 of the 3rd at UTC+3
        ("2026-01-03T21:00:00", "SS01"),  # midnight there
        ("2026-01-04T20:59:59", "SS01"),
        ("2026-01-04T21:00:00", "SS 02"),
        ("2026-02-01T00:00:00", "SS 02"),
    ],
)
def test_the_stage_in_hand_is_the_last_whose_date_has_come_where_the_event_is(
    fleet_file, utc, stage
):
    at = datetime.datetime.fromisoformat(utc).replace(tzinfo=datetime.UTC).timestamp()
    found = load_fleet(fleet_file()).stage_now(at)
    assert (found and found.name) == stage
    named = load_fleet(fleet_file(("utc_offset_h = 3", 'stage = "SS01"')))
    assert named.stage_now(at).name == "SS01"


DEFECTS = {
    "unknown car": (('"e66038b7130f2e2a"\ncar = "C02"', '"e66038b7130f2e2a"\ncar = "C09"'), 21,
                    "there is no car 'C09'; the cars are C01, C02"),
    "duplicate stage": (("SS 02", "ss01"), 30, "stage ss01 is there twice: it is number 1, too"),
    "duplicate logger": (("2e2a", "2e29"), 20, "is there twice"),
    "duplicate car": (('name = "C02"', 'name = "c01"'), 12, "car c01 is there twice"),
    "port as id": (("e66038b7130f2e29", "/dev/ttyACM0"), 16, "is not 16 digits of 0-9 a-f"),
    "unknown leg": (('"refuel"', '"lunch"'), 26, "not one of liaison, special"),
    "stages out of order": (("2026-01-05", "2025-01-05"), 31, "give the stages in their order"),
    "unknown stage in hand": (("utc_offset_h = 3", 'stage = "SS9"'), 5, "there is no stage 'SS9'"),
    "unknown entry": (("utc_offset_h", "offset"), 5, "event.offset is not a known entry"),
    "no number": (("utc_offset_h = 3", 'utc_offset_h = "3"'), 5, "expected a number"),
    "out of range": (("km = 105", "km = -1"), 26, "outside 0 to 2000"),
    "no date": (("2026-01-05", '"5 January"'), 31, "expected a date as in 2026-01-06"),
    "long name": (('name = "C02"', 'name = "Defender2"'), 12, "longer than 8 bytes"),
    "terminal codes": (("DAKAR26", "\\u001b[2J"), 4, "is no name"),
    "no bus": (('profile = "d7xr_2"', 'profile = "d7xr"\ndbc = { can7 = "d7xr.dbc" }'), 14,
               "'can7' is no bus of a logger"),
}  # fmt: skip


@pytest.mark.parametrize("what", DEFECTS)
def test_a_defect_is_named_with_its_line(fleet_file, what):
    change, line, text = DEFECTS[what]
    path = fleet_file(change)
    with pytest.raises(FleetError) as caught:
        load_fleet(path)
    found = [each for each in caught.value.defects if text in each[2]]
    assert [(each[0], each[1]) for each in found] == [(path, line)]
    first = caught.value.defects[0]
    assert str(caught.value).startswith(f"{path}, line {first[1]}: {first[2]}")


def test_two_names_of_one_folder_are_one_stage(fleet_file):
    with pytest.raises(FleetError, match="stage SS_02 is there twice"):
        load_fleet(fleet_file(("SS01", "SS/02")))


FILES = {
    "missing profile": (('"d7xr_2"', '"d9"'), 13, "cannot read profile d9"),
    "missing DBC": (('"d7xr_2"', '"d7xr"\ndbc = { can0 = "no.dbc" }'), 14, "can0: "),
    "missing settings": (('"d7xr_2"', '"d7xr"\nsettings = "no.json"'), 14, "cannot read"),
    "settings of another car": (
        ('"d7xr_2"', '"d7xr"\nsettings = "c01.json"'), 14, "is for car 'C01', not C02"),
    "settings that no logger takes": (
        ('"d7xr_2"', '"d7xr"\nsettings = "bad.json"'), 14, "flush_ms: 10 to 10000"),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_fleet_check_names_files_that_cannot_be_used(fleet_file, run, tmp_path, what):
    change, line, text = FILES[what]
    (tmp_path / "c01.json").write_text('{"car": "C01"}')
    (tmp_path / "bad.json").write_text('{"car": "C02", "flush_ms": 1}')
    path = fleet_file(change)
    code, out, _ = run("fleet", "check", "--json")
    (defect,) = json.loads(out)["defects"]
    assert code == 1 and (defect["path"], defect["line"]) == (str(path), line)
    assert text in defect["text"]
    assert run("fleet", "check")[1].startswith(f"{path}:{line}: ")


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"[event", b"a = " + b"[" * 100_000])
def test_a_file_that_is_no_toml_is_refused(tmp_path, junk):
    path = tmp_path / "fleet.toml"
    path.write_bytes(junk)
    with pytest.raises(InputError, match="is not TOML"):
        load_fleet(path)


def test_the_fleet_in_force_is_the_nearest_above(fleet_file, tmp_path, monkeypatch):
    path = fleet_file()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert need_fleet().path == str(path)
    monkeypatch.setenv("STAGELOG_FLEET", "")
    with pytest.raises(UsageError, match="stagelog fleet new"):
        need_fleet()
    monkeypatch.setenv("STAGELOG_FLEET", str(path))
    assert need_fleet().event.name == "DAKAR26"


def test_a_new_fleet_file_passes_its_own_check(tmp_path, run, monkeypatch):
    from made_replies import reply

    from slog import messages as m
    from stagelog.replies import Hello

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run("fleet", "new", "--event", 'a "b" \\')[0] == 0
    assert run("fleet", "check")[:2] == (
        0, f'{tmp_path}/fleet.toml: a "b" \\, 1 car, 0 loggers, 1 stage; stage in hand: SS01\n',
    )  # fmt: skip
    assert run("fleet", "new")[0] == 6  # never over a file that is there
    names = [b"C03", b"C01", b"C03", b"\x1b[2J", b""]
    hellos = [
        reply(Hello, m.HELLO_REPLY, device_id=bytes([n] * 8), car=name)
        for n, name in enumerate(names)
    ]
    path = tmp_path / "other.toml"
    path.write_text(text_of_new("E", hellos))
    fleet = load_fleet(path)
    assert [car.name for car in fleet.car] == ["C01", "C03"]
    assert {lg.device_id[:2]: lg.car for lg in fleet.logger} == {
        "00": "C03", "01": "C01", "02": "C03", "03": "C01", "04": "C01",
    }  # fmt: skip


@pytest.fixture
def archived(fleet_file, tmp_path):
    """An archive with a session of C02's logger; the stage's folder."""
    from stagelog.archive import stage_folder, store_session
    from stagelog.blocks import read_log

    fleet_file(("utc_offset_h = 3", 'stage = "SS01"'))
    log = tmp_path / "one.slog"
    import numpy as np

    frames = np.zeros(600, FRAME)
    frames["t_us"] = np.arange(600) * 1000
    frames["can_id"], frames["n_bytes"], frames["dlc"] = 0x010, 8, 8
    log.write_bytes(b"".join(pack_session(frames, Identity("e66038b7130f2e2a", 1, 7))))
    assert log.stat().st_size % BLOCK_BYTES == 0
    read = read_log(log)
    folder = stage_folder(tmp_path / "archive", "DAKAR26", "C02", "SS01")
    return store_session(read, read.sessions[0], folder).path


def test_a_log_knows_its_car_by_folder_and_by_name(archived, tmp_path):
    from stagelog.cli._fleet import car_of_log, fleet_in_force

    fleet = fleet_in_force()
    assert car_of_log(fleet, archived.parent).name == "C02"
    assert car_of_log(fleet, tmp_path / "e66038b7130f2e29-1-00000001.slog").name == "C01"
    assert car_of_log(fleet, tmp_path / "one.slog") is None  # two cars: who knows


def test_options_are_remembered(archived, run, tmp_path, monkeypatch):
    """What a verb would ask for without a fleet file it takes from there; what is typed counts."""
    code, out, err = run("decode", archived.parent, "--out", "d", "--json")
    assert json.loads(out)["dbc"].endswith("d7xr.dbc"), err  # the DBC that profile d7xr_2 names
    code, out, err = run("decode", archived.parent, "--out", "e", "--dbc", "no.dbc")
    assert code == 5 and "no.dbc" in err
    monkeypatch.setenv("STAGELOG_FLEET", "")
    code, _, err = run("decode", archived.parent, "--out", "f")
    assert code == 2 and "--dbc" in err


def test_a_report_takes_the_profile_of_its_car(archived, tmp_path):
    """d7xr_2 has car number 2 (dbc/profiles/d7xr_2.toml, line 6)."""
    import click

    from stagelog.cli.report import command

    context = command.make_context("report", [str(archived.parent)])
    assert load_profile(context.params["profiles"][0]).car.number == 2
    assert not context.params["dbc"]  # the profile's own
    with click.Context(command):
        mixed = command.make_context("report", [str(archived.parent), str(tmp_path)])
    assert not mixed.params["profiles"]  # of the second nobody knows the car


def test_convert_takes_the_dbc_for_signals_only(archived):
    from stagelog.cli.convert import command

    def dbc_of(*words):
        return command.make_context("convert", [str(archived), *words]).params["dbc"]

    assert not dbc_of("x.log") and not dbc_of("x.mf4")
    assert [Path(path).name for path in dbc_of("x.ld")] == ["d7xr.dbc"]
    assert [Path(path).name for path in dbc_of("x.mf4", "--signal", "EngSpd")] == ["d7xr.dbc"]


def test_archive_event_and_stage_are_remembered(fleet_file, tmp_path, monkeypatch):
    from stagelog.cli.download import command

    fleet_file(("utc_offset_h = 3", 'stage = "SS 02"'))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    context = command.make_context("download", [])
    assert context.params["event"] == "DAKAR26" and context.params["stage"] == "SS 02"
    assert context.params["archive"] == str(tmp_path / "archive")
    typed = command.make_context("download", ["--stage", "shakedown"])
    assert typed.params["stage"] == "shakedown"
    monkeypatch.setenv("STAGELOG_FLEET", "")
    plain = command.make_context("download", []).params
    assert (plain["event"], plain["stage"], plain["archive"]) == (
        "unsorted",
        "unsorted",
        "archive",
    )


def test_a_broken_fleet_file_stops_a_verb_with_its_line(fleet_file, capsys):
    fleet_file(("DAKAR26", "\\u0007"))
    with pytest.raises(SystemExit) as ended:
        main(["download", "/dev/none"])
    assert ended.value.code == 5 and "fleet.toml, line 4: " in capsys.readouterr().err


def test_an_empty_fleet_file_says_what_its_first_line_must_be(tmp_path, run):
    (tmp_path / "fleet.toml").write_text("")
    code, out, _ = run("fleet", "check", tmp_path / "fleet.toml")
    assert code == 1
    assert 'fleet.toml:1: schema is missing; write schema = "stagelog.fleet.v1"' in out


def test_two_loggers_of_a_car_have_two_places(tmp_path, run):
    """Reports and tables name a logger by car and place: front and Front are one."""
    head = 'schema = "stagelog.fleet.v1"\n[event]\nname = "E"\n'
    head += '[[car]]\nname = "C01"\nprofile = "d7xr"\n[[car]]\nname = "C02"\nprofile = "d7xr"\n'
    text = head + "".join(
        f'[[logger]]\ndevice_id = "{n:016x}"\ncar = "{car}"\nplace = "{place}"\n'
        for n, (car, place) in enumerate((("C01", "front"), ("C02", "front"), ("C01", "Front")))
    )
    (tmp_path / "fleet.toml").write_text(text)
    code, out, _ = run("fleet", "check", tmp_path / "fleet.toml")
    assert code == 1
    assert "fleet.toml:21: C01 has two loggers at 'Front'; give each its own place" in out
    assert len(out.splitlines()) == 1
