"""The link campaign: fetch sessions through a bad cable, from a logger that resets, into an
archive that is killed.

Whatever happens, a file in the archive equals what is on the card, or it is not there; and once
the cable is good again the next call brings it. The host's code is the shipped one (`download`,
`archive`, `link`), the logger the shipped application. Findings carry the names T1 to T15.
"""

import random
import shutil
import tempfile
import time
from pathlib import Path

from slog import messages as m
from slog.framing import frame
from slog.layout import BLOCK_BYTES

from ...archive import load_manifest
from ...download import fetch_session
from ...errors import StagelogError
from ...link import WINDOW, Link
from .bench import Bench
from .cable import Cable, Faults, RatedLink, fast_cobs_encode
from .results import Finding, Row, Tally

N_BLOCKS = 16  # 64 KiB
_TRIES = 30


class Source:
    """A logger with one closed session of N_BLOCKS blocks, ready to be fetched any number of
    times. The bus is silent from then on if `quiet`.
    """

    def __init__(self, seed, n_blocks=N_BLOCKS, n_places=200, quiet=True, **settings):
        self.bench = bench = Bench(seed, n_places, settings)
        bench.traffic._burst = 0
        bench.traffic._rate_Hz = 200
        self.connect()
        while bench.app.store.blocks_written < n_blocks - 1:
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
        bench = self.bench
        bench.cable = RatedLink(bench.clock)
        bench.app.service._link = bench.cable
        for writer in (bench.app.service._sent, bench.app.service._made):
            writer._encode = fast_cobs_encode

    def link(self, rng, faults, name="bench"):
        """Return a Link through a new Cable with faults."""
        self.plug()
        cable = Cable(self.bench, rng, faults)
        return Link(cable, name, self.bench.seconds), cable

    def blocks_of(self, session):
        """Return the bytes of a session as they lie on the card."""
        layout = self.bench.layout
        parts = []
        for step in range(session["n_blocks"]):
            place = (session["position"] - layout.first + step) % layout.n
            at = layout.sector(layout.first + place)
            parts += [self.bench.card.sectors.get(at + i, bytes(512)) for i in range(8)]
        return b"".join(parts)


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


def bad_cable(tally, source, rng, faults, kind, case, tries=_TRIES):
    """Fetch through a bad cable until it is done, the last time through a good one.

    Returns (bytes of the session, bytes on the wire, virtual seconds, tries that failed).
    """
    archive = Archive()
    session = source.session
    n_wire = 0
    try:
        start_us = source.bench.clock.now_us
        for attempt in range(tries):
            now = faults if attempt < tries - 1 else Faults()
            link, cable = source.link(rng, now, f"port{attempt}")
            error = fetch(link, session, archive)
            n_wire += cable.n_from_logger
            for invariant, text in check_archive(archive, session, source.content):
                tally.add(Finding(invariant, case, kind, text))
            if error is None:
                break
            if faults.cut_at is not None:
                faults = Faults()
        if not archive.files():
            tally.add(Finding("T1", case, kind, f"not fetched after {tries} tries: {error}"))
        seconds = (source.bench.clock.now_us - start_us) / 1e6
        return len(source.content), n_wire, seconds, attempt
    finally:
        archive.close()


def rated(name):
    """Return a run function: transfers at one of RATED, with the goodput as figure."""

    def run(seed, n_cases):
        start = time.monotonic()
        tally = Tally(seed)
        values = dict(RATED[name])
        tries = values.pop("tries", _TRIES)
        source = Source(seed, values.pop("n_blocks", 4 * N_BLOCKS))
        content = wire = seconds = failed = 0
        for number in range(n_cases):
            rng = random.Random(f"{seed} {name} {number}")
            case = f"link:{name}:{number}"
            got = bad_cable(tally, source, rng, Faults(**values), name, case, tries)
            content, wire, seconds = content + got[0], wire + got[1], seconds + got[2]
            failed += got[3]
        goodput = content / seconds / 1e6
        if not values and goodput < 0.8:
            text = f"{goodput:.2f} MB/s of 1.00 on a clean cable"
            tally.add(Finding("T11", f"link:{name}", name, text))
        text = f"goodput {goodput:.3f} MB/s of 1.00, {wire / content:.2f} bytes sent per byte"
        if failed:
            text += f", {failed} tries gave up"
        return [_row(f"link: {name}", tally, n_cases, text, start)], tally.findings

    return run


def _row(fault, tally, n_cases, text, start):
    return Row(fault, n_cases, tally.n_violations, text, tally.seed, time.monotonic() - start)


def unplug(seed, n_cases):
    """Pull the cable at a byte of the transfer, plug it in under another name, go on.

    With as many cases as the transfer has bytes, at every one.
    """
    start = time.monotonic()
    tally = Tally(seed)
    source = Source(seed)
    n_bytes = int(len(source.content) * 1.01)
    most = 0
    for number in range(n_cases):
        at = number * n_bytes // n_cases + 1
        rng = random.Random(f"{seed} unplug {number}")
        case = f"link:unplug:{number}"
        got = bad_cable(tally, source, rng, Faults(cut_at=at), "unplug", case)
        most = max(most, got[1] - n_bytes)
    limit = (WINDOW + 2) * (BLOCK_BYTES + 300)
    if most > limit:
        text = f"{most} bytes were sent twice, {limit} are allowed"
        tally.add(Finding("T5", "link:unplug", "unplug", text))
    text = f"at most {max(0, most):,} bytes sent twice"
    return [_row("link: unplugged, plugged in again", tally, n_cases, text, start)], tally.findings


def truncation(seed, n_cases):
    """Bytes from some byte on are missing, one to a whole frame; it goes on within a time-out."""
    start = time.monotonic()
    tally = Tally(seed)
    source = Source(seed, 4)
    n_bytes = int(len(source.content) * 1.01)
    worst = 0
    for number in range(n_cases):
        rng = random.Random(f"{seed} truncation {number}")
        hole = (number * n_bytes // n_cases, rng.choice((1, 1, 2, 17, 4096)))
        case = f"link:truncation:{number}"
        got = bad_cable(tally, source, rng, Faults(hole=hole), "truncation", case)
        worst = max(worst, got[2])
    if worst > 4:
        tally.add(Finding("T4", "link:truncation", "truncation", f"{worst:.1f} s for 16 KiB"))
    text = f"longest {worst:.2f} s for 16 KiB"
    return [
        _row("link: bytes missing at every place", tally, n_cases, text, start)
    ], tally.findings


def garbage(seed, n_cases):
    """Noise, REPL text and modem probes before every request; the next request is understood."""
    start = time.monotonic()
    tally = Tally(seed)
    source = Source(seed, 4)
    probes = (b"AT\r\n", b"ATE1 E0\r", b"\x03\x03\x01", b"\r\n>>> ", b"~\x00x\xf0~", b"+++")
    for number in range(n_cases):
        rng = random.Random(f"{seed} garbage {number}")
        noise = rng.choice(probes) + b"\0" if number % 3 else rng.randbytes(200) + b"\0"
        case = f"link:garbage:{number}"
        bad_cable(tally, source, rng, Faults(noise=noise), "garbage", case)
    flood = random.Random(seed).randbytes(min(1 << 20, n_cases * 4096))
    source.plug()
    for at in range(0, len(flood), 4096):
        source.bench.cable.host_write(flood[at : at + 4096])
        source.bench.run_ms(70)
    source.bench.cable.host_write(b"\0")
    source.bench.run_ms(10)
    link, cable = source.link(random.Random(seed), Faults())
    if link.hello()["device_id"] != source.session["device_id"] or link.n_retries:
        tally.add(Finding("T10", "link:garbage:flood", "garbage", "not in step after the flood"))
    text = f"{len(flood) >> 10} KiB of noise, then in step at once"
    return [_row("link: garbage, modem probes", tally, n_cases, text, start)], tally.findings


def device_reset(seed, n_cases):
    """The logger loses power in mid-transfer; the host goes on with the boot after."""
    start = time.monotonic()
    tally = Tally(seed)
    for number in range(n_cases):
        rng = random.Random(f"{seed} reset {number}")
        source = Source(seed + number, 8)
        archive = Archive()
        case = f"link:reset:{number}"
        n_bytes = int(len(source.content) * 1.01)
        link, _ = source.link(rng, Faults(cut_at=rng.randrange(1, n_bytes)))
        fetch(link, source.session, archive)
        source.bench.power_cut()
        source.connect()
        source.bench.run_ms(rng.randrange(1200))
        link, _ = source.link(rng, Faults())
        again = [
            session
            for session in link.list_sessions()
            if session["nonce"] == source.session["nonce"]
        ]
        error = fetch(link, again[0], archive) if again else "the session is not listed"
        if error is not None:
            tally.add(Finding("T7", case, "reset", f"not fetched after the reset: {error}"))
        for invariant, text in check_archive(archive, source.session, source.content):
            tally.add(Finding(invariant, case, "reset", text))
        archive.close()
    return [_row("link: logger reset in mid-transfer", tally, n_cases, "", start)], tally.findings


RATED = {
    "clean": {},
    "1e-6 bit errors": {"ber": 1e-6},
    "1e-5 bit errors": {"ber": 1e-5},
    "1e-4 bit errors": {"ber": 1e-4, "n_blocks": 8},
    "1e-3 bit errors": {"ber": 1e-3, "n_blocks": 4, "tries": 2},
    "1 % of frames lost": {"loss": 0.01},
    "10 % of frames lost": {"loss": 0.1},
    "20 % of frames doubled": {"dup": 0.2},
    "20 % of frames up to 2 s late": {"delay": 0.2, "most_delay_ms": 2000},
    "10 % late or reordered by ms": {"delay": 0.1, "most_delay_ms": 5},
    "lost, doubled, late, flipped": {
        "loss": 0.02,
        "dup": 0.05,
        "delay": 0.05,
        "most_delay_ms": 700,
        "ber": 3e-6,
    },
}


def hostile(seed, n_cases):
    """Frames that are whole and say nonsense: nothing is erased, nothing stops, nothing raises.

    ERASE names the session on the card and any digest but the right one; CONTROL and the rest are
    noise.
    """
    start = time.monotonic()
    tally = Tally(seed)
    source = Source(seed, 4)
    bench = source.bench
    bench.link.control(m.CONTROL_START, bench.app.boot)
    rng = random.Random(seed)
    service = bench.app.service
    writes = len(bench.card.journal)
    kinds = [row[0] for row in m.MESSAGES]
    for number in range(n_cases):
        kind = rng.choice((m.ERASE, *kinds, rng.randrange(256)))
        payload = rng.randbytes(rng.randrange(80))
        if kind == m.ERASE and rng.random() < 0.7:
            names = ("device_id", "boot", "nonce", "first_seq", "n_blocks")
            values = {name: source.session[name] for name in names}
            payload = m.build(m.ERASE_REQUEST, {**values, "digest": rng.randbytes(32)})
        bench.cable.host_write(frame(kind, rng.randrange(256), payload))
        if number % 8 == 0:
            bench.run_ms(3)
            bench.cable.host_read()
    bench.run_ms(200)
    bench.cable.host_read()
    case = f"link:hostile:{n_cases}"
    sent = bench.card.journal[writes:]
    places = {bench.layout.position(write.sector)[0] for write in sent}
    if bench.app.store.extent.released_seq or min(places) < bench.layout.first:
        tally.add(Finding("T12", case, "hostile", "a session was erased without its digest"))
    if not bench.app._recording:
        tally.add(Finding("T2", case, "hostile", "noise stopped the recording"))
    text = f"0 erased, {len(service._waiting)} requests left over"
    return [_row("link: hostile commands", tally, n_cases, text, start)], tally.findings


def two_loggers(seed, n_cases):
    """A fetch is cut off; then another logger, at the same boot and the same places, is fetched
    into the same folder.
    """
    start = time.monotonic()
    tally = Tally(seed)
    for number in range(n_cases):
        rng = random.Random(f"{seed} two {number}")
        sources = [Source(seed + 2 * number + i, 6) for i in range(2)]
        archive = Archive()
        case = f"link:two_loggers:{number}"
        link, _ = sources[0].link(rng, Faults(cut_at=rng.randrange(1, 6 * BLOCK_BYTES)))
        fetch(link, sources[0].session, archive)
        errors = []
        for source in reversed(sources):
            link, _ = source.link(rng, Faults())
            errors.append(fetch(link, source.session, archive))
        found = sorted(path.read_bytes() for path in archive.files())
        if any(errors) or found != sorted(source.content for source in sources):
            text = f"{len(found)} files, not those of two loggers: {errors}"
            tally.add(Finding("T7", case, "two loggers", text))
        archive.close()
    return [_row("link: two loggers, one folder", tally, n_cases, "", start)], tally.findings
