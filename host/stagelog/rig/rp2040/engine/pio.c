/* The two PIO blocks, and waves: levels that a pin takes at given times.
 *
 * A state machine runs ahead of the core up to its next push into the RX FIFO or the next edge of a wave, at most
 * LOOK_AHEAD; what it was before is kept. Whoever touches the block earlier gets it back and run to that moment.
 * Inputs pass the two flip-flops of the synchroniser. All instructions, both FIFOs and their joins, autopush, autopull
 * and the fractional divider are there. Not modelled: interrupts of a block, what it drives (the registers show it,
 * the pins do not follow).
 */
#include "chip.h"

#define LOOK_AHEAD (100 * FS_PER_US)

enum { JMP, WAIT, IN, OUT, PUSH_PULL, MOV, IRQ, SET };
enum { CTRL = 0, FSTAT = 4, FDEBUG = 8, FLEVEL = 12, TXF = 0x10, RXF = 0x20, FLAGS = 0x30, FORCE = 0x34, BYPASS = 0x38,
       PADOUT = 0x3C, PADOE = 0x40, CFGINFO = 0x44, MEMORY = 0x48, MACHINES = 0xC8, MACHINES_END = 0x128 };
enum { CLKDIV = 0, EXECCTRL = 4, SHIFTCTRL = 8, ADDR = 12, INSTR = 16, PINCTRL = 20 };
enum { AUTOPUSH = 1 << 16, AUTOPULL = 1 << 17, IN_RIGHT = 1 << 18, OUT_RIGHT = 1 << 19, JOIN_TX = 1 << 30 };
#define JOIN_RX (1u << 31)

static uint32_t mask_of(uint32_t bits)
{
    return bits >= 32 ? UINT32_MAX : (1u << bits) - 1;
}

static uint64_t time_of(const struct wave *w)
{
    return w->edges[w->at] & ~1ull;
}

static uint32_t rotate(uint32_t value, uint32_t by)
{
    by &= 31;
    return by ? value >> by | value << (32 - by) : value;
}

static uint32_t rx_depth(const struct machine *m)
{
    return m->shiftctrl & JOIN_RX ? 8 : m->shiftctrl & JOIN_TX ? 0 : 4;
}

static uint32_t tx_depth(const struct machine *m)
{
    return m->shiftctrl & JOIN_TX ? 8 : m->shiftctrl & JOIN_RX ? 0 : 4;
}

/* What the block's synchroniser shows at time t. */
static uint32_t inputs(struct chip *c, uint64_t t)
{
    uint32_t levels = c->s.levels;

    for (uint32_t i = 0; i < N_WAVES; i++) {
        struct wave *w = &c->waves[i];
        if (w->pin >= N_PINS || t >= w->changed_at + 2 * c->s.sys) continue;
        levels = (levels & ~(1u << w->pin)) | (t >= w->before_at + 2 * c->s.sys ? w->before : w->long_before) << w->pin;
    }
    return levels;
}

static uint64_t period(struct chip *c, struct machine *m)
{
    uint32_t whole = m->clkdiv >> 16, n = whole ? whole : 65536;

    m->fraction += m->clkdiv >> 8 & 0xFF;
    n += m->fraction >> 8;
    m->fraction &= 0xFF;
    return n * c->s.sys;
}

static void write_pins(uint32_t *word, uint32_t base, uint32_t count, uint32_t value)
{
    uint32_t mask = rotate(mask_of(count), 32 - base);

    *word = (*word & ~mask) | (rotate(value, 32 - base) & mask);
}

static uint32_t push(struct pio *p, struct machine *m, uint32_t blocks)
{
    if (m->rx_n >= rx_depth(m)) {
        p->fdebug |= 1u << m->index;
        if (blocks) return 0;
    } else {
        m->rx[(m->rx_at + m->rx_n++) & 7] = m->isr;
        m->pushed = 1;
    }
    m->isr = m->isr_n = 0;
    return 1;
}

static uint32_t pull(struct pio *p, struct machine *m, uint32_t blocks)
{
    if (!m->tx_n) {
        p->fdebug |= 1u << (24 + m->index);
        if (blocks) return 0;
        m->osr = m->x;
    } else {
        m->osr = m->tx[m->tx_at];
        m->tx_at = (m->tx_at + 1) & 7;
        m->tx_n--;
        m->pushed = 1; /* room in the FIFO may be a DMA request, too */
    }
    m->osr_n = 0;
    return 1;
}

static uint32_t push_threshold(const struct machine *m)
{
    uint32_t n = m->shiftctrl >> 20 & 31;
    return n ? n : 32;
}

static uint32_t pull_threshold(const struct machine *m)
{
    uint32_t n = m->shiftctrl >> 25 & 31;
    return n ? n : 32;
}

static uint32_t status(const struct machine *m)
{
    uint32_t n = m->execctrl & 15;
    return (m->execctrl >> 4 & 1 ? m->rx_n < n : m->tx_n < n) ? UINT32_MAX : 0;
}

static uint32_t irq_index(const struct machine *m, uint32_t n)
{
    return n & 16 ? (n & 4) | ((n + m->index) & 3) : n & 7;
}

static uint32_t jumps(struct machine *m, uint32_t condition, uint32_t pins)
{
    switch (condition) {
    case 0: return 1;
    case 1: return !m->x;
    case 2: return m->x-- != 0;
    case 3: return !m->y;
    case 4: return m->y-- != 0;
    case 5: return m->x != m->y;
    case 6: return pins >> (m->execctrl >> 24 & 31) & 1;
    default: return m->osr_n < pull_threshold(m);
    }
}

static void shift_in(struct machine *m, uint32_t value, uint32_t bits)
{
    value &= mask_of(bits);
    if (m->shiftctrl & IN_RIGHT) m->isr = bits == 32 ? value : m->isr >> bits | value << (32 - bits);
    else m->isr = bits == 32 ? value : m->isr << bits | value;
    m->isr_n = m->isr_n + bits > 32 ? 32 : m->isr_n + bits;
}

static uint32_t shift_out(struct machine *m, uint32_t bits)
{
    uint32_t value = m->shiftctrl & OUT_RIGHT ? m->osr & mask_of(bits) : bits == 32 ? m->osr : m->osr >> (32 - bits);

    if (m->shiftctrl & OUT_RIGHT) m->osr = bits == 32 ? 0 : m->osr >> bits;
    else m->osr = bits == 32 ? 0 : m->osr << bits;
    m->osr_n = m->osr_n + bits > 32 ? 32 : m->osr_n + bits;
    return value;
}

static uint32_t source(const struct machine *m, uint32_t which, uint32_t pins)
{
    switch (which) {
    case 0: return rotate(pins, m->pinctrl >> 15 & 31);
    case 1: return m->x;
    case 2: return m->y;
    case 5: return status(m);
    case 6: return m->isr;
    case 7: return m->osr;
    default: return 0;
    }
}

/* Do one instruction at this moment; 0 if it has to be tried again at the next clock. */
static uint32_t execute_one(struct pio *p, struct machine *m, uint32_t op, uint32_t pins)
{
    uint32_t what = op >> 5 & 7, n = op & 31, bits = n ? n : 32, value;

    switch (op >> 13) {
    case JMP:
        if (jumps(m, what, pins)) {
            m->pc = n;
            m->jumped = 1;
        }
        return 1;
    case WAIT:
        if ((what & 3) == 0) value = pins >> n & 1;
        else if ((what & 3) == 1) value = rotate(pins, m->pinctrl >> 15 & 31) >> n & 1;
        else {
            uint32_t bit = 1u << irq_index(m, n);
            value = (p->irq & bit) != 0;
            if (value && what >> 2) p->irq &= ~bit;
        }
        return value == what >> 2;
    case IN:
        if (!m->in_done) shift_in(m, source(m, what, pins), bits);
        m->in_done = 0;
        if (m->shiftctrl & AUTOPUSH && m->isr_n >= push_threshold(m) && !push(p, m, 1)) {
            m->in_done = 1;
            return 0;
        }
        return 1;
    case OUT:
        if (m->shiftctrl & AUTOPULL && m->osr_n >= pull_threshold(m)) {
            pull(p, m, 1);
            return 0;
        }
        value = shift_out(m, bits);
        switch (what) {
        case 0: write_pins(&p->out, m->pinctrl & 31, m->pinctrl >> 20 & 63, value); break;
        case 1: m->x = value; break;
        case 2: m->y = value; break;
        case 4: write_pins(&p->oe, m->pinctrl & 31, m->pinctrl >> 20 & 63, value); break;
        case 5: m->pc = value & 31; m->jumped = 1; break;
        case 6: m->isr = value; m->isr_n = bits; break;
        case 7: m->exec = value & 0xFFFF; m->has_exec = 1; break;
        }
        if (m->shiftctrl & AUTOPULL && m->osr_n >= pull_threshold(m)) pull(p, m, 1);
        return 1;
    case PUSH_PULL:
        if (what >> 2) {
            if (what & 2 && m->osr_n < pull_threshold(m)) return 1;
            return pull(p, m, what & 1);
        }
        if (what & 2 && m->isr_n < push_threshold(m)) return 1;
        return push(p, m, what & 1);
    case MOV:
        value = source(m, n & 7, pins);
        if (n >> 3 == 1) value = ~value;
        if (n >> 3 == 2) {
            uint32_t turned = 0;
            for (uint32_t i = 0; i < 32; i++) turned |= (value >> i & 1) << (31 - i);
            value = turned;
        }
        switch (what) {
        case 0: write_pins(&p->out, m->pinctrl & 31, m->pinctrl >> 20 & 63, value); break;
        case 1: m->x = value; break;
        case 2: m->y = value; break;
        case 4: m->exec = value & 0xFFFF; m->has_exec = 1; break;
        case 5: m->pc = value & 31; m->jumped = 1; break;
        case 6: m->isr = value; m->isr_n = 0; break;
        case 7: m->osr = value; m->osr_n = 0; break;
        }
        return 1;
    case IRQ: {
        uint32_t bit = 1u << irq_index(m, n);
        if (what & 2) {
            p->irq &= ~bit;
            return 1;
        }
        if (m->irq_waits) {
            if (p->irq & bit) return 0;
            m->irq_waits = 0;
            return 1;
        }
        p->irq |= bit;
        m->irq_waits = what & 1;
        return !m->irq_waits;
    }
    default:
        switch (what) {
        case 0: write_pins(&p->out, m->pinctrl >> 5 & 31, m->pinctrl >> 26 & 7, n); break;
        case 1: m->x = n; break;
        case 2: m->y = n; break;
        case 4: write_pins(&p->oe, m->pinctrl >> 5 & 31, m->pinctrl >> 26 & 7, n); break;
        }
        return 1;
    }
}

static void side_set(struct pio *p, struct machine *m, uint32_t field)
{
    uint32_t count = m->pinctrl >> 29, optional = m->execctrl >> 30 & 1, value;

    if (!count || (optional && !(field >> 4))) return;
    value = field >> (5 - count) & mask_of(count - optional);
    write_pins(m->execctrl >> 29 & 1 ? &p->oe : &p->out, m->pinctrl >> 10 & 31, count - optional, value);
}

/* Whether an instruction reads pins. */
static uint32_t sees(uint32_t op)
{
    switch (op >> 13) {
    case JMP: return (op >> 5 & 7) == 6;
    case WAIT: return (op >> 5 & 3) < 2;
    case IN: return (op >> 5 & 7) == 0;
    case MOV: return (op & 7) == 0;
    default: return 0;
    }
}

/* One clock of a state machine. */
static void clock_machine(struct chip *c, struct pio *p, struct machine *m)
{
    uint32_t op, field, count = m->pinctrl >> 29, from_memory = !m->has_exec;

    if (m->delay) {
        m->delay--;
    } else {
        op = from_memory ? p->memory[m->pc] : m->exec;
        field = op >> 8 & 31;
        m->has_exec = m->jumped = 0;
        if (count) side_set(p, m, field);
        if (execute_one(p, m, op, sees(op) ? inputs(c, m->at) : 0)) {
            m->delay = count ? field & mask_of(5 - count) : field;
            if (from_memory && !m->jumped)
                m->pc = m->pc == (m->execctrl >> 12 & 31) ? m->execctrl >> 7 & 31 : (m->pc + 1) & 31;
            if (m->has_exec) m->delay = 0;
        } else if (!from_memory) {
            m->exec = op;
            m->has_exec = 1;
        }
    }
    m->at += period(c, m);
}

static struct machine *machine_of(struct chip *c, uint32_t i)
{
    return &c->pio[i >> 2].machine[i & 3];
}

static uint64_t next_edge(struct chip *c)
{
    uint64_t next = NEVER;

    for (uint32_t i = 0; i < N_WAVES; i++) {
        struct wave *w = &c->waves[i];
        if (w->at < w->count && time_of(w) < next) next = time_of(w);
    }
    return next;
}

/* Bring a block to this moment, not further: take back what ran ahead. Only its flags are shared between machines. */
static void sync(struct chip *c, struct pio *p)
{
    pio_events(c);
    for (uint32_t i = 0; i < 4; i++) {
        struct machine *m = &p->machine[i];
        if (!m->enabled) continue;
        if (m->ahead) *m = p->kept[i];
        while (m->at <= c->s.now) clock_machine(c, p, m);
        m->pushed = 0;
    }
}

/* Run a machine ahead to what concerns others. */
static void plan(struct chip *c, struct pio *p, uint32_t i)
{
    struct machine *m = &p->machine[i];
    uint64_t edge = next_edge(c), limit = c->s.now + LOOK_AHEAD;

    if (m->ahead) *m = p->kept[i];
    m->event = NEVER;
    if (!m->enabled) return;
    p->kept[i] = *m;
    m->ahead = 1;
    while (m->at < edge && m->at <= limit) {
        uint64_t at = m->at;
        clock_machine(c, p, m);
        if (m->pushed) {
            m->pushed = 0;
            m->event = at;
            break;
        }
    }
    if (m->event == NEVER && m->at < edge) m->event = m->at;
    if (m->event < c->next) c->next = m->event;
}

static void plan_all(struct chip *c)
{
    for (uint32_t i = 0; i < 8; i++) plan(c, &c->pio[i >> 2], i & 3);
}

static void settle(struct chip *c, uint32_t i)
{
    struct machine *m = machine_of(c, i);

    m->ahead = 0;
    m->event = NEVER;
}

static void apply_edges(struct chip *c, uint64_t t)
{
    for (uint32_t i = 0; i < N_WAVES; i++) {
        struct wave *w = &c->waves[i];
        while (w->at < w->count && time_of(w) <= t) {
            uint32_t level = w->edges[w->at] & 1, now = c->s.levels >> w->pin & 1;
            if (level != now) {
                w->long_before = w->before;
                w->before_at = w->changed_at;
                w->before = now;
                w->changed_at = time_of(w);
            }
            c->drive_level = (c->drive_level & ~(1u << w->pin)) | level << w->pin;
            c->driven |= 1u << w->pin;
            w->at++;
        }
    }
    gpio_update(c);
}

/* Everything up to now, in the order of time. */
void pio_events(struct chip *c)
{
    for (;;) {
        uint64_t edge = next_edge(c), first = NEVER;
        uint32_t which = 0;

        for (uint32_t i = 0; i < 8; i++)
            if (machine_of(c, i)->event < first) first = machine_of(c, which = i)->event;
        if (first <= c->s.now && first <= edge) {
            settle(c, which);
            dma_pump(c);
            plan(c, &c->pio[which >> 2], which & 3);
        } else if (edge <= c->s.now) {
            for (uint32_t i = 0; i < 8; i++) settle(c, i); /* all of them ran up to this edge */
            apply_edges(c, edge);
            plan_all(c);
        } else {
            return;
        }
    }
}

uint64_t pio_next(struct chip *c)
{
    uint64_t next = next_edge(c);

    for (uint32_t i = 0; i < 8; i++)
        if (machine_of(c, i)->event < next) next = machine_of(c, i)->event;
    return next;
}

/* Whether a FIFO asks the DMA: request 0..3 TX, 4..7 RX of block 0, 8.. the same of block 1. */
uint32_t pio_ready(struct chip *c, uint32_t request)
{
    struct pio *p = &c->pio[request >> 3];
    struct machine *m = &p->machine[request & 3];

    if (m->ahead) m = &p->kept[request & 3];
    return request & 4 ? m->rx_n != 0 : m->tx_n < tx_depth(m);
}

static uint32_t machine_read(struct pio *p, struct machine *m, uint32_t offset)
{
    switch (offset) {
    case CLKDIV: return m->clkdiv;
    case EXECCTRL: return m->execctrl | (uint32_t)(m->has_exec != 0) << 31;
    case SHIFTCTRL: return m->shiftctrl;
    case ADDR: return m->pc;
    case INSTR: return p->memory[m->pc];
    default: return m->pinctrl;
    }
}

static uint32_t per_machine(struct pio *p, uint32_t which)
{
    uint32_t word = 0;

    for (uint32_t i = 0; i < 4; i++) {
        struct machine *m = &p->machine[i];
        if (which == FLEVEL) word |= (m->tx_n | m->rx_n << 4) << 8 * i;
        else if (which == CTRL) word |= m->enabled << i;
        else
            word |= ((m->tx_n == 0) << 24 | (m->tx_n >= tx_depth(m)) << 16 | (m->rx_n == 0) << 8 |
                     (m->rx_n >= rx_depth(m))) << i;
    }
    return word;
}

static uint32_t pop(struct pio *p, struct machine *m)
{
    uint32_t word;

    if (!m->rx_n) {
        p->fdebug |= 1u << (8 + m->index);
        return 0;
    }
    word = m->rx[m->rx_at];
    m->rx_at = (m->rx_at + 1) & 7;
    m->rx_n--;
    return word;
}

uint32_t pio_read(struct chip *c, uint32_t block, uint32_t offset)
{
    struct pio *p = &c->pio[block];
    uint32_t value = 0;

    sync(c, p);
    if (offset >= MEMORY && offset < MACHINES) value = 0; /* the chip cannot read its programs back */
    else if (offset >= MACHINES && offset < MACHINES_END)
        value = machine_read(p, &p->machine[(offset - MACHINES) / 24], (offset - MACHINES) % 24);
    else if (offset >= RXF && offset < FLAGS) value = pop(p, &p->machine[offset >> 2 & 3]);
    else
        switch (offset) {
        case CTRL: case FSTAT: case FLEVEL: value = per_machine(p, offset); break;
        case FDEBUG: value = p->fdebug; break;
        case FLAGS: value = p->irq; break;
        case BYPASS: value = p->bypass; break;
        case PADOUT: value = p->out; break;
        case PADOE: value = p->oe; break;
        case CFGINFO: value = 32 << 16 | 4 << 8 | 4; break;
        }
    for (uint32_t i = 0; i < 4; i++) plan(c, p, i);
    dma_pump(c);
    return value;
}

static void control(struct chip *c, struct pio *p, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++) {
        struct machine *m = &p->machine[i];
        uint32_t enable = value >> i & 1;

        if (value >> (4 + i) & 1) {
            m->isr = m->isr_n = m->delay = m->has_exec = m->in_done = m->irq_waits = 0;
            m->osr_n = 32;
        }
        if (value >> (8 + i) & 1) m->fraction = 0;
        if (enable && !m->enabled) m->at = (c->s.now / c->s.sys + 1) * c->s.sys;
        m->enabled = enable;
    }
}

static void machine_write(struct chip *c, struct pio *p, struct machine *m, uint32_t offset, uint32_t value,
                          uint32_t address)
{
    uint32_t old = machine_read(p, m, offset);

    value = atomic_value(old, address, value);
    switch (offset) {
    case CLKDIV: m->clkdiv = value & 0xFFFFFF00u; break;
    case EXECCTRL: m->execctrl = value & 0x7FFFFFFF; break;
    case SHIFTCTRL:
        if ((value ^ old) & (JOIN_RX | JOIN_TX)) m->rx_n = m->tx_n = m->rx_at = m->tx_at = 0;
        m->shiftctrl = value;
        break;
    case INSTR:
        m->exec = value & 0xFFFF;
        m->has_exec = 1;
        m->delay = 0;
        if (!m->enabled) { /* executed at once, whether or not the machine runs */
            uint64_t at = m->at;
            m->at = c->s.now;
            clock_machine(c, p, m);
            m->delay = 0;
            m->at = at;
        }
        break;
    case PINCTRL: m->pinctrl = value; break;
    }
}

void pio_write(struct chip *c, uint32_t block, uint32_t offset, uint32_t value, uint32_t address)
{
    struct pio *p = &c->pio[block];

    sync(c, p);
    if (offset >= MEMORY && offset < MACHINES) p->memory[(offset - MEMORY) >> 2] = (uint16_t)value;
    else if (offset >= MACHINES && offset < MACHINES_END)
        machine_write(c, p, &p->machine[(offset - MACHINES) / 24], (offset - MACHINES) % 24, value, address);
    else if (offset >= TXF && offset < RXF) {
        struct machine *m = &p->machine[offset >> 2 & 3];
        if (m->tx_n < tx_depth(m)) m->tx[(m->tx_at + m->tx_n++) & 7] = value;
        else p->fdebug |= 1u << (16 + m->index);
    } else
        switch (offset) {
        case CTRL: control(c, p, atomic_value(per_machine(p, CTRL), address, value)); break;
        case FDEBUG: p->fdebug &= ~value; break;
        case FLAGS: p->irq &= ~value; break;
        case FORCE: p->irq |= value & 0xFF; break;
        case BYPASS: p->bypass = atomic_value(p->bypass, address, value); break;
        }
    for (uint32_t i = 0; i < 4; i++) plan(c, p, i);
    schedule(c);
    dma_pump(c);
}

void pio_reset(struct chip *c)
{
    memset(c->pio, 0, sizeof c->pio);
    for (uint32_t i = 0; i < 8; i++) {
        struct machine *m = machine_of(c, i);
        m->index = i & 3;
        m->clkdiv = 1 << 16;
        m->execctrl = 0x1F000;
        m->shiftctrl = IN_RIGHT | OUT_RIGHT;
        m->pinctrl = 0x14000000;
        m->osr_n = 32;
        m->event = NEVER;
    }
}

/* Bring both blocks to this moment, before something changes what they see; plan_all after it. */
static void sync_all(struct chip *c)
{
    for (uint32_t i = 0; i < N_PIO; i++) sync(c, &c->pio[i]);
}

/* Drive a pin from outside, or let it go (to its pull). */
void chip_drive(struct chip *c, uint32_t pin, uint32_t level, uint32_t driven)
{
    sync_all(c);
    c->drive_level = (c->drive_level & ~(1u << pin)) | (level & 1) << pin;
    c->driven = (c->driven & ~(1u << pin)) | (driven & 1) << pin;
    gpio_update(c);
    plan_all(c);
}

/* Let a pin take levels at times: edges[i] is the time in fs, its lowest bit replaced by the level, ascending. */
void chip_wave(struct chip *c, uint32_t index, uint32_t pin, const uint64_t *edges, uint64_t count)
{
    struct wave *w = &c->waves[index];

    sync_all(c);
    w->pin = pin;
    w->edges = edges;
    w->at = 0;
    w->count = count;
    w->before = w->long_before = c->s.levels >> pin & 1;
    plan_all(c);
    schedule(c);
}

/* Return how many edges of a wave are still to come. */
uint64_t chip_wave_left(struct chip *c, uint32_t index)
{
    return c->waves[index].count - c->waves[index].at;
}
