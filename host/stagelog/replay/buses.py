"""Buses of python-can as targets of a replay, one for each bus of the log.

    "socketcan:can0"            gets the frames of all buses that no other target names
    "1=socketcan:can1"          gets those of bus 1 of the log

Owns opening and closing, and the map from bus numbers. Raises UsageError for an interface that
python-can does not know, DeviceError for one that cannot be opened.
"""

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from stagelog.can_messages import messages_of
from stagelog.errors import DeviceError, UsageError
from stagelog.extras import need
from stagelog.model import FrameTable

if TYPE_CHECKING:
    from can import BusABC

_TARGET = re.compile(r"(?:(\w+)=)?([A-Za-z_]\w*):(.+)")


@dataclass(frozen=True, slots=True)
class Target:
    """Where frames go: `bus` is a number, None for all that are left."""

    bus: int | None
    interface: str
    channel: str


@dataclass(frozen=True, slots=True)
class Buses:
    """Open buses. `build` and `send` are what play() takes, `refusals` what `send` may raise.

    names   of the buses, for people
    """

    names: tuple[str, ...]
    build: Callable[[FrameTable], Iterable[Any]]
    send: Callable[[Any], object]
    refusals: tuple[type[Exception], ...]


def parse_target(text: str, ifaces: Sequence[str] = ()) -> Target:
    """Return the Target of "INTERFACE:CHANNEL" or "BUS=INTERFACE:CHANNEL".

    BUS is a number or one of `ifaces`, the names of the log's buses.
    """
    found = _TARGET.fullmatch(text)
    if not found:
        raise UsageError(f'"{text}" names no bus', "give INTERFACE:CHANNEL, as in socketcan:can0")
    name, interface, channel = found.groups()
    if name is None or name.isdigit():
        return Target(None if name is None else int(name), interface, channel)
    if name not in ifaces:
        listed = ", ".join(filter(None, ifaces)) or "none with a name"
        raise UsageError(f'the log has no bus "{name}"', f"it has {listed}")
    return Target(list(ifaces).index(name), interface, channel)


@contextlib.contextmanager
def open_buses(
    texts: Iterable[str], numbers: Collection[int] = (), ifaces: Sequence[str] = (), **options: Any
) -> Iterator[Buses]:
    """Open python-can's buses and yield Buses.

    numbers   bus numbers that the frames have; each must have a target
    options   for can.Bus: bitrate=500_000, fd=True, ...
    """
    can = need("can", "can")
    targets = [parse_target(text, ifaces) for text in texts]
    of_bus = {target.bus: target for target in targets}
    if len(of_bus) < len(targets):
        raise UsageError("two buses for the same frames", "number them: 0=..., 1=...")
    homeless = [n for n in numbers if n not in of_bus and None not in of_bus]
    if homeless:
        raise UsageError(
            f"no bus for the frames of bus {homeless[0]}", f"add {homeless[0]}=INTERFACE:CHANNEL"
        )
    with contextlib.ExitStack() as stack:
        opened: dict[int | None, BusABC] = {}
        for target in targets:
            opened[target.bus] = bus = _open(can, target, options)
            stack.callback(bus.shutdown)
        yield Buses(
            tuple(f"{t.interface}:{t.channel}" for t in targets),
            *_functions(opened),
            (can.CanError,),
        )


def _functions(
    opened: "dict[int | None, BusABC]",
) -> tuple[Callable[[FrameTable], Iterable[Any]], Callable[[Any], object]]:
    """Return (build, send): the first pairs each message with its bus, the second sends it."""
    found = [opened.get(k, opened.get(None)) for k in range(256)]
    sends = [None if bus is None else bus.send for bus in found]
    as_messages = partial(messages_of, channel_of=range(256))
    if None in opened and len(opened) == 1:
        return as_messages, opened[None].send

    def build(frames: FrameTable) -> Iterable[Any]:
        ways = [sends[bus] for bus in frames["bus"].tolist()]
        return zip(ways, as_messages(frames), strict=True)

    def send(pair: tuple[Callable[[Any], object], Any]) -> None:
        pair[0](pair[1])

    return build, send


def _open(can: Any, target: Target, options: dict[str, Any]) -> "BusABC":
    if target.interface not in can.VALID_INTERFACES:
        known = ", ".join(sorted(can.VALID_INTERFACES))
        raise UsageError(f'python-can has no interface "{target.interface}"', f"it has {known}")
    name = f"{target.interface}:{target.channel}"
    try:
        return can.Bus(interface=target.interface, channel=target.channel, **options)
    except (can.CanError, OSError, ImportError, ValueError, TypeError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DeviceError(f"cannot open {name}: {text}", "check its name and cable") from None
