"""Logs of two loggers on one clock: the clocks' truth comes from the traffic made here.

Traffic is a list of frames with their true time on the wire; `recorded` is what a logger makes of
it: its clock reads offset + true * (1 + ppm), its stamps are off by some microseconds, and frames
are lost. So the time of a frame in the reference's clock is known by this file's arithmetic.
"""

import json

import numpy as np
import pytest

from stagelog.align import AMBIGUOUS, NOTHING, align, read_seen
from stagelog.blocks import Identity, pack_session
from stagelog.cli import main
from stagelog.errors import InputError
from stagelog.importers import load_frames
from stagelog.model import FRAME, FRAME_FD

PERIODS_ms = {0x100: 10, 0x101: 10, 0x200: 20, 0x2A0: 50, 0x400: 100}  # payload walks
CONSTANT_ms = {0x600: 10, 0x601: 25, 0x700: 100}  # payload never changes


def traffic(duration_s, seed=1, constant_only=False):
    """Return frames in the order of true time, bus 0: measured values, counters, constants."""
    random = np.random.default_rng(seed)
    tables = []
    for can_id, period_ms in {**({} if constant_only else PERIODS_ms), **CONSTANT_ms}.items():
        n = int(duration_s * 1000 / period_ms)
        frames = np.zeros(n, FRAME)
        frames["t_us"] = np.arange(n) * period_ms * 1000 + random.integers(0, period_ms * 1000)
        frames["t_us"] += random.integers(0, 300, n)  # waits for a free bus
        frames["can_id"] = can_id
        frames["dlc"] = frames["n_bytes"] = 8
        if can_id in PERIODS_ms:
            walk = np.cumsum(random.integers(-3, 4, n)) + 4000  # a coarse value that often stands
            frames["data"][:, 0], frames["data"][:, 1] = walk & 255, walk >> 8 & 255
            frames["data"][:, 7] = np.arange(n) % 16  # a rolling counter
        tables.append(frames)
    joined = np.concatenate(tables)
    return joined[np.argsort(joined["t_us"], kind="stable")]


def recorded(frames, offset_us=0, ppm=0.0, loss=0.0, jitter_us=0, start_s=0.0, end_s=1e9, seed=2):
    """Return (frames as a logger has them, true time of each)."""
    random = np.random.default_rng(seed)
    kept = (random.random(len(frames)) >= loss) & (frames["t_us"] >= start_s * 1e6)
    kept &= frames["t_us"] < end_s * 1e6
    log, true_us = frames[kept].copy(), frames["t_us"][kept]
    clock = offset_us + np.rint(true_us * (1 + ppm * 1e-6)).astype(np.int64)
    log["t_us"] = clock + random.integers(-jitter_us, jitter_us + 1, len(log))
    order = np.argsort(log["t_us"], kind="stable")
    return log[order], true_us[order]


def seen(frames):
    """Return what align reads of a log of these frames."""
    return read_seen([frames[k : k + 5000] for k in range(0, len(frames), 5000)])


def test_skewed_clocks_and_losses():
    """Offset 86,400 s + 123,456 us, 80 ppm between them, 20 and 10 % lost, other starts, stamps
    off by 20 us: the time of each frame of B on A's clock comes out within 30 us of the truth.

    drift_ppm is what B's times need: (1 + 30e-6) / (1 - 50e-6) - 1 = 80.004 ppm.
    """
    wire = traffic(300)
    a, _ = recorded(wire, 1_000_000, 30, 0.2, 20, start_s=0, end_s=250, seed=3)
    offset_us = 86_400_123_456
    b, true_us = recorded(wire, offset_us, -50, 0.1, 20, start_s=40, end_s=300, seed=4)
    reference, other = align([("a", seen(a)), ("b", seen(b))])
    on_a = 1_000_000 + true_us * (1 + 30e-6)
    assert np.abs(other.course.to_reference(b["t_us"]) - on_a).max() < 30
    assert other.drift_ppm == pytest.approx(80.004, abs=0.2)
    # two stamps, each off by up to 20 us evenly: the difference is a triangle to 40 us, median
    # 40 * (1 - sqrt(1/2)) = 11.7, 95th percentile 40 * (1 - sqrt(0.05)) = 31.1
    assert other.residual_median_us == pytest.approx(11.7, abs=1.5)
    assert other.residual_p95_us == pytest.approx(31.1, abs=2)
    assert other.residual_worst_us <= 42
    assert 0.7 < other.share < 0.95  # 80 and 90 % of the frames are there, in both 72 %
    assert reference.to is None and other.to == "a" and other.buses == (0, 0)
    assert (reference.course.to_reference(a["t_us"]) == a["t_us"]).all()


def test_a_crystal_that_warms_up():
    """Drift from 20 to 26 ppm within 20 minutes: a straight line would be off by up to
    6e-6 / 1200 s * (600 s)^2 / 2 = 900 us in the middle; the course follows."""
    wire = traffic(1200)
    a, _ = recorded(wire)
    true_s = wire["t_us"] / 1e6
    b = wire.copy()
    b["t_us"] += np.rint(20 * true_s + 3 / 1200 * true_s**2).astype(np.int64) + 777
    _, other = align([("a", seen(a)), ("b", seen(b))])
    assert np.abs(other.course.to_reference(b["t_us"]) - wire["t_us"]).max() < 25
    assert other.residual_worst_us < 25


def test_three_loggers_in_a_chain():
    """B shares a bus with A, and another one with C, which A does not have."""
    first, second = traffic(60, seed=5), traffic(60, seed=6)
    a, _ = recorded(first)
    near, _ = recorded(first, 5_000_000, 40)
    far, _ = recorded(second, 5_000_000, 40)
    far["bus"] = 1
    b = np.concatenate([near, far])
    c, true_us = recorded(second, -2_000_000, -40)
    rows = align([("a", seen(a)), ("c", seen(c)), ("b", seen(b))])
    assert [(row.to, row.buses) for row in rows] == [(None, None), ("b", (1, 0)), ("a", (0, 0))]
    assert np.abs(rows[1].course.to_reference(c["t_us"]) - true_us).max() < 10


def test_a_gateway_is_not_the_bus():
    """Bus 1 of B carries half of the identifiers again, 700 us later: bus 0 is the one."""
    wire = traffic(60)
    copies = wire[np.isin(wire["can_id"], [0x100, 0x2A0])].copy()
    copies["bus"], copies["t_us"] = 1, copies["t_us"] + 700
    b = np.concatenate([copies, wire])
    b["t_us"] += 9_000_000
    _, other = align([("a", seen(wire)), ("b", seen(b))])
    assert other.buses == (0, 0)
    assert other.course.to_reference(9_000_000) == pytest.approx(0, abs=2)


def test_a_logger_that_filters_and_one_that_repeats():
    """A stored only one identifier; B has every frame twice."""
    wire = traffic(60)
    a = wire[wire["can_id"] == 0x200]
    b = np.repeat(wire, 2)
    b["t_us"] += 4_000
    _, other = align([("a", seen(a)), ("b", seen(b))])
    assert other.course.to_reference(4_000) == pytest.approx(0, abs=2)
    assert other.share > 0.99


def test_payloads_of_can_fd():
    wire = traffic(30)
    fd = np.zeros(len(wire), FRAME_FD)
    for name in ("t_us", "can_id", "bus"):
        fd[name] = wire[name]
    fd["flags"], fd["dlc"], fd["n_bytes"] = 4, 15, 64
    fd["data"][:, 56:] = wire["data"]  # what differs is at the far end
    b = fd.copy()
    b["t_us"] += 1_234
    _, other = align([("a", seen(fd)), ("b", seen(b))])
    assert other.course.to_reference(1_234) == pytest.approx(0, abs=2)


def refusal(a, b):
    """Return what align says of two logs that it refuses."""
    with pytest.raises(InputError) as caught:
        align([("a", seen(a)), ("b", seen(b))])
    return str(caught.value)


def test_nothing_in_common():
    text = refusal(traffic(60, seed=7), traffic(60, seed=8))
    assert "a and b" in text and NOTHING in text


def test_constant_payloads_are_ambiguous():
    wire = traffic(60, constant_only=True)
    assert AMBIGUOUS in refusal(wire, recorded(wire, 5_000)[0])


@pytest.mark.parametrize("period", [16, 256, 2000])
def test_a_counter_alone_is_ambiguous(period):
    """60 s of a counter at 100 Hz: it comes round after 0.16, 2.56 or 20 s, so that several
    offsets explain the logs; losses make pairs of counts that are there only once."""
    wire = traffic(60, constant_only=True)
    counter = wire["can_id"] == 0x600
    count = np.arange(counter.sum()) % period
    wire["data"][counter, 0], wire["data"][counter, 1] = count & 255, count >> 8
    b, _ = recorded(wire, 5_000, loss=0.1, seed=9)
    a, _ = recorded(wire, loss=0.1, seed=10)
    assert AMBIGUOUS in refusal(a, b)


def test_two_drives_with_the_same_counter_have_nothing_in_common():
    """A counter since power-on runs through the same numbers in every drive; the measured values
    of the two drives do not agree, so it is no proof."""
    a, b = traffic(60, seed=11), traffic(60, seed=12)
    for frames in (a, b):
        own = frames["can_id"] == 0x700
        count = np.arange(own.sum())
        frames["data"][own, 0], frames["data"][own, 1] = count & 255, count >> 8
    assert NOTHING in refusal(a, b)


def candump(path, frames):
    """Write frames as candump."""
    lines = [
        f"({t // 1_000_000}.{t % 1_000_000:06d}) can{bus} {can_id:03X}#{data.tobytes().hex()}"
        for t, can_id, bus, data in zip(
            frames["t_us"].tolist(),
            frames["can_id"].tolist(),
            frames["bus"].tolist(),
            frames["data"],
            strict=True,
        )
    ]
    path.write_text("\n".join(lines) + "\n")


def test_command_writes_logs_on_one_clock(tmp_path, capsys, monkeypatch):
    """B's clock is a day and 5 ms behind and 100 ppm fast; its copy has A's times."""
    monkeypatch.chdir(tmp_path)
    start_us = 1_768_658_602_000_000
    wire = traffic(60)
    a, true_a = recorded(wire, start_us, loss=0.05, seed=13)
    b, true_b = recorded(wire, start_us - 86_400_005_000, 100, loss=0.05, seed=14)
    candump(tmp_path / "a.log", a)
    candump(tmp_path / "b.log", b)
    with pytest.raises(SystemExit) as ended:
        main(["align", "a.log", "b.log", "--out", "one", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert [row["log"] for row in facts["logs"]] == ["a.log", "b.log"]
    assert facts["logs"][1]["drift_ppm"] == pytest.approx(-100, abs=0.5)
    assert facts["logs"][1]["offset_us"] == pytest.approx(86_400_005_000, abs=10)
    for path, true_us in zip(facts["out"], (true_a, true_b), strict=True):
        log = load_frames(path)
        assert log.diagnostics.times == "absolute"
        assert np.abs(log.frames["t_us"] - start_us - true_us).max() < 10
    with pytest.raises(SystemExit) as ended:
        main(["align", "a.log", "b.log", "--out", "one"])
    assert ended.value.code == 6  # they are there
    with pytest.raises(SystemExit) as ended:
        main(["align", "a.log"])
    assert ended.value.code == 2


def test_sessions_without_a_wall_clock(tmp_path, capsys, monkeypatch):
    """B was switched on 10 s before A, so A's clock reads -10 s then: all times move by as much.
    A block that B's card lost stays missing in the copy, and verify says so."""
    monkeypatch.chdir(tmp_path)
    wire = traffic(60)
    a, _ = recorded(wire, -10_000_000, start_s=10)
    b, true_us = recorded(wire, 0, 60)
    (tmp_path / "a.slog").write_bytes(pack_session(a, Identity("0a" * 8, 1, 7)).tobytes())
    blocks = pack_session(b, Identity("0b" * 8, 1, 7))
    (tmp_path / "b.slog").write_bytes(np.delete(blocks, 3, 0).tobytes())
    with pytest.raises(SystemExit) as ended:
        main(["align", "a.slog", "b.slog", "--out", "one", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["shift_us"] == pytest.approx(10_000_000, abs=20_000)  # B's first frame
    copy, reference = load_frames("one/b.slog"), load_frames("one/a.slog")
    assert (copy.diagnostics.times, reference.diagnostics.times) == ("relative", "relative")
    assert len(b) - 252 <= len(copy.frames) < len(b)  # a block holds 252 records at most
    assert reference.frames["t_us"][0] == a["t_us"][0] + facts["shift_us"]
    on_a = copy.frames["t_us"] - facts["shift_us"] + 10_000_000
    assert np.abs(on_a[:200] - true_us[:200]).max() < 10  # before the block that is missing
    assert np.abs(on_a[-500:] - true_us[-500:]).max() < 10
    with pytest.raises(SystemExit) as ended:
        main(["verify", "one/b.slog"])
    assert ended.value.code == 1 and "INCOMPLETE" in capsys.readouterr().out


def test_a_log_with_two_clocks_is_refused(tmp_path, capsys):
    frames = traffic(5)
    first = pack_session(frames, Identity("0a" * 8, 1, 7))
    second = pack_session(frames, Identity("0a" * 8, 2, 8), first_seq=len(first) + 1)
    path = tmp_path / "two.slog"
    path.write_bytes(first.tobytes() + second.tobytes())
    candump(tmp_path / "b.log", frames)
    with pytest.raises(SystemExit) as ended:
        main(["align", str(tmp_path / "b.log"), str(path)])
    assert ended.value.code == 5 and "2 key cycles" in capsys.readouterr().err


def test_what_the_command_prints(tmp_path, capsys, monkeypatch):
    """B is 5 s ahead at its start and its clock is 40 ppm slow: 60 s of it take 60.0024 s."""
    monkeypatch.chdir(tmp_path)
    wire = traffic(60)
    candump(tmp_path / "a.log", wire)
    (tmp_path / "sub").mkdir()
    candump(tmp_path / "sub" / "b.log", recorded(wire, 5_000_000, -40)[0])
    with pytest.raises(SystemExit) as ended:
        main(["align", "a.log", "sub/b.log"])
    first, second, third, last = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert first == "a.log: its clock is the reference"
    assert second.startswith("b.log: -5.0000") and second.endswith("its clock is 40.00 ppm slow")
    assert "frames of its bus 0 are on bus 0 of a.log: 100.0% of what both could see" in third
    assert last.startswith("  residual median ")
