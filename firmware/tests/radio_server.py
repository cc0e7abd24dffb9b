"""A logger with a radio on a TCP port of loopback, in real time: run by CPython or MicroPython.

radio_server.py PORT KEY CARD SECONDS    prints "open" once its radio is on
"""

import json
import os
import sys
import time

try:
    ticks_us, diff = time.ticks_us, time.ticks_diff
except AttributeError:

    def ticks_us():
        return time.monotonic_ns() // 1000

    def diff(a, b):
        return a - b


from stagelog.rig.sim.assemble import DEFAULTS, build
from stagelog.rig.sim.models import NoLink
from stagelog.rig.sim.world import World


def main():
    args = dict(DEFAULTS)
    args.update(json.loads(os.getenv("STAGELOG_SIM")))
    app = build(args, NoLink())
    app.start()
    world = World(app, (), 1000)
    world.run_for(1000000)
    app.board.switch.is_closed = True
    is_said = False
    t_us = ticks_us()
    left_us = args["seconds"] * 1000000
    while left_us > 0:
        time.sleep(0.0005)
        now_us = ticks_us()
        passed_us, t_us = diff(now_us, t_us), now_us
        left_us -= passed_us
        world.run_for(passed_us)
        if app.is_in_service and not is_said:
            is_said = True
            print("open", app.board.wifi.active_bits)
            if sys.implementation.name == "cpython":
                sys.stdout.flush()


main()
