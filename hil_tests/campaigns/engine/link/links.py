"""The link campaign: fetch sessions through a bad cable into an archive.

Whatever happens, a file in the archive equals what is on the card, or it is not there; and once
the cable is good again the next call brings it. The host's code is the shipped one (`download`,
`archive`, `link`), the logger the shipped application, the time virtual. Findings carry the names
T1 to T15. Here: what cables do; `kills` has the host, `loggers` the logger, `transfers` the count.

A kind of fault is a function of a Tally and the numbers of the transfers to try; with the seed a
number is the same transfer for ever.
"""

import math
import random
import shutil
import tempfile
from functools import partial
from pathlib import Path

from campaigns.engine.bench import Bench
from campaigns.engine.link.cable import Cable, Faults, RatedLink, fast_cobs_encode
from campaigns.engine.results import Finding
from logger.service import Service
from slog import messages as m
from slog.framing import FrameWriter
from slog.layout import BLOCK_BYTES
from stagelog.archive import load_manifest
from stagelog.download import fetch_session
from stagelog.errors import StagelogError
from stagelog.link import WINDOW, Link

N_BLOCKS = 16  # 64 KiB
_TRIES = 30
_STRIDE = 7919  # prime: numbers one after the other fall far apart, all together on every byte


class Source:
    """A logger with one closed session of N_BLOCKS blocks, ready to be fetched any number of
    times. The bus is silent from then on if `quiet`.

    n_wire   bytes that the logger sends for it through a good cable
    """

    def __init__(self, seed, n_blocks=N_BLOCKS, n_places=200, quiet=True, **settings):
        self.bench = bench = Bench(seed, n_places, settings)
        bench.frame_writer = partial(FrameWriter, fast_cobs_encode)
        bench.traffic.burst = 0
        bench.traffic.rate_Hz = 200
        self.connect()
        while bench.app.store.counts.blocks_written < n_blocks - 1:
            bench.run_ms(50)
        bench.link.control(m.CONTROL_STOP, bench.app.boot)
        if quiet:
            bench.world.add_events(())
        self.session = bench.link.list_sessions()[0]
        self.content = self.blocks_of(self.session)

    def connect(self):
        """Power on, with a cable that carries about as much as USB."""
        bench = self.bench
        bench.power_on()
        self.plug()
        bench.link = Link(bench, "bench", bench.seconds)

    def plug(self):
        """Put a fresh cable in."""
        self.bench.plug_in(RatedLink(self.bench.clock))

    def link(self, rng, faults, name="bench"):
        """Return a Link through a new Cable with faults."""
        self.plug()
        cable = Cable(self.bench, rng, faults)
        return Link(cable, name, self.bench.seconds), cable

    def settle(self):
        """Give the logger a service that nobody has asked anything, so that a number is one
        transfer whatever was before it.
        """
        app = self.bench.app
        board = app.board
        app.service = Service(app, board.link, board.frame_writer, board.cobs_decode)

    def blocks_of(self, session):
        """Return the bytes of a session as they lie on the card."""
        layout = self.bench.layout
        parts = []
        for step in range(session.n_blocks):
            place = (session.position - layout.first + step) % layout.n
            at = layout.sector(layout.first + place)
            parts += [self.bench.card.sectors.get(at + i, bytes(512)) for i in range(8)]
        return b"".join(parts)

    @property
    def n_wire(self):
        """Return how many bytes one undisturbed fetch makes the logger send."""
        archive = Archive()
        link, cable = self.link(random.Random(0), Faults())
        fetch_session(link, self.session, archive.folder)
        archive.close()
        return cable.n_from_logger


class Archive:
    """A folder for one transfer, on memory if there is such a file system."""

    def __init__(self):
        base = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="campaign", dir=base))

    def files(self):
        """Return the finished session files."""
        return sorted(self.folder.glob("*.slog"))

    def close(self):
        """Throw it away."""
        shutil.rmtree(self.folder)


def check_archive(archive, session, content):
    """Yield findings on what the archive holds of a session: nothing wrong, ever."""
    for path in archive.files():
        got = path.read_bytes()
        if got != content:
            same = sum(
                got[i : i + BLOCK_BYTES] == content[i : i + BLOCK_BYTES]
                for i in range(0, len(content), BLOCK_BYTES)
            )
            yield "T1", f"{path.name} is not what is on the card: {same} blocks are the same"
    entries = load_manifest(archive.folder)
    if entries and not entries[0].path.is_file():
        yield "T6", "the manifest names a file that is not there"


def fetch(link, session, archive):
    """Fetch once; return the error, or None."""
    try:
        fetch_session(link, session, archive.folder)
    except StagelogError as error:
        return error
    return None


class Outcome:
    """What one transfer took: bytes on the wire, virtual seconds, tries that failed, and whether
    the cable did anything to it.
    """

    def __init__(self):
        self.n_wire = self.n_failed = 0
        self.seconds = 0.0
        self.is_faulted = False


def bad_cable(tally, source, rng, faults, kind, number, tries=_TRIES):
    """Fetch through a bad cable until it is done, the last time through a good one.

    Returns an Outcome; what is wrong goes into the tally.
    """
    archive = Archive()
    session = source.session
    case = f"{kind}:{number}"
    outcome = Outcome()
    error = None
    try:
        source.settle()
        start_us = source.bench.clock.now_us
        for attempt in range(tries):
            now = faults if attempt < tries - 1 else Faults()
            link, cable = source.link(rng, now, f"port{attempt}")
            error = fetch(link, session, archive)
            outcome.n_wire += cable.n_from_logger
            outcome.is_faulted |= cable.n_faults > 0
            for invariant, text in check_archive(archive, session, source.content):
                tally.add(Finding(invariant, case, kind, text))
            if error is None:
                break
            outcome.n_failed += 1
            if faults.cut_at is not None:
                faults = Faults()
        if not archive.files():
            tally.add(Finding("T1", case, kind, f"not fetched after {tries} tries: {error}"))
        outcome.seconds = (source.bench.clock.now_us - start_us) / 1e6
    finally:
        archive.close()
    tally.states[f"{kind}: faulted"] += outcome.is_faulted
    return outcome


def drawn(rng):
    """Return the values of Faults with any of them, most of the time several."""
    values = {"ber": 10 ** rng.uniform(-7, -4.3), "most_delay_ms": rng.choice((3, 40, 700))}
    for name in ("loss", "dup", "delay"):
        values[name] = rng.choice((0, 0.01, 0.05, 0.2))
    if rng.random() < 0.3:
        values["cut_at"] = 1 + int(10 ** rng.uniform(0, 5))
    if rng.random() < 0.3:
        values["hole"] = (int(10 ** rng.uniform(0, 5)), rng.choice((1, 17, 4096)))
    if rng.random() < 0.3:
        values["noise"] = rng.randbytes(rng.randrange(60)) + b"\0"
    return values


RATED = {  # kind: Faults, blocks of the session, tries before the good cable
    "clean": ({}, 64, 1),
    "1e-6 bit errors": ({"ber": 1e-6}, 64, _TRIES),
    "1e-5 bit errors": ({"ber": 1e-5}, 64, _TRIES),
    "1e-4 bit errors": ({"ber": 1e-4}, 4, 3),
    "1e-3 bit errors": ({"ber": 1e-3}, 4, 2),
    "1 % of frames lost": ({"loss": 0.01}, 64, _TRIES),
    "10 % of frames lost": ({"loss": 0.1}, 64, _TRIES),
    "20 % of frames doubled": ({"dup": 0.2}, 64, _TRIES),
    "20 % of frames up to 2 s late": ({"delay": 0.2, "most_delay_ms": 2000}, 64, _TRIES),
    "10 % late or reordered by ms": ({"delay": 0.1, "most_delay_ms": 5}, 64, _TRIES),
    "all at once, drawn": (drawn, 8, _TRIES),
}
LEAST_GOODPUT = {"clean": 0.8, "1 % of frames lost": 0.5}  # of what the cable carries: T11


def rated(name):
    """Return the kind of fault that is one of RATED; its goodput is measured."""

    def run(tally, numbers):
        values, n_blocks, tries = RATED[name]
        source = Source(tally.seed, n_blocks)
        for number in numbers:
            rng = random.Random(f"{tally.seed} {name} {number}")
            faults = Faults(**(values(rng) if callable(values) else values))
            got = bad_cable(tally, source, rng, faults, name, number, tries)
            add(tally, name, "bytes", len(source.content))
            add(tally, name, "wire", got.n_wire)
            add(tally, name, "us", round(got.seconds * 1e6))
            add(tally, name, "failed", got.n_failed)
        least = LEAST_GOODPUT.get(name, 0)
        if goodput(tally, name) < least:
            text = f"goodput {goodput(tally, name):.2f} MB/s of 1.00, {least:.2f} wanted"
            tally.add(Finding("T11", f"{name}:{numbers[0]}", name, text))

    return run


def add(tally, kind, figure, value):
    """Add to a figure of a kind."""
    name = f"{kind}: {figure}"
    tally.worst[name] = tally.worst.get(name, 0) + value


def goodput(tally, name):
    """Return MB/s of session bytes through a cable that carries 1."""
    return tally.worst[f"{name}: bytes"] / max(1, tally.worst[f"{name}: us"])


def rated_text(tally, name):
    """Return the figures of one of RATED in words."""
    per_byte = tally.worst[f"{name}: wire"] / tally.worst[f"{name}: bytes"]
    text = f"goodput {goodput(tally, name):.3f} MB/s of 1.00, {per_byte:.2f} bytes sent per byte"
    if n_failed := tally.worst[f"{name}: failed"]:
        text += f", {n_failed:,} calls failed"
    return text


def strided(number, n):
    """Return a place below `n`; `n` numbers in a row give every place once."""
    stride = _STRIDE if math.gcd(_STRIDE, n) == 1 else 1
    return number * stride % n


def unplug(tally, numbers):
    """Pull the cable at a byte of the transfer, plug it in under another name, continue."""
    source = Source(tally.seed)
    n_wire = source.n_wire
    limit = (WINDOW + 2) * (BLOCK_BYTES + 300)
    for number in numbers:
        rng = random.Random(f"{tally.seed} unplug {number}")
        faults = Faults(cut_at=1 + strided(number, n_wire))
        got = bad_cable(tally, source, rng, faults, "unplug", number)
        twice = got.n_wire - n_wire
        tally.note_worst("unplug: twice", twice)
        if twice > limit:
            text = f"{twice} bytes were sent twice, {limit} are allowed"
            tally.add(Finding("T5", f"unplug:{number}", "unplug", text))


def truncation(tally, numbers):
    """One byte to a whole frame is missing somewhere; it continues within a time-out."""
    source = Source(tally.seed, 4)
    n_wire = source.n_wire
    for number in numbers:
        rng = random.Random(f"{tally.seed} truncation {number}")
        hole = (strided(number, n_wire), rng.choice((1, 1, 2, 17, 4096)))
        got = bad_cable(tally, source, rng, Faults(hole=hole), "truncation", number)
        tally.note_worst("truncation: ms", round(got.seconds * 1000))
        if got.seconds > 4:
            text = f"{got.seconds:.1f} s for 16 KiB"
            tally.add(Finding("T4", f"truncation:{number}", "truncation", text))


def garbage(tally, numbers):
    """Noise, REPL text and modem probes before every request; the next request is understood."""
    source = Source(tally.seed, 4)
    probes = (b"AT\r\n", b"ATE1 E0\r", b"\x03\x03\x01", b"\r\n>>> ", b"~\x00x\xf0~", b"+++")
    for number in numbers:
        rng = random.Random(f"{tally.seed} garbage {number}")
        noise = rng.choice(probes) + b"\0" if number % 3 else rng.randbytes(200) + b"\0"
        bad_cable(tally, source, rng, Faults(noise=noise), "garbage", number)
    rng = random.Random(f"{tally.seed} flood {numbers[0]}")
    flood = rng.randbytes(min(1 << 20, len(numbers) * 4096))
    source.plug()
    for at in range(0, len(flood), 4096):
        source.bench.cable.host_write(flood[at : at + 4096])
        source.bench.run_ms(70)
    source.bench.cable.host_write(b"\0")
    source.bench.run_ms(10)
    link, _ = source.link(rng, Faults())
    tally.note_worst("garbage: flood", len(flood))
    if link.hello().device_id != source.session.device_id or link.n_retries:
        text = "not in step after the flood"
        tally.add(Finding("T10", f"garbage:{numbers[0]}", "garbage", text))
