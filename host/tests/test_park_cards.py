"""Cards in readers: the same archive as by cable, and no session twice."""

import json

import pytest

from stagelog import card
from stagelog.archive import find_sessions
from stagelog.park import cards
from stagelog.park.runs import Run
from stagelog.park.unit import BAD, GOOD, Unit
from stagelog.park.works import Download
from stagelog.rig.play import saturated_tape
from stagelog.rig.virtual_park import VirtualPark, recorded

CARS = {"0000000000000001": "C01", "0000000000000002": "C02", "0000000000000003": "C03"}


@pytest.fixture
def park(tmp_path):
    """Three loggers with a stopped session each, on a stand of their own."""
    tape = saturated_tape(500_000, 300_000)
    targets = [
        recorded(tmp_path / f"rig{n}", f"C0{n + 1}", n + 1, tape, card_blocks=256)
        for n in range(3)
    ]
    yield VirtualPark(targets)
    for target in targets:
        target.close()


def by_cable(park, archive, stage="SS1"):
    units = [Unit(device_id, car) for device_id, car in CARS.items()]
    return Run(units, pytest.fail, lambda u: Download(u, archive, "E", stage), park).run()


def by_card(park, archive, stage="SS1", *more):
    paths = [str(target.card_path) for target in park.targets]
    return list(cards.read_cards([*paths, *more], archive, "E", stage, CARS.get))


def contents(archive):
    return {e.path.relative_to(archive): e.path.read_bytes() for e in find_sessions(archive)}


def test_both_ways_make_the_same_archive(park, tmp_path):
    assert all(unit.outcome.verdict == GOOD for unit in by_cable(park, tmp_path / "cable"))
    read = by_card(park, tmp_path / "card")
    assert [(card.verdict, card.n_new) for card in read] == [(GOOD, 1)] * 3
    assert contents(tmp_path / "cable") == contents(tmp_path / "card")
    assert len(contents(tmp_path / "card")) == 3


def test_no_session_is_archived_twice(park, tmp_path):
    archive = tmp_path / "archive"
    by_cable(park, archive)
    before = contents(archive)
    assert [card.n_new for card in by_card(park, archive, "SS2")] == [0, 0, 0]
    assert contents(archive) == before, "not in the folder of another stage either"
    other = tmp_path / "other"
    by_card(park, other)
    units = by_cable(park, other, "SS2")
    assert [unit.outcome.facts["n_bytes"] for unit in units] == [0, 0, 0]
    assert contents(other) == before


def test_a_card_that_cannot_be_read_stops_no_other(park, tmp_path):
    junk = tmp_path / "holiday.img"
    junk.write_bytes(b"pictures" * 4096)
    read = by_card(park, tmp_path / "archive", "SS1", str(junk))
    assert [card.verdict for card in read] == [GOOD] * 3 + [BAD]
    assert len(contents(tmp_path / "archive")) == 3


def test_a_card_that_is_pulled_while_it_is_read_stops_no_other(park, tmp_path, monkeypatch):
    """Reading a disk that is gone raises OSError, and nothing else."""
    pulled = str(park.targets[1].card_path)

    def read_card(path):
        if str(path) == pulled:
            raise OSError(5, "Input/output error")
        return card.read_card(path)

    monkeypatch.setattr(cards, "read_card", read_card)
    read = by_card(park, tmp_path / "archive")
    assert [one.verdict for one in read] == [GOOD, BAD, GOOD]
    assert "Input/output error" in read[1].text


def test_card_read_all_finds_the_cards_in_readers(park, tmp_path, run, monkeypatch):
    paths = [str(target.card_path) for target in park.targets]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cards, "find_cards", lambda: paths[:2])
    lines = ['schema = "stagelog.fleet.v1"', '[event]', 'name = "E"', 'stage = "SS9"',
             '[[stage]]', 'name = "SS9"', '[[car]]', 'name = "C01"', 'profile = "d7xr"',
             '[[logger]]', 'device_id = "0000000000000001"', 'car = "C01"']  # fmt: skip
    (tmp_path / "fleet.toml").write_text("\n".join(lines))
    code, out, _ = run("card", "read", "--all", "--json", paths[1], paths[2])
    found = json.loads(out)["cards"]
    assert code == 0 and [card["path"] for card in found] == paths
    folders = sorted(str(path.parent) for path in contents(tmp_path / "archive"))
    assert folders == [  # of two loggers the fleet file says nothing
        "event=E/car=C0000000000000002/stage=SS9",
        "event=E/car=C0000000000000003/stage=SS9",
        "event=E/car=C01/stage=SS9",
    ]


def test_the_sessions_of_one_logger_in_a_folder_are_a_log(park, tmp_path, run):
    """Two loggers of one car share the stage's folder; FOLDER/DEVICE_ID is one of them."""
    paths = [str(target.card_path) for target in park.targets]
    list(cards.read_cards(paths, tmp_path / "a", "E", "S", lambda _: "C01"))
    folder = tmp_path / "a/event=E/car=C01/stage=S"
    code, out, _ = run("verify", folder, "--json")
    assert (code, len(json.loads(out)["logs"])) == (0, 3)
    code, out, _ = run("verify", folder / "0000000000000002", "--json")
    (log,) = json.loads(out)["logs"]
    assert code == 0 and "0000000000000002-1-" in log["path"]
    assert run("verify", folder / "0000000000000009")[0] == 5
