"""Rows of the controller: SPI, release of its pins, crystal, interrupt, bit rate of the bus."""

from collections.abc import Iterator

from stagelog.bringup.program import Program
from stagelog.bringup.sheet import (
    FAIL,
    NOT_MEASURED,
    PASS,
    Row,
    at_most,
    not_measured,
)
from stagelog.bringup.wires import CONTROLLER

SPI_Hz = (1_000_000, 2_000_000, 4_000_000, 8_000_000)  # of the last the firmware makes use
BITRATES = (125_000, 250_000, 500_000, 1_000_000)
# The frame that the program times: identifier 0x555 and 0 or 8 bytes 0x55, one stuff bit each;
# from its first bit to the end of the intermission (ISO 11898-1; rig.bus.canbits says the same).
FRAME_BITS = {0: 48, 8: 112}
IFS_BITS = 3
BOARD_CRYSTAL_Hz = 16_000_000  # of boards/pico_mcp2515.py
MOST_PPM = 500.0
_CRYSTALS_Hz = (8_000_000, 16_000_000, 20_000_000)
_SLOW_BPS = 125_000
_CHUNK = 20_000
_MOST_RELEASE_ns = 2000.0
_SAMPLES = 1000  # of the program: the pin did not rise


def spi_rows(program: Program, n: int) -> Iterator[Row]:
    """Write and read back patterns of 8 bytes at each clock."""
    for rate_Hz in SPI_Hz:
        wrong = 0
        for start in range(0, n, _CHUNK):
            wrong += program.call("patterns", n=min(_CHUNK, n - start), rate_Hz=rate_Hz)
        yield at_most(
            f"spi.{rate_Hz // 1_000_000}MHz",
            f"SPI at {rate_Hz // 1_000_000} MHz: patterns that came back wrong",
            wrong,
            0,
            f"of {n:,}",
            "shorten the wires of SCK, SI and SO, give them a ground wire each, 100 nF at the "
            "controller's supply",
        )


def release_rows(program: Program, n: int) -> Iterator[Row]:
    """Time how long the pins stay low after a buffer was given back."""
    seen = program.call("releases", n=n)
    ns = seen["ns"]
    names = {wire.gpio: wire.name for wire in CONTROLLER}
    most: dict[str, int] = {}
    for gpio, _, samples in seen["samples"]:
        most[names[gpio]] = max(most.get(names[gpio], 0), samples)
    for name, samples in most.items():
        key, title = f"release.{name}", f"{name} rises after its release, at the latest"
        if samples >= _SAMPLES:
            yield not_measured(key, title, f"{name} does not follow the controller")
            continue
        yield at_most(
            key,
            title,
            round((samples + 1) * ns, 1),
            _MOST_RELEASE_ns,
            "ns",
            "remove what loads the pin: a long wire, a capacitor, an LED",
            f"measured in steps of {ns:.0f} ns",
        )


def crystal_of(n8: int, us8: int, n0: int, us0: int) -> tuple[float, float]:
    """Return the crystal's frequency and the bits between two frames, from the time that n8 and
    n0 frames of 8 and of 0 bytes took, one after the other; 125 kbit/s at 16 MHz were set.

    The difference of the two lengths is free of whatever the controller does between frames; once
    this is known, as a whole number of bits, all of the longer time counts.
    """
    period8, period0 = us8 / n8, us0 / n0
    bit_us = (period8 - period0) / (FRAME_BITS[8] - FRAME_BITS[0])
    gap = period0 / bit_us - (FRAME_BITS[0] - IFS_BITS)
    bit_us = period8 / (FRAME_BITS[8] - IFS_BITS + round(gap))
    return BOARD_CRYSTAL_Hz * 8.0 / bit_us, gap


def crystal_rows(program: Program, n: int) -> tuple[list[Row], int]:
    """Time frames in loopback; return the rows and the crystal's frequency as it is sold, 0 if
    there is none.
    """
    args = {"bitrate_bps": _SLOW_BPS, "crystal_Hz": BOARD_CRYSTAL_Hz, "n": n}
    titles = ("crystal", "crystal, off its frequency", "bits between two frames in loopback")
    keys = ("crystal.MHz", "crystal.ppm", "crystal.gap")
    done8, n8, us8, within_us = program.call("frames", n_bytes=8, **args)
    done0, n0, us0, _ = program.call("frames", n_bytes=0, **args)
    if done8 < n or done0 < n or not n8 or not n0:
        why = f"{done8 + done0} of {2 * n} loopback frames came to their end"
        first = Row(
            keys[0],
            titles[0],
            "silent",
            "",
            "8 or 16 MHz",
            FAIL,
            why,
            "check the crystal, its two capacitors and the controller's supply",
        )
        rest = (not_measured(key, title, why) for key, title in zip(keys, titles, strict=True))
        return [first, *list(rest)[1:]], 0
    crystal_Hz, gap = crystal_of(n8, us8, n0, us0)
    nominal_Hz = min(_CRYSTALS_Hz, key=lambda Hz: abs(crystal_Hz - Hz))
    ppm = (crystal_Hz / nominal_Hz - 1) * 1e6
    rows = [
        Row(
            keys[0],
            titles[0],
            nominal_Hz / 1e6,
            "MHz",
            f"{BOARD_CRYSTAL_Hz // 1_000_000}",
            PASS if nominal_Hz == BOARD_CRYSTAL_Hz else FAIL,
            "",
            f"set CRYSTAL_Hz = {nominal_Hz:_} in firmware/boards/pico_mcp2515.py and flash again; "
            "with 8 MHz no bus of 1 Mbit/s",
        ),
        _ppm_row(keys[1], titles[1], round(ppm, 1), 1e6 * within_us / us8),
        Row(keys[2], titles[2], round(gap, 2), "bits", "", PASS, "ISO 11898-1 asks for 3"),
    ]
    return rows, nominal_Hz


def _ppm_row(key: str, title: str, ppm: float, within_ppm: float) -> Row:
    return Row(
        key,
        title,
        ppm,
        "ppm",
        f"{MOST_PPM:g} at most, either way",
        PASS if abs(ppm) <= MOST_PPM else FAIL,
        f"within {within_ppm:.0f} ppm, against the Pico's own crystal, itself within 30",
        "no crystal is so far off: a ceramic resonator, or wrong capacitors beside it",
    )


def interrupt_rows(program: Program, n: int, crystal_Hz: int) -> Iterator[Row]:
    """Force the receive interrupt by the controller's own flag."""
    counts, missed = program.call("forced", n=n, crystal_Hz=crystal_Hz)
    n = sum(count for _, count in counts) + missed
    yield at_most(
        "interrupt.missed",
        "interrupts that were forced and did not come",
        missed,
        0,
        f"of {n:,}",
        "check INT, RX0BF and RX1BF",
    )
    yield at_most(
        "interrupt.worst",
        "forced interrupt to the handler's stamp, at most",
        max((us for us, _ in counts), default=0),
        20,
        "us",
        "another interrupt holds it off: report it with this sheet",
    )


def listen_rows(
    program: Program, ms: int, crystal_Hz: int, wanted_bps: int | None
) -> Iterator[Row]:
    """Listen at each bit rate, without acknowledging anything; say which one the bus has."""
    found = []
    n_noticed = 0
    for rate_bps in BITRATES:
        key, title = f"listen.{rate_bps // 1000}k", f"bus at {rate_bps // 1000} kbit/s"
        seen = program.call("listen", bitrate_bps=rate_bps, crystal_Hz=crystal_Hz, ms=ms)
        if seen is None:
            yield not_measured(key, title, f"not to be had from {crystal_Hz / 1e6:g} MHz")
            continue
        n_frames, n_errors = seen
        n_noticed += n_frames + n_errors
        if n_frames and not n_errors:
            found.append(rate_bps)
        value = f"{n_frames:,} frames, {n_errors:,} errors"
        yield Row(key, title, value, "", "", PASS, f"noticed in {ms / 1000:g} s, at least")
    key, title = "listen.found", "bit rate of the bus"
    if len(found) != 1:
        why = "nothing was heard at any rate: no bus is connected, or it sleeps"
        if found:
            rates = " and ".join(f"{rate_bps:,}" for rate_bps in found)
            why = f"frames without errors at {rates} bit/s: repeat it on a quiet bench"
        elif n_noticed:
            why = "no rate without errors: see CAN-H, CAN-L and the termination"
        yield Row(key, title, None, verdict=NOT_MEASURED, note=why)
        return
    fits = wanted_bps in (None, found[0])
    yield Row(
        key,
        title,
        found[0],
        "bit/s",
        "" if wanted_bps is None else f"{wanted_bps:,}",
        PASS if fits else FAIL,
        "" if wanted_bps is None else "the limit is what its settings say",
        f"set bitrate_bps to {found[0]} with 'stagelog settings'",
    )
