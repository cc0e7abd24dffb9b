/* The memory map. What is not here is asked of Python: read(address), write(address, value).
 *
 * Peripheral registers are words; narrower writes repeat the value in all lanes, as the chip does.
 * Writes at +0x1000, +0x2000 and +0x3000 of a peripheral are xor, set and clear.
 */
#include <stdlib.h>

#include "chip.h"

enum { SPI0 = 0x4003C, SPI1 = 0x40040, IO_BANK0 = 0x40014, PADS = 0x4001C, TIMER = 0x40054, DMA = 0x50000,
       PIO0 = 0x50200, PIO1 = 0x50300 };
enum { BUFFER_CONTROL = 0x80, BUFFER_CONTROL_END = 0x100 };

uint32_t atomic_value(uint32_t old, uint32_t address, uint32_t value)
{
    switch (address >> 12 & 3) {
    case 1: return old ^ value;
    case 2: return old | value;
    case 3: return old & ~value;
    default: return value;
    }
}

static uint32_t ask(struct chip *c, uint32_t address)
{
    uint32_t value = c->read(address);

    c->attention = 1;
    return value;
}

static uint32_t peripheral_read(struct chip *c, uint32_t address)
{
    uint32_t offset = address & 0xFFF;

    switch (address >> 14 << 2) {
    case SPI0: return spi_read(c, 0, offset);
    case SPI1: return spi_read(c, 1, offset);
    case IO_BANK0: return io_read(c, offset);
    case PADS: return pads_read(c, offset);
    case TIMER: return timer_read(c, offset);
    case DMA: return dma_read(c, offset);
    case PIO0: return pio_read(c, 0, offset);
    case PIO1: return pio_read(c, 1, offset);
    default: return ask(c, address);
    }
}

static void peripheral_write(struct chip *c, uint32_t address, uint32_t value)
{
    uint32_t offset = address & 0xFFF;

    switch (address >> 14 << 2) {
    case SPI0: spi_write(c, 0, offset, value, address); break;
    case SPI1: spi_write(c, 1, offset, value, address); break;
    case IO_BANK0: io_write(c, offset, value, address); break;
    case PADS: pads_write(c, offset, value, address); break;
    case TIMER: timer_write(c, offset, value, address); break;
    case DMA: dma_write(c, offset, value, address); break;
    case PIO0: pio_write(c, 0, offset, value, address); break;
    case PIO1: pio_write(c, 1, offset, value, address); break;
    default: c->write(address, value);
    }
    c->attention = 1;
}

static void bus_error(struct chip *c, uint32_t address)
{
    c->bus_error = 1;
    c->s.fault_address = address;
    c->attention = 1;
}

static uint32_t read_word(struct chip *c, uint32_t address)
{
    uint32_t at;

    switch (address >> 28) {
    case 0:
        if (address < ROM_BYTES) return get32(c->rom + address);
        break;
    case 1:
        at = address & 0x00FFFFFF;
        if (address >= 0x14000000u) return ask(c, address); /* XIP control and SSI */
        if (at < c->flash_bytes) {
            if (c->s.miss_cycles) cache_touch(c, at);
            return get32(c->flash + at);
        }
        return UINT32_MAX;
    case 2:
        if (address - 0x20000000u < RAM_BYTES) return get32(c->ram + (address - 0x20000000u));
        break;
    case 4: return peripheral_read(c, address);
    case 5:
        if (address - 0x50100000u < USB_BYTES) return get32(c->usb + (address - 0x50100000u));
        return peripheral_read(c, address);
    case 13: return sio_read(c, address & 0xFFF);
    case 14:
        if (address >> 12 == 0xE000E) return ppb_read(c, address & 0xFFF);
        return 0;
    }
    bus_error(c, address);
    return 0;
}

uint32_t bus_read(struct chip *c, uint32_t address, uint32_t bytes)
{
    uint32_t word = read_word(c, address & ~3u) >> (address & 3) * 8;

    return bytes == 4 ? word : bytes == 2 ? word & 0xFFFF : word & 0xFF;
}

static void usb_write(struct chip *c, uint32_t at, uint32_t value, uint32_t bytes)
{
    uint32_t word = at & ~3u;

    memcpy(c->usb + at, &value, bytes);
    if (word >= BUFFER_CONTROL && word < BUFFER_CONTROL_END) {
        c->write(0x50100000u + word, get32(c->usb + word));
        c->attention = 1;
    }
}

void bus_write(struct chip *c, uint32_t address, uint32_t value, uint32_t bytes)
{
    uint32_t lanes = bytes == 4 ? value : bytes == 2 ? (value & 0xFFFF) * 0x10001u : (value & 0xFF) * 0x1010101u;

    switch (address >> 28) {
    case 0: return; /* the ROM takes no notice; TinyUSB writes to address 0 for endpoint 0 */
    case 1:
        if (address >= 0x14000000u) {
            c->write(address & ~3u, lanes);
            c->attention = 1;
        } /* a write to the window of the flash only drops a cache line */
        return;
    case 2:
        if (address - 0x20000000u < RAM_BYTES) {
            memcpy(c->ram + (address - 0x20000000u), &value, bytes);
            return;
        }
        break;
    case 4: peripheral_write(c, address & ~3u, lanes); return;
    case 5:
        if (address - 0x50100000u < USB_BYTES) usb_write(c, address - 0x50100000u, value, bytes);
        else peripheral_write(c, address & ~3u, lanes);
        return;
    case 13: sio_write(c, address & 0xFFC, lanes); return;
    case 14:
        if (address >> 12 == 0xE000E) ppb_write(c, address & 0xFFC, value);
        return;
    }
    bus_error(c, address);
}

/* A peripheral raises or drops its interrupt line. A line that rose stays pending until it is served. */
void set_line(struct chip *c, uint32_t irq, uint32_t level)
{
    uint32_t bit = 1u << irq;

    if (!level) {
        c->lines &= ~bit;
        return;
    }
    if (c->lines & bit) return;
    c->lines |= bit;
    c->pending |= bit;
    c->attention = 1;
}

/* Find the next event of this side; call after anything that moves one. */
void schedule(struct chip *c)
{
    uint64_t next = NEVER;

    for (int i = 0; i < N_SPI; i++)
        if (c->spi[i].shifting && c->spi[i].done < next) next = c->spi[i].done;
    for (int i = 0; i < N_ALARMS; i++)
        if (c->armed >> i & 1 && c->alarm_at[i] < next) next = c->alarm_at[i];
    for (int i = 0; i < N_DMA; i++)
        if (c->dma.channel[i].done && c->dma.channel[i].done < next) next = c->dma.channel[i].done;
    if (pio_next(c) < next) next = pio_next(c);
    c->next = next;
    c->attention = 1;
}

struct chip *chip_new(uint8_t *rom, uint8_t *ram, uint8_t *flash, uint32_t flash_bytes, uint8_t *usb)
{
    struct chip *c = calloc(1, sizeof *c);

    if (!c) return NULL;
    c->rom = rom;
    c->ram = ram;
    c->flash = flash;
    c->flash_bytes = flash_bytes;
    c->usb = usb;
    c->s.cycle = c->s.peri = c->s.sys = FS_PER_US / 12;
    for (int i = 0; i < N_SPI; i++) c->spi[i].device.cs = N_PINS;
    for (int i = 0; i < N_WAVES; i++) c->waves[i].pin = N_PINS;
    pio_reset(c);
    c->next = NEVER;
    return c;
}

void chip_free(struct chip *c)
{
    free(c);
}

void chip_callbacks(struct chip *c, uint32_t (*read)(uint32_t), void (*write)(uint32_t, uint32_t),
                    uint32_t (*spi_byte)(uint32_t, uint32_t), void (*pin)(uint32_t, uint32_t),
                    void (*on_fault)(uint32_t, uint32_t, uint32_t))
{
    c->read = read;
    c->write = write;
    c->spi_byte = spi_byte;
    c->pin = pin;
    c->on_fault = on_fault;
}

struct spi_device *chip_spi_device(struct chip *c, uint32_t unit)
{
    return &c->spi[unit].device;
}

/* Reset what `what` selects: 1 the core, 2 SIO, 4 the peripherals of this side. Wiring stays. */
void chip_reset(struct chip *c, uint32_t what)
{
    if (what & 2) {
        c->out = c->oe = c->hi_out = c->hi_oe = c->spinlocks = c->fifo_n = 0;
        c->divisor = 1;
        c->dividend = c->quotient = c->remainder = c->div_csr = 0;
    }
    if (what & 4) {
        c->lines = 0;
        for (int i = 0; i < N_PINS; i++) { c->pin_ctrl[i] = 0x1F; c->pad[i] = 0x56; }
        memset(c->edges, 0, sizeof c->edges);
        memset(c->inte, 0, sizeof c->inte);
        memset(c->intf, 0, sizeof c->intf);
        c->timer_epoch = c->s.now;
        c->armed = c->timer_intr = c->timer_inte = c->timer_intf = c->timer_latch = 0;
        for (int i = 0; i < N_SPI; i++) {
            struct spi_device device = c->spi[i].device;
            memset(&c->spi[i], 0, sizeof c->spi[i]);
            c->spi[i].device = device;
        }
        pio_reset(c);
        memset(&c->dma, 0, sizeof c->dma);
        for (int i = 0; i < N_DMA; i++) c->dma.channel[i].ctrl = (uint32_t)i << 11;
    }
    if (what & 1) cpu_reset(c);
    gpio_update(c);
    schedule(c);
    c->s.stop = c->s.reset_request = c->s.fault = 0;
}

/* Core 1 came out of its reset: its boot ROM sends 0 and sleeps for ever. */
void chip_core1_reset(struct chip *c)
{
    c->fifo_n = 1;
    c->event = 1;
    c->attention = 1;
}
