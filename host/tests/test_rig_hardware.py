"""The description of a bench."""

from pathlib import Path

import pytest

from stagelog.errors import InputError
from stagelog.rig.hardware import load_rig

EXAMPLE = Path(__file__).resolve().parents[2] / "hil_tests/rigs/example.toml"


def test_example_is_a_rig():
    assert load_rig(EXAMPLE)["logger"]["port"] == "/dev/ttyACM0"


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "no port"), ("[logger]\nport='x'", "no interface"), ("[logger", "Expected")],
)
def test_what_is_missing_is_named(tmp_path, text, what):
    path = tmp_path / "rig.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=what):
        load_rig(path)
