"""Rows of the card: who made it, how long it takes to start, what comes over its wires."""

from collections.abc import Iterator

from stagelog.bringup.program import Program
from stagelog.bringup.sheet import FAIL, PASS, Row, at_most, not_measured
from stagelog.bringup.wires import card_rows as wire_rows

READ_Hz = (1_000_000, 6_000_000, 12_000_000, 24_000_000)
_USED_Hz = 12_000_000
_MOST_START_ms = 750  # a slower one costs frames of a full bus at power-on, see WIRING.md


def identity_rows(program: Program) -> Iterator[Row]:
    """Set the card up: its wires, its maker, its size, its start."""
    seen = program.call("card")
    error = seen.get("error")
    yield from wire_rows(error)
    if error:
        yield not_measured("card.cid", "card", error)
        return
    cid = bytes.fromhex(seen["cid"])
    yield Row("card.cid", "card", cid_text(cid), "", "", PASS, f"CID {cid.hex()}")
    yield Row("card.size", "size of the card", round(seen["sectors"] * 512 / 1e9, 2), "GB")
    yield at_most(
        "card.start",
        "start of the card",
        seen["init_ms"],
        _MOST_START_ms,
        "ms",
        "another card: frames of a full bus are lost at power-on until it has started",
    )


def cid_text(cid: bytes) -> str:
    """Return a CID for people: maker, product, serial number, when it was made. Source: SD
    Physical Layer Simplified Specification 6.00, 5.2.
    """
    made = int.from_bytes(cid[13:15], "big")
    product = cid[1:8].decode("ascii", "replace")
    serial = int.from_bytes(cid[9:13], "big")
    when = f"{2000 + (made >> 4 & 255)}-{made & 15:02d}"
    revision = f"{cid[8] >> 4}.{cid[8] & 15}"
    return f"maker 0x{cid[0]:02X}, {product} {revision}, no. {serial}, {when}"


def clock_rows(program: Program, first_sector: int, n: int) -> Iterator[Row]:
    """Read `n` sectors of the recorded session at each clock; CRC-16 finds what arrives wrong."""
    for rate_Hz in READ_Hz:
        failed, repeated, took_ms = program.call("read", rate_Hz=rate_Hz, first=first_sector, n=n)
        is_used = rate_Hz <= _USED_Hz
        n_wrong = failed + repeated
        yield Row(
            f"card.read_{rate_Hz // 1_000_000}MHz",
            f"card at {rate_Hz // 1_000_000} MHz: sectors that came with a wrong CRC or not",
            n_wrong,
            f"of {n:,}",
            "0" if is_used else "",
            FAIL if n_wrong and is_used else PASS,
            f"{n * 0.512 / max(took_ms, 1) * 1000:.0f} kB/s"
            + ("" if is_used else "; the firmware does not go so fast"),
            "shorten the card's wires, 10 kOhm at DO and CS, 22 uF at its supply",
        )
