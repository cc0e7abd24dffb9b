"""The `time` of a view by a logger whose crystal drifts: every expected moment is worked out here.

Two anchors, each the wall clock at one moment of the logger's clock:

    logger        0 s   wall clock 2026-09-21 14:13:20.000000 UTC
    logger    1,000 s   wall clock 2026-09-21 14:30:00.050000 UTC

In 1,000 s of the logger 1,000.05 s passed: its crystal is 50 ppm slow. So at 400 s of the logger
it is 14:13:20 + 400 s + 400 * 50e-6 s = 14:20:00.020000.
"""

from datetime import datetime

import numpy as np
import pytest

from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.dbc import load_database
from stagelog.lake import decode_archive
from stagelog.model import FRAME
from stagelog.query import Archive

pytest.importorskip("duckdb")
DBC = """VERSION ""
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
"""
START_UNIX_US = 1_790_000_000_000_000  # date -u -d @1790000000: 2026-09-21 14:13:20


def archive_of(tmp_path, anchors, t_us=(0, 400_000_000, 1_000_000_000, 2_000_000_000)):
    """Return an archive with one session: a frame at each of t_us, with these anchors."""
    frames = np.zeros(len(t_us), FRAME)
    frames["t_us"] = t_us
    frames["can_id"] = 256
    frames["dlc"] = frames["n_bytes"] = 8
    path = tmp_path / "x.slog"
    path.write_bytes(pack_session(frames, Identity("ab" * 8, 1, 2), anchors=anchors).tobytes())
    log = read_log(path)
    store_session(log, log.session(), stage_folder(tmp_path / "archive", "D26", "03", "SS1"))
    (tmp_path / "car.dbc").write_text(DBC)
    list(decode_archive(tmp_path / "archive", load_database(tmp_path / "car.dbc")))
    return tmp_path / "archive"


def times_of(archive):
    with Archive(archive) as opened:
        return [row[0] for row in opened.rows("select time from Engine order by t_us")[1]]


def test_a_slow_crystal_is_set_right(tmp_path):
    anchors = [(0, START_UNIX_US), (1_000_000_000, START_UNIX_US + 1_000_050_000)]
    assert times_of(archive_of(tmp_path, anchors)) == [
        datetime(2026, 9, 21, 14, 13, 20),
        datetime(2026, 9, 21, 14, 20, 0, 20_000),
        datetime(2026, 9, 21, 14, 30, 0, 50_000),
        datetime(2026, 9, 21, 14, 46, 40, 100_000),  # 2,000 s and 0.1 s
    ]


def test_a_fast_crystal_is_set_right(tmp_path):
    """1,000 s of the logger are 999.9 s of the world: 100 ppm fast."""
    anchors = [(0, START_UNIX_US), (1_000_000_000, START_UNIX_US + 999_900_000)]
    assert times_of(archive_of(tmp_path, anchors)) == [
        datetime(2026, 9, 21, 14, 13, 20),
        datetime(2026, 9, 21, 14, 19, 59, 960_000),
        datetime(2026, 9, 21, 14, 29, 59, 900_000),
        datetime(2026, 9, 21, 14, 46, 39, 800_000),
    ]


def test_one_anchor_in_the_middle_gives_the_time_before_it_too(tmp_path):
    assert times_of(archive_of(tmp_path, [(1_000_000_000, START_UNIX_US)])) == [
        datetime(2026, 9, 21, 13, 56, 40),
        datetime(2026, 9, 21, 14, 3, 20),
        datetime(2026, 9, 21, 14, 13, 20),
        datetime(2026, 9, 21, 14, 30, 0),
    ]


def test_without_an_anchor_there_is_no_time(tmp_path):
    assert times_of(archive_of(tmp_path, [])) == [None] * 4


def test_python_and_sql_give_the_same_time(tmp_path):
    """The two that turn t_us into wall clock are two pieces of code: hold them together."""
    from stagelog.timeline import find_timeline

    anchors = [(0, START_UNIX_US), (1_000_000_000, START_UNIX_US + 1_000_050_000)]
    archive_of(tmp_path, anchors)
    timeline = find_timeline(read_log(tmp_path / "x.slog").sessions)
    assert timeline.to_unix_us(400_000_000) == START_UNIX_US + 400_020_000
    assert timeline.drift_ppm == pytest.approx(50, abs=1e-6)
