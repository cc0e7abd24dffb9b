/* The microsecond timer with its alarms, SysTick as a counter, and the NVIC's registers.
 *
 * The timer counts true microseconds whatever the core's clock does. SysTick never interrupts.
 */
#include "chip.h"

static uint64_t timer_us(struct chip *c)
{
    return (c->s.now - c->timer_epoch) / FS_PER_US;
}

static void timer_lines(struct chip *c)
{
    uint32_t status = (c->timer_intr & c->timer_inte) | c->timer_intf;

    for (uint32_t i = 0; i < N_ALARMS; i++) set_line(c, IRQ_TIMER0 + i, status >> i & 1);
}

uint32_t timer_read(struct chip *c, uint32_t offset)
{
    uint64_t us = timer_us(c);

    switch (offset) {
    case 0x08: return c->timer_latch;
    case 0x0C: c->timer_latch = (uint32_t)(us >> 32); return (uint32_t)us;
    case 0x10: case 0x14: case 0x18: case 0x1C: return c->alarm[(offset - 0x10) >> 2];
    case 0x20: return c->armed;
    case 0x24: return (uint32_t)(us >> 32);
    case 0x28: return (uint32_t)us;
    case 0x34: return c->timer_intr;
    case 0x38: return c->timer_inte;
    case 0x3C: return c->timer_intf;
    case 0x40: return (c->timer_intr & c->timer_inte) | c->timer_intf;
    default: return 0;
    }
}

void timer_write(struct chip *c, uint32_t offset, uint32_t value, uint32_t address)
{
    switch (offset) {
    case 0x10: case 0x14: case 0x18: case 0x1C: {
        uint32_t i = (offset - 0x10) >> 2, ahead = value - (uint32_t)timer_us(c);
        c->alarm[i] = value;
        c->armed |= 1u << i;
        c->alarm_at[i] = c->timer_epoch + (timer_us(c) + ahead) * FS_PER_US;
        schedule(c);
        return;
    }
    case 0x20: c->armed &= ~value; schedule(c); return;
    case 0x34: c->timer_intr &= ~value; break;
    case 0x38: c->timer_inte = atomic_value(c->timer_inte, address, value) & 15; break;
    case 0x3C: c->timer_intf = atomic_value(c->timer_intf, address, value) & 15; break;
    }
    timer_lines(c);
}

void timer_events(struct chip *c)
{
    for (uint32_t i = 0; i < N_ALARMS; i++) {
        if (c->armed >> i & 1 && c->alarm_at[i] <= c->s.now) {
            c->armed &= ~(1u << i);
            c->timer_intr |= 1u << i;
            timer_lines(c);
        }
    }
}

static uint32_t tick_value(struct chip *c)
{
    uint64_t cycles;

    if (!(c->tick_csr & 1)) return 0;
    cycles = (c->s.now - c->tick_start) / c->s.cycle;
    return c->tick_reload - (uint32_t)(cycles % (c->tick_reload + 1));
}

uint32_t ppb_read(struct chip *c, uint32_t offset)
{
    uint32_t value = 0;

    if (offset >= 0x400 && offset < 0x420) {
        for (uint32_t i = 0; i < 4; i++) value |= c->priority[offset - 0x400 + i] << (8 * i + 6);
        return value;
    }
    switch (offset) {
    case 0x010: return c->tick_csr;
    case 0x014: return c->tick_reload;
    case 0x018: return tick_value(c);
    case 0x01C: return 0x270F;
    case 0x100: case 0x180: return c->enabled;
    case 0x200: case 0x280: return c->pending;
    case 0xD00: return 0x410CC601;
    case 0xD04:
        return c->pend_sv << 28 | c->pend_tick << 26 | (c->pending != 0) << 22 | c->ipsr;
    case 0xD08: return c->vtor;
    case 0xD0C: return 0xFA050000;
    case 0xD1C: return c->shpr2;
    case 0xD20: return c->shpr3;
    default: return 0; /* no MPU, no debugger */
    }
}

void ppb_write(struct chip *c, uint32_t offset, uint32_t value)
{
    c->attention = 1;
    if (offset >= 0x400 && offset < 0x420) {
        for (uint32_t i = 0; i < 4; i++) c->priority[offset - 0x400 + i] = value >> (8 * i + 6) & 3;
        return;
    }
    switch (offset) {
    case 0x010: if (value & 1 && !(c->tick_csr & 1)) c->tick_start = c->s.now; c->tick_csr = value & 7; break;
    case 0x014: c->tick_reload = value & 0xFFFFFF; break;
    case 0x018: c->tick_start = c->s.now; break;
    case 0x100: c->enabled |= value; break;
    case 0x180: c->enabled &= ~value; break;
    case 0x200: c->pending |= value; break;
    case 0x280: c->pending = (c->pending & ~value) | (c->lines & value & ~c->active); break;
    case 0xD04:
        if (value >> 28 & 1) c->pend_sv = 1;
        if (value >> 27 & 1) c->pend_sv = 0;
        if (value >> 26 & 1) c->pend_tick = 1;
        if (value >> 25 & 1) c->pend_tick = 0;
        break;
    case 0xD08: c->vtor = value & 0xFFFFFF00u; break;
    case 0xD0C: if (value >> 16 == 0x05FA && value & 4) { c->s.reset_request = 1; c->s.stop = 1; } break;
    case 0xD1C: c->shpr2 = value; break;
    case 0xD20: c->shpr3 = value; break;
    }
}
