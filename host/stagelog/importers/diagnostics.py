"""What an importer reports about a log: damage with its place, counts, and the kind of times.

Owns the values that importers return beside the frames. Reads nothing, raises nothing: an
imperfect log is data.
"""

from dataclasses import dataclass, field
from typing import Any

MAX_LISTED = 100  # damages listed per log; all are counted
UNKNOWN, STAMPS, HEADER, HEADER_UTC, LOGGER = "unknown", "stamps", "header", "header UTC", "logger"
CLOCK_TEXT = {
    UNKNOWN: "not known: times count from a zero that the log does not name",
    STAMPS: "from the stamps of the log itself",
    HEADER: "from the header of the log, which names no time zone: read as UTC",
    HEADER_UTC: "from the header of the log",
    LOGGER: "from the anchors of the logger",
}


@dataclass(frozen=True, slots=True)
class Damage:
    """One place where a log is not what its format says.

    kind    short and countable: "not a frame", "truncated", "checksum", ...
    place   "line 17", "byte 4096", "container 3"
    detail  what stood there, or what was done
    """

    kind: str
    place: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


@dataclass(slots=True)
class Diagnostics:
    """Collects while a log is read; complete when its last frame has been handed out.

    times       "absolute" (Unix epoch), "relative" (from a zero the log does not name), "delta"
                (differences, summed up by the reader), "none"
    clock       what is known of the wall clock where times are absolute, see CLOCK_TEXT
    n_frames    frames handed out, error frames included
    n_other     objects or lines that are whole and carry no frame (comments, markers)
    n_dropped   frames that the recording tool itself reports as lost
    counts      number of damages per kind; `damages` lists the first 100 of all
    """

    source: str = ""
    kind: str = ""
    times: str = "absolute"
    clock: str = "unknown"
    n_bytes: int = 0
    n_frames: int = 0
    n_other: int = 0
    n_dropped: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    share: float = 0.0  # of the file that was read so far, for progress; 0 to 1

    def add(self, kind: str, place: str, detail: str = "", n: int = 1) -> None:
        """Count `n` damages of a kind; list the first of them while there is room."""
        self.counts[kind] = self.counts.get(kind, 0) + n
        if len(self.damages) < MAX_LISTED:
            text = "".join(c if c.isprintable() else "." for c in detail[:120])
            self.damages.append(Damage(kind, place, text))

    def note(self, text: str) -> None:
        """Keep one remark about the whole log."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def n_damages(self) -> int:
        """Return the number of damages of all kinds."""
        return sum(self.counts.values())

    @property
    def ok(self) -> bool:
        """Return True if the log was whole and the recorder lost nothing that it knew of."""
        return not self.counts and not self.n_dropped

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON types, damages as text."""
        return {
            "source": self.source,
            "kind": self.kind,
            "times": self.times,
            "clock": self.clock,
            "n_bytes": self.n_bytes,
            "n_frames": self.n_frames,
            "n_other": self.n_other,
            "n_dropped": self.n_dropped,
            "damage_counts": dict(self.counts),
            "damages": [str(d) for d in self.damages],
            "notes": list(self.notes),
        }
