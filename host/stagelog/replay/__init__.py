"""Play a log onto a bus at its own pace, and report how late each frame was.

    schedule = make_schedule(frames, speed=2, start_s=10, ids=["1A0-1AF"])      what, and when
    with keep_time(schedule) as how:                                            priority, gc
        report = play(schedule, build, send, clock)                             how late each was
    with open_buses(["socketcan:can0"]) as buses:                               python-can
        buses.build, buses.send

A frame is never sent before it is due. The clock is passed in: `Clock` is the machine's, a test or
the rig brings its own. Fails with UsageError (a selection that makes no sense, an interface that
does not exist) and DeviceError (an interface that cannot be opened); a frame that the interface
refuses is counted in the report.
"""

from stagelog.replay.buses import open_buses
from stagelog.replay.player import N_THREADS, Clock, Report, play
from stagelog.replay.priority import keep_time
from stagelog.replay.schedule import Schedule, make_schedule

__all__ = [
    "N_THREADS",
    "Clock",
    "Report",
    "Schedule",
    "keep_time",
    "make_schedule",
    "open_buses",
    "play",
]
