"""The bus campaign: a bus with every trouble the protocol knows, a listener's tape of it, and the
logger that must store just that.

Owns the kinds of trouble and what is checked after each (C1 to C14 of hil_tests/RELIABILITY.md).
Does not own the bus (`rig.bus`), which keeps to the protocol by itself, nor the logger. A case is
a kind and a number; with the seed it is the same for ever. What goes wrong is a Finding.

    frames      what is stored is what the listener saw: all of it, in order, to the microsecond
    truth       what is stored was offered by a sender: never a false frame
    silence     a listen-only logger drives no dominant bit; the bus itself asserts it too
    states      each change of the controller's state that outlives a poll is in a record
    account     the ledger closes, and nothing is dropped
"""

from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np

from campaigns.engine.results import Finding, findings_of, in_turn, rows_of
from stagelog.blocks import read_log
from stagelog.card import prepare_raw
from stagelog.ledger import account
from stagelog.rig import tape
from stagelog.rig.bus import Bus, nodes
from stagelog.rig.bus import faults as wire
from stagelog.rig.bus.controller import Frame
from stagelog.rig.bus.faults import BitFault, Effect
from stagelog.rig.bus.fd import FdFrame
from stagelog.rig.bus.node import to_table
from stagelog.rig.logger import VirtualLogger
from stagelog.rig.tape import join_tapes
from stagelog.rig.target import tape_events

MS = 10**6
BITRATE_bps = 500_000
POLL_us = 100_000
_FIGURES = ("frames", "error frames")
_COLUMNS = ("can_id", "flags", "dlc", "data")
_STATES = {1: tape.ACTIVE, 2: tape.WARNING, 3: tape.PASSIVE, 4: tape.BUS_OFF}


@dataclass(slots=True)
class Scene:
    """A bus about to run, and what its senders have offered so far.

    act   called with (scene) in the middle of the run: what can't be said as a fault
    """

    bus: Bus
    until_ns: int
    offered: list = field(default_factory=list)
    act: object = None
    listens: bool = True

    def send(self, name, source, **options):
        """Connect a sender whose frames are remembered."""
        return self.bus.add_node(name, self._remember(source), **options)

    def _remember(self, source):
        for due_ns, frames in source:
            self.offered.append(frames)
            yield due_ns, frames

    def run(self):
        """Run the bus; return its log."""
        if self.act is None:
            return self.bus.run(self.until_ns)
        first = self.bus.run(self.until_ns // 2)
        self.act(self)
        return first + self.bus.run(self.until_ns)

    @property
    def logger(self):
        """The node whose tape the logger gets."""
        return next(node for node in self.bus.nodes if node.name == "logger")


@dataclass(slots=True)
class Outcome:
    """What a logger made of tapes: its frames, its records, its ledgers, its last STATUS."""

    frames: np.ndarray
    meta: list
    ledgers: list
    status: dict


def scene(rng, until_ms=120, rate_Hz=900, n_senders=2, logger=None, bitrate_bps=BITRATE_bps):
    """Return a Scene of a car: senders of frames of every kind and the logger."""
    made = Scene(Bus(bitrate_bps), until_ms * MS)
    for i in range(n_senders):
        seed = int(rng.integers(1 << 30))
        made.send(f"n{i}", nodes.random_frames(rate_Hz, seed, i, n_senders))
    logger = {"listen_only": True} if logger is None else logger
    made.listens = logger.get("listen_only", False)
    if "source" in logger:
        made.send("logger", logger["source"])
    else:
        made.bus.add_node("logger", **logger)
    return made


def record(tapes, settings=None, loop_us=1000, until_us=None, n_blocks=4096):
    """Let a new logger listen to a tape of one or several buses; return the Outcome."""
    joined = join_tapes(tapes)
    joined["dlc"] = np.minimum(joined["dlc"], 8)  # a controller hands over 8 for all above
    settings = settings or {"buses": [{"bitrate_bps": BITRATE_bps}] * len(tapes)}
    with TemporaryDirectory() as folder:
        path = f"{folder}/card.img"
        prepare_raw(path, n_blocks)
        args = {"card": path, "settings": settings, "loop_us": loop_us}
        logger = VirtualLogger(args, tape_events(joined))
        logger.world.run_tape()
        logger.world.run_for(1_500_000)  # errors are reported once a second
        if until_us is not None:
            logger.world.run_until(until_us)
        status = logger.app.status()
        logger.close()
        log = read_log(path)
        frames = [part for session in log.sessions for part in session.iter_frames()]
        meta = [meta for session in log.sessions for meta in session.decoded_meta()]
        ledgers = [account(session, log.damaged) for session in log.sessions]
        return Outcome(np.concatenate(frames), meta, ledgers, status)


# the kinds of trouble


def clean(rng):
    """Random traffic from nothing to a full bus."""
    return scene(rng, rate_Hz=float(rng.choice([50, 500, 1500, 4000])))


def error_frames(rng):
    """Single bits disturbed for all nodes, anywhere in a frame."""
    made = scene(rng)
    for number in np.unique(rng.integers(0, 60, 20)).tolist():
        made.bus.add_fault(BitFault(Effect.WIRE_INVERT, None, number, int(rng.integers(0, 60))))
    return made


def bit_errors(rng):
    """Random bit errors that all nodes see."""
    made = scene(rng)
    rate = 10 ** -float(rng.uniform(2, 4))
    made.bus.add_fault(_random_flips(rng, rate, made, None))
    return made


def bit_errors_of_logger(rng):
    """Random bit errors that the logger alone sees."""
    made = scene(rng)
    made.bus.add_fault(_random_flips(rng, 10 ** -float(rng.uniform(2, 4)), made, "logger"))
    return made


def stuck_dominant(rng):
    """The bus, or one node, holds the line for a while."""
    made = scene(rng)
    node = ("n0", None)[rng.integers(2)]
    start = int(rng.integers(1, 60)) * MS + int(rng.integers(MS))
    timeout_ns = (None, 2 * MS)[rng.integers(2)]
    made.bus.add_fault(wire.stuck_dominant(start, start + 30 * MS, node, timeout_ns))
    return made


def stuck_recessive(rng):
    """The bus, or one node's transmitter, is dead for a while; senders go off and come back."""
    made = scene(rng)
    node = ("n0", None)[rng.integers(2)]
    start = int(rng.integers(1, 60)) * MS + int(rng.integers(MS))
    made.bus.add_fault(wire.stuck_recessive(start, start + 30 * MS, node))
    return made


def intermittent_logger(rng):
    """The logger's connector shakes."""
    made = scene(rng)
    rate_Hz = float(10 ** rng.uniform(1, 3.3))
    made.bus.add_fault(_shaking(rng, "logger", made, rate_Hz))
    return made


def intermittent_sender(rng):
    """A sender's connector shakes: it tears its own frames."""
    made = scene(rng)
    made.bus.add_fault(_shaking(rng, "n0", made, float(10 ** rng.uniform(1, 3.3))))
    return made


def unplugged(rng):
    """The logger is pulled off in the middle of a frame and put back in another."""
    made = scene(rng, rate_Hz=2500)
    start = int(rng.integers(10 * MS, 50 * MS))
    end = start + int(rng.integers(MS, 40 * MS))
    made.bus.add_fault(wire.disconnected("logger", start, end))
    return made


def wrong_rate(rng):
    """The logger's own bit rate is wrong."""
    rate = int(rng.choice([50_000, 125_000, 250_000, 475_000, 800_000, 1_000_000]))
    return scene(rng, logger={"listen_only": True, "bitrate_bps": rate})


def wrong_rate_sender(rng):
    """A node with the wrong bit rate sends into a good bus."""
    made = scene(rng)
    rate = int(rng.choice([125_000, 250_000, 1_000_000]))
    made.send("stranger", nodes.saturate(8, count=50), bitrate_bps=rate, auto_recover=False)
    return made


def babbling(rng):
    """A node fills the bus with frames of the highest priority."""
    made = scene(rng)
    n_bytes = int(rng.integers(0, 9))
    made.send("babbler", nodes.saturate(n_bytes, can_id=0, start_ns=20 * MS, count=300))
    return made


def flexible(rng):
    """CAN FD frames on the bus; classic nodes destroy them, or all only listen."""
    alone = bool(rng.integers(2))
    made = scene(rng, n_senders=0 if alone else 2)
    lengths = rng.choice([0, 8, 16, 64], 10).tolist()
    items = [(i * 5 * MS, FdFrame(0x100 + i, bytes(n))) for i, n in enumerate(lengths)]
    made.bus.add_fd_node("fd", items)
    return made


def alone(rng):
    """One sender, nobody who acknowledges: it repeats itself and turns passive."""
    return scene(rng, n_senders=1, until_ms=60)


def same_identifier(rng):
    """Two nodes send one identifier with different data."""
    made = scene(rng)
    due_ns = np.arange(1, 6) * 10 * MS
    for i in range(2):
        frames = to_table([Frame(0x123, 0, 2, bytes([i, k])) for k in range(len(due_ns))])
        made.send(f"twin{i}", iter([(due_ns, frames)]))
    return made


def duplicate(rng):
    """The sender misreads the last bit of a frame and sends it again: the bus had it twice."""
    made = scene(rng)
    for number in np.unique(rng.integers(0, 60, 12)).tolist():
        sees = ("n0", "n1")[rng.integers(2)]
        made.bus.add_fault(BitFault(Effect.HEAR_INVERTED, sees, number, -1))
    return made


def power_of_sender(rng):
    """A sender loses its power in the middle and comes back later."""
    made = scene(rng)

    def act(made):
        made.bus.nodes[0].switch(not made.bus.nodes[0].online)

    made.act = act
    return made


def search(rng):
    """The logger searches the bit rate while the bus runs: it changes its own in the middle."""
    first, second = rng.permutation([125_000, 250_000, 500_000, 1_000_000])[:2].tolist()
    made = scene(rng, logger={"listen_only": True, "bitrate_bps": first})
    made.act = lambda made: made.logger.retime(second)
    return made


def everything(rng):
    """Several troubles at once."""
    made = scene(rng)
    made.bus.add_fault(_random_flips(rng, 1e-4, made, None))
    made.bus.add_fault(_shaking(rng, ("n0", "logger")[rng.integers(2)], made, 300.0))
    start = int(rng.integers(1, 60)) * MS
    made.bus.add_fault(wire.stuck_dominant(start, start + 3 * MS))
    made.send("babbler", nodes.saturate(1, can_id=0, start_ns=80 * MS, count=100))
    return made


def error_states(rng):
    """A logger that takes part (a rig build) and sends: passive, bus-off, back again."""
    source = nodes.periodic([nodes.Periodic(0x700, 10 * MS)])
    made = scene(rng, until_ms=900, rate_Hz=200, logger={"source": source})
    fault = (wire.stuck_recessive, wire.stuck_dominant)[rng.integers(2)]
    start = int(rng.integers(50, 200)) * MS
    node = None if fault is wire.stuck_dominant else "logger"
    made.bus.add_fault(fault(start, start + int(rng.integers(100, 400)) * MS, node))
    return made


KINDS = {
    "clean": clean,
    "error frames": error_frames,
    "bit errors": bit_errors,
    "bit errors at the logger": bit_errors_of_logger,
    "stuck dominant": stuck_dominant,
    "stuck recessive": stuck_recessive,
    "intermittent connector, logger": intermittent_logger,
    "intermittent connector, sender": intermittent_sender,
    "unplugged mid-frame": unplugged,
    "wrong bit rate, logger": wrong_rate,
    "wrong bit rate, sender": wrong_rate_sender,
    "babbling node": babbling,
    "CAN FD": flexible,
    "nobody acknowledges": alone,
    "one identifier twice": same_identifier,
    "duplicate at the last EOF bit": duplicate,
    "sender loses power": power_of_sender,
    "search for the bit rate": search,
    "several at once": everything,
    "passive and bus-off (rig build)": error_states,
}


def _random_flips(rng, rate, made, node):
    seed = int(rng.integers(1 << 30))
    return wire.bit_errors(rate, BITRATE_bps, 0, made.until_ns, node, seed)


def _shaking(rng, node, made, rate_Hz):
    return wire.intermittent(node, 0, made.until_ns, rate_Hz, seed=int(rng.integers(1 << 30)))


# what must hold


def contents(rows):
    """Return what distinguishes frames, as a set of bytes; times and buses are not in it."""
    packed = np.zeros(len(rows), [(name, rows.dtype[name]) for name in _COLUMNS])
    for name in _COLUMNS:
        packed[name] = np.minimum(rows[name], 8) if name == "dlc" else rows[name]
    return set(packed.view(f"V{packed.itemsize}").tolist()) if len(packed) else set()


def frames_differ(seen, frames):
    """Return in words how the stored frames differ from those on a tape, or ""."""
    seen = seen[seen["kind"] == tape.FRAME]
    if len(seen) != len(frames):
        return f"the listener saw {len(seen)} frames, {len(frames)} are stored"
    for name in ("t_us", "bus", *_COLUMNS):
        wanted = np.minimum(seen[name], 8) if name == "dlc" else seen[name]
        same = wanted == frames[name]
        if not same.all():
            at = int(np.argmin(same.reshape(len(seen), -1).all(1)))
            return f"frame {at}: {name} is {frames[name][at]}, was {wanted[at]}"
    return ""


def lost_states(seen, meta, bus=0):
    """Return in words which states the tape has longer than a poll and the records have not."""
    rows = seen[(seen["kind"] == tape.STATE) & (seen["bus"] == bus)]
    reported = [(record.t_us, _STATES.get(record.arg)) for record in meta if record.name == "bus"]
    ends_us = np.append(rows["t_us"][1:], np.int64(seen["t_us"][-1]) if len(seen) else 0)
    for row, end_us in zip(rows, ends_us, strict=False):
        t_us, state = int(row["t_us"]), int(row["state"])
        if int(end_us) - t_us <= POLL_us + 2000:
            continue
        before = [a_state for at_us, a_state in reported if at_us <= t_us + POLL_us + 2000]
        if not before or before[-1] != state:
            return f"state {state} from {t_us} us on is in no record"
    return ""


def check(made, log, outcome):
    """Yield (invariant, words) of whatever does not hold after a run."""
    seen = log.tape("logger")
    if made.listens and made.logger.drove_dominant:
        yield "C2", "the listen-only logger drove a dominant bit"
    differ = frames_differ(seen, outcome.frames)
    if differ:
        yield "C1", differ
    offered = set().union(*map(contents, made.offered)) if made.offered else set()
    false = contents(outcome.frames) - offered
    if false:
        yield "C8", f"{len(false)} stored frames that nobody sent"
    lost = lost_states(seen, outcome.meta)
    if lost:
        yield "C5", lost
    for ledger in outcome.ledgers:
        if not ledger.closes:
            yield "C1", f"the ledger does not close: {ledger.breaks[0]}"
    n_errors = int((seen["kind"] == tape.ERROR).sum())
    n_reported = sum(record.values["n_errors"] for record in outcome.meta if record.name == "bus")
    if n_reported != n_errors:
        yield "C9", f"{n_errors} errors on the bus, {n_reported} reported"
    if outcome.status["dropped0"] or outcome.status["at_least0"]:
        yield "C9", f"frames were dropped: {outcome.status['dropped0']}"


def run_case(tally, kind, number):
    """Run one case; add its findings and figures to a Tally."""
    names = list(KINDS)
    rng = np.random.default_rng([tally.seed, names.index(kind), number])
    made = KINDS[kind](rng)
    case = f"{kind}:{number}"
    try:
        log = made.run()
        seen = log.tape("logger")
        outcome = record([seen])
    except Exception as error:
        tally.add(Finding("C2", case, kind, f"{type(error).__name__}: {error}"))
        return
    for name, text in check(made, log, outcome):
        tally.add(Finding(name, case, kind, text))
    tally.note_worst(f"frames, {kind}", len(outcome.frames))
    tally.note_worst(f"error frames, {kind}", int((seen["kind"] == tape.ERROR).sum()))


def run(tally, n_cases, seconds=None, keep=lambda: None):
    """Continue a Tally until it holds n_cases, kind by kind in turn."""
    in_turn(tally, KINDS, n_cases, run_case, seconds, keep)


def rows(tally):
    """Return the table of a Tally: one Row for each kind of trouble."""
    return rows_of(tally, {kind: f"bus: {kind}" for kind in KINDS}, partial(words_of, tally))


def words_of(tally, kind):
    """Return the worst figures of a kind of trouble in words."""
    frames, errors = (tally.worst.get(f"{what}, {kind}", 0) for what in _FIGURES)
    return f"{frames:,} frames, {errors:,} errors a case"


def reproduce(seed, case):
    """Run one case, "kind:number", again; return its findings."""
    return findings_of(seed, case, KINDS, run_case)
