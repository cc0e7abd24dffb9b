"""A recording logger as a bus of python-can, receive-only.

    can.Bus(interface="stagelog", channel="/dev/ttyACM0")

Owns the mapping to messages and errors of python-can. Timestamps are the laptop's wall clock as it
was at opening, carried on by the logger's clock.
"""

from collections import deque
from typing import Any

from can import BusABC, CanInitializationError, CanOperationError, CanProtocol, Message
from can.typechecking import AutoDetectedConfig, CanFilters

from stagelog.can_messages import messages_of
from stagelog.errors import StagelogError
from stagelog.listen import open_live

POLL_S = 0.5


class StagelogBus(BusABC):
    """The buses of one logger; `message.channel` is the bus number.

    n_skipped_blocks   blocks that the cable was too slow for; the logger has recorded them
    """

    def __init__(
        self, channel: Any = None, can_filters: CanFilters | None = None, **_: object
    ) -> None:
        try:
            self._link = open_live(channel)
        except StagelogError as error:
            raise CanInitializationError(str(error)) from error
        self.channel_info = f"stagelog {self._link.name}"
        self._can_protocol = CanProtocol.CAN_20
        self._ready: deque[Message] = deque()
        super().__init__(channel, can_filters)

    @property
    def n_skipped_blocks(self) -> int:
        """Return how many blocks were not pushed."""
        return self._link.n_skipped_blocks

    def _recv_internal(self, timeout: float | None) -> tuple[Message | None, bool]:
        if not self._ready:
            try:
                frames = self._link.read_frames(POLL_S if timeout is None else max(0, timeout))
            except StagelogError as error:
                raise CanOperationError(str(error)) from error
            frames["t_us"] += self._link.unix_offset_us
            self._ready.extend(messages_of(frames))
        return (self._ready.popleft() if self._ready else None), False

    def send(self, msg: Message, timeout: float | None = None) -> None:
        """Refuse: a logger only listens."""
        raise CanOperationError(f"{self.channel_info} only listens; it sends nothing onto the bus")

    def shutdown(self) -> None:
        """Ask for no more frames and close the port."""
        if not self._is_shutdown:
            super().shutdown()
            self._link.close()

    @staticmethod
    def _detect_available_configs() -> list[AutoDetectedConfig]:
        from stagelog.ports import find_loggers

        ports = [entry.port for entry in find_loggers() if entry.hello]
        return [{"interface": "stagelog", "channel": port} for port in ports]
