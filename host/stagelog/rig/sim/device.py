"""A simulated logger as a process of its own: plays a tape in virtual time, then serves its link
on stdin and stdout.

    STAGELOG_SIM='{"card": "card.img", "tape": "bus.tape"}' micropython -m stagelog.rig.sim.device

The arguments come by the environment: MicroPython takes none that is longer than 255 bytes. Runs
on MicroPython (64 and 32 bits) and on CPython. After the tape, virtual time follows the passes of
the main loop.
"""

import json
import os
import select
import sys

from slog.messages import CONTROL_STOP
from stagelog.rig.sim.assemble import DEFAULTS, build
from stagelog.rig.sim.models import read_tape
from stagelog.rig.sim.world import World


class StdioLink:
    """The link on stdin and stdout.

    closed    the other end was closed
    patient   set it to sleep 1 ms in a read that would return nothing
    """

    def __init__(self) -> None:
        self.closed = False
        self.patient = False
        self._in = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)  # CPython would read ahead
        self._out = sys.stdout.buffer
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)
        self._wait_ms = 0

    def read(self, buf: bytearray) -> int:
        """Fill `buf` with what has arrived; return how many bytes."""
        n = 0
        while n < len(buf) and self._poll.poll(self._wait_ms):
            self._wait_ms = 0
            byte = self._in.read(1)
            if not byte:
                self.closed = True
                return n
            buf[n] = byte[0]
            n += 1
        self._wait_ms = int(self.patient and not n)
        return n

    def write(self, buf: bytearray, at: int, n: int) -> int:
        """Send `n` bytes of `buf` from `at`."""
        self._wait_ms = 0
        self._out.write(memoryview(buf)[at : at + n])
        if hasattr(self._out, "flush"):
            self._out.flush()
        return n


def main(text: str) -> None:
    """Run one logger from JSON text."""
    args = dict(DEFAULTS)
    args.update(json.loads(text))
    link = StdioLink()
    app = build(args, link)
    app.start()
    if args["tape"]:
        with open(args["tape"], "rb") as stream:
            world = World(app, read_tape(stream), args["loop_us"])
            world.run_tape()
    else:
        world = World(app, (), args["loop_us"])
    world.run_for(args["linger_us"])
    if args["stop"]:
        app.control(CONTROL_STOP)
        world.run_for(args["linger_us"])
    link.patient = True
    while not link.closed:
        world.run_for(args["loop_us"])


if __name__ == "__main__":
    main(os.getenv("STAGELOG_SIM", "{}"))
