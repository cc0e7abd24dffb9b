"""ASC written many lines at a time is what python-can's own writer makes of the same frames."""

import io

import can
import numpy as np
import pytest

from stagelog.can_messages import messages_of
from stagelog.export.asc import asc_text
from stagelog.model import BRS, ERR, ESI, EXT, FD, FD_LENGTHS, FRAME, FRAME_FD, RTR

BUS = {k: k for k in range(256)}


def frames_of(seed, kinds, dtype=FRAME, n=300):
    """Random frames of some kinds, whole microseconds that a float of seconds holds."""
    random = np.random.default_rng(seed)
    frames = np.zeros(n, dtype)
    frames["t_us"] = np.sort(random.integers(0, 30_000_000, n))
    frames["flags"] = random.choice(kinds, n)
    is_ext, is_fd = (frames["flags"] & EXT) > 0, (frames["flags"] & FD) > 0
    frames["can_id"] = random.integers(0, np.where(is_ext, 1 << 29, 1 << 11))
    frames["bus"] = random.integers(0, 12, n)
    frames["dlc"] = random.integers(0, np.where(is_fd, 16, 9))
    frames["n_bytes"] = np.where(frames["flags"] & RTR, 0, FD_LENGTHS[frames["dlc"]])
    data = random.integers(0, 256, frames["data"].shape)
    held = np.arange(data.shape[1]) < frames["n_bytes"][:, None]
    frames["data"] = np.where(held, data, 0)
    return frames


def by_python_can(frames):
    file = io.StringIO()
    file.close = lambda: None
    writer = can.ASCWriter(file)
    writer.header_written = True
    file.seek(0)
    file.truncate()
    for message in messages_of(frames, channel_of=BUS):
        writer.on_message_received(message)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kinds", "dtype"),
    [
        ([0], FRAME),
        ([0, EXT, RTR, EXT | RTR, ERR], FRAME),
        ([0, EXT, FD, FD | BRS, FD | EXT | ESI, RTR], FRAME_FD),
        ([0, EXT], FRAME_FD),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_every_line_is_that_of_python_can(seed, kinds, dtype):
    frames = frames_of(seed, kinds, dtype)
    assert asc_text(frames, 0).decode() == by_python_can(frames)


def test_times_keep_their_microseconds_after_years():
    """2^53 us as a float of seconds steps by 2 us: here whole microseconds stay exact."""
    frames = frames_of(1, [0], n=2)
    frames["t_us"] = [1_700_000_000_000_001, 1_700_000_000_000_002 + 12_000_000]
    lines = asc_text(frames, 1_700_000_000_000_000).decode().splitlines()
    assert [line.split()[0] for line in lines] == ["0.000001", "12.000002"]


def test_no_frame_gives_no_line():
    assert asc_text(np.zeros(0, FRAME), 0) == b""
