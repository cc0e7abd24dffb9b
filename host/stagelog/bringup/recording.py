"""Rows of the recording: nothing lost or twice, stamps, writes of the card, supply, USB, clock.

The board runs the shipped application on frames that its controller sends to itself; but for the
card's rows garbage is collected ten times a second, and the host reads the card all the time.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from stagelog.bringup.controller import FRAME_BITS, IFS_BITS
from stagelog.bringup.recorder import BITRATE_BPS, CAN_ID, PERIOD_us, Run
from stagelog.bringup.sheet import Row, at_least, at_most, not_measured
from stagelog.model import FrameTable

_FRAME_us = (FRAME_BITS[8] - IFS_BITS) * 1_000_000 // BITRATE_BPS
_MOST_STAMP_us = 180  # two buffers of the shortest frames last 188 us at 500 kbit/s
_MOST_WRITE_ms = 500.0  # SD Physical Layer 6.00, 4.6.2.2, of an SDXC card
_LEAST_WRITE_kBps = 140.0  # a full bus of 1 Mbit/s: 8,457 frames/s of 16 bytes
_LEAST_DOWNLOAD_kBps = 200.0
_LEAST_UPLOAD_kBps = 4.0
_MOST_DRIFT_ppm = 100.0
_MOST_UNKNOWN_ppm = 300.0
_NO_CRYSTAL_ppm = 10_000.0
_LEAST_SUPPLY_mV = 4000
_NO_DIVIDER_mV = 1000


def check_numbers(frames: FrameTable, n_sent: int) -> tuple[int, int, int, int]:
    """Return how many of the frames 0 to n_sent - 1 are lost, come again, stand behind a higher
    number, and have wrong bytes.
    """
    data = frames["data"]
    is_whole = (frames["can_id"] == CAN_ID) & (data[:, 4:] == 255 - data[:, :4]).all(axis=1)
    numbers = np.ascontiguousarray(data[is_whole, :4]).view("<u4")[:, 0].astype(np.int64)
    kinds = np.unique(numbers[numbers < n_sent])
    n_behind = int((numbers < np.maximum.accumulate(numbers)).sum()) if len(numbers) else 0
    return (
        n_sent - len(kinds),
        len(numbers) - len(np.unique(numbers)),
        n_behind,
        int((~is_whole).sum()) + int((numbers >= n_sent).sum()),
    )


def share_of(counts: Sequence[tuple[int, int]], share: float) -> int:
    """Return the value that `share` of all (value, how often) do not exceed; 0 of none."""
    wanted = share * sum(n for _, n in counts)
    done = 0
    for value, n in sorted(counts):
        done += n
        if done >= wanted:
            return value
    return 0


def capture_rows(run: Run) -> Iterator[Row]:
    """Judge the frames of a run with numbers."""
    lost, twice, behind, wrong = check_numbers(run.frames, run.sent)
    unit = f"of {run.sent:,}"
    sender = "a timer's interrupt" if run.is_hard else "a timer between two bytecodes"
    note = f"sent by {sender}, one in {PERIOD_us} us"
    action = "compare the rows of SPI and interrupts; try another card"
    yield at_most("capture.lost", "loopback frames lost", lost, 0, unit, action, note)
    yield at_most("capture.twice", "stored twice", twice, 0, unit, action)
    yield at_most("capture.order", "stored behind a later one", behind, 0, unit, action)
    yield at_most("capture.wrong", "stored with wrong bytes", wrong, 0, unit, action)
    status = run.status
    yield at_most(
        "capture.ring",
        "blocks that waited in memory, at most",
        status.ring_worst,
        status.ring_blocks - 1,
        "blocks",
        "another card: it stalls for too long",
    )
    n = status.write_errors + status.verify_errors + status.doubts0
    title = "writes refused, blocks read back wrong, doubtful answers"
    yield at_most("capture.faults", title, n, 0, "", "'stagelog status' says which; shorter wires")


def stamp_rows(run: Run) -> Iterator[Row]:
    """Judge how long after their end the frames of a run without numbers were stamped."""
    late = [(max(0, us - _FRAME_us), n) for us, n in run.stamps]
    n = sum(count for _, count in late)
    note = "up to 2 us of it are the wait for the next bit"
    for key, title, share, most in (
        ("p50", "half of all", 0.5, _MOST_STAMP_us),
        ("p99", "99 of 100", 0.99, _MOST_STAMP_us),
        ("worst", "the latest", 1.0, _MOST_STAMP_us),
    ):
        yield at_most(
            f"stamp.{key}",
            f"end of a frame to its stamp under load, {title} of {n:,}",
            share_of(late, share),
            most,
            "us",
            "something holds interrupts off: another program on the board?",
            note,
        )


def card_rows(run: Run) -> Iterator[Row]:
    """Judge the writes of a run with little else to do."""
    n = sum(count for _, count in run.writes)
    if not n:
        yield not_measured("card.write_p50", "write of a block", "nothing was written")
        return
    action = "another card: a known maker, U3 or V30"
    shares = (("p50", "half", 0.5), ("p99", "99 of 100", 0.99), ("worst", "all", 1.0))
    for key, title, share in shares:
        yield at_most(
            f"card.write_{key}",
            f"write of a block, {title} of {n:,} within",
            share_of(run.writes, share) / 1000,
            _MOST_WRITE_ms,
            "ms",
            action,
        )
    mean_ms = sum(us * count for us, count in run.writes) / n / 1000
    yield at_least(
        "card.rate",
        "card while it is written",
        round(4.096 / max(mean_ms, 0.001) * 1000, 0),
        _LEAST_WRITE_kBps,
        "kB/s",
        action,
    )


def usb_rows(run: Run) -> Iterator[Row]:
    """Judge the cable."""
    action = "another cable, no hub; close other programs on the laptop"
    yield at_least(
        "usb.down",
        "USB from the board: a session fetched",
        round(run.download_kBps),
        _LEAST_DOWNLOAD_kBps,
        "kB/s",
        action,
        "by the board's clock",
    )
    yield at_least(
        "usb.up",
        "USB to the board",
        round(run.upload_kBps),
        _LEAST_UPLOAD_kBps,
        "kB/s",
        action,
        "by the board's clock",
    )


def supply_rows(run: Run, is_wired: bool) -> Iterator[Row]:
    """Judge the supply. `is_wired`: whether its "power good" is connected."""
    yield _least_supply(run)
    key, title = "supply.fails", '"power good" fell while the card was written'
    if not is_wired:
        yield not_measured(key, title, "its wire is open, see the wires")
        return
    action = "measure the supply's input and output while the card is written; a supply of 1 A"
    yield at_most(key, title, run.supply_failed, 0, "times", action)


def _least_supply(run: Run) -> Row:
    key, title = "supply.least", "VSYS while the card is written, at least"
    if run.supply_mV < _NO_DIVIDER_mV:
        why = f"GPIO 29 reads {run.supply_mV} mV: this board has no divider of VSYS there"
        return not_measured(key, title, why)
    return at_least(
        key,
        title,
        run.supply_mV,
        _LEAST_SUPPLY_mV,
        "mV",
        "thicker or shorter supply wires, 22 uF at the card, a supply of 1 A",
        "by the Pico's ADC, within 3 %",
    )


def drift_rows(run: Run) -> Iterator[Row]:
    """Judge the board's clock by the host's."""
    key, title = "clock.ppm", "the board's clock against this computer's"
    first, last = run.clocks
    host_s = last.host_s - first.host_s
    board_s = (last.board_us - first.board_us) / 1e6
    within_ppm = (first.within_s + last.within_s) / host_s * 1e6
    ppm = (board_s / host_s - 1) * 1e6
    if abs(ppm) > _NO_CRYSTAL_ppm:
        why = f"the board's time passes at {board_s / host_s:.3g} of this computer's: emulated?"
        yield not_measured(key, title, why)
    elif within_ppm > _MOST_UNKNOWN_ppm:
        yield not_measured(
            key, title, f"{host_s:.0f} s show it within {within_ppm:.0f} ppm only: more frames"
        )
    else:
        yield Row(
            key,
            title,
            round(ppm, 1),
            "ppm",
            f"{_MOST_DRIFT_ppm:g} at most, either way",
            "pass" if abs(ppm) - within_ppm <= _MOST_DRIFT_ppm else "fail",
            f"within {within_ppm:.1f} ppm, over {host_s:.0f} s",
            "is this computer's own clock set by NTP just now? Else the Pico's crystal",
        )
