"""What must not wait on the RP2040: ring, clock and controller port beside the receive interrupt.

One controller on one SPI that nobody else uses. While main code uses that SPI or the ring's
producer side, the interrupt (`rp2_receive`) is held off at the interrupt controller, for 10 us at
most; an edge that comes meanwhile is not lost. Nothing here raises: a dead chip reads as zeros or
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
_INTE0 = const(0x40014100)  # enables the same for this core
_SET = const(0x2000)  # added to an address: set, clear the bits written
_CLEAR = const(0x3000)
_VTOR = const(0xE000ED08)  # where the table of interrupts is; in RAM with pico-sdk
_GPIO_VECTOR = const(4 * (16 + 13))
_PRIORITIES = const(0xE000E40C)  # of four interrupts, the GPIO interrupt's in bits 15..8
_GPIO_IRQ = const(1 << 13)

# Words of `hot`, as in `rp2_receive`.
_H_SIO = const(0)
_H_SPI = const(1)
_H_TIMER = const(2)
_H_NVIC = const(3)
_H_EDGE_BIT = const(5)
_H_STATE = const(6)
_H_MEMORY = const(7)
_H_N_BLOCKS = const(8)
_H_CS = const(9)
_H_FULL0 = const(10)
_H_FULL1 = const(11)
_H_INT = const(12)
_H_BUS = const(13)
_H_LAST_LO = const(14)

# What `code` can do.
_OPEN = const(1)
_CLOSE = const(2)
_RUN = const(3)


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
def _transfer(buf: ptr8, n: int):
    """Exchange `n` bytes in place while the GPIO interrupt is held off."""
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
    sio[5] = hot[_H_CS]
    nvic[0] = was


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

    def __init__(self, n_blocks):
        super().__init__(n_blocks)
        self._meta = array("I", [0, 0, 0, 0])
        _hot[_H_STATE] = uctypes.addressof(self.state)
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

    Pins are GPIO numbers; `interrupt` lies in 0 to 7. full0 and full1 (RX0BF, RX1BF) may both be
    None: the handler then asks the controller which buffer is full, which costs 2.4 us a frame.
    """

    def __init__(self, spi, baudrate_Hz, sck, mosi, miso, cs, interrupt, full0=None, full1=None):
        self._cs = machine.Pin(cs, machine.Pin.OUT, value=1)
        self._interrupt = machine.Pin(interrupt, machine.Pin.IN, machine.Pin.PULL_UP)
        for pin in (full0, full1):
            if pin is not None:
                machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self.has_full_pins = full0 is not None and full1 is not None
        self._spi = machine.SPI(
            spi,
            baudrate_Hz,
            sck=machine.Pin(sck),
            mosi=machine.Pin(mosi),
            miso=machine.Pin(miso),
        )
        _hot[_H_SPI] = _SPI[spi]
        self._vector = machine.mem32[machine.mem32[_VTOR] + _GPIO_VECTOR]
        self._edge_bit = 4 << 4 * interrupt
        _hot[_H_EDGE_BIT] = self._edge_bit
        _hot[_H_CS] = 1 << cs
        _hot[_H_INT] = 1 << interrupt
        _hot[_H_FULL0] = 1 << full0 if self.has_full_pins else 0
        _hot[_H_FULL1] = 1 << full1 if self.has_full_pins else 0

    def transfer(self, buf, n):
        """Exchange the first `n` bytes of `buf` in place, chip select low; the handler waits."""
        _transfer(buf, n)

    def start(self, bus):
        """Let the handler take frames from now on, as frames of `bus`."""
        _hot[_H_BUS] = bus
        self._set_vector(handler, 0)
        machine.mem32[_INTE0 | _SET] = self._edge_bit
        _take_now()

    def stop(self):
        """Stop the handler."""
        machine.mem32[_INTE0 | _CLEAR] = self._edge_bit
        self._set_vector(self._vector, 0x80)

    def _set_vector(self, address, priority):
        machine.mem32[machine.mem32[_VTOR] + _GPIO_VECTOR] = address
        machine.mem32[_PRIORITIES] = machine.mem32[_PRIORITIES] & 0xFFFF00FF | priority << 8

    def is_stuck(self):
        """Tell whether the interrupt pin stays low although the handler has had its turn."""
        return not self._interrupt() and not self._interrupt()

    def wake(self):
        """Take what the controller holds now, after the handler gave up."""
        _take_now()

    def wait_us(self, us):
        """Wait; only while the controller is set up."""
        time.sleep_us(us)
