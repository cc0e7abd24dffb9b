"""stagelog report of several logs: its exit code is that of the worst, cars are called by what
differs.
"""

import json

import pytest

from stagelog.blocks import Identity, pack_session
from stagelog.car import drive
from stagelog.cli import main


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A whole log of 5 s, and the first half of it."""
    folder = tmp_path_factory.mktemp("logs")
    frames = drive("light_crest", seed=2, duration_s=5).frames
    whole = pack_session(frames, Identity("0a" * 8, 1, 7)).tobytes()
    (folder / "whole.slog").write_bytes(whole)
    (folder / "half.slog").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize(
    ("names", "code"),
    [(("whole",), 0), (("whole", "half"), 1), (("half", "whole"), 1), (("whole", "whole"), 0)],
)
def test_one_log_that_is_not_complete_gives_exit_code_1(logs, tmp_path, capsys, names, code):
    paths = [str(logs / f"{name}.slog") for name in names]
    with pytest.raises(SystemExit) as ended:
        main(["report", *paths, "-o", str(tmp_path / "x.html")])
    assert (ended.value.code or 0) == code
    assert (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("folders", "title", "heading", "names"),
    [
        (("DAK/C1/S1", "DAK/C2/S1"), (), "S1, DAK: C1 · C2", ["C1", "C2"]),
        (("DAK/C1/S1", "DAK/C2/S1"), ("--title", "Prologue"), "Prologue: C1 · C2", ["C1", "C2"]),
        (("DAK/C1/S1", "DAK/C1/S2"), (), "C1, DAK: S1 · S2", ["S1", "S2"]),
        (
            ("DAK/C1/S1", "DAK/C2/S2"),
            (),
            "DAK: C1, S1 · C2, S2",
            ["C1, S1", "C2, S2"],
        ),
        # the same car twice: nothing differs, each has its whole name
        (("DAK/C1/S1", "DAK/C1/S1"), (), "C1, S1, DAK · C1, S1, DAK (2)", None),
    ],
)
def test_cars_are_called_by_what_differs(logs, tmp_path, capsys, folders, title, heading, names):
    paths = []
    for folder in folders:
        event, car, stage = folder.split("/")
        place = tmp_path / f"event={event}" / f"car={car}" / f"stage={stage}"
        place.mkdir(parents=True, exist_ok=True)
        paths.append(place / "a.slog")
        paths[-1].write_bytes((logs / "whole.slog").read_bytes())
    page = tmp_path / "x.html"
    with pytest.raises(SystemExit):
        main(["report", *map(str, paths), "-o", str(page), "--json", *title])
    facts = json.loads(capsys.readouterr().out)
    assert facts["title"] == heading
    (verdict, *_) = facts["sections"]["cars"]["tables"][0]["rows"]
    columns = [key for key in verdict if key not in ("fact", "unit", "level")]
    assert columns == (names or ["C1, S1, DAK", "C1, S1, DAK (2)"])
    assert f"<h1>{heading}</h1>" in page.read_text(encoding="utf-8")
