"""A model of an SD card behind the calls of the driver's port, and a driver set up on it."""

from drivers.sdcard import SdCard
from logger import store

SECTOR = 512
BLOCK = bytes(range(256)) * 16


class FakePort:
    """A card behind the port's calls, from the simplified specification. Time is bytes clocked.

    `busy` is how many bytes each thing takes that the card does, `access` how many it needs to
    find a sector; `responses` overrides the data responses to come; `present` and `stuck` are the
    slot.
    """

    has_crc = True

    def __init__(self, n_sectors=16384, high_capacity=True, version=2):
        self.image = bytearray(n_sectors * SECTOR)
        self.high_capacity = high_capacity
        self.version = version
        self.present = True
        self.stuck = False
        self.csd_flags = 0
        self.busy = 0
        self.access = 0
        self.responses = []
        self.status = (0, 0)
        self.bad_crcs = 0
        self.starts_after = 3
        self.selected = False
        self.log = []
        self.arguments = {}  # of each command, the last
        self.refused = ()  # commands that are illegal to it
        self.deaf = 0  # how many CMD0 it does not hear
        self.echo = (1, 0xAA)  # of CMD8: 2.7 to 3.6 V, and the pattern
        self._mode = None
        self._out = []
        self._busy_left = 0
        self._starting = 0
        self._is_app = False
        self._sending = None
        self._sending_polls = 0
        self._is_many = False  # it sends sector after sector until CMD12
        self._arrives_in = -1

    def set_rate(self, rate_Hz):
        self.rate_Hz = rate_Hz

    def select(self):
        self.selected = True

    def release(self):
        assert self._sending is None or self._sending_polls <= 0, "released amid a sector"
        self.selected = False

    def begin(self, index, high, low, n):
        self.selected = True
        return 0x100 if self.wait_until(0xFF, n) != 0xFF else self.command(index, high, low)

    def exchange(self, byte):
        if not self.present:
            return 0xFF
        if self._mode == "write" and byte == 0xFD:
            self._mode = None
            self._busy_left = self.busy
            self.log.append("stop token")
            return 0xFF
        if self._out:
            return self._out.pop(0)
        if self.stuck:
            return 0
        if self._busy_left:
            self._busy_left -= 1
            return 0
        if self._mode == "read":
            self._access_left -= 1
            if self._access_left < 0:
                self._access_left = self.access
                self._out = [0xFE]
        return 0xFF

    def wait_while(self, value, n):
        for _ in range(n):
            byte = self.exchange(0xFF)
            if byte != value:
                break
        return byte

    def wait_until(self, value, n):
        for _ in range(n):
            byte = self.exchange(0xFF)
            if byte == value:
                break
        return byte

    def command(self, index, high, low):
        assert self.selected
        assert self._arrives_in < 0, "a command amid a sector"
        if not self.present:
            return 0xFF
        if self._mode == "write" and index != 12:
            return 0xFF
        if self._is_many and index not in (0, 12):
            self.log.append(f"CMD{index} amid a transfer")
            return 4
        self._is_many = index == 18
        is_app, self._is_app = self._is_app, False
        name = f"ACMD{index}" if is_app else f"CMD{index}"
        self.log.append(name)
        self.arguments[name] = high << 16 | low
        if name in self.refused:
            return 4 | int(self._starting > 0)
        sector = high << 16 | low
        if not self.high_capacity and index in (17, 18, 25):
            assert sector % SECTOR == 0
            sector //= SECTOR
        self._out = []
        if index == 0 and self.deaf:
            self.deaf -= 1
            return 0xFF
        if index == 0:
            self._mode = None
            self._starting = self.starts_after
            return 1
        if index == 8:
            self._out = [0, 0, *self.echo]
            return 1 if self.version == 2 else 5
        if index == 55:
            self._is_app = True
            return int(self._starting > 0)
        if index == 41:
            self._starting -= 1
            return int(self._starting > 0)
        if index == 58:
            self._out = [0xC0 if self.high_capacity else 0x80, 0xFF, 0x80, 0]
        elif index == 9:
            self._out = [0xFF, 0xFE, *self._csd(), 0, 0]
        elif index in (17, 18):
            self._at = sector
            self._mode = "read"
            self._access_left = self.access
        elif index == 25:
            self._at = sector
            self._mode = "write"
        elif index == 12:
            self._mode = None
            self._busy_left = self.busy
        elif index == 13:
            self._out = [self.status[1]]
            return self.status[0]
        return 0

    def send_start(self, token, data, at):
        assert self._mode == "write" and token == 0xFC
        self._sending = bytes(data[at : at + SECTOR])
        self._sending_polls = 2

    def is_sending(self):
        if self._sending is None:
            return False
        self._sending_polls -= 1
        return self._sending_polls > 0

    def send_end(self):
        data, self._sending = self._sending, None
        if not self.present:
            return 0xFF
        response = self.responses.pop(0) if self.responses else 0xE5
        if response & 0x1F == 5:
            self.image[self._at * SECTOR : (self._at + 1) * SECTOR] = data
            self._at += 1
        self._busy_left = self.busy
        return response

    def is_receiving(self):
        self._arrives_in -= 1
        return self._arrives_in >= 0

    def receive_first(self, data, n):
        self._receiving = (data, 0)
        return self._begin_sector(n)

    def receive_next(self, data, at, n):
        is_right = self.receive_last()
        self._receiving = (data, at)
        return self._begin_sector(n) | (0 if is_right else 0x100)

    def receive_over(self, data, copy, n):
        is_right = self.receive_last()
        copy[:] = data
        if n:
            self._receiving = (data, 0)
        return (self._begin_sector(n) if n else 0) | (0 if is_right else 0x100)

    def _begin_sector(self, n):
        token = self.wait_while(0xFF, n)
        self._arrives_in = 2 if token == 0xFE else -1
        return token

    def receive_last(self):
        data, at = self._receiving
        self._arrives_in = -1
        sector = self.image[self._at * SECTOR : (self._at + 1) * SECTOR]
        data[at : at + SECTOR] = sector if self.present else b"\xff" * SECTOR
        self._at += 1
        if self.bad_crcs:
            self.bad_crcs -= 1
            return False
        return True

    def _csd(self):
        n = len(self.image) // SECTOR
        csd = bytearray(16)
        if self.high_capacity:
            csd[0] = 0x40
            csd[7:10] = (n // 1024 - 1).to_bytes(3, "big")
        else:
            size = n // 32 - 1  # multiplier 2^5, blocks of 512
            csd[5] = 9
            csd[6], csd[7], csd[8] = size >> 10 & 3, size >> 2 & 0xFF, size << 6 & 0xC0
            csd[9], csd[10] = 1, 0x80
        csd[14] |= self.csd_flags
        return csd


def make(**kwargs):
    port = FakePort(**kwargs)
    card = SdCard(port)
    card.init()
    return port, card


def write(card, sector, view, most=10_000):
    """Write to the end; return the result and how often it was looked after."""
    card.write_start(sector, memoryview(view))
    for n in range(most):
        result = card.write_poll()
        if result != store.WRITE_BUSY:
            return result, n
    raise AssertionError("the write never ended")
