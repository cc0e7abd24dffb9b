"""The shipped application on frames that the controller sends to itself, for as long as asked.

A timer sends the frames, so that they come whatever the main loop does: it stores them, answers
the host, and collects garbage more often than it needs to. Ends when the host asks for the prompt;
`run` then returns what was measured.
"""

import gc
import time

import machine

from boards.pico_mcp2515 import LED, NAME, VSYS_PIN
from boards.rp2_board import Leave, Rp2Board, power_good
from bringup.card import STEP_US
from bringup.hot import Sender
from logger.app import App
from slog.layout import const

_COLLECT_MS = const(100)


def run(args, kept):
    """Record until the host asks for the prompt; return what was measured. `kept`: of `program`.

    args  n: frames to send; numbered: see `hot.Sender`; block: frames after which a block is
          closed, so that the card has a write for each; collect: garbage is collected all the time
    """
    times, card, can, ring = kept["times"], kept["card"], kept["can"], kept["ring"]
    sender = Sender(None if args["numbered"] else times)
    board = Rp2Board(NAME, 255, LED, kept["settings"], kept["clock"], ring, card, [can])
    supply = _Supply(VSYS_PIN)
    card.sample = supply.sample
    app = App(board)
    app.start()
    can.prepare(8)
    sender.start(args["n"], args["period_us"])
    t_collect = time.ticks_ms()
    n_closed = 0
    try:
        while True:
            app.step()
            if sender.n_sent() - n_closed >= args["block"]:
                n_closed = sender.n_sent()
                ring.close_block()
            if args["collect"] and time.ticks_diff(time.ticks_ms(), t_collect) >= _COLLECT_MS:
                t_collect = time.ticks_ms()
                gc.collect()
    except Leave:
        sender.stop()
        card.sample = None
        board.close()
    return {
        "sent": sender.n_sent(),
        "skipped": sender.n_skipped(),
        "hard": sender.is_hard,
        "times": [(us, count) for us, count in enumerate(times) if count],
        "writes": [(i * STEP_US, count) for i, count in enumerate(card.times) if count],
        "sector": app.store.extent.sector_of(0),
        "supply_mV": supply.least_mV(),
        "supply_failed": supply.n_failed,
    }


class _Supply:
    """The least voltage at VSYS, which a Pico has at a third on an ADC pin; and how often "power
    good" fell, or 1 if it was low from the start.
    """

    def __init__(self, pin):
        self._read = machine.ADC(pin).read_u16
        self._least = 65535
        self._is_good = 1
        self.n_failed = 0

    def sample(self):
        """Look once."""
        self._least = min(self._least, self._read())
        is_good = power_good()
        if self._is_good and not is_good:
            self.n_failed += 1
        self._is_good = is_good

    def least_mV(self):
        """Return the least seen."""
        return self._least * 9900 // 65535
