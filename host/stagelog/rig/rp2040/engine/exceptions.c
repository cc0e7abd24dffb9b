/* Exceptions of the core: priorities, stacking, faults. Entry takes 15 cycles, the way back 12.
 *
 * A fault inside the hard fault handler locks the core up and ends the run.
 */
#include "chip.h"

enum { CYCLES_ENTRY = 15, CYCLES_EXIT = 12 };
enum { THREAD_PRIORITY = 4 };
enum { EXC_HARDFAULT = 3, EXC_SVC = 11, EXC_PENDSV = 14, EXC_TICK = 15, EXC_IRQ = 16 };

int priority_of(struct chip *c, uint32_t exception)
{
    switch (exception) {
    case 0: return THREAD_PRIORITY;
    case 1: return -3;
    case 2: return -2;
    case EXC_HARDFAULT: return -1;
    case EXC_SVC: return c->shpr2 >> 30;
    case EXC_PENDSV: return c->shpr3 >> 22 & 3;
    case EXC_TICK: return c->shpr3 >> 30;
    default: return exception >= EXC_IRQ ? (int)c->priority[exception - EXC_IRQ] : THREAD_PRIORITY;
    }
}

/* Return the waiting exception of the highest priority below `limit`, or 0. */
uint32_t find_exception(struct chip *c, int limit)
{
    uint32_t found = 0, ready = c->pending & c->enabled;
    int best = limit;

    if (c->pend_svc && priority_of(c, EXC_SVC) < best) { found = EXC_SVC; best = priority_of(c, EXC_SVC); }
    if (c->pend_sv && priority_of(c, EXC_PENDSV) < best) { found = EXC_PENDSV; best = priority_of(c, EXC_PENDSV); }
    if (c->pend_tick && priority_of(c, EXC_TICK) < best) { found = EXC_TICK; best = priority_of(c, EXC_TICK); }
    while (ready) {
        uint32_t irq = __builtin_ctz(ready);
        ready &= ready - 1;
        if ((int)c->priority[irq] < best) {
            found = EXC_IRQ + irq;
            best = c->priority[irq];
        }
    }
    return found;
}

void use_stack(struct chip *c, uint32_t process)
{
    if ((c->control >> 1 & 1) != process) {
        uint32_t sp = c->r[13];
        c->r[13] = c->other_sp;
        c->other_sp = sp;
        c->control = (c->control & 1) | process << 1;
    }
}

void enter_exception(struct chip *c, uint32_t number)
{
    uint32_t pad = c->r[13] >> 2 & 1, frame = (c->r[13] - 32) & ~4u;
    uint32_t xpsr = c->n << 31 | c->z << 30 | c->c << 29 | c->v << 28 | 1u << 24 | pad << 9 | c->ipsr;
    uint32_t process = c->control >> 1 & 1;

    if (!c->ipsr) c->handler_start = c->s.now;
    c->r[13] = frame;
    for (uint32_t i = 0; i < 4; i++) bus_write(c, frame + 4 * i, c->r[i], 4);
    bus_write(c, frame + 16, c->r[12], 4);
    bus_write(c, frame + 20, c->r[14], 4);
    bus_write(c, frame + 24, c->r[15], 4);
    bus_write(c, frame + 28, xpsr, 4);
    c->r[14] = c->ipsr ? 0xFFFFFFF1u : process ? 0xFFFFFFFDu : 0xFFFFFFF9u;
    c->ipsr = number;
    use_stack(c, 0);
    c->event = 1;
    c->sleeping = 0;
    if (number == EXC_SVC) c->pend_svc = 0;
    else if (number == EXC_PENDSV) c->pend_sv = 0;
    else if (number == EXC_TICK) c->pend_tick = 0;
    else if (number >= EXC_IRQ) {
        c->pending &= ~(1u << (number - EXC_IRQ));
        c->active |= 1u << (number - EXC_IRQ);
    }
    c->r[15] = bus_read(c, c->vtor + 4 * number, 4) & ~1u;
    c->s.now += c->s.cycle * CYCLES_ENTRY;
    c->attention = 1;
}

void leave_exception(struct chip *c, uint32_t code)
{
    uint32_t frame, xpsr;

    if (c->ipsr >= EXC_IRQ) {
        uint32_t bit = 1u << (c->ipsr - EXC_IRQ);
        c->active &= ~bit;
        c->pending |= c->lines & bit;
    }
    use_stack(c, (code & 15) == 13);
    frame = c->r[13];
    for (uint32_t i = 0; i < 4; i++) c->r[i] = bus_read(c, frame + 4 * i, 4);
    c->r[12] = bus_read(c, frame + 16, 4);
    c->r[14] = bus_read(c, frame + 20, 4);
    c->r[15] = bus_read(c, frame + 24, 4) & ~1u;
    xpsr = bus_read(c, frame + 28, 4);
    c->r[13] = (frame + 32) | (xpsr >> 7 & 4);
    c->n = xpsr >> 31;
    c->z = xpsr >> 30 & 1;
    c->c = xpsr >> 29 & 1;
    c->v = xpsr >> 28 & 1;
    c->ipsr = xpsr & 63;
    c->event = 1;
    c->attention = 1;
    c->s.now += c->s.cycle * CYCLES_EXIT;
    if (!c->ipsr) c->s.handler += c->s.now - c->handler_start;
}

void fault(struct chip *c, uint32_t kind, uint32_t pc, uint32_t address)
{
    if (priority_of(c, c->ipsr) < 0) kind = FAULT_LOCKUP;
    c->s.fault = kind;
    c->s.fault_pc = pc;
    c->s.fault_address = address;
    c->on_fault(kind, pc, address);
    if (kind == FAULT_LOCKUP) {
        c->s.stop = 1;
        c->attention = 1;
        return;
    }
    c->r[15] = pc;
    enter_exception(c, EXC_HARDFAULT);
}
