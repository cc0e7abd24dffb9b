"""A logger's radio among models: `network.WLAN` of an ESP32, the service switch, and the logger
with both. The TCP port is a real one of this computer, on loopback. Runs on MicroPython, too.
"""

from logger.service_mode import RadioApp
from logger.tcp_link import SharedLink, listen
from slog import radio
from slog.layout import pack
from slog.messages import CONFIG_KEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOOPBACK = "127.0.0.1"


class WifiModel:
    """As drivers.wifi.Wifi. `log` holds what was asked of it; `active_bits` is what the chip says,
    which others can change, too.
    """

    def __init__(self) -> None:
        self.active_bits = 0
        self.log: list[tuple[object, ...]] = []

    def active(self) -> int:
        """Return which interfaces are active."""
        return self.active_bits

    def start(self, mode: int, ssid: str, password: str, channel: int) -> None:
        """Open the own access point, or join a network."""
        self.log.append(("start", mode, ssid, password, channel))
        is_point = mode == radio.ACCESS_POINT
        self.active_bits = radio.ACCESS_POINT_BIT if is_point else radio.STATION_BIT

    def stop(self) -> None:
        """Switch both interfaces off."""
        if self.active_bits:
            self.log.append(("stop",))
        self.active_bits = 0


class Switch:
    """The service switch."""

    def __init__(self) -> None:
        self.is_closed = False

    def __call__(self) -> int:
        """Return what its pin reads: 0 while it is closed."""
        return int(not self.is_closed)


def with_radio(board: "Any", args: "dict[str, Any]") -> "Any":
    """Return the application on a board of `models` with a radio.

    args   key, 64 hex digits, none without it; port of the TCP port
    """
    board.wifi = WifiModel()
    board.switch = Switch()
    board.link = SharedLink(board.link)
    network = {
        "mode": radio.ACCESS_POINT,
        "channel": 6,
        "ssid": b"stagelog-SIM",
        "password": b"dust and stones",
    }
    if args.get("key"):
        text = args["key"]
        key = bytes([int(text[i : i + 2], 16) for i in range(0, len(text), 2)])
        board.nv.save(CONFIG_KEY, key)
        board.nv.save(radio.ITEM, pack(radio.WIFI_REQUEST, network))
    return RadioApp(board, lambda: listen(args["port"], LOOPBACK))
