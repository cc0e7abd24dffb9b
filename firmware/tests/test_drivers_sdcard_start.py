"""The SD card driver on a card model: a card that takes its time to start, and one that was woken
before the rest is loaded.
"""

import pytest
from card_model import FakePort

from drivers.sdcard import SdCard


class SlowStart(FakePort):
    """A card that needs 0.5 s to start, as the specification allows up to 1 s: at 400 kHz 50,000
    bytes are clocked in a second.
    """

    start_s = 0.5

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.n_clocked = 0

    def exchange(self, byte):
        self.n_clocked += 1
        return super().exchange(byte)

    def command(self, index, high, low):
        self.n_clocked += 8
        self._starting = 1 + (self.n_clocked < self.start_s * 50_000)
        return super().command(index, high, low)


@pytest.mark.parametrize(("start_s", "starts"), [(0.5, True), (0.95, True), (3, False)])
def test_a_card_may_take_as_long_to_start_as_the_specification_allows(start_s, starts):
    port = SlowStart()
    port.start_s = start_s
    if starts:
        SdCard(port).init()
        return
    with pytest.raises(OSError, match="does not start"):
        SdCard(port).init()
    assert port.n_clocked < 2 * 50_000


def test_something_else_is_done_in_each_millisecond_in_which_it_starts():
    """0.5 s less what the commands take, 50 bytes a ms: without it a receiver whose ring of bits
    is 130 ms long would lose frames.
    """
    port, calls = SlowStart(), []
    card = SdCard(port)
    card.background = lambda: calls.append(port.n_clocked)
    card.init()
    assert len(calls) > 300
    assert max(b - a for a, b in zip(calls, calls[1:], strict=False)) <= 100


def test_a_card_that_was_woken_starts_while_something_else_is_done():
    """0.9 s after power-on it is ready; 0.95 s pass, and `init` waits no millisecond (50 bytes)
    beside its nine commands of 8 bytes.
    """
    port = SlowStart()
    port.start_s = 0.9
    card = SdCard(port)
    card.wake()
    assert not card.n_sectors
    port.n_clocked += int(0.95 * 50_000)
    before = port.n_clocked
    card.init()
    assert card.n_sectors == 16384 and port.n_clocked - before < 150
    assert port.log.count("CMD0") == 1, "it is made to start again"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_card_that_changed_since_it_was_woken_is_set_up_anew(is_there):
    """Pulled out and perhaps another put in: that one knows nothing of a start."""
    port = FakePort()
    card = SdCard(port)
    card.wake()
    port.present = False
    with pytest.raises(OSError):
        card.init()
    if is_there:
        port.present = True
        for _ in range(2):
            del port.log[:]
            card.init()
            assert card.n_sectors == 16384 and port.log[0] == "CMD0"
