"""Rows of a board without a controller: RXD of each transceiver, what drives its pin, the bit rate
on its wire, and what arrives at that rate.
"""

from collections.abc import Iterator

from slog.messages import BUS_COUNTERS
from slog.settings import BITRATES
from stagelog.bringup.program import Program
from stagelog.bringup.sheet import FAIL, NOT_MEASURED, PASS, Row, at_most
from stagelog.bringup.wires import Wire

PINS = {
    "pico_pio": (Wire("RXD", 6, 9),),
    "pico_pio_dual": (Wire("RXD", 6, 9), Wire("RXD of bus 1", 7, 10)),
}
_ERRORS = ("stuff", "flags", "crc", "form")


def wire_rows(program: Program, pins: tuple[Wire, ...]) -> Iterator[Row]:
    """Sample each pin against a pull-down: a transceiver holds it high, an open wire does not."""
    for wire in pins:
        seen = program.call("sample_pin", pin=wire.gpio)
        is_there = seen["high"] > 0
        yield Row(
            f"wires.transceiver.{wire.name}",
            f"transceiver {wire.name}",
            "connected" if is_there else "missing",
            "",
            f"GPIO {wire.gpio}, pin {wire.pin}",
            PASS if is_there else FAIL,
            "" if is_there else "low against a pull-down: open, or the transceiver has no supply",
            f"solder it again; measure GPIO {wire.gpio} (pin {wire.pin}) to RXD, and 3V3 at VIO",
        )
        yield Row(
            f"wires.input.{wire.gpio}",
            f"GPIO {wire.gpio} is an input",
            "yes" if seen["is_input"] else "no",
            "",
            "yes",
            PASS if seen["is_input"] else FAIL,
            "",
            "report it with this sheet: the firmware must never drive it",
        )


def listen_rows(
    program: Program, pins: tuple[Wire, ...], ms: int, wanted_bps: int | None
) -> Iterator[Row]:
    """Measure the bit rate on each wire, then count what arrives at it."""
    for bus, wire in enumerate(pins):
        seen = program.call("listen", pin=wire.gpio, ms=ms)
        rate_bps = seen["rate"]
        key, title = f"listen.{bus}.rate", f"bit rate on the wire of {wire.name}"
        if not rate_bps:
            why = "no traffic: no bus is connected, or it sleeps"
            if rate_bps == 0:
                why = "the lengths between edges are of no known bit rate"
            yield Row(key, title, None, verdict=NOT_MEASURED, note=why)
            continue
        fits = rate_bps in BITRATES and wanted_bps in (None, rate_bps)
        yield Row(
            key,
            title,
            rate_bps,
            "bit/s",
            "" if wanted_bps is None else f"{wanted_bps:,}",
            PASS if fits else FAIL,
            "" if wanted_bps is None else "the limit is what its settings say",
            f"set bitrate_bps to {rate_bps} with 'stagelog settings'"
            if rate_bps in BITRATES
            else "the firmware receives " + ", ".join(f"{rate:,}" for rate in BITRATES),
        )
        if rate_bps not in BITRATES:
            continue
        counts = dict(zip((row[0] for row in BUS_COUNTERS), seen["counts"], strict=True))
        yield Row(f"listen.{bus}.frames", f"frames of {wire.name}", seen["frames"], "frames")
        yield at_most(
            f"listen.{bus}.errors",
            f"errors on {wire.name}",
            sum(counts[kind] for kind in _ERRORS),
            0,
            "",
            "the bus has errors of its own, or RXD rings: shorten its wire, 100 nF at the supply",
            f"in {ms / 1000:g} s",
        )
