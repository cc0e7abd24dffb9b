"""Every stock MicroPython that can be had here runs the firmware: it boots, records, stops, and
what it recorded is fetched.

The other tests of the target rp2040 run on one of them: --image.
"""

import pytest

from slog.messages import CONTROL_STOP
from stagelog.blocks import read_log
from stagelog.link import positions_of
from stagelog.rig.play import same_frames, saturated_tape
from stagelog.rig.runtimes import find_runtime

BITRATE_BPS = 500_000


@pytest.mark.parametrize("name", ["pico-1.26", "pico-1.29"])
def test_image_records(name, tmp_path):
    image = find_runtime(name)
    if image is None:
        pytest.skip(f"no {name}: tools/runtimes {name}")
    from stagelog.rig.rp2040.target import Rp2040Target

    rig = Rp2040Target(tmp_path, image=image, bitrate_bps=BITRATE_BPS)
    tape = saturated_tape(BITRATE_BPS, 200_000)
    rig.play(tape)
    link = rig.link
    link.control(CONTROL_STOP, link.hello().boot)
    path = tmp_path / "session.slog"
    positions = positions_of(link.list_sessions()[0])
    path.write_bytes(b"".join(block for _, block in link.read_blocks(positions)))
    log = read_log(path)
    rig.close()
    assert not log.damaged
    assert same_frames(tape, next(log.sessions[0].iter_frames()))
