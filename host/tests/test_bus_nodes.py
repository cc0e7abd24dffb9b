"""Traffic sources: what they offer, when, and that a recording comes back."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from recorded_drives import DRIVES

from stagelog.errors import UsageError
from stagelog.model import EXT, FRAME, RTR
from stagelog.rig.bus import Bus, canbits, nodes, simulate

MS = 10**6
S = 10**9


def offered(source, n_chunks=None):
    chunks = list(source) if n_chunks is None else [next(source) for _ in range(n_chunks)]
    return np.concatenate([due for due, _ in chunks]), np.concatenate([f for _, f in chunks])


def test_periodic_messages_are_due_at_offset_plus_cycles():
    messages = [
        nodes.Periodic(0x100, 10 * MS, 8, offset_ns=3 * MS),
        nodes.Periodic(0x18FEF100, 100 * MS, 2, EXT, payload=b"\x01\x02"),
    ]
    due_ns, frames = offered(nodes.periodic(messages, until_ns=12_500 * MS))
    fast = frames["can_id"] == 0x100
    assert due_ns[fast].tolist() == list(range(3 * MS, 12_500 * MS, 10 * MS))
    assert due_ns[~fast].tolist() == list(range(0, 12_500 * MS, 100 * MS))
    assert (np.diff(due_ns) >= 0).all()
    assert (frames["data"][~fast][:, :3] == [1, 2, 0]).all() and (
        frames["flags"][~fast] == 1
    ).all()


def test_jitter_delays_within_its_bound_and_by_the_seed():
    message = nodes.Periodic(0x100, 10 * MS, jitter_ns=2 * MS)
    first, _ = offered(nodes.periodic([message], S, seed=1))
    again, _ = offered(nodes.periodic([message], S, seed=1))
    other, _ = offered(nodes.periodic([message], S, seed=2))
    late = first - np.arange(100) * 10 * MS
    assert late.min() >= 0 and late.max() <= 2 * MS and len(set(late)) > 50
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_counting_payloads_tell_every_frame():
    message = nodes.Periodic(0x100, MS, 3, payload=nodes.counting(3))
    _, frames = offered(nodes.periodic([message], until_ns=2 * S))
    counts = frames["data"][:, 0] + 256 * frames["data"][:, 1].astype(int)
    assert counts.tolist() == list(range(2000))


def test_a_schedule_of_dbc_messages_has_their_senders_cycles_and_formats():
    def message(frame_id, cycle_time, senders, length=8, extended=False):
        return SimpleNamespace(
            frame_id=frame_id,
            cycle_time=cycle_time,
            senders=senders,
            length=length,
            is_extended_frame=extended,
        )

    database = [
        message(0x100, 10, ["ECU"]),
        message(0x200, 100, ["ECU"], 4),
        message(0x18FEF100, 20, [], 8, True),
        message(0x300, None, ["DASH"]),
        message(0x301, 0, ["DASH"]),
    ]
    schedule = nodes.schedule_of(database, seed=5)
    assert {name: [m.can_id for m in found] for name, found in schedule.items()} == {
        "ECU": [0x100, 0x200],
        "unknown": [0x18FEF100],
    }
    assert schedule["unknown"][0].flags == EXT and schedule["ECU"][1].n_bytes == 4
    log = simulate({name: nodes.periodic(found) for name, found in schedule.items()}, S)
    counts = dict(zip(*np.unique(log.frames["can_id"], return_counts=True), strict=True))
    assert counts == {0x100: 100, 0x200: 10, 0x18FEF100: 50}


def test_a_saturating_source_counts_and_ends_where_told():
    due_ns, frames = offered(nodes.saturate(8, 0x10, count=10_000, start_ns=5))
    counts = frames["data"][:, :4].copy().view("<u4").ravel()
    assert counts.tolist() == list(range(10_000)) and set(due_ns) == {5}
    _, frames = offered(nodes.saturate(4, flags=RTR), 1)
    assert (frames["n_bytes"] == 0).all() and (frames["dlc"] == 4).all()


def test_random_frames_are_of_every_kind_and_keep_to_their_lane():
    due_ns, frames = offered(nodes.random_frames(1000, seed=1, lane=2, n_lanes=5), 3)
    canbits.check_frames(frames)
    assert (frames["can_id"] % 5 == 2).all() and (np.diff(due_ns) >= 0).all()
    assert set(frames["flags"]) == {0, EXT, RTR, EXT | RTR}
    assert set(frames["dlc"]) == set(range(16))
    assert len(due_ns) / (due_ns[-1] / S) == pytest.approx(1000, rel=0.1)


def test_a_recording_comes_back_at_its_times_where_the_bus_allows():
    frames = nodes.random_table(500, np.random.default_rng(2))
    frames["t_us"] = 1_700_000_000_000_000 + np.arange(500) * 1000
    log = simulate({"player": nodes.play(frames, 500_000, start_ns=7 * MS)}, S)
    assert np.array_equal(log.frames[["can_id", "data"]], frames[["can_id", "data"]])
    shifts_ns = nodes.shifts_ns(log, frames)
    assert shifts_ns.min() >= -2000 and shifts_ns.max() <= 2000  # a bit time


def test_frames_recorded_too_close_together_are_delayed_and_the_shift_says_how_much():
    frames = np.zeros(3, FRAME)
    frames["can_id"] = [0x300, 0x200, 0x100]
    frames["dlc"] = frames["n_bytes"] = 8
    frames["t_us"] = [0, 0, 1]
    log = simulate({"player": nodes.play(frames, 500_000)}, S)
    assert log.frames["can_id"].tolist() == [0x300, 0x200, 0x100]
    on_wire_ns = canbits.frame_bits(frames) * 2000
    expected = [0, on_wire_ns[1], on_wire_ns[1] + on_wire_ns[2] - 1000]
    assert nodes.shifts_ns(log, frames).tolist() == pytest.approx(expected, abs=2000)


def test_shifts_of_a_run_that_stopped_early_are_refused():
    frames = nodes.random_table(10, np.random.default_rng(2))
    frames["t_us"] = np.arange(10) * 1000
    with pytest.raises(UsageError, match="carried 5 frames, the recording has 10"):
        nodes.shifts_ns(simulate({"player": nodes.play(frames, 500_000)}, 5 * MS), frames)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nodes.Periodic(1, 10, jitter_ns=10),
        lambda: nodes.Periodic(1, 10, n_bytes=9),
        lambda: nodes.Periodic(1, 10, offset_ns=-1),
        lambda: next(nodes.random_frames(0, 1)),
        lambda: next(nodes.random_frames(10, 1, 2, 2)),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(make):
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("recorded", DRIVES)
def test_a_recorded_drive_crosses_the_bus_whole_and_in_order(recorded):
    frames = read_candump(recorded.text().decode())
    assert len(frames) == recorded.n_frames
    bus = Bus(500_000)
    bus.add_node("car", nodes.play(frames, 500_000))
    bus.add_node("dash")
    bus.add_node("logger", listen_only=True)
    log = bus.run(91 * S)
    for name in ("can_id", "flags", "dlc", "n_bytes", "data"):
        assert np.array_equal(log.frames[name], frames[name])
    shifts_ns = nodes.shifts_ns(log, frames)
    print(f"largest shift {shifts_ns.max() / 1000:.0f} us, bus load {bus.busy_ns / 91e7:.1f} %")
    assert shifts_ns.min() > -2000 and shifts_ns.max() < 5 * MS


def read_candump(text):
    pattern = re.compile(r"\((\d+)\.(\d{6})\) \S+ ([0-9A-F]+)#([0-9A-F]*)")
    found = [pattern.match(line).groups() for line in text.splitlines()]
    frames = np.zeros(len(found), FRAME)
    frames["t_us"] = [int(s) * 10**6 + int(us) for s, us, _, _ in found]
    frames["can_id"] = [int(can_id, 16) for _, _, can_id, _ in found]
    frames["dlc"] = frames["n_bytes"] = [len(data) // 2 for *_, data in found]
    padded = b"".join(bytes.fromhex(data).ljust(8, b"\0") for *_, data in found)
    frames["data"] = np.frombuffer(padded, np.uint8).reshape(-1, 8)
    return frames
