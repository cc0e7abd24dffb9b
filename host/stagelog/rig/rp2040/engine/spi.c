/* The two PL022 SPI masters and the devices that hang on them.
 *
 * A word takes its bits at the programmed rate. In Motorola format with SPH=0 there are one and a half clocks
 * more before the next word, while the PL022 pulses its own frame select (RP2040 datasheet, 4.4.3.10; seen on
 * a board in raspberrypi/pico-examples#285). With SPH=1 words follow each other without a pause.
 */
#include "chip.h"

enum { CR0 = 0, CR1 = 4, DR = 8, SR = 12, CPSR = 16, IMSC = 20, RIS = 24, MIS = 28, ICR = 32, DMACR = 36 };
enum { ROR = 1, RT = 2, RX_HALF = 4, TX_HALF = 8 };

static uint64_t bit_time(struct chip *c, struct spi *s)
{
    uint32_t divisor = s->cpsr < 2 ? 2 : s->cpsr;

    return c->s.peri * divisor * (1 + (s->cr0 >> 8 & 0xFF));
}

static void start(struct chip *c, struct spi *s, uint64_t at)
{
    uint64_t bit = bit_time(c, s), pause = s->gap && !(s->cr0 >> 7 & 1) ? bit * 3 / 2 : 0;

    if (s->shifting || !s->tx_n || !(s->cr1 & 2)) return;
    s->word = s->tx[s->tx_at];
    s->tx_at = (s->tx_at + 1) & 7;
    s->tx_n--;
    s->shifting = 1;
    s->done = at + pause + bit * ((s->cr0 & 15) + 1);
    if (s->done < c->next) c->next = s->done;
    c->attention = 1;
}

static void update(struct chip *c, struct spi *s)
{
    s->ris = (s->ris & (ROR | RT)) | (s->tx_n <= 4 ? TX_HALF : 0) | (s->rx_n >= 4 ? RX_HALF : 0);
    set_line(c, IRQ_SPI0 + (uint32_t)(s - c->spi), (s->ris & s->imsc) != 0);
    dma_pump(c);
}

/* One word goes out and one comes in. */
static uint32_t exchange(struct chip *c, struct spi *s, uint32_t word)
{
    struct spi_device *d = &s->device;

    if (d->cs >= N_PINS || (s->cr0 >> 6 & 1) != (s->cr0 >> 7 & 1)) return 0xFF; /* modes 0 and 3 only */
    if (!d->selected) {
        d->idle_bytes++;
        return 0xFF;
    }
    d->bytes++;
    if (d->at < d->count) {
        if (d->break_on_command && word != 0xFF) {
            d->count = d->at;
        } else {
            uint32_t answer = d->out ? d->out[d->at] : 0xFF;
            if (d->in) d->in[d->at] = (uint8_t)word;
            d->at++;
            return answer;
        }
    }
    if (word == 0xFF && c->s.now < d->busy_until) return d->busy_byte;
    c->attention = 1;
    return c->spi_byte((uint32_t)(s - c->spi), word) & 0xFF;
}

void spi_events(struct chip *c, uint32_t unit)
{
    struct spi *s = &c->spi[unit];
    uint64_t done = s->done;
    uint32_t answer;

    if (!s->shifting || done > c->s.now) return;
    answer = s->cr1 & 1 ? s->word : exchange(c, s, s->word);
    if (s->rx_n < 8) s->rx[(s->rx_at + s->rx_n++) & 7] = (uint16_t)answer;
    else s->ris |= ROR;
    update(c, s);
    s->shifting = 0;
    s->gap = s->tx_n != 0;
    start(c, s, done);
    update(c, s);
}

/* Whether the FIFO behind a DMA request can take or give a word. */
uint32_t spi_ready(struct chip *c, uint32_t request)
{
    struct spi *s = &c->spi[request >> 1 & 1];

    if (request & 1) return s->rx_n && s->dmacr & 1;
    return s->tx_n < 8 && s->dmacr >> 1 & 1;
}

uint32_t spi_read(struct chip *c, uint32_t unit, uint32_t offset)
{
    static const uint8_t id[8] = {0x22, 0x10, 0x34, 0x00, 0x0D, 0xF0, 0x05, 0xB1};
    struct spi *s = &c->spi[unit];

    switch (offset) {
    case CR0: return s->cr0;
    case CR1: return s->cr1;
    case DR: {
        uint32_t word;
        if (!s->rx_n) return 0;
        word = s->rx[s->rx_at];
        s->rx_at = (s->rx_at + 1) & 7;
        s->rx_n--;
        update(c, s);
        return word;
    }
    case SR:
        return (s->shifting || s->tx_n) << 4 | (s->rx_n == 8) << 3 | (s->rx_n != 0) << 2 | (s->tx_n < 8) << 1 |
               (s->tx_n == 0);
    case CPSR: return s->cpsr;
    case IMSC: return s->imsc;
    case RIS: return s->ris;
    case MIS: return s->ris & s->imsc;
    case DMACR: return s->dmacr;
    default: return offset >= 0xFE0 ? id[(offset - 0xFE0) >> 2 & 7] : 0;
    }
}

void spi_write(struct chip *c, uint32_t unit, uint32_t offset, uint32_t value, uint32_t address)
{
    struct spi *s = &c->spi[unit];

    switch (offset) {
    case CR0: s->cr0 = atomic_value(s->cr0, address, value) & 0xFFFF; return;
    case CR1: s->cr1 = atomic_value(s->cr1, address, value) & 15; start(c, s, c->s.now); return;
    case DR:
        if (s->tx_n == 8) return;
        s->tx[(s->tx_at + s->tx_n++) & 7] = (uint16_t)(value & ((2u << (s->cr0 & 15)) - 1));
        if (!s->shifting) s->gap = 0;
        start(c, s, c->s.now);
        break;
    case CPSR: s->cpsr = atomic_value(s->cpsr, address, value) & 0xFE; return;
    case IMSC: s->imsc = atomic_value(s->imsc, address, value) & 15; break;
    case ICR: s->ris &= ~(value & (ROR | RT)); break;
    case DMACR: s->dmacr = atomic_value(s->dmacr, address, value) & 3; break;
    default: return;
    }
    update(c, s);
}

/* Return the femtoseconds of one bit on an SPI, as it is set up now. */
uint64_t chip_spi_bit(struct chip *c, uint32_t unit)
{
    return bit_time(c, &c->spi[unit]);
}
