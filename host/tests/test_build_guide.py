"""The build guide: its drawing shows the pins of the board files, its parts are those of the
drawing, and its sums are right.
"""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "firmware/boards"
GUIDE = (ROOT / "docs/howto/build.md").read_text(encoding="utf-8")
NETLIST = tomllib.loads((ROOT / "docs/hardware/netlist.toml").read_text(encoding="utf-8"))

# Raspberry Pi Pico data sheet, figure 2 (pinout): GPIO by the number of the board's pin.
GPIO_OF_PIN = dict(
    zip(
        [1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25, 26, 27, 29],
        range(23),
        strict=True,
    )
) | {31: 26, 32: 27, 34: 28}
# Argument of a port in a board file -> (part of the drawing, name of its pin). The names are those
# of the MCP2515 data sheet (DS20001801), table 1-1, and of the SD card in the SD mode.
PORTS = {
    "HotPort": {
        "sck": ("U2", "SCK"),
        "mosi": ("U2", "SI"),
        "miso": ("U2", "SO"),
        "cs": ("U2", "CS"),
        "interrupt": ("U2", "INT"),
        "full0": ("U2", "RX0BF"),
        "full1": ("U2", "RX1BF"),
    },
    "SdPort": {
        "sck": ("J2", "CLK"),
        "mosi": ("J2", "CMD"),
        "miso": ("J2", "DAT0"),
        "cs": ("J2", "DAT3"),
    },
}
CONSTANTS = {
    "_RXD": ("U3", "RXD"),
    "_RXD0": ("U3", "RXD"),
    "_RXD1": ("U6", "RXD"),
    "_POWER_GOOD": ("U4", "PG"),
    "_BUTTON": ("J3", "MARK"),
}
# The files that make the ports of a board.
FILES = {
    "pico_mcp2515": ("pico_mcp2515", "pico_card", "rp2_board"),
    "pico_pio": ("pico_pio", "pico_card", "rp2_board"),
    "pico_pio_dual": ("pico_pio_dual", "pico_card", "rp2_board"),
}
N_WIRED = {"pico_mcp2515": 13, "pico_pio": 7, "pico_pio_dual": 8}
TRANSCEIVERS = {"U3": "R4", "U6": "R11"}  # and the pull-up of its TXD


def wired_by_firmware(board):
    """Return {GPIO: (part, pin)} that the board's files use."""
    wired = {}
    for name in FILES[board]:
        for node in ast.walk(ast.parse((BOARDS / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                ends = PORTS.get(node.func.id, {})
                for word in node.keywords:
                    if word.arg in ends:
                        wired[word.value.value] = ends[word.arg]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in CONSTANTS:
                (value,) = (n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant))
                wired[value] = CONSTANTS[ast.unparse(node.targets[0])]
    return wired


def pins(board):
    """Return [(part, number, name, net)] of all pins in the drawing of a board."""
    rows = []
    for part in NETLIST["both"]["parts"] + NETLIST[board]["parts"]:
        for pin in part["pins"] + NETLIST[board].get(part["id"], []):
            rows.append((part["id"], *pin.split()))
    return rows


@pytest.mark.parametrize("board", FILES)
def test_the_drawing_has_the_pins_of_the_board_file(board):
    wired = wired_by_firmware(board)
    assert len(wired) == N_WIRED[board]
    rows = pins(board)
    drawn = {}
    for part, number, name, net in rows:
        if part == "U1" and name.startswith("GP"):
            assert GPIO_OF_PIN[int(number)] == int(name[2:])
            ends = [(row[0], row[2]) for row in rows if row[3] == net and row[0][0] in "UJ"]
            ends.remove((part, name))
            drawn[int(name[2:])] = ends
    assert drawn == {gpio: [end] for gpio, end in wired.items()}


@pytest.mark.parametrize("board", FILES)
def test_no_pin_hangs_in_the_air(board):
    """Each net joins two pins at least; what is left open is said to be (NC)."""
    rows = pins(board)
    nets = [net for *_, net in rows]
    assert not {net for net in nets if nets.count(net) == 1 and net != "NC"}
    assert len({(part, number, name) for part, number, name, _ in rows}) == len(rows)


@pytest.mark.parametrize("board", FILES)
def test_the_transceiver_cannot_send(board):
    """TXD has a pull-up and nothing else, and the silent pin is tied to VIO."""
    rows = pins(board)
    net = {(part, name): net for part, _, name, net in rows}
    parts = [part for part in TRANSCEIVERS if (part, "TXD") in net]
    assert parts == (["U3", "U6"] if board == "pico_pio_dual" else ["U3"])
    for part in parts:
        pull_up, txd, vio = TRANSCEIVERS[part], net[part, "TXD"], net[part, "VIO"]
        assert [row[0] for row in rows if row[3] == txd] == [part, pull_up]
        assert [row[3] for row in rows if row[0] == pull_up] == [txd, vio]
        assert net[part, "S"] == vio == "3V3"


def test_the_drawings_are_those_of_the_netlist(tmp_path):
    subprocess.run([sys.executable, ROOT / "tools/schematic", tmp_path], check=True)
    drawn = sorted(tmp_path.iterdir())
    assert [path.stem for path in drawn] == [f"schematic_{board}" for board in sorted(FILES)]
    for path in drawn:
        kept = ROOT / "docs/pictures" / path.name
        assert path.read_bytes() == kept.read_bytes(), "run tools/schematic"
        assert f"pictures/{path.name}" in GUIDE


def test_the_shopping_list_has_every_part_of_the_drawing():
    values = {}
    for board in NETLIST:
        for part in NETLIST[board]["parts"]:
            values.setdefault(part["value"], part["id"])
    lines = [line for line in GUIDE.splitlines() if line.startswith("|")]
    for value, part in values.items():
        assert any(part in line and value in line for line in lines), f"{part} {value}"


@pytest.mark.parametrize("board", FILES)
def test_the_table_of_the_wiring_has_the_pins_of_the_board_file(board):
    text = (ROOT / "firmware/WIRING.md").read_text(encoding="utf-8")
    start = {
        "pico_mcp2515": "## Pins",
        "pico_pio": "## A Pico without a controller",
        "pico_pio_dual": "## Two buses on one Pico",
    }[board]
    own = text.split(start)[1].split("\n## ")[0]
    rows = {int(a): int(b) for a, b in re.findall(r"^\| (\d+) \| (\d+) \|", own, re.M)}
    assert all(GPIO_OF_PIN[pin] == gpio for gpio, pin in rows.items())
    shared = set(wired_by_firmware("pico_mcp2515")) & set(wired_by_firmware("pico_pio"))
    wanted = set(wired_by_firmware(board))
    own_pins = {"pico_mcp2515": wanted, "pico_pio": wanted - shared | {6}, "pico_pio_dual": {6, 7}}
    assert set(rows) == own_pins[board]


def figure(name):
    """Return the number that a table of the guide gives for `name`."""
    return float(
        re.search(rf"^\| {re.escape(name)} \| ([\d.,]+)", GUIDE, re.M)[1].replace(",", "")
    )


def test_the_hold_up_capacitor_is_large_enough():
    """What the capacitor gives between two voltages is C/2 (V1^2 - V2^2): after the losses it
    must be the power times the time. The guide's values, put in again:
    2 * 0.48 W * 0.030 s / (0.76 * (4.5^2 - 2.6^2) V^2) = 2.8 mF, and what 4700 uF less 20 % last.
    """
    power_W = figure("voltage of the board, V") * figure("current while the card writes, mA") / 1e3
    assert figure("power, W") == pytest.approx(power_W, abs=0.005)
    square = figure("full, V") ** 2 - figure("empty, V") ** 2
    square *= figure("of its energy that arrives, %") / 100
    needed_uF = 2 * power_W * figure("time asked for, ms") * 1e3 / square
    assert figure("needed, uF") == pytest.approx(needed_uF, rel=0.01)
    least_uF = figure("chosen, uF") * (1 - figure("tolerance, %") / 100)
    assert least_uF > needed_uF
    lasts_ms = least_uF * square / 2 / power_W / 1e3
    assert figure("lasts at least, ms") == pytest.approx(lasts_ms, rel=0.02)
    assert figure("time asked for, ms") > figure("measured, worst of 25, ms")
