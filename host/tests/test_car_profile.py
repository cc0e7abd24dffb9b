"""The car profile: shipped ones load; missing or contradictory entries are refused by line."""

import dataclasses
import re
import tomllib

import pytest

from stagelog.dbc import load_database
from stagelog.errors import InputError
from stagelog.events.compile import compile_table
from stagelog.profile import ProfileError, dbc_file, load_profile, load_simulation
from stagelog.profile.toml_lines import map_lines
from stagelog.resources import dbc_path

SHIPPED = dbc_path() / "profiles"
TEXT = (SHIPPED / "d7xr.toml").read_text(encoding="utf-8")


def write(tmp_path, text):
    (tmp_path / "d7xr.dbc").write_bytes((dbc_path() / "d7xr.dbc").read_bytes())
    path = tmp_path / "car.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load_whole(path):
    """Load all of a profile, as the virtual car does."""
    profile = load_profile(path)
    load_simulation(profile)
    return profile


def refused(tmp_path, old, new):
    """Load the profile with `old` replaced; return the defects found."""
    assert TEXT.count(old) == 1, f"{TEXT.count(old)} times {old!r}"
    path = write(tmp_path, TEXT.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        load_whole(path)
    assert caught.value.exit_code == 5
    assert str(path) in str(caught.value)
    return caught.value.defects


@pytest.mark.parametrize("name", ["d7xr", "d7xr_2", "d7xr_mule"])
def test_shipped_profiles_load(name):
    profile = load_whole(name)
    assert dbc_file(profile).name == profile.car.dbc
    assert profile.alarm["diff_oil"].warning < profile.alarm["diff_oil"].critical


def test_a_car_without_its_drag_area_has_a_report_and_a_table_but_no_simulation(tmp_path):
    """What only the virtual car reads is below [simulation]: the rest is complete without it."""
    text = TEXT[: TEXT.index("[simulation.")]
    assert "drag_area_m2" in TEXT and "drag_area_m2" not in text
    path = write(tmp_path, text)
    profile, shipped = load_profile(path), load_profile("d7xr")
    dbc = load_database(dbc_file(profile))
    assert compile_table(profile, dbc).data == compile_table(shipped, dbc).data
    assert profile.report == shipped.report
    with pytest.raises(ProfileError, match=r"no \[simulation\], which the virtual car needs"):
        load_simulation(profile)
    path = write(tmp_path, TEXT.replace("drag_area_m2", "# drag_area_m2"))
    with pytest.raises(ProfileError, match="simulation.aero.drag_area_m2 is missing"):
        load_simulation(load_profile(path))


def test_an_entry_above_simulation_that_belongs_below_is_named(tmp_path):
    defects = refused(tmp_path, "[simulation.aero]", "[aero]")
    assert "aero is not a known entry; does it belong to [simulation.aero]?" in defects[0][2]


def test_extends_takes_the_rest_from_the_base():
    base, second = load_profile("d7xr"), load_profile("d7xr_2")
    assert (base.car.number, second.car.number) == (1, 2)
    assert second.car.name == base.car.name
    assert second.tyres.circumference_m == 2.72
    assert second.alarm == base.alarm


# Entries of [airborne] that profiles of before 2026-11-22 do not have, and those that they have.
NEWER = ("mean_long_share", "mean_sure_share", "unsprung_share", "spring_error", "damping_error")
NEWER += ("damper_jump_mm", "gap_ms")
OLDER = "droop_wheels = 3\nsuspect_ms = 40.0\nacc_only_enter_g = 0.25\n"


def test_a_profile_of_before_the_flights_by_newtons_law_still_loads(tmp_path):
    lines = [x for x in TEXT.splitlines(True) if not x.startswith(NEWER)]
    assert len(lines) < len(TEXT.splitlines())
    old = "".join(lines).replace("[airborne]\n", "[airborne]\n" + OLDER)
    profile = load_profile(write(tmp_path, old))
    assert profile.airborne.unsprung_share == 0.14 and profile.airborne.droop_wheels == 3


def test_every_missing_entry_is_refused_with_its_line(tmp_path):
    """Take away each line once, a quarter of all at a time; each must be missed, at its table's
    header.
    """
    lines = TEXT.splitlines()
    optional = ("warning", "critical", "window_s", "floor", "limit", "above", "below")
    optional += ("drop_per_min", "x_signal", "x_signals", "x_limit", "table_x", "table_y")
    optional += ("own_alarms", "if_critical", *NEWER)
    optional += ("power_limit_kW", "limiter", "converter", "radiators", "tyre_temperature")
    whole = load_profile("d7xr")
    header, entries = 0, []
    for n, line in enumerate(lines):
        if line.startswith("["):
            header = n + 1
        key = re.match(r"(\w+) = ", line)
        if not key or key[1] in optional or lines[header - 1] in FREE:
            continue
        is_role = lines[header - 1] == "[roles]" and '= "' in line  # of a single signal
        if is_role or key[1].endswith("_inspect"):
            continue
        if key[1] != "schema":  # without it nothing else is read
            entries.append((n, header or 1, key[1]))
    assert len(entries) > 200
    for turn in range(4):
        away = entries[turn::4]
        gone = {n for n, *_ in away}
        path = write(tmp_path, "\n".join("" if n in gone else x for n, x in enumerate(lines)))
        with pytest.raises(ProfileError) as caught:
            load_profile(path)
        with pytest.raises(ProfileError) as of_simulation:
            load_simulation(dataclasses.replace(whole, path=str(path)))
        found = [(n, text) for _, n, text in caught.value.defects + of_simulation.value.defects]
        for _, at, key in away:
            named = re.compile(rf"(^|\W){key} is missing")
            assert any(n == at and named.search(text) for n, text in found), (at, key)
        assert len(found) == len(away), "what is there is called missing"


FREE = (
    "[status]",
    "[report.names]",
    "[fuel.plan_l_per_100km]",
    "[fuel.plan_of_mode]",
)  # any number of names


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("wheelbase_m = 3.022", "wheelbase_m = 30.22", "outside 1 to 8"),
        ("wheelbase_m = 3.022", 'wheelbase_m = "long"', "expected a number"),
        ("wheelbase_m = 3.022", "wheelbase_m = 3.022\nweelbase = 1", "not a known entry"),
        ("fans = 4", "fans = 4.5", "expected a whole number"),
        ("950.0, 750.0, 750.0", "950.0, 750.0", "radiator_W_per_K has 2"),
        ("1.317, 1.0, 0.823", "1.317, 1.4, 0.823", "must fall from gear to gear"),
        ("start_l = 540.0", "start_l = 640.0", "above capacity_l"),
        ("acc_exit_g = 0.70", "acc_exit_g = 0.30", "not below airborne.acc_exit_g"),
        ("torque_rpm = [700.0, 1200.0", "torque_rpm = [700.0, 600.0", "must rise"),
        ("friction_Nm = [66.0, ", "friction_Nm = [", "has 5 elements"),
        ('kind = "below_table"', 'kind = "beyond"', "not one of above, below,"),
        ('damper = ["DmpPosFL"', 'damper = ["DmpPosXX"', "DmpPosXX is not in"),
        ('gates = ["moving_30s"]', 'gates = ["moving_31s"]', "which is not defined"),
        ("warning = 115.0\ncritical = 130.0", "warning = 135.0\ncritical = 130.0", "not beyond"),
        ("warning = 900.0\ncritical = 950.0", "warning = 900.0\ncritical = 9500.0", "can carry"),
        ("id = 13\n", "id = 12\nlatch_x = 1\n", "not a known entry"),
        ("id = 13\n", "id = 11\n", "already used by gearbox_oil"),
        ("limit = 140.0\n", "", "needs limit"),
        ("below = 0.5\n", "below = 0.5\nabove = 0.1\n", "either above or below"),
        ("table_x = [700.0, 1500.0", "table_x = [700.0, 600.0", "table_x must rise"),
        ("max = 220.0", "max = 130.0", "beyond what is plausible for DiffOilTempF"),
        ('unit = "V"', 'unit = "mV"', "BattVolt is in V: expected V"),
        ("severity_g = [3.0, 5.0, 8.0]", "severity_g = [3.0, 5.0]", "needs three limits"),
        ('Rock = "rock"', 'Rock = "stones"', "plan_l_per_100km has not"),
        ('first_terrain = "mixed"', 'first_terrain = "ice"', "is called ice"),
        ("floor = 8.0 ", "# floor = 8.0 ", "needs floor"),
        ('"Rad1Out", "Rad2Out", "Rad3Out"]\nx', '"Rad1Out", "Rad2Out"]\nx', "radiators is 3"),
        ("mean_long_share = 0.22", "mean_long_share = 0.24", "not below 4"),
        ("dbc = ", 'extends = "car.toml"\ndbc = ', "not a known entry"),
        ("start_l = 540.0", "start_l = 15.0", "unusable_l is 15, not below fuel.start_l (15)"),
        ("min = 0.0\nmax = 410.0", "min = 410.0\nmax = 410.0", "min 410 is not below max 410"),
        # two signals take two numbers: the second one is what diff_oil_rate begins with
        ("id = 8\n", "id = 4\n", "takes number 5, already used by diff_oil_"),
        ("id = 8\n", "id = 255\n", "runs past number 255"),
        ("sender_a_mm = [0.0, 6.0", "sender_a_mm = [6.0", "sender_a_mm has 5 elements"),
        ('"Fan4Duty"]', '"Fan4Duty", "EngSpd"]', "one x_signal for each signal"),
        # an alarm at the end of what is plausible never comes: beyond it the value counts as wrong
        ("max = 180.0", "max = 130.0", "130 of alarm engine_oil is beyond what is plausible"),
    ],
)
def test_contradictions_are_refused(tmp_path, old, new, says):
    defects = refused(tmp_path, old, new)
    assert any(says in text for _, _, text in defects), defects


def test_numbers_of_alarms_go_up_to_255(tmp_path):
    profile = load_profile(write(tmp_path, TEXT.replace("id = 8\n", "id = 254\n")))
    assert profile.alarm["diff_oil_time"].id == 254  # and 255, of its second signal


def test_the_line_is_the_line(tmp_path):
    defects = refused(tmp_path, "max_kPa = 14000.0", "max_kPa = -1.0")
    wanted = TEXT.splitlines().index("max_kPa = 14000.0") + 1
    assert [(line, "brakes.max_kPa" in text) for _, line, text in defects] == [(wanted, True)]


def test_all_defects_are_reported_at_once(tmp_path):
    text = TEXT.replace("idle_rpm = 720.0\n", "").replace("fans = 4", "fans = 9")
    path = write(tmp_path, text)
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert len(caught.value.defects) == 2
    assert "(and 1 more)" in str(caught.value)


def test_a_defect_in_the_base_names_the_base(tmp_path):
    base = write(tmp_path, TEXT.replace("fans = 4", "fans = 9"))
    child = tmp_path / "child.toml"
    child.write_text('extends = "car.toml"\n[car]\nnumber = 7\n')
    with pytest.raises(ProfileError) as caught:
        load_profile(child)
    assert caught.value.defects[0][0] == base


def test_a_loop_of_extends_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(ProfileError, match="extends itself"):
        load_profile(tmp_path / "a.toml")


@pytest.mark.parametrize(
    "text", ["", "schema = 3", 'schema = "stagelog.profile.v9"', "= =", "\x00"]
)
def test_a_foreign_file_is_refused(tmp_path, text):
    with pytest.raises(InputError):
        load_profile(write(tmp_path, text))
    with pytest.raises(InputError, match="cannot read"):
        load_profile(tmp_path / "none.toml")


def test_lines_are_found_in_the_whole_shipped_profile():
    lines, source = map_lines(TEXT), TEXT.splitlines()

    def walk(data, path):
        for key, value in data.items():
            here = (*path, key)
            if isinstance(value, dict):
                walk(value, here)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                for n, item in enumerate(value):
                    walk(item, (*here, n))
            else:
                assert re.match(rf"\s*{re.escape(key)}\s*=", source[lines[here] - 1]), here

    walk(tomllib.loads(TEXT), ())
