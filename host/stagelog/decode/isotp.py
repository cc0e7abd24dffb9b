"""Diagnostics on a bus: messages of ISO 15765-2 (ISO-TP), put together by the library can-isotp.

Owns which identifiers are read, those of ISO 15765-4: 7DF, 7E0 to 7EF, 18DAxxxx (to one) and
18DBxxxx (to all); and the names of services (ISO 14229-1 UDS, SAE J1979 OBD). Nothing is sent:
flow control comes from the partners in the log. A message of which a frame is missing is counted
as lost and never handed out.
"""

import logging
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stagelog.model import ERR, EXT, FD, RTR, FrameTable

NEGATIVE = 0x7F
_POSITIVE = 0x40  # added to the number of a service in its answer
_FLOW_CONTROL = 3
SERVICES = {
    0x01: "current data (OBD)",
    0x02: "freeze frame (OBD)",
    0x03: "stored trouble codes (OBD)",
    0x04: "clear trouble codes (OBD)",
    0x06: "monitored systems (OBD)",
    0x07: "pending trouble codes (OBD)",
    0x09: "vehicle information (OBD)",
    0x0A: "permanent trouble codes (OBD)",
    0x10: "diagnostic session control",
    0x11: "reset",
    0x14: "clear diagnostic information",
    0x19: "read trouble codes",
    0x22: "read data by identifier",
    0x23: "read memory by address",
    0x27: "security access",
    0x28: "communication control",
    0x2C: "define data identifier",
    0x2E: "write data by identifier",
    0x2F: "input output control",
    0x31: "routine control",
    0x34: "request download",
    0x35: "request upload",
    0x36: "transfer data",
    0x37: "end of transfer",
    0x3D: "write memory by address",
    0x3E: "tester present",
    0x85: "control of trouble code setting",
}


class Message(NamedTuple):
    """A message of diagnostics; `t_us` is the time of its last frame."""

    t_us: int
    bus: int
    can_id: int
    is_ext: bool
    data: bytes


def is_diagnostic(can_id: int, is_ext: bool) -> bool:
    """Return whether an identifier is one of ISO 15765-4."""
    if is_ext:
        return can_id >> 16 in (0x18DA, 0x18DB)
    return can_id == 0x7DF or 0x7E0 <= can_id <= 0x7EF


class Listener:
    """Puts messages together, table after table. `n_lost` counts those that never became whole."""

    def __init__(self) -> None:
        self.n_lost = 0
        self._isotp = _import_isotp()
        self._layers: dict[tuple[int, int, bool], tuple[Any, deque[Any]]] = {}

    def feed(self, frames: FrameTable) -> Iterator[Message]:
        """Yield the messages that end in a frame table, in the order of their last frames."""
        for frame in frames[_is_candidate(frames)]:
            data = frame["data"][: frame["n_bytes"]].tobytes()
            if not data or data[0] >> 4 == _FLOW_CONTROL:
                continue
            is_ext = bool(frame["flags"] & EXT)
            key = (int(frame["bus"]), int(frame["can_id"]), is_ext)
            layer, queue = self._layers.get(key) or self._open(key)
            queue.append(
                self._isotp.CanMessage(
                    arbitration_id=key[1],
                    data=data,
                    extended_id=is_ext,
                    is_fd=bool(frame["flags"] & FD),
                )
            )
            layer.process(do_tx=False)
            while (whole := layer.recv()) is not None:
                yield Message(int(frame["t_us"]), *key, bytes(whole))

    def _open(self, key: tuple[int, int, bool]) -> tuple[Any, deque[Any]]:
        isotp, (_, can_id, is_ext) = self._isotp, key
        modes = isotp.AddressingMode
        mode = modes.Normal_29bits if is_ext else modes.Normal_11bits
        queue: deque[Any] = deque()
        layer = isotp.TransportLayerLogic(
            rxfn=lambda _: queue.popleft() if queue else None,
            txfn=lambda _: None,
            address=isotp.Address(mode, rxid=can_id, txid=can_id ^ 8),
            error_handler=self._count,
            params={"listen_mode": True, "rx_consecutive_frame_timeout": 3_600_000},
        )
        self._layers[key] = layer, queue
        return layer, queue

    def _count(self, _: Exception) -> None:
        self.n_lost += 1


@dataclass(slots=True)
class Summary:
    """The diagnostics of a log: messages by (bus, identifier, is_ext, service as in words)."""

    n_messages: int = 0
    n_lost: int = 0
    services: Counter[tuple[int, int, bool, str]] = field(default_factory=Counter)


def summarize(tables: Iterable[FrameTable]) -> Summary:
    """Return the Summary of the diagnostics in frame tables."""
    listener, found = Listener(), Summary()
    for frames in tables:
        for message in listener.feed(frames):
            found.n_messages += 1
            key = (message.bus, message.can_id, message.is_ext, service_text(message.data))
            found.services[key] += 1
    found.n_lost = listener.n_lost
    return found


def service_text(data: bytes) -> str:
    """Return what a message of diagnostics is, in words: "22 read data by identifier"."""
    number = data[0]
    if number == NEGATIVE:
        return f"7F refusal of {data[1]:02X}" if len(data) > 1 else "7F refusal"
    name = SERVICES.get(number) or SERVICES.get(number - _POSITIVE, "service of the maker")
    answer = "answer: " if number not in SERVICES and number - _POSITIVE in SERVICES else ""
    return f"{number:02X} {answer}{name}"


def _is_candidate(frames: FrameTable) -> NDArray[np.bool_]:
    ids, flags = frames["can_id"], frames["flags"]
    is_ext = (flags & EXT) != 0
    found = is_ext & np.isin(ids >> np.uint32(16), (0x18DA, 0x18DB))
    found |= ~is_ext & ((ids == 0x7DF) | ((ids >= 0x7E0) & (ids <= 0x7EF)))
    return found & ((flags & (RTR | ERR)) == 0)


def _import_isotp() -> ModuleType:
    """Return can-isotp, imported without python-can, which takes a second and is not used."""
    if "isotp" not in sys.modules and "can" not in sys.modules:
        sys.modules["can"] = None  # type: ignore[assignment]  # import can fails then
        try:
            import isotp
        finally:
            del sys.modules["can"]
    import isotp

    logging.getLogger("isotp").setLevel(logging.CRITICAL)  # what is not whole is counted here
    return isotp
