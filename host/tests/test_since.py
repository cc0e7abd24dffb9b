"""Since when does a signal exceed a value: expressions, spans by hand, two cars, a picture.

The archive: BoxTemp each 0.1 s for 40 s, 100 degC, in one stage of C01 130 from 5.0 to 8.0 s and
from 20.0 to 21.0 s.
"""

import json

import numpy as np
import pytest

from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.dbc import load_database
from stagelog.errors import UsageError
from stagelog.lake import decode_archive
from stagelog.model import FRAME
from stagelog.query import Archive
from stagelog.report.series import Series
from stagelog.since import Condition, answers, find_since, find_spans, parse, resolve

pytest.importorskip("duckdb")
T0_UNIX_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
DAY_US = 86_400_000_000
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Box: 8 ECU
 SG_ BoxTemp : 0|16@1+ ({scale},-40) [0|0] "{unit}" ECU
 SG_ Turns : 16|16@1+ (1,0) [0|0] "" ECU
BO_ 257 Other: 8 ECU
 SG_ Turns : 0|16@1+ (1,0) [0|0] "" ECU
"""


def steps(t_s, *spans):
    """Return 100 degC, 130 in the spans."""
    hot = np.zeros(len(t_s), bool)
    for start, end in spans:
        hot |= (t_s > start - 0.01) & (t_s < end - 0.01)
    return np.where(hot, 130.0, 100.0)


def store(root, car, stage, number, values, day=None, t_s=None):
    t_s = np.arange(0, 40, 0.1) if t_s is None else t_s
    frames = np.zeros(len(t_s), FRAME)
    frames["t_us"] = 1_000_000 + np.round(t_s * 1e6)
    frames["can_id"] = 256
    frames["dlc"] = frames["n_bytes"] = 8
    raw = np.round((values + 40) / 0.1).astype(np.uint16)
    frames["data"][:, 0], frames["data"][:, 1] = raw & 0xFF, raw >> 8
    anchors = [] if day is None else [(1_000_000, T0_UNIX_US + day * DAY_US)]
    folder = stage_folder(root, "D26", car, stage)
    folder.mkdir(parents=True, exist_ok=True)
    path = root / "new"
    blocks = pack_session(frames, Identity(f"{car[1:]:0>16}", number, number), anchors=anchors)
    path.write_bytes(blocks.tobytes())
    log = read_log(path)
    store_session(log, log.session(), folder)
    path.unlink()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("since") / "archive"
    root.mkdir()
    t_s = np.arange(0, 40, 0.1)
    store(root, "C01", "SS02", 1, steps(t_s, (5, 8), (20, 21)), day=1)
    store(root, "C01", "SS01", 2, steps(t_s) + 18.5, day=0)
    store(root, "C01", "SS03", 3, steps(t_s), day=2)
    store(root, "C02", "SS01", 4, steps(t_s) - 30, day=0)
    (root / "car.dbc").write_text(DBC.format(scale=0.1, unit="degC"))
    database = load_database(root / "car.dbc")
    assert all(why is None for *_, why in decode_archive(root, database))
    return root


@pytest.fixture
def seen(root):
    """Return a function of a text: {(car, stage): Seen} and the answers."""

    def find(text):
        with Archive(root) as opened:
            known = resolve(opened, parse(text))
            rows = find_since(opened, known)
        return {(one.key.car, one.key.stage): one for one in rows}, answers(known, rows)

    return find


def test_since_when(seen):
    """Two times, 3.0 and 1.0 s; first 5 s after the start of SS02, on the second day."""
    rows, said = seen("BoxTemp > 120")
    assert list(rows) == [("C01", "SS01"), ("C02", "SS01"), ("C01", "SS02"), ("C01", "SS03")]
    hot = rows["C01", "SS02"]
    assert (hot.n_times, hot.lasted_s, hot.worst) == (2, pytest.approx(4.0), 130.0)
    assert hot.first_us == 6_000_000  # power-on was a second before the first frame
    assert hot.first_unix_us == T0_UNIX_US + DAY_US + 5_000_000
    assert [one.n_times for one in rows.values()] == [0, 0, 2, 0]
    assert rows["C01", "SS01"].worst == pytest.approx(118.5)
    assert said == {
        "C01": "since D26 SS02, highest there 130 degC; before, in 1 stage, 118.5 degC",
        "C02": "never, highest 70 degC",
    }


def test_it_must_last(seen):
    """Of 3.0 and 1.0 s."""
    for text, wanted in (("2.9 s", (1, 3.0)), ("1 s", (2, 4.0)), ("3100 ms", (0, 0.0))):
        hot = seen(f"Box.BoxTemp >= 130 degC for {text}")[0]["C01", "SS02"]
        assert (hot.n_times, hot.lasted_s) == (wanted[0], pytest.approx(wanted[1])), text


def test_below_and_equal(seen):
    rows, said = seen("BoxTemp<=70°C")
    assert rows["C02", "SS01"].n_times == 1 and rows["C01", "SS01"].n_times == 0
    assert rows["C02", "SS01"].lasted_s == pytest.approx(39.9)  # from the first to the last sample
    assert said["C01"] == "never, lowest 100 degC"
    rows, _ = seen("BoxTemp != 100")
    assert [one.n_times for one in rows.values()] == [1, 1, 2, 0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("DiffOilTempR > 120", Condition("", "DiffOilTempR", ">", 120.0)),
        ("A.B>=-1.5e1V", Condition("A", "B", ">=", -15.0, "V")),
        ("  x<.5 km/h for 2 s ", Condition("", "x", "<", 0.5, "km/h", 2_000_000)),
        ("x == 3 for 250ms", Condition("", "x", "==", 3.0, "", 250_000)),
        ("x != 3 % for 1.5 min", Condition("", "x", "!=", 3.0, "%", 90_000_000)),
    ],
)
def test_an_expression_is_read(text, wanted):
    assert parse(text) == wanted
    assert parse(wanted.text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "x", "x >", "> 5", "x => 5", "x > y", "x > 5 and y > 6", "x > 5; drop table", "x > 1e999",
     "x > 5 degC for -1 s", "x > 5 for 1e400", "x > nan", '"x" > 5', "x > 5 for 2 days", "x\0>5",
     "x > 5 degC degC", "a.b.c > 5"],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(UsageError, match="is no condition|cannot be"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("boxtemp > 1", "no signal .*did you mean BoxTemp"),
        ("BoxTmp > 1", "did you mean BoxTemp"),
        ("Bax.BoxTemp > 1", r"did you mean Box\.BoxTemp"),
        ("Nonsense > 1", "'stagelog query --view' lists them"),
        ("BoxTemp > 1 K", r"is in degC, not in K.*write the number in degC"),
        ("Box.Turns > 1 rpm", "is in no unit, not in rpm"),
    ],
)
def test_a_signal_that_is_not_there_is_named(seen, text, says):
    with pytest.raises(UsageError, match=says):
        seen(text)


def test_a_name_of_two_messages_and_two_units_are_refused(tmp_path):
    """C02's box is in K: a limit in degC cannot be meant for both."""
    frames = np.zeros(2, FRAME)
    for number, (car, unit) in enumerate((("C01", "degC"), ("C02", "K"))):
        frames["can_id"], frames["n_bytes"], frames["dlc"] = (256, 257), 8, 8
        frames["t_us"] = (1000, 2000)
        folder = stage_folder(tmp_path, "D26", car, "SS01")
        folder.mkdir(parents=True)
        path = tmp_path / "new"
        path.write_bytes(pack_session(frames, Identity("ab" * 8, number, number)).tobytes())
        log = read_log(path)
        store_session(log, log.session(), folder)
        (tmp_path / "car.dbc").write_text(DBC.format(scale=0.1, unit=unit))
        list(decode_archive(tmp_path, load_database(tmp_path / "car.dbc"), cars=[car]))
    with Archive(tmp_path) as opened:
        with pytest.raises(UsageError, match=r"name one: Box\.Turns or Other\.Turns"):
            resolve(opened, parse("Turns > 1"))
        with pytest.raises(UsageError, match="has the units K and degC"):
            resolve(opened, parse("BoxTemp > 1"))
    with Archive(tmp_path / "event=D26/car=C02") as opened:  # a folder of one car
        known = resolve(opened, parse("BoxTemp > -41 K"))
        [one] = find_since(opened, known)
    assert (one.key.event, one.key.car, one.n_times, one.first_unix_us) == ("D26", "C02", 1, None)


def test_a_span_ends_where_the_signal_is_silent():
    """Hot from 5.0 s on; no sample from 6.0 to 9.0 s, then hot to 10.0: 0.9 s and 1.0 s. A signal
    of one sample in 1.1 s is not silent between them: hot from 2.2 to 5.5 s.
    """
    t_s = np.array([t for t in np.arange(0, 12, 0.1) if not 5.95 < t < 8.95])
    t_us = np.round(t_s * 1e6).astype(np.int64)
    hot = (t_s > 4.95) & (t_s < 9.95)
    found = find_spans(Series("x", "", t_us, np.zeros(len(t_us))), hot)
    assert found == [(5_000_000, 5_900_000), (9_000_000, 10_000_000)]
    slow_us = np.arange(0, 11_000_000, 1_100_000)
    slow = Series("x", "", slow_us, np.zeros(10))
    hot = np.isin(np.arange(10), (2, 3, 4))
    assert find_spans(slow, hot) == [(2_200_000, 5_500_000)]
    assert find_spans(slow, hot, 3_300_001) == []
    assert find_spans(slow, np.ones(10, bool)) == [(0, 9_900_000)]
    empty = np.empty(0, np.int64)
    assert find_spans(Series("x", "", empty, empty), np.empty(0, bool)) == []


def test_the_command_draws_a_strip_for_each_car(root, run, tmp_path, figures):
    """C01's three stages stand one after the other, 39.9 s each; C02's stage below the first."""
    out = tmp_path / "since.png"
    code, text, err = run("since", "BoxTemp > 120 degC", "--archive", root, "--out", out)
    assert code == 0, err
    assert text.splitlines()[1:3] == [
        "C01: since D26 SS02, highest there 130 degC; before, in 1 stage, 118.5 degC",
        "C02: never, highest 70 degC",
    ]
    assert text.splitlines()[6].split() == ("C01 D26 SS02 2026-09-22 14:13:25 2 4.0 s 130".split())
    [figure] = figures
    first, second = figure.axes
    lines = [line for line in first.lines if len(line.get_xdata()) > 2]
    ends = [(line.get_xdata()[0], line.get_xdata()[-1]) for line in lines]
    assert np.allclose(ends, [(0, 39.9), (39.9, 79.8), (79.8, 119.7)])
    assert [max(line.get_ydata()) for line in lines] == pytest.approx([118.5, 130, 100])
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["C01"]
    assert [text.get_text() for text in first.texts] == ["SS01", "SS02", "SS03"]
    assert [text.get_text() for text in second.get_legend().get_texts()] == ["C02"]
    assert out.read_bytes().startswith(b"\x89PNG")
    code, text, err = run("since", "BoxTemp > 120", "--archive", root, "--json")
    facts = json.loads(text)
    assert facts["complete"] is True and len(facts["rows"]) == 4 and code == 0
    assert facts["rows"][2]["lasted_s"] == pytest.approx(4.0)


def test_a_hostile_folder_is_data(root, tmp_path):
    """The name of a session's folder goes into SQL as a text."""
    import shutil

    copy = tmp_path / "archive"
    shutil.copytree(root, copy)
    folder = next(copy.rglob("car=C01/stage=SS02/session=*"))
    folder.rename(folder.with_name("session=x' or 'a'--"))
    with Archive(copy) as opened:
        rows = find_since(opened, resolve(opened, parse("BoxTemp > 120")))
    assert sum(one.n_times for one in rows) == 2
