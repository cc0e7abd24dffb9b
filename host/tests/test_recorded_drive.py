"""The drive of host/examples is what the command in its README makes."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner
from recorded_drives import OWN

from stagelog.cli import group

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_own_drive_is_made_again_by_its_command(tmp_path):
    text = (EXAMPLES / "README.md").read_text()
    command = re.search(r"^ +stagelog (drive .*) && gzip -9n drive.log$", text, re.M)[1]
    words = shlex.split(command.replace("drive.log", str(tmp_path / "drive.log")))
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 0, done.output
    lines, kept = (tmp_path / "drive.log").read_bytes().splitlines(), OWN.text().splitlines()
    other = [i for i, pair in enumerate(zip(lines, kept, strict=True)) if pair[0] != pair[1]]
    assert not other, f"{len(other)} of {len(kept)} frames differ, the first in line {other[0]}"
    assert len(lines) == OWN.n_frames
    assert len({line.split()[2].split(b"#")[0] for line in lines}) == OWN.n_ids
