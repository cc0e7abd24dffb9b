"""Service mode of a board with a radio: the logger on Wi-Fi while it does not record.

Closing the service switch ends the session and then switches the radio on; opening it, or ten
minutes without a host, switches the radio off and starts a new session. Power-on always records,
whatever the switch. Whenever a session begins, the radio is switched off first; ten times a second
while it goes on the chip is asked whether an interface is active, and the log holds the answer: at
the start, every 10 s, at the end, and at once if it is not "none".
"""

from logger.app import App
from logger.tcp_link import TcpLink, listen
from slog import messages as m
from slog import radio
from slog.layout import HEALTH_RADIO, META_HEALTH, const, pack, size, unpack

_STEADY_US = const(50_000)  # a switch bounces for less
_SERVICE_US = const(600_000_000)


class RadioApp(App):
    """One logger on a board with a radio. `board` has, besides what `App` wants:

    wifi       as drivers.wifi.Wifi
    switch     returns 0 while the service switch is closed
    link       a logger.tcp_link.SharedLink, whose `radio` this class sets
    """

    def __init__(self, board, open_port=listen):
        self._open_port = open_port
        self._wifi = board.wifi
        self._shared = board.link
        self._was_active = 0  # in this session
        self._is_closed = not board.switch()
        self._t_switch = 0
        self._wants_service = False
        super().__init__(board)
        self.service.handlers[radio.WIFI] = self._answer_wifi
        self.service.handlers[m.CONFIG_SET] = self._set_item

    @property
    def is_in_service(self):
        """True while the radio is meant to be on."""
        return self._shared.radio is not None

    def step(self):
        """Do one pass of the main loop."""
        now_us = self.board.clock.t_us()
        self._look_at_switch(now_us)
        if self._wants_service and not self.is_in_service:
            self._enter_service()
        if self.is_in_service:
            self._shared.radio.step()
            self.service.t_asked = self.board.clock.lo  # no session starts by itself
            if now_us - self._shared.radio.t_heard >= _SERVICE_US:
                self._leave_service()
        super().step()

    def control(self, action):
        """Carry out a CONTROL action; return its status. Over the radio only the switch starts a
        session, and the logger can't be restarted: nobody could reach it then.
        """
        if self._shared.is_radio:
            return m.OK if action in (m.CONTROL_STOP, m.CONTROL_START) else m.REFUSED
        return super().control(action)

    def _look_at_switch(self, now_us):
        is_closed = not self.board.switch()
        if is_closed == self._is_closed:
            self._t_switch = now_us
        elif now_us - self._t_switch >= _STEADY_US:
            self._is_closed = is_closed
            self._wants_service = is_closed and self._network() is not None
            if not is_closed and self.is_in_service:
                self._leave_service()

    def _enter_service(self):
        """End the session, then open the radio: never both at once."""
        if self._recording:
            self.control(m.CONTROL_STOP)
        if self.is_busy:
            return
        found = self._network()
        try:
            self._open_radio(found)
        except (OSError, MemoryError):
            self._wants_service = False
            self._leave_service()

    def _leave_service(self):
        self._close_radio()
        self._start_session()
        self._show()

    def _open_radio(self, network):
        if self.is_busy:
            raise OSError("the radio stays off while a session is recorded")
        ssid, password = [network[name].rstrip(b"\0").decode() for name in ("ssid", "password")]
        self._wifi.start(network["mode"], ssid, password, network["channel"])
        key = self.board.nv.load(m.CONFIG_KEY)
        clock = self.board.clock
        self._shared.radio = TcpLink(self._open_port(), key, self.board.device_id, clock.t_us)

    def _close_radio(self):
        self._shared.close_radio()
        self._wifi.stop()

    def _network(self):
        """Return the values of WIFI_REQUEST that are kept, None if the radio may not be used."""
        kept = self.board.nv.load(radio.ITEM)
        if not kept or len(kept) != size(radio.WIFI_REQUEST):
            return None
        values = unpack(radio.WIFI_REQUEST, kept)
        has_key = self.board.nv.open(m.CONFIG_KEY) is not None
        return values if values["mode"] != radio.OFF and has_key else None

    def _start_session(self):
        self._wants_service = False
        self._close_radio()
        self._was_active = 0
        super()._start_session()
        self._log_radio()

    def _stop_session(self):
        self._log_radio()
        super()._stop_session()

    def _poll(self):
        if self._wifi.active():
            self._log_radio()
            self._wifi.stop()
        super()._poll()

    def _log_health(self):
        super()._log_health()
        self._log_radio()

    def _log_radio(self):
        """Record which interfaces are active, and which were in this session."""
        active = self._wifi.active()
        self._was_active |= active
        self._put_meta(META_HEALTH, HEALTH_RADIO, 0, "<II", active, self._was_active)

    def _set_item(self, payload):
        """Refuse a new key over the radio: nothing secret goes through the air."""
        asked, _ = m.parse(m.CONFIG_SET_REQUEST, payload)
        if self._shared.is_radio and asked["item"] == m.CONFIG_KEY:
            reply = {"item": asked["item"], "status": m.REFUSED}
            self.service.put(m.CONFIG_SET_REPLY, reply)
        else:
            self.service.set_config(payload)

    def _answer_wifi(self, payload):
        asked = m.parse(radio.WIFI_REQUEST, payload)[0]
        status = m.OK if asked["mode"] == radio.ASK else self._keep_network(asked)
        kept = self.board.nv.load(radio.ITEM)
        values = unpack(radio.WIFI_REQUEST, kept) if kept else {"mode": radio.OFF}
        values["status"] = status
        values["active"] = self._wifi.active()
        values["has_key"] = int(self.board.nv.open(m.CONFIG_KEY) is not None)
        self.service.put(radio.WIFI_REPLY, values)

    def _keep_network(self, asked):
        if self._shared.is_radio:
            return m.REFUSED
        if self.is_busy:
            return m.BUSY
        if not radio.is_network(asked):
            return m.BAD_REQUEST
        self.board.nv.save(radio.ITEM, pack(radio.WIFI_REQUEST, asked))
        return m.OK
