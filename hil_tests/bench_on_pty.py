"""A bench without hardware, as a plugin of pytest: a simulated logger behind a pseudo-terminal
that listens to python-can's virtual bus, and a switch for its power.

    STAGELOG_BENCH=folder pytest -p bench_on_pty hil_tests --target hardware --rig folder/rig.toml

All is in the folder: card.img; rig.toml, written here; port, a link to the terminal; power, a file
that is there while the logger has power.
"""

import os
import threading
import time
from pathlib import Path

import can

from stagelog.card import prepare_raw
from stagelog.rig.live import LiveLogger

RIG = """
[logger]
port = "{folder}/port"
[bus]
interface = "virtual"
channel = "bench"
bitrate_bps = 500000
[power]
on = "touch {folder}/power"
off = "rm {folder}/power"
boot_s = 0.2
"""


class Bench(threading.Thread):
    """The logger and its switch. Invariant: frames reach it at the times they were sent."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self._port = folder / "port"
        self._power = folder / "power"
        self._card = folder / "card.img"
        self._ended = threading.Event()
        prepare_raw(self._card, 4096)
        self._power.touch()
        (folder / "rig.toml").write_text(RIG.format(folder=folder))

    def run(self):
        """Be a logger whenever there is power."""
        n_boots = 0
        with can.Bus(interface="virtual", channel="bench") as bus:
            while not self._ended.is_set():
                on_since_ns = self._on_since_ns()
                if on_since_ns:
                    n_boots += 1
                    logger = LiveLogger({"card": str(self._card), "seed": n_boots})
                    self._live(logger, bus, on_since_ns)
                time.sleep(0.01)

    def end(self):
        """Put it away."""
        self._ended.set()
        self.join()

    def _on_since_ns(self):
        """Return when power came, 0 without it: it may be off for less than a pass takes."""
        try:
            return self._power.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _live(self, logger, bus, on_since_ns):
        self._port.unlink(missing_ok=True)
        self._port.symlink_to(logger.port)
        start_s = time.time()
        while self._on_since_ns() == on_since_ns and not self._ended.is_set():
            frames = []
            while (message := bus.recv(0)) is not None:
                frames.append(event_of(message, start_s))
            logger.world.add_events(frames)
            logger.world.run_until(int((time.time() - start_s) * 1e6))
            time.sleep(0.001)
        logger.close()


def event_of(message, start_s):
    """Return what rig.sim.world plays for a message of python-can."""
    flags = message.is_extended_id | message.is_remote_frame << 1
    t_us = max(0, int((message.timestamp - start_s) * 1e6))
    data = bytes(message.data).ljust(8, b"\0")
    return (t_us, 0, 0, flags, message.arbitration_id, message.dlc, 0, 0, 0, data)


def pytest_configure(config):
    """Start the bench before the first test."""
    config.bench = Bench(Path(os.environ["STAGELOG_BENCH"]))
    config.bench.start()


def pytest_unconfigure(config):
    """Put the bench away after the last."""
    config.bench.end()
