"""The device's figures, from emulated time: tools/bench device [--rows ...] [--speeds ...]
[--board ...] [--json].

Prints each row at each speed of the core, compares with budget.toml and fails (exit 1) where a
limit is broken. The figures repeat exactly, so a change of one is a change of the firmware or of
the rig.
"""

import argparse
import json
import sys
import time
import tomllib
from pathlib import Path

import device_fd
import device_rows as rows
from device_rig import SPEEDS

ROWS = {
    "full_bus": (rows.full_bus, "saturated 1 Mbit/s, 8-byte frames, 5 s, ordinary card"),
    "full_bus_stall": (rows.full_bus_stall, "the same, one write of 500 ms"),
    "short_frames": (rows.short_frames, "saturated 500 kbit/s, frames of 0 bytes, 3 s"),
    "overload": (rows.overload, "saturated 1 Mbit/s, frames of 0 bytes, 3 s: where it ends"),
    "events": (rows.events, "the virtual car's bus, its signal table on the board, 12 s"),
    "empty_frames": (rows.empty_frames, "saturated 1 Mbit/s, frames of 0 bytes, 3 s"),
    "two_buses": (rows.two_buses, "two saturated buses of 500 kbit/s, 8-byte frames, 3 s"),
    "buses": (rows.buses, "1,885 frames/s, a full 500 kbit/s, a full 1 Mbit/s, 8 bytes, 3 s each"),
    "can_fd": (
        device_fd.can_fd,
        "CAN FD of 64 bytes, alone and beside classic frames, 500/2000 and 1000/5000 kbit/s",
    ),
    "blocked": (device_fd.blocked, "a full 500 kbit/s bus while the main loop is held up"),
    "bent_edges": (
        rows.bent_edges,
        "saturated 1 Mbit/s, clock +-0.5 %, asymmetry +-100 ns, jitter +-60 ns, 4 x 1 s",
    ),
    "full_bus_stall_events": (
        rows.full_bus_stall_events,
        "the car's frames at a saturated 1 Mbit/s, its signal table, one write of 500 ms, 3 s",
    ),
    "heap": (rows.heap, "what is free of the heap after the start; cost of the range"),
    "latency": (rows.latency, "interrupt to released buffer, 4,000/s, gc every 5 ms"),
    "main_loop": (rows.main_loop, "processor left for the main loop"),
    "boot": (rows.boot, "power-on to the first stored frame, 16 GB of old sessions"),
    "download": (rows.download, "one session over USB, beside the raw port and mpremote cp"),
    "public_style": (
        rows.public_style,
        "public driver style: machine.SPI, queue of bytes, no card",
    ),
}
USUAL = "pico_mcp2515"
NOT_USUAL = ("empty_frames", "bent_edges", "two_buses", "can_fd")
# Rows of the other boards. The rest is about interrupts, or the same.
ROWS_OF = {
    "pico_pio": (
        *("full_bus", "full_bus_stall", "short_frames", "events"),
        *("empty_frames", "bent_edges", "blocked"),
    ),
    "pico_pio_dual": ("full_bus", "two_buses"),
    "pico_mcp2518fd": ("buses", "can_fd", "blocked"),
}
BUDGET = Path(__file__).with_name("budget.toml")
MODELLED = """
modelled      core by the cycle (exceptions included), boot ROM, clocks, SPI to the bit with the
              pause between words of mode 0, DMA, controller and card by their registers, card busy
              times (log-normal, median 2 ms a write, one in 100 ten times as long), USB packets on
              a full-speed wire, flash erase 45 ms and program 0.7 ms
cache         adds the misses of the flash cache at 60 cycles
slow          a core that needs 2.5 times as long for all; bus, SPI, card, USB, timer keep speed
calibration   a pin changed by a hard handler in bytecode: nominal 19 us, cache 25, slow 47; on
              boards 20 to 25 us were measured (micropython#6957)
not modelled  bus contention of core and DMA, start of the crystal (1 ms), the second core
"""


def main(argv=None):
    """Run the rows asked for; return the exit code."""
    options = _parse(argv)
    limits = tomllib.loads(BUDGET.read_text())["device"]
    results, broken = {}, []
    for name in options.rows:
        measure, title = ROWS[name]
        if not options.json:
            print(f"\n{name}: {title}")
        columns = {}
        for speed in _columns(name, options):
            start_s = time.process_time()
            columns[speed] = _measured(measure, speed)
            columns[speed]["cpu_s"] = time.process_time() - start_s
        results[name] = columns
        missed = _compare(name, columns, limits.get(name, {}))
        broken += missed
        if not options.json:
            _print_row(columns, limits.get(name, {}), missed)
    if options.json:
        print(json.dumps({"schema": "stagelog.bench.device/1", "rows": results, "broken": broken}))
    else:
        print(MODELLED)
        print(f"{len(broken)} limits broken" if broken else "all limits kept")
    return 1 if broken else 0


def _columns(name, options):
    """Return the speeds of a row, and after them those of each other board that has this row."""
    columns = []
    for board in options.board:
        if board == USUAL and name not in NOT_USUAL:
            columns += options.speeds
        elif name in ROWS_OF.get(board, ()):
            columns += [f"{board} {speed}" for speed in options.speeds]
    return columns


def _measured(measure, speed):
    """Return the row's figures; a firmware that does not get there is a figure too."""
    from stagelog.errors import StagelogError

    try:
        return measure(speed)
    except StagelogError as error:
        return {"failed": str(error).splitlines()[0][-300:]}


def _compare(name, columns, limits):
    """Return one line for each limit that a figure breaks, or that has no figure."""
    broken = []
    for speed, figures in columns.items():
        for figure, limit in limits.items():
            least, most = _range_of(limit, speed)
            value = figures.get(figure)
            if least is None and most is None:
                continue
            if value is None:
                why = figures.get("failed", "absent")
                broken.append(f"{name}.{figure} at {speed}: not measured ({why})")
            elif least is not None and value < least:
                broken.append(
                    f"{name}.{figure} at {speed}: {value:.5g}, at least {least:g} wanted"
                )
            elif most is not None and value > most:
                broken.append(f"{name}.{figure} at {speed}: {value:.5g}, at most {most:g} wanted")
    return broken


def _range_of(limit, speed):
    """Return (min, max) of a limit at a speed: its own table, else the limit's own."""
    board, _, speed = speed.rpartition(" ")
    if board:
        limit = limit.get(board, limit)
    limit = {**limit, **limit.get(speed, {})}
    return limit.get("min"), limit.get("max")


def _print_row(columns, limits, missed):
    names = list(dict.fromkeys(name for figures in columns.values() for name in figures))
    print(f"  {'':<28}" + "".join(f"{speed:>18}" for speed in columns) + "  limit")
    for name in names:
        cells = "".join(f"{_text(figures.get(name)):>18}" for figures in columns.values())
        limit = limits.get(name, {})
        wanted = " ".join(
            f"{speed + ' ' if speed else ''}{sign} {bounds[key]:g}"
            for speed, bounds in (("", limit), *((s, limit[s]) for s in SPEEDS if s in limit))
            for key, sign in (("min", ">="), ("max", "<="))
            if key in bounds
        )
        print(f"  {name:<28}{cells}  {wanted}")
    for line in missed:
        print(f"  BROKEN {line}")


def _text(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return "failed"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def _parse(argv):
    parser = argparse.ArgumentParser(prog="tools/bench device", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=_list_of(ROWS), default=list(ROWS), help=", ".join(ROWS))
    parser.add_argument(
        "--speeds", type=_list_of(SPEEDS), default=list(SPEEDS), help=", ".join(SPEEDS)
    )
    parser.add_argument(
        "--board",
        type=_list_of((USUAL, *ROWS_OF)),
        default=[USUAL],
        help=", ".join((USUAL, *ROWS_OF)),
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


def _list_of(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
