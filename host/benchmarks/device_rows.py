"""The rows of the device benchmark: each runs the firmware once or a few times and returns named
figures.

Owns what is measured and how; device_rig runs the board, bench_device prints and compares. Figures
come from emulated time and are the same in every run.
"""

import tempfile
from pathlib import Path

import numpy as np
from device_card import old_card
from device_heap import free_heap, range_cost
from device_peers import mpremote_rate, public_loss_pct, raw_port_rate
from device_rig import SPEEDS, Bench, n_wrong, steady_tape

from slog.events import SKIPPED
from slog.layout import BLOCK_BYTES, RECORDS_PER_BLOCK, SECTOR_BYTES
from slog.messages import CONTROL_STOP
from stagelog.car import drive
from stagelog.events import compile_table
from stagelog.link import positions_of
from stagelog.profile import dbc_file, load_profile
from stagelog.rig.bus.wave import Line
from stagelog.rig.play import saturated_tape
from stagelog.rig.rp2040.firmware import logger_files
from stagelog.rig.rp2040.mcp2515 import DELIVERED
from stagelog.rig.tape import tape_of

CAR_Hz = 1885  # frames a second on the car's bus
BUSY_Hz = 4000
OLD_BYTES = 16 << 30
SECTORS_PER_BLOCK = BLOCK_BYTES // SECTOR_BYTES


def full_bus(speed, duration_us=5_000_000, stall_ms=0, bitrate_bps=1_000_000, n_bytes=8):
    """A bus that is never idle, blocks going to an ordinary card."""
    tape = saturated_tape(bitrate_bps, duration_us, n_bytes)
    with Bench(speed, bitrate_bps=bitrate_bps) as bench:
        if stall_ms:
            bench.card.stall_next(stall_ms * 1000, bench.board.t_us + 1_500_000)
        run = bench.play(tape)
        bench.board.run_us(2_000_000)
        figures = {"frames_per_s": len(tape) * 1e6 / duration_us, **run, **bench.finish()}
        figures["wrong"] = n_wrong(bench.held_frames(), tape, bench.can.outcomes)
    return figures


def buses(speed, duration_us=3_000_000):
    """The car's rate, then full buses of both bit rates: what is lost of each, in percent, and
    what is stored of the last. `loop_worst_us` is the longest pass: a board that polls its
    controller loses frames in each that is longer than 32 of them.
    """
    figures = {}
    for name, bitrate_bps, rate_Hz in (
        ("car", 500_000, CAR_Hz),
        ("full_500", 500_000, None),
        ("full_1000", 1_000_000, None),
    ):
        tape = saturated_tape(bitrate_bps, duration_us, 8)
        if rate_Hz:
            tape = steady_tape(rate_Hz, duration_us)
        with Bench(speed, bitrate_bps=bitrate_bps) as bench:
            bench.play(tape)
            bench.board.run_us(1_000_000)
            found = bench.finish()
            wrong = n_wrong(bench.held_frames(), tape, bench.can.outcomes)
        figures[f"{name}_lost_pct"] = 100 * found["lost"] / found["seen"]
        figures[f"{name}_stored_Hz"] = found["held"] * 1e6 / duration_us
        figures[f"{name}_wrong"] = wrong
        figures[f"{name}_uncounted"] = found["uncounted"]
        figures["loop_worst_us"] = max(figures.get("loop_worst_us", 0), found["loop_worst_us"])
    return figures


def full_bus_stall(speed):
    """The same with one write that takes 500 ms."""
    return full_bus(speed, stall_ms=500)


def short_frames(speed):
    """500 kbit/s, frames without payload; if some are lost, the highest rate at which none is."""
    figures = full_bus(speed, 3_000_000, bitrate_bps=500_000, n_bytes=0)
    figures["safe_Hz"] = figures["frames_per_s"]
    if figures["lost"]:
        low, high = 0, figures["frames_per_s"]
        while high - low > 250:
            rate_Hz = (low + high) / 2
            with Bench(speed) as bench:
                bench.play(steady_tape(rate_Hz, 2_000_000, 0))
                bench.board.run_us(1_000_000)
                lost = bench.finish()["lost"]
            low, high = (low, rate_Hz) if lost else (rate_Hz, high)
        figures["safe_Hz"] = low
    return figures


def empty_frames(speed):
    """A full bus of the most frames a second that there can be."""
    return full_bus(speed, 3_000_000, n_bytes=0)


def two_buses(speed, duration_us=3_000_000, bitrate_bps=500_000):
    """Two buses that are never idle: each frame of both, and the records in the order of time."""
    tapes = [saturated_tape(bitrate_bps, duration_us, seed=bus) for bus in (0, 1)]
    tapes[1]["bus"] = 1
    with Bench(speed, bitrate_bps=bitrate_bps) as bench:
        run = bench.play(np.concatenate(tapes))
        bench.board.run_us(2_000_000)
        n_all = sum(map(len, tapes))
        figures = {"frames_per_s": n_all * 1e6 / duration_us, **run, **bench.finish()}
        held = bench.held_frames()
        figures["wrong"] = sum(
            n_wrong(held[held["bus"] == bus.bus], tape, bus.outcomes)
            for bus, tape in zip(bench.buses, tapes, strict=True)
        )
        figures["out_of_order"] = int((np.diff(held["t_us"].astype(np.int64)) < 0).sum())
        if not figures["lost"]:
            error_us = np.concatenate(
                [
                    np.abs(held["t_us"][held["bus"] == bus.bus] - np.array(bus.t_sof_us))
                    for bus in bench.buses
                ]
            )
            figures["stamp_p99_us"] = float(np.percentile(error_us, 99))
            figures["stamp_max_us"] = float(error_us.max())
    return figures


def bent_edges(speed, duration_us=1_000_000):
    """A full bus whose edges lie wrong in all four corners of what a controller must bear, and how
    far the stamps are from the true start of frame.
    """
    corners = [(ppm, asym_ns) for ppm in (-5000, 5000) for asym_ns in (-100, 100)]
    with Bench(speed, bitrate_bps=1_000_000) as bench:
        tapes = []
        for seed, (ppm, asym_ns) in enumerate(corners):
            bench.can.line = Line(1_000_000, ppm, asym_ns, 60)
            tapes.append(saturated_tape(1_000_000, duration_us, seed=seed))
            run = bench.play(tapes[-1])
        bench.board.run_us(1_000_000)
        figures = {**run, **bench.finish()}
        held = bench.held_frames()
        figures["wrong"] = n_wrong(held, np.concatenate(tapes), bench.can.outcomes)
        if not figures["lost"]:
            error_us = np.abs(held["t_us"] - np.array(bench.can.t_sof_us))
            figures["stamp_p99_us"] = float(np.percentile(error_us, 99))
            figures["stamp_max_us"] = float(error_us.max())
    return figures


def overload(speed, duration_us=3_000_000):
    """1 Mbit/s, frames without payload: how many are stored, and what each frame costs the
    processor, the wait for the wire included. If some are dropped, it has nothing left over, so
    the rest of its cycles is the cost of the blocks, the wait for the card included.
    """
    tape = saturated_tape(1_000_000, duration_us, 0)
    with Bench(speed, bitrate_bps=1_000_000) as bench:
        board = bench.board
        bench.can.play(tape)
        board.run_us(1_000_000)
        start_us, handler_us, n_written = board.t_us, board.handler_us, bench.card.n_written
        n_frames = len(bench.can.outcomes)
        while not bench.can.is_played_out:
            board.run_us(5_000)
        passed_us = board.t_us - start_us
        n_frames = len(bench.can.outcomes) - n_frames
        n_blocks = (bench.card.n_written - n_written) / SECTORS_PER_BLOCK
        handler_us = board.handler_us - handler_us
        cycles_per_us = board.chip.clk_sys / 1e6 / board.chip.slow
        board.run_us(2_000_000)
        figures = {
            "offered_Hz": n_frames * 1e6 / passed_us,
            "stored_Hz": n_blocks * RECORDS_PER_BLOCK * 1e6 / passed_us,
            "handler_pct": 100 * handler_us / passed_us,
            "cycles_per_frame": handler_us * cycles_per_us / n_frames,
            **bench.finish(),
        }
        if figures["dropped"]:
            figures["cycles_per_block"] = (passed_us - handler_us) * cycles_per_us / n_blocks
        figures["wrong"] = n_wrong(bench.held_frames(), tape, bench.can.outcomes)
    return figures


def events(speed, duration_s=12):
    """The virtual car on a stage, its signal table on the board: blocks that the detectors had to
    skip, and whether that costs frames.
    """
    tape = tape_of(drive("stage", duration_s=duration_s).frames)
    with Bench(speed) as bench:
        bench.give_table(_table())
        run = bench.play(tape)
        bench.board.run_us(1_000_000)
        figures = {"frames_per_s": len(tape) / duration_s, **run, **bench.finish()}
        figures["wrong"] = n_wrong(bench.held_frames(), tape, bench.can.outcomes)
        found = bench.held_events()
        figures["events"] = len(found)
        figures["blocks_skipped"] = sum(event.value for event in found if event.code == SKIPPED)
    return figures


def full_bus_stall_events(speed, duration_us=3_000_000):
    """A bus of the car's frames that is never idle, one write of 500 ms, and the detectors."""
    frames = drive("corpus_hops", seed=4, duration_s=4).frames
    tape = saturated_tape(1_000_000, duration_us, 8)
    order = np.arange(len(tape)) % len(frames)
    tape["can_id"] = frames["can_id"][order]
    tape["data"][:, :8] = frames["data"][order, :8]
    with Bench(speed, bitrate_bps=1_000_000) as bench:
        bench.give_table(_table())
        bench.card.stall_next(500_000, bench.board.t_us + 1_500_000)
        run = bench.play(tape)
        bench.board.run_us(2_000_000)
        figures = {"frames_per_s": len(tape) * 1e6 / duration_us, **run, **bench.finish()}
        figures["wrong"] = n_wrong(bench.held_frames(), tape, bench.can.outcomes)
        found = bench.held_events()
        figures["events"] = len(found)
        figures["blocks_skipped"] = sum(event.value for event in found if event.code == SKIPPED)
    return figures


def heap(speed):
    """What is free of the heap after the start, without and with a signal table, in one piece and
    in all; and what the estimate of the range costs: heap, time and garbage.
    """
    figures = {}
    for name, table in (("bare", None), ("events", _table())):
        found = free_heap(speed, table)
        for figure, value in found._asdict().items():
            figures[f"{name}_{figure}"] = value
    for figure, value in range_cost(SPEEDS[speed])._asdict().items():
        figures[f"range_{figure}"] = value
    return figures


def _table():
    profile = load_profile()
    return compile_table(profile, dbc_file(profile)).data


COLLECTING = """
import gc
import machine
import time
import own_start

def collect(timer):
    gc.collect()
    period = 5 if time.ticks_ms() > 6000 else 30  # let it start first
    timer.init(mode=machine.Timer.ONE_SHOT, period=period, callback=collect)

def run(*args):
    collect(machine.Timer(-1))
    own_start.run(*args)
"""


def latency(speed):
    """Interrupt to released buffer at 4,000 frames/s, 5 ms between garbage collections."""
    with Bench(speed, files=logger_files(start=COLLECTING)) as bench:
        bench.board.run_to_us(6_500_000)
        bench.play(steady_tape(BUSY_Hz, 1_500_000))
        latency_us = bench.can.latency_us
        return {
            "median_us": float(np.median(latency_us)),
            "p99_us": float(np.percentile(latency_us, 99)),
            "max_us": float(latency_us.max()),
            "delivered_pct": 100 * bench.can.count(DELIVERED) / len(bench.can.outcomes),
        }


def main_loop(speed):
    """Share of the processor that interrupts leave, at the car's rate and at 4,000 frames/s."""
    figures = {}
    for rate_Hz in (CAR_Hz, BUSY_Hz):
        with Bench(speed) as bench:
            run = bench.play(steady_tape(rate_Hz, 3_000_000))
            figures[f"left_{rate_Hz}_pct"] = 100 - run["handler_pct"]
            end = bench.finish()
            figures["lost"] = figures.get("lost", 0) + end["lost"]
            figures["heap_free_bytes"] = end["heap_free_bytes"]
            figures["loop_worst_us"] = max(figures.get("loop_worst_us", 0), end["loop_worst_us"])
    return figures


def boot(speed):
    """Power-on to the first stored frame at the car's rate, 16 GB of old sessions on the card;
    then the same with the car's signal table on the board.
    """
    with tempfile.TemporaryDirectory(prefix="stagelog-bench-") as folder:
        path = Path(folder) / "card.img"
        with Bench(speed, card_image=old_card(path, OLD_BYTES)) as bench:
            figures = _start(bench)
        path.unlink()
        with Bench(speed, card_image=old_card(path, OLD_BYTES)) as bench:
            bench.give_table(_table())
            figures["events_first_frame_ms"] = _start(bench)["first_frame_ms"]
        return {**figures, "old_GB": OLD_BYTES / 1e9}


def _start(bench):
    """Let the logger start on a bus of the car's rate; return when what happened first."""
    board, can, card = bench.board, bench.can, bench.card
    board.power_off()
    board.run_us(1_000_000)
    start_us, n_read, n_written = board.t_us, card.n_read, card.n_written
    can.play(steady_tape(CAR_Hz, 12_000_000))
    board.power_on()
    board.run_until(lambda: DELIVERED in can.outcomes, 12_000_000, what="a frame")
    first_us = can.t_offered_us[can.outcomes.index(DELIVERED)]
    board.run_until(lambda: card.n_written > n_written, 12_000_000, what="a block")
    return {
        "first_frame_ms": (first_us - start_us) / 1000,
        "first_write_ms": (board.t_us - start_us) / 1000,
        "sectors_read": card.n_read - n_read,
    }


def download(speed, duration_us=20_000_000):
    """One session over USB, beside the raw rate of the same port and beside mpremote cp."""
    with Bench(speed) as bench:
        bench.play(steady_tape(BUSY_Hz, duration_us))
        bench.link.control(CONTROL_STOP, bench.link.hello().boot)
        session = bench.link.list_sessions()[0]
        start_us = bench.board.t_us
        n_bytes = sum(len(block) for _, block in bench.link.read_blocks(positions_of(session)))
        took_us = bench.board.t_us - start_us
        n_retries = bench.link.n_retries
    raw = raw_port_rate(speed)
    peer = mpremote_rate(speed)
    rate = n_bytes / took_us * 1e3
    return {
        "rate_kBps": rate,
        "raw_kBps": raw,
        "of_raw_pct": 100 * rate / raw,
        "mpremote_kBps": peer,
        "times_mpremote": rate / peer,
        "retries": n_retries,
        "MB": n_bytes / 1e6,
    }


def public_style(speed):
    """What drivers in the public style lose: machine.SPI, a queue of bytes, no card."""
    figures = {}
    for name, tape in (
        (f"{CAR_Hz}_Hz", steady_tape(CAR_Hz, 1_000_000)),
        (f"{BUSY_Hz}_Hz", steady_tape(BUSY_Hz, 1_000_000)),
        ("full_bus", saturated_tape(1_000_000, 1_000_000)),
    ):
        for style in ("polled", "interrupt"):
            figures[f"{style}_{name}_lost_pct"] = public_loss_pct(speed, style, tape)
    return figures
