"""The report of a log of whose car there is no whole profile, and the short profile for it.

Values by hand: frame k of 0x100 has k in its first two bytes, times 0.25; 0x200 has 100 + k.
"""

import json

import pytest

from stagelog.dbc import load_database
from stagelog.profile import load_profile
from stagelog.propose.profile import propose_roles
from stagelog.resources import dbc_path

DBC = """VERSION ""
BU_: E
BO_ 256 Engine: 8 E
 SG_ EngineSpeed : 0|16@1+ (0.25,0) [0|0] "rpm" E
 SG_ OilTemp : 16|8@1+ (1,-40) [-40|150] "degC" E
BO_ 512 Wheels: 8 E
 SG_ WheelSpeed_FL : 0|8@1+ (1,0) [0|250] "km/h" E
 SG_ WheelSpeed_FR : 8|8@1+ (1,0) [0|250] "km/h" E
 SG_ WheelSpeed_RL : 16|8@1+ (1,0) [0|250] "km/h" E
 SG_ WheelSpeed_RR : 24|8@1+ (1,0) [0|250] "km/h" E
BO_ 768 Never: 8 E
 SG_ GearAct : 0|8@1+ (1,0) [0|8] "" E
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """100 frames of 0x100 in 10 s, 50 of 0x200 (100 km/h), one of 0x7FF that no DBC has."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "car.dbc").write_text(DBC)
    lines = [
        f"({1_700_000_000 + k / 10:.6f}) can0 100#{k:02X}00{80 + k:02X}0000000000\n"
        for k in range(100)
    ]
    lines += [f"({1_700_000_000.05 + k / 5:.6f}) can0 200#64646464000000\n" for k in range(50)]
    lines.append("(1700000003.000000) can1 7FF#01\n")
    lines.sort()
    (tmp_path / "x.log").write_text("".join(lines))
    return tmp_path


def facts_of(run, *words):
    code, out, err = run("report", "x.log", "--json", *words)
    assert code == 0, err
    return json.loads(out)


def test_channels_extremes_and_traffic_without_a_profile(folder, run):
    facts = facts_of(run, "--dbc", "car.dbc")
    assert facts["verdict"]["answer"].startswith("6 channels.")
    rows = {row["signal"]: row for row in facts["sections"]["channels"]["tables"][0]["rows"]}
    speed, oil = rows["EngineSpeed"], rows["OilTemp"]
    # 0, 0.25 ... 24.75 rpm, 10 a second, the highest in the last frame, after 9.9 s
    assert (speed["lowest"], speed["mean"], speed["highest"]) == (0.0, 12.375, 24.75)
    assert (speed["values"], speed["rate_Hz"], speed["highest_after_s"]) == (100, 10.0, 9.9)
    # 80 - 40 = 40 to 139 degC, none beyond 150
    assert (oil["lowest"], oil["highest"], oil["out_of_range"]) == (40.0, 139.0, 0)
    [traffic] = facts["sections"]["traffic"]["tables"]
    found = [(r["bus"], r["identifier"], r["message"], r["frames"]) for r in traffic["rows"]]
    assert found == [(0, "100", "Engine", 100), (0, "200", "Wheels", 50), (1, "7FF", None, 1)]
    assert "bus 0: 150 frames" in facts["sections"]["traffic"]["lines"][0]
    assert "limits" not in facts["sections"]
    adds = facts["sections"]["adds"]["lines"]
    assert "speed and distance, and everything by distance" in adds  # the wheels are there
    assert any(line.endswith("no signal was found for engine torque") for line in adds)


def test_a_page_is_written_and_opens_offline(folder, run):
    code, out, _ = run("report", "x.log", "--dbc", "car.dbc", "--out", "r.html")
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert code == 0 and "6 channels" in out
    assert "What a profile would add" in page and "Work before the start" not in page
    assert "Can the car start" not in page and "http://" not in page.replace(
        "http://www.w3.org", ""
    )
    drawn = json.loads(page.split('id="report">')[1].split("</script>")[0])
    assert {chart["title"] for chart in drawn["charts"]} == {"Engine", "Wheels"}


def test_no_dbc_either_shows_the_traffic(folder, run):
    facts = facts_of(run)
    assert "no DBC" in facts["subtitle"] and "channels" not in facts["sections"]
    assert "stagelog dbc new" in facts["sections"]["adds"]["lines"][0]


def test_the_car_that_ships_keeps_its_profile(folder, run):
    """Identifier 0x100 is one of its messages, but not with that length and alone."""
    from pathlib import Path

    log = Path(__file__).parents[1] / "examples/drive.log.gz"
    code, out, _ = run("report", log, "--out", "d.html")
    assert code == 0 and out.startswith("Can the car start tomorrow?")
    assert run("report", "x.log", "--out", "e.html")[1].startswith("What is in this log?")


def test_a_short_profile_is_proposed_checked_and_used(folder, run):
    words = ("profile", "new", "--dbc", "car.dbc", "--log", "x.log", "--out", "car.toml")
    code, out, _ = run(*words)
    assert code == 0 and "2 roles proposed" in out
    text = (folder / "car.toml").read_text(encoding="utf-8")
    assert 'engine_speed = "EngineSpeed"' in text
    assert (
        'wheel_speed = ["WheelSpeed_FL", "WheelSpeed_FR", "WheelSpeed_RL", "WheelSpeed_RR"]'
        in text
    )
    assert "gear = " not in text  # its message never came
    # EngineSpeed has no range in the DBC: 0 to 24.75 in the log, its span added on both sides
    assert "min = -24.75\nmax = 49.5  # the log has 0 to 24.75 rpm" in text
    assert run("profile", "check", "car.toml")[0] == 0
    assert run(*words)[0] == 6  # it is there
    limit = (
        '[alarm.oil_hot]\nsignals = ["OilTemp"]\nkind = "above"\nunit = "degC"\nwarning = 100\n'
    )
    (folder / "car.toml").write_text(text + limit + "critical = 130\n")
    facts = facts_of(run, "--profile", "car.toml")
    rows = facts["sections"]["limits"]["tables"][0]["rows"]
    # 40 + k degC: beyond 130 from k = 91 (9.1 s), beyond 100 from k = 61; the worst is 139
    assert [(r["level"], r["first_after_s"], r["worst"]) for r in rows] == [
        ("bad", 9.1, 139.0),
        ("warn", 6.1, 139.0),
    ]
    # k = 91..99 held 0.1 s each, but the last has no next value
    assert rows[0]["beyond_for_s"] == pytest.approx(0.8)
    assert facts["verdict"]["level"] == "bad"
    assert "2 of 2 limits are exceeded" in facts["verdict"]["answer"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('gear = "Nothing"', "line 10: signal Nothing is not in"),
        ("colour = 3", "line 10: roles.colour is not a known entry"),
        ('[alarm.a]\nsignals = ["OilTemp"]\nkind = "rate"\nwarning = 3', "needs a whole profile"),
        ('[alarm.a]\nsignals = ["OilTemp"]\nkind = "above"\nunit = "bar"\nwarning = 3', "in degC"),
        ('[alarm.a]\nsignals = ["OilTemp"]\nkind = "above"\nunit = "degC"', "needs warning or"),
    ],
)
def test_a_short_profile_that_does_not_fit_is_refused_with_its_line(folder, run, line, says):
    head = 'schema = "stagelog.profile.short.v1"\n\n\n\n\n[car]\ndbc = "car.dbc"\n\n[roles]\n'
    (folder / "bad.toml").write_text(head + line + "\n")
    code, _, err = run("profile", "check", "bad.toml")
    assert code == 5 and says in err and "bad.toml" in err


def test_the_roles_of_the_car_that_ships_are_found():
    """Its profile was written by hand: what is proposed is what stands there."""
    roles, known = (
        propose_roles(load_database(dbc_path() / "d7xr.dbc")),
        load_profile("d7xr").roles,
    )
    found = {name: getattr(roles, name) for name in known.__dataclass_fields__}
    assert {n: v for n, v in found.items() if v} == {
        n: getattr(known, n) for n, v in found.items() if v
    }
    assert sum(1 for value in found.values() if value) >= 15


def test_several_logs_need_a_whole_profile(folder, run):
    code, _, err = run("report", "x.log", "x.log", "--dbc", "car.dbc", "--out", "r.html")
    assert code == 2 and "whole profile" in err


def test_a_signal_that_never_has_a_value_is_listed(tmp_path, run):
    """J1939: 0xFF in a byte is "not available", in all three frames."""
    text = (
        f'VERSION ""\nBU_: E\nBO_ {0x98FEEE00} ET1: 8 E\n SG_ Oil : 0|8@1+ (1,-40) [0|0] "C" E\n'
    )
    text += ' SG_ Fuel : 8|8@1+ (1,-40) [0|0] "C" E\nBA_DEF_ "ProtocolType" STRING ;\n'
    text += 'BA_DEF_DEF_ "ProtocolType" "";\nBA_ "ProtocolType" "J1939";\n'
    (tmp_path / "t.dbc").write_text(text)
    lines = [f"({k}.000000) can0 18FEEE00#FF50FFFFFFFFFFFF\n" for k in range(3)]
    (tmp_path / "t.log").write_text("".join(lines))
    code, out, err = run("report", tmp_path / "t.log", "--dbc", tmp_path / "t.dbc", "--json")
    rows = json.loads(out)["sections"]["channels"]["tables"][0]["rows"]
    assert code == 0, err
    assert [(r["signal"], r["values"], r["highest"], r["no_value"]) for r in rows] == [
        ("Fuel", 3, 40.0, None),  # 0x50 = 80, minus 40
        ("Oil", 0, None, "3 not available"),
    ]


def test_limits_that_the_log_cannot_answer_are_not_called_kept(folder, run):
    """A DBC and a profile of another car: no value, so 0 of 2 limits could be judged."""
    (folder / "other.dbc").write_text(DBC.replace("BO_ 256", "BO_ 258").replace("512", "514"))
    (folder / "other.toml").write_text(
        'schema = "stagelog.profile.short.v1"\n[car]\nname = "o"\ndbc = "other.dbc"\n[roles]\n'
        '[alarm.fast]\nsignals = ["WheelSpeed_FL"]\nkind = "above"\nunit = "km/h"\n'
        "warning = 90\ncritical = 95\n"
    )
    facts = facts_of(run, "--profile", "other.toml")
    said = facts["verdict"]["answer"]
    assert said.startswith("No message of other.dbc is in it; 2 of 2 limits cannot be judged.")
    assert facts["verdict"]["level"] != "good"
    code, out, _ = run("report", "x.log", "--dbc", "other.dbc", "--out", "o.html")
    assert code == 0 and "No message of other.dbc is in it." in out
    # one limit more, of a signal that the log has: 100 km/h in FR is beyond 90
    both = (folder / "other.toml").read_text().replace("other.dbc", "car.dbc")
    (folder / "both.toml").write_text(
        both.replace('["WheelSpeed_FL"]', '["WheelSpeed_FR"]')
        + '[alarm.gear]\nsignals = ["GearAct"]\nkind = "above"\nunit = ""\nwarning = 5\n'
    )
    said = facts_of(run, "--profile", "both.toml")["verdict"]["answer"]
    assert said.startswith("6 channels; 2 of 3 limits are exceeded, 1 cannot be judged.")


def test_a_profile_is_not_proposed_from_a_log_of_another_car(folder, run):
    (folder / "other.dbc").write_text(DBC.replace("BO_ 256", "BO_ 258").replace("512", "514"))
    words = ("profile", "new", "--dbc", "other.dbc", "--log", "x.log", "--out", "o.toml")
    code, _, err = run(*words)
    assert code == 5 and "x.log holds no signal of other.dbc" in err and "dbc check" in err
    assert not (folder / "o.toml").exists()
