"""What the report may claim: no more than verify says of its log, and no blame without proof."""

import json

import numpy as np
import pytest

from slog.layout import BLOCK_BYTES
from stagelog.blocks import Identity, pack_session, read_log, seal
from stagelog.car import drive
from stagelog.car.scenarios.parts import start
from stagelog.car.story import Incident, Leg, Scenario
from stagelog.download import facts_of, fetch_session, finish_running
from stagelog.events import compile_table, load_events
from stagelog.profile import dbc_file, load_profile
from stagelog.rig.tape import tape_of
from stagelog.rig.target import SimTarget

HOT = {"fault": "value", "signals": ("DiffOilTempR",), "value": 145}
SHORT = Scenario(
    name="hot",
    number=0,
    summary="a differential that reads hot, twice, in a quarter of a minute",
    legs=(start(2.0), Leg("drive", "track", 900.0, natural=False, rough=0.6)),
    incidents=(Incident("signal", 4.0, 2.0, HOT), Incident("signal", 10.0, 2.0, HOT)),
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A whole log of 20 s."""
    frames = drive("light_crest", seed=2, duration_s=20).frames
    path = tmp_path_factory.mktemp("stage") / "stage.slog"
    path.write_bytes(pack_session(frames, Identity("0a" * 8, 1, 7)).tobytes())
    return path


def test_a_whole_stage_may_start(run, stage, tmp_path):
    code, out, _ = run("report", stage, "-o", tmp_path / "r.html")
    assert code == 0 and "Yes: nothing in this log speaks against it." in out
    assert "COMPLETE: every frame that was seen is here" in out


def test_a_stage_cut_to_45_percent_is_not_called_complete(run, stage, tmp_path):
    content = stage.read_bytes()
    cut = tmp_path / "cut.slog"
    cut.write_bytes(content[: len(content) * 45 // 100])
    page = tmp_path / "r.html"
    code, out, _ = run("report", cut, "-o", page)
    assert code == 1 and "open end: cannot know what is missing later than" in out
    assert "The log does not say: its end is missing." in out
    for text in (out, page.read_text()):
        assert "COMPLETE: every" not in text and "es, after the checks" not in text
        assert "Yes: nothing" not in text
    code, out, _ = run("report", cut, "--json")
    facts = json.loads(out)
    assert code == 1 and facts["log"]["kind"] == "open end" and facts["log"]["complete"] is False
    assert facts["verdict"]["level"] == "warn"


def test_a_log_made_of_a_candump_is_not_called_complete(run, stage, tmp_path):
    assert run("convert", stage, tmp_path / "x.log")[0] == 0
    assert run("convert", tmp_path / "x.log", tmp_path / "x.slog")[0] == 0
    for log in (tmp_path / "x.log", tmp_path / "x.slog"):
        code, out, _ = run("report", log, "--json")
        facts = json.loads(out)
        health = facts["sections"]["health"]
        assert code == 0 and facts["log"]["complete"] is None
        assert health["note"].startswith("foreign log: what its logger lost cannot be known.")
        assert "COMPLETE" not in out and "set by host" not in out and "nothing lost" not in out


@pytest.fixture(scope="module")
def table():
    profile = load_profile()
    return compile_table(profile, dbc_file(profile))


@pytest.fixture
def said(tmp_path, table):
    """A folder with the sessions of a logger with detectors that was downloaded from twice."""
    (tmp_path / "signals").write_bytes(table.data)
    target = SimTarget(tmp_path, signals=str(tmp_path / "signals"))
    frames = drive(SHORT, seed=11).frames
    target.play(tape_of(frames[frames["t_us"] < 15_000_000]))
    target.run_for(500_000)
    folder = tmp_path / "a"
    for _ in range(2):
        boot = finish_running(target.link, always=True)
        for session in reversed(target.link.list_sessions()):
            fetch_session(target.link, session, folder, facts_of(target.link.hello()))
        target.link.control(2, boot)
        target.run_for(500_000)
    target.close()
    return folder


def agreement(out):
    facts = json.loads(out)
    reasons = [reason["why"] for reason in facts["verdict"]["reasons"]]
    return facts["summary"]["differing_events"], facts["sections"]["agreement"], reasons


def test_a_second_download_does_not_blame_the_firmware(run, said):
    """The second session has no frame; its detectors began anew and said what they began with."""
    logs = [read_log(path) for path in sorted(said.glob("*.slog"))]
    sessions = sorted((log.session() for log in logs), key=lambda s: s.first_seq)
    assert [bool(s.n_frames) for s in sessions] == [True, False]
    assert load_events(sessions[1])
    code, out, _ = run("report", said, "--json")
    n_differ, section, reasons = agreement(out)
    assert code == 0 and n_differ == 0 and not section["tables"]
    assert not any("differ" in why for why in reasons)


def test_a_damaged_block_is_not_blamed_on_the_firmware(run, said):
    """The block with the second half of the drive's alarms' frames is damaged."""
    path = max(said.glob("*.slog"), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    n_blocks = len(content) // BLOCK_BYTES
    for block in range(n_blocks * 6 // 10, n_blocks * 6 // 10 + 3):
        content[block * BLOCK_BYTES + 500] ^= 1
    path.write_bytes(content)
    code, out, _ = run("report", said, "--json")
    n_differ, section, reasons = agreement(out)
    assert code == 1 and n_differ == 0 and not section["tables"]
    assert not any("differ" in why for why in reasons)
    (why,) = (why for why in reasons if "can't be compared" in why)
    assert "damaged or missing" in why and "damaged or missing" in section["lines"][0]


def test_a_real_difference_is_still_told(run, said, table):
    """One event of the car is given another value in the block: no hole, one disagreement."""
    path = max(said.glob("*.slog"), key=lambda path: path.stat().st_size)
    blocks = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, BLOCK_BYTES).copy()
    words = blocks[:, 64:].view("<u4").reshape(len(blocks), 252, 4)
    is_event = (words[:, :, 0] >> 28 == 15) & (words[:, :, 1] & 0xFF == 5)
    row, column = np.argwhere(is_event)[-1]
    words[row, column, 2] += 1
    seal(blocks)
    path.write_bytes(blocks.tobytes())
    manifest = said / "manifest.json"
    manifest.unlink()
    _, out, _ = run("report", said, "--json")
    n_differ, section, reasons = agreement(out)
    assert n_differ == 2 and len(section["tables"][0]["rows"]) == 2
    assert any("Car and laptop differ in 2 events" in why for why in reasons)


def test_a_copy_of_a_part_counts_once(run, said):
    """The first ten blocks lie in the folder twice."""
    path = max(said.glob("*.slog"), key=lambda path: path.stat().st_size)
    n_frames = sum(read_log(path).session().n_frames for path in said.glob("*.slog"))
    (said / "copy.slog").write_bytes(path.read_bytes()[: 10 * BLOCK_BYTES])
    code, out, _ = run("report", said, "--json")
    health = json.loads(out)["sections"]["health"]
    assert code == 0 and f"{n_frames:,} frames" in health["lines"][0]
