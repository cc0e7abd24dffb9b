"""Settings: what makes no sense is refused when it is given, names its entry, and never ends a
recording, wherever it comes from.
"""

import json

import pytest

from slog import faults
from slog import messages as m
from slog.settings import DEFAULTS, SettingsError, digest_of, load
from stagelog.resources import import_firmware
from stagelog.rig.target import SimTarget

BUS = {"bitrate_bps": 250000, "ids": None}
BAD = [
    ("JSON", b""),
    ("JSON", b"{"),
    ("JSON", b"\xff\xfe"),
    ("JSON", b"[" * 5000),
    ("object", b"[]"),
    ("object", b"null"),
    ("'bitrate'", {"bitrate": 500000}),
    ("car", {"car": 7}),
    ("car", {"car": None}),
    ("car", {"car": "nine byte"}),
    ("car", {"car": "ääääÄ"}),  # 5 letters, 10 bytes
    ("flush_ms", {"flush_ms": 9}),
    ("flush_ms", {"flush_ms": 10001}),
    ("flush_ms", {"flush_ms": -1}),
    ("flush_ms", {"flush_ms": "250"}),
    ("flush_ms", {"flush_ms": 250.0}),
    ("flush_ms", {"flush_ms": True}),
    ("flush_ms", {"flush_ms": None}),
    ("when_full", {"when_full": "erase"}),
    ("when_full", {"when_full": ["stop"]}),
    ("buses: 1 or 2", {"buses": []}),
    ("buses: 1 or 2", {"buses": [BUS] * 3}),
    ("buses: 1 or 2", {"buses": None}),
    ("buses: 1 or 2", {"buses": BUS}),
    ("buses: 1 or 2", {"buses": "01"}),
    ("buses[0]", {"buses": [500000]}),
    ("buses[1]", {"buses": [BUS, None]}),
    ("buses[0].bitrate_bps", {"buses": [{}]}),
    ("buses[0].bitrate_bps", {"buses": [{"bitrate_bps": 0}]}),
    ("buses[0].bitrate_bps", {"buses": [{"bitrate_bps": 400000}]}),
    ("buses[0].bitrate_bps", {"buses": [{"bitrate_bps": 500000.0}]}),
    ("buses[0].bitrate_bps", {"buses": [{"bitrate_bps": "500000"}]}),
    ("buses[1].bitrate_bps", {"buses": [BUS, {"bitrate_bps": 1}]}),
    ("buses[0]: unknown entry 'id'", {"buses": [{**BUS, "id": [1]}]}),
    ("buses[0].data_bitrate_bps", {"buses": [{**BUS, "data_bitrate_bps": 3000000}]}),
    ("buses[0].data_bitrate_bps", {"buses": [{**BUS, "data_bitrate_bps": 2000000.0}]}),
    ("buses[0].data_bitrate_bps", {"buses": [{**BUS, "data_bitrate_bps": True}]}),
    ("buses[0].ids", {"buses": [{**BUS, "ids": []}]}),
    ("buses[0].ids", {"buses": [{**BUS, "ids": 5}]}),
    ("buses[0].ids", {"buses": [{**BUS, "ids": [-1]}]}),
    ("buses[0].ids", {"buses": [{**BUS, "ids": [1 << 29]}]}),
    ("buses[0].ids", {"buses": [{**BUS, "ids": ["1"]}]}),
    ("buses[0].ids", {"buses": [{**BUS, "ids": [1.0]}]}),
    ("buses[0].ids", {"buses": [{**BUS, "ids": [True]}]}),
]
A600 = "ba35c170729417f1499e0886e7e12fcdb4ab00ad411110ae1e888c766d4ed70d"
GOOD = [
    {},
    {"car": "C03"},
    {"car": "eightbyt"},
    {"car": "ääää"},
    {"flush_ms": 10},
    {"flush_ms": 10000},
    {"when_full": "stop"},
    {"when_full": "overwrite"},
    *({"buses": [{"bitrate_bps": rate}]} for rate in (125000, 250000, 500000, 1000000)),
    {"buses": [BUS, BUS]},
    {"buses": [{**BUS, "ids": [0, 0x7FF, 0x1FFFFFFF]}]},
    {"buses": [{**BUS, "data_bitrate_bps": None}, {**BUS, "data_bitrate_bps": 8000000}]},
]


def data_of(given):
    return given if isinstance(given, bytes) else json.dumps(given).encode()


@pytest.mark.parametrize(("names", "given"), BAD, ids=[f"{n}-{g!r:.40}" for n, g in BAD])
def test_bad_settings_are_refused_and_their_entry_is_named(names, given):
    with pytest.raises(SettingsError) as caught:
        load(data_of(given))
    assert names in str(caught.value)


@pytest.mark.parametrize("given", GOOD, ids=[f"{g!r:.40}" for g in GOOD])
def test_good_settings_are_taken_over_the_defaults(given):
    assert load(data_of(given)) == {**DEFAULTS, **given}


def test_a_board_without_can_fd_refuses_a_rate_for_it():
    """As SPEC says; null asks for nothing. All other settings are the same for both."""
    wanted = data_of({"buses": [BUS, {**BUS, "data_bitrate_bps": 2000000}]})
    assert load(wanted)["buses"][1]["data_bitrate_bps"] == 2000000
    with pytest.raises(SettingsError, match=r"buses\[1\].data_bitrate_bps"):
        load(wanted, has_fd=False)
    without = {"buses": [{**BUS, "data_bitrate_bps": None}, BUS]}
    assert load(data_of(without), has_fd=False) == {**DEFAULTS, **without}


def test_no_settings_are_the_defaults():
    assert load(None) == {
        "car": "",
        "flush_ms": 250,
        "when_full": "stop",
        "buses": [{"bitrate_bps": 500000, "ids": None}],
    }
    assert load(None) is not DEFAULTS


@pytest.mark.parametrize(("names", "given"), BAD, ids=[f"{n}-{g!r:.40}" for n, g in BAD])
def test_bad_settings_on_the_board_are_a_fault_and_it_records_with_the_defaults(
    tmp_path, names, given
):
    """However they came there: no start ends in an error, which would lead to the other slot and
    the same settings.
    """
    import_firmware()
    from logger.app import App

    rig = SimTarget(tmp_path, card_blocks=64)
    board = rig.app.board
    board.nv.save(m.CONFIG_SETTINGS, data_of(given))
    app = App(board)
    app.start()
    assert app.settings == load(None)
    assert app.state == m.STATE_RECORDING
    assert app.fault == faults.SETTINGS_BAD
    rig.close()


def test_bad_settings_are_refused_between_sessions_and_the_old_ones_stay(tmp_path):
    rig = SimTarget(tmp_path, card_blocks=64)
    app = rig.app
    app.control(m.CONTROL_STOP)
    rig.run_for(1_000_000)
    assert not app.is_busy
    assert app.take_config(m.CONFIG_SETTINGS, b'{"car": "C01"}') == m.OK
    for _, given in BAD:
        assert app.take_config(m.CONFIG_SETTINGS, data_of(given)) == m.REFUSED
    assert app.board.nv.load(m.CONFIG_SETTINGS) == b'{"car": "C01"}'
    assert app.settings["car"] == "C01"
    rig.close()


def test_digest_is_that_of_the_items_bytes(tmp_path):
    """By sha256sum: of no bytes, and of 600 bytes of the letter a."""
    import_firmware()
    from stagelog.rig.sim.models import MemoryNv

    nv = MemoryNv({3: b"a" * 600})
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of(nv, 1).hex() == nothing
    assert digest_of(nv, 3).hex() == A600
