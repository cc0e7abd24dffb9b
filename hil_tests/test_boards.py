"""Each board file records: those of a Pico with on-car events, the signal table and the detectors
in memory from the first start on, beside a ring that is long enough; those whose main loop polls
its controller on models, that of an ESP32-C3 on its instruction set, too.
"""

import numpy as np
import pytest

from boards.files import Settings
from slog import events as ev
from slog.messages import CONFIG_SIGNALS, CONTROL_STOP, STATE_RECORDING
from stagelog.blocks import read_log
from stagelog.car import drive
from stagelog.events import compile_table, load_events
from stagelog.profile import dbc_file, load_profile
from stagelog.rig.play import same_frames, saturated_tape
from stagelog.rig.rp2040.firmware import logger_files
from stagelog.rig.rp2040.target import Rp2040Target
from stagelog.rig.runtimes import find_qemu, find_runtime
from stagelog.rig.rv32.target import Rv32Target
from stagelog.rig.sim.chip import POLLED_BOARDS
from stagelog.rig.tape import tape_of
from stagelog.rig.target import SimTarget

# A card may take 500 ms for a write (SD specification, 4.6.2.2). Then a full bus at 500 kbit/s
# with 8 bytes, a frame of 111 bits each 0.222 ms, fills 500 / 0.222 / 252 = 8.9 blocks, and one
# more is being filled; at 1 Mbit/s twice as many. Without a controller half of the ring of bits
# waits as well: 131 ms at 500 kbit/s, and 65 ms of each of two buses: 6.6 and 7.8 blocks, and one.
LEAST_BLOCKS = {"pico_mcp2515": 18, "pico_mcp2518fd": 10, "pico_pio": 8, "pico_pio_dual": 9}


@pytest.fixture(scope="module")
def table():
    profile = load_profile()
    return compile_table(profile, dbc_file(profile)).data


def with_table(board, table, folder):
    """Return the flash of a board whose settings have a signal table."""
    Settings(str(folder)).save(CONFIG_SIGNALS, table)
    files = {f"settings/{path.name}": path.read_bytes() for path in folder.iterdir()}
    return {**logger_files(board), **files}


@pytest.mark.parametrize("board", LEAST_BLOCKS)
def test_a_board_with_a_signal_table_records_from_its_first_start_on(tmp_path, table, board):
    if find_runtime("pico-1.25") is None:
        pytest.skip("no MicroPython for the Pico: run tools/runtimes pico-1.25")
    files = with_table(board, table, tmp_path / "settings")
    target = Rp2040Target(tmp_path, board=board, files=files, card_blocks=512)
    try:
        link = target.link
        status = link.status()
        assert status.state == STATE_RECORDING
        assert abs(target.now_us - status.t_us) < 100_000, "the board has started more than once"
        assert status.ring_blocks >= LEAST_BLOCKS[board]
        tape = tape_of(drive("corpus_hops", seed=4, duration_s=1).frames)
        target.play(tape)
        target.run_for(300_000)
        assert link.get_config(CONFIG_SIGNALS) == table
        link.control(CONTROL_STOP, link.hello().boot)
        link.status()
        target.power_cut()
        session = read_log(target.card_path).sessions[-1]
        if board == "pico_mcp2518fd":  # its FIFO overflows beside the detectors, WIRING.md
            assert sum(map(len, session.iter_frames())) > 0.9 * len(tape)
        else:
            assert same_frames(tape, np.concatenate(list(session.iter_frames())))
        first = load_events(session)[0]
        assert (first.code, first.state) == (ev.TABLE, ev.ON)
    finally:
        target.close()


def rv32_target(folder, board):
    image, qemu = find_runtime("rv32"), find_qemu()
    if image is None or qemu is None:
        pytest.skip("no MicroPython for the RISC-V machine: run tools/runtimes rv32")
    return Rv32Target(folder, image=image, qemu=qemu, board=board)


@pytest.mark.parametrize(
    ("board", "make"),
    [(board, SimTarget) for board in POLLED_BOARDS] + [("esp32c3_mcp2518", rv32_target)],
)
def test_a_polled_board_file_stores_a_full_bus(tmp_path, board, make):
    """Half a second of 500 kbit/s, never idle: what fetching costs is not in these models."""
    target = make(tmp_path, board=board)
    try:
        link = target.link
        assert link.hello().board_name == board
        tape = saturated_tape(500_000, 500_000)
        target.play(tape)
        target.run_for(300_000)
        link.control(CONTROL_STOP, link.hello().boot)
        status = link.status()
        assert status.doubts0 == status.dropped0 == status.at_least0 == 0
        target.power_cut()
        session = read_log(target.card_path).sessions[-1]
        assert same_frames(tape, np.concatenate(list(session.iter_frames())))
    finally:
        target.close()
