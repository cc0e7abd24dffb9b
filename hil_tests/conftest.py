"""The hardware-in-the-loop suite: the same tests on a simulation, on MicroPython on a RISC-V, on
an emulated RP2040 and on real boards.

    pytest hil_tests --target sim|rv32|rp2040|hardware [--rig rigs/NAME.toml] [--image NAME]
                     [--board NAME] [--long]

A board with interrupts of its own is an emulated chip, target rp2040. One whose main loop polls
its controller is its board file on models, target sim or rv32.

A test asks for `target`, says by marker what it needs (`needs("power", ...)`) and which health
counters it will move (`moves("dropped0", ...)`). After every test the health gate checks all
others: they must not have moved, a silent bus aside. Nor may a logger have touched its bus, where
that can be seen.
"""

import json

import pytest

from slog import faults
from slog.messages import CONFIG_SETTINGS
from stagelog.rig.sim.chip import POLLED_BOARDS

EMULATED_BOARDS = ("pico_mcp2515", "pico_mcp2518fd", "pico_pio", "pico_pio_dual")
TARGETS = ("sim", "rv32", "rp2040", "hardware")
GATE = (
    "fault",
    "dropped0",
    "dropped1",
    "at_least0",
    "at_least1",
    "write_errors",
    "write_retries",
    "slots_skipped",
    "verify_errors",
    "bad_frames",
)


def pytest_addoption(parser):
    parser.addoption(
        "--target", choices=TARGETS, default="sim", help="what stands behind the tests"
    )
    parser.addoption("--rig", help="TOML file that describes the real boards (target hardware)")
    parser.addoption(
        "--image", default="pico-1.25", help="MicroPython of the target rp2040, see tools/runtimes"
    )
    parser.addoption(
        "--board",
        choices=(*EMULATED_BOARDS, *POLLED_BOARDS),
        help="board file: of rp2040 pico_mcp2515 or another Pico's, of sim and rv32 a polled one",
    )
    parser.addoption("--long", action="store_true", help="the long form of what has one")


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*capabilities): skip where the target lacks one")
    config.addinivalue_line("markers", "moves(*counters): health counters that this test moves")
    config.addinivalue_line("markers", "target_args(**args): arguments of the target")


@pytest.fixture
def target(request, tmp_path):
    """A logger with power on, recording, on a silent bus."""
    name = request.config.getoption("--target")
    args = {}
    for marker in request.node.iter_markers("target_args"):
        args.update(marker.kwargs)
    rig = _start(name, tmp_path, args, request.config)
    wanted = {need for marker in request.node.iter_markers("needs") for need in marker.args}
    missing = wanted - rig.capabilities
    if missing:
        rig.close()
        pytest.skip(f"target {name} can't: {', '.join(sorted(missing))}")
    rig.link.hello()
    before = rig.link.status()
    bitrate_bps = args.get("bitrate_bps")
    if bitrate_bps:
        settings = {"buses": [{"bitrate_bps": bitrate_bps, "ids": None}]}
        rig.link.replace_config(CONFIG_SETTINGS, json.dumps(settings).encode())
    try:
        yield rig
        moved = {
            counter for marker in request.node.iter_markers("moves") for counter in marker.args
        }
        if rig.is_on:
            status = rig.link.status()
            changed = {key: getattr(status, key) for key in GATE if key not in moved}
            wrong = {key: n for key, n in changed.items() if n != getattr(before, key)}
            if status.fault == faults.BUS_SILENT:
                wrong.pop("fault", None)
            assert not wrong, f"health gate: {wrong}"
        assert not rig.drove_dominant, "the logger has driven its bus dominant"
    finally:
        rig.close()


def _start(name, folder, args, config):
    if "data_bitrate_bps" in args and name == "hardware":
        pytest.skip(f"target {name} has no bus of CAN FD")
    board = config.getoption("--board")
    if board and board not in {"sim": POLLED_BOARDS, "rv32": POLLED_BOARDS}.get(
        name, EMULATED_BOARDS
    ):
        raise pytest.UsageError(f"target {name} has no board {board}")
    if board and name in ("sim", "rv32"):
        args["board"] = board
    if name == "sim":
        from stagelog.rig.target import SimTarget

        return SimTarget(folder, **args)
    if name == "rp2040":
        from stagelog.rig.runtimes import find_runtime

        image = config.getoption("--image")
        path = find_runtime(image)
        if path is None:
            pytest.skip(f"no MicroPython image for the RP2040: run tools/runtimes {image}")
        from stagelog.rig.rp2040.target import Rp2040Target

        return Rp2040Target(folder, image=path, board=board or EMULATED_BOARDS[0], **args)
    if name == "rv32":
        from stagelog.rig.runtimes import find_qemu, find_runtime

        path, qemu = find_runtime("rv32"), find_qemu()
        if path is None or qemu is None:
            pytest.skip("no MicroPython for the RISC-V machine: run tools/runtimes rv32")
        from stagelog.rig.rv32.target import Rv32Target

        return Rv32Target(folder, image=path, qemu=qemu, **args)
    rig_file = config.getoption("--rig")
    if rig_file is None:
        pytest.skip("no rig: describe one in hil_tests/rigs/NAME.toml and pass --rig")
    from stagelog.rig.hardware import HardwareTarget

    return HardwareTarget(rig_file, **args)


@pytest.fixture
def fetch_log(target, tmp_path):
    """A function: stop the recording, fetch a boot's session (the newest), return its Log."""
    from slog.messages import CONTROL_STOP
    from stagelog.blocks import read_log
    from stagelog.link import positions_of

    def fetch(boot=None):
        link = target.link
        link.control(CONTROL_STOP, link.hello().boot)
        session = next(s for s in link.list_sessions() if boot in (None, s.boot))
        path = tmp_path / "session.slog"
        path.write_bytes(b"".join(block for _, block in link.read_blocks(positions_of(session))))
        return read_log(path)

    return fetch


@pytest.fixture
def fetch_frames(fetch_log):
    """A function: the same, but return the frames of the session (model.FRAME)."""
    import numpy as np

    def fetch(boot=None):
        return np.concatenate(list(fetch_log(boot).sessions[0].iter_frames()))

    return fetch
