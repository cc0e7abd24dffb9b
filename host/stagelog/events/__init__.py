"""Events of the car: its signal table for the logger, its detectors run again on the host.

table = compile_table(profile, dbc)       the signal table for CONFIG_SIGNALS
events = recompute(frames, table)         the car's detectors, run on the host
recorded = load_events(session)           the events that the car recorded on board
compare_events(recorded, events)          [] or a list of Disagreement
find_window(ledger, recorded)             the part of a session that can be compared
read_events(events, table)                events as facts with names and units
flights_of(events)                        each flight with its landing
summarise(events)                         the newest running summary
add_lives(summaries)                      one summary of several sessions: component lives
fuel_by_terrain(events, mode, profile)    litres per 100 km, compared with the plan
find_gear_abuse(series, profile)          over-rev, shifts under load, slip: from the raw log
"""

from stagelog.events.compare import Disagreement, compare_events, find_window, load_events
from stagelog.events.compile import SignalTable, TableProblem, compile_table
from stagelog.events.consumption import fuel_by_terrain
from stagelog.events.gearbox import find_gear_abuse
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
    "find_gear_abuse",
    "find_window",
    "flights_of",
    "fuel_by_terrain",
    "load_events",
    "read_events",
    "recompute",
    "summarise",
]
