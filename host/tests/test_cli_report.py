"""stagelog report of several logs: its exit code is that of the worst."""

import pytest

from stagelog.blocks import Identity, pack_session
from stagelog.car import drive
from stagelog.cli import main


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A whole log of 5 s, and the first half of it."""
    folder = tmp_path_factory.mktemp("logs")
    frames = drive("light_crest", seed=2, duration_s=5).frames
    whole = pack_session(frames, Identity("0a" * 8, 1, 7)).tobytes()
    (folder / "whole.slog").write_bytes(whole)
    (folder / "half.slog").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize(
    ("names", "code"),
    [(("whole",), 0), (("whole", "half"), 1), (("half", "whole"), 1), (("whole", "whole"), 0)],
)
def test_one_log_that_is_not_complete_gives_exit_code_1(logs, tmp_path, capsys, names, code):
    paths = [str(logs / f"{name}.slog") for name in names]
    with pytest.raises(SystemExit) as ended:
        main(["report", *paths, "-o", str(tmp_path / "x.html")])
    assert (ended.value.code or 0) == code
    assert (tmp_path / "x.html").exists()
