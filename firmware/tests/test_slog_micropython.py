"""MicroPython computes what CPython computes: contract hash, CRC, COBS, layouts."""

import os
import subprocess
from pathlib import Path

import pytest

from slog import layout, messages
from slog.block import crc_of
from slog.framing import Receiver
from stagelog.resources import firmware_path
from stagelog.rig.runtimes import find_qemu, find_runtime

GOLDEN = Path(__file__).parent / "golden"
SCRIPT = """
import sys
from slog import layout, messages
from slog.block import crc_of, is_block
from slog.framing import Receiver, frame

print(messages.contract_hash())
with open(sys.argv[1], "rb") as f:
    while True:
        block = bytearray(4096)
        if not f.readinto(block):
            break
        print(is_block(block, int.from_bytes(block[24:28], "little")), crc_of(block))
        print(sorted(layout.unpack(layout.BLOCK_HEADER, block).items()))
got = []
receiver = Receiver()
with open(sys.argv[2], "rb") as f:
    receiver.feed(f.read(), lambda kind, n, data: got.append((kind, n, bytes(data))))
print(receiver.n_bad, [(kind, n, len(data)) for kind, n, data in got])
with open(sys.argv[2], "rb") as f:
    print(b"".join([frame(kind, n, data) for kind, n, data in got]) == f.read())
"""


def expected():
    lines = [str(messages.contract_hash())]
    content = (GOLDEN / "v1_session.slog").read_bytes()
    for at in range(0, len(content), layout.BLOCK_BYTES):
        block = content[at : at + layout.BLOCK_BYTES]
        lines.append(f"True {crc_of(block)}")
        lines.append(str(sorted(layout.unpack(layout.BLOCK_HEADER, block).items())))
    got = []
    receiver = Receiver()
    wire = (GOLDEN / "v1_wire.bin").read_bytes()
    receiver.feed(wire, lambda kind, n, data: got.append((kind, n, len(data))))
    return [*lines, f"0 {got}", "True"]


@pytest.mark.parametrize("runtime", ["unix32", "unix64"])
def test_micropython_reads_the_golden_files_alike(runtime, tmp_path):
    binary = find_runtime(runtime)
    if binary is None:
        pytest.skip(f"no {runtime} MicroPython: run tools/runtimes {runtime}")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [binary, script, GOLDEN / "v1_session.slog", GOLDEN / "v1_wire.bin"],
        env=dict(os.environ, MICROPYPATH=str(firmware_path())),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected()


def test_a_risc_v_reads_the_golden_files_alike(tmp_path):
    """The same script on a 32-bit RISC-V, where nothing but MicroPython runs."""
    image, qemu = find_runtime("rv32"), find_qemu()
    if image is None or qemu is None:
        pytest.skip("no MicroPython for the RISC-V machine: run tools/runtimes rv32")
    from stagelog.rig.rv32.machine import Machine

    names = ["v1_session.slog", "v1_wire.bin"]
    machine = Machine(tmp_path, image, qemu)
    try:
        machine.start({f"golden/{name}": (GOLDEN / name).read_bytes() for name in names})
        paths = [f"/rom/golden/{name}" for name in names]
        keep = "lines = []\ndef print(*words): lines.append(' '.join(map(str, words)))\n"
        argv = f"import sys\nsys.argv[:] = {['', *paths]!r}\n"
        said = machine.call(keep + argv + SCRIPT + "\nanswer = '\\n'.join(lines)\n")
    finally:
        machine.close()
    assert said.splitlines() == expected()
