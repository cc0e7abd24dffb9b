"""An SD card in SPI mode: found, set up, read, and written without waiting.

`port` moves bytes and sectors (`rp2_sd.SdPort`). A write is begun by `write_start` and carried
on by `write_poll`, which does not wait for a busy card; all waits of the rest are bounded. Every
command, sector and write that the card refuses is an error to the caller, as is a wrong CRC.
Nothing allocates per block.

Source: SD Physical Layer Simplified Specification 6.00, chapter 7.
"""

from slog.layout import (
    ERROR_ABSENT,
    ERROR_READ_ONLY,
    ERROR_REJECTED,
    SECTOR_BYTES,
    WRITE_BUSY,
    WRITE_DONE,
    const,
)

_GO_IDLE = const(0)
_SEND_IF_COND = const(8)
_SEND_CSD = const(9)
_STOP = const(12)
_SEND_STATUS = const(13)
_SET_BLOCKLEN = const(16)
_READ_ONE = const(17)
_READ_MANY = const(18)
_PRE_ERASE = const(23)  # after _APP
_WRITE_MANY = const(25)
_SEND_OP_COND = const(41)  # after _APP
_APP = const(55)
_READ_OCR = const(58)
_CRC_ON_OFF = const(59)

_IDLE_R1 = const(0x01)
_ILLEGAL_R1 = const(0x04)
_NO_ANSWER = const(0xFF)
_TOKEN_READ = const(0xFE)
_TOKEN_WRITE = const(0xFC)
_TOKEN_STOP = const(0xFD)
_ACCEPTED = const(0x05)
_PROTECTED_R2 = const(0x20)

_SLOW_Hz = const(400_000)
_START_MS = const(1000)
_READ_MS = const(100)
_BUSY_MS = const(500)
_AHEAD_BYTES = const(3000)  # how long to wait for a sector that is read ahead, 2 ms at 12 MHz
_SPIN_BYTES = const(128)  # how long write_poll waits for the card, 85 us at 12 MHz

# What a write is doing.
_AT_REST = const(0)
_WAITING = const(1)  # for the card, before the commands
_SENDING = const(2)  # a sector
_STORING = const(3)  # the card is busy with it
_STOPPING = const(4)  # the card is busy with the end of the write
_REFUSING = const(5)  # the card is busy with the end of a write it has refused


def _do_nothing():
    pass


class SdCard:
    """One card. Invariant: after `init` it is selected only during a call or a write."""

    def __init__(self, port, rate_Hz=12_000_000, use_crc=True, is_present=None):
        self.n_sectors = 0
        self.read_only = False
        self.n_read_errors = 0  # reads that were repeated
        self.background = _do_nothing  # called while a sector is on its way, 340 us, and each ms
        self._port = port
        self._rate_Hz = rate_Hz
        self._use_crc = use_crc and port.has_crc
        self._is_present = is_present
        self._ms_bytes = _SLOW_Hz // 8000  # bytes clocked in a millisecond
        self._shift = 0  # from sectors to what the card counts in
        self._is_v2 = False
        self._is_starting = False  # since `wake`
        self._doing = _AT_REST
        self._result = WRITE_DONE
        self._open = False  # the card waits for sectors of a write
        self._view = None
        self._sector = 0
        self._n = 0
        self._i = 0
        self._next = None  # the sector that a reader in order would ask for
        self._ahead = bytearray(SECTOR_BYTES)
        self._ahead_sector = None  # the one that is coming into it, None if none is

    def wake(self):
        """Let the card begin to start, which may take it a second; `init` waits for the rest."""
        try:
            self._greet()
            self._port.select()
            try:
                self._has_started()
            finally:
                self._port.release()
            self._is_starting = True
        except OSError:
            pass

    def init(self):
        """Find and set up the card; OSError says why it can't be used."""
        self.n_sectors = 0
        self._doing = _AT_REST
        self._open = False
        self._ahead_sector = self._next = None
        if self._is_starting:
            self._is_starting = False
        else:
            self._greet()
        port = self._port
        port.select()
        try:
            self._set_up()
        finally:
            port.release()

    def read(self, sector, buf):
        """Read len(buf) / 512 sectors; OSError if two tries did not give them whole.

        Whoever reads single sectors in order finds the next one on its way.
        """
        if sector == self._ahead_sector and len(buf) == SECTOR_BYTES:
            self._ahead_sector = self._next = sector + 1
            n = _AHEAD_BYTES if sector + 1 < self.n_sectors else 0
            self.background()
            token = self._port.receive_over(self._ahead, buf, n)
            if token == _TOKEN_READ or self._is_over(token):
                return
        self._read_anew(sector, buf)

    def _read_anew(self, sector, buf):
        """Read what does not come already. Apart from `read`, as MicroPython takes the variables
        of a larger function from the heap at each call.
        """
        if not self.n_sectors:
            raise OSError("no card")
        n = len(buf) // SECTOR_BYTES
        self._stop_ahead()
        try:
            self._read(sector, buf)
        except OSError:
            self.n_read_errors += 1
            self._read(sector, buf)
        if sector == self._next and n == 1:
            self._start_ahead(sector + 1)
        self._next = sector + n

    def write_start(self, sector, view):
        """Begin to write `view`, whole sectors; it must not change until the write has ended."""
        self._stop_ahead()
        self._view = view
        self._sector = sector
        self._n = len(view) // SECTOR_BYTES
        self._i = 0
        if self.read_only:
            self._end(ERROR_READ_ONLY)
        elif not self.n_sectors:
            self._end(ERROR_ABSENT)
        elif sector + self._n > self.n_sectors:
            self._end(ERROR_REJECTED)
        else:
            self._port.select()
            self._doing = _WAITING
            if self._port.wait_until(0xFF, _SPIN_BYTES) == 0xFF:
                self._begin()

    def write_poll(self):
        """Carry the write on while the card is ready; return WRITE_BUSY, WRITE_DONE or an ERROR.

        Takes 3.5 ms at most, when a card takes all sectors of a block at once.
        """
        while self._doing != _AT_REST:
            if self._doing == _SENDING:
                self.background()
                if not self._is_accepted(self._port.send_end()):
                    return self._result
                self._doing = _STORING
            if self._port.wait_until(0xFF, _SPIN_BYTES) != 0xFF:
                return WRITE_BUSY
            if self._doing == _WAITING:
                self._begin()
            elif self._doing == _STORING and self._i < self._n:
                self._send()
            elif self._doing == _STORING:
                self._send_stop()
                self._doing = _STOPPING
                return WRITE_BUSY
            else:
                self._end(self._verdict())
        return self._result

    def write_abort(self):
        """Give the write up, whatever the card does; the next one waits for it."""
        port = self._port
        while port.is_sending():
            pass
        port.release()
        self._doing = _AT_REST

    def _begin(self):
        """Begin the write on a card that is ready; if it is still in an older one, end that."""
        if self._open:
            self._send_stop()
            return
        port = self._port
        if port.command(_APP, 0, 0) == 0:
            port.command(_PRE_ERASE, 0, self._n)
        high, low = self._address(self._sector)
        r1 = port.command(_WRITE_MANY, high, low)
        if r1:
            self._end(ERROR_ABSENT if r1 == _NO_ANSWER else ERROR_REJECTED)
            return
        self._open = True
        self._send()

    def _send(self):
        at = self._i * SECTOR_BYTES
        self._i += 1
        self._doing = _SENDING
        self._port.send_start(_TOKEN_WRITE, self._view, at)

    def _is_accepted(self, response):
        if response & 0x1F == _ACCEPTED:
            return True
        self._result = WRITE_BUSY
        if response == _NO_ANSWER:
            self._end(ERROR_ABSENT)
        else:
            self._port.command(_STOP, 0, 0)
            self._open = False
            self._doing = _REFUSING
        return False

    def _send_stop(self):
        self._port.exchange(_TOKEN_STOP)
        self._port.exchange(0xFF)
        self._open = False

    def _verdict(self):
        """Ask the card what became of the write."""
        r1 = self._port.command(_SEND_STATUS, 0, 0)
        r2 = self._port.exchange(0xFF)
        if r1 == _NO_ANSWER:
            return ERROR_ABSENT
        if r2 & _PROTECTED_R2:
            self.read_only = True
            return ERROR_READ_ONLY
        return WRITE_DONE if self._doing == _STOPPING and not r1 | r2 else ERROR_REJECTED

    def _end(self, result):
        self._port.release()
        self._doing = _AT_REST
        self._result = result

    def _read(self, sector, buf):
        port = self._port
        n = len(buf) // SECTOR_BYTES
        try:
            if self._open:
                self._end_write()
            high, low = self._address(sector)
            command = _READ_ONE if n == 1 else _READ_MANY
            r1 = port.begin(command, high, low, self._ms_bytes)
            if r1 > 0xFF:
                r1 = self._ask_again(command, high, low)
            if r1 > 0xFF:
                raise OSError("the card stays busy")
            if r1:
                raise OSError("the card refuses to read sector %d" % sector)
            try:
                self._receive(buf, n)
            finally:
                if n > 1:
                    self._stop_sending()
        finally:
            port.release()

    def _start_ahead(self, sector):
        """Let the card send sector after sector, until something else is wanted."""
        if sector >= self.n_sectors:
            return
        port = self._port
        high, low = self._address(sector)
        r1 = port.begin(_READ_MANY, high, low, self._ms_bytes)
        if r1 > 0xFF:
            r1 = self._ask_again(_READ_MANY, high, low)
        if r1:
            port.release()
            return
        self._ahead_sector = sector
        if port.receive_first(self._ahead, _READ_MS * self._ms_bytes) != _TOKEN_READ:
            self._stop_ahead()

    def _ask_again(self, command, high, low):
        """Send a command to a card that was busy; return R1, 0x100 if it stays busy. A function of
        its own, as a call of a larger one takes heap, and thus time, for its variables.
        """
        for _ in range(_BUSY_MS):
            self.background()
            r1 = self._port.begin(command, high, low, self._ms_bytes)
            if r1 <= 0xFF:
                break
        return r1

    def _is_over(self, token):
        """Return whether a sector has come whole, though the next does not follow as it should."""
        if token & 0xFF != _TOKEN_READ or self._use_crc:
            self._stop_ahead()
        return token < 0x100 or not self._use_crc

    def _stop_ahead(self):
        if self._ahead_sector is None:
            return
        self._ahead_sector = None
        self._stop_sending()
        self._port.release()

    def _stop_sending(self):
        """End a transfer of several sectors, when the one that may be on its way has come."""
        port = self._port
        if port.is_receiving():
            port.receive_last()
        port.command(_STOP, 0, 0)

    def _end_write(self):
        self._port.select()
        self._wait_ready()
        self._send_stop()

    def _receive(self, buf, n):
        port = self._port
        most = _READ_MS * self._ms_bytes
        token = port.receive_first(buf, most)
        for i in range(1, n + 1):
            if token != _TOKEN_READ:
                raise OSError("the card sends no data, or with a wrong CRC")
            self.background()
            if i < n:
                token = port.receive_next(buf, i * SECTOR_BYTES, most)
                if not self._use_crc:
                    token &= 0xFF
        if not port.receive_last() and self._use_crc:
            raise OSError("wrong CRC of data read")

    def _wait_token(self):
        for _ in range(_READ_MS):
            token = self._port.wait_while(0xFF, self._ms_bytes)
            if token != 0xFF:
                break
            self.background()
        return token

    def _wait_ready(self):
        for _ in range(_BUSY_MS):
            if self._port.wait_until(0xFF, self._ms_bytes) == 0xFF:
                return
            self.background()
        raise OSError("the card stays busy")

    def _address(self, sector):
        """Return what the card counts in, in two halves: sectors, or bytes on small cards."""
        if self._shift:
            return sector >> 7, (sector & 0x7F) << 9
        return sector >> 16, sector & 0xFFFF

    def _set_rate(self, rate_Hz):
        self._port.set_rate(rate_Hz)
        self._ms_bytes = rate_Hz // 8000

    def _go_idle(self):
        """Bring the card into SPI mode; True if it has answered."""
        port = self._port
        for _ in range(10):
            port.exchange(0xFF)
        for _ in range(4):
            port.select()
            r1 = port.command(_GO_IDLE, 0, 0)
            port.release()
            if r1 == _IDLE_R1:
                return True
        return False

    def _unwind(self):
        """Lead a card out of a transfer in which the logger was reset."""
        port = self._port
        port.select()
        port.wait_until(-1, SECTOR_BYTES + 8)
        port.exchange(_TOKEN_STOP)
        port.exchange(0xFF)
        try:
            self._wait_ready()
        except OSError:
            pass
        port.command(_STOP, 0, 0)
        port.release()

    def _greet(self):
        """Bring the card into SPI mode and agree with it on voltage and CRC."""
        if self._is_present is not None and not self._is_present():
            raise OSError("no card in the slot")
        port = self._port
        self._set_rate(_SLOW_Hz)
        port.release()
        if not self._go_idle():
            self._unwind()
            if not self._go_idle():
                raise OSError("no card answers")
        port.select()
        try:
            self._is_v2 = not port.command(_SEND_IF_COND, 0, 0x1AA) & _ILLEGAL_R1
            if self._is_v2 and self._take(4)[2:] != b"\x01\xaa":
                raise OSError("the card does not work at 3.3 V")
            if self._use_crc and port.command(_CRC_ON_OFF, 0, 1) & ~_IDLE_R1:
                raise OSError("the card refuses CRC")
        finally:
            port.release()

    def _set_up(self):
        port = self._port
        self._start_up()
        self._shift = 9
        if self._is_v2:
            if port.command(_READ_OCR, 0, 0):
                raise OSError("the card does not report its kind")
            if self._take(4)[0] & 0x40:
                self._shift = 0
        if self._shift and port.command(_SET_BLOCKLEN, 0, SECTOR_BYTES):
            raise OSError("the card refuses sectors of 512 bytes")
        self._set_rate(self._rate_Hz)
        if port.command(_SEND_CSD, 0, 0) or self._wait_token() != _TOKEN_READ:
            raise OSError("the card does not report its size")
        csd = self._take(18)
        self.read_only = bool(csd[14] & 0x30)
        self.n_sectors = sectors_of(csd)

    def _start_up(self):
        for _ in range(_START_MS):
            if self._has_started():
                return
            self._port.wait_until(-1, self._ms_bytes)
            self.background()
        raise OSError("the card does not start")

    def _has_started(self):
        """Ask the card to start, the first time; return whether it has."""
        port = self._port
        port.command(_APP, 0, 0)
        r1 = port.command(_SEND_OP_COND, 0x4000 if self._is_v2 else 0, 0)
        if r1 & ~_IDLE_R1:
            raise OSError("the card does not start")
        return r1 == 0

    def _take(self, n):
        return bytes([self._port.exchange(0xFF) for _ in range(n)])


def sectors_of(csd):
    """Return the number of sectors of 512 bytes that a CSD register states; OSError if unknown."""
    version = csd[0] >> 6
    if version == 1:
        return ((csd[7] & 0x3F) << 16 | csd[8] << 8 | csd[9]) + 1 << 10
    if version == 0:
        size = (csd[6] & 3) << 10 | csd[7] << 2 | csd[8] >> 6
        factor = (csd[9] & 3) << 1 | csd[10] >> 7
        return size + 1 << factor + 2 + (csd[5] & 15) - 9
    raise OSError("unknown kind of card, CSD version %d" % version)
