"""The text of a new fleet file: an example that is edited, with the loggers that answer."""

from collections.abc import Iterable

from stagelog.replies import Hello

_HEAD = """\
# The fleet: what stagelog remembers; 'stagelog fleet check' checks it. Paths are relative to
# this file.

schema = "stagelog.fleet.v1"
archive = "archive"
# firmware = "0.1.0"      # the version every logger shall have; without it any
# firmware_sha256 = "..."  # the very program, as 'stagelog status --json' names it

[event]
name = {event}
utc_offset_h = 0          # the event's clock; the stage in hand is the last whose date has come
# stage = "SS01"          # or name it here
"""
_CAR = """
[[car]]
name = {car}
profile = "d7xr"          # a shipped profile, or a file
# dbc = {{ can0 = "powertrain.dbc", can1 = "chassis.dbc" }}   # without it the profile's DBC
# settings = "car.json"  # of its loggers; without it: the name of the car, all else as shipped
"""
_LOGGER = """
[[logger]]
device_id = {device_id}
car = {car}
place = ""                # where it is in the car, for people
"""
_STAGES = """
[[stage]]
name = "SS01"
date = 2026-01-04
hours = 8                 # how long the loggers have power: liaison and waiting, too
order = [                 # liaison, special, neutral, refuel, service
  { kind = "liaison", km = 100 },
  { kind = "special", km = 200 },
  { kind = "refuel", fuel_l = 150 },
  { kind = "special", km = 105 },
  { kind = "liaison", km = 60 },
]

[start]
confirm = [               # what nobody but a person at the car can see
  "the organiser's box has power, its green light is on",
]
"""


def text_of_new(event: str, hellos: Iterable[Hello]) -> str:
    """Return the text of a fleet file with the loggers of `hellos` and their cars."""
    loggers = {hello.device_id.hex(): _car_of(hello) for hello in hellos}
    cars = sorted(set(loggers.values())) or ["C01"]
    text = _HEAD.format(event=_quoted(event))
    for car in cars:
        text += _CAR.format(car=_quoted(car))
    for device_id, car in sorted(loggers.items(), key=lambda item: (item[1], item[0])):
        text += _LOGGER.format(device_id=_quoted(device_id), car=_quoted(car))
    return text + _STAGES


def _car_of(hello: Hello) -> str:
    """Return the car in a logger's settings, "C01" where that is no name: names are data."""
    text = hello.car_name
    return text if text.isprintable() and text.strip() else "C01"


def _quoted(text: str) -> str:
    """Return a text as a TOML string."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
