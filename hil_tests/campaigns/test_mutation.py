"""The mutation engine on a small file, whose changes and their fate are known."""

import sys
import textwrap

import pytest

import areas
from campaigns.engine.mutation import campaign, judge
from campaigns.engine.mutation.changes import changes_of

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


def test_outcomes_are_those_that_one_can_work_out(tmp_path, monkeypatch):
    """Nobody can notice `x <= low`: clamp(0) is 0. Without x -= 1 the loop is endless."""
    monkeypatch.setattr(judge, "_LEAST_s", 0.5)
    (tmp_path / "m.py").write_bytes(SOURCE)
    (tmp_path / "test_m.py").write_text(TESTS.replace("\\\\", "\\"))
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    (tmp_path / "test_bad.py").write_text("def test_bad():\n    assert 0\n")
    (tmp_path / "test_none.py").write_text("import there_is_no_such_module\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "m", raising=False)
    judged = judge.Judge(
        tmp_path, ["m.py"], ["test_m.py", "test_none.py", "test_other.py", "test_bad.py"]
    )
    assert judged.not_collected == ["test_none.py"]
    assert judged.tests["test_bad.py"].failed == ["test_bad.py::test_bad"]
    outcomes = {}
    for change in changes_of("m.py", SOURCE):
        assert ("test_other.py" in judged.tests_for(change)) == (not change.scope)
        outcomes[change.line, change.what] = judged.judge(change)
    assert (tmp_path / "m.py").read_bytes() == SOURCE
    survived = {key for key, outcome in outcomes.items() if outcome == judge.SURVIVED}
    assert survived == {(6, "Lt -> LtE"), (6, "Gt -> GtE"), (6, "1 -> 2"), (9, "1 -> 2")}
    timed_out = {key for key, outcome in outcomes.items() if outcome == judge.TIMED_OUT}
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
