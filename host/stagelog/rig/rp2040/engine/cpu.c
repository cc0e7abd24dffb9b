/* The Cortex-M0+ core: ARMv6-M instructions and sleep; exceptions.c has what interrupts them.
 *
 * Cycles follow the Cortex-M0+ technical reference (loads and stores 2, taken branches 2, BL 3), with SIO at 1 and
 * the APB bridge at 4 to read and 5 to write.
 */
#include "chip.h"

static inline uint32_t ok_address(struct chip *c, uint32_t pc, uint32_t address, uint32_t mask)
{
    if (!(address & mask)) return 1;
    fault(c, FAULT_BUS, pc, address);
    return 0;
}

static inline uint32_t access_cycles(uint32_t address, uint32_t apb)
{
    uint32_t region = address >> 28;
    return region == 0xD ? 1 : region == 4 ? apb : 2;
}

static inline uint32_t load(struct chip *c, uint32_t address, uint32_t bytes, uint32_t *cycles)
{
    uint32_t at = address - 0x20000000u;

    *cycles = 2;
    if (at < RAM_BYTES)
        return bytes == 4 ? get32(c->ram + at) : bytes == 2 ? get16(c->ram + at) : c->ram[at];
    *cycles = access_cycles(address, 4);
    return bus_read(c, address, bytes);
}

static inline uint32_t store(struct chip *c, uint32_t address, uint32_t value, uint32_t bytes)
{
    uint32_t at = address - 0x20000000u;

    if (at < RAM_BYTES) {
        memcpy(c->ram + at, &value, bytes);
        return 2;
    }
    bus_write(c, address, value, bytes);
    return access_cycles(address, 5);
}

static inline uint32_t add(struct chip *c, uint32_t a, uint32_t b, uint32_t carry)
{
    uint64_t sum = (uint64_t)a + b + carry;
    uint32_t result = (uint32_t)sum;

    c->n = result >> 31;
    c->z = !result;
    c->c = (uint32_t)(sum >> 32);
    c->v = (~(a ^ b) & (a ^ result)) >> 31;
    return result;
}

static inline uint32_t flags(struct chip *c, uint32_t result)
{
    c->n = result >> 31;
    c->z = !result;
    return result;
}

static uint32_t shift_by_register(struct chip *c, uint32_t kind, uint32_t value, uint32_t by)
{
    by &= 255;
    if (!by) return flags(c, value);
    switch (kind) {
    case 2: /* LSL */
        c->c = by <= 32 ? (uint32_t)((uint64_t)value << by >> 32) & 1 : 0;
        return flags(c, by < 32 ? value << by : 0);
    case 3: /* LSR */
        c->c = by <= 32 ? value >> (by - 1) & 1 : 0;
        return flags(c, by < 32 ? value >> by : 0);
    case 4: /* ASR */
        c->c = by < 32 ? value >> (by - 1) & 1 : value >> 31;
        return flags(c, (uint32_t)((int32_t)value >> (by < 32 ? by : 31)));
    default: /* ROR */
        by &= 31;
        value = by ? value >> by | value << (32 - by) : value;
        c->c = value >> 31;
        return flags(c, value);
    }
}

static void data_processing(struct chip *c, uint32_t op)
{
    uint32_t d = op & 7, a = c->r[d], b = c->r[op >> 3 & 7], kind = op >> 6 & 15;

    switch (kind) {
    case 0: c->r[d] = flags(c, a & b); break;
    case 1: c->r[d] = flags(c, a ^ b); break;
    case 2: case 3: case 4: case 7: c->r[d] = shift_by_register(c, kind, a, b); break;
    case 5: c->r[d] = add(c, a, b, c->c); break;
    case 6: c->r[d] = add(c, a, ~b, c->c); break;
    case 8: flags(c, a & b); break;
    case 9: c->r[d] = add(c, ~b, 0, 1); break;
    case 10: add(c, a, ~b, 1); break;
    case 11: add(c, a, b, 0); break;
    case 12: c->r[d] = flags(c, a | b); break;
    case 13: c->r[d] = flags(c, a * b); break;
    case 14: c->r[d] = flags(c, a & ~b); break;
    case 15: c->r[d] = flags(c, ~b); break;
    }
}

static uint32_t condition(struct chip *c, uint32_t code)
{
    uint32_t yes;

    switch (code >> 1) {
    case 0: yes = c->z; break;
    case 1: yes = c->c; break;
    case 2: yes = c->n; break;
    case 3: yes = c->v; break;
    case 4: yes = c->c && !c->z; break;
    case 5: yes = c->n == c->v; break;
    default: yes = !c->z && c->n == c->v; break;
    }
    return yes ^ (code & 1);
}

static void branch_exchange(struct chip *c, uint32_t target)
{
    if (c->ipsr && target >> 28 == 15) leave_exception(c, target);
    else c->r[15] = target & ~1u;
}

/* SXTH, CPS, REV, PUSH, POP, hints: the 1011 group. */
static uint32_t miscellaneous(struct chip *c, uint32_t op, uint32_t pc)
{
    uint32_t d = op & 7, b = c->r[op >> 3 & 7], cycles = 1, unused;

    switch (op >> 8 & 15) {
    case 0:
        c->r[13] += op & 0x80 ? -((op & 0x7F) << 2) : (op & 0x7F) << 2;
        return 1;
    case 2:
        switch (op >> 6 & 3) {
        case 0: c->r[d] = (uint32_t)(int16_t)b; break;
        case 1: c->r[d] = (uint32_t)(int8_t)b; break;
        case 2: c->r[d] = b & 0xFFFF; break;
        default: c->r[d] = b & 0xFF; break;
        }
        return 1;
    case 4: case 5: {
        uint32_t list = op & 0x1FF, at = c->r[13] - 4 * __builtin_popcount(list);
        c->r[13] = at;
        for (uint32_t i = 0; i < 8; i++)
            if (list >> i & 1) { store(c, at, c->r[i], 4); at += 4; cycles++; }
        if (list >> 8) { store(c, at, c->r[14], 4); cycles++; }
        return cycles;
    }
    case 6:
        c->primask = op >> 4 & 1;
        c->attention = 1;
        return 1;
    case 10:
        switch (op >> 6 & 3) {
        case 0: c->r[d] = __builtin_bswap32(b); return 1;
        case 1: c->r[d] = (b & 0xFF00FF00u) >> 8 | (b & 0x00FF00FFu) << 8; return 1;
        case 3: c->r[d] = (uint32_t)(int16_t)__builtin_bswap16((uint16_t)b); return 1;
        }
        break;
    case 12: case 13: {
        uint32_t list = op & 0xFF, at = c->r[13];
        for (uint32_t i = 0; i < 8; i++)
            if (list >> i & 1) { c->r[i] = load(c, at, 4, &unused); at += 4; cycles++; }
        if (op & 0x100) {
            uint32_t target = load(c, at, 4, &unused);
            c->r[13] = at + 4;
            branch_exchange(c, target);
            return cycles + 2;
        }
        c->r[13] = at;
        return cycles;
    }
    case 14:
        fault(c, FAULT_BREAK, pc, op & 0xFF);
        return 1;
    case 15:
        if (op == 0xBF30) { c->sleeping = 1; c->attention = 1; return 2; }
        if (op == 0xBF20) {
            if (c->event) c->event = 0;
            else { c->sleeping = 2; c->attention = 1; }
            return 2;
        }
        if (op == 0xBF40) c->event = 1;
        return 1;
    }
    fault(c, FAULT_UNDEFINED, pc, op);
    return 1;
}

static uint32_t read_special(struct chip *c, uint32_t which)
{
    switch (which) {
    case 0: return c->n << 31 | c->z << 30 | c->c << 29 | c->v << 28;
    case 3: return c->n << 31 | c->z << 30 | c->c << 29 | c->v << 28 | 1u << 24 | c->ipsr;
    case 5: return c->ipsr;
    case 8: return c->control & 2 ? c->other_sp : c->r[13];
    case 9: return c->control & 2 ? c->r[13] : c->other_sp;
    case 16: return c->primask;
    case 20: return c->control;
    default: return 0;
    }
}

static void write_special(struct chip *c, uint32_t which, uint32_t value)
{
    switch (which) {
    case 0: case 1: case 2: case 3:
        c->n = value >> 31; c->z = value >> 30 & 1; c->c = value >> 29 & 1; c->v = value >> 28 & 1;
        break;
    case 8: *(c->control & 2 ? &c->other_sp : &c->r[13]) = value & ~3u; break;
    case 9: *(c->control & 2 ? &c->r[13] : &c->other_sp) = value & ~3u; break;
    case 16: c->primask = value & 1; c->attention = 1; break;
    case 20: if (!c->ipsr) { use_stack(c, value >> 1 & 1); c->control = (c->control & 2) | (value & 1); } break;
    }
}

static inline uint32_t fetch(struct chip *c, uint32_t pc)
{
    uint32_t at = pc - 0x10000000u;

    if (at < c->flash_bytes) {
        if (c->s.miss_cycles) cache_touch(c, at);
        return get16(c->flash + at);
    }
    at = pc - 0x20000000u;
    if (at < RAM_BYTES) return get16(c->ram + at);
    if (pc < ROM_BYTES) return get16(c->rom + pc);
    return bus_read(c, pc, 2);
}

static uint32_t wide(struct chip *c, uint32_t op, uint32_t pc)
{
    uint32_t second = fetch(c, c->r[15]);

    c->r[15] += 2;
    if ((second & 0xD000) == 0xD000) { /* BL */
        uint32_t s = op >> 10 & 1, i1 = !((second >> 13 & 1) ^ s), i2 = !((second >> 11 & 1) ^ s);
        uint32_t offset = (s ? 0xFF000000u : 0) | i1 << 23 | i2 << 22 | (op & 0x3FF) << 12 | (second & 0x7FF) << 1;
        c->r[14] = c->r[15] | 1;
        c->r[15] += offset;
        return 3;
    }
    if ((op & 0xFFE0) == 0xF380) { write_special(c, second & 0xFF, c->r[op & 15]); return 3; }
    if (op == 0xF3EF) { c->r[second >> 8 & 15] = read_special(c, second & 0xFF); return 3; }
    if (op == 0xF3BF) return 3; /* DSB, DMB, ISB */
    fault(c, FAULT_UNDEFINED, pc, op << 16 | second);
    return 1;
}

static uint32_t special_data(struct chip *c, uint32_t op)
{
    uint32_t m = op >> 3 & 15, d = (op & 7) | (op >> 4 & 8);
    uint32_t b = m == 15 ? c->r[15] + 2 : c->r[m], a = d == 15 ? c->r[15] + 2 : c->r[d];

    switch (op >> 8 & 3) {
    case 0: b += a; break;
    case 1: add(c, a, ~b, 1); return 1;
    case 2: break;
    case 3:
        if (op & 0x80) c->r[14] = c->r[15] | 1;
        branch_exchange(c, b);
        return 2;
    }
    if (d == 15) { c->r[15] = b & ~1u; return 2; }
    c->r[d] = d == 13 ? b & ~3u : b;
    return 1;
}

static uint32_t multiple(struct chip *c, uint32_t op, uint32_t is_load, uint32_t pc)
{
    uint32_t n = op >> 8 & 7, at = c->r[n], cycles = 1, unused;

    if (!ok_address(c, pc, at, 3)) return 1;
    for (uint32_t i = 0; i < 8; i++) {
        if (!(op >> i & 1)) continue;
        if (is_load) c->r[i] = load(c, at, 4, &unused);
        else store(c, at, c->r[i], 4);
        at += 4;
        cycles++;
    }
    if (!is_load || !(op >> n & 1)) c->r[n] = at;
    return cycles;
}

static inline uint32_t load_to(struct chip *c, uint32_t d, uint32_t address, uint32_t bytes, uint32_t pc)
{
    uint32_t cycles, value;

    if (!ok_address(c, pc, address, bytes - 1)) return 1;
    value = load(c, address, bytes, &cycles);
    c->r[d] = value;
    return cycles;
}

static inline uint32_t store_from(struct chip *c, uint32_t d, uint32_t address, uint32_t bytes, uint32_t pc)
{
    if (!ok_address(c, pc, address, bytes - 1)) return 1;
    return store(c, address, c->r[d], bytes);
}

static inline uint32_t execute(struct chip *c, uint32_t op, uint32_t pc)
{
    uint32_t d = op & 7, b = c->r[op >> 3 & 7], imm5 = op >> 6 & 31, d8 = op >> 8 & 7, imm8 = op & 255, cycles;

    switch (op >> 11) {
    case 0:
        if (imm5) c->c = b >> (32 - imm5) & 1;
        c->r[d] = flags(c, b << imm5);
        return 1;
    case 1:
        c->c = b >> ((imm5 - 1) & 31) & 1;
        c->r[d] = flags(c, imm5 ? b >> imm5 : 0);
        return 1;
    case 2:
        c->c = b >> ((imm5 - 1) & 31) & 1;
        c->r[d] = flags(c, (uint32_t)((int32_t)b >> (imm5 ? imm5 : 31)));
        return 1;
    case 3: {
        uint32_t operand = op & 0x400 ? op >> 6 & 7 : c->r[op >> 6 & 7];
        c->r[d] = op & 0x200 ? add(c, b, ~operand, 1) : add(c, b, operand, 0);
        return 1;
    }
    case 4: c->r[d8] = flags(c, imm8); return 1;
    case 5: add(c, c->r[d8], ~imm8, 1); return 1;
    case 6: c->r[d8] = add(c, c->r[d8], imm8, 0); return 1;
    case 7: c->r[d8] = add(c, c->r[d8], ~imm8, 1); return 1;
    case 8:
        if (op & 0x400) return special_data(c, op);
        data_processing(c, op);
        return 1;
    case 9: return load_to(c, d8, ((c->r[15] + 2) & ~3u) + (imm8 << 2), 4, pc);
    case 10: case 11: {
        uint32_t address = b + c->r[op >> 6 & 7];
        switch (op >> 9 & 7) {
        case 0: return store_from(c, d, address, 4, pc);
        case 1: return store_from(c, d, address, 2, pc);
        case 2: return store_from(c, d, address, 1, pc);
        case 3: cycles = load_to(c, d, address, 1, pc); c->r[d] = (uint32_t)(int8_t)c->r[d]; return cycles;
        case 4: return load_to(c, d, address, 4, pc);
        case 5: return load_to(c, d, address, 2, pc);
        case 6: return load_to(c, d, address, 1, pc);
        default: cycles = load_to(c, d, address, 2, pc); c->r[d] = (uint32_t)(int16_t)c->r[d]; return cycles;
        }
    }
    case 12: return store_from(c, d, b + (imm5 << 2), 4, pc);
    case 13: return load_to(c, d, b + (imm5 << 2), 4, pc);
    case 14: return store_from(c, d, b + imm5, 1, pc);
    case 15: return load_to(c, d, b + imm5, 1, pc);
    case 16: return store_from(c, d, b + (imm5 << 1), 2, pc);
    case 17: return load_to(c, d, b + (imm5 << 1), 2, pc);
    case 18: return store_from(c, d8, c->r[13] + (imm8 << 2), 4, pc);
    case 19: return load_to(c, d8, c->r[13] + (imm8 << 2), 4, pc);
    case 20: c->r[d8] = ((c->r[15] + 2) & ~3u) + (imm8 << 2); return 1;
    case 21: c->r[d8] = c->r[13] + (imm8 << 2); return 1;
    case 22: case 23: return miscellaneous(c, op, pc);
    case 24: return multiple(c, op, 0, pc);
    case 25: return multiple(c, op, 1, pc);
    case 26: case 27: {
        uint32_t code = op >> 8 & 15;
        if (code == 15) { c->pend_svc = 1; c->attention = 1; return 1; }
        if (code == 14) { fault(c, FAULT_UNDEFINED, pc, op); return 1; }
        if (!condition(c, code)) return 1;
        c->r[15] += 2 + ((uint32_t)(int8_t)imm8 << 1);
        return 2;
    }
    case 28: c->r[15] += 2 + (uint32_t)((int32_t)(op << 21) >> 20); return 2;
    case 30: return wide(c, op, pc);
    default: fault(c, FAULT_UNDEFINED, pc, op); return 1;
    }
}

void cpu_reset(struct chip *c)
{
    memset(c->r, 0, sizeof c->r);
    c->other_sp = c->n = c->z = c->c = c->v = c->primask = c->control = c->ipsr = 0;
    c->sleeping = c->event = 0;
    c->pending = c->enabled = c->active = 0;
    memset(c->priority, 0, sizeof c->priority);
    c->pend_sv = c->pend_svc = c->pend_tick = c->shpr2 = c->shpr3 = c->vtor = 0;
    c->tick_csr = 0;
    c->tick_reload = 0xFFFFFF;
    c->last_line = UINT32_MAX;
    memset(c->tags, 0, sizeof c->tags);
    c->r[13] = get32(c->rom) & ~3u;
    c->r[14] = 0;
    c->r[15] = get32(c->rom + 4) & ~1u;
    c->attention = 1;
}

/* Run until the deadline is reached or somebody asks to stop. */
void chip_run(struct chip *c)
{
    c->attention = 1;
    while (!c->s.stop && c->s.now < c->s.deadline) {
        uint64_t limit;

        if (c->s.now >= c->next) {
            spi_events(c, 0);
            spi_events(c, 1);
            timer_events(c);
            pio_events(c);
            dma_events(c);
            schedule(c);
            c->attention = 1;
            continue;
        }
        if (c->attention) {
            int limit_priority = priority_of(c, c->ipsr);
            uint32_t number;

            c->attention = 0;
            if (c->bus_error) {
                c->bus_error = 0;
                fault(c, FAULT_BUS, c->r[15], c->s.fault_address);
                continue;
            }
            if (c->sleeping && find_exception(c, limit_priority)) c->sleeping = 0;
            if (c->sleeping == 2 && c->event) { c->event = 0; c->sleeping = 0; }
            if (c->primask && limit_priority > 0) limit_priority = 0;
            number = find_exception(c, limit_priority);
            if (number) {
                enter_exception(c, number);
                continue;
            }
        }
        limit = c->next < c->s.deadline ? c->next : c->s.deadline;
        if (c->sleeping) {
            c->s.idle += limit - c->s.now;
            c->s.now = limit;
            continue;
        }
        do {
            uint32_t pc = c->r[15], op = fetch(c, pc);

            c->r[15] = pc + 2;
            c->s.now += c->s.cycle * execute(c, op, pc);
            c->s.instructions++;
        } while (c->s.now < limit && !c->attention);
    }
    c->s.pc = c->r[15];
    c->s.ipsr = c->ipsr;
}
