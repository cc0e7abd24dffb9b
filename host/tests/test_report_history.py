"""What a card says of earlier stages: of the same car of the same archive, in order."""

import json

import pytest

from stagelog.report import history
from stagelog.report.history import Past, Place, find_earlier, place_of, save
from stagelog.report.html_cards import cards


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STAGELOG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def past(stage, t_s=None, car="a/C01", event="D26", high=100.0):
    t_unix_us = None if t_s is None else t_s * 1_000_000
    return Past(car, event, stage, t_unix_us, {"tank": "good"}, {"Oil": [10.0, high, "good"]})


def test_a_place_is_a_car_s_folder_of_one_archive(tmp_path):
    folder = tmp_path / "a" / "event=D26" / "car=C01" / "stage=SS03"
    found = place_of(folder / "x.slog")
    assert found == (place := place_of(folder)) and place.event == "D26" and place.stage == "SS03"
    assert place.car == f"{tmp_path / 'a'}/C01"
    other = place_of(tmp_path / "b" / "event=D26" / "car=C01" / "stage=SS03")
    assert other.car != place.car
    assert place_of(tmp_path / "x.slog") is None
    assert place_of(tmp_path / "car=C01" / "x.slog") is None  # of no stage


def test_folders_above_the_archive_may_have_any_name(tmp_path):
    """The root is what lies above event=, car= and stage=, whatever its folders are called."""
    for above in ("x=1", "car=C09", "stage=old"):
        archive = tmp_path / above / "archive"
        found = place_of(archive / "event=D26" / "car=C01" / "stage=SS03" / "x.slog")
        assert found == Place(f"{archive}/C01", "D26", "SS03")


def test_earlier_stages_are_those_of_the_car_by_their_clock():
    """SS10 was driven on day 2, SS2 on day 1; another car and another archive do not count."""
    for one in (
        past("SS2", 100),
        past("SS10", 200),
        past("SS1", 50, event="D25"),
        past("SS3", 150, car="a/C02"),
        past("SS4", 160, car="b/C01"),
    ):
        save(one)
    names = [(one.event, one.stage) for one in find_earlier(past("SS11", 300))]
    assert names == [("D25", "SS1"), ("D26", "SS2"), ("D26", "SS10")]
    assert [one.stage for one in find_earlier(past("SS2", 100))] == ["SS1"]
    assert find_earlier(past("SS0", 10)) == []


def test_without_a_clock_the_name_of_the_stage_counts():
    for name in ("SS01", "SS02", "SS03"):
        save(past(name))
    assert [one.stage for one in find_earlier(past("SS03"))] == ["SS01", "SS02"]


def test_a_stage_that_is_reported_again_is_one_and_only_the_last_eight_are_shown(cache):
    for k in range(12):
        save(past(f"SS{k:02d}", k))
        save(past(f"SS{k:02d}", k, high=k))
    found = find_earlier(past("SS99", 99))
    assert [one.stage for one in found] == [f"SS{k:02d}" for k in range(4, 12)]
    assert [one.signals["Oil"][1] for one in found] == list(range(4, 12))
    assert len(list(cache.iterdir())) == 12


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schema": "stagelog.past/1"}', b"7"])
def test_a_file_that_is_none_is_no_stage(cache, data):
    save(past("SS01", 1))
    (cache / "x.past").write_bytes(data)
    assert [one.stage for one in find_earlier(past("SS02", 2))] == ["SS01"]


def test_a_user_without_a_cache_has_no_history(monkeypatch, tmp_path):
    monkeypatch.setenv("STAGELOG_CACHE", "")
    save(past("SS01", 1))
    assert find_earlier(past("SS02", 2)) == []


def test_the_second_stage_s_page_shows_the_first(run, tmp_path):
    """The first report has no history; the second shows the first's highest oil temperature, in
    its card, whether it is made or comes from the kept facts.
    """
    folder = tmp_path / "archive" / "event=D26" / "car=C01"
    logs = []
    for number, seed in ((1, 4), (2, 5)):
        (folder / f"stage=SS0{number}").mkdir(parents=True)
        logs.append(folder / f"stage=SS0{number}" / "drive.log")
        start = f"2026-01-0{number}T09:00:00"
        words = ("drive", "stage", "--seed", seed, "--duration", "20", "--start", start)
        run(*map(str, words), "-o", logs[-1])
    pages = []
    for k, log in enumerate((logs[0], logs[1], logs[1])):
        code, out, err = run("report", log, "-o", tmp_path / f"{k}.html")
        assert code in (0, 1), err
        pages.append((tmp_path / f"{k}.html").read_text())
    assert 'class="past"' not in pages[0] and "Before:" not in pages[0]
    assert pages[1] == pages[2]
    code, out, _ = run("report", logs[0], "--json")
    card = pages[1].partition('id="card-diff_rear"')[2].partition("</article>")[0]
    assert "<small>SS01</small>" in card and "<small>now</small>" in card
    first = pages[0].partition('id="card-diff_rear"')[2].partition('class="range">')[2]
    highest = first.partition(" … ")[2].partition(" ")[0]
    assert f"<b>{highest}</b>" in card


def test_the_worst_of_a_lower_limit_is_the_lowest():
    """Oil pressure: 60 before, 80 now, both lowest values; the limit at 120 is above them."""
    row = {
        "signal": "Oil", "name": "Oil", "unit": "kPa", "low": 80.0, "high": 500.0, "falls": True,
        "km": 1.0, "x_s": 2.0, "chart": None, "limits": [], "level": "bad", "share": 1.0,
        "spark": {"runs": [], "low": 0, "high": 500, "limits": [{"y": 120.0, "level": "bad"}]},
    }  # fmt: skip
    part = {"place": "engine", "name": "Engine", "state": "bad", "word": "critical", "why": []}
    part["rows"] = [row]
    facts = {"cars": [{"parts": [part], "t_unix_us": 2}]}

    here = place_of("r/car=C1/stage=S2/x.slog")
    save(Past(here.car, "", "S1", 1, {"engine": "warn"}, {"Oil": [60.0, 400.0, "warn"]}))
    history.add_history(facts, ["r/car=C1/stage=S2/x.slog"])
    assert json.loads(json.dumps(row["past"])) == [
        {"stage": "S1", "event": "", "value": 60.0, "level": "warn"}
    ]
    html = cards([part], "card-")
    assert 'aria-label="lowest by stage: S1 60.0, now 80.0"' in html
    # of 120, the highest of all: 60 is a half, 80 two thirds
    assert 'style="height:50.0%"' in html and 'style="height:66.7%"' in html
    assert 'style="bottom:100.0%"' in html
