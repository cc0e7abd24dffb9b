/* SIO (GPIO, divider, spinlocks), IO_BANK0 and PADS_BANK0: who drives a pin, what it reads, its edges.
 *
 * Not modelled: the interpolators, the overrides of GPIO_CTRL, what is sent to core 1 (there is none).
 */
#include "chip.h"

enum { FUNCTION_SIO = 5 };
enum { PULL_DOWN = 4, PULL_UP = 8, INPUT_ENABLE = 0x40, OUTPUT_DISABLE = 0x80 };
enum { LEVEL_LOW = 1, LEVEL_HIGH = 2, EDGE_LOW = 4, EDGE_HIGH = 8 };

static void io_line(struct chip *c)
{
    uint32_t any = 0;

    for (int i = 0; i < 4; i++) {
        uint32_t raw = c->edges[i];
        for (int k = 0; k < 8 && i * 8 + k < N_PINS; k++)
            raw |= (c->s.levels >> (i * 8 + k) & 1 ? LEVEL_HIGH : LEVEL_LOW) << 4 * k;
        any |= (raw & c->inte[i]) | c->intf[i];
    }
    set_line(c, IRQ_IO, any != 0);
}

static uint32_t level_of(struct chip *c, uint32_t pin)
{
    uint32_t bit = 1u << pin;

    if ((c->pin_ctrl[pin] & 31) == FUNCTION_SIO && c->oe & bit && !(c->pad[pin] & OUTPUT_DISABLE)) return c->out >> pin & 1;
    if (c->driven & bit) return c->drive_level >> pin & 1;
    return c->pad[pin] >> 3 & 1;
}

static void select_device(struct chip *c, uint32_t pin, uint32_t level)
{
    for (int i = 0; i < N_SPI; i++) {
        struct spi_device *d = &c->spi[i].device;
        if (d->cs == pin) {
            if (!level) d->at = d->count = 0;
            d->selected = !level && (c->pin_ctrl[d->sck] & 31) == 1 && (c->pin_ctrl[d->mosi] & 31) == 1 &&
                          (c->pin_ctrl[d->miso] & 31) == 1;
        }
    }
}

/* Find the level of every pin again; report what changed. */
void gpio_update(struct chip *c)
{
    uint32_t levels = 0, changed;

    for (uint32_t pin = 0; pin < N_PINS; pin++) levels |= level_of(c, pin) << pin;
    changed = levels ^ c->s.levels;
    if (!changed) return;
    c->s.levels = levels;
    for (uint32_t rest = changed; rest; rest &= rest - 1) {
        uint32_t pin = __builtin_ctz(rest), level = levels >> pin & 1;
        c->edges[pin / 8] |= (level ? EDGE_HIGH : EDGE_LOW) << 4 * (pin % 8);
    }
    io_line(c);
    for (uint32_t rest = changed; rest; rest &= rest - 1) {
        uint32_t pin = __builtin_ctz(rest), level = levels >> pin & 1;
        select_device(c, pin, level);
        if (c->s.watch >> pin & 1) {
            c->pin(pin, level);
            c->attention = 1;
        }
    }
}

static uint32_t gpio_in(struct chip *c)
{
    uint32_t value = 0;

    for (uint32_t pin = 0; pin < N_PINS; pin++)
        if (c->pad[pin] & INPUT_ENABLE) value |= c->s.levels & 1u << pin;
    return value;
}

static void divide(struct chip *c, uint32_t is_signed)
{
    int32_t a = (int32_t)c->dividend, b = (int32_t)c->divisor;

    if (!c->divisor) {
        c->quotient = is_signed && a < 0 ? 1 : UINT32_MAX;
        c->remainder = c->dividend;
    } else if (!is_signed) {
        c->quotient = c->dividend / c->divisor;
        c->remainder = c->dividend % c->divisor;
    } else if (b == -1) {
        c->quotient = -c->dividend;
        c->remainder = 0;
    } else {
        c->quotient = (uint32_t)(a / b);
        c->remainder = (uint32_t)(a % b);
    }
    c->div_csr = 3;
}

uint32_t sio_read(struct chip *c, uint32_t offset)
{
    if (offset >= 0x100 && offset < 0x180) {
        uint32_t bit = 1u << ((offset - 0x100) >> 2);
        if (c->spinlocks & bit) return 0;
        c->spinlocks |= bit;
        return bit;
    }
    switch (offset) {
    case 0x04: return gpio_in(c);
    case 0x08: return 2; /* QSPI pins: chip select is pulled up, so BOOTSEL reads as not pressed */
    case 0x10: case 0x14: case 0x18: case 0x1C: return c->out;
    case 0x20: case 0x24: case 0x28: case 0x2C: return c->oe;
    case 0x30: return c->hi_out;
    case 0x40: return c->hi_oe;
    case 0x50: return 2 | (c->fifo_n != 0); /* FIFO from a core 1 that says 0 when it comes out of reset */
    case 0x58:
        if (c->fifo_n) c->fifo_n--;
        return 0;
    case 0x5C: return c->spinlocks;
    case 0x60: case 0x68: return c->dividend;
    case 0x64: case 0x6C: return c->divisor;
    case 0x70: c->div_csr &= 1; return c->quotient;
    case 0x74: return c->remainder;
    case 0x78: return c->div_csr | 1;
    default: return 0;
    }
}

static void set_clear(uint32_t *word, uint32_t how, uint32_t value)
{
    *word = how == 0 ? value : how == 1 ? *word | value : how == 2 ? *word & ~value : *word ^ value;
}

void sio_write(struct chip *c, uint32_t offset, uint32_t value)
{
    if (offset >= 0x100 && offset < 0x180) {
        c->spinlocks &= ~(1u << ((offset - 0x100) >> 2));
        return;
    }
    switch (offset & ~15u) {
    case 0x10: set_clear(&c->out, offset >> 2 & 3, value & 0x3FFFFFFF); gpio_update(c); return;
    case 0x20: set_clear(&c->oe, offset >> 2 & 3, value & 0x3FFFFFFF); gpio_update(c); return;
    case 0x30: set_clear(&c->hi_out, offset >> 2 & 3, value & 63); return;
    case 0x40: set_clear(&c->hi_oe, offset >> 2 & 3, value & 63); return;
    }
    switch (offset) {
    case 0x60: c->dividend = value; divide(c, 0); break;
    case 0x64: c->divisor = value; divide(c, 0); break;
    case 0x68: c->dividend = value; divide(c, 1); break;
    case 0x6C: c->divisor = value; divide(c, 1); break;
    case 0x70: c->quotient = value; c->div_csr = 3; break;
    case 0x74: c->remainder = value; c->div_csr = 3; break;
    }
}

static uint32_t raw_bits(struct chip *c, uint32_t word)
{
    uint32_t raw = c->edges[word];

    for (uint32_t k = 0; k < 8 && word * 8 + k < N_PINS; k++)
        raw |= (c->s.levels >> (word * 8 + k) & 1 ? LEVEL_HIGH : LEVEL_LOW) << 4 * k;
    return raw;
}

uint32_t io_read(struct chip *c, uint32_t offset)
{
    uint32_t word = offset >> 2 & 3;

    if (offset < 8 * N_PINS) {
        uint32_t pin = offset >> 3, level = c->s.levels >> pin & 1;
        if (offset & 4) return c->pin_ctrl[pin];
        return level << 17 | level << 19 | (c->oe >> pin & 1) << 13 | (c->out >> pin & 1) << 9;
    }
    switch (offset & ~15u) {
    case 0xF0: return raw_bits(c, word);
    case 0x100: return c->inte[word];
    case 0x110: return c->intf[word];
    case 0x120: return (raw_bits(c, word) & c->inte[word]) | c->intf[word];
    default: return 0;
    }
}

void io_write(struct chip *c, uint32_t offset, uint32_t value, uint32_t address)
{
    uint32_t word = offset >> 2 & 3;

    if (offset < 8 * N_PINS) {
        if (offset & 4) {
            c->pin_ctrl[offset >> 3] = atomic_value(c->pin_ctrl[offset >> 3], address, value);
            gpio_update(c);
        }
        return;
    }
    switch (offset & ~15u) {
    case 0xF0: c->edges[word] &= ~(value & 0xCCCCCCCCu); break;
    case 0x100: c->inte[word] = atomic_value(c->inte[word], address, value); break;
    case 0x110: c->intf[word] = atomic_value(c->intf[word], address, value); break;
    }
    io_line(c);
}

uint32_t pads_read(struct chip *c, uint32_t offset)
{
    if (offset >= 4 && offset < 4 + 4 * N_PINS) return c->pad[(offset - 4) >> 2];
    return offset == 0 ? 0 : c->pad[N_PINS];
}

void pads_write(struct chip *c, uint32_t offset, uint32_t value, uint32_t address)
{
    if (offset < 4 || offset >= 4 + 4 * N_PINS) return;
    c->pad[(offset - 4) >> 2] = atomic_value(c->pad[(offset - 4) >> 2], address, value);
    gpio_update(c);
}
