"""CAN FD on a logger: a mixed bus is recorded frame by frame as its witness saw it, across full
blocks, slow cards and power cuts; loggers that know no CAN FD leave the bus alone and say so.

The bus is simulated bit by bit; the witness is a listener on it that understands CAN FD.
"""

import json

import numpy as np
import pytest

from slog.messages import CONFIG_SETTINGS, CONTROL_STOP, STATE_RECORDING
from stagelog.blocks import read_log
from stagelog.errors import UsageError
from stagelog.ledger import account
from stagelog.model import BRS, ESI, EXT, FD, FD_LENGTHS, RTR
from stagelog.rig import tape as tapes
from stagelog.rig.bus import Bus
from stagelog.rig.bus.controller import Frame
from stagelog.rig.bus.fd import FdFrame
from stagelog.rig.rp2040.target import Rp2040Target
from stagelog.rig.runtimes import find_runtime

DATA_BPS = 2_000_000
MS = 1_000_000
LENGTHS = FD_LENGTHS.tolist()


def mixed_tape(n, seed=1, period_us=600):
    """What a witness sees of `n` frames: all dlc codes, BRS, ESI, classic and remote ones."""
    rng = np.random.default_rng(seed)
    sent = []
    for i in range(n):
        is_long = bool(rng.integers(2))
        can_id = int(rng.integers(1 << 29 if is_long else 1 << 11))
        due_ns = i * period_us * 1000
        kind = rng.integers(6)
        if kind == 0:
            sent.append((due_ns, Frame(can_id, is_long * EXT | RTR, i % 9, b"")))
        elif kind == 1:
            sent.append((due_ns, Frame(can_id, is_long * EXT, i % 9, rng.bytes(i % 9))))
        else:
            data = rng.bytes(LENGTHS[i % 16])
            brs, esi = (bool(bit) for bit in rng.integers(0, 2, 2))
            sent.append((due_ns, FdFrame(can_id, data, brs, esi, is_long)))
    bus = Bus(500_000)
    bus.add_fd_node("ecu", sent, DATA_BPS)
    bus.add_fd_node("peer", (), DATA_BPS)
    bus.add_fd_node("witness", (), DATA_BPS, listen_only=True)
    tape = bus.run(n * period_us * 1000 + 50 * MS).tape("witness")
    assert len(tape) == n and (tape["kind"] == tapes.FRAME).all()
    return tape


def rows_of(table):
    n_bytes = tapes.n_bytes_on(table) if "kind" in table.dtype.names else table["n_bytes"]
    flags = table["flags"] & (EXT | RTR | FD | BRS | ESI)
    return [
        (int(row["can_id"]), int(flag), int(row["dlc"]), bytes(row["data"][:n]))
        for row, flag, n in zip(table, flags, n_bytes, strict=True)
    ]


def stopped_session(target):
    target.run_for(300_000)
    target.link.control(CONTROL_STOP, target.link.hello().boot)
    target.link.status()
    target.power_cut()
    log = read_log(target.card_path)
    assert not log.damaged
    return log.sessions[-1]


@pytest.mark.needs("can_fd", "power")
@pytest.mark.target_args(data_bitrate_bps=DATA_BPS)
def test_a_mixed_bus_is_recorded_frame_by_frame(target):
    tape = mixed_tape(400)
    target.play(tape)
    session = stopped_session(target)
    assert rows_of(session.read_frames()) == rows_of(tape)
    assert (session.headers["version"] == 2).all()
    assert account(session, []).closes
    distances_us = np.diff(session.read_frames()["t_us"]) - np.diff(tape["t_us"].astype(np.int64))
    assert np.abs(distances_us).max() <= 2  # stamped by the chip, to the microsecond


@pytest.mark.needs("can_fd", "power", "storage")
@pytest.mark.target_args(data_bitrate_bps=DATA_BPS)
def test_a_card_that_stalls_costs_no_frame(target):
    tape = mixed_tape(500, seed=2)
    target.card_stall(100_000, 200_000)
    target.play(tape)
    assert rows_of(stopped_session(target).read_frames()) == rows_of(tape)


@pytest.mark.needs("can_fd", "power")
@pytest.mark.target_args(data_bitrate_bps=DATA_BPS)
@pytest.mark.parametrize("seed", [3, 4])
def test_after_a_power_cut_the_card_holds_a_beginning_and_the_logger_goes_on(target, seed):
    first, second = mixed_tape(400, seed), mixed_tape(100, seed + 10)
    target.play(first)
    target.power_cut()
    target.power_on()
    target.link.hello()
    target.play(second)
    session = stopped_session(target)
    assert rows_of(session.read_frames()) == rows_of(second)
    before = read_log(target.card_path).sessions[-2]
    held = rows_of(before.read_frames())
    assert held == rows_of(first)[: len(held)] and len(held) > 100
    assert int(session.headers["seq"][0]) > int(before.headers["seq"][-1])


def test_settings_with_can_fd_are_refused_by_a_logger_without(target):
    """Clearly, and its settings stay; it goes on recording."""
    link = target.link
    if "_mcp2518" in link.hello().board_name:
        pytest.skip("this board records CAN FD")
    before = link.get_config(CONFIG_SETTINGS)
    wanted = {"buses": [{"bitrate_bps": 500000, "data_bitrate_bps": DATA_BPS}]}
    with pytest.raises(UsageError, match=f"{link.hello().board_name} records no CAN FD"):
        link.replace_config(CONFIG_SETTINGS, json.dumps(wanted).encode())
    assert link.get_config(CONFIG_SETTINGS) == before
    assert link.status().state == STATE_RECORDING


@pytest.mark.target_args(data_bitrate_bps=DATA_BPS)
@pytest.mark.needs("can_fd")
def test_a_logger_with_can_fd_takes_such_settings(target):
    wanted = {"buses": [{"bitrate_bps": 500000, "data_bitrate_bps": 4_000_000}]}
    target.link.replace_config(CONFIG_SETTINGS, json.dumps(wanted).encode())
    assert json.loads(target.link.get_config(CONFIG_SETTINGS)) == wanted


@pytest.mark.needs("power", "errors")
@pytest.mark.moves("fault")
def test_a_logger_without_can_fd_leaves_the_bus_alone_and_says_so(target):
    """It is set up for classic CAN: its classic frames are all there, no frame is false, and the
    bus records count the errors that it saw. The fixture asserts that it never drove the bus.
    """
    check_left_alone(target, mixed_tape(300, seed=5, period_us=900))


# An MCP2518FD is one of them as long as its settings name no `data_bitrate_bps`.
@pytest.mark.parametrize("board", ["pico_mcp2515", "pico_mcp2518fd", "pico_pio", "pico_pio_dual"])
def test_each_board_of_a_pico_leaves_a_bus_of_can_fd_alone_and_says_so(tmp_path, board):
    """The model of each receiver counts the bits in which its pins pull the bus dominant."""
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    target = Rp2040Target(tmp_path, board=board, card_blocks=512)
    try:
        check_left_alone(target, mixed_tape(120, seed=6, period_us=900))
        assert not target.drove_dominant
    finally:
        target.close()


def check_left_alone(target, tape):
    """The classic frames of a mixed bus are all on the card and no other, and the bus records
    count an error for frames of CAN FD.
    """
    target.play(tape)
    session = stopped_session(target)
    classic = tape[tape["flags"] & FD == 0]
    assert rows_of(session.read_frames()) == rows_of(classic)
    n_errors = sum(
        meta.values["n_errors"] for meta in session.decoded_meta() if meta.name == "bus"
    )
    assert n_errors >= 1
    assert (session.headers["version"] == 1).all()
