"""What the device benchmark compares with, on the same emulated board: the style of public
MicroPython drivers for the MCP2515, the raw USB port, and mpremote cp.

The driver below is written in the manner that the public ones share (jxltom, ghfbsd, Longan):
every transfer a machine.SPI call with fresh bytes, every frame an object with a bytes payload, a
list as queue. mpremote is the installed one; only its port and its sleeping are replaced, so that
it runs in emulated time.
"""

import re
from unittest import mock

from device_rig import SPEEDS

from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.rp2040.mcp2515 import DELIVERED, Mcp2515
from stagelog.rig.runtimes import ensure_runtime

PUBLIC_DRIVER = """
from machine import SPI, Pin
import time

class Frame:
    def __init__(self, can_id, data):
        self.can_id = can_id
        self.data = data

class MCP2515:
    def __init__(self):
        self.spi = SPI(0, baudrate=10_000_000, sck=Pin(2), mosi=Pin(3), miso=Pin(4))
        self.cs = Pin(5, Pin.OUT, value=1)
        self.queue = []
        self.n = 0

    def write_register(self, address, *values):
        self.cs(0)
        self.spi.write(bytes((0x02, address) + values))
        self.cs(1)

    def read_register(self, address):
        self.cs(0)
        self.spi.write(bytes((0x03, address)))
        value = self.spi.read(1)
        self.cs(1)
        return value[0]

    def read_registers(self, address, n):
        self.cs(0)
        self.spi.write(bytes((0x03, address)))
        values = self.spi.read(n)
        self.cs(1)
        return values

    def modify_register(self, address, mask, value):
        self.cs(0)
        self.spi.write(bytes((0x05, address, mask, value)))
        self.cs(1)

    def read_status(self):
        self.cs(0)
        self.spi.write(b"\\xa0")
        value = self.spi.read(1)
        self.cs(1)
        return value[0]

    def read_message(self, buffer):
        base = 0x61 + 0x10 * buffer
        head = self.read_registers(base, 5)
        can_id = (head[0] << 3) + (head[1] >> 5)
        if head[1] & 0x08:
            can_id = (can_id << 2) + (head[1] & 3)
            can_id = (can_id << 8) + head[2]
            can_id = (can_id << 8) + head[3]
        data = self.read_registers(base + 5, head[4] & 15)
        self.modify_register(0x2C, 1 << buffer, 0)
        return Frame(can_id, data)

    def take(self, pin=None):
        status = self.read_status()
        if status & 1:
            self.queue.append(self.read_message(0))
        if status & 2:
            self.queue.append(self.read_message(1))

can = MCP2515()
can.spi.write(b"")
can.cs(0); can.spi.write(b"\\xc0"); can.cs(1)
time.sleep_ms(10)
can.write_register(0x28, *TIMING)
can.write_register(0x2B, 0x03)
can.write_register(0x60, 0x64)
can.write_register(0x70, 0x60)
can.write_register(0x0F, 0x60)
interrupt = Pin(6, Pin.IN)
"""
POLLED = """
print("READY")
lines = 0
while True:
    if not interrupt():
        can.take()
    while can.queue:
        frame = can.queue.pop(0)
        line = "%03X#%s" % (frame.can_id, frame.data.hex())
        lines += 1
"""
INTERRUPT = """
interrupt.irq(can.take, Pin.IRQ_FALLING)
print("READY")
lines = 0
while True:
    while can.queue:
        frame = can.queue.pop(0)
        line = "%03X#%s" % (frame.can_id, frame.data.hex())
        lines += 1
    if not interrupt():
        can.take()
"""
TIMINGS = {500_000: (0x03, 0xAC, 0x00), 1_000_000: (0x01, 0x91, 0x00)}
RAW_PORT = """
import sys, time
w = sys.stdout.buffer.write
b = bytes(4096)
t = time.ticks_us()
for i in range(64): w(b)
d = time.ticks_diff(time.ticks_us(), t)
print()
print("TOOK", d)
"""
CP_BYTES = 65536


def public_loss_pct(speed, style, tape):
    """Return the share of frames that a driver of the public style did not take."""
    is_full = len(tape) > 8000
    can = Mcp2515(bitrate_bps=1_000_000 if is_full else 500_000)
    board = PicoBoard(ensure_runtime("pico-1.25"), can=can, **SPEEDS[speed])
    timing = "TIMING = " + repr(TIMINGS[can.bitrate_bps])
    board.repl.start(timing + PUBLIC_DRIVER + (POLLED if style == "polled" else INTERRUPT))
    board.repl.wait("READY")
    board.run_us(2_000)
    can.play(tape)
    while not can.is_played_out:
        board.run_us(10_000)
    board.run_us(100_000)
    board.close()
    return 100 * (1 - can.count(DELIVERED) / len(tape))


def raw_port_rate(speed):
    """Return kB/s from device to host when MicroPython does nothing but write 4 KiB at a time."""
    board = PicoBoard(ensure_runtime("pico-1.25"), **SPEEDS[speed])
    said = board.repl.exec(RAW_PORT, 30_000_000)
    board.close()
    return 64 * 4096 / int(re.search(r"TOOK (\d+)", said)[1]) * 1e3


def mpremote_rate(speed):
    """Return kB/s of mpremote's own read of a file, as `mpremote cp :file .` does it."""
    from mpremote import transport_serial

    board = PicoBoard(
        ensure_runtime("pico-1.25"),
        files={"data.bin": bytes(range(256)) * (CP_BYTES // 256)},
        **SPEEDS[speed],
    )
    board.run_until(lambda: board.usb.connected, 2_000_000)

    class EmulatedTime:
        """`time` as mpremote uses it."""

        @staticmethod
        def sleep(seconds):
            board.run_us(seconds * 1e6)

        @staticmethod
        def monotonic():
            return board.t_us / 1e6

        time = monotonic

    port = board.serial(timeout=1)
    with (
        mock.patch.object(transport_serial, "time", EmulatedTime),
        mock.patch.object(transport_serial.serial, "serial_for_url", lambda *_, **__: port),
    ):
        transport = transport_serial.SerialTransport("emulated")
        transport.enter_raw_repl()
        start_us = board.t_us
        data = transport.fs_readfile("data.bin")
        took_us = board.t_us - start_us
    board.close()
    if len(data) != CP_BYTES:
        raise AssertionError(f"mpremote read {len(data)} of {CP_BYTES} bytes")
    return CP_BYTES / took_us * 1e3
