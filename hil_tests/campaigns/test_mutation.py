"""The mutation engine on a small file, whose changes and their fate are known."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap

import pytest

import areas
from campaigns.engine.mutation import campaign, judge, table
from campaigns.engine.mutation.changes import changes_of
from campaigns.engine.mutation.table import Line
from stagelog.errors import InputError

SOURCE = textwrap.dedent(
    '''
    """Text 1."""
    LIMIT = 10

    def clamp(x: "int | 5", low=0):
        if x < low and LIMIT > 1:
            return low
        while x > LIMIT:
            x -= 1
        return x
    '''
).encode()


def found(source):
    return [
        (change.line, change.what, change.apply(source).splitlines()[change.line - 1].decode())
        for change in changes_of("m.py", source)
    ]


def test_every_change_is_the_one_that_its_words_name():
    assert found(SOURCE) == [
        (3, "10 -> 11", "LIMIT = 11"),
        (5, "0 -> 1", 'def clamp(x: "int | 5", low=1):'),
        (6, "And -> Or", "    if x < low or LIMIT > 1:"),
        (
            6,
            "condition negated: x < low and LIMIT > 1",
            "    if not (x < low and LIMIT > 1):",
        ),
        (6, "Lt -> LtE", "    if x <= low and LIMIT > 1:"),
        (6, "Gt -> GtE", "    if x < low and LIMIT >= 1:"),
        (6, "1 -> 2", "    if x < low and LIMIT > 2:"),
        (7, "removed: return low", "        pass"),
        (8, "condition negated: x > LIMIT", "    while not (x > LIMIT):"),
        (8, "Gt -> GtE", "    while x >= LIMIT:"),
        (9, "removed: x -= 1", "        pass"),
        (9, "Sub -> Add", "        x += 1"),
        (9, "1 -> 2", "        x -= 2"),
        (10, "removed: return x", "    pass"),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a = (b) + (c)", "a = (b) - (c)"),
        ("a = b is not c", "a = b is c"),
        ("a = b not in c", "a = b in c"),
        ("a = min(b, c)", "a = max(b, c)"),
        ("a = b or c or d", "a = b and c and d"),
        ("a = 0.5", "a = 1.0"),
        ("a = [b for b in c if b]", "a = [b for b in c if not (b)]"),
        ("ä.b = c", "pass"),
        ("a = 'é' and True", "a = 'é' and False"),
    ],
)
def test_a_change_is_an_edit_of_the_text(old, new):
    assert new in [change.apply(old.encode()).decode() for change in changes_of("m", old.encode())]


@pytest.mark.parametrize(
    "text", ["'%d' % b", "f'{1 + 1}'", "def f(a: 1 = None) -> 2: ...", "@d(1)\nclass A: ..."]
)
def test_texts_annotations_and_decorators_of_classes_are_left_alone(text):
    assert changes_of("m.py", text.encode()) == []


def test_every_judged_survivor_is_still_a_change_of_its_file():
    files = {file for file, *_ in campaign.listed()}
    sources = {file: (areas.ROOT / file).read_bytes() for file in files}
    keys = {change.key for file in files for change in changes_of(file, sources[file])}
    assert set(campaign.listed()) <= keys, "remove them from mutants_survived.toml"


def test_a_sample_is_drawn_by_its_seed():
    """download.py has fewer than 10,000 changes: all are taken."""
    drawn = campaign.sample("download", 5, 1)
    assert len(set(drawn)) == 5 and drawn == campaign.sample("download", 5, 1)
    assert drawn != campaign.sample("download", 5, 2)
    assert set(drawn) < set(campaign.sample("download", 10_000, 1))
    assert campaign.find(drawn[0].case) == drawn[0]


def test_areas_are_those_that_quick_tests_can_judge():
    found = campaign.all_areas()
    assert {"slog", "flash", "dbc", "car", "rig-bus", "archive"} <= set(found)
    for area in found:
        file = campaign.changes_in(area)[0].file
        assert any(not areas.is_slow(test) for test in areas.tests_of(file)), area


TABLE = """Before.
<!-- mutants of areas -->
| area | sources | seed | changes | judged | killed | timed out | listed | open | noticed |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
| slog | 0123abcd | 7 | 1,629 | 10 | 6 | 1 | 1 | 2 | 70 % |
| link | 89abcdef | 8 | 418 | 4 | 3 | 0 | 0 | 1 | 75 % |
| **all** |  |  | 2,047 | 14 | 9 | 1 | 1 | 3 | 71 % |
<!-- end mutants of areas -->
Behind.
"""


def test_a_line_of_an_area_replaces_its_old_one_and_the_sum_is_made_anew(tmp_path):
    """link 4 + dbc 5 + slog 20: 29 judged, of which 3 + 4 + 18 + 1 = 26 are noticed, 90 %."""
    path = tmp_path / "RESULTS.md"
    path.write_text(TABLE, encoding="utf-8")
    table.write(path, [])
    assert path.read_text(encoding="utf-8") == TABLE
    table.write(
        path,
        [Line("dbc", "11", "9", 1000, 4, 0, 1, 0), Line("slog", "22", "9", 1630, 18, 1, 0, 1)],
    )
    text = path.read_text(encoding="utf-8")
    assert text.startswith("Before.\n") and text.endswith("-->\nBehind.\n")
    assert text.splitlines()[4:8] == [
        "| slog | 22 | 9 | 1,630 | 20 | 18 | 1 | 0 | 1 | 95 % |",
        "| link | 89abcdef | 8 | 418 | 4 | 3 | 0 | 0 | 1 | 75 % |",
        "| dbc | 11 | 9 | 1,000 | 5 | 4 | 0 | 1 | 0 | 80 % |",
        "| **all** |  |  | 3,048 | 29 | 25 | 1 | 1 | 2 | 90 % |",
    ]
    path.write_text("no table")
    with pytest.raises(InputError, match="has no table of mutants"):
        table.write(path, [])


def test_the_table_of_the_results_names_areas_that_there_are():
    text = (areas.ROOT / "hil_tests/RESULTS.md").read_text(encoding="utf-8")
    section = text.partition("<!-- mutants of areas -->")[2].partition("<!-- end mutants of")[0]
    assert {line.area for line in table.lines_of(section)} <= set(campaign.all_areas())


def test_the_digest_of_an_area_is_that_of_its_files(monkeypatch):
    before = table.digest_of("query")
    files = [f for f in areas.product_files() if areas.area_of(f).name == "query"]
    contents = b"".join((areas.ROOT / file).read_bytes() for file in files)
    assert before == hashlib.sha256(contents).hexdigest()[:8] and files


TESTS = """
import subprocess
import sys

import m

def test_below():
    assert m.clamp(-1) == 0 and m.clamp(7) == 7 and m.clamp(12) < 12

def test_above_in_a_process_of_its_own():
    code = "import m; print(m.clamp(12))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "10\\\\n"
"""


JUDGE = """
import json, pathlib, sys

import hypothesis, pytest  # once, before the forks

from campaigns.engine.mutation import judge
from campaigns.engine.mutation.changes import changes_of

judge._LEAST_s, judge._LONGER = 0.5, 1  # 2 s for what takes half a second
root = pathlib.Path.cwd()
tests = ["test_m.py", "test_none.py", "test_other.py", "test_bad.py"]
judged = judge.Judge(root, ["m.py"], tests)
outcomes = [
    (c.line, c.what, c.scope, "test_other.py" in judged.tests_for(c), judged.judge(c))
    for c in changes_of("m.py", (root / "m.py").read_bytes())
]
failed = judged.tests["test_bad.py"].failed
json.dump([judged.not_collected, failed, outcomes], sys.stdout)
"""


def test_outcomes_are_those_that_one_can_work_out(tmp_path):
    """Nobody can notice `x <= low`: clamp(0) is 0. Without x -= 1 the loop is endless.

    In a process of its own, as in the campaign: a fork of one that has threads may wait for ever.
    """
    (tmp_path / "m.py").write_bytes(SOURCE)
    (tmp_path / "test_m.py").write_text(TESTS.replace("\\\\", "\\"))
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    (tmp_path / "test_bad.py").write_text("def test_bad():\n    assert 0\n")
    (tmp_path / "test_none.py").write_text("import there_is_no_such_module\n")
    done = subprocess.run(
        [sys.executable, "-c", JUDGE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{areas.ROOT / 'hil_tests'}"},
        capture_output=True,
        timeout=300,
    )
    assert not done.returncode, done.stderr.decode()
    not_collected, failed, outcomes = json.loads(done.stdout)
    assert not_collected == ["test_none.py"] and failed == ["test_bad.py::test_bad"]
    assert len(outcomes) == len(found(SOURCE))
    for *_, scope, is_judged_by_other, _ in outcomes:
        assert is_judged_by_other == (not scope)
    assert (tmp_path / "m.py").read_bytes() == SOURCE
    survived = {(line, what) for line, what, *_, how in outcomes if how == judge.SURVIVED}
    assert survived == {(6, "Lt -> LtE"), (6, "Gt -> GtE"), (6, "1 -> 2"), (9, "1 -> 2")}
    timed_out = {(line, what) for line, what, *_, how in outcomes if how == judge.TIMED_OUT}
    assert (9, "removed: x -= 1") in timed_out and (9, "Sub -> Add") in timed_out


def test_the_copy_has_all_that_the_tests_import(tmp_path, monkeypatch):
    """Folders of the product named like those of a build among them, but no caches."""
    product = ("host/stagelog/rig/build/base.py", "host/tests/out/kept.txt", "conftest.py")
    for name in (*product, ".venv/x.py", "host/__pycache__/x.pyc", ".ruff_cache/x"):
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    monkeypatch.setattr(areas, "ROOT", tmp_path / "checkout")
    copy = campaign._copy(tmp_path / "copy")
    found = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert {name for name in found if "__pycache__" not in name} == set(product)
    assert (copy / ".venv").is_symlink()
