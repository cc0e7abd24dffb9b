"""The host end of the board's USB cable: enumeration, the serial port of CDC, pulling the cable.

Owns the control requests and the two byte streams. The wire's time is the controller's
(patches.PatchedUsb). While the port is closed or the host does not read, the firmware's packets
wait, as they do on a real bus.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rp2040py.usb.cdc import extract_control_interface_number, extract_endpoint_numbers
from rp2040py.usb.interfaces import (
    DataDirection,
    DescriptorType,
    ISetupPacketParams,
    SetupRecipient,
    SetupType,
)
from rp2040py.usb.setup import (
    create_setup_packet,
    get_descriptor_packet,
    set_device_address_packet,
    set_device_configuration_packet,
)

if TYPE_CHECKING:
    from stagelog.rig.rp2040.chip import Chip

_SET_LINE_STATE = 0x22
_FRAME_us = 1000  # a host works through control requests at about one a frame
_RESET_us = 10_000
_IN, _OUT, _DONE = range(3)


class _Request:
    """One control transfer: the setup packet, then data in, then the status stage."""

    def __init__(
        self,
        setup: bytearray,
        n_in: int = 0,
        then: Callable[[bytearray], None] | None = None,
    ) -> None:
        self.setup = setup
        self.n_in = n_in
        self.then = then
        self.data = bytearray()
        self.stage = _IN


class UsbHost:
    """A host at the other end of the cable. Invariant: at most one control transfer runs.

    received   bytes that the firmware has sent and nobody has read
    """

    def __init__(self, chip: Chip) -> None:
        self._usb = chip.usb
        self._clock = chip.clock
        self._next = chip.clock.create_alarm(self._start_request)
        self._reset = chip.clock.create_alarm(self._bus_reset)
        self.received = bytearray()
        self.reading = True
        self.n_sent = 0
        self.plugged = False
        self._enabled = False
        self._forget()
        chip.usb.on_usb_enabled = self._firmware_ready
        chip.usb.on_reset_received = self._reset_received

    def _forget(self) -> None:
        self._requests: deque[_Request] = deque()
        self._running: _Request | None = None
        self._in = self._out = -1
        self._interface = 0
        self._to_send = bytearray()
        self.connected = False

    def plug(self) -> None:
        """Put the cable in; the host resets and enumerates the device."""
        self.plugged = True
        self._usb.host = self
        if self._enabled:
            self._reset.schedule_at(self._clock.t_us + _RESET_us)

    def unplug(self) -> None:
        """Pull the cable; what was not yet sent is gone."""
        self.plugged = False
        self._usb.host = None
        self._reset.cancel()
        self._next.cancel()
        self._forget()
        self._usb.suspend()

    def chip_reset(self) -> None:
        """The chip was reset: the device has dropped off the bus."""
        self._reset.cancel()
        self._next.cancel()
        self._forget()
        self._enabled = False

    def set_open(self, is_open: bool) -> None:
        """Open or close the port: raise or drop DTR and RTS."""
        self.reading = is_open
        self._ask(_Request(self._class_request(_SET_LINE_STATE, 3 if is_open else 0)))
        self._usb.serve()

    def write(self, data: bytes | bytearray) -> None:
        """Queue bytes for the firmware; they go out as it takes them."""
        self._to_send += data
        self._usb.serve()

    @property
    def n_waiting(self) -> int:
        """Bytes written that the firmware has not taken."""
        return len(self._to_send)

    def discard_output(self) -> None:
        """Discard what was written and not taken."""
        self._to_send.clear()

    # called by the controller

    def reads_in(self, endpoint: int) -> bool:
        """True if the host polls this endpoint."""
        if endpoint == 0:
            return self._running is not None and self._running.stage == _IN
        return self.reading and endpoint == self._in

    def take_out(self, endpoint: int, n_bytes: int) -> bytes | None:
        """Return at most n_bytes, or None if there is nothing to send."""
        if endpoint == 0:
            return b"" if self._running is not None and self._running.stage == _OUT else None
        if endpoint != self._out or not self._to_send:
            return None
        data = bytes(self._to_send[:n_bytes])
        del self._to_send[:n_bytes]
        return data

    def got_out(self, endpoint: int) -> None:
        """A packet of the host has arrived at the firmware."""
        if endpoint == 0:
            self._finish_request()

    def got_in(self, endpoint: int, data: bytes) -> None:
        """A packet of the firmware has arrived."""
        if endpoint == self._in:
            self.received += data
        elif endpoint == 0 and self._running is not None:
            self._running.data += data
            if not self._running.n_in:
                self._finish_request()
            elif len(self._running.data) >= self._running.n_in or len(data) < 64:
                self._running.stage = _OUT

    # enumeration

    def _firmware_ready(self) -> None:
        self._enabled = True
        if self.plugged:
            self._reset.schedule_at(self._clock.t_us + _RESET_us)

    def _bus_reset(self) -> None:
        self._forget()
        self._usb._on_reset_alarm()

    def _reset_received(self) -> None:
        if self.plugged and not self._requests and self._running is None:
            self._ask(_Request(set_device_address_packet(1), then=self._addressed))

    def _addressed(self, data: bytearray) -> None:
        self._ask(_Request(get_descriptor_packet(DescriptorType.CONFIGRATION, 9), 9, self._sized))

    def _sized(self, data: bytearray) -> None:
        size = int.from_bytes(data[2:4], "little")
        self._ask(
            _Request(
                get_descriptor_packet(DescriptorType.CONFIGRATION, size), size, self._described
            )
        )

    def _described(self, data: bytearray) -> None:
        self._in, self._out = extract_endpoint_numbers(list(data))
        self._interface = max(extract_control_interface_number(list(data)), 0)
        self._ask(_Request(set_device_configuration_packet(1)))
        self._ask(_Request(self._class_request(_SET_LINE_STATE, 3), then=self._ready))

    def _ready(self, data: bytearray) -> None:
        self.connected = True

    def _class_request(self, number: int, value: int) -> Any:
        return create_setup_packet(
            ISetupPacketParams(
                data_direction=DataDirection.HOST_TO_DEVICE,
                type=SetupType.CLASS,
                recipient=SetupRecipient.INTERFACE,
                b_request=number,
                w_value=value,
                w_index=self._interface,
                w_length=0,
            )
        )

    def _ask(self, request: _Request) -> None:
        self._requests.append(request)
        if self._running is None and not self._next.scheduled:
            self._next.schedule_at(self._clock.t_us + _FRAME_us)

    def _start_request(self) -> None:
        if not self._requests or not self.plugged:
            return
        self._running = self._requests.popleft()
        self._usb.send_setup_packet(self._running.setup)
        self._usb.serve()

    def _finish_request(self) -> None:
        request, self._running = self._running, None
        if request and request.then:
            request.then(request.data)
        if self._requests and not self._next.scheduled:
            self._next.schedule_at(self._clock.t_us + _FRAME_us)
