/* The fast part of the emulated RP2040: core, memory, flash cache, GPIO, timer, NVIC, SPI, DMA and PIO.
 *
 * Everything else on the chip is Python, reached by the callbacks. Time is counted in femtoseconds so
 * that it stays an integer at any core clock; 2^64 fs are five hours. Nothing here reads a clock of the
 * host: the same input gives the same run, to the cycle.
 */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>
#include <string.h>

#define NEVER UINT64_MAX
#define FS_PER_US 1000000000ull

#define ROM_BYTES 16384u
#define RAM_BYTES (264u * 1024)
#define USB_BYTES 4096u

enum { N_PINS = 30, N_PIO = 2, N_WAVES = 2, N_SPI = 2, N_DMA = 12, N_ALARMS = 4, N_TAGS = 2048, RECENT = 16 };
enum { IRQ_TIMER0 = 0, IRQ_DMA0 = 11, IRQ_DMA1 = 12, IRQ_IO = 13, IRQ_SPI0 = 18 };
enum { FAULT_UNDEFINED = 1, FAULT_BUS, FAULT_BREAK, FAULT_LOCKUP };

/* What Python reads and writes; engine.py mirrors it field by field. */
struct shared {
    uint64_t now;         /* fs since the chip was made */
    uint64_t deadline;    /* run() comes back at or after this time */
    uint64_t cycle;       /* fs per cycle of the core */
    uint64_t peri;        /* fs per cycle of clk_peri */
    uint64_t idle;        /* fs spent asleep in WFI or WFE */
    uint64_t instructions;
    uint64_t misses;      /* flash cache misses */
    uint64_t handler;     /* fs spent in interrupt handlers and other exceptions */
    uint64_t sys;         /* fs per cycle of clk_sys, which the PIO runs on; cycle may be slower */
    uint32_t miss_cycles; /* core cycles a miss costs; 0: no cache is modelled */
    uint32_t stop;        /* not 0: run() comes back now */
    uint32_t watch;       /* pins whose level is reported */
    uint32_t levels;      /* level of each pin */
    uint32_t fault;       /* FAULT_* of the last fault */
    uint32_t fault_pc;
    uint32_t fault_address;
    uint32_t reset_request; /* the core asked for a reset (AIRCR) */
    uint32_t pc;            /* after run(), for a profiler */
    uint32_t ipsr;
};

/* What hangs on one SPI: a device that answers byte by byte, or streams without asking Python. */
struct spi_device {
    uint32_t cs, sck, mosi, miso; /* pins; cs >= N_PINS: nothing is attached */
    uint32_t selected;
    uint32_t break_on_command; /* a byte other than 0xFF ends the stream: so an SD card gets its stop command */
    uint64_t busy_until;       /* until then a host that clocks 0xFF gets busy_byte */
    uint32_t busy_byte;
    uint32_t idle_bytes;       /* bytes clocked while it was not selected */
    const uint8_t *out;        /* answers of the stream; NULL: 0xFF */
    uint8_t *in;               /* where the stream's input goes; NULL: nowhere */
    uint32_t at, count;        /* progress and length of the stream */
    uint64_t bytes;            /* ever transferred while selected */
};

struct spi {
    uint32_t cr0, cr1, cpsr, imsc, ris, dmacr;
    uint16_t tx[8], rx[8];
    uint32_t tx_at, tx_n, rx_at, rx_n, shifting, word;
    uint32_t gap; /* the next word starts after the pause of a Motorola frame with SPH=0 */
    uint64_t done; /* when the word being shifted is complete */
    struct spi_device device;
};

struct dma_channel {
    uint32_t read, write, count, reload, ctrl;
    uint64_t done; /* unpaced transfers: when the last word has moved */
};

struct dma {
    struct dma_channel channel[N_DMA];
    uint32_t intr, inte[2], intf[2], sniff_ctrl, sniff_data, timers[4];
    uint32_t pumping, again;
};

/* One state machine of a PIO block. */
struct machine {
    uint64_t at;    /* its next clock */
    uint64_t event; /* when others must hear of what it has done; NEVER: an edge comes first */
    uint32_t index, enabled, ahead, pushed;
    uint32_t clkdiv, execctrl, shiftctrl, pinctrl;
    uint32_t pc, x, y, isr, osr, isr_n, osr_n; /* bits shifted in, and out */
    uint32_t delay, exec, has_exec, jumped, in_done, irq_waits, fraction;
    uint32_t rx[8], tx[8], rx_at, rx_n, tx_at, tx_n;
};

struct pio {
    struct machine machine[4], kept[4]; /* as they were before they ran ahead */
    uint32_t fdebug, irq, bypass, out, oe;
    uint16_t memory[32];
};

/* What an outside driver does to a pin, known in advance. */
struct wave {
    const uint64_t *edges;
    uint64_t at, count, changed_at, before_at;
    uint32_t pin, before, long_before;
};

struct chip {
    struct shared s;
    /* core */
    uint32_t r[16], other_sp;
    uint32_t n, z, c, v, primask, control, ipsr;
    uint32_t sleeping, event, attention, bus_error;
    /* NVIC: lines as the peripherals hold them, what waits, what is enabled, what runs */
    uint32_t lines, pending, enabled, active;
    uint32_t priority[32], pend_sv, pend_svc, pend_tick, shpr2, shpr3, vtor;
    uint32_t tick_csr, tick_reload;
    uint64_t tick_start, handler_start;
    /* memory */
    uint8_t *rom, *ram, *flash, *usb;
    uint32_t flash_bytes;
    uint32_t last_line, tags[N_TAGS];
    uint8_t lru[N_TAGS / 2];
    /* SIO and GPIO */
    uint32_t out, oe, hi_out, hi_oe, spinlocks, fifo_n;
    uint32_t dividend, divisor, quotient, remainder, div_csr;
    uint32_t pin_ctrl[N_PINS], pad[N_PINS + 2];
    uint32_t driven, drive_level, edges[4], inte[4], intf[4];
    /* timer */
    uint64_t timer_epoch, alarm_at[N_ALARMS];
    uint32_t alarm[N_ALARMS], armed, timer_intr, timer_inte, timer_intf, timer_latch;
    /* SPI and DMA */
    struct spi spi[N_SPI];
    struct dma dma;
    /* PIO */
    struct pio pio[N_PIO];
    struct wave waves[N_WAVES];
    uint64_t next; /* the earliest of the events above */
    /* Python */
    uint32_t (*read)(uint32_t address);
    void (*write)(uint32_t address, uint32_t value);
    uint32_t (*spi_byte)(uint32_t unit, uint32_t byte);
    void (*pin)(uint32_t pin, uint32_t level);
    void (*on_fault)(uint32_t kind, uint32_t pc, uint32_t address);
};

/* bus.c */
uint32_t bus_read(struct chip *c, uint32_t address, uint32_t bytes);
void bus_write(struct chip *c, uint32_t address, uint32_t value, uint32_t bytes);
void set_line(struct chip *c, uint32_t irq, uint32_t level);
void schedule(struct chip *c);
uint32_t atomic_value(uint32_t old, uint32_t address, uint32_t value);
/* gpio.c */
void gpio_update(struct chip *c);
uint32_t sio_read(struct chip *c, uint32_t offset);
void sio_write(struct chip *c, uint32_t offset, uint32_t value);
uint32_t io_read(struct chip *c, uint32_t offset);
void io_write(struct chip *c, uint32_t offset, uint32_t value, uint32_t address);
uint32_t pads_read(struct chip *c, uint32_t offset);
void pads_write(struct chip *c, uint32_t offset, uint32_t value, uint32_t address);
/* timer.c */
uint32_t timer_read(struct chip *c, uint32_t offset);
void timer_write(struct chip *c, uint32_t offset, uint32_t value, uint32_t address);
void timer_events(struct chip *c);
uint32_t ppb_read(struct chip *c, uint32_t offset);
void ppb_write(struct chip *c, uint32_t offset, uint32_t value);
/* spi.c */
uint32_t spi_read(struct chip *c, uint32_t unit, uint32_t offset);
void spi_write(struct chip *c, uint32_t unit, uint32_t offset, uint32_t value, uint32_t address);
void spi_events(struct chip *c, uint32_t unit);
uint32_t spi_ready(struct chip *c, uint32_t request);
/* pio.c */
uint32_t pio_read(struct chip *c, uint32_t block, uint32_t offset);
void pio_write(struct chip *c, uint32_t block, uint32_t offset, uint32_t value, uint32_t address);
void pio_events(struct chip *c);
uint64_t pio_next(struct chip *c);
uint32_t pio_ready(struct chip *c, uint32_t request);
void pio_reset(struct chip *c);
/* dma.c */
uint32_t dma_read(struct chip *c, uint32_t offset);
void dma_write(struct chip *c, uint32_t offset, uint32_t value, uint32_t address);
void dma_pump(struct chip *c);
void dma_events(struct chip *c);
/* exceptions.c */
int priority_of(struct chip *c, uint32_t exception);
uint32_t find_exception(struct chip *c, int limit);
void use_stack(struct chip *c, uint32_t process);
void enter_exception(struct chip *c, uint32_t number);
void leave_exception(struct chip *c, uint32_t code);
void fault(struct chip *c, uint32_t kind, uint32_t pc, uint32_t address);
/* cpu.c */
void cpu_reset(struct chip *c);

/* Charge a flash access that the cache does not hold. 16 KiB, two ways, lines of 8 bytes. */
static inline void cache_touch(struct chip *c, uint32_t offset)
{
    uint32_t line = offset >> 3, set = line & (N_TAGS / 2 - 1), tag = line + 1;
    uint32_t *way = &c->tags[set * 2];

    if (line == c->last_line) return;
    c->last_line = line;
    if (way[0] == tag) {
        c->lru[set] = 1;
    } else if (way[1] == tag) {
        c->lru[set] = 0;
    } else {
        way[c->lru[set]] = tag;
        c->lru[set] ^= 1;
        c->s.misses++;
        c->s.now += c->s.cycle * c->s.miss_cycles;
    }
}

static inline uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline uint32_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

#endif
