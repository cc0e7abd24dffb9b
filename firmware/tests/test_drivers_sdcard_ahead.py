"""The SD card driver on a card model: sectors that are read in order are read ahead."""

import pytest
from card_model import SECTOR, make, write

from logger import store


def numbered(port):
    """Fill the card with sectors that can be distinguished."""
    for sector in range(len(port.image) // SECTOR):
        port.image[SECTOR * sector : SECTOR * (sector + 1)] = sector.to_bytes(4, "big") * 128


def read_sector(card, sector):
    buf = bytearray(SECTOR)
    card.read(sector, buf)
    return int.from_bytes(buf[:4], "big") if len(set(zip(*[iter(buf)] * 4))) == 1 else None


def test_sectors_in_order_are_read_ahead_in_one_transfer():
    port, card = make()
    numbered(port)
    del port.log[:]
    for sector in range(40, 60):
        assert read_sector(card, sector) == sector
    assert port.log == ["CMD17"] * 2 + ["CMD18"]


def test_something_else_is_done_while_each_sector_comes_ahead():
    """A search at the start reads some thousand in order, 0.3 s for each thousand."""
    port, card = make()
    numbered(port)
    calls = []
    card.background = lambda: calls.append(0)
    for sector in range(40, 60):
        before = len(calls)
        assert read_sector(card, sector) == sector
        assert len(calls) > before


@pytest.mark.parametrize(("access", "n_anew"), [(2500, 2), (5000, 11)])
def test_a_sector_that_is_read_ahead_is_waited_for(access, n_anew):
    """2 ms, 3,000 bytes at 12 MHz; one that takes longer is read anew, and the one after it, the
    first of the next transfer, is waited for longer: 40 and 41, then 43, 45.. 59.
    """
    port, card = make()
    numbered(port)
    port.access = access
    del port.log[:]
    for sector in range(40, 60):
        assert read_sector(card, sector) == sector
    assert port.log.count("CMD17") == n_anew and card.n_read_errors == 0


def test_anything_else_ends_the_reading_ahead():
    port, card = make()
    numbered(port)
    for sector in (40, 41, 42, 7, 8, 9, 10):
        assert read_sector(card, sector) == sector
    assert write(card, 11, (99).to_bytes(4, "big") * 1024)[0] == store.WRITE_DONE
    for sector, content in ((10, 10), (11, 99), (12, 99)):
        assert read_sector(card, sector) == content
    block = bytearray(4096)
    card.read(13, block)
    assert block[3] == 99
    del port.log[:]
    assert read_sector(card, 21) == 21 and read_sector(card, 22) == 22
    assert port.log == ["CMD17", "CMD18"], "the sector after a block is in order"


def test_a_wrong_crc_ahead_is_read_again():
    port, card = make()
    numbered(port)
    for sector in (40, 41):
        read_sector(card, sector)
    port.bad_crcs = 1
    for sector in (42, 43, 44, 45):
        assert read_sector(card, sector) == sector
    assert card.n_read_errors == 0
    assert port.log[-4:] == ["CMD12", "CMD17", "CMD17", "CMD18"]


def test_reading_ahead_stops_at_the_end_of_the_card():
    port, card = make()
    numbered(port)
    for sector in range(16380, 16384):
        assert read_sector(card, sector) == sector
    assert port.log[-1] == "CMD12" and read_sector(card, 0) == 0


def test_nothing_is_read_ahead_beyond_the_last_sector():
    """16,384 sectors: after the last two there is no next one."""
    port, card = make()
    numbered(port)
    del port.log[:]
    assert [read_sector(card, sector) for sector in (16382, 16383)] == [16382, 16383]
    assert port.log == ["CMD17"] * 2


def test_a_card_pulled_out_while_reading_ahead_is_an_error():
    port, card = make()
    numbered(port)
    for sector in (40, 41):
        read_sector(card, sector)
    port.present = False
    with pytest.raises(OSError):
        for sector in (42, 43):
            read_sector(card, sector)
