"""Messages: every table packs and parses, short ones are refused, a change changes the hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slog import event_names, events, layout, messages, signal_table, table_names
from slog.framing import MAX_PAYLOAD
from stagelog.blocks.layouts import struct_of

TABLES = [
    (f"{name}-{side}", table)
    for _, name, request, reply in messages.MESSAGES
    for side, table in (("request", request), ("reply", reply))
]
BITS = {"B": 8, "H": 16, "I": 32, "Q": 64}


def some_values(draw, table):
    values = {}
    for name, code, _, _ in table:
        if code.endswith("s"):
            n = int(code[:-1])
            values[name] = draw(st.binary(min_size=n, max_size=n))
        else:
            values[name] = draw(st.integers(0, (1 << BITS[code]) - 1))
    return values


@pytest.mark.parametrize(("name", "table"), TABLES, ids=[name for name, _ in TABLES])
@given(st.data())
def test_what_is_built_is_parsed(name, table, data):
    values = some_values(data.draw, table)
    rest = data.draw(st.binary(max_size=20))
    payload = messages.build(table, values, rest)
    got, left = messages.parse(table, payload)
    assert got == values and bytes(left) == rest
    parsed = struct_of(table).parse(payload)
    assert {key: parsed[key] for key in values} == values


@pytest.mark.parametrize(("name", "table"), TABLES, ids=[name for name, _ in TABLES])
def test_every_message_that_is_too_short_is_refused(name, table):
    payload = messages.build(table, {})
    for n in range(len(payload)):
        with pytest.raises(messages.MessageError, match=f"{n} bytes"):
            messages.parse(table, payload[:n])
    assert len(payload) <= MAX_PAYLOAD


def test_a_whole_block_fits_into_an_answer():
    assert layout.size(messages.READ_REPLY) + layout.BLOCK_BYTES <= MAX_PAYLOAD
    assert messages.MAX_READ == layout.BLOCK_BYTES


def test_types_are_unique_and_leave_the_answer_bit_free():
    kinds = [kind for kind, _, _, _ in messages.MESSAGES]
    assert len(set(kinds)) == len(kinds) and all(0 < kind < messages.REPLY for kind in kinds)


def test_every_reply_begins_with_its_status():
    for _, name, _, reply in messages.MESSAGES:
        assert reply[0][:2] == ("status", "B"), name


def test_the_contract_hash_notices_every_change(monkeypatch):
    whole = messages.contract_hash()
    assert len(whole) == 8 and messages.contract_hash() == whole
    seen = {whole}
    header = layout.BLOCK_HEADER
    for i, (name, code, unit, meaning) in enumerate(header):
        for changed in ((name + "x", code, unit, meaning), (name, code, unit + "x", meaning)):
            table = header[:i] + (changed,) + header[i + 1 :]
            monkeypatch.setattr(messages, "BLOCK_HEADER", table)
            seen.add(messages.contract_hash())
    monkeypatch.setattr(messages, "BLOCK_HEADER", header)
    for i in range(len(messages.MESSAGES)):
        listed = messages.MESSAGES[:i] + messages.MESSAGES[i + 1 :]
        monkeypatch.setattr(messages, "MESSAGES", listed)
        seen.add(messages.contract_hash())
        monkeypatch.undo()
    assert len(seen) == 1 + 2 * len(header) + len(messages.MESSAGES)


def swapped(rows, i):
    """Return the rows with two neighbours that differ exchanged."""
    return (*rows[:i], rows[i + 1], rows[i], *rows[i + 2 :])


def test_the_contract_hash_notices_two_rows_that_change_places(monkeypatch):
    """Codes and rows are stored in logs for ever: a number must never come to mean another."""
    seen, n = {messages.contract_hash()}, 1
    for module, name in (
        *((event_names, name) for name in ("EVENTS", "KINDS", "SUMMARY_ITEMS")),
        (table_names, "ROLES"),
    ):
        rows = getattr(module, name)
        for i in range(len(rows) - 1):
            monkeypatch.setattr(module, name, swapped(rows, i))
            seen.add(messages.contract_hash())
            n += 1
        monkeypatch.undo()
    for tag, (title, meaning, columns) in table_names.SECTIONS.items():
        for i in range(len(columns) - 1):
            section = (title, meaning, swapped(columns, i))
            monkeypatch.setitem(table_names.SECTIONS, tag, section)
            seen.add(messages.contract_hash())
            n += 1
        monkeypatch.undo()
    for tag, rows in table_names.ROWS.items():
        for i in range(len(rows) - 1):
            monkeypatch.setitem(table_names.ROWS, tag, swapped(rows, i))
            seen.add(messages.contract_hash())
            n += 1
        monkeypatch.undo()
    assert n > 180 and len(seen) == n


def test_the_contract_hash_notices_a_code_a_state_and_a_unit(monkeypatch):
    seen = {messages.contract_hash()}
    code, name, unit, *rest, states = event_names.EVENTS[0]
    for row in (
        (code + 99, name, unit, *rest, states),
        (code, name, "s", *rest, states),
        (code, name, unit, rest[0], "x", rest[2], states),
        (code, name, unit, *rest, {**states, 1: "landed", 2: "taken_off"}),
    ):
        monkeypatch.setattr(event_names, "EVENTS", (row, *event_names.EVENTS[1:]))
        seen.add(messages.contract_hash())
        monkeypatch.undo()
    assert len(seen) == 5


def test_every_column_and_row_of_the_signal_table_has_its_words():
    for tag, columns in signal_table.COLUMNS.items():
        assert tuple(row[0] for row in table_names.SECTIONS[tag][2]) == columns
    rows = {
        signal_table.FLIGHT: signal_table.FLIGHT_ROWS,
        signal_table.FUEL: signal_table.FUEL_ROWS,
        signal_table.HEAT: signal_table.HEAT_ROWS,
        signal_table.WATCH: signal_table.WATCH_ROWS,
    }
    assert {tag: tuple(row[0] for row in rows) for tag, rows in table_names.ROWS.items()} == rows
    first = 0
    for role, _, n, _ in table_names.ROLES:
        assert role == first
        first += n
    assert first == signal_table.N_ROLES


def test_every_event_code_has_its_words():
    codes = {
        value
        for name, value in vars(events).items()
        if name in ("ALARM", "SENSOR", "MESSAGE", "CONTEXT", "SUMMARY")
    }
    assert {row[0] for row in event_names.KINDS} == codes
    assert [row[0] for row in event_names.EVENTS] == list(range(1, events.MARK_TEXT + 1))


def test_a_change_of_words_alone_does_not_change_the_hash(monkeypatch):
    whole = messages.contract_hash()
    table = tuple((name, code, unit, "") for name, code, unit, _ in layout.RECORD)
    monkeypatch.setattr(messages, "RECORD", table)
    assert messages.contract_hash() == whole


def test_every_status_state_and_fault_has_a_text():
    from slog import faults

    statuses = range(messages.REFUSED + 1)
    assert set(messages.STATUS_TEXT) == set(statuses)
    assert len(set(messages.STATUS_TEXT.values())) == len(statuses)  # told apart
    codes = {v for k, v in vars(faults).items() if k.isupper() and isinstance(v, int)}
    assert codes == set(faults.TEXT)
