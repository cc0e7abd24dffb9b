"""The controller on the bench: its wires, its SPI, its crystal, its pins, its interrupt.

Every method returns what was seen and judges nothing: `stagelog.bringup` on the host does. Modes
are configuration, loopback and listen-only.
"""

import time
from array import array

from bringup.hot import count_until_high, count_wrong, force, time_frames
from drivers.mcp2515 import Mcp2515
from slog.layout import const
from slog.settings import DEFAULTS

_SLOW_Hz = const(500_000)  # for what must work with bad wires, too
_CHUNK = const(1000)  # patterns between two polls of the USB port
_MOST_SAMPLES = const(1000)
_FRAMES_us = const(12_000_000)
_TX0CTRL = const(0x30)
_TX_ID = const(0x31)
_TX_DATA = const(0x36)
_ID = const(0x555)  # alternating bits
_DATA = b"\x55" * 8


class BenchController(Mcp2515):
    """The controller of the board, not capturing. `port`: see `drivers.rp2_hot.HotPort`."""

    def wires(self):
        """Return what registers and pins say when the controller is asked slowly.

        reads  both patterns came back; mode  CANSTAT; low  see `drive_pins`
        """
        port = self._port
        port.set_rate(_SLOW_Hz)
        self._buf[0] = 0xC0
        port.transfer(self._buf, 1)
        port.wait_us(20_000)
        mode = self._read(0x0E, 1)[0]
        reads = True
        for pattern in (b"\x55\xaa\x0f\xf0\x01\x80\x3c\xc3", b"\xaa\x55\xf0\x0f\xfe\x7f\xc3\x3c"):
            self._write(_TX_DATA, *pattern)
            reads = bytes(self._read(_TX_DATA, 8)) == pattern and reads
        low = self.drive_pins()
        self._reset()
        return {"reads": reads, "mode": mode, "low": low}

    def patterns(self, n, rate_Hz):
        """Return how many of `n` patterns came back wrong at a clock."""
        self._reset()
        self._port.set_rate(rate_Hz)
        out, want = bytearray(10), bytearray(8)
        wrong = 0
        for i in range(0, n, _CHUNK):
            wrong += count_wrong(out, want, min(_CHUNK, n - i), 12345 + i)
        return wrong

    def releases(self, n):
        """Return (GPIO, least, most samples) until INT, RX0BF and RX1BF rose after a buffer was
        given back, and the nanoseconds of a sample. 1000 samples: it did not rise.
        """
        self._reset()
        self._write(0x0C, 0x0F)
        self._write(0x2B, 3)
        # read buffer 0 or 1: opcode, its flag, the pins whose rise ends it
        numbers = self._port.numbers
        cases = [(0x90, 1, numbers[0]), (0x94, 2, numbers[0])]
        if len(numbers) == 3:
            cases += [(0x90, 1, numbers[1]), (0x94, 2, numbers[2])]
        result = []
        for command, flag, number in cases:
            least, most = _MOST_SAMPLES, 0
            for _ in range(n):
                self._modify(0x2C, 3, flag)
                self._port.wait_us(20)
                samples = count_until_high(command, 1 << number, _MOST_SAMPLES)
                self._modify(0x2C, 3, 0)
                least, most = min(least, samples), max(most, samples)
            result.append((number, least, most))
        spent_us = []
        for most in (_MOST_SAMPLES, 20 * _MOST_SAMPLES):  # at a bit that is no pin, so always low
            start = time.ticks_us()
            count_until_high(0x00, 1 << 30, most)
            spent_us.append(time.ticks_diff(time.ticks_us(), start))
        ns = (spent_us[1] - spent_us[0]) / (19 * _MOST_SAMPLES / 1000)
        return {"samples": result, "ns": ns}

    def frames(self, n, n_bytes, bitrate_bps):
        """Send `n` frames to itself without a pause between them; return how many went out, how
        many of them from one end to a later one, the microseconds between the two, and within how
        many that is true.
        """
        self.init(bitrate_bps)
        self.set_filters(None)
        self._write(0x2B, 0)
        self.prepare(n_bytes)
        times = array("I", [0] * 5)
        done = time_frames(self._buf, n, _FRAMES_us, times)
        self._reset()
        return done, times[3] - times[2], (times[1] - times[0]) & 0x0FFFFFFF, times[4]

    def forced(self, n, ring, times):
        """Raise the flag of buffer 0 `n` times; return (us, how often) of the time to the stamp,
        and how often nothing came.
        """
        self.set_up(DEFAULTS["buses"][0])
        self.start(ring)
        missed = 0
        for _ in range(0, n, 200):
            missed += force(self._buf, times, 200)
            while ring.n_waiting():
                ring.release()
        self.stop()
        return [(us, count) for us, count in enumerate(times) if count], missed

    def listen(self, bitrate_bps, crystal_Hz, ms):
        """Listen for a while at a bit rate; return the frames and the errors noticed."""
        self._crystal_Hz = crystal_Hz
        self._mode = self.MODE_SILENT
        try:
            self.init(bitrate_bps)
        except ValueError:
            return None
        self.set_filters(None)
        n_frames = n_errors = 0
        start = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), start) < ms:
            flags = self._read(0x2C, 1)[0]
            n_frames += (flags & 1) + (flags >> 1 & 1)
            n_errors += flags >> 7
            if flags:
                self._modify(0x2C, flags, 0)
        self._reset()
        return n_frames, n_errors

    def use_loopback(self, crystal_Hz):
        """Hear only what it sends itself from the next start on: its TXCAN stays recessive."""
        self._crystal_Hz = crystal_Hz
        self._mode = self.MODE_LOOPBACK

    def prepare(self, n_bytes):
        """Put a frame into the transmit buffers; to be called in loopback mode."""
        for buffer in (0x00, 0x10, 0x20):
            self._write(_TX0CTRL + buffer, 0)
            self._write(_TX_ID + buffer, _ID >> 3, (_ID & 7) << 5, 0, 0, n_bytes)
            self._write(_TX_DATA + buffer, *_DATA)

    def _reset(self):
        self._buf[0] = 0xC0
        self._port.transfer(self._buf, 1)
        self._port.wait_us(1000)
