"""Targets of the parser campaign: files of blocks and cards.

What comes out was in the file, damage is reported, and content that nobody meant is no error.
"""

import json
import shutil
import struct
import zlib

import numpy as np

from campaigns.engine.parsers.target import Target, Violation
from slog import block as codec
from slog.layout import (
    BLOCK_BYTES,
    RECORDS_PER_BLOCK,
    RELEASE,
    RELEASE_MAGIC,
    SECTOR_BYTES,
    SIGNATURE,
    SIGNATURE_MAGIC,
    VERSION,
    pack,
    size,
)
from stagelog.archive import store_session
from stagelog.blocks import read_log
from stagelog.blocks.placement import Identity
from stagelog.blocks.writer import pack_session, seal
from stagelog.card import read_card
from stagelog.errors import InputError, StagelogError
from stagelog.importers.slog import stream_slog
from stagelog.importers.stream import collect
from stagelog.ledger import account, describe
from stagelog.rig.bus import nodes
from stagelog.timeline import find_boots


def sample_session(n=700, seed=5, position=0):
    """Return the blocks of a small session, written for places from `position` on, as bytes."""
    rng = np.random.default_rng(seed)
    frames = nodes.random_table(n, rng)
    frames["dlc"] = np.minimum(frames["dlc"], 8)
    frames["t_us"] = np.cumsum(rng.integers(100, 1500, n))
    identity = Identity("53494d3030303031", 7, 0x1234567)
    return pack_session(frames, identity, position=position).tobytes()


class Blocks(Target):
    """The block reader and the ledger: what comes out was in the file, damage is reported."""

    name = "blocks"
    share = 500
    sources = ("slog/block.py", "slog/layout.py", "stagelog/blocks/*.py", "stagelog/ledger.py")
    words = (b"SL\x01\xfc", b"STAGELOG extent\n")

    def make_seeds(self):
        return [sample_session()]

    def prepare(self, folder):
        super().prepare(folder)
        self.path.write_bytes(self.seeds()[0])
        self._truth = self._blocks(read_log(self.path))

    def run(self, data):
        self.path.write_bytes(data)
        try:
            log = read_log(self.path)
        except InputError:
            return
        found = self._blocks(log)
        false = found.keys() - self._truth.keys()
        if false:
            raise Violation("D6", f"{len(false)} blocks that never were")
        if any(found[key] != self._truth[key] for key in found):
            raise Violation("D6", "a block has other frames than it had")
        for session in log.sessions:
            ledger = account(session, log.damaged)
            [describe(gap) for gap in ledger.gaps]
        whole = len(found) == len(self._truth) and len(data) == len(self.seeds()[0])
        if whole and not log.damaged and not self._same_where_used(data):
            raise Violation("D7", "changed bytes in use, and nothing is reported")

    def _blocks(self, log):
        found = {}
        for session in log.sessions:
            ends = np.cumsum(session.scan.n_frames.sum(1))
            pieces = np.split(session.read_frames(), ends[:-1])
            for seq, piece in zip(session.headers["seq"].tolist(), pieces, strict=True):
                found[session.identity, seq] = piece.tobytes()
        return found

    def _same_where_used(self, data):
        good = self.seeds()[0]
        for at in range(0, len(good), BLOCK_BYTES):
            end = at + 64 + 16 * good[at + 3]
            if data[at:end] != good[at:end]:
                return False
        return True


class Sealed(Target):
    """Blocks whose CRC is right and whose content nobody meant: read, accounted for, archived.

    Only a broken logger writes such blocks; the input's blocks get their CRC after the mutation.
    """

    name = "sealed"
    share = 150
    sources = (
        *Blocks.sources,
        "stagelog/archive/*.py",
        "stagelog/timeline.py",
        "stagelog/importers/slog.py",
    )
    words = (b"SL\x01\xfc", b"\xff" * 16, bytes(16))

    def make_seeds(self):
        return [sample_session(300), sample_session(700), sample_session(3)]

    def prepare(self, folder):
        self.path = folder / "sealed.slog"
        self._archive = folder / "sealed"

    def run(self, data):
        n = len(data) // BLOCK_BYTES
        blocks = np.frombuffer(data[: n * BLOCK_BYTES], np.uint8).reshape(n, BLOCK_BYTES).copy()
        blocks[:, codec.N_RECORDS] = np.minimum(blocks[:, codec.N_RECORDS], RECORDS_PER_BLOCK)
        seal(blocks)
        self.path.write_bytes(blocks.tobytes() + data[n * BLOCK_BYTES :])
        try:
            log = read_log(self.path)
        except InputError:
            return
        if sum(session.n_blocks for session in log.sessions) > n + 1:
            raise Violation("D6", "more blocks than the file has")
        for boot in find_boots(log.sessions):
            for session in boot.sessions:
                ledger = account(session, log.damaged)
                json.dumps(ledger.as_dict(), allow_nan=False)
                [describe(gap, boot.timeline) for gap in ledger.gaps]
                session.decoded_meta()
        try:
            for session in log.sessions[:2]:
                store_session(log, session, self._archive)
        except StagelogError:
            pass
        finally:
            shutil.rmtree(self._archive, ignore_errors=True)
        frames = collect(stream_slog(self.path))
        if frames.diagnostics.n_frames != len(frames.frames):
            raise Violation("D7", "the diagnostics count other frames")


class Card(Target):
    """An image of a card: signatures and release marks with any content and a right CRC.

    The input holds signature, two marks and the second signature, 128 bytes each, and a number of
    sectors by which the blocks behind them are shifted.
    """

    name = "card"
    share = 300
    sources = (*Blocks.sources, "stagelog/card/*.py")

    def make_seeds(self):
        fields = {"magic": SIGNATURE_MAGIC, "version": VERSION, "extent_id": b"FUZZFUZZ"}
        fields |= {"lba": 0, "n_blocks": 12, "copy": 3, "data_first": 4, "data_end": 12}
        fields |= {"release_a": 1, "release_b": 2}
        mark = {"magic": RELEASE_MAGIC, "extent_id": b"FUZZFUZZ", "generation": 2}
        mark |= {"released_seq": 2, "position": 5}
        signature, mark = pack(SIGNATURE, fields), pack(RELEASE, mark)
        return [
            b"".join(head.ljust(128, b"\0") for head in heads) + bytes([shift])
            for heads in (
                (signature, mark, b"", signature),
                (signature, b"", b"", signature),
                (b"", mark, mark, signature),
            )
            for shift in (0, 1)
        ]

    def prepare(self, folder):
        self.path = folder / "card.img"
        self._blocks = sample_session(1500, position=4)
        self._truth = {
            self._blocks[at : at + BLOCK_BYTES] for at in range(0, len(self._blocks), BLOCK_BYTES)
        }

    def run(self, data):
        heads = [
            _sealed(data[i * 128 : i * 128 + 128], table)
            for i, table in enumerate((SIGNATURE, RELEASE, RELEASE, SIGNATURE))
        ]
        blocks = self._blocks[data[512] * SECTOR_BYTES if len(data) > 512 else 0 :]
        self.path.write_bytes(b"".join(head.ljust(BLOCK_BYTES, b"\0") for head in heads) + blocks)
        for include_erased in (False, True):
            try:
                log = read_card(self.path, include_erased)
            except InputError as error:
                if str(self.path) not in str(error):
                    raise Violation("D1", f"the error does not name the file: {error}") from None
                continue
            for session in log.sessions:
                if not {row.tobytes() for row in session.medium.view[session.rows]} <= self._truth:
                    raise Violation("D6", "a block that never was")
                [describe(gap) for gap in account(session, log.damaged).gaps]


def _sealed(head, table):
    n = size(table)
    if len(head) < n:
        return head
    return head[: n - 4] + struct.pack("<I", zlib.crc32(head[: n - 4])) + head[n:]
