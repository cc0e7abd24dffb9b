"""The contract on an ESP32 in Espressif's emulator, if you have one: opt in by two variables.

    export STAGELOG_ESP_EMU="qemu-system-xtensa -nographic -machine esp32s3 -m 4M \\
        -drive file={image},if=mtd,format=raw -serial tcp:127.0.0.1:{port},server=on,wait=off"
    export STAGELOG_ESP_IMAGE=flash.bin
    .venv/bin/python -m pytest -rs firmware/tests/test_slog_espressif.py

STAGELOG_ESP_EMU is the whole command; {image} and {port} in it are replaced. The program serves
the chip's first UART as a TCP server on 127.0.0.1:{port}. STAGELOG_ESP_IMAGE is stock MicroPython
1.25 or later for that chip, as long as its flash (esptool merge_bin --fill-flash-size 4MB); the
test works on a copy. The firmware's modules are compiled for the chip, sent to its RAM and read
the golden files there: 13 lines that CPython prints, too. Without the variables the test is
skipped. The protocol itself is tested with our own RISC-V machine, which is no ESP32.
"""

import binascii
import os
import shlex
import shutil
import socket
import subprocess
import time

import pytest
from test_slog_micropython import GOLDEN, SCRIPT, expected

from stagelog.errors import DeviceError
from stagelog.flash.build import arch_of, compile_module
from stagelog.flash.remote import Remote
from stagelog.resources import firmware_path
from stagelog.rig.runtimes import find_qemu, find_runtime

BOOT_S = 60
CHUNK = 12_000  # bytes of one request: two of its lines fit into the heap of any ESP32
NAMES = ("v1_session.slog", "v1_wire.bin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def prompt_of(port):
    """Return a Remote once MicroPython answers on a TCP port."""
    board = Remote(f"socket://127.0.0.1:{port}")
    deadline = time.monotonic() + BOOT_S
    while True:
        try:
            board.exec("pass")
            return board
        except DeviceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def lines_on(board):
    """Send the contract and the golden files to a board's RAM; return what it prints of them."""
    from stagelog.rig.rv32.machine import romfs_of

    arch = arch_of(int(board.exec("import sys; print(sys.implementation._mpy)")))
    files = {f"golden/{name}": (GOLDEN / name).read_bytes() for name in NAMES}
    for path in sorted((firmware_path() / "slog").glob("*.py")):
        name = f"slog/{path.name}"
        files[name.removesuffix(".py") + ".mpy"] = compile_module(name, path.read_text(), arch)
    rom = romfs_of(files)
    board.exec(f"import binascii\nrom = bytearray({len(rom)})")
    for at in range(0, len(rom), CHUNK):
        text = binascii.b2a_base64(rom[at : at + CHUNK], newline=False).decode()
        board.exec(f"part = binascii.a2b_base64({text!r})\nrom[{at}:{at} + len(part)] = part")
    argv = ["", *(f"/rom/golden/{name}" for name in NAMES)]
    begin = "import sys, vfs\nvfs.mount(vfs.VfsRom(rom), '/rom')\nsys.path.append('/rom')\n"
    return board.exec(f"{begin}sys.argv[:] = {argv!r}\n{SCRIPT}").splitlines()


def lines_of(command, env=None):
    """Start an emulator whose command has {port} in it; return what the chip prints."""
    pytest.importorskip("mpremote")
    port = free_port()
    words = [word.replace("{port}", str(port)) for word in command]
    with subprocess.Popen(
        words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            return lines_on(prompt_of(port))
        finally:
            process.kill()


def test_an_esp32_reads_the_golden_files_alike(tmp_path):
    command, image = os.environ.get("STAGELOG_ESP_EMU"), os.environ.get("STAGELOG_ESP_IMAGE")
    if not command or not image:
        pytest.skip("Espressif's emulator: set STAGELOG_ESP_EMU and STAGELOG_ESP_IMAGE, see above")
    copy = shutil.copy(image, tmp_path / "flash.bin")  # a chip writes into its flash
    words = [word.replace("{image}", str(copy)) for word in shlex.split(command)]
    assert lines_of(words) == expected()


def test_the_protocol_works_with_another_emulator():
    """QEMU's RISC-V machine in the place of the emulator: MicroPython's prompt on a TCP port."""
    image, qemu = find_runtime("rv32"), find_qemu()
    if image is None or qemu is None:
        pytest.skip("no MicroPython for the RISC-V machine: run tools/runtimes rv32")
    words = f"-machine virt -m 64M -nodefaults -display none -bios none -kernel {image}".split()
    words += ["-serial", "tcp:127.0.0.1:{port},server=on,wait=off"]
    assert lines_of([str(qemu.path), *words], qemu.env) == expected()
