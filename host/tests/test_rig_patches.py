"""Each defect of rp2040py 0.3.6 that patches.py repairs: shown in the original, gone in ours."""

import pytest

pytest.importorskip("rp2040py")

from rp2040py.clock.simulation_clock import SimulationClock
from rp2040py.peripherals import ssi, uart, usb
from rp2040py.peripherals.peripheral import UnimplementedPeripheral
from rp2040py.rp2040 import RP2040
from rp2040py.usb.cdc import USBCDC

from stagelog.rig.rp2040 import patches
from stagelog.rig.rp2040.board import PicoBoard
from stagelog.rig.runtimes import find_runtime

BULK_OUT = usb.EP0_OUT_BUFFER_CONTROL + 2 * 8
ENDPOINT_2_OUT = usb.EP1_IN_CONTROL + 8 + 4
AVAILABLE = usb.USB_BUF_CTRL_AVAILABLE


@pytest.fixture
def original():
    """The chip of rp2040py as it comes."""
    return RP2040(SimulationClock())


@pytest.fixture(scope="module")
def board():
    image = find_runtime("pico-1.25")
    if image is None:
        pytest.skip("no MicroPython image: python -m stagelog.rig.runtimes pico-1.25")
    made = PicoBoard(image)
    yield made
    made.close()


class BareChip:
    """What a peripheral of ours needs to stand alone."""

    def __init__(self):
        self.clock = SimulationClock()
        self.usb_dpram = bytearray(4096)
        self.interrupts = []
        self.clk_peri = 48_000_000
        self.dma = self

    def set_interrupt(self, irq, value):
        self.interrupts.append((int(irq), value))

    def set_dreq(self, channel):
        pass

    clear_dreq = set_dreq


def arm_out_endpoint(chip, controller):
    """Give the controller an empty bulk buffer, as a firmware does that waits for its host."""
    chip.usb_dpram[ENDPOINT_2_OUT : ENDPOINT_2_OUT + 4] = (0xA0000180).to_bytes(4, "little")
    value = AVAILABLE | 64
    chip.usb_dpram[BULK_OUT : BULK_OUT + 4] = value.to_bytes(4, "little")
    controller.dpram_updated(BULK_OUT, value)


def test_usb_original_answers_an_armed_endpoint_that_nobody_writes_to(original):
    cdc = USBCDC(original.usb_ctrl)
    cdc._out_endpoint = 2
    arm_out_endpoint(original, original.usb_ctrl)
    original.clock.tick(20_000)
    assert original.usb_ctrl.read_uint32(usb.BUFF_STATUS) == 1 << 5


def test_usb_patched_waits_until_the_host_writes():
    class Host:
        data = None

        def take_out(self, endpoint, n_bytes):
            data, self.data = self.data, None
            return data

        def reads_in(self, endpoint):
            return False

        def got_out(self, endpoint):
            pass

    chip = BareChip()
    controller = patches.PatchedUsb(chip, "USB")
    controller.host = host = Host()
    arm_out_endpoint(chip, controller)
    chip.clock.tick(10_000_000)
    assert controller.read_uint32(usb.BUFF_STATUS) == 0
    host.data = b"x" * 64
    controller.serve()
    chip.clock.tick(54_000)
    assert controller.read_uint32(usb.BUFF_STATUS) == 0, "64 bytes take 55 us on the wire"
    chip.clock.tick(2_000)
    assert controller.read_uint32(usb.BUFF_STATUS) == 1 << 5
    assert chip.usb_dpram[0x180:0x1C0] == b"x" * 64


def is_raised_after_clear(peripheral, interrupts):
    """Enable and clear the transmit interrupt; return whether its line is still up."""
    peripheral.write_uint32_atomic(uart.UARTIMSC, uart.UARTTXINTR, 0)
    peripheral.write_uint32_atomic(uart.UARTICR, uart.UARTTXINTR, 0)
    return interrupts[-1][1]


def test_uart_original_raises_its_transmit_interrupt_for_ever():
    chip = BareChip()
    dreq = uart.IUARTDMAChannels(rx=0, tx=0)
    assert is_raised_after_clear(uart.RPUART(chip, "UART", 20, dreq), chip.interrupts)
    assert not is_raised_after_clear(patches.PatchedUart(chip, "UART", 20, dreq), chip.interrupts)


def test_uart_works_in_the_firmware(board):
    sent = []
    board.chip.uart[1].on_byte = sent.append
    board.repl.exec(
        "from machine import UART, Pin\nu = UART(1, 115200, tx=Pin(20), rx=Pin(21))\n"
        "u.write(b'hello')"
    )
    assert bytes(sent) == b"hello"


def test_flash_original_erases_in_no_time(original):
    flash = ssi.RPSSI(original, "SSI")
    flash._write_enabled = True
    flash._tx_buffer = bytearray((ssi.CMD_SECTOR_ERASE, 0, 0, 0))
    flash._apply_command()
    flash._tx_buffer = bytearray((ssi.CMD_READ_STATUS_1,))
    assert not flash._shift_byte(0) & 1


def test_flash_patched_takes_45_ms_a_sector_with_interrupts_off(board):
    said = board.repl.exec(
        "import rp2, time\nf = rp2.Flash()\nt = time.ticks_us()\nf.ioctl(6, 300)\n"
        "print(time.ticks_diff(time.ticks_us(), t))"
    )
    assert 45_000 <= int(said) < 46_000


def test_clocks_original_ignores_the_registers(original):
    clocks = original.clocks
    clocks.write_uint32_atomic(0x48, 1 << 11 | 2 << 5, 0)  # clk_peri from the USB PLL, 48 MHz
    assert original.clk_peri == 125_000_000


@pytest.mark.parametrize(
    ("sys_Hz", "peri_Hz"), [(125_000_000, 48_000_000), (120_000_000, 120_000_000)]
)
def test_clocks_patched_follow_machine_freq(board, sys_Hz, peri_Hz):
    said = board.repl.exec(
        f"import machine, time\nmachine.freq({sys_Hz}, {peri_Hz})\n"
        "s = machine.SPI(1, 12_000_000)\nb = bytearray(6000)\n"
        "def once():\n t = time.ticks_us()\n s.write(b)\n"
        " return time.ticks_diff(time.ticks_us(), t)\n"
        "print(min(once() for _ in range(3)))\n"  # USB may interrupt one
        "n = 0\nt = time.ticks_us()\nwhile n < 5000: n += 1\n"
        "print(time.ticks_diff(time.ticks_us(), t))"
    )
    wire_us, loop_us = map(int, said.split())
    divisor = -(-peri_Hz // 12_000_000)
    divisor += divisor % 2
    assert board.chip.clk_sys == sys_Hz
    assert wire_us == pytest.approx(6000 * 9.5 * 1e6 * divisor / peri_Hz, rel=0.01)
    assert loop_us * sys_Hz == pytest.approx(37_300 * 125e6, rel=0.02)


def test_random_bits_original_are_constant(original):
    rosc = UnimplementedPeripheral(original, "ROSC")
    assert {rosc.read_uint32(0x1C) for _ in range(10)} == {0xFFFFFFFF}


def test_random_bits_differ_in_every_boot_and_repeat_with_the_seed(board):
    image = bytes(board.flash)

    def draw(seed):
        made = PicoBoard(image, seed=seed)
        said = [made.repl.exec("import os; print(os.urandom(16))")]
        made.power_off()
        made.power_on()
        said.append(made.repl.exec("import os; print(os.urandom(16))"))
        made.close()
        return said

    first = draw(1)
    assert len(set(first)) == 2
    assert draw(1) == first
    assert not set(draw(2)) & set(first)


def test_soft_reboot_comes_back(board):
    """Core 1 has to answer its reset, which rp2040py leaves out."""
    board.repl.enter()
    board.usb.write(b"\x04")
    board.run_until(lambda: b"soft reboot" in board.usb.received, 1_000_000)
    board.run_until(lambda: board.usb.received.endswith(b"\r\n>"), 1_000_000)


def test_unique_id_is_that_of_the_flash(board):
    assert (
        board.repl.exec("import machine; print(machine.unique_id().hex())").strip()
        == "e6614c311b4a6f2a"
    )
