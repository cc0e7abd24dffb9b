"""Messages: every table packs and parses, short ones are refused, a change changes the hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slog import layout, messages
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
    assert {key: struct_of(table).parse(payload)[key] for key in values} == values


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


def test_a_change_of_words_alone_does_not_change_the_hash(monkeypatch):
    whole = messages.contract_hash()
    table = tuple((name, code, unit, "") for name, code, unit, _ in layout.RECORD)
    monkeypatch.setattr(messages, "RECORD", table)
    assert messages.contract_hash() == whole


def test_every_status_state_and_fault_has_a_text():
    from slog import faults

    statuses = range(messages.REFUSED + 1)
    assert set(messages.STATUS_TEXT) == set(statuses)
    codes = {v for k, v in vars(faults).items() if k.isupper() and isinstance(v, int)}
    assert codes == set(faults.TEXT)
