"""Packages: what was altered is refused, and so is what is for another logger, car or moment."""

import hashlib
import json
from dataclasses import replace

import pytest

from slog import messages as m
from slog.layout import size
from slog.package import MAC_BYTES, PACKAGE, load_update, save_update
from stagelog import flash as flash_room
from stagelog import ports
from stagelog.errors import DeviceError, InputError
from stagelog.flash.build import FlashError, pack_app
from stagelog.flash.install import BoardState
from stagelog.flash.package import (
    Package,
    PackageRefused,
    check_package,
    check_state,
    device_key,
    device_of,
    packages_in,
    packed,
    read_package,
    write_package,
)
from stagelog.link import RequestError
from stagelog.park.provision import Provision
from stagelog.park.unit import GOOD, WARN, Unit
from stagelog.park.wanted import wanted_in
from stagelog.proof import new_key, own_key, trusted_keys
from stagelog.rig.target import SimTarget

ID = "53494d3030303031"
APP = pack_app({"start.py": b"def run(): pass\n" * 50})
SETTINGS = b'{"car": "C01", "flush_ms": 100}'
PACK = Package(2000, ID, "C01", "pico_mcp2515", 0x1306, APP, SETTINGS, b"SLST table")


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    """A team's key."""
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "keys"))
    new_key("X")
    return own_key()


@pytest.fixture
def path(tmp_path, key):
    path = tmp_path / "x.package"
    path.write_bytes(packed(PACK, key))
    return path


def test_a_package_is_read_as_it_was_written(path):
    assert read_package(path, trusted_keys()) == PACK
    bare = replace(PACK, settings=None, signals=None)
    path.write_bytes(packed(bare, own_key()))
    assert read_package(path, trusted_keys()) == bare


def test_the_mac_is_that_of_rfc_2104(key, path):
    """H(K xor opad, H(K xor ipad, text)) with blocks of 64 bytes; the key of each logger differs,
    and is HMAC-SHA256 of the team's private key over 'stagelog card update ' and the logger's id.
    """
    content = path.read_bytes()
    secret = device_key(key, ID)
    assert secret != device_key(key, "00" * 8) and len(secret) == 32
    padded = secret + bytes(32)
    inner, outer = (bytes(byte ^ pad for byte in padded) for pad in (0x36, 0x5C))
    head = size(PACKAGE)
    assert head == 16 + 2 + 2 + 4 + 8 + 8 + 16 + 3 * 4
    body = content[head + MAC_BYTES :][: len(APP) + len(SETTINGS) + len(b"SLST table")]
    wanted = hashlib.sha256(outer + hashlib.sha256(inner + content[:head] + body).digest())
    assert content[head : head + MAC_BYTES] == wanted.digest()


def test_every_altered_byte_is_refused(path):
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :])
        with pytest.raises(InputError):
            read_package(path, trusted_keys())


@pytest.mark.parametrize("n", [0, 10, 68, 200, -1])
def test_a_cut_package_and_one_with_more_behind_it_are_refused(path, n):
    content = path.read_bytes()
    path.write_bytes(content[:n])
    with pytest.raises(InputError):
        read_package(path, trusted_keys())
    path.write_bytes(content + b" ")
    with pytest.raises(InputError):
        read_package(path, trusted_keys())


def test_a_package_by_another_key_or_by_none_is_refused(path, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no key is trusted here"):
        read_package(path, {})
    monkeypatch.setenv("STAGELOG_KEYS", str(tmp_path / "others"))
    new_key("Y")
    with pytest.raises(InputError, match="which calls itself X and is not trusted here"):
        read_package(path, trusted_keys())


@pytest.mark.parametrize(
    ("device_id", "car", "number", "older", "says"),
    [
        (ID, "C01", 1999, False, None),
        (ID, "", 2000, False, None),  # the same once more
        (ID, "C01", 2001, True, None),
        (ID, "C01", 2001, False, "the logger has one of 1970-01-01 00:33:21 UTC"),
        (ID, "C02", 0, True, "for car C01, this logger's settings name C02"),
        ("00" * 8, "C01", 0, True, f"for logger {ID}, this is {'00' * 8}"),
    ],
)
def test_a_package_is_for_one_logger_and_newer(device_id, car, number, older, says):
    """2,001 s after 1970 began are 33 min 21 s."""
    if says is None:
        return check_package(PACK, device_id, car, number, older)
    with pytest.raises(PackageRefused, match=says):
        check_package(PACK, device_id, car, number, older)


def test_a_package_of_another_chip_is_refused():
    state = BoardState("Raspberry Pi Pico with RP2040", 0x1306, (1, 26, 1), (), None)
    check_state(PACK, state)
    with pytest.raises(PackageRefused, match="0x1306, the board loads 0x2b06"):
        check_state(PACK, replace(state, mpy=0x2B06))
    with pytest.raises(FlashError, match="radio of a Pico W"):
        check_state(PACK, replace(state, machine="Raspberry Pi Pico W with RP2040"))


# flash and provision


@pytest.fixture
def flashed(run, monkeypatch, path):
    """Return a function of words that runs `flash` on a board at its prompt with our id: (exit
    code, stderr, what was installed).
    """
    from made_replies import reply

    from slog.messages import HELLO_REPLY
    from stagelog.flash import remote
    from stagelog.park import flashing
    from stagelog.replies import Hello

    done = []

    def flash(port, open_link, board, **given):
        done.append(given)
        return reply(Hello, HELLO_REPLY, device_id=bytes.fromhex(ID))

    def nobody(port):
        raise DeviceError("nobody answers")

    monkeypatch.setattr(flash_room, "flash", flash)
    monkeypatch.setattr(remote, "Remote", lambda port: None)
    monkeypatch.setattr(ports, "open_stream", nobody)

    def call(*words, device_id=ID):
        done.clear()
        monkeypatch.setattr(flashing, "id_of_board", lambda port: device_id)
        code, _, err = run("flash", "P", "--package", path, "--yes", *words)
        return code, err, done

    return call


def test_flash_installs_what_the_package_holds(flashed):
    code, err, (given,) = flashed()
    assert code == 0, err
    assert (given["settings"], given["signals"]) == (SETTINGS, b"SLST table")
    state = BoardState("Raspberry Pi Pico with RP2040", 0x1306, (1, 26, 1), (), None)
    assert given["make_app"](state, None).content == APP
    update = given["others"][m.CONFIG_UPDATE]
    assert load_update(update)["number"] == 2000


def test_flash_refuses_before_the_board_is_touched(flashed, path):
    code, err, done = flashed(device_id="00" * 8)
    assert code == 3 and f"for logger {ID}" in err and not done
    path.write_bytes(path.read_bytes()[:-1])
    code, err, done = flashed()
    assert code == 5 and "is refused" in err and not done
    code, err, done = flashed("--board", "pico_pio")
    assert code == 2 and not done


@pytest.fixture
def link(tmp_path):
    target = SimTarget(tmp_path, settings={"car": "C01"})
    yield target.link
    target.logger.app.board.card.image.close()


def provision(link, package, tmp_path, older=False):
    unit = Unit(ID, "C01")
    unit.hello = link.hello()
    work = Provision(unit, wanted_in(package), tmp_path / "a", lambda s: None, package, older)
    return work(link)


def test_provision_writes_a_package_and_the_key_of_the_logger(link, key, tmp_path):
    """The key is written once; what is read of it is its SHA-256."""
    done = provision(link, PACK, tmp_path)
    assert done.facts["written"] == ["settings", "signal table", "key for packages"]
    assert done.verdict == WARN and "SHA-256 is not known" in done.text  # the simulator's firmware
    assert link.get_config(m.CONFIG_SETTINGS) == SETTINGS
    assert link.get_config(m.CONFIG_SIGNALS) == b"SLST table"
    secret = device_key(key, ID)
    assert link.get_config(m.CONFIG_KEY) == hashlib.sha256(secret).digest()
    again = provision(link, replace(PACK, settings=None, signals=None), tmp_path)
    assert again.facts["written"] == []
    assert link.get_config(m.CONFIG_SIGNALS) == b"SLST table"


def test_provision_refuses_an_older_package_unless_told(link, tmp_path):
    newer = save_update({**load_update(None), "number": 2001})
    link.replace_config(m.CONFIG_UPDATE, newer)
    with pytest.raises(PackageRefused, match="add --older"):
        provision(link, PACK, tmp_path)
    assert provision(link, PACK, tmp_path, older=True).verdict in (GOOD, WARN)
    other = replace(PACK, device_id="00" * 8)
    with pytest.raises(PackageRefused, match="for logger 0000"):
        provision(link, other, tmp_path)


@pytest.mark.parametrize(("item", "n_bytes"), [(m.CONFIG_UPDATE, 20), (m.CONFIG_KEY, 32)])
def test_an_item_of_another_length_is_refused(link, item, n_bytes):
    """The logger reads them at its start: what it cannot read would end each start."""
    for n in (0, n_bytes - 1, n_bytes + 1):
        with pytest.raises(RequestError, match="refused"):
            link.replace_config(item, b"x" * n)
    link.replace_config(item, b"x" * n_bytes)


def test_the_hash_of_the_firmware_cannot_be_set(link):
    with pytest.raises(RequestError, match="not understood"):
        link.replace_config(m.CONFIG_FIRMWARE, bytes(32))


def test_packages_are_built_for_each_logger_of_the_fleet(run, tmp_path, monkeypatch):
    """The names of two loggers of a car; `show` reads what `build` wrote."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.toml").write_text(
        'schema = "stagelog.fleet.v1"\n[event]\nname = "E"\n'
        '[[car]]\nname = "C01"\nprofile = "d7xr"\n'
        f'[[logger]]\ndevice_id = "{ID}"\ncar = "C01"\nplace = "front"\n'
        f'[[logger]]\ndevice_id = "{"0a" * 8}"\ncar = "C01"\nplace = "rear"\n'
    )
    code, out, err = run("package", "build", "--only", "front", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["packages"]
    assert row["path"] == "packages/C01-front.package" and row["signals"]
    code, out, _ = run("package", "show", row["path"], "--json")
    assert code == 0 and json.loads(out) == {**row, "schema": "stagelog.package.show/1"}
    built = read_package(row["path"], trusted_keys())
    assert built.signals[:4] == b"SLST" and built.mpy == 0x1306  # format 6.3 for the armv6m, 4
    assert hashlib.sha256(built.app[32:]).digest() == built.app[:32]


def test_flash_all_gives_each_logger_its_own_package(path, key, link, tmp_path, monkeypatch):
    """Two packages of this logger lie in the folder: the newer one is installed, then read back;
    a run with the older one is refused before the board is touched, unless told.
    """
    from stagelog.park import flashing

    old = replace(PACK, number=1999)
    write_package(path.parent / "a.package", old, key)
    packages = packages_in(path.parent, trusted_keys())
    assert packages == {ID: PACK}
    done = []

    def flash(port, open_link, board, **given):
        done.append(given)
        for item, content in given["others"].items():
            link.replace_config(item, content)
        return link.hello()

    link.close = lambda: None
    link.name = "P"
    monkeypatch.setattr(flashing, "flash", flash)
    monkeypatch.setattr(flashing, "Remote", lambda port: None)
    monkeypatch.setattr(flashing, "open_stream", lambda port: None)
    monkeypatch.setattr(flashing, "LiveLink", lambda *_: link)

    def install(package, older=False):
        unit = Unit(ID, "C01")
        unit.hello = link.hello()
        wanted = wanted_in(package)
        return flashing.Flash(unit, wanted, tmp_path / "a", package=package, older=older)(link)

    outcome = install(packages[ID])
    assert "read back and equal" in outcome.text or "firmware" in outcome.text, outcome.text
    (given,) = done
    assert (given["kind"], given["settings"]) == (PACK.board, SETTINGS)
    assert given["make_app"](BoardState("Pico", 0x1306, (1, 26, 1), (), None), None).content == APP
    assert load_update(link.get_config(m.CONFIG_UPDATE))["number"] == 2000
    with pytest.raises(PackageRefused, match="take a newer one, or add --older"):
        install(old)
    assert len(done) == 1
    install(old, older=True)
    assert len(done) == 2
    with pytest.raises(PackageRefused, match="for logger"):
        install(replace(PACK, device_id="00" * 8))


def test_flash_all_with_a_folder_without_packages_is_refused(run, tmp_path):
    code, _, err = run("flash", "--all", "--package", tmp_path, "--yes")
    assert code == 5 and "holds no package" in err
    for words in (("--board", "pico_pio", "--package", tmp_path), ("--older",)):
        code, _, err = run("flash", "--all", "--yes", *words)
        assert code == 2, err


def test_a_logger_of_an_older_contract_takes_any_package(link, monkeypatch):
    """It has no update record of ours, and is to be flashed to have one."""
    link.close = lambda: None
    monkeypatch.setattr(m, "contract_hash", lambda: b"\x01" * 8)
    assert device_of(link) == (ID, "C01", 0)
