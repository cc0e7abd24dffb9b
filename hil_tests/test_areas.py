"""Every file of the product has tests, every test belongs to a file, and the table names nothing
that is gone."""

import pytest

import areas


def owner(file):
    try:
        return areas.area_of(file)
    except ValueError:
        return None


def test_every_file_of_the_product_is_in_an_area_that_has_tests():
    without = [f for f in areas.product_files() if not owner(f) or not areas.tests_of(f)]
    assert not without, "name their tests in hil_tests/areas.toml"


def test_every_test_belongs_to_an_area():
    patterns = [pattern for area in areas.load_areas() for pattern in area.tests]
    own = {
        "hil_tests/test_areas.py",
        "hil_tests/campaigns/test_command.py",
        "hil_tests/campaigns/test_mutation.py",
        "hil_tests/campaigns/test_other_car.py",
        "hil_tests/campaigns/test_other_tank.py",
    }
    without = [t for t in areas.test_files() if not areas.fits(t, patterns) and t not in own]
    assert not without, "name their area in hil_tests/areas.toml, or call them test_AREA_*.py"


def test_no_pattern_names_what_is_gone():
    files, tests = areas.product_files(), areas.test_files()
    gone = [
        pattern
        for area in areas.load_areas()
        for pattern, names in [*((c, files) for c in area.code), *((t, tests) for t in area.named)]
        if not any(areas.fits(name, [pattern]) for name in names)
    ]
    gone += [p for p in areas.slow_patterns() if not any(areas.fits(t, [p]) for t in tests)]
    assert not gone, "hil_tests/areas.toml names them"


@pytest.mark.parametrize(
    ("file", "test"),
    [
        ("firmware/detectors/alarms.py", "host/tests/test_events_recompute.py"),
        ("firmware/slog/framing.py", "firmware/tests/test_slog_framing.py"),
        ("host/stagelog/report/page/report.js", "host/tests/test_report_page.py"),
        ("host/stagelog/cli/query.py", "host/tests/test_query.py"),
        ("dbc/profiles/d7xr.toml", "host/tests/test_car_profile.py"),
        ("dbc/d7xr.dbc", "host/tests/test_car_dbc.py"),
    ],
)
def test_a_file_has_the_tests_that_one_would_choose(file, test):
    assert test in areas.tests_of(file)


def test_tests_that_bear_the_name_of_the_file_come_first_and_slow_ones_last():
    found = areas.tests_of("firmware/slog/framing.py")
    assert found[0] == "firmware/tests/test_slog_framing.py"
    assert areas.is_slow(found[-1]) and not areas.is_slow(found[1])


def test_a_test_file_belongs_to_itself():
    assert areas.tests_of("host/tests/test_dbc.py") == ["host/tests/test_dbc.py"]


def test_a_file_without_tests_is_refused(capsys):
    assert areas.main(["for", "tools/nothing.py"]) == 2
    assert "tools/nothing.py" in capsys.readouterr().err


def test_quick_leaves_out_what_is_slow(capsys):
    assert areas.main(["quick"]) == 0
    given = capsys.readouterr().out.split()
    assert [each for each in given if each[0] != "-"] == ["host/tests", "firmware/tests"]
    assert "--ignore=host/tests/test_car_scenarios.py" in given
    assert "--ignore=host/tests/test_dbc.py" not in given


def test_parallel_processes_start_with_what_takes_longest():
    slowest, slow, quick = "test_newcomer.py", "test_round_trips.py", "test_dbc.py"
    places = [areas.start_order(f"host/tests/{name}") for name in (slowest, slow, quick)]
    assert places == sorted(set(places)) and places[0] == 0
