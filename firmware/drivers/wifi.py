"""The radio of an ESP32, by MicroPython's `network`: both interfaces off, or one of them on.

The objects of both interfaces are made at boot, as only they say what is active. Never ran on a
chip: tested on a model of `network.WLAN`.
"""

import network

from slog import radio

_WPA2 = 3


class Wifi:
    """Both interfaces. Invariant: neither is active unless `start` was the last call."""

    def __init__(self):
        self._station = network.WLAN(network.WLAN.IF_STA)
        self._point = network.WLAN(network.WLAN.IF_AP)
        self.stop()

    def active(self):
        """Return which interfaces are active, as the chip says: bits of `slog.radio`."""
        found = radio.STATION_BIT if self._station.active() else 0
        return found | (radio.ACCESS_POINT_BIT if self._point.active() else 0)

    def start(self, mode, ssid, password, channel):
        """Open the own access point, or join a network in the background; OSError if the chip
        refuses.
        """
        if mode == radio.ACCESS_POINT:
            point = self._point
            point.active(True)
            point.config(ssid=ssid, key=password, security=_WPA2, channel=channel)
            if point.config("ssid") != ssid or point.config("security") != _WPA2:
                self.stop()
                raise OSError("the access point is not as it was set")
        else:
            self._station.active(True)
            self._station.connect(ssid, password)

    def stop(self):
        """Switch both interfaces off."""
        self._station.active(False)
        self._point.active(False)
