"""The rows of the device benchmark about CAN FD, and about a main loop that does not come round.

Owns what is measured and how, as device_rows does.
"""

import numpy as np
from device_rig import Bench, n_wrong, steady_tape

from stagelog.model import BRS, FD
from stagelog.rig import tape as tapes
from stagelog.rig.bus.fd import FdFrame, bit_widths, fd_wire_bits
from stagelog.rig.play import saturated_tape
from stagelog.rig.rp2040.firmware import logger_files

RATES_bps = ((500_000, 2_000_000), (1_000_000, 5_000_000))
_IDLE_BITS = 3  # between two frames
_CODE_64 = 15
_STEP_Hz = 100
_LONGEST_ms = 2000
_PIN = 20  # not wired
BLOCKING = f"""
import machine
import own_start

pin = machine.Pin({_PIN}, machine.Pin.IN, machine.Pin.PULL_DOWN)

def block(_):
    while pin():
        pass

def run(*args):
    machine.Timer(-1, freq=100, callback=block)  # the interrupts of pins belong to the logger
    own_start.run(*args)
"""


def can_fd(speed, duration_us=1_500_000):
    """Frames of CAN FD with 64 bytes, and each second one a classic frame of 8: the highest rate,
    to 100 frames a second, at which 99 % are stored. `full_Hz` is what the bus itself carries.
    """
    figures = {"wrong": 0, "uncounted": 0, "ring_worst": 0}
    for rates in RATES_bps:
        name = "_".join(str(rate // 1000) for rate in rates)
        figures[f"{name}_full_Hz"] = full = full_Hz(*rates)
        for kind, n_classic in (("fd64", 0), ("mixed", 2)):
            low, high = 0, full * (2 if n_classic else 1)
            while high - low > _STEP_Hz:
                rate_Hz = (low + high) / 2
                tape = fd_tape(rate_Hz, duration_us, n_classic)
                found = _run(speed, rates, tape)
                for figure in ("wrong", "uncounted"):
                    figures[figure] += found[figure]
                figures["ring_worst"] = max(figures["ring_worst"], found["ring_worst"])
                is_kept = found["lost"] <= found["seen"] / 100
                low, high = (rate_Hz, high) if is_kept else (low, rate_Hz)
            figures[f"{name}_{kind}_Hz"] = low
    return figures


def _run(speed, rates, tape):
    bitrate_bps, data_bitrate_bps = rates
    with Bench(speed, bitrate_bps=bitrate_bps, data_bitrate_bps=data_bitrate_bps) as bench:
        bench.play(tape)
        bench.board.run_us(1_000_000)
        found = bench.finish()
        return {**found, "wrong": n_wrong(bench.held_frames(), tape, bench.can.outcomes)}


def full_Hz(bitrate_bps, data_bitrate_bps):
    """Return how many frames with 64 bytes a bus carries that is never idle; the payload has a
    stuff bit in each tenth place or so, as random bytes have.
    """
    payload = steady_tape(8, 1_000_000)["data"].tobytes()
    _, fast = fd_wire_bits(FdFrame(0x123, payload))
    bits = sum(bit_widths(fast, data_bitrate_bps / bitrate_bps)) + _IDLE_BITS
    return bitrate_bps / bits


def fd_tape(rate_Hz, duration_us, n_classic):
    """Return the tape of frames with 64 bytes at equal distances, each `n_classic`th of them a
    classic one of 8 bytes instead; 0: none.
    """
    narrow = steady_tape(rate_Hz, duration_us)
    tape = np.zeros(len(narrow), tapes.TAPE_FD)
    for name in ("t_us", "can_id", "dlc"):
        tape[name] = narrow[name]
    tape["data"][:, :8] = narrow["data"]
    is_fd = np.arange(len(tape)) % n_classic > 0 if n_classic else np.ones(len(tape), bool)
    tape["flags"][is_fd] = FD | BRS
    tape["dlc"][is_fd] = _CODE_64
    for at in range(8, 64, 8):
        tape["data"][is_fd, at : at + 8] = narrow["data"][is_fd] ^ at
    return tape


def blocked(speed):
    """How long the main loop may be held up, in ms, before a full bus of 500 kbit/s loses a frame:
    with classic frames of 8 bytes, and on a board that knows it with CAN FD of 64 bytes at 500
    kbit/s and 2 Mbit/s. 2000 is the longest that was tried.
    """
    board = speed.rpartition(" ")[0] or "pico_mcp2515"
    files = logger_files(board, start=BLOCKING)
    tape = saturated_tape(500_000, _LONGEST_ms * 1000)
    with Bench(speed, files=files) as bench:
        figures = {"classic_ms": _longest_ms(bench, tape)}
    if board == "pico_mcp2518fd":
        tape = fd_tape(full_Hz(*RATES_bps[0]), _LONGEST_ms * 1000, 0)
        with Bench(speed, files=files, data_bitrate_bps=RATES_bps[0][1]) as bench:
            figures["fd64_ms"] = _longest_ms(bench, tape)
    return figures


def _longest_ms(bench, tape):
    low, high = 0, 1
    while not _loses(bench, tape, high):
        low, high = high, min(2 * high, _LONGEST_ms)
        if low == high:
            return low
    while high - low > max(0.25, low / 20):
        middle = (low + high) / 2
        low, high = (low, middle) if _loses(bench, tape, middle) else (middle, high)
    return low


def _loses(bench, tape, ms):
    """Hold the main loop up while a bus is full; return whether a frame is lost by that."""
    board = bench.board
    before = _n_lost(bench)
    board.chip.engine.drive(_PIN, True)
    board.run_us(20_000)  # until it is held up
    bench.can.play(tape[tape["t_us"] < ms * 1000])
    board.run_us(ms * 1000)
    board.chip.engine.drive(_PIN, False)
    board.run_us(2_000_000)
    return _n_lost(bench) > before


def _n_lost(bench):
    status = bench.link.status()
    return status.dropped0 + status.at_least0
