"""Controller and card over a plain SPI: which bytes go out while chip select is low, what becomes
of those that come in. CRC-7 is computed by polynomial division, x^7 + x^3 + 1.
"""

import pytest

from drivers.spi_ports import CanPort, SdPort


class Wire:
    """An SPI and its chip select: `sent` has (level of chip select, byte), `come` what is
    received, then ones.
    """

    def __init__(self, come=b""):
        self.level = 1
        self.come = bytearray(come)
        self.sent = []
        self.rates_Hz = []

    def cs(self, level):
        self.level = level

    def init(self, baudrate):
        self.rates_Hz.append(baudrate)

    def write_readinto(self, out, into):
        for i, byte in enumerate(bytes(out)):
            self.sent.append((self.level, byte))
            into[i] = self.come.pop(0) if self.come else 0xFF

    def write(self, out):
        self.write_readinto(out, bytearray(len(out)))

    def readinto(self, into, byte=0):
        self.write_readinto(bytes((byte,)) * len(into), into)

    def low(self):
        """Return the bytes that were sent while chip select was low."""
        return bytes(byte for level, byte in self.sent if not level)


def port_of(come=b""):
    wire = Wire(come)
    return wire, SdPort(wire, wire.cs)


def crc7(data):
    """Return the remainder of data x^7 divided by x^7 + x^3 + 1."""
    value = int.from_bytes(data, "big") << 7
    for bit in range(value.bit_length() - 1, 6, -1):
        if value >> bit & 1:
            value ^= 0b10001001 << bit - 7
    return value


def test_a_controller_is_selected_during_its_transfer_alone():
    wire = Wire(b"\1\2\3")
    view = bytearray(b"\x30\x00\x55")
    CanPort(wire, wire.cs).transfer(view)
    assert wire.low() == b"\x30\x00\x55" and view == b"\1\2\3" and wire.level == 1


@pytest.mark.parametrize(
    ("index", "high", "low", "packet"),
    [
        (0, 0, 0, "40 00 00 00 00 95"),  # examples of the specification, 4.5
        (8, 0, 0x1AA, "48 00 00 01 AA 87"),
        (25, 0x1234, 0x5678, None),
        (18, 0xFEDC, 0xBA98, None),
    ],
)
def test_a_command_has_six_bytes_after_one_of_ones(index, high, low, packet):
    body = bytes((0x40 | index,)) + high.to_bytes(2, "big") + low.to_bytes(2, "big")
    wanted = body + bytes((crc7(body) << 1 | 1,))
    assert packet is None or wanted == bytes.fromhex(packet)
    wire, port = port_of(bytes([0xFF] * 7 + [0xFF, 0x01]))
    port.select()
    assert port.command(index, high, low) == 0x01
    assert wire.low() == b"\xff" + wanted + b"\xff\xff"


def test_release_clocks_a_byte_with_chip_select_high():
    wire, port = port_of()
    port.select()
    port.release()
    assert wire.sent == [(1, 0xFF)]


def test_a_command_begins_when_the_card_is_ready():
    """Two bytes of zeros: busy; then ready; then 7 bytes of the command and R1."""
    wire, port = port_of(bytes([0, 0, 0xFF] + [0xFF] * 7 + [0x04]))
    assert port.begin(17, 0, 0, 1000) == 0x04
    assert wire.level == 0 and wire.low()[3:5] == b"\xff\x51"


def test_a_card_that_stays_busy_gets_no_command():
    wire, port = port_of(bytes(10_000))
    assert port.begin(17, 0, 0, 160) == 0x100
    assert set(wire.low()) == {0xFF}


def test_waiting_ends_at_the_byte_that_is_waited_for():
    _, port = port_of(b"\xff\xff\xfe\x01")
    assert port.wait_while(0xFF, 1000) == 0xFE and port.exchange(0xFF) == 1
    _, port = port_of(b"\0\0\xff\x02")
    assert port.wait_until(0xFF, 1000) == 0xFF and port.exchange(0xFF) == 2
    wire, port = port_of(bytes(1000))
    assert port.wait_until(0xFF, 160) == 0 and len(wire.sent) <= 160


@pytest.mark.parametrize(("rate_Hz", "least"), [(400_000, 50), (20_000_000, 157)])
def test_a_wait_lasts_as_long_as_its_bytes_with_calls_of_6_us(rate_Hz, least):
    """1 ms: 50 bytes at 400 kHz, each a call of 20 us and more; 2,500 bytes at 20 MHz, of which a
    call takes 16: 6.4 us.
    """
    wire, port = port_of(bytes(10_000))
    port.set_rate(rate_Hz)
    port.wait_until(0xFF, rate_Hz // 8000)
    assert len(wire.sent) == least


def test_a_card_amid_a_sector_is_clocked_to_its_end():
    """At 400 kHz, as after a reset: 512 bytes, CRC and more, whatever they are."""
    wire, port = port_of(b"\xff" * 600)
    port.set_rate(400_000)
    port.wait_until(-1, 520)
    assert len(wire.sent) == 520


DATA = bytes(range(256)) * 4


@pytest.mark.parametrize("at", [0, 512])
def test_a_sector_goes_out_after_its_token_and_before_two_bytes_of_crc(at):
    """Data response 0xE5: accepted."""
    wire, port = port_of(bytes([0xFF] * (1 + 512 + 2)) + b"\xe5")
    port.select()
    port.send_start(0xFC, bytes(512) + DATA[:512] if at else DATA[:512] + bytes(512), at)
    assert not port.is_sending()
    assert port.send_end() == 0xE5
    assert wire.low() == b"\xfc" + DATA[:512] + b"\xff\xff\xff"


def test_sectors_come_in_one_after_the_other():
    """Ones, token, 512 bytes, CRC; the next likewise."""
    first, second = DATA[:512], DATA[::-1][:512]
    wire, port = port_of(b"\xff\xfe" + first + b"cc" + b"\xff\xff\xfe" + second + b"dd\x07")
    buf = bytearray(1024)
    assert port.receive_first(buf, 1000) == 0xFE and not port.is_receiving()
    assert port.receive_next(buf, 512, 1000) == 0xFE
    assert buf == first + second and port.receive_last()
    assert port.exchange(0xFF) == 7, "two bytes of CRC end a sector"


def test_a_sector_that_was_read_ahead_is_copied_before_the_next_comes():
    first, second = DATA[:512], DATA[::-1][:512]
    wire, port = port_of(b"\xfe" + first + b"cc\xfe" + second + b"dd\x07")
    ahead, copy = bytearray(512), bytearray(512)
    assert port.receive_first(ahead, 1000) == 0xFE
    assert port.receive_over(ahead, copy, 1000) == 0xFE
    assert (copy, ahead) == (first, second)
    assert port.receive_over(ahead, copy, 0) == 0
    assert copy == second and port.exchange(0xFF) == 7


def test_without_a_token_no_sector_is_taken():
    wire, port = port_of(b"\x08" + DATA)  # an error token: out of range
    buf = bytearray(512)
    assert port.receive_first(buf, 1000) == 0x08 and buf == bytes(512)
    port.set_rate(20_000_000)
    assert wire.rates_Hz == [20_000_000]
