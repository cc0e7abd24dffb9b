"""Replay: what is played, when, and what the report says of it. The clock is a fake one."""

import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from stagelog.errors import DeviceError, UsageError
from stagelog.model import ERR, EXT, FRAME
from stagelog.replay import Clock, keep_time, make_schedule, open_buses, play
from stagelog.replay.buses import parse_target
from stagelog.replay.player import GUARD_NS
from stagelog.replay.priority import sleep_pct
from stagelog.replay.schedule import parse_ids


class FakeClock:
    """A clock that passes 50 ns whenever it is read, and wakes sleepers late."""

    def __init__(self, late_ns=20_000):
        self.ns = 1_000_000
        self.late_ns = late_ns
        self.n_sleeps = 0

    def now_ns(self):
        self.ns += 50
        return self.ns

    def sleep_ns(self, n):
        assert n > 0
        self.n_sleeps += 1
        self.ns += n + self.late_ns


class Refused(Exception):
    pass


def frames_at(*t_us, can_id=0x100, bus=0):
    frames = np.zeros(len(t_us), FRAME)
    frames["t_us"] = t_us
    frames["can_id"] = can_id
    frames["bus"] = bus
    frames["dlc"] = frames["n_bytes"] = 8
    frames["data"] = np.arange(8)
    return frames


def play_on(clock, schedule, **options):
    """Play; return (Report, [(ns since the first frame was due, frame)])."""
    sent = []
    start_ns = clock.ns + 50 + 50_000_000

    def send(frame):
        sent.append((clock.ns - start_ns, frame))

    report = play(schedule, list, send, clock, **options)
    return report, sent


def test_frames_go_out_when_due_and_never_earlier():
    rng = np.random.default_rng(5)
    t_us = np.sort(rng.integers(0, 2_000_000, 8000))
    schedule = make_schedule(frames_at(*t_us.tolist()))
    report, sent = play_on(FakeClock(), schedule)
    late_ns = np.array([t for t, _ in sent]) - schedule.due_ns
    assert late_ns.min() >= 0
    assert [int(frame["t_us"]) for _, frame in sent] == t_us.tolist()
    assert report.good and report.n_sent == report.n_due == 8000
    assert report.early_us == 0
    assert report.worst_us * 1000 == late_ns.max()
    assert report.p99_us == pytest.approx(np.percentile(late_ns, 99) / 1000, abs=0.2)
    assert report.p99_us < 1


def test_of_a_hundred_frames_five_late_ones_are_in_p99_and_not_in_p50():
    """Each 20th sleep ends 1 ms late; 50 us of it are the window at first, which shrinks by 25 ns
    with each sleep that ends 20 us late. Of 5 late frames the second latest, after 57 of those, is
    950 + 57 * 0.025 = 951.4 us late.
    """

    class Sleepy(FakeClock):
        def sleep_ns(self, n):
            self.late_ns = 20_000 if self.n_sleeps % 20 else 1_000_000
            super().sleep_ns(n)

    schedule = make_schedule(frames_at(*range(0, 1_000_000, 10_000)))
    report, _ = play_on(Sleepy(), schedule)
    assert report.p50_us < 1 and report.p99_us == pytest.approx(951.4, abs=0.3)


def test_sleep_ends_a_guard_before_the_frame():
    clock = FakeClock(late_ns=GUARD_NS - 1000)
    report, _ = play_on(clock, make_schedule(frames_at(0, 10_000, 20_000)))
    assert clock.n_sleeps == 3
    assert report.worst_us < 0.2


def test_the_window_is_as_long_as_sleepers_are_late():
    """Nearly all sleeps end 10 us late, one in fifty 30 us: 50 us of waiting shrink to 10 by 25 ns
    a sleep, 1,600 sleeps. The clock is read each 50 ns of waiting.
    """

    class Counting(FakeClock):
        n_looks = 0

        def now_ns(self):
            self.n_looks += 1
            return super().now_ns()

        def sleep_ns(self, n):
            self.late_ns = 10_000 if self.n_sleeps % 50 else 30_000
            super().sleep_ns(n)

    waits = []
    for n in (3000, 4000):
        clock = Counting()
        report, _ = play_on(clock, make_schedule(frames_at(*range(0, n * 1000, 1000))))
        waits.append(clock.n_looks)
    # 2 looks for the sleep, 3 around it, and for the window: 10 us of it are overslept
    assert 4 <= (waits[1] - waits[0]) / 1000 < 20
    assert report.p50_us < 0.2 and report.p99_us < 21


def test_a_window_is_not_learned_from_a_scheduler_that_kept_the_thread_waiting():
    schedule = make_schedule(frames_at(*range(0, 1_000_000, 10_000)))
    report, _ = play_on(FakeClock(late_ns=3_000_000), schedule)
    assert report.worst_us == pytest.approx(2950, abs=1)


def test_frame_after_an_oversleep_is_late_and_the_verdict_bad():
    schedule = make_schedule(frames_at(0, 10_000, 20_000))
    report, sent = play_on(FakeClock(late_ns=1_600_000), schedule, bound_us=1000)
    assert report.n_late == 3 and not report.good
    assert report.worst_us == pytest.approx(1550, abs=1)
    assert all(t >= due for (t, _), due in zip(sent, schedule.due_ns, strict=True))


def test_frame_as_late_as_the_bound_is_not_late():
    report, _ = play_on(FakeClock(late_ns=1_050_000 - 150), make_schedule(frames_at(0)))
    assert (report.worst_us, report.n_late) == (1000, 0)


def test_delays_beyond_the_scale_are_not_made_smaller():
    schedule = make_schedule(frames_at(0, 1_000_000, 2_000_000))
    report, _ = play_on(FakeClock(late_ns=300_000_000), schedule)
    assert report.p50_us == report.worst_us == pytest.approx(299_950, abs=1)


def test_refused_frames_are_counted_with_the_first_reason():
    clock = FakeClock()
    reasons = iter(["buffer full", "no such device"])

    def send(frame):
        if frame["can_id"] == 0x101:
            raise Refused(next(reasons))

    frames = frames_at(0, 1, 2, 3)
    frames["can_id"] = [0x100, 0x101, 0x100, 0x101]
    report = play(make_schedule(frames), list, send, clock, refusals=(Refused,))
    assert (report.n_sent, report.n_not_sent, report.error) == (2, 2, "buffer full")
    assert not report.good


def test_other_errors_of_send_are_not_swallowed():
    def send(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(make_schedule(frames_at(0)), list, send, FakeClock(), refusals=(Refused,))


def test_interrupted_replay_reports_what_is_left():
    sent = []

    def send(frame):
        if len(sent) == 2:
            raise KeyboardInterrupt
        sent.append(frame)

    report = play(make_schedule(frames_at(0, 1000, 2000, 3000)), list, send, FakeClock())
    assert report.interrupted and report.n_due == 4
    assert report.n_sent + report.n_not_sent == 4


def test_loop_repeats_with_the_usual_gap_between():
    schedule = make_schedule(frames_at(0, 1000, 2000), n_loops=3)
    assert schedule.n_frames == 9
    _, sent = play_on(FakeClock(), schedule)
    assert [round(t / 1e6) for t, _ in sent] == list(range(9))


def test_endless_loop_ends_by_ctrl_c_with_a_good_verdict():
    sent = []

    def send(frame):
        sent.append(frame)
        if len(sent) == 20_000:
            raise KeyboardInterrupt

    report = play(make_schedule(frames_at(0, 5000), n_loops=0), list, send, FakeClock())
    assert report.n_due is None and report.good and report.n_sent == 20_000


def test_speed_scales_time():
    schedule = make_schedule(frames_at(5_000, 6_000, 9_000), speed=2)
    assert schedule.due_ns.tolist() == [0, 500_000, 2_000_000]


def test_window_starts_at_the_first_frame_of_the_log():
    frames = frames_at(10_000_000, 10_500_000, 11_000_000, 12_000_000)
    schedule = make_schedule(frames, start_s=0.5, stop_s=2)
    assert schedule.frames["t_us"].tolist() == [10_500_000, 11_000_000]
    assert schedule.due_ns.tolist() == [0, 500_000_000]


def test_identifiers_of_eleven_and_of_29_bits_are_apart():
    frames = frames_at(0, 1, 2, 3)
    frames["can_id"] = [0x1A0, 0x1A0, 0x1B0, 0x200]
    frames["flags"] = [0, EXT, 0, 0]
    assert make_schedule(frames, ids=["1A0"]).frames["t_us"].tolist() == [0]
    assert make_schedule(frames, ids=["000001A0"]).frames["t_us"].tolist() == [1]
    assert make_schedule(frames, ids=["1A0-1FF", "0x200"]).frames["t_us"].tolist() == [0, 2, 3]


@pytest.mark.parametrize("text", ["", "xyz", "100-", "200-100", "800", "1-2-3", "20000000"])
def test_identifier_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="identifier"):
        parse_ids(text)


def test_long_pause_is_cut():
    schedule = make_schedule(frames_at(0, 60_000_000, 60_001_000), max_gap_s=1)
    assert schedule.due_ns.tolist() == [0, 1_000_000_000, 1_001_000_000]


def test_small_steps_back_do_not_shift_what_follows():
    schedule = make_schedule(frames_at(0, 1000, 900, 2000, 1950, 3000))
    assert (schedule.due_ns // 1000).tolist() == [0, 1000, 1000, 2000, 2000, 3000]


def test_next_boot_follows_the_one_before():
    frames = frames_at(0, 5_000_000, 100, 1_000_100)
    assert (make_schedule(frames).due_ns // 1000).tolist() == [0, 5_000_000, 5_000_000, 6_000_000]


def test_error_frames_are_left_out_and_counted():
    frames = frames_at(0, 1, 2)
    frames["flags"][1] = ERR
    schedule = make_schedule(frames)
    assert (len(schedule.frames), schedule.n_errors) == (2, 1)


@pytest.mark.parametrize("bad", [{"speed": 0}, {"speed": -1}, {"n_loops": -1}, {"ids": ["7FF"]}])
def test_selection_without_sense_is_refused(bad):
    with pytest.raises(UsageError):
        make_schedule(frames_at(0), **bad)
    with pytest.raises(UsageError, match="no frame"):
        make_schedule(frames_at())


# The part of a second that is slept is judged by the window at first, 50 us: of 250 us 200 remain.
def test_dense_schedule_gets_no_real_time_priority():
    sparse = make_schedule(frames_at(*range(0, 3_000_000, 250)))
    dense = make_schedule(frames_at(*range(0, 3_000_000, 60)))
    assert sleep_pct(sparse) == pytest.approx(80, abs=1)
    assert sleep_pct(dense) < 20
    with keep_time(dense) as how:
        assert how == "normal priority: the frames come too densely for real time"


def test_garbage_collection_and_priority_are_as_before():
    import gc
    import os

    gc.enable()
    before = os.sched_getscheduler(0)
    with keep_time() as how:
        assert not gc.isenabled()
        assert "priority" in how
    assert gc.isenabled() and os.sched_getscheduler(0) == before


def test_frames_reach_a_bus_of_python_can_as_they_were():
    can = pytest.importorskip("can")
    frames = frames_at(0, 1000, 2000)
    frames["flags"][1] = EXT
    frames["can_id"][1] = 0x18FEF100
    with can.Bus(interface="virtual", channel="replay-1") as listener:
        with open_buses(["virtual:replay-1"], [0]) as buses:
            report = play(make_schedule(frames), buses.build, buses.send, FakeClock())
        got = [listener.recv(0) for _ in range(4)]
    assert report.n_sent == 3 and got[3] is None
    assert [m.arbitration_id for m in got[:3]] == [0x100, 0x18FEF100, 0x100]
    assert [m.is_extended_id for m in got[:3]] == [False, True, False]
    assert all(bytes(m.data) == bytes(range(8)) for m in got[:3])


def test_channel_map_sends_each_bus_to_its_own():
    can = pytest.importorskip("can")
    frames = frames_at(0, 1000, 2000)
    frames["bus"] = [0, 1, 0]
    with (
        can.Bus(interface="virtual", channel="replay-2") as first,
        can.Bus(interface="virtual", channel="replay-3") as second,
    ):
        with open_buses(["virtual:replay-2", "1=virtual:replay-3"], [0, 1]) as buses:
            play(make_schedule(frames), buses.build, buses.send, FakeClock())
        assert sum(first.recv(0) is not None for _ in range(5)) == 2
        assert sum(second.recv(0) is not None for _ in range(5)) == 1


def test_targets_are_understood():
    target = parse_target("can1=socketcan:vcan0", ["can0", "can1"])
    assert (target.bus, target.interface, target.channel) == (1, "socketcan", "vcan0")
    assert parse_target("udp_multicast:239.0.0.1").bus is None
    with pytest.raises(UsageError, match="names no bus"):
        parse_target("can0")
    with pytest.raises(UsageError, match='no bus "can7"'):
        parse_target("can7=socketcan:vcan0", ["can0"])


def test_bus_that_cannot_be_opened_is_told():
    pytest.importorskip("can")
    with pytest.raises(UsageError, match='no interface "nonsense"'), open_buses(["nonsense:0"]):
        pass
    with pytest.raises(DeviceError, match="socketcan:nowhere"), open_buses(["socketcan:nowhere"]):
        pass
    with pytest.raises(UsageError, match="no bus for the frames of bus 1"):
        with open_buses(["0=virtual:x"], [0, 1]):
            pass


def test_a_bus_that_refuses_frames_makes_the_verdict_bad():
    """Of five frames the 2nd and the 5th are refused; the first reason is kept."""
    clock, n = FakeClock(), [0]

    def send(_):
        n[0] += 1
        if n[0] in (2, 5):
            raise Refused(f"bus-off at {n[0]}")

    schedule = make_schedule(frames_at(0, 1000, 2000, 3000, 4000))
    report = play(schedule, list, send, clock, refusals=(Refused,))
    assert (report.n_due, report.n_sent, report.n_not_sent, report.n_late) == (5, 3, 2, 0)
    assert report.error == "bus-off at 2" and not report.good
    assert report.as_dict()["good"] is False


def test_a_frame_later_than_the_bound_makes_the_verdict_bad():
    """The clock jumps 3 ms while the first frame is sent; the second was due after 1 ms."""
    clock = FakeClock(late_ns=0)
    n = [0]

    def send(_):
        n[0] += 1
        if n[0] == 1:
            clock.ns += 3_000_000

    report = play(make_schedule(frames_at(0, 1000, 9000)), list, send, clock, bound_us=1000)
    assert (report.n_late, report.n_sent, report.n_not_sent) == (1, 3, 0)
    assert report.worst_us == pytest.approx(2000, abs=1) and not report.good
    n[0] = 0
    report = play(make_schedule(frames_at(0, 1000, 9000)), list, send, clock, bound_us=2100)
    assert report.n_late == 0 and report.good


class Sluggish:
    """The machine's clock, whose first sleeper wakes two seconds late, again and again."""

    def __init__(self):
        self.first = None

    now_ns = staticmethod(Clock.now_ns)

    def sleep_ns(self, n):
        self.first = self.first or threading.get_ident()
        Clock.sleep_ns(n + (2_000_000_000 if threading.get_ident() == self.first else 0))


def test_a_thread_that_is_kept_waiting_keeps_no_frame_waiting():
    """20 frames in 0.2 s: with one thread the first frame would be 1.9 s late."""
    sent = []
    schedule = make_schedule(frames_at(*range(0, 200_000, 10_000)))
    report = play(schedule, list, lambda f: sent.append(int(f["t_us"])), Sluggish(), n_threads=2)
    assert sent == list(range(0, 200_000, 10_000))
    assert report.n_sent == 20 and report.early_us == 0 and report.worst_us < 1_000_000


class Yielding:
    """The machine's clock; who sent the last frame wakes 5 ms late, so that another is first."""

    def __init__(self):
        self.sender = None

    now_ns = staticmethod(Clock.now_ns)

    def sleep_ns(self, n):
        Clock.sleep_ns(n + (5_000_000 if threading.get_ident() == self.sender else 0))


@pytest.mark.parametrize("n_threads", [2, 4])
def test_many_threads_send_each_frame_once_in_order_and_not_early(n_threads):
    rng = np.random.default_rng(3)
    t_us = np.sort(rng.integers(0, 300_000, 3000))
    sent, times, threads = [], [], set()
    clock = Yielding()

    def send(frame):
        times.append(Clock.now_ns())
        sent.append(int(frame["t_us"]))
        clock.sender = threading.get_ident()
        threads.add(clock.sender)

    frames = frames_at(*t_us.tolist())
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    start_ns = Clock.now_ns()
    report = play(make_schedule(frames), list, send, clock, n_threads=n_threads)
    assert sent == t_us.tolist() and report.n_sent == 3000 and report.early_us == 0
    assert len(threads) > 1
    late_ns = np.array(times) - start_ns - 50_000_000 - (t_us - t_us[0]) * 1000
    assert late_ns.min() > 0  # the start lies after `start_ns`
    if before is not None:
        assert os.sched_getaffinity(0) == before


def test_an_error_in_any_thread_ends_all_of_them():
    main = threading.get_ident()
    raised = []

    def send(_):
        if threading.get_ident() != main:
            raised.append(threading.get_ident())
            raise ZeroDivisionError

    clock = Sluggish()
    clock.first = main
    with pytest.raises(ZeroDivisionError):
        play(make_schedule(frames_at(*range(0, 200_000, 1000))), list, send, clock, n_threads=2)
    assert len(raised) == 1
    assert not any(t.ident == raised[0] for t in threading.enumerate())


def test_refusals_and_interruptions_in_threads_are_as_with_one():
    def send(frame):
        if frame["t_us"] == 3000:
            raise Refused("full")

    frames = frames_at(*range(0, 10_000, 1000))
    report = play(make_schedule(frames), list, send, refusals=(Refused,), n_threads=3)
    assert (report.n_sent, report.n_not_sent, report.error) == (9, 1, "full")


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="Linux only")
def test_the_time_slice_is_as_before():
    with keep_time(real_time=False) as how:
        assert how == "normal priority"
        inside = _slice_ns()
    assert _slice_ns() != inside or inside in (None, 0)


def _slice_ns():
    """Return the slice in /proc, ns; None where the kernel does not show it (before 6.12)."""
    try:
        text = Path("/proc/thread-self/sched").read_text()
    except OSError:
        return None
    found = re.search(r"se\.slice\s*:\s*(\d+)", text)
    return int(found[1]) if found else None
