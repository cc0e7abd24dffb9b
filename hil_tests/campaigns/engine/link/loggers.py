"""The link campaign, the logger's side: it resets, its card goes round, two are confused, its host
is hostile or asleep.

Kinds of faults as in `links`. Each needs a logger of its own for every transfer.
"""

import random

from campaigns.engine.link.cable import Faults
from campaigns.engine.link.links import Archive, Source, check_archive, fetch
from campaigns.engine.reader import parse_block
from campaigns.engine.results import Finding
from slog import messages as m
from slog.framing import frame
from slog.layout import BLOCK_BYTES
from stagelog.errors import DeviceError


def device_reset(tally, numbers):
    """The logger loses power in mid-transfer; the host continues with the next boot."""
    for number in numbers:
        rng = random.Random(f"{tally.seed} reset {number}")
        source = Source(tally.seed + number, 8)
        archive = Archive()
        n_wire = int(len(source.content) * 1.01)
        link, _ = source.link(rng, Faults(cut_at=rng.randrange(1, n_wire)))
        fetch(link, source.session, archive)
        source.bench.power_cut()
        source.connect()
        source.bench.run_ms(rng.randrange(1200))
        link, _ = source.link(rng, Faults())
        again = [
            session for session in link.list_sessions() if session.nonce == source.session.nonce
        ]
        error = fetch(link, again[0], archive) if again else "the session is not listed"
        if error is not None:
            text = f"not fetched after the reset: {error}"
            tally.add(Finding("T7", f"reset:{number}", "reset", text))
        _note(tally, check_archive(archive, source.session, source.content), "reset", number)
        archive.close()
        tally.states["reset: faulted"] += 1


def two_loggers(tally, numbers):
    """A fetch is cut off; then another logger, at the same boot and the same places, is fetched
    into the same folder.
    """
    for number in numbers:
        rng = random.Random(f"{tally.seed} two {number}")
        sources = [Source(tally.seed + 2 * number + i, 6) for i in range(2)]
        archive = Archive()
        link, _ = sources[0].link(rng, Faults(cut_at=rng.randrange(1, 6 * BLOCK_BYTES)))
        fetch(link, sources[0].session, archive)
        errors = []
        for source in reversed(sources):
            link, _ = source.link(rng, Faults())
            errors.append(fetch(link, source.session, archive))
        found = sorted(path.read_bytes() for path in archive.files())
        if any(errors) or found != sorted(source.content for source in sources):
            text = f"{len(found)} files, not those of two loggers: {errors}"
            tally.add(Finding("T7", f"two loggers:{number}", "two loggers", text))
        archive.close()
        tally.states["two loggers: faulted"] += 1


def hostile(tally, numbers):
    """Frames that are whole and say nonsense: nothing is erased, nothing stops, nothing raises.

    ERASE names the session on the card and any digest but the right one; CONTROL and the rest are
    noise.
    """
    source = Source(tally.seed, 4)
    bench = source.bench
    bench.link.control(m.CONTROL_START, bench.app.boot)
    writes = len(bench.card.journal)
    kinds = [row[0] for row in m.MESSAGES]
    for number in numbers:
        rng = random.Random(f"{tally.seed} hostile {number}")
        kind = rng.choice((m.ERASE, *kinds, rng.randrange(256)))
        payload = rng.randbytes(rng.randrange(80))
        if kind == m.ERASE and rng.random() < 0.7:
            names = ("device_id", "boot", "nonce", "first_seq", "n_blocks")
            values = {name: getattr(source.session, name) for name in names}
            payload = m.build(m.ERASE_REQUEST, {**values, "digest": rng.randbytes(32)})
        bench.cable.host_write(frame(kind, rng.randrange(256), payload))
        if number % 8 == 0:
            bench.run_ms(3)
            bench.cable.host_read()
    bench.run_ms(200)
    bench.cable.host_read()
    case = f"hostile:{numbers[0]}"
    sent = bench.card.journal[writes:]
    places = {bench.layout.position(write.sector)[0] for write in sent}
    if bench.app.store.extent.released_seq or min(places) < bench.layout.first:
        tally.add(Finding("T12", case, "hostile", "a session was erased without its digest"))
    if not bench.app.hello()["nonce"]:
        tally.add(Finding("T2", case, "hostile", "noise stopped the recording"))


def overwritten(tally, numbers):
    """The card's ring goes round while a session is fetched: what is kept is of that session
    only.
    """
    for number in numbers:
        rng = random.Random(f"{tally.seed} overwritten {number}")
        source = Source(tally.seed + number, 8, 20, False, when_full="overwrite", flush_ms=50)
        bench = source.bench
        archive = Archive()
        bench.link.control(m.CONTROL_START, bench.app.boot)
        target = rng.randrange(8, 19)
        while bench.app.store.counts.blocks_written < target:
            bench.run_ms(10)
        link, _ = source.link(rng, Faults())
        bench.cable.rate = 20  # kB/s: recording overtakes it
        error = fetch(link, source.session, archive)
        tally.states["overwritten: refused"] += isinstance(error, DeviceError)
        case = f"overwritten:{number}"
        if error is not None and not isinstance(error, DeviceError):
            text = f"{type(error).__name__}: {error}"
            tally.add(Finding("T7", case, "overwritten", text))
        for path in [*archive.files(), *archive.folder.glob("*.part")]:
            text = _foreign_blocks(path.read_bytes(), source.content)
            if text:
                tally.add(Finding("T7", case, "overwritten", f"{path.name}: {text}"))
        archive.close()
        tally.states["overwritten: faulted"] += 1


def _foreign_blocks(got, content):
    """Say which good blocks in a file are not those of the session."""
    for i in range(0, len(got), BLOCK_BYTES):
        block = got[i : i + BLOCK_BYTES]
        if len(block) == BLOCK_BYTES and parse_block(block) is not None:
            if block != content[i : i + BLOCK_BYTES]:
                owner = parse_block(block)
                mine = parse_block(content[:BLOCK_BYTES])
                if owner.session == mine.session:
                    return f"block {i // BLOCK_BYTES} is another one of the session"
                return f"block {i // BLOCK_BYTES} is of boot {owner.boot}, {owner.nonce:08x}"
    return ""


def asleep(tally, numbers):
    """The laptop sleeps for ten minutes in mid-transfer while the logger records: nothing is
    dropped.
    """
    for number in numbers:
        rng = random.Random(f"{tally.seed} asleep {number}")
        source = Source(tally.seed + number, 8, 6000, False)
        bench = source.bench
        bench.loop_us = bench.world.loop_us = 5000
        archive = Archive()
        bench.link.control(m.CONTROL_START, bench.app.boot)
        link, cable = source.link(rng, Faults())
        n_reads = rng.randrange(1, 8)
        read = cable.read

        def sleepy(n, read=read, bench=bench, left=[n_reads]):  # noqa: B006
            left[0] -= 1
            if left[0] == 0:
                bench.world.run_for(600_000_000)
            return read(n)

        cable.read = sleepy
        error = fetch(link, source.session, archive)
        if error is not None:
            link, _ = source.link(rng, Faults())
            error = fetch(link, source.session, archive)
        case = f"asleep:{number}"
        if error is not None:
            tally.add(Finding("T6", case, "asleep", str(error)))
        _note(tally, check_archive(archive, source.session, source.content), "asleep", number)
        status = link.status()
        n_frames = status.stored0 + status.dropped0
        if status.dropped0 or n_frames < 60_000:
            text = f"{status.dropped0} of {n_frames} frames dropped"
            tally.add(Finding("T9", case, "asleep", text))
        tally.note_worst("asleep: blocks", status.ring_worst)
        archive.close()
        tally.states["asleep: faulted"] += 1


def _note(tally, findings, kind, number):
    for invariant, text in findings:
        tally.add(Finding(invariant, f"{kind}:{number}", kind, text))
