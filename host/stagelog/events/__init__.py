"""What the car went through, as events: compiled for the logger, recomputed on the host.

table = compile_table(profile, dbc)          the signal table for CONFIG_SIGNALS
events = recompute(frames, table)            the car's detectors, run on the host
said = load_events(session)                  what the car said on board
compare_events(said, events)                 [] or a list of Disagreement
read_events(events, table)                   the same as dicts with names and units
flights_of(events)                           flights as dicts, take-off and landing in one
summarise(events)                            the newest running summary
add_lives(summaries)                         several sessions as one: component lives
"""

from stagelog.events.compare import Disagreement, compare_events, load_events
from stagelog.events.compile import SignalTable, TableProblem, compile_table
from stagelog.events.reading import add_lives, flights_of, read_events, summarise
from stagelog.events.recompute import Detected, Recomputation, recompute

__all__ = [
    "Detected",
    "Disagreement",
    "Recomputation",
    "SignalTable",
    "TableProblem",
    "add_lives",
    "compare_events",
    "compile_table",
    "flights_of",
    "load_events",
    "read_events",
    "recompute",
    "summarise",
]
