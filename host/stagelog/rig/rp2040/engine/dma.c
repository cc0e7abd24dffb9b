/* Twelve DMA channels with chaining, rings and the sniffer.
 *
 * Paced by a FIFO of an SPI or a PIO a word moves the moment the FIFO asks. Unpaced, all words move at once and the channel
 * stays busy for one core cycle a word. Not modelled: pacing timers, other peripherals' requests, bus contention.
 */
#include "chip.h"

enum { EN = 1, INCR_READ = 1 << 4, INCR_WRITE = 1 << 5, RING_SEL = 1 << 10, IRQ_QUIET = 1 << 21, BSWAP = 1 << 22,
       SNIFF_EN = 1 << 23, BUSY = 1 << 24 };
enum { TREQ_PIO_END = 16, TREQ_SPI0_TX = 16, TREQ_SPI1_RX = 19, TREQ_NONE = 63 };
enum { SNIFF_ON = 1, SNIFF_REVERSE = 1 << 10, SNIFF_INVERT = 1 << 11 };

static void lines(struct chip *c)
{
    struct dma *d = &c->dma;

    set_line(c, IRQ_DMA0, ((d->intr & d->inte[0]) | d->intf[0]) != 0);
    set_line(c, IRQ_DMA1, ((d->intr & d->inte[1]) | d->intf[1]) != 0);
}

static uint32_t reverse(uint32_t value, uint32_t bits)
{
    uint32_t result = 0;

    for (uint32_t i = 0; i < bits; i++) result |= (value >> i & 1) << (bits - 1 - i);
    return result;
}

static void sniff(struct dma *d, uint32_t value, uint32_t bytes)
{
    uint32_t kind = d->sniff_ctrl >> 5 & 15;

    if (kind == 15) {
        d->sniff_data += value;
        return;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        uint32_t byte = value >> 8 * i & 0xFF, top = kind < 2 ? 31 : 15, poly = kind < 2 ? 0x04C11DB7 : 0x1021;
        if (kind == 14) {
            d->sniff_data ^= (uint32_t)__builtin_parity(byte);
            continue;
        }
        if (kind & 1) byte = reverse(byte, 8);
        d->sniff_data ^= byte << (top - 7);
        for (int k = 0; k < 8; k++) d->sniff_data = d->sniff_data << 1 ^ (d->sniff_data >> top & 1 ? poly : 0);
        if (kind >= 2) d->sniff_data &= 0xFFFF;
    }
}

static uint32_t sniffed(struct dma *d)
{
    uint32_t value = d->sniff_data;

    if (d->sniff_ctrl & SNIFF_REVERSE) value = reverse(value, 32);
    return d->sniff_ctrl & SNIFF_INVERT ? ~value : value;
}

static uint32_t step_address(struct dma_channel *ch, uint32_t address, uint32_t bytes, uint32_t is_write)
{
    uint32_t bits = ch->ctrl >> 6 & 15, mask = (1u << bits) - 1;

    if (!(ch->ctrl & (is_write ? INCR_WRITE : INCR_READ))) return address;
    if (bits && (ch->ctrl >> 10 & 1) == is_write) return (address & ~mask) | ((address + bytes) & mask);
    return address + bytes;
}

static void move(struct chip *c, uint32_t index)
{
    struct dma_channel *ch = &c->dma.channel[index];
    uint32_t bytes = 1u << (ch->ctrl >> 2 & 3), value = bus_read(c, ch->read, bytes);

    if (ch->ctrl & BSWAP) value = bytes == 4 ? __builtin_bswap32(value) : bytes == 2 ? __builtin_bswap16((uint16_t)value) : value;
    if (ch->ctrl & SNIFF_EN && c->dma.sniff_ctrl & SNIFF_ON && (c->dma.sniff_ctrl >> 1 & 15) == index)
        sniff(&c->dma, value, bytes);
    bus_write(c, ch->write, value, bytes);
    ch->read = step_address(ch, ch->read, bytes, 0);
    ch->write = step_address(ch, ch->write, bytes, 1);
    ch->count--;
}

static void trigger(struct chip *c, uint32_t index);

static void finish(struct chip *c, uint32_t index)
{
    struct dma_channel *ch = &c->dma.channel[index];
    uint32_t chain = ch->ctrl >> 11 & 15;

    ch->ctrl &= ~BUSY;
    ch->done = 0;
    if (!(ch->ctrl & IRQ_QUIET)) {
        c->dma.intr |= 1u << index;
        lines(c);
    }
    if (chain != index && chain < N_DMA) trigger(c, chain);
}

static uint32_t request_of(struct dma_channel *ch)
{
    return ch->ctrl >> 15 & 63;
}

static void trigger(struct chip *c, uint32_t index)
{
    struct dma_channel *ch = &c->dma.channel[index];

    if (!(ch->ctrl & EN) || ch->ctrl & BUSY) return;
    ch->count = ch->reload;
    if (!ch->count) return;
    ch->ctrl |= BUSY;
    if (request_of(ch) == TREQ_NONE) {
        ch->done = c->s.now + (ch->count + 4) * c->s.cycle;
        while (ch->count) move(c, index);
        schedule(c);
    }
}

static uint32_t is_asked(struct chip *c, uint32_t request)
{
    return request < TREQ_PIO_END ? pio_ready(c, request) : spi_ready(c, request - TREQ_SPI0_TX);
}

/* Move what the FIFOs are ready for. */
void dma_pump(struct chip *c)
{
    struct dma *d = &c->dma;

    if (d->pumping) {
        d->again = 1;
        return;
    }
    d->pumping = 1;
    do {
        d->again = 0;
        for (uint32_t i = 0; i < N_DMA; i++) {
            struct dma_channel *ch = &d->channel[i];
            uint32_t request = request_of(ch);
            if ((ch->ctrl & (EN | BUSY)) != (EN | BUSY) || request > TREQ_SPI1_RX) continue;
            while (ch->count && is_asked(c, request)) move(c, i);
            if (!ch->count) finish(c, i);
        }
    } while (d->again);
    d->pumping = 0;
}

void dma_events(struct chip *c)
{
    for (uint32_t i = 0; i < N_DMA; i++)
        if (c->dma.channel[i].done && c->dma.channel[i].done <= c->s.now) finish(c, i);
    dma_pump(c);
}

/* Which register an offset of a channel means: 0 read, 1 write, 2 count, 3 ctrl; the last of each row triggers. */
static const uint8_t registers[16] = {0, 1, 2, 3, 3, 0, 1, 2, 3, 2, 0, 1, 3, 1, 2, 0};

static uint32_t channel_read(struct dma_channel *ch, uint32_t offset)
{
    switch (registers[offset >> 2 & 15]) {
    case 0: return ch->read;
    case 1: return ch->write;
    case 2: return ch->count;
    default: return ch->ctrl;
    }
}

uint32_t dma_read(struct chip *c, uint32_t offset)
{
    struct dma *d = &c->dma;

    if (offset < N_DMA * 0x40) return channel_read(&d->channel[offset >> 6], offset & 63);
    if (offset >= 0x800) return offset & 4 ? d->channel[(offset - 0x800) / 0x40 % N_DMA].reload : 0;
    switch (offset) {
    case 0x400: return d->intr;
    case 0x404: return d->inte[0];
    case 0x408: return d->intf[0];
    case 0x40C: return (d->intr & d->inte[0]) | d->intf[0];
    case 0x414: return d->inte[1];
    case 0x418: return d->intf[1];
    case 0x41C: return (d->intr & d->inte[1]) | d->intf[1];
    case 0x420: case 0x424: case 0x428: case 0x42C: return d->timers[(offset - 0x420) >> 2];
    case 0x434: return d->sniff_ctrl;
    case 0x438: return sniffed(d);
    case 0x448: return N_DMA;
    default: return 0;
    }
}

static void channel_write(struct chip *c, uint32_t index, uint32_t offset, uint32_t value, uint32_t address)
{
    struct dma_channel *ch = &c->dma.channel[index];
    uint32_t old = channel_read(ch, offset);

    value = atomic_value(old, address, value);
    switch (registers[offset >> 2 & 15]) {
    case 0: ch->read = value; break;
    case 1: ch->write = value; break;
    case 2: ch->reload = value; break;
    default: ch->ctrl = (ch->ctrl & BUSY) | (value & 0xFFFFFF); break;
    }
    if ((offset & 15) == 12 && value) trigger(c, index);
    dma_pump(c);
}

void dma_write(struct chip *c, uint32_t offset, uint32_t value, uint32_t address)
{
    struct dma *d = &c->dma;

    if (offset < N_DMA * 0x40) {
        channel_write(c, offset >> 6, offset & 63, value, address);
        return;
    }
    switch (offset) {
    case 0x400: case 0x40C: case 0x41C: d->intr &= ~value; break;
    case 0x404: d->inte[0] = atomic_value(d->inte[0], address, value) & 0xFFFF; break;
    case 0x408: d->intf[0] = atomic_value(d->intf[0], address, value) & 0xFFFF; break;
    case 0x414: d->inte[1] = atomic_value(d->inte[1], address, value) & 0xFFFF; break;
    case 0x418: d->intf[1] = atomic_value(d->intf[1], address, value) & 0xFFFF; break;
    case 0x420: case 0x424: case 0x428: case 0x42C: d->timers[(offset - 0x420) >> 2] = value; break;
    case 0x430:
        for (uint32_t i = 0; i < N_DMA; i++) if (value >> i & 1) trigger(c, i);
        dma_pump(c);
        break;
    case 0x434: d->sniff_ctrl = atomic_value(d->sniff_ctrl, address, value) & 0xFFF; break;
    case 0x438: d->sniff_data = atomic_value(d->sniff_data, address, value); break;
    case 0x444:
        for (uint32_t i = 0; i < N_DMA; i++)
            if (value >> i & 1) { d->channel[i].ctrl &= ~BUSY; d->channel[i].done = 0; d->channel[i].count = 0; }
        schedule(c);
        break;
    }
    lines(c);
}
