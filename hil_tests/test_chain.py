"""A recorded drive goes onto a bus, through the firmware, over a link to the host, and comes out
as it went in.
"""

import numpy as np
import pytest
from recorded_drives import DRIVES

from stagelog.blocks import read_log
from stagelog.card import prepare_raw
from stagelog.link import Link, positions_of
from stagelog.rig.logger import LoggerProcess
from stagelog.rig.play import play_on_bus
from stagelog.rig.runtimes import find_runtime
from stagelog.rig.tape import write_tape

RUNTIMES = ("cpython", "unix64", "unix32")
LINGER_US = 1_000_000


@pytest.fixture(scope="module", params=DRIVES)
def recording(request):
    """The recorded frames, and the tape of a logger that listens while they are sent again."""
    from stagelog.importers.candump import read_candump

    frames = read_candump(request.param.log)[0]
    assert len(frames) == request.param.n_frames
    tape, worst_us = play_on_bus(frames)
    return frames, tape, worst_us


def log_under(runtime, tape, folder):
    """Log the tape with the firmware under `runtime`; return the session's file."""
    binary = None if runtime == "cpython" else find_runtime(runtime)
    if runtime != "cpython" and binary is None:
        pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
    card = folder / f"{runtime}.img"
    prepare_raw(card, 1024)
    write_tape(folder / "bus.tape", tape)
    args = {"card": str(card), "tape": str(folder / "bus.tape"), "linger_us": LINGER_US}
    args["stop"] = True
    logger = LoggerProcess(args, binary)
    try:
        logger.wait_until(int(tape["t_us"][-1]) + 2 * LINGER_US)
        link = Link(logger)
        session = link.list_sessions()[0]
        path = folder / f"{runtime}.slog"
        path.write_bytes(b"".join(block for _, block in link.read_blocks(positions_of(session))))
        return path
    finally:
        logger.close()


@pytest.fixture(scope="module")
def sessions(recording, tmp_path_factory):
    """Session files by runtime, made when asked for."""
    made = {}

    def get(runtime):
        if runtime not in made:
            folder = tmp_path_factory.mktemp(runtime)
            made[runtime] = log_under(runtime, recording[1], folder)
        return made[runtime]

    return get


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_frame_of_a_recorded_drive_comes_back(runtime, recording, sessions):
    sent, tape, worst_us = recording
    log = read_log(sessions(runtime))
    assert not log.damaged
    got = np.concatenate(list(log.sessions[0].iter_frames()))
    assert len(got) == len(sent)
    for name in ("can_id", "flags", "dlc", "n_bytes", "data"):
        assert np.array_equal(got[name], sent[name]), name
    assert np.array_equal(got["t_us"], tape["t_us"].astype(np.int64))
    shift_us = got["t_us"] - got["t_us"][0] - (sent["t_us"] - sent["t_us"][0])
    print(f"largest shift {shift_us.max()} us, by the bus {worst_us:.0f} us")
    assert abs(shift_us.max() - worst_us) <= 1


@pytest.mark.parametrize("runtime", RUNTIMES[1:])
def test_blocks_are_the_same_under_every_interpreter(runtime, sessions):
    assert sessions(runtime).read_bytes() == sessions("cpython").read_bytes()
