"""The SD card driver on a card model: kinds of cards, refusals, stalls, removal, power left on."""

import pytest
from card_model import BLOCK, SECTOR, FakePort, make, write

from drivers import spi_ports
from drivers.sdcard import SdCard, sectors_of
from logger import store


@pytest.mark.parametrize("version, high_capacity", [(1, False), (2, False), (2, True)])
def test_finds_every_kind_of_card(version, high_capacity):
    port, card = make(version=version, high_capacity=high_capacity)
    assert card.n_sectors == 16384 and not card.read_only
    assert port.rate_Hz == 12_000_000 and not port.selected
    assert write(card, 4096, BLOCK)[0] == store.WRITE_DONE
    buf = bytearray(4096)
    card.read(4096, buf)
    assert buf == BLOCK


def test_sizes_from_the_csd():
    csd = bytearray(16)
    csd[0] = 0x40
    csd[7:10] = b"\x3f\xff\xff"
    assert sectors_of(csd) == 1 << 32
    csd[0] = 0x80
    with pytest.raises(OSError, match="CSD version 2"):
        sectors_of(csd)


@pytest.mark.parametrize(
    ("csd", "n_sectors"),
    [
        # version 1: C_SIZE 4095, C_SIZE_MULT 7, READ_BL_LEN 9: 4096 x 2^9 x 512 bytes, 1 GiB
        ("00 00 00 00 00 09 03 FF C0 03 80 00 00 00 00 00", 1 << 21),
        # READ_BL_LEN 10: 2 GiB; C_SIZE_MULT 0 and C_SIZE 1024: 1025 x 4 x 512
        ("00 00 00 00 00 0A 03 FF C0 03 80 00 00 00 00 00", 1 << 22),
        ("00 00 00 00 00 09 01 00 00 00 00 00 00 00 00 00", 1025 * 4),
        # version 2: C_SIZE 0x1D8A, in 512 KiB
        ("40 00 00 00 00 09 00 00 1D 8A 00 00 00 00 00 00", (0x1D8A + 1) * 1024),
    ],
)
def test_sizes_are_those_of_the_specification(csd, n_sectors):
    """5.3.2 and 5.3.3 of the specification."""
    assert sectors_of(bytes.fromhex(csd)) == n_sectors


@pytest.mark.parametrize(("deaf", "is_found"), [(0, True), (3, True), (100, False)])
def test_a_card_that_does_not_hear_at_once_is_asked_again(deaf, is_found):
    port = FakePort()
    port.deaf = deaf
    card = SdCard(port)
    if is_found:
        card.init()
        assert card.n_sectors == 16384 and port.log.count("CMD0") == deaf + 1
        return
    with pytest.raises(OSError, match="no card answers"):
        card.init()


@pytest.mark.parametrize(("high_capacity", "argument"), [(True, 70_000), (False, 70_000 * 512)])
def test_a_sector_beyond_the_first_65536_is_asked_for(high_capacity, argument):
    port, card = make(n_sectors=1 << 17, high_capacity=high_capacity)
    port.image[70_000 * SECTOR : 70_001 * SECTOR] = bytes(range(256)) * 2
    buf = bytearray(SECTOR)
    card.read(70_000, buf)
    assert port.arguments["CMD17"] == argument and buf == bytes(range(256)) * 2


@pytest.mark.parametrize("flags", [0x10, 0x20])
def test_a_protected_card_is_read_only(flags):
    port = FakePort()
    port.csd_flags = flags
    card = SdCard(port)
    card.init()
    assert card.read_only
    assert write(card, 0, BLOCK)[0] == store.ERROR_READ_ONLY
    assert "CMD25" not in port.log


def test_no_card_is_said_at_once():
    port = FakePort()
    port.present = False
    card = SdCard(port)
    with pytest.raises(OSError, match="no card answers"):
        card.init()
    with pytest.raises(OSError, match="no card"):
        card.read(0, bytearray(512))
    assert write(card, 0, BLOCK)[0] == store.ERROR_ABSENT


def test_an_empty_slot_is_not_even_asked():
    port = FakePort()
    with pytest.raises(OSError, match="slot"):
        SdCard(port, is_present=lambda: False).init()
    assert not port.log


def test_a_card_that_never_starts_is_given_up():
    port = FakePort()
    port.starts_after = 10**9
    with pytest.raises(OSError, match="does not start"):
        SdCard(port).init()


def test_a_card_that_is_gone_at_a_new_look_has_no_sectors():
    port, card = make()
    port.present = False
    with pytest.raises(OSError):
        card.init()
    port.present = True
    assert card.n_sectors == 0 and write(card, 8, BLOCK)[0] == store.ERROR_ABSENT


def test_a_write_announces_its_length_and_is_checked():
    port, card = make()
    del port.log[:]
    assert write(card, 8, BLOCK)[0] == store.WRITE_DONE
    assert port.log == ["CMD55", "ACMD23", "CMD25", "stop token", "CMD13"]
    assert port.image[4096:8192] == BLOCK and not port.selected


@pytest.mark.parametrize(
    ("version", "high_capacity", "ocr", "last"),
    [
        (1, False, 0, (16384 - 8) * 512),  # counts bytes; knows nothing of HCS
        (2, False, 0x40000000, (16384 - 8) * 512),
        (2, True, 0x40000000, 16384 - 8),  # counts sectors
    ],
)
def test_the_arguments_of_the_commands_are_those_of_the_specification(
    version, high_capacity, ocr, last
):
    """CMD8: 2.7 to 3.6 V and a pattern; ACMD41: HCS; CMD59: CRC on; CMD16: 512, only for a card of
    standard capacity; ACMD23: 8 sectors.
    """
    port, card = make(version=version, high_capacity=high_capacity)
    assert write(card, 16384 - 8, BLOCK)[0] == store.WRITE_DONE
    wanted = {"CMD0": 0, "CMD8": 0x1AA, "CMD59": 1, "ACMD41": ocr, "ACMD23": 8, "CMD25": last}
    assert {name: port.arguments[name] for name in wanted} == wanted
    assert port.arguments.get("CMD16") == (None if high_capacity else 512)


@pytest.mark.parametrize("echo", [(0, 0xAA), (1, 0x55), (0, 0)])
def test_a_card_that_does_not_work_at_our_voltage_is_refused(echo):
    port = FakePort()
    port.echo = echo
    with pytest.raises(OSError, match="3.3 V"):
        SdCard(port).init()
    assert not port.selected


def test_a_card_that_refuses_to_check_is_refused():
    port = FakePort()
    port.refused = ("CMD59",)
    with pytest.raises(OSError, match="CRC"):
        SdCard(port).init()
    SdCard(port, use_crc=False).init()
    assert port.log.count("CMD59") == 1


def test_a_card_that_knows_no_erase_before_a_write_is_written_all_the_same():
    port, card = make()
    port.refused = ("CMD55",)
    assert write(card, 8, BLOCK)[0] == store.WRITE_DONE
    assert "ACMD23" not in port.log and port.image[4096:8192] == BLOCK


def test_the_card_is_clocked_74_times_before_its_first_command():
    """Specification, 6.4.1: with chip select high; eight clocks a byte."""
    port, n_clocked = FakePort(), []
    exchange = port.exchange
    port.exchange = lambda byte: (
        n_clocked.append(not port.selected and not port.log) or exchange(byte)
    )
    SdCard(port).init()
    assert 8 * sum(n_clocked) >= 74


def test_something_else_is_done_while_each_sector_is_on_its_way():
    """The ESP32 fetches frames meanwhile: 8 sectors of a block written, 5 read."""
    port, card = make()
    calls = []
    card.background = lambda: calls.append(port.selected)
    assert write(card, 8, BLOCK)[0] == store.WRITE_DONE
    assert calls == [True] * 8
    card.read(8, bytearray(5 * SECTOR))
    assert calls == [True] * 13


def test_something_else_is_done_in_each_millisecond_in_which_a_read_waits():
    """400 ms, of 1,500 bytes each at 12 MHz, of a card that is busy with an older write."""
    port, card = make()
    write(card, 8, BLOCK)
    calls = []
    card.background = lambda: calls.append(0)
    port._busy_left = 400 * 1_500
    card.read(8, bytearray(SECTOR))
    assert 395 <= len(calls) <= 405


def test_a_busy_card_costs_polls_not_time():
    port, card = make()
    port.busy = 100_000
    result, n = write(card, 8, BLOCK, most=100_000)
    assert result == store.WRITE_DONE and n > 9 * 100_000 // 129


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("response", [0xEB, 0xED, 0xF5])  # CRC, write error, no response
def test_a_refused_sector_is_an_error_and_the_next_write_works(at, response):
    port, card = make()
    port.busy = 50
    port.responses = [0xE5] * at + [response]
    assert write(card, 8, BLOCK)[0] == store.ERROR_REJECTED
    assert not port.selected
    del port.log[:]
    sent, exchange = [], port.exchange
    port.exchange = lambda byte: sent.append(byte) or exchange(byte)
    assert write(card, 8, BLOCK)[0] == store.WRITE_DONE
    assert port.image[4096:8192] == BLOCK
    assert port.log == ["CMD55", "ACMD23", "CMD25", "stop token", "CMD13"]
    assert sent.count(0xFD) == 1, "CMD12 has ended the write before"


def test_a_card_that_locks_itself_in_a_write_is_read_only():
    port, card = make()
    port.responses = [0xE5, 0xED]
    port.status = (0, 0x20)
    assert write(card, 8, BLOCK)[0] == store.ERROR_READ_ONLY
    assert card.read_only


@pytest.mark.parametrize(
    "status, result",
    [
        ((0, 0x20), store.ERROR_READ_ONLY),
        ((0, 0x04), store.ERROR_REJECTED),
        ((4, 0), store.ERROR_REJECTED),
    ],
)
def test_an_error_that_shows_only_in_the_status_is_an_error(status, result):
    port, card = make()
    port.status = status
    assert write(card, 8, BLOCK)[0] == result


@pytest.mark.parametrize("polls", range(0, 40, 3))
def test_a_card_pulled_out_is_absent(polls):
    port, card = make()
    card.write_start(8, memoryview(BLOCK))
    result = store.WRITE_BUSY
    for _ in range(polls):
        result = card.write_poll()
    if result == store.WRITE_DONE:
        return
    port.present = False
    for _ in range(50):
        result = card.write_poll()
    assert result == store.ERROR_ABSENT


def test_a_card_pulled_out_before_it_was_asked_what_became_of_a_write_is_absent():
    """All bits of its answer are ones, those of the write protection too."""
    port, card = make()
    command = port.command

    def command_of_none(index, high, low):
        port.present = port.present and index != 13
        return command(index, high, low)

    port.command = command_of_none
    assert write(card, 8, BLOCK)[0] == store.ERROR_ABSENT and not card.read_only


def test_a_card_that_is_gone_before_the_write_is_absent():
    port, card = make()
    port.present = False
    assert write(card, 8, BLOCK)[0] == store.ERROR_ABSENT


def test_a_stall_that_is_given_up_is_ended_before_the_next_write():
    port, card = make()
    port.busy = 10**6
    card.write_start(8, memoryview(BLOCK))
    for _ in range(100):
        assert card.write_poll() == store.WRITE_BUSY
    card.write_abort()
    assert not port.selected
    port.busy = 0
    port._busy_left = 500
    del port.log[:]
    assert write(card, 16, BLOCK)[0] == store.WRITE_DONE
    assert port.log[0] == "stop token" and port.log[-2:] == ["stop token", "CMD13"]
    assert port.image[8192:12288] == BLOCK


def test_a_read_after_a_given_up_write_ends_that_first():
    port, card = make()
    card.write_start(8, memoryview(BLOCK))
    card.write_abort()
    buf = bytearray(512)
    card.read(0, buf)
    assert port.log.index("stop token") < port.log.index("CMD17")


def test_a_read_of_a_card_that_stays_busy_ends():
    port, card = make()
    port.stuck = True
    with pytest.raises(OSError, match="stays busy"):
        card.read(0, bytearray(4096))


@pytest.mark.parametrize(
    ("n", "log"), [(1, ["CMD17"]), (2, ["CMD18", "CMD12"]), (3, ["CMD18", "CMD12"])]
)
def test_a_read_of_several_sectors_is_ended(n, log):
    """CMD12 stops a transfer of CMD18; the card then takes other commands."""
    port, card = make()
    port.image[40 * SECTOR : 44 * SECTOR] = bytes(range(256)) * 8
    del port.log[:]
    buf = bytearray(n * SECTOR)
    card.read(40, buf)
    assert port.log == log and buf == port.image[40 * SECTOR : (40 + n) * SECTOR]
    assert not port.selected
    assert write(card, 8, BLOCK)[0] == store.WRITE_DONE


@pytest.mark.parametrize(("busy_s", "n_errors"), [(0.45, 0), (0.6, 1)])
def test_a_card_may_be_busy_for_half_a_second(busy_s, n_errors):
    """Specification, 4.6.2.2: 500 ms for a write of SDXC; at 12 MHz 1,500,000 bytes a second."""
    port, card = make()
    port._busy_left = int(busy_s * 1_500_000)
    buf = bytearray(SECTOR)
    card.read(0, buf)
    assert card.n_read_errors == n_errors
    card.write_start(8, memoryview(BLOCK))
    card.write_poll()
    card.write_abort()
    port._busy_left = int(0.45 * 1_500_000)
    card.read(0, buf)
    assert card.n_read_errors == n_errors


@pytest.mark.parametrize(("access_s", "comes"), [(0.09, True), (0.15, False)])
def test_a_sector_may_take_a_tenth_of_a_second(access_s, comes):
    """Specification, 4.6.2.1: 100 ms for a read."""
    port, card = make()
    port.access = int(access_s * 1_500_000)
    if comes:
        card.read(0, bytearray(2 * SECTOR))
        assert card.n_read_errors == 0
        return
    with pytest.raises(OSError, match="no data"):
        card.read(0, bytearray(SECTOR))
    assert card.n_read_errors == 1


def test_a_wrong_crc_is_read_again_once():
    """The next sector is on its way by then: it is taken to its end before CMD12, which would be
    mixed into it, and its CRC says nothing.
    """
    port, card = make()
    port.bad_crcs = 1
    card.read(0, bytearray(4096))
    assert card.n_read_errors == 1
    port.bad_crcs = 3
    with pytest.raises(OSError, match="CRC"):
        card.read(0, bytearray(4096))


@pytest.mark.parametrize("n", [1, 2])
def test_a_wrong_crc_of_the_last_sector_is_read_again_once(n):
    port, card = make()
    last_only = port.receive_last
    port.receive_last = lambda: last_only() and not (n_wrong and n_wrong.pop())
    n_wrong = [1, 0] if n == 2 else [1]
    card.read(0, bytearray(n * SECTOR))
    assert card.n_read_errors == 1
    n_wrong[:] = [1] * 2 if n == 1 else [1, 0, 1, 0]
    with pytest.raises(OSError, match="CRC"):
        card.read(0, bytearray(n * SECTOR))


def test_a_logger_reset_in_a_write_finds_the_card():
    port, card = make()
    card.write_start(8, memoryview(BLOCK))
    port._mode, port._sending = "write", None
    again = SdCard(port)
    again.init()
    assert again.n_sectors == 16384


@pytest.mark.parametrize("high_capacity", [True, False])
def test_the_last_block_of_the_card_is_written_and_read(high_capacity):
    port, card = make(high_capacity=high_capacity)
    assert write(card, 16384 - 8, BLOCK)[0] == store.WRITE_DONE
    assert port.image[-4096:] == BLOCK
    buf = bytearray(4096)
    card.read(16384 - 8, buf)
    assert buf == BLOCK
    sector = bytearray(SECTOR)
    card.read(16383, sector)
    assert sector == BLOCK[-SECTOR:]


def test_beyond_the_end_is_refused():
    port, card = make()
    assert write(card, 16384 - 7, BLOCK)[0] == store.ERROR_REJECTED


class ScriptedSpi:
    """An SPI whose card answers each command with `n_late` bytes of 0xFF and then `answer`."""

    def __init__(self, n_late, answer):
        self.n_late = n_late
        self.answer = answer
        self.sent = []
        self._out = []

    def write(self, data):
        self.sent.append(bytes(data))
        self._out = [0xFF] * self.n_late + [self.answer]

    def write_readinto(self, data, into):
        for i in range(len(data)):
            into[i] = self._out.pop(0) if self._out else 0xFF


@pytest.mark.parametrize("n_late", range(9))
def test_an_answer_may_come_up_to_8_bytes_late(n_late):
    """N_CR, figure 7-4 of the specification: 0 to 8 bytes between a command and its answer."""
    spi = ScriptedSpi(n_late, 0x05)
    assert spi_ports.SdPort(spi, lambda level: None).command(17, 0, 0) == 0x05
    assert spi.sent == [bytes.fromhex("51 00 00 00 00 55")]  # CRC-7 of CMD17: specification 4.5


def test_no_answer_in_9_bytes_is_none():
    spi = ScriptedSpi(9, 0x05)
    assert spi_ports.SdPort(spi, lambda level: None).command(17, 0, 0) == 0xFF


def test_the_byte_after_the_end_of_a_transfer_is_no_answer():
    """After CMD12 comes a byte that means nothing, then R1."""
    spi = ScriptedSpi(0, 0x3F)
    spi.write = lambda data: spi._out.extend([0x3F, 0xFF, 0x00])
    assert spi_ports.SdPort(spi, lambda level: None).command(12, 0, 0) == 0
