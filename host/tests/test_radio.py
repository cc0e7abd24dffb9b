"""Loggers on the radio as the commands see them: `stagelog sim --wifi` is the firmware's own
service mode on a TCP port of loopback.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slog import messages as m
from stagelog.errors import DeviceError
from stagelog.proof import device_key, new_key, own_key
from stagelog.radio import url_of

STAGELOG = str(Path(sys.executable).with_name("stagelog"))
LOG = Path(__file__).parents[1] / "examples" / "drive.log.gz"
FLEET = """schema = "stagelog.fleet.v1"
[event]
name = "E"
stage = "S"
[[car]]
name = "C1"
profile = "d7xr"
[[stage]]
name = "S"
[[logger]]
device_id = "{device_id}"
car = "C1"
address = "{address}"
"""


@pytest.fixture
def env(tmp_path, monkeypatch):
    """Nothing of this user's; the team's key of a computer of its own."""
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        folder = tmp_path / name.lower()
        folder.mkdir(mode=0o700)
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("STAGELOG_FLEET", "")
    new_key("team")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stagelog(*args, code=0, **env):
    done = subprocess.run(
        [STAGELOG, *args],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def port(env):
    """The port of a simulated logger of car C1 that has recorded 20 s."""
    command = [STAGELOG, "sim", "--wifi", "--car", "C1", "--log", str(LOG)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_logger_on_the_radio_is_listed_downloaded_and_verified(port, env):
    assert port.startswith("tcp://127.0.0.1:")
    assert f"{port}  car C1  stopped" in stagelog("loggers")
    assert "C1" in stagelog("status", port, code=1), "exit 1: it does not record"
    stagelog("download", port, "--event", "E", "--stage", "S")
    text = stagelog("verify", "archive/event=E/car=C1/stage=S")
    assert "COMPLETE: every frame that was seen is here" in text
    assert "radio off: the chip was asked" in text


def test_firmware_and_networks_go_by_cable(port, env):
    Path("wifi.json").write_text('{"mode": "network", "ssid": "a", "password": "12345678"}')
    by_cable = "firmware, keys and networks go by cable"
    assert by_cable in stagelog("flash", port, "--yes", code=2)
    assert by_cable in stagelog("settings", port, "--wifi", "wifi.json", "--yes", code=2)


def test_the_park_sees_it_like_one_on_a_cable(port, env):
    """By the address in the fleet file alone, whatever simulators are known here."""
    device_id = json.loads(stagelog("loggers", "--json"))["loggers"][0]["device_id"]
    address = port.removeprefix("tcp://")
    Path("fleet.toml").write_text(FLEET.format(device_id=device_id, address=address))
    alone = {"STAGELOG_FLEET": "fleet.toml", "XDG_RUNTIME_DIR": str(env / "nobody")}
    assert f"{port}  car C1" in stagelog("loggers", **alone)
    assert "1 logger: 1 good" in stagelog("sync", "--no-report", "--yes", **alone)
    text = stagelog("check", "--listen-s", "0", code=1, **alone)
    assert "not recording" in text or "stopped" in text


def test_summary_provision_and_check_over_the_radio(port, env):
    """Over a real socket of loopback. host/examples/drive.log.gz has 37,340 frames. The logger
    cannot be restarted over the radio; its next session has the table.
    """
    device_id = json.loads(stagelog("loggers", "--json"))["loggers"][0]["device_id"]
    fleet = FLEET.format(device_id=device_id, address=port.removeprefix("tcp://"))
    Path("fleet.toml").write_text(fleet + 'settings = "car.json"\n')
    wanted = {"car": "C1", "flush_ms": 300, "buses": [{"bitrate_bps": 500000}]}
    Path("car.json").write_text(json.dumps(wanted))
    alone = {"STAGELOG_FLEET": "fleet.toml", "XDG_RUNTIME_DIR": str(env / "nobody")}
    assert "37,340 frames stored, 0 lost" in stagelog("summary", **alone)
    before = stagelog("check", "--listen-s", "1", code=1, **alone)
    assert "settings: it has" in before and "signal table: it has none" in before
    text = stagelog("provision", "--yes", **alone)
    assert "written: settings, signal table; read back and equal; clock set" in text
    assert "nothing to write; read back and equal" in stagelog("provision", "--yes", **alone)
    assert json.loads(stagelog("settings", port)) == wanted
    after = stagelog("check", "--listen-s", "1", code=1, **alone)
    assert "it does not record" in after
    assert "settings: it has" not in after and "signal table: it has" not in after
    stagelog("settings", port, "--signals", "d7xr", "--yes")


def test_another_teams_key_is_refused_by_name(port, env, monkeypatch):
    keys = env / "others"
    monkeypatch.setenv("STAGELOG_KEYS", str(keys))
    new_key("others")
    text = stagelog("download", port, code=3)
    assert "the key is not the logger's" in text and "stagelog provision" in text
    listed = stagelog("loggers")
    assert f"{port}  {port}: the key is not the logger's" in listed


def test_a_fleet_with_a_bad_address_says_so(env):
    Path("fleet.toml").write_text(FLEET.format(device_id="0" * 16, address="http://x/"))
    text = stagelog("fleet", "check", code=1, STAGELOG_FLEET="fleet.toml")
    assert "address 'http://x/' is neither HOST nor HOST:PORT" in text


def test_a_logger_gets_key_and_network_by_cable(env):
    """The cable of a simulated logger with a radio whose switch is open; 8 bytes are the least."""
    from stagelog.config_items import checked_network
    from stagelog.radio import network_of, set_network
    from stagelog.rig.target import SimTarget

    target = SimTarget(env, card_blocks=64, wifi={"port": 0}, settings={"car": "C1"})
    path = env / "wifi.json"
    path.write_text('{"mode": "network", "ssid": "truck 7", "password": "12345678"}')
    assert network_of(target.link)["has_key"] == 0
    set_network(target.link, checked_network(path))
    found = network_of(target.link)
    assert (found["mode"], found["has_key"], found["active"]) == (2, 1, 0)
    assert found["ssid"].rstrip(b"\0") == b"truck 7"
    kept = target.app.board.nv.load(m.CONFIG_KEY)
    assert kept == device_key(own_key(), target.app.board.device_id.hex())
    assert target.app.state == m.STATE_RECORDING
    target.close()


def test_a_board_without_a_radio_says_so(env):
    from stagelog.radio import network_of
    from stagelog.rig.target import SimTarget

    target = SimTarget(env, card_blocks=64)
    with pytest.raises(DeviceError, match="a board without a radio"):
        network_of(target.link)
    target.close()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"mode": "open", "ssid": "C03", "password": "12345678"}',
        '{"mode": "access point", "ssid": "C03", "password": "1234567"}',
        '{"mode": "access point", "ssid": "C03", "password": "12345678", "channel": 14}',
        '{"mode": "network", "ssid": "", "password": "12345678"}',
        '{"mode": "network", "ssid": "C03", "password": "12345678", "key": "x"}',
    ],
)
def test_a_network_that_no_logger_keeps_is_an_input_error(env, text):
    path = env / "wifi.json"
    path.write_text(text)
    assert "wifi.json" in stagelog("settings", "/dev/none", "--wifi", str(path), code=5)


def test_an_address_has_the_usual_port_unless_it_names_one():
    assert url_of("192.168.4.1") == "tcp://192.168.4.1:7011"
    assert url_of("truck7.local:80") == "tcp://truck7.local:80"


def test_a_simulated_radio_needs_a_key(env, monkeypatch):
    monkeypatch.setenv("STAGELOG_KEYS", str(env / "none"))
    assert "stagelog key new" in stagelog("sim", "--wifi", code=2)
