# ruff: noqa: F821 (instructions, registers and labels are no names)
"""Loops of the bring-up that must be quick, in viper: they allocate nothing.

`exchange` of `drivers.rp2_hot` moves the bytes; the controller is alone on its SPI. Times are of
the chip's timer in microseconds, bits 27..0.
"""

from array import array

import machine
import micropython
import uctypes
from micropython import const

from drivers.rp2_hot import exchange
from drivers.rp2_receive import hot as _hot

# Words of `hot`, as in `drivers.rp2_receive`; of the ring's state, as in `logger.ring`.
_H_SIO = const(0)
_H_SPI = const(1)
_H_TIMER = const(2)
_H_NVIC = const(3)
_H_RAW = const(5)  # of the last frame; the newest record may be one of main code
_H_STATE = const(6)
_H_CS = const(9)
_S_STORED = const(4)
_S_DROPPED = const(6)
_GPIO_IRQ = const(1 << 13)

# Words of a Sender.
_LEFT = const(0)  # frames still to be sent
_NUMBER = const(1)  # of the next
_T_SENT = const(2)  # when the last was requested
_SKIPPED = const(3)  # times at which nothing was sent
_TIMES = const(4)  # address of counts, see `make_times`; 0: frames are numbered
_BUFFER = const(5)  # address of 16 bytes
_N_WORDS = const(6)
_N_TIMES = const(1024)


def make_times():
    """Make the counts of times: how often something took so many microseconds; the last counts
    all that took longer.
    """
    return array("I", [0] * _N_TIMES)


@micropython.viper
def count_wrong(out: ptr8, want: ptr8, n: int, seed: int) -> int:
    """Write `n` patterns of 8 bytes to a transmit buffer and read each back; return how many came
    back otherwise. `out`: 10 bytes, `want`: 8. Every fourth pattern alternates, others are random.
    """
    wrong = 0
    x = seed
    while n:
        out[0] = 0x41
        i = 0
        while i < 8:
            x = x * 1664525 + 1013904223
            byte = (x >> 16) & 0xFF
            if n & 3 == 0:
                byte = 0xAA if (n >> 2) & 1 else 0x55
            want[i] = byte
            out[1 + i] = byte
            i += 1
        exchange(out, 9)
        out[0] = 0x03
        out[1] = 0x36
        exchange(out, 10)
        i = 0
        same = 1
        while i < 8:
            if out[2 + i] != want[i]:
                same = 0
            i += 1
        wrong += 1 - same
        n -= 1
    return wrong


@micropython.asm_thumb
def _release(r0, r1, r2, r3):
    """Set the bit r1 in the SIO at r0; return how many samples, at most r3, find r2 clear."""
    mov(r5, 0)
    str(r1, [r0, 20])
    label(SAMPLE)
    ldr(r4, [r0, 4])
    and_(r4, r2)
    bne(HIGH)
    add(r5, 1)
    cmp(r5, r3)
    bcc(SAMPLE)
    label(HIGH)
    mov(r0, r5)


@micropython.viper
def count_until_high(command: int, pin: int, most: int) -> int:
    """Send a command, clock 13 bytes and release chip select; return how many samples of a bit of
    the SIO's inputs found it low, `most` at most.
    """
    hot = ptr32(_hot)
    sio = ptr32(hot[_H_SIO])
    spi = ptr32(hot[_H_SPI])
    sio[6] = hot[_H_CS]
    n = 0
    while n < 14:
        spi[2] = command
        while not spi[3] & 4:
            pass
        command = spi[2] & 0
        n += 1
    return int(_release(hot[_H_SIO], hot[_H_CS], pin, most))


@micropython.viper
def time_frames(buf: ptr8, n: int, most_us: int, times: ptr32) -> int:
    """Keep three transmit buffers full until `n` frames are out, `most_us` at most; return how
    many are. Put the times of the first and of the last end into `times`, behind them how many
    frames were out then, and the longest that an end may have been there before it was noticed.

    An interrupt between two questions makes the second one late. Such an end is none of the two.
    """
    timer = ptr32(ptr32(_hot)[_H_TIMER])
    buf[0] = 0x87
    exchange(buf, 1)
    start = timer[10]
    before = start
    least = 1000
    done = 0
    times[2] = 0
    while done < n:
        buf[0] = 0xA0
        exchange(buf, 2)
        now = timer[10]
        sent = ~buf[1] & 0x54
        late = (now - before) & 0x0FFFFFFF
        before = now
        if sent == 0 and late < least:
            least = late
        if sent:
            again = 0x80
            if sent & 0x04:
                done += 1
                again |= 1
            if sent & 0x10:
                done += 1
                again |= 2
            if sent & 0x40:
                done += 1
                again |= 4
            if late <= least + 2:
                if times[2] == 0:
                    times[0] = now & 0x0FFFFFFF
                    times[2] = done
                times[1] = now & 0x0FFFFFFF
                times[3] = done
            buf[0] = again
            exchange(buf, 1)
        if (now - start) & 0x0FFFFFFF > most_us:
            break
    times[4] = least + 2
    return done


@micropython.viper
def force(buf: ptr8, times: ptr32, n: int) -> int:
    """Let the controller call the receive interrupt `n` times by raising its flag for buffer 0;
    count the microseconds to the handler's stamp in `times`. Return how often it did not come.
    """
    hot = ptr32(_hot)
    nvic = ptr32(hot[_H_NVIC])
    timer = ptr32(hot[_H_TIMER])
    state = ptr32(hot[_H_STATE])
    missed = 0
    while n:
        buf[0] = 0x05
        buf[1] = 0x2C
        buf[2] = 1
        buf[3] = 1
        before = state[_S_STORED] + state[_S_DROPPED]
        was = nvic[0] & _GPIO_IRQ
        nvic[32] = _GPIO_IRQ
        exchange(buf, 4)
        now = timer[10]
        nvic[0] = was
        i = 0
        while state[_S_STORED] + state[_S_DROPPED] == before and i < 1000:
            i += 1
        if i == 1000:
            missed += 1
        else:
            took = (hot[_H_RAW] - now) & 0x0FFFFFFF
            if took >= _N_TIMES:
                took = _N_TIMES - 1
            times[took] += 1
        n -= 1
    return missed


@micropython.viper
def _send_next(words: ptr32):
    """Send the next frame of a sender from a timer's interrupt, unless the last is still on its
    way, or main code works with the SPI or the ring: it holds the handler off meanwhile.

    With times all frames are alike and the time from the request of the last one to the handler's
    stamp is counted; else the first four bytes are its number and the others are their complement.
    """
    n = words[_LEFT]
    if n == 0:
        return
    hot = ptr32(_hot)
    nvic = ptr32(hot[_H_NVIC])
    buf = ptr8(words[_BUFFER])
    if not nvic[0] & _GPIO_IRQ:
        words[_SKIPPED] += 1
        return
    nvic[32] = _GPIO_IRQ
    buf[0] = 0xA0
    exchange(buf, 2)
    if buf[1] & 0x07:  # the last is not out, or came in and waits for the handler
        words[_SKIPPED] += 1
        nvic[0] = _GPIO_IRQ
        return
    number = words[_NUMBER]
    if words[_TIMES]:
        if number:
            times = ptr32(words[_TIMES])
            took = (hot[_H_RAW] - words[_T_SENT]) & 0x0FFFFFFF
            if took >= _N_TIMES:
                took = _N_TIMES - 1
            times[took] += 1
    else:
        buf[0] = 0x41
        i = 0
        while i < 4:
            byte = (number >> (8 * i)) & 0xFF
            buf[1 + i] = byte
            buf[5 + i] = 255 - byte
            i += 1
        exchange(buf, 9)
    spi = ptr32(hot[_H_SPI])
    sio = ptr32(hot[_H_SIO])
    sio[6] = hot[_H_CS]
    spi[2] = 0x81
    while not spi[3] & 4:
        pass
    buf[0] = spi[2]
    words[_T_SENT] = ptr32(hot[_H_TIMER])[10] & 0x0FFFFFFF
    sio[5] = hot[_H_CS]
    words[_NUMBER] = number + 1
    words[_LEFT] = n - 1
    nvic[0] = _GPIO_IRQ


class Sender:
    """Sends what is in the first transmit buffer at fixed times from a timer, whatever the main
    code does.

    times   counts of the time from each request to the handler's stamp, all frames alike; None:
            the first four bytes are the frame's number, the others their complement
    """

    def __init__(self, times=None):
        self._buf = bytearray(16)
        self._words = array("I", [0] * _N_WORDS)
        self._words[_BUFFER] = uctypes.addressof(self._buf)
        self._words[_TIMES] = uctypes.addressof(times) if times else 0
        self._timer = None
        self.is_hard = False  # it interrupts whatever runs

    def start(self, n, period_us):
        """Send `n` frames, one in `period_us`."""
        words = self._words
        words[_LEFT] = n
        self._timer = machine.Timer(-1)
        when = {
            "period": period_us,
            "tick_hz": 1_000_000,
            "callback": lambda _: _send_next(words),
        }
        try:
            self._timer.init(hard=True, **when)
            self.is_hard = True
        except TypeError:  # before MicroPython 1.26: it waits while garbage is collected
            self._timer.init(**when)

    def stop(self):
        """Send no more."""
        self._timer.deinit()

    def n_sent(self):
        """Return how many frames were sent."""
        return self._words[_NUMBER]

    def n_skipped(self):
        """Return how often nothing was sent at its time."""
        return self._words[_SKIPPED]
