"""Rows of the power pulled: what the board called stored must be there afterwards, once each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from slog import messages as m
from stagelog.bringup.recorder import NO_SLOT, Recorder, fetch_blocks, frames_of, open_logger
from stagelog.bringup.recording import check_numbers
from stagelog.bringup.sheet import Row, at_most, not_measured
from stagelog.errors import DeviceError

_FRAMES = 1_000_000  # more than anybody waits for
_RECORD_S = 2.0
_FIRST_S = 20.0  # at most, until the first frame is stored
_PER_BLOCK = 50
_TITLE = "power pulled while it records"


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull. `stored`: frames that STATUS called stored just before; of those on the card:
    `lost` within them, `twice`, `behind`, `wrong`.
    """

    stored: int
    lost: int
    twice: int
    behind: int
    wrong: int


def pull_once(recorder: Recorder, wait_s: float) -> Pull:
    """Record, take the power away, give it back, and see what the logger finds on its card."""
    bench = recorder.bench
    stored = 0
    with recorder.running(_FRAMES, True, _PER_BLOCK, False) as link:
        hello = link.hello()
        start = bench.clock()
        while bench.clock() < start + wait_s or not stored:
            stored = link.status().stored0
            if not stored and bench.clock() > start + _FIRST_S:
                raise DeviceError(
                    f"no frame stored {_FIRST_S:.0f} s after the program began to send",
                    "see the rows of the controller and of the card: --rows wires,capture",
                )
        bench.take_power()
    bench.give_power()
    link, _ = open_logger(bench, lambda answer: answer.slot != NO_SLOT)
    try:
        link.control(m.CONTROL_STOP, link.hello().boot)
        ours = [one for one in link.list_sessions() if one.boot == hello.boot]
        if not ours:
            raise DeviceError("the session of before the pull is not on the card", "another card")
        frames = frames_of(fetch_blocks(link, ours[0]))
    finally:
        link.close()
    n_sent = max(stored, len(frames))
    lost, twice, behind, wrong = check_numbers(frames, n_sent)
    return Pull(stored, lost, twice, behind, wrong)


def power_rows(recorder: Recorder, n: int, say: Callable[[str], None]) -> Iterator[Row]:
    """Pull the power `n` times."""
    if not recorder.bench.can_pull:
        why = "nobody is there to pull it, and --power names no command"
        yield not_measured("power.lost", _TITLE, why)
        return
    if not n:
        yield not_measured("power.lost", _TITLE, "not asked for")
        return
    pulls = []
    for i in range(n):
        say(f"power: pull {i + 1} of {n}")
        pulls.append(pull_once(recorder, _RECORD_S * (0.5 + i / n)))
    unit = f"in {n} pulls, {sum(pull.stored for pull in pulls):,} frames stored"
    action = "another card: this one forgets what it has confirmed"
    for name, title in (
        ("lost", "frames that were stored and are gone"),
        ("twice", "frames stored twice"),
        ("behind", "frames behind a later one"),
        ("wrong", "frames with wrong bytes"),
    ):
        total = sum(getattr(pull, name) for pull in pulls)
        yield at_most(f"power.{name}", f"{_TITLE}: {title}", total, 0, unit, action)
