"""What must not wait on the RP2040: the receive interrupt, the ring, the clock.

The interrupt handler, in viper, reads the MCP2515 through the registers of the SPI and writes each
frame to its final place in the ring, with the algorithm and the bytes of `logger.ring.BlockRing`.
It allocates nothing, so garbage collection does not stop it, and it looks up no global, which
fails while main code adds one.

One controller on one SPI that nobody else uses. While main code uses that SPI or the ring's
producer side, the GPIO interrupt is held off at the interrupt controller, for 10 us at most; an
edge that comes meanwhile is not lost. Nothing here raises: a dead chip reads as zeros or ones.
"""

import struct
import time
from array import array

import machine
import micropython
import uctypes
from micropython import const

from logger.ring import BlockRing

_SIO = const(0xD0000000)  # word 1: inputs; 5, 6: set and clear outputs
_SPI = (0x4003C000, 0x40040000)  # word 2: data; 3: status, 4 received something, 16 busy
_TIMER = const(0x40054000)  # words 9, 10: raw time, high and low
_INTR0 = const(0x400140F0)  # GPIO 0 to 7, four bits each: level low, high, edge fall, rise
_NVIC = const(0xE000E100)  # word 0: set-enable; 32: clear-enable
_GPIO_IRQ = const(1 << 13)

# Words of `_hot`, what the handler needs to know.
_H_SIO = const(0)
_H_SPI = const(1)
_H_TIMER = const(2)
_H_NVIC = const(3)
_H_EDGE = const(4)  # address of the register that holds the edge of the interrupt pin
_H_EDGE_BIT = const(5)
_H_STATE = const(6)  # address of the ring's state
_H_MEMORY = const(7)
_H_N_BLOCKS = const(8)
_H_CS = const(9)  # bits in the SIO's words
_H_FULL0 = const(10)  # pins RX0BF and RX1BF; 0: not wired, ask the controller
_H_FULL1 = const(11)
_H_INT = const(12)
_H_BUS = const(13)
_H_LAST_LO = const(14)  # time of the newest record
_H_SPILL = const(15)  # address of 16 bytes for a frame that finds no room
_H_WORDS = const(16)

_hot = array("I", [0] * _H_WORDS)
_spill = bytearray(16)
_hot[_H_SIO] = _SIO
_hot[_H_TIMER] = _TIMER
_hot[_H_NVIC] = _NVIC
_hot[_H_EDGE] = _INTR0
_hot[_H_SPILL] = uctypes.addressof(_spill)


@micropython.viper
def _open_block(hot: ptr32, lo: int) -> int:
    """Open the block at HEAD at time `lo` and tell pending drops in it; 0 if the ring is full."""
    st = ptr32(hot[_H_STATE])
    if (st[2] - st[3]) & 0xFFFF >= hot[_H_N_BLOCKS]:
        return 0
    timer = ptr32(hot[_H_TIMER])
    high = timer[9]
    low = timer[10]
    while timer[9] != high:
        high = timer[9]
        low = timer[10]
    hi = (high << 4) | ((low >> 28) & 15)
    if lo > low & 0x0FFFFFFF:
        hi -= 1
    block = ptr32(hot[_H_MEMORY] + (st[0] << 12))
    block[7] = lo
    block[8] = hi
    bus = 0
    at = 16
    while bus < 2:
        if st[10 + bus]:
            block[at] = lo | (-1 << 28)
            block[at + 1] = 0x103 | (bus << 29)
            block[at + 2] = st[10 + bus]
            block[at + 3] = st[12 + bus] | (st[14 + bus] << 28)
            st[10 + bus] = 0
            st[1] = st[1] + 1
            at += 4
        bus += 1
    return 1


@micropython.viper
def _close(hot: ptr32):
    """Complete the counts in the header of the block at HEAD and hand it to the store."""
    st = ptr32(hot[_H_STATE])
    block = ptr32(hot[_H_MEMORY] + (st[0] << 12))
    ptr8(block)[3] = st[1]
    block[9] = st[4]
    block[10] = st[5]
    block[11] = st[6]
    block[12] = st[7]
    block[13] = st[8] | (st[9] << 16)
    st[1] = 0
    head = st[0] + 1
    if head == hot[_H_N_BLOCKS]:
        head = 0
    st[0] = head
    st[2] = (st[2] + 1) & 0xFFFF
    waiting = (st[2] - st[3]) & 0xFFFF
    if waiting > st[16]:
        st[16] = waiting


def _make_handler(hot_address, open_block, close):
    """Return the hard handler of the interrupt pin; it takes all frames out of the controller.

    It refers to no global, so that its entry needs no change of globals and no exception frame. A
    closure can be a hard handler as long as its cells and arguments are five at most; with more,
    MicroPython allocates. A controller whose pins stay low is left alone after 16 frames:
    `HotPort.is_stuck` tells.
    """

    @micropython.viper
    def on_frame(pin):
        hot = ptr32(int(hot_address))
        sio = ptr32(hot[_H_SIO])
        spi = ptr32(hot[_H_SPI])
        cs = hot[_H_CS]
        was0 = 0
        left = 16
        while left:
            left -= 1
            # An edge from here on makes the interrupt come again; earlier ones are served below.
            ptr32(hot[_H_EDGE])[0] = hot[_H_EDGE_BIT]
            low = ~sio[1]
            now0 = low & hot[_H_FULL0]
            now1 = low & hot[_H_FULL1]
            if hot[_H_FULL0] == 0:
                if low & hot[_H_INT]:
                    sio[6] = cs
                    spi[2] = 0xB0
                    spi[2] = 0
                    while spi[3] & 16:
                        pass
                    sio[5] = cs
                    now1 = spi[2]
                    now1 = spi[2]
                    now0 = now1 & 0x40
                    now1 = now1 & 0x80
            # Both full after buffer 0 was read: buffer 1 is older, as the controller rolls over.
            if now0 and not (was0 and now1):
                command = 0x90
                was0 = 1
            elif now1:
                command = 0x94
                was0 = 0
            else:
                break
            sio[6] = cs
            raw = ptr32(hot[_H_TIMER])[10]
            spi[2] = command
            spi[2] = 0
            spi[2] = 0
            spi[2] = 0
            spi[2] = 0
            spi[2] = 0
            spi[2] = 0
            spi[2] = 0
            lo = raw & 0x0FFFFFFF
            st = ptr32(hot[_H_STATE])
            room = st[1]
            if room == 0:
                room = int(open_block(hot, lo))
            if room:
                at = hot[_H_MEMORY] + (st[0] << 12) + 64 + (st[1] << 4)
            else:
                at = hot[_H_SPILL]
            rec = ptr32(at)
            rec[2] = 0
            rec[3] = 0
            while not spi[3] & 4:
                pass
            w1 = spi[2]
            while not spi[3] & 4:
                pass
            w1 = spi[2]
            while not spi[3] & 4:
                pass
            sidl = spi[2]
            w1 = (w1 << 3) | (sidl >> 5)
            while not spi[3] & 4:
                pass
            eid = spi[2] << 8
            while not spi[3] & 4:
                pass
            eid |= spi[2]
            while not spi[3] & 4:
                pass
            dlc = spi[2]
            n = dlc & 15
            if n > 8:
                n = 8
            # Two data bytes are on their way; with the others they just fit the receive FIFO.
            more = n - 2
            while more > 0:
                spi[2] = 0
                more -= 1
            remote = (sidl >> 4) & 1
            if sidl & 8:
                w1 = (w1 << 18) | ((sidl & 3) << 16) | eid | ((sidl & 8) << 28)
                remote = (dlc >> 6) & 1
            bus = hot[_H_BUS]
            rec[0] = lo | (n << 28)
            rec[1] = w1 | (bus << 29) | (remote << 30)
            if remote:
                n = 0
            while spi[3] & 16:
                pass
            sio[5] = cs
            # The controller takes its flags back while the data are put in place.
            at += 8
            end = at + n
            while at < end:
                ptr8(at)[0] = spi[2]
                at += 1
            while spi[3] & 4:
                more = spi[2]
            hot[_H_LAST_LO] = lo
            if room:
                st[4 + bus] = st[4 + bus] + 1
                n = st[1] + 1
                st[1] = n
                if n == 252:
                    close(hot)
            else:
                st[6 + bus] = st[6 + bus] + 1
                if not st[10 + bus]:
                    st[12 + bus] = lo
                    st[14 + bus] = (raw >> 28) & 15
                st[10 + bus] = st[10 + bus] + 1

    return on_frame


_on_frame = _make_handler(uctypes.addressof(_hot), _open_block, _close)


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
        room = int(_open_block(hot, lo))
    if room:
        rec = ptr32(hot[_H_MEMORY] + (st[0] << 12) + 64 + (st[1] << 4))
        rec[0] = lo | (-1 << 28)
        rec[1] = words[1]
        rec[2] = words[2]
        rec[3] = words[3]
        hot[_H_LAST_LO] = lo
        st[1] = st[1] + 1
        if st[1] == 252:
            _close(hot)
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
        _close(hot)
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
    _on_frame(None)
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
        _hot[_H_EDGE_BIT] = 4 << 4 * interrupt
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
        self._interrupt.irq(_on_frame, machine.Pin.IRQ_FALLING, hard=True)
        _take_now()

    def stop(self):
        """Stop the handler."""
        self._interrupt.irq(None)

    def is_stuck(self):
        """Tell whether the interrupt pin stays low although the handler has had its turn."""
        return not self._interrupt() and not self._interrupt()

    def wake(self):
        """Take what the controller holds now, after the handler gave up."""
        _take_now()

    def wait_us(self, us):
        """Wait; only while the controller is set up."""
        time.sleep_us(us)
