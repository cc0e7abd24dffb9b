"""The file of a logger's network: what 802.11 and WPA2 allow; nothing else is sent to a logger.

IEEE 802.11: a name has at most 32 bytes; channels 1 to 13 of 2.4 GHz; a password of WPA2 has 8 to
63.
"""

import json

import pytest

from stagelog.config_items import checked_network
from stagelog.errors import InputError

GOOD = {"mode": "access point", "ssid": "C03", "password": "12345678", "channel": 6}


def checked(tmp_path, **changes):
    (tmp_path / "wifi.json").write_text(json.dumps({**GOOD, **changes}))
    return checked_network(tmp_path / "wifi.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"ssid": "a"},
        {"ssid": "a" * 32},
        {"ssid": "\u00e9" * 16},  # 2 bytes each
        {"password": "p" * 63},
        {"channel": 1},
        {"channel": 13},
    ],
)
def test_what_the_standard_allows_is_taken(tmp_path, changes):
    found = checked(tmp_path, **changes)
    wanted = {**GOOD, **changes}
    assert found["ssid"] == wanted["ssid"].encode()
    assert found["password"] == wanted["password"].encode()
    assert found["channel"] == wanted["channel"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ssid": ""},
        {"ssid": "a" * 33},
        {"ssid": "\u00e9" * 17},
        {"password": "1234567"},
        {"password": "p" * 64},
        {"channel": 0},
        {"channel": 14},
        {"mode": "both"},
        {"band": 5},
    ],
)
def test_all_else_is_refused(tmp_path, changes):
    with pytest.raises(InputError, match=r"wifi\.json is no network"):
        checked(tmp_path, **changes)
