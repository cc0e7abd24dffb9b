"""Listen to a logger while it records: the frames that it pushes, as frame tables.

Owns the LIVE message of the service protocol: asking for it, renewing it in time, records to
columns. Recording continues whatever happens here; blocks that the cable was too slow for are
counted in `n_skipped_blocks`, never waited for. A frame of CAN FD whose records come in two pushes
is whole with the second. Fails with DeviceError and ContractError, as Link.
"""

import contextlib
import math
import time
from collections.abc import Callable

import numpy as np

from slog import messages as m
from slog.layout import RECORD_BYTES, RECORDS_PER_BLOCK
from stagelog.blocks.fd_records import HEAD, MAX_MORE, MORE, N_MORE, VERSION_FD
from stagelog.blocks.layouts import HEADER
from stagelog.blocks.records import Words, dlcs_of, put_frames, put_mixed
from stagelog.errors import StagelogError
from stagelog.link import Link
from stagelog.model import FRAME, FRAME_FD, FrameTable
from stagelog.ports import open_link, open_stream, port_of

RENEW_S = 4  # the logger forgets a listener after 10 s
_SPAN_US = np.array([1 << 26])  # a block is not open for longer than this


class LiveLink(Link):
    """A Link that also listens.

    n_skipped_blocks   blocks of the logger's memory that were overwritten before they were pushed
    unix_offset_us     added to t_us it gives the laptop's wall clock, as it was at `start`
    """

    n_skipped_blocks = 0
    unix_offset_us = 0
    _renew_at = math.inf  # not listening
    _begun = (b"", -1, -1)  # records of a frame that is not whole, time of their block

    def start(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Ask for the frames from now on."""
        before_ns = clock_ns()
        t_us = self.status().t_us
        self.unix_offset_us = (before_ns + clock_ns()) // 2000 - t_us
        self.ask(m.LIVE, {"on": 1})
        self._renew_at = self.clock() + RENEW_S

    def stop(self) -> None:
        """Stop listening."""
        self._renew_at = math.inf
        self.ask(m.LIVE, {"on": 0})

    def close(self) -> None:
        """Stop listening, if the logger is still there, and close the stream."""
        if self._renew_at < math.inf:
            with contextlib.suppress(StagelogError):
                self.stop()
        super().close()

    def read_frames(self, timeout_s: float) -> FrameTable:
        """Return the frames that came after `start`, at least one push of them; empty at the
        timeout. FRAME, or FRAME_FD if one is of CAN FD.

        t_us counts from the power-on of the logger.
        """
        deadline = self.clock() + timeout_s
        while True:
            if self.clock() >= self._renew_at:
                self.send(m.LIVE, m.build(m.LIVE_REQUEST, {"on": 1}))
                self._renew_at = self.clock() + RENEW_S
            got = self.receive(min(deadline, self._renew_at))
            if got is not None and got[0] == m.LIVE | m.REPLY:
                frames = self._frames_of(got[2])
                if len(frames):
                    return frames
            if got is None and self.clock() >= deadline:
                return np.empty(0, FRAME)

    def _frames_of(self, payload: memoryview) -> FrameTable:
        answer, records = self.parse(m.LIVE, payload)
        n = min(answer["n"], len(records) // RECORD_BYTES, RECORDS_PER_BLOCK - MAX_MORE)
        self.n_skipped_blocks = max(self.n_skipped_blocks, answer["n_skipped"])
        content, block = bytes(records[: n * RECORD_BYTES]), (answer["t0_lo"], answer["t0_hi"])
        if self._begun[1:] == block:
            content = self._begun[0] + content
            n = len(content) // RECORD_BYTES
        words = np.zeros((1, RECORDS_PER_BLOCK, 2), "<u8")
        words[0, :n] = np.frombuffer(content, "<u8").reshape(n, 2)
        n_whole = _count_whole(words, n)
        self._begun = (content[n_whole * RECORD_BYTES :], *block)
        header = np.zeros(1, HEADER)
        header["n_records"], header["version"] = n_whole, VERSION_FD
        header["t0_lo"], header["t0_hi"] = block
        is_mixed = bool(np.isin(dlcs_of(words)[0, :n_whole], (HEAD, MORE)).any())
        frames = np.empty(n_whole, FRAME_FD if is_mixed else FRAME)
        put = put_mixed if is_mixed else put_frames
        return frames[: put(frames, words, header, _SPAN_US)]


def _count_whole(words: Words, n: int) -> int:
    """Return how many of the first `n` records come before a frame of CAN FD that goes on."""
    dlcs = dlcs_of(words)[0]
    for i in range(max(0, n - MAX_MORE), n):
        if dlcs[i] == HEAD and i + 1 + N_MORE[int(words[0, i, 1]) & 15] > n:
            return i
    return n


def open_live(port: str | None = None) -> LiveLink:
    """Open the logger on `port`, or the only one that answers, and ask for its frames.

    Raises   DeviceError for none, several, or a port in use; ContractError for another contract.
    """
    if port is None:
        found = open_link(None)
        port = found.name
        found.close()
    port = port_of(port)
    link = LiveLink(open_stream(port), port)
    try:
        link.hello()
        link.start()
    except BaseException:
        link.close()
        raise
    return link
