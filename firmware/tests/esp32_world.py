"""A board with a polled MCP2518FD on this machine: stock MicroPython's `machine` and `network`,
faked, with a model behind each SPI. No such board ever ran on a chip.
"""

import builtins
import ctypes
import importlib
import json
import sys
import types
from contextlib import contextmanager
from typing import NamedTuple

from slog import messages as m
from stagelog.card import prepare_raw
from stagelog.rig.rp2040.card_image import FileImage
from stagelog.rig.rp2040.card_timing import INSTANT
from stagelog.rig.rp2040.emulator import Emulator
from stagelog.rig.rp2040.sdcard import SdCard
from stagelog.rig.sim.mcp2518fd import Mcp2518fdModel

CALL_us = 10.0  # of machine.SPI, from Python
PASS_us = 300  # of the main loop, besides its SPI
BITRATE_BPS = 500_000
USUAL = "esp32_mcp2518fd"
C3 = "esp32c3_mcp2518"
PICO2 = "pico2_mcp2518fd"


class Wiring(NamedTuple):
    """SPI and chip select of controller and card, pin of the light: WIRING.md."""

    can_spi: int
    can_select: int
    card_spi: int
    card_select: int
    light: int


WIRINGS = {
    USUAL: Wiring(1, 33, 2, 5, 2),
    "esp32s3_mcp2518": Wiring(1, 10, 2, 4, 2),
    C3: Wiring(1, 10, 1, 4, 3),  # one SPI for both
    PICO2: Wiring(0, 5, 1, 13, 25),
}
GO_IDLE = 0x40  # the first byte of CMD0
LOAD_us = 700_000  # assumed: nobody measured an ESP32; a Pico takes about as long


class World:
    """The wires of the board `name`; time is the emulator's."""

    def __init__(self, card_path, timing=INSTANT, name=USUAL):
        self.image = FileImage(card_path)
        self.card = SdCard(self.image, timing)
        self.emulator = Emulator(bytes(b"\xff" * (2 << 20)), [self.card])
        self.emulator.powered = False
        self.wire = self.emulator.chip.engine.spi_device(1)
        self.chip = Mcp2518fdModel(self.now_us, BITRATE_BPS)
        self.pins = {}
        self.wiring = WIRINGS[name]
        self.can_select, self.card_select = self.wiring.can_select, self.wiring.card_select
        self.tape = iter(())
        self.next = None
        self.light = []
        self.rates_Hz = []
        self.spi_Hz = {}
        self.order = []
        self.uart_bps = []
        self.is_driven = False  # the card's output, until it is clocked unselected
        self.words = {}  # what was written to the chip's registers

    def now_us(self):
        return int(self.emulator.t_us)

    def play(self, tape):
        start_us = self.now_us()
        sent = tape[tape["kind"] == 0].tolist()
        self.tape = iter([(row[0] + start_us, row[5], row[3], row[10]) for row in sent])
        self.next = next(self.tape)

    def pass_us(self, us):
        self.emulator.run_us(us)
        while self.next is not None and self.next[0] <= self.now_us():
            t_us, can_id, dlc, data = self.next
            self.chip.receive(t_us, can_id, 0, dlc, bytes(data))
            self.next = next(self.tape, None)

    def card_byte(self, byte):
        if self.pins.get(self.card_select, 1):
            self.wire.idle_bytes += 1
            return 0xFF
        wire = self.wire
        if wire.at < wire.count:
            if not wire.break_on_command or byte == 0xFF:
                answer = 0xFF
                if wire.out:
                    answer = ctypes.c_uint8.from_address(wire.out + wire.at).value
                if wire.in_:
                    ctypes.c_uint8.from_address(wire.in_ + wire.at).value = byte
                wire.at += 1
                return answer
            wire.count = wire.at
        if byte == 0xFF and self.emulator.clock.now_fs < wire.busy_until:
            return wire.busy_byte
        return self.card.exchange(byte)

    def importer(self):
        """Return an `__import__` that notes in `order` what the board file and its parts load. To
        load `logger.app` with all it needs takes LOAD_us.
        """
        load = builtins.__import__

        def note(name, *args, **kwargs):
            if name.startswith(("boards", "drivers", "logger", "slog")):
                if name == "logger.app" and name not in self.order:
                    self.pass_us(LOAD_us)
                self.order.append(name)
            return load(name, *args, **kwargs)

        return note

    def machine(self):
        """Return the module `machine` of this world."""
        world = self

        class Pin:
            IN, OUT, PULL_UP = 0, 1, 2

            def __init__(self, number, mode=None, pull=None, value=None):
                self.number = number
                if pull == self.PULL_UP:
                    world.pins.setdefault(number, 1)
                if value is not None:
                    self(value)

            def __call__(self, value=None):
                if value is None:
                    return world.pins[self.number]
                before = world.pins.get(self.number)
                world.pins[self.number] = value
                if self.number == world.card_select and value != before:
                    if not value:
                        world.wire.at = world.wire.count = 0
                    world.card.selected(not value)
                if self.number == world.wiring.light:
                    world.light.append(value)

        class SPI:
            def __init__(self, number, baudrate, **pins):
                self.is_card = number == world.wiring.card_spi
                self.is_can = number == world.wiring.can_spi
                assert self.is_card or self.is_can, "that chip has no such SPI"
                world.spi_Hz[number] = self.rate_Hz = baudrate

            def init(self, baudrate):
                world.rates_Hz.append(baudrate)
                self.rate_Hz = baudrate

            def write_readinto(self, out, into):
                world.pass_us(CALL_us + len(out) * 8e6 / self.rate_Hz)
                is_low = self.is_can and world.pins[world.can_select] == 0
                if is_low:
                    assert not self.is_card or world.pins[world.card_select], "both are selected"
                    assert not self.is_card or not world.is_driven, "the card has not let go"
                    into[:] = out
                    world.chip.transfer(into)
                    return
                assert self.is_card
                world.is_driven = not world.pins[world.card_select]
                if out[0] == GO_IDLE:
                    world.order.append("CMD0")
                for i in range(len(out)):
                    into[i] = world.card_byte(out[i])

            def write(self, out):
                self.write_readinto(out, bytearray(len(out)))

            def readinto(self, into, byte=0):
                self.write_readinto(bytes((byte,)) * len(into), into)

        module = types.ModuleType("machine")
        module.Pin = Pin
        module.SPI = SPI
        module.WDT = lambda timeout: types.SimpleNamespace(feed=lambda: None)
        module.UART = lambda number, rate_bps: world.uart_bps.append((number, rate_bps))
        module.mem32 = world.words
        module.unique_id = lambda: b"ESP\1\2\3"
        module.reset_cause = lambda: 1
        return module


class Wlan:
    """`network.WLAN`: the interfaces of the chip, both on, as a boot.py may have left them."""

    IF_STA, IF_AP = 0, 1
    made = {}

    def __new__(cls, number):
        return cls.made.setdefault(number, object.__new__(cls))

    def __init__(self, number):
        self.is_active = getattr(self, "is_active", True)
        self.settings = getattr(self, "settings", {})

    def active(self, value=None):
        if value is not None:
            self.is_active = value
        return self.is_active

    def config(self, name=None, **values):
        self.settings.update(values)
        return self.settings.get(name)

    def connect(self, ssid, password):
        self.settings = {"ssid": ssid, "key": password}


class Link:
    """The port with no cable in it."""

    def read(self, buf):
        return 0

    def write(self, buf, at, n):
        return n


class Nv:
    """Settings that were never saved but for the bit rate."""

    def load(self, item):
        text = json.dumps({"buses": [{"bitrate_bps": BITRATE_BPS}]}).encode()
        return text if item == m.CONFIG_SETTINGS else None

    def open(self, item):
        return None


@contextmanager
def esp32_world(tmp_path, monkeypatch, timing, name):
    """Yield the World of a board whose file is loaded, `file`, with what these boards share,
    `module`, and what makes its application: `app_name` in `app_module`.
    """
    card = tmp_path / "card.img"
    prepare_raw(card, 256)
    made = World(card, timing, name)
    monkeypatch.setitem(sys.modules, "machine", made.machine())
    monkeypatch.delitem(sys.modules, "logger.service_mode", raising=False)  # loaded by the board
    monkeypatch.setattr(Wlan, "made", {})
    monkeypatch.setitem(sys.modules, "network", types.SimpleNamespace(WLAN=Wlan))
    monkeypatch.setitem(sys.modules, "drivers.usb_link", types.SimpleNamespace(UsbLink=Link))
    with monkeypatch.context() as loading:
        loading.setattr(builtins, "__import__", made.importer())
        made.file = importlib.import_module(f"boards.{name}")
    made.module = importlib.import_module("boards.polled_board")
    made.app_module, made.app_name = made.module, "App"
    if name != PICO2:
        made.app_module = importlib.import_module("boards.esp32_board")
        made.app_name = "RadioApp"
    clock = types.SimpleNamespace(ticks_us=lambda: made.now_us() & 0x3FFFFFFF)
    monkeypatch.setattr(made.module, "time", clock)
    monkeypatch.setattr("drivers.spi_ports.time", types.SimpleNamespace(sleep_us=made.pass_us))
    monkeypatch.setattr(made.module.gc, "mem_free", lambda: 100_000, raising=False)
    monkeypatch.setattr(made.module, "Settings", lambda folder, slot: Nv())
    try:
        yield made
    finally:
        sys.modules.pop("drivers.wifi", None)
        card = name.partition("_")[0] + "_card"
        for gone in (name, "esp32_board", "polled_board", "polled_card", card):
            sys.modules.pop(f"boards.{gone}", None)
        made.emulator.close()
