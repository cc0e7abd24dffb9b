"""What could not be seen of flights, and when: sensors that were faulty or silent, in words.

A report that shows no flight must say so if none could have been found.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from slog import signal_table as st
from stagelog.events import SignalTable
from stagelog.profile.schema import Profile
from stagelog.report.stage import Stage
from stagelog.report.tables import Facts

_STATES = {
    "implausible": "implausible",
    "stuck": "stuck",
    "status": "faulty by its own status",
    "stale": "silent",
}
_SLOT = st.COLUMNS[st.SIGNALS].index("slot")
_N = len(st.COLUMNS[st.SIGNALS])
_ENOUGH_DAMPERS = 3  # that the detector needs, of four


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """A time during which something of flights could not be seen; end_us None: to the end.

    hides   "flights", "short" (short flights and more), or "speed"
    text    all of it in words, without the time
    faults  the faults of StageEvents that it comes from
    """

    t_us: int
    end_us: int | None
    hides: str
    text: str
    faults: tuple[Facts, ...] = ()


def find_blind_spots(
    profile: Profile, faults: Iterable[Facts], table: SignalTable | None
) -> list[BlindSpot]:
    """Return the BlindSpots of a stage in order.

    faults   those of events.StageEvents
    table    SignalTable, None if it is not known
    """
    carried = _messages_of(table) if table else {}
    roles = profile.roles
    watched = {*roles.acceleration, *roles.rates, *roles.damper, *roles.wheel_speed}
    lost = []
    for fault in faults:
        names = {n for n in watched if fault["what"] in (n, carried.get(n))}
        if names:
            lost.append((fault["t_us"], fault["end_us"], names, fault))
    edges = sorted({t for start, end, *_ in lost for t in (start, end) if t is not None})
    spots: list[BlindSpot] = []
    for t_us, end_us in zip(edges, [*edges, None][1:], strict=True):
        now = [x for x in lost if x[0] <= t_us and (x[1] is None or x[1] > t_us)]
        hides, words = _hidden(profile, set().union(*(names for *_, names, _ in now)))
        if not hides:
            continue
        why = tuple(fault for *_, fault in now)
        text = f"{words}: {_listed(why)}"
        last = spots[-1] if spots else None
        if last and last.end_us == t_us and last.text == text:
            spots[-1] = BlindSpot(last.t_us, end_us, hides, text, last.faults + why)
        else:
            spots.append(BlindSpot(t_us, end_us, hides, text, why))
    return spots


def joined(spots: Iterable[BlindSpot]) -> list[BlindSpot]:
    """Return BlindSpots in which those that hide the same and follow each other are one, with all
    of their sensors.
    """
    found: list[BlindSpot] = []
    for spot in spots:
        words, last = spot.text.partition(": ")[0], found[-1] if found else None
        if last and last.end_us == spot.t_us and last.text.partition(": ")[0] == words:
            faults = last.faults + spot.faults
            text = f"{words}: {_listed(faults)}"
            found[-1] = BlindSpot(last.t_us, spot.end_us, spot.hides, text, faults)
        else:
            found.append(spot)
    return found


def when(stage: Stage, spot: BlindSpot) -> str:
    """Return when a BlindSpot was, in minutes and seconds of the stage."""
    start = f"from {_clock(stage, spot.t_us)}"
    return f"{start} on" if spot.end_us is None else f"{start} to {_clock(stage, spot.end_us)}"


def sentence(stage: Stage, spot: BlindSpot) -> str:
    """Return a BlindSpot with its time: "flights cannot be found from 14:03 on: AccX stuck"."""
    words, _, sensors = spot.text.partition(": ")
    return f"{words} {when(stage, spot)}: {sensors}"


def _hidden(profile: Profile, names: set[str]) -> tuple[str, str]:
    roles, short_ms = profile.roles, profile.airborne.acc_only_confirm_ms
    n_dampers = len(set(roles.damper) - names)
    no_force = bool(names & set(roles.acceleration))
    if no_force and n_dampers < _ENOUGH_DAMPERS:
        return "flights", "flights cannot be found"
    short = f"flights under {short_ms:.0f} ms cannot be found"
    if no_force or names & set(roles.rates):
        return "short", f"{short}, others less surely, landings have no peak"
    if n_dampers < _ENOUGH_DAMPERS:
        return "short", f"{short}, and a light crest may be taken for one"
    if set(roles.wheel_speed) <= names:
        return "speed", "the speed of take-offs is not known"
    return "", ""


def _listed(faults: Iterable[Facts]) -> str:
    """Return which sensors are lost and how, those with the same fault together."""
    by_state: dict[str, list[str]] = {}
    for fault in faults:
        state: str = fault["state"]
        by_state.setdefault(_STATES.get(state, state), []).append(fault["what"])
    return "; ".join(f"{', '.join(dict.fromkeys(w))} {s}" for s, w in by_state.items())


def _messages_of(table: SignalTable) -> dict[str, str]:
    """Return {signal: the message that carries it} of a SignalTable."""
    _, sections = st.load(table.data)
    rows = sections[st.SIGNALS]
    return {name: table.slots[rows[_N * i + _SLOT]] for i, name in enumerate(table.signals)}


def _clock(stage: Stage, t_us: int) -> str:
    minutes, seconds = divmod(int(stage.seconds(t_us)), 60)
    return f"{minutes}:{seconds:02d}"
