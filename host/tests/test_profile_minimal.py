"""A profile of which only little is known: a short one wherever a profile is taken, a whole one
without the tables that only the report reads.

Values by hand: frame k of 0x100, at k / 10 s, has 80 + k as oil temperature, minus 40.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

from stagelog.cli.download import _Known
from stagelog.dbc import load_database
from stagelog.dbc.model import Database, Message, Signal
from stagelog.events import Recomputation, compile_table
from stagelog.importers import load_frames
from stagelog.profile import dbc_file, load_profile
from stagelog.profile.short import load_short_profile, make_roles
from stagelog.propose.profile import Seen, profile_text
from stagelog.resources import dbc_path

DBC = """VERSION ""
BU_: E
BO_ 256 Engine: 8 E
 SG_ EngineSpeed : 0|16@1+ (0.25,0) [0|0] "rpm" E
 SG_ OilTemp : 16|8@1+ (1,-40) [-40|150] "degC" E
BO_ 1445 Button: 1 E
 SG_ Pressed : 0|8@1+ (1,0) [0|1] "" E
"""
SHORT = """schema = "stagelog.profile.short.v1"
[car]
name = "own"
dbc = "car.dbc"
[mark.warm]
signal = "OilTemp"
above = 100
[mark.driver]
message = "Button"
"""
FLEET = """schema = "stagelog.fleet.v1"
archive = "archive"
[event]
name = "E"
[[car]]
name = "own"
profile = "own.toml"
[[logger]]
device_id = "0011223344556677"
car = "own"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "car.dbc").write_text(DBC)
    (tmp_path / "own.toml").write_text(SHORT)
    lines = [
        f"({1_700_000_000 + k / 10:.6f}) can0 100#0000{80 + k:02X}0000000000\n" for k in range(100)
    ]
    lines.append("(1700000003.050000) can0 5A5#01\n")
    (tmp_path / "x.log").write_text("".join(sorted(lines)))
    return tmp_path


def test_the_mark_rules_of_a_short_profile_are_in_the_report(folder, run):
    """40 + k degC is above 100 from k = 61 on, after 6.1 s; the button comes after 3.05 s."""
    code, out, err = run("report", "x.log", "--profile", "own.toml", "--json")
    assert code == 0, err
    [table] = json.loads(out)["sections"]["marks"]["tables"]
    found = [(row["mark"], row["set_by"], row["after_s"]) for row in table["rows"]]
    assert found == [("driver", "rule", 3.05), ("warm", "rule", 6.1)]
    assert run("report", "x.log", "--profile", "own.toml", "--out", "r.html")[0] == 0
    page = (folder / "r.html").read_text(encoding="utf-8")
    drawn = json.loads(page.split('id="report">')[1].split("</script>")[0])
    assert [(mark["x"], mark["text"]) for mark in drawn["marks"]] == [
        (3.05, "Mark (rule): driver"),
        (6.1, "Mark (rule): warm"),
    ]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('[mark.x]\nsignal = "Nothing"\nabove = 1', "signal Nothing is not in"),
        ('[mark.x]\nmessage = "Nothing"', "message Nothing is not in"),
        ('[mark.x]\nsignal = "OilTemp"', "needs one of above, below, changes"),
        ('[mark.x]\nevent = "flight"', "is of an event, which needs a whole profile"),
    ],
)
def test_a_mark_of_a_short_profile_that_does_not_fit_is_refused(folder, run, lines, says):
    (folder / "bad.toml").write_text(SHORT + lines + "\n")
    code, _, err = run("profile", "check", "bad.toml")
    assert code == 5 and says in err and re.search(r"bad\.toml, line 1[0-3]", err)


def test_a_fleet_of_cars_with_short_profiles_works(folder, run, monkeypatch):
    """`watch --signal` and `report` take the DBC from it, `download --around` its rules; its
    loggers keep the signal table that they have."""
    from stagelog.cli import download
    from stagelog.cli._fleet import dbcs_of_all
    from stagelog.park.fleet import load_fleet
    from stagelog.park.wanted import wanted_of

    (folder / "fleet.toml").write_text(FLEET)
    code, out, err = run("fleet", "check")
    assert code == 0, out + err
    fleet = load_fleet(folder / "fleet.toml")
    assert dbcs_of_all(fleet) == (str(folder / "car.dbc"),)
    wanted = wanted_of(fleet, "0011223344556677")
    assert wanted.signals is None and wanted.dbcs == {None: folder / "car.dbc"}

    class Link:
        def hello(self):
            return type("Hello", (), {"device_id": bytes.fromhex("0011223344556677")})

    known = download._known(Link())
    assert isinstance(known, _Known) and known.table is None
    assert set(known.rules.rules) == {"warm", "driver"}


def test_a_short_profile_makes_no_signal_table(folder, run):
    code, _, err = run("settings", "--signals", "own.toml")
    assert code == 5 and "own.toml is a short profile: it has no numbers for detectors" in err


def test_a_short_profile_names_messages_that_are_not_fitted(folder):
    (folder / "own.toml").write_text(
        SHORT.replace("[mark.warm]", 'not_fitted = ["Button"]\n[mark.warm]', 1)
    )
    assert load_short_profile("own.toml").car.not_fitted == ("Button",)


# What only the report or the host reads, and roles of single signals.
AWAY = r"(?ms)^\[(gearbox_abuse|report|status|report\.part\.\w+|report\.names)\]\n.*?(?=^\[)"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """d7xr without [report], [gearbox_abuse], [status], power limit, single roles, most alarms."""
    text = (dbc_path() / "profiles/d7xr.toml").read_text(encoding="utf-8")
    text = text[: text.index("[simulation.")]
    text = re.sub(AWAY, "", text)
    text = re.sub(r"(?ms)^\[\[report\.component\]\]\n.*?(?=^\[|\Z)", "", text)
    text = re.sub(r"(?m)^power_limit_kW = .*\n", "", text)
    roles = text[text.index("[roles]") :].split("\n[", 1)[0]
    for role in ("flight_state", "gear", "handbrake_pressure", "acknowledge", "drive_mode"):
        assert f"\n{role} = " in roles
    few = re.sub(r'(?m)^\w+ = ".*\n', "", roles)
    path = tmp_path_factory.mktemp("bare") / "bare.toml"
    path.write_text(text.replace(roles, few), encoding="utf-8")
    return load_profile(path)


def test_a_whole_profile_without_what_only_the_report_reads_is_complete(bare, tmp_path, run):
    assert bare.gearbox_abuse is None and bare.report.component == () and bare.roles.gear == ""
    table = compile_table(bare, load_database(dbc_file(bare)))
    log = Path(__file__).parents[1] / "examples/drive.log.gz"
    running = Recomputation(table.data)
    running.feed(load_frames(log).frames)  # the detectors do without the signals of those roles
    code, out, err = run("report", log, "--profile", bare.path, "--out", tmp_path / "r.html")
    assert code == 0, err
    assert out.startswith("Can the car start tomorrow?")


@pytest.mark.parametrize("unit", ["1/\nmin", "a\x7fb", "\x00", "\u2028x", '"'])
def test_a_unit_of_any_characters_leaves_the_proposed_profile_readable(unit):
    """The DBC may have a unit over two lines; it stands in a comment and in a text of the TOML."""
    signal = Signal("Rpm", 0, 8, unit=unit)
    database = Database(Path("x.dbc"), "dbc", "", "", (Message("Engine", 256, 8, (signal,)),))
    text = profile_text(
        "car", "x.dbc", make_roles({}), database, {"Engine.Rpm": Seen(2, 0.0, 5.0)}
    )
    assert tomllib.loads(text)["plausible"] == [{"signals": ["Rpm"], "min": -5, "max": 10}]
    commented = text[text.index("# [alarm.too_much]") :].replace("# ", "")
    assert tomllib.loads(commented)["alarm"]["too_much"]["unit"] == unit
