"""The DBC folder: files load strictly, the README tells what is in them, the rules are kept."""

import re

import cantools
import pytest

from stagelog.resources import dbc_path

FILES = ("d7xr.dbc", "d7xr_mule.dbc")


def load(name):
    return cantools.database.load_file(dbc_path() / name, strict=True)


@pytest.mark.parametrize("name", FILES)
def test_dbc_loads_strictly(name):
    database = load(name)
    assert (len(database.messages), sum(len(m.signals) for m in database.messages)) == (35, 240)
    assert sum(1000 / m.cycle_time for m in database.messages if m.cycle_time) > 1600


def test_readme_table_is_that_of_the_dbc():
    text = (dbc_path() / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (0x\w+) \| (\w+) \| (\w+) \| (\w+) \| (\d) \| (\d+)", text, re.M)
    wanted = [
        (
            f"0x{m.frame_id:03X}",
            m.name,
            m.senders[0],
            str(m.cycle_time) if m.cycle_time else "event",
            str(m.length),
            str(len(m.signals)),
        )
        for m in load("d7xr.dbc").messages
    ]
    assert rows == wanted


@pytest.mark.parametrize("name", FILES)
def test_not_available_lies_outside_the_range_of_every_number(name):
    for message in load(name).messages:
        for signal in message.signals:
            plain = signal.length < 8 or signal.choices or signal.is_multiplexer
            function = signal.dbc.attributes.get("SigFunction")
            if plain or function is not None or signal.unit is None:
                continue
            code = -(1 << (signal.length - 1)) if signal.is_signed else (1 << signal.length) - 1
            phys = code * signal.scale + signal.offset
            outside = not signal.minimum - 1e-9 <= phys <= signal.maximum + 1e-9
            assert outside, f"{message.name}.{signal.name} can carry its own SNA as a value"


def test_every_state_of_a_sensor_is_named():
    for message in load("d7xr.dbc").messages:
        for signal in message.signals:
            if "Stat" in signal.name and message.name != "LOG_Stat":
                assert signal.choices, f"{signal.name} has no VAL_"
