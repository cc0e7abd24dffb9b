"""Good logs damaged at random: what comes out was there, or the damage is reported."""

import gzip
import random
from pathlib import Path

import numpy as np
import pytest

from slog import layout
from stagelog.blocks import read_log
from stagelog.blocks.layouts import HEADER, RECORD, dtype_of, parse, struct_of
from stagelog.errors import InputError
from stagelog.ledger import account, describe
from stagelog.timeline import find_boots

GOLDEN = Path(__file__).resolve().parents[2] / "firmware" / "tests" / "golden"
N_MUTANTS = 300


def golden(kind):
    if kind == "session":
        return (GOLDEN / "v1_session.slog").read_bytes()
    return gzip.decompress((GOLDEN / "v1_extent.img.gz").read_bytes())


def mutant(content, rng):
    """Return the content after one to four damages of the kinds that files suffer."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        n = rng.choice((1, 2, 7, 64, 512, 4096, 9000))
        kind = rng.randrange(8)
        if kind == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = data[at : at + n]
        elif kind == 3:
            data[at : at + n] = bytes(len(data[at : at + n]))
        elif kind == 4:
            data[at : at + n] = b"\xff" * len(data[at : at + n])
        elif kind == 5:
            data[at:at] = rng.randbytes(n)
        elif kind == 6:
            del data[at : at + n]
        elif data:
            other = rng.randrange(len(data))
            data[at : at + n] = data[other : other + n][: len(data[at : at + n])]
    return bytes(data)


def blocks_in(log):
    """Return {(identity, seq): frames as bytes} of all blocks of a log."""
    found = {}
    for session in log.sessions:
        ends = np.cumsum(session.scan.n_frames.sum(1))
        pieces = np.split(session.read_frames(), ends[:-1])
        for seq, piece in zip(session.headers["seq"].tolist(), pieces, strict=True):
            found[session.identity, seq] = piece.tobytes()
    return found


@pytest.mark.parametrize("kind", ["session", "extent"])
def test_a_mutant_gives_what_was_there_or_one_line(tmp_path, kind):
    path = tmp_path / "log"
    path.write_bytes(golden(kind))
    truth = blocks_in(read_log(path, include_erased=True))
    n_read = 0
    for seed in range(N_MUTANTS):
        path.write_bytes(mutant(golden(kind), random.Random(seed)))
        try:
            log = read_log(path, include_erased=seed % 2 == 0)
        except InputError as error:
            assert "\n" not in str(error), seed
            continue
        found = blocks_in(log)
        assert found.items() <= truth.items(), f"seed {seed}"
        for boot in find_boots(log.sessions):
            for session in boot.sessions:
                ledger = account(session, log.damaged)
                assert ledger.closes, f"seed {seed}: {ledger.breaks}"
                assert all(describe(gap, boot.timeline) for gap in ledger.gaps)
                list(map(str, log.damaged + log.diagnostics))
                session.decoded_meta()
        n_read += bool(found)
    assert n_read > N_MUTANTS / 2


def test_layouts_for_one_and_for_many_agree():
    tables = [layout.BLOCK_HEADER, layout.RECORD, layout.SIGNATURE, layout.RELEASE]
    tables += [row[3] for row in layout.META]
    for table in tables:
        dtype = dtype_of(table)
        assert dtype.itemsize == struct_of(table).sizeof() == layout.size(table)
        assert {name: dtype.fields[name][1] for name in dtype.names} == layout.offsets(table)
    assert (HEADER.itemsize, RECORD.itemsize) == (layout.HEADER_BYTES, layout.RECORD_BYTES)


def test_one_header_reads_as_the_table_does():
    content = golden("session")
    table = np.frombuffer(content, HEADER, 1)[0]
    single = parse(layout.BLOCK_HEADER, content[: layout.HEADER_BYTES])
    for name in HEADER.names:
        value = table[name].tobytes() if name == "device_id" else int(table[name])
        assert value == single[name]
    with pytest.raises(InputError, match="cut short"):
        parse(layout.BLOCK_HEADER, content[:63])
