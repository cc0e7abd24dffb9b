"""The host's own reader on a state: it must see what the witness knows to be there, and account
for the rest.

Reader and ledger are the shipped ones (`stagelog.blocks`, `stagelog.ledger`); the witness has the
small reader of this package and every block that was ever sent. Findings are (invariant, text).
"""

import os
import tempfile

import numpy as np

from campaigns.engine.bench import LBA
from campaigns.engine.journal import BAD, SECTOR_BYTES, ZEROS
from campaigns.engine.reader import FD_FRAME, frames_of
from stagelog.blocks import read_log
from stagelog.errors import InputError
from stagelog.ledger import account
from stagelog.model import FD


def check_host(image, overlay, view):
    """Yield findings on what the host makes of a state."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "card.img")
        _write_card(path, image, overlay)
        try:
            log = read_log(path)
        except InputError as error:
            yield "L4", f"the host does not read the card: {error}"
            return
        yield from _check_log(image, view, log)


def _write_card(path, image, overlay):
    with open(path, "wb") as file:
        file.truncate(LBA * SECTOR_BYTES + image.layout.n_blocks * 4096)
        for source in (image.sectors, overlay):
            for sector, data in source.items():
                file.seek(sector * SECTOR_BYTES)
                file.write(ZEROS if data is BAD else data)


def _check_log(image, view, log):
    known = {}
    for versions in image.versions.values():
        for version in versions:
            if version.block is not None:
                known[version.block.session, version.block.seq] = version
    expected = {
        (version.block.session, version.block.seq)
        for version in _whole(image, view)
        if version.block.seq >= view.floor
    }
    held = set()
    for session in log.sessions:
        key = (bytes.fromhex(session.device_id), session.boot, session.nonce)
        numbers = session.headers["seq"].tolist()
        names = [(key, seq) for seq in numbers]
        if not all(name in known for name in names):
            yield "L3", f"session {session.identity.name} holds a block that nobody wrote"
            return
        held.update(names)
        yield from _check_session(session, log, [known[name] for name in names])
    if not expected <= held:
        yield "L1", f"the host misses {len(expected - held)} blocks that are there"


def _whole(image, view):
    for position, version in image.whole.items():
        if position not in view.touched:
            yield version
    for version in view.touched.values():
        if version is not None:
            yield version


def _check_session(session, log, versions):
    frames = [frame for version in versions for frame in frames_of(version.data, version.block)]
    table = session.read_frames()
    columns = ("t_us", "bus", "can_id")
    same = len(table) == len(frames) and all(
        np.array_equal(table[name], [frame[i] for frame in frames])
        for i, name in enumerate(columns)
    )
    width = table["data"].shape[1]
    held = b"".join(frame[5].ljust(width, b"\0") for frame in frames)
    kinds = [(frame[4] & FD_FRAME > 0, frame[4] & 15) for frame in frames]
    read = list(zip(table["flags"] & FD > 0, table["dlc"], strict=True))
    if not same or table["data"].tobytes() != held or read != kinds:
        yield "L3", f"session {session.identity.name} reads as other frames than were written"
        return
    ledger = account(session, log.damaged)
    if ledger.breaks:
        yield "L5", f"session {session.identity.name}: {ledger.breaks[0]}"
    last = versions[-1].block
    missing = sum(bus.n_missing for bus in ledger.buses)
    if missing != sum(last.stored) - len(frames):
        text = f"{missing} frames reported missing, {sum(last.stored) - len(frames)} are"
        yield "L6", f"session {session.identity.name}: {text}"
    reported = sum(gap.n for gap in ledger.gaps if gap.n and gap.exact)
    dropped = sum(last.dropped)
    if reported < missing + dropped:
        yield "L6", f"gaps report {reported} frames, {missing + dropped} are not there"
