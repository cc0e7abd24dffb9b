"""A file gets its name only after its blocks were read from the disk and checked once more."""

import numpy as np
import pytest

from slog.layout import BLOCK_BYTES
from stagelog.archive import PartFile
from stagelog.blocks import Identity, pack_session, seal
from stagelog.errors import OutputError
from stagelog.model import FRAME
from stagelog.replies import ListedSession

WHO = Identity("e66038b7130f2e29", 12, 0x9F3C2A11)
FIRST, END = 4, 60


@pytest.fixture
def blocks():
    """Return {position: bytes} of a session from the first place of the ring on."""
    frames = np.zeros(2000, FRAME)
    frames["t_us"] = np.arange(2000) * 500
    packed = pack_session(frames, WHO)
    for at, block in enumerate(packed, FIRST):
        block[24:28] = np.frombuffer(at.to_bytes(4, "little"), np.uint8)
    seal(packed)
    return {at: block.tobytes() for at, block in enumerate(packed, FIRST)}


def listed(blocks):
    return ListedSession(
        device_id=bytes.fromhex(WHO.device_id),
        boot=WHO.boot,
        nonce=WHO.nonce,
        first_seq=0,
        position=FIRST,
        n_blocks=len(blocks),
        data_first=FIRST,
        data_end=END,
        running=False,
    )


def test_a_block_that_the_disk_lost_is_fetched_again_before_the_file_gets_its_name(
    tmp_path, blocks
):
    """All blocks were put and were good; then the disk changes one bit of the third."""
    positions = list(blocks)
    with PartFile.open(tmp_path, listed(blocks)) as part:
        for position in positions:
            assert part.put(position, blocks[position])
        (file,) = tmp_path.glob("*.part")
        with open(file, "r+b") as disk:
            disk.seek(2 * BLOCK_BYTES + 100)
            (byte,) = disk.read(1)
            disk.seek(2 * BLOCK_BYTES + 100)
            disk.write(bytes([byte ^ 1]))
        with pytest.raises(OutputError, match="does not hold what was written; replace the disk"):
            part.finish()
        assert not part.path.exists() and part.missing() == [positions[2]]
        assert part.put(positions[2], blocks[positions[2]])
        part.finish()
    assert part.path.read_bytes() == b"".join(blocks.values())


def test_what_lies_behind_the_last_block_is_cut_off(tmp_path, blocks):
    with PartFile.open(tmp_path, listed(blocks)) as part:
        for position, block in blocks.items():
            part.put(position, block)
        (file,) = tmp_path.glob("*.part")
        with open(file, "ab") as disk:
            disk.write(b"x" * 5000)
        part.finish()
    assert part.path.read_bytes() == b"".join(blocks.values())
