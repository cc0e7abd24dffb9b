"""The numbers that both ends and every card know, and the hash over them."""

import hashlib

import pytest

from slog import event_names, events, faults, layout, table_names
from slog import messages as m


def test_the_contract_hash_is_what_it_says():
    """Made a second time from the tables, as SPEC.md says under HELLO; another recipe would lock
    out loggers in the field.
    """
    text = [f"stagelog {layout.VERSION}"]

    def add(title, table):
        text.append(title + "".join("|{} {} {}".format(*row[:3]) for row in table))

    for table in (layout.BLOCK_HEADER, layout.RECORD, layout.SIGNATURE, layout.RELEASE):
        add("", table)
    for kind, name, _, table in layout.META:
        add(f"meta {kind} {name}", table)
    for kind, name, request, reply in m.MESSAGES:
        add(f"ask {kind} {name}", request)
        add(f"answer {kind} {name}", reply)
    for code, name, unit, _, extra_unit, _, states in event_names.EVENTS + event_names.KINDS:
        rows = [(state, states[state], "") for state in sorted(states)]
        add(f"event {code} {name} {unit} {extra_unit}", rows)
    add("summary", [(name, unit, extra) for name, unit, _, extra, *_ in event_names.SUMMARY_ITEMS])
    text.append(f"signal table {table_names.VERSION}")
    for tag, (name, _, columns) in sorted(table_names.SECTIONS.items()):
        rows = columns + table_names.ROWS.get(tag, ())
        add(f"section {tag} {name}", [(column, unit, "") for column, unit, *_ in rows])
    text += ["|role {} {} {} {}".format(*role) for role in table_names.ROLES]
    assert m.contract_hash() == hashlib.sha256("".join(text).encode()).digest()[:8]


def numbers_of(module, prefix):
    """Return the numbers of the constants whose names start so, in the order of the file."""
    return [value for name, value in vars(module).items() if name.startswith(prefix)]


def test_numbers_that_both_ends_and_every_card_know():
    kinds = "HELLO STATUS TIME LIST READ ERASE CONFIG_GET CONFIG_SET CONTROL LIVE BUS"
    assert [getattr(m, name) for name in kinds.split()] == list(range(1, 12))
    statuses = (
        "OK PENDING BAD_REQUEST NO_CARD OUT_OF_RANGE READ_ERROR WRONG_DIGEST WRONG_SESSION BUSY "
        "WRONG_CONTRACT REFUSED"
    )
    assert [getattr(m, name) for name in statuses.split()] == list(range(11))
    assert m.REPLY == 0x80 and m.MAX_READ == 4096 and m.MAX_CONFIG_BYTES == 16384
    assert (m.CONFIG_SETTINGS, m.CONFIG_SIGNALS) == (0, 1)
    actions = "STOP START RESET REPL BOOTLOADER"
    assert [getattr(m, f"CONTROL_{name}") for name in actions.split()] == [1, 2, 3, 4, 5]
    states = "BOOT IDLE RECORDING FULL CARD_FAULT NO_CARD"
    assert [getattr(m, f"STATE_{name}") for name in states.split()] == list(range(6))
    assert [row[0] for row in layout.META] == list(range(1, 9))
    assert numbers_of(layout, "BUS_") == list(range(6))
    assert numbers_of(layout, "FLAG_") == [1, 2, 4]
    assert numbers_of(layout, "GAP_")[:3] == [1, 2, 3]
    assert [layout.VERSION, layout.MAGIC, layout.TIME_BITS, layout.META_DLC] == [1, 0x4C53, 28, 15]
    assert [layout.BLOCK_BYTES, layout.HEADER_BYTES, layout.RECORD_BYTES] == [4096, 64, 16]
    assert [layout.RECORDS_PER_BLOCK, layout.SECTOR_BYTES, layout.N_BUSES] == [252, 512, 2]
    assert sorted(faults.TEXT) == list(range(21))
    assert layout.meta_table(99) is None and layout.meta_table(3) is layout.META[2][3]


@pytest.mark.parametrize(
    ("code", "kind", "number"),
    [
        (1, "flight", 0),
        (14, "flow_scale", 0),
        (15, "mark", 0),
        (16, "mark_text", 0),
        (17, "unknown", 17),
        (0x7F, "unknown", 0x7F),
        (0x80, "summary", 0),
        (0xFF, "summary", 0x7F),
        (0x100, "alarm", 0),
        (0x123, "alarm", 0x23),
        (0x200, "sensor", 0),
        (0x3FF, "sensor", 0x1FF),
        (0x400, "message", 0),
        (0x405, "message", 5),
        (0x800, "alarm_context", 0),
        (0x812, "alarm_context", 0x12),
    ],
)
def test_a_code_of_an_event_has_its_kind_and_its_number_within_it(code, kind, number):
    """Logs hold these numbers: a summary is 0x80 + n, an alarm 0x100 + n, a sensor 0x200 + n, a
    message 0x400 + n, the context of an alarm 0x800 + n.
    """
    found = event_names.describe(code)
    assert found[:2] == (kind, number)
    assert (found[2] is not None) == (kind != "unknown")


def test_packed_extras_have_the_bits_that_logs_were_written_with():
    """LANDED: 12 bits of peak, 7 of confidence, 2 of the car, 3 of severity, side by side; ALARM
    and CONTEXT: 9 bits of km/h, then 10 rpm.
    """
    assert (events.PEAK_MASK, events.CONFIDENCE_SHIFT) == (0xFFF, 12)
    assert (events.CAR_SHIFT, events.SEVERITY_SHIFT) == (12 + 7, 12 + 7 + 2)
    assert events.RPM_SHIFT == 9
