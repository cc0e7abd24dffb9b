"""The first line of stagelog info: what the file is, its sessions and its damage."""

import numpy as np
import pytest

from stagelog.blocks import Identity, pack_session
from stagelog.cli import main
from stagelog.model import FRAME


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ((), ", 1 session"),
        ((1,), ", 1 session, 1 damaged place"),
        ((1, 3), ", 1 session, 2 damaged places"),
    ],
)
def test_the_head_counts_sessions_and_damage(tmp_path, capsys, bad, words):
    """Six blocks of one session; one bit of each of `bad` is wrong."""
    frames = np.zeros(1400, FRAME)
    frames["t_us"] = np.arange(1400) * 500
    blocks = pack_session(frames, Identity("0a" * 8, 1, 2))
    assert len(blocks) == 6
    for block in bad:
        blocks[block, 100] ^= 1
    path = tmp_path / "x.slog"
    path.write_bytes(blocks.tobytes())
    with pytest.raises(SystemExit):
        main(["info", str(path)])
    head = capsys.readouterr().out.splitlines()[0]
    assert head.startswith(f"{path}: ") and head.endswith(words)
    assert head.count(",") == words.count(",")
