"""One of a thing is not called many: a log of one frame, a DBC of one message with one signal."""

import re

import numpy as np
import pytest

from stagelog.blocks import Identity, pack_session
from stagelog.blocks.medium import open_medium
from stagelog.card import prepare_raw
from stagelog.importers.diagnostics import Diagnostics
from stagelog.model import FRAME
from stagelog.verdict import judge_foreign

DBC = """VERSION ""
BU_: E
BO_ 256 M: 8 E
 SG_ S : 0|8@1+ (1,0) [0|250] "" E
"""
ONE = re.compile(r"(?<![\d.,])1 (?:[a-z]+ )?([a-z]*s)\b(?! of\b)")
NO_PLURAL = {"bus", "is", "this", "s", "has"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.dbc").write_text(DBC)
    (tmp_path / "one.log").write_text("(1700000000.000000) can0 100#0100000000000000\n")
    (tmp_path / "other.log").write_text("(1700000000.000000) can0 101#0100000000000000\n")
    (tmp_path / "short.log").write_text("(1700000000.000000) can0 100#01\n")
    frames = np.zeros(1, FRAME)
    frames["can_id"], frames["n_bytes"], frames["dlc"] = 0x100, 8, 8
    blocks = pack_session(frames, Identity("ab" * 8, 1, 1)).tobytes()
    (tmp_path / "one.slog").write_bytes(blocks)
    medium = open_medium(prepare_raw(tmp_path / "card.img", 64).path)
    with open(tmp_path / "card.img", "r+b") as file:
        file.seek(int(medium.offsets[medium.ring[0]]))
        file.write(blocks)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "info one.log --ids",
        "info one.dbc",
        "info one.slog",
        "verify one.slog",
        "card read card.img",
        "card prepare card.img",
        "plot one.log --dbc one.dbc --strip S --out one.png",
        "verify one.log",
        "convert one.log new.slog",
        "convert one.log one.csv --dbc one.dbc",
        "decode one.log --dbc one.dbc --out parquet",
        "dbc check one.dbc",
        "dbc check one.dbc --log one.log",
        "dbc check one.dbc --log other.log",
        "dbc check one.dbc --log short.log",
        "dbc new --log one.log --out new.dbc",
        "profile new --dbc one.dbc --log one.log --out one.toml",
        "replay one.log --closed-loop",
        "report one.log --dbc one.dbc --out one.html",
    ],
)
def test_one_of_a_thing_has_no_plural(folder, run, words):
    _, out, err = run(*words.split())
    found = [m for line in (out + err).splitlines() for m in ONE.findall(line)]
    printed = err if words.startswith("card prepare") else out  # that prints no result
    assert printed and set(found) <= NO_PLURAL, out + err


def test_one_lost_frame_has_no_plural():
    assert "its recorder lost 1 frame;" in judge_foreign(Diagnostics("blf", n_dropped=1)).text


def test_the_pattern_finds_a_plural():
    assert ONE.findall("x.log: 1 frames, 11 buses, 1 damaged places") == ["frames", "places"]
