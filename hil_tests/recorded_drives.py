"""The recorded drives that tests of host and suite run on: DRIVES, for pytest's params.

OWN is in the repository: the virtual car through the model of the bus, made by the command in
host/examples/README.md. REAL is a real car's, where it lies beside the checkout, and skips
elsewhere.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class RecordedDrive:
    """A log of candump and its DBC. Number of frames and of identifiers as `wc -l` and `sort -u`
    count its lines.
    """

    log: Path
    dbc: Path
    n_frames: int
    n_ids: int

    def text(self) -> bytes:
        """Return the log as candump wrote it."""
        content = self.log.read_bytes()
        return gzip.decompress(content) if self.log.suffix == ".gz" else content


OWN = RecordedDrive(ROOT / "host/examples/drive.log.gz", ROOT / "dbc/d7xr.dbc", 37_340, 30)
_REAL = ROOT.parent / "shared" / "data"
REAL = RecordedDrive(_REAL / "real_drive.log", _REAL / "real_drive.dbc", 82_558, 35)
needs_real = pytest.mark.skipif(
    not REAL.log.exists(), reason="the real drive, an extra, is not in ../shared/data"
)
DRIVES = [pytest.param(OWN, id="own"), pytest.param(REAL, id="real", marks=needs_real)]
