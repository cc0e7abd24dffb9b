"""The radio of a logger: off whenever it records, on in service mode alone, and what the log says
of it. The application among models, in virtual time; sockets are real ones.
"""

import socket

import pytest
from rig_play import SECOND_US, play
from test_app_records import session_of

from slog import layout, radio
from slog import messages as m
from slog.layout import pack
from stagelog.link import RequestError
from stagelog.rig.target import SimTarget

KEY = bytes(range(32))
NETWORK = {
    "mode": radio.STATION,
    "channel": 0,
    "ssid": b"truck 7",
    "password": b"eight or more",
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.fixture
def rig(tmp_path):
    made = SimTarget(tmp_path, card_blocks=512, wifi={"key": KEY.hex(), "port": free_port()})
    made.run_for(SECOND_US)
    yield made
    made.app.board.link.close_radio()
    made.close()


def turn(rig, is_closed, seconds=1):
    rig.app.board.switch.is_closed = is_closed
    rig.run_for(int(seconds * SECOND_US))


def radio_records(session):
    """Return [(active, active in this session so far)] of its health records with arg 3."""
    return [
        (meta.values["value"], meta.values["worst"])
        for meta in session.decoded_meta(layout.META_HEALTH)
        if meta.arg == 3
    ]


def test_the_radio_is_off_while_it_records_and_the_log_says_so(rig):
    """At the start, after each 10 s, and at the end: 4 records in a session of 25 s."""
    wifi = rig.app.board.wifi
    play(rig, 24 * SECOND_US)
    assert wifi.log == [] and wifi.active_bits == 0
    assert radio_records(session_of(rig)) == [(0, 0)] * 4


def test_the_switch_ends_the_session_before_the_radio_is_on(rig):
    """2: the own access point. Whatever is asked of the radio, nothing is recorded then."""
    wifi, app = rig.app.board.wifi, rig.app
    busy = []
    start = wifi.start
    wifi.start = lambda *args: (busy.append(app.is_busy), start(*args))
    rig.app.board.switch.is_closed = True
    rig.run_for(49_000)
    assert app.state == m.STATE_RECORDING, "a switch bounces for up to 50 ms"
    rig.run_for(SECOND_US)
    assert app.state == m.STATE_IDLE and busy == [False] and wifi.active_bits == 2
    assert wifi.log == [("start", radio.ACCESS_POINT, "stagelog-SIM", "dust and stones", 6)]
    assert app.is_in_service


def test_opening_the_switch_records_again_with_the_radio_off(rig):
    wifi, app = rig.app.board.wifi, rig.app
    turn(rig, True)
    seen = []
    start = app.board.captures[0].start
    app.board.captures[0].start = lambda ring: (seen.append(wifi.active_bits), start(ring))
    turn(rig, False)
    assert app.state == m.STATE_RECORDING and seen == [0]
    assert wifi.log[-1] == ("stop",) and not app.is_in_service
    play(rig, SECOND_US)
    assert set(radio_records(session_of(rig))) == {(0, 0)}


def test_power_on_records_whatever_the_switch(tmp_path):
    """A switch that was forgotten costs no stage: it must be opened and closed again."""
    made = SimTarget(tmp_path, card_blocks=64, wifi={"key": KEY.hex(), "port": free_port()})
    made.app.board.switch.is_closed = True
    made.power_cut()
    from stagelog.rig.sim import radio as model

    before = model.Switch
    try:
        model.Switch = lambda: type("Closed", (before,), {"__call__": lambda self: 0})()
        made.power_on()
    finally:
        model.Switch = before
    made.run_for(5 * SECOND_US)
    assert made.app.state == m.STATE_RECORDING and made.app.board.wifi.log == []
    made.close()


def test_ten_minutes_without_a_host_and_it_records_again(rig):
    """The switch is still closed; a listener of the cable does not count."""
    turn(rig, True)
    rig.run_for(590 * SECOND_US)
    assert rig.app.is_in_service
    rig.run_for(15 * SECOND_US)
    assert rig.app.state == m.STATE_RECORDING and rig.app.board.wifi.active_bits == 0
    rig.run_for(60 * SECOND_US)
    assert rig.app.state == m.STATE_RECORDING, "the switch must be opened and closed again"
    turn(rig, False)
    turn(rig, True)
    assert rig.app.is_in_service


def test_a_start_by_cable_switches_the_radio_off_first(rig):
    turn(rig, True)
    wifi, capture = rig.app.board.wifi, rig.app.board.captures[0]
    seen = []
    start = capture.start
    capture.start = lambda ring: (seen.append(wifi.active_bits), start(ring))
    rig.link.control(m.CONTROL_START, rig.link.hello().boot)
    rig.run_for(SECOND_US)
    assert rig.app.state == m.STATE_RECORDING and seen == [0]
    assert set(radio_records(session_of(rig))) == {(0, 0)}


def test_a_session_that_recorded_with_the_radio_on_shows_it(rig):
    """Something else than the logger has switched it on: found within 0.1 s, switched off, and in
    the log: one record with the interface, and from then on that there was one.
    """
    play(rig, SECOND_US)
    wifi = rig.app.board.wifi
    wifi.active_bits = radio.STATION_BIT
    rig.run_for(120_000)
    assert wifi.active_bits == 0 and wifi.log == [("stop",)]
    play(rig, SECOND_US)
    assert radio_records(session_of(rig)) == [(0, 0), (1, 1), (0, 1)]


def test_a_chip_that_will_not_switch_off_is_in_the_log(rig):
    wifi = rig.app.board.wifi
    wifi.stop = lambda: None
    wifi.active_bits = radio.ACCESS_POINT_BIT
    rig.run_for(SECOND_US)
    found = radio_records(session_of(rig))
    assert len(found) > 8 and set(found[1:]) == {(2, 2)}


def test_the_radio_is_refused_while_it_records(rig):
    """The one place that switches it on, called out of order."""
    with pytest.raises(OSError, match="stays off while a session is recorded"):
        rig.app._open_radio(NETWORK)
    assert rig.app.board.wifi.active_bits == 0


def test_without_a_key_or_a_network_the_switch_does_nothing(tmp_path):
    made = SimTarget(tmp_path, card_blocks=64, wifi={"port": 0})
    turn(made, True, 2)
    assert made.app.state == m.STATE_RECORDING and not made.app.board.wifi.log
    made.app.board.nv.save(radio.ITEM, pack(radio.WIFI_REQUEST, NETWORK))
    turn(made, False)
    turn(made, True, 2)
    assert made.app.state == m.STATE_RECORDING and not made.app.board.wifi.log, "no key"
    made.close()


def test_a_radio_that_fails_records_again(rig):
    def fail(*args):
        raise OSError("no memory")

    rig.app.board.wifi.start = fail
    turn(rig, True, 2)
    assert rig.app.state == m.STATE_RECORDING and not rig.app.is_in_service


def ask(rig, **values):
    return rig.link.ask(radio.WIFI, values, accept=range(16))[0]


def test_the_network_is_set_by_cable_between_two_sessions(rig):
    asked = ask(rig, mode=radio.ASK)
    assert (asked["mode"], asked["channel"], asked["has_key"], asked["active"]) == (1, 6, 1, 0)
    assert asked["ssid"].rstrip(b"\0") == b"stagelog-SIM"
    assert ask(rig, **NETWORK)["status"] == m.BUSY, "its flash is not written while it records"
    rig.link.control(m.CONTROL_STOP, rig.link.hello().boot)
    assert ask(rig, **NETWORK)["status"] == m.OK
    rig.link.control(m.CONTROL_START, rig.link.hello().boot)
    turn(rig, True)
    assert rig.app.board.wifi.log == [("start", radio.STATION, "truck 7", "eight or more", 0)]
    assert rig.app.board.wifi.active_bits == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": 3},
        {"ssid": b""},
        {"password": b"seven by"[:7]},
        {"password": b"x" * 64},
        {"mode": radio.ACCESS_POINT, "channel": 0},
        {"mode": radio.ACCESS_POINT, "channel": 14},
    ],
)
def test_a_network_that_cannot_be_is_refused(rig, wrong):
    """WPA2 wants 8 to 63 bytes (IEEE 802.11, J.4), 2.4 GHz has channels 1 to 13."""
    rig.link.control(m.CONTROL_STOP, rig.link.hello().boot)
    assert ask(rig, **{**NETWORK, **wrong})["status"] == m.BAD_REQUEST
    assert ask(rig, mode=radio.ASK)["ssid"].rstrip(b"\0") == b"stagelog-SIM"


def test_over_the_radio_nothing_secret_is_set_and_nothing_ends(rig):
    """As if a host on the radio asked: no key, no network, no restart, no prompt."""
    turn(rig, True)
    shared = rig.app.board.link
    boot = rig.link.hello().boot
    served = shared.radio

    class Open:
        is_open = True
        t_heard = rig.now_us

        def __getattr__(self, name):
            return getattr(served, name)

        def step(self):
            pass

        def read(self, buf):
            return shared._cable.read(buf)

        def write(self, buf, at, n):
            return shared._cable.write(buf, at, n)

    shared._unheard = bytearray(0)
    shared.radio = Open()
    assert ask(rig, **NETWORK)["status"] == m.REFUSED
    with pytest.raises(RequestError, match="refused in this state"):
        rig.link.set_config(m.CONFIG_KEY, bytes(32))
    assert rig.app.board.nv.load(m.CONFIG_KEY) == KEY
    for action in (m.CONTROL_RESET, m.CONTROL_REPL, m.CONTROL_BOOTLOADER):
        with pytest.raises(RequestError):
            rig.link.control(action, boot)
    assert rig.link.control(m.CONTROL_START, boot) == m.STATE_IDLE, "the switch does that"
    shared.radio = served


def test_the_password_is_never_answered(rig):
    """SPEC 8.4: not by WIFI, and not as an item: one that it does not answer has a length of 0."""
    rig.link.control(m.CONTROL_STOP, rig.link.hello().boot)
    assert ask(rig, **NETWORK)["status"] == m.OK
    assert NETWORK["password"] in rig.app.board.nv.load(radio.ITEM)
    assert rig.link.get_config(radio.ITEM) == b""


def test_a_board_without_a_radio_says_nothing_of_one(target):
    play(target, 12 * SECOND_US)
    assert radio_records(session_of(target)) == []
