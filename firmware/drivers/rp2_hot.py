"""What must not wait on the RP2040: ring, clock and controller port beside the receive interrupt.

One controller on one SPI that nobody else uses. While main code uses that SPI or the ring's
producer side, the interrupt (`rp2_receive`) is held off at the interrupt controller, for 10 us at
most; pins that call are still low afterwards. Nothing here raises: a dead chip reads as zeros or
ones.
"""

import struct
import time
from array import array

import machine
import micropython
import uctypes
from micropython import const

from drivers.rp2_receive import code, handler
from drivers.rp2_receive import hot as _hot
from logger.ring import BlockRing

_SPI = (0x4003C000, 0x40040000)  # word 2: data; 3: status, 4 received something, 16 busy
_INTE0 = const(0x40014100)  # this core's: GPIO 0 to 7, four bits each, the first: level low
_SET = const(0x2000)  # added to an address: set, clear the bits written
_CLEAR = const(0x3000)
_VTOR = const(0xE000ED08)  # where the table of interrupts is; in RAM with pico-sdk
_GPIO_VECTOR = const(4 * (16 + 13))
_NVIC = const(0xE000E100)  # set-enable
_PRIORITIES = const(0xE000E40C)  # of four interrupts, the GPIO interrupt's in bits 15..8
_GPIO_IRQ = const(1 << 13)

# Words of `hot`, as in `rp2_receive`.
_H_SIO = const(0)
_H_SPI = const(1)
_H_TIMER = const(2)
_H_NVIC = const(3)
_H_DOUBTS = const(4)
_H_STATE = const(6)
_H_MEMORY = const(7)
_H_N_BLOCKS = const(8)
_H_CS = const(9)
_H_FULL0 = const(10)
_H_FULL1 = const(11)
_H_INT = const(12)
_H_BUS = const(13)
_H_LAST_LO = const(14)
_H_MOST = const(16)

# What `code` can do.
_OPEN = const(1)
_CLOSE = const(2)
_RUN = const(3)

_POLLS_Hz = const(4000)  # two buffers last 220 us of a full bus at 500 kbit/s


@micropython.viper
def _put_meta(words: ptr32) -> int:
    """Write the meta record in `words` (time, w1, two of data); 0 if there is no room.

    Its time becomes that of the newest record if the handler came in between.
    """
    hot = ptr32(_hot)
    nvic = ptr32(hot[_H_NVIC])
    was = nvic[0] & _GPIO_IRQ
    nvic[32] = _GPIO_IRQ
    st = ptr32(hot[_H_STATE])
    lo = words[0]
    if (hot[_H_LAST_LO] - lo) & 0x0FFFFFFF < 0x100000:
        lo = hot[_H_LAST_LO]
    room = st[1]
    if room == 0:
        room = int(code(_OPEN, lo)) + 1
    if room:
        rec = ptr32(hot[_H_MEMORY] + (st[0] << 12) + 64 + (st[1] << 4))
        rec[0] = lo | (-1 << 28)
        rec[1] = words[1]
        rec[2] = words[2]
        rec[3] = words[3]
        hot[_H_LAST_LO] = lo
        st[1] = st[1] + 1
        if st[1] == 252:
            code(_CLOSE, 0)
        room = 1
    nvic[0] = was
    return room


@micropython.viper
def _close_open():
    """Close the block being filled, if one is."""
    hot = ptr32(_hot)
    nvic = ptr32(hot[_H_NVIC])
    was = nvic[0] & _GPIO_IRQ
    nvic[32] = _GPIO_IRQ
    if ptr32(hot[_H_STATE])[1]:
        code(_CLOSE, 0)
    nvic[0] = was


@micropython.viper
def exchange(buf: ptr8, n: int) -> int:
    """Exchange `n` bytes in place while the GPIO interrupt is held off; return the pins then."""
    hot = ptr32(_hot)
    nvic = ptr32(hot[_H_NVIC])
    sio = ptr32(hot[_H_SIO])
    spi = ptr32(hot[_H_SPI])
    was = nvic[0] & _GPIO_IRQ
    nvic[32] = _GPIO_IRQ
    sio[6] = hot[_H_CS]
    i = 0
    while i < n:
        spi[2] = buf[i]
        while not spi[3] & 4:
            pass
        buf[i] = spi[2]
        i += 1
    inputs = sio[1]
    sio[5] = hot[_H_CS]
    nvic[0] = was
    return inputs


@micropython.viper
def _take_now():
    """Run the handler from main code."""
    nvic = ptr32(ptr32(_hot)[_H_NVIC])
    was = nvic[0] & _GPIO_IRQ
    nvic[32] = _GPIO_IRQ
    code(_RUN, 0)
    nvic[0] = was


@micropython.viper
def _read_clock(out: ptr32):
    """Put the timer's bits 27..0 and those above into `out`."""
    timer = ptr32(ptr32(_hot)[_H_TIMER])
    while True:
        high = timer[9]
        low = timer[10]
        if timer[9] == high:
            break
    out[0] = low & 0x0FFFFFFF
    out[1] = (high << 4) | ((low >> 28) & 15)


@micropython.viper
def _open_age(state: ptr32, memory: ptr32, lo: int) -> int:
    """Return the age of the open block at `lo`; 0 if it was opened since, -1 if none is open."""
    while True:
        head = state[0]
        n = state[1]
        age = (lo - memory[(head << 10) + 7]) & 0x0FFFFFFF
        if state[0] == head:
            break
    if n == 0:
        return -1
    if age & 0x08000000:
        return 0
    return age


class HotRing(BlockRing):
    """The one ring that the handler fills. Main code changes it between two interrupts."""

    def __init__(self, n_blocks=0):
        super().__init__(n_blocks)
        self._meta = array("I", [0, 0, 0, 0])
        _hot[_H_STATE] = uctypes.addressof(self.state)

    def take_memory(self, n_blocks):
        """As BlockRing."""
        super().take_memory(n_blocks)
        _hot[_H_MEMORY] = uctypes.addressof(self.memory)
        _hot[_H_N_BLOCKS] = n_blocks

    def put_meta(self, lo, hi, kind, arg, bus, data):
        """As BlockRing, but never earlier than the newest record of the last second."""
        id_low = (kind | arg << 8) & 0xFFFF
        struct.pack_into("<IHH8s", self._meta, 0, lo, id_low, arg >> 8 | bus << 13, data)
        return bool(_put_meta(self._meta))

    def close_block(self):
        """As BlockRing."""
        _close_open()

    def open_age_us(self, lo):
        """As BlockRing; 0 if the block was opened after `lo` was read."""
        return _open_age(self.state, self.memory, lo)


class HotClock:
    """The chip's 64-bit timer, which also stamps frames. Invariant: (hi, lo) never goes back."""

    def __init__(self):
        self._words = array("I", [0, 0])
        self.lo = 0
        self.hi = 0

    def read(self):
        """Bring `lo` (bits 27..0) and `hi` (above) up to date. Allocates nothing."""
        _read_clock(self._words)
        self.lo = self._words[0]
        self.hi = self._words[1]

    def t_us(self):
        """Return the time since power-on or reset. May allocate; not for interrupts."""
        self.read()
        return self.hi << 28 | self.lo


class HotPort:
    """One controller's SPI, chip select and pins, shared between main code and the handler.

    Pins are GPIO numbers. full0 and full1 (RX0BF, RX1BF) may both be None: the handler then
    answers to INT and asks the controller which buffer is full, which costs 2.4 us a frame.
    `has_full_pins` says whether the board file names them; `use` what the handler works with;
    `numbers` are those of INT and, if they are wired, RX0BF and RX1BF.
    """

    def __init__(self, spi, baudrate_Hz, sck, mosi, miso, cs, interrupt, full0=None, full1=None):
        self._cs = machine.Pin(cs, machine.Pin.OUT, value=1)
        self.has_full_pins = full0 is not None and full1 is not None
        self.numbers = (interrupt, full0, full1) if self.has_full_pins else (interrupt,)
        self._pins = [
            machine.Pin(number, machine.Pin.IN, machine.Pin.PULL_UP) for number in self.numbers
        ]
        self._spi = machine.SPI(
            spi,
            baudrate_Hz,
            sck=machine.Pin(sck),
            mosi=machine.Pin(mosi),
            miso=machine.Pin(miso),
        )
        self._timer = None
        self._inputs = 0
        _hot[_H_SPI] = _SPI[spi]
        self._vector = machine.mem32[machine.mem32[_VTOR] + _GPIO_VECTOR]
        _hot[_H_CS] = 1 << cs
        self.use(self.has_full_pins, True)

    def transfer(self, buf, n):
        """Exchange the first `n` bytes of `buf` in place, chip select low; the handler waits."""
        self._inputs = exchange(buf, n)

    def set_rate(self, rate_Hz):
        """Clock at the highest rate the chip can make up to `rate_Hz`."""
        self._spi.init(baudrate=rate_Hz)

    def low_pins(self):
        """Return which pins are low: bit 0 INT, 1 RX0BF, 2 RX1BF."""
        low = 0
        for i, pin in enumerate(self._pins):
            low |= (not pin()) << i
        return low

    def is_unheard(self, buffers):
        """Return whether one of `buffers`, full at the last transfer, was called by no pin."""
        if len(self._calling) == 1:
            return bool(buffers and self._inputs >> self._calling[0] & 1)
        for i, number in enumerate(self._calling):
            if buffers >> i & self._inputs >> number & 1:
                return True
        return False

    def use(self, full, interrupt):
        """Let RX0BF and RX1BF call the handler and show it what is full; else INT; else a timer,
        4,000 times a second. Only while stopped.
        """
        self._calling = self.numbers[1:] if full else self.numbers[:1] if interrupt else ()
        bits = [1 << number for number in self.numbers[1:]] if full else (0, 0)
        _hot[_H_FULL0], _hot[_H_FULL1] = bits
        _hot[_H_INT] = 1 << (self.numbers[0] if self._calling else 30)  # 30: no pin, reads low
        _hot[_H_MOST] = 32 if self._calling else 6

    def start(self, bus):
        """Let the handler take frames from now on, as frames of `bus`."""
        _hot[_H_BUS] = bus
        self._set_vector(handler, 0)
        for number in self._calling:
            machine.mem32[_inte(number) | _SET] = 1 << 4 * (number & 7)
        if not self._calling:
            self._timer = machine.Timer(-1, freq=_POLLS_Hz, callback=lambda _: _take_now())

    def stop(self):
        """Stop the handler."""
        if self._timer is not None:
            self._timer.deinit()
            self._timer = None
        for number in self._calling:
            machine.mem32[_inte(number) | _CLEAR] = 1 << 4 * (number & 7)
        self._set_vector(self._vector, 0x80)
        self.wake()

    def _set_vector(self, address, priority):
        machine.mem32[machine.mem32[_VTOR] + _GPIO_VECTOR] = address
        machine.mem32[_PRIORITIES] = machine.mem32[_PRIORITIES] & 0xFFFF00FF | priority << 8

    def is_stuck(self):
        """Return whether the handler has switched itself off because the pins stayed low."""
        return not machine.mem32[_NVIC] & _GPIO_IRQ

    def wake(self):
        """Let the handler try again after it switched itself off."""
        machine.mem32[_NVIC] = _GPIO_IRQ

    def n_doubts(self):
        """Return how many answers the handler has seen that cannot be right."""
        return _hot[_H_DOUBTS]

    def wait_us(self, us):
        """Wait; only while the controller is set up."""
        time.sleep_us(us)


def _inte(number):
    return _INTE0 + 4 * (number >> 3)
