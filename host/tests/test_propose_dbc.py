"""A DBC from traffic: the traffic is made here, so what is in it is known.

0x100: 8 bytes every 10 ms: a 16-bit ramp (Intel, bytes 0 and 1), a constant, a 4-bit counter in
the low half of byte 6, the sum of bytes 0 to 6 in byte 7. 0x200: a Motorola word. The checksums'
oracle is crccheck, where it has them, and the published Toyota rule.
"""

import json

import numpy as np
import pytest
from crccheck.crc import Crc8SaeJ1850

from stagelog.dbc.late_tester import import_cantools
from stagelog.model import EXT, FRAME
from stagelog.propose.dbc import dbc_text, draft_messages

N = 1000


def table(rows):
    frames = np.zeros(len(rows), FRAME)
    for k, (t_us, can_id, data) in enumerate(rows):
        frames[k] = (t_us, can_id, 0, EXT * (can_id > 0x7FF), len(data), len(data), 0)
        frames["data"][k, : len(data)] = list(data)
    return frames


def ramp(k):
    return 1000 + 7 * k


def engine(k):
    data = [ramp(k) & 255, ramp(k) >> 8, 0x55, 0, 0, 0, 0xA0 | k % 16]
    return bytes([*data, sum(data) & 255])


def traffic():
    rows = [(10_000 * k, 0x100, engine(k)) for k in range(N)]
    rows += [(20_000 * k + 5, 0x200, ramp(k).to_bytes(2, "big")) for k in range(N)]
    rows += [(100_000 * k + 7, 0x18FF1234, bytes([7, 7])) for k in range(50)]
    return table(sorted(rows))


def test_what_is_found_is_what_was_put_in():
    drafts = {draft.message.name: draft for draft in draft_messages([traffic()])}
    assert list(drafts) == ["ID_100", "ID_200", "ID_18FF1234"]
    found = {(s.name, s.start, s.length, s.is_motorola) for s in drafts["ID_100"].message.signals}
    assert found == {
        ("Word_0", 0, 16, False),
        ("Counter_6", 48, 4, False),
        ("Checksum_7", 56, 8, False),
    }
    # Motorola, the first bit of byte 0 is number 7
    [word] = drafts["ID_200"].message.signals
    assert (word.start, word.length, word.is_motorola) == (7, 16, True)
    cycles = [draft.message.cycle_ms for draft in drafts.values()]
    assert cycles == [10, 20, 100] and drafts["ID_18FF1234"].message.signals == ()
    assert drafts["ID_100"].n_frames == N and drafts["ID_100"].lengths == (8,)


def test_chunks_give_the_same():
    whole = traffic()
    parts = [whole[at : at + 137] for at in range(0, len(whole), 137)]
    assert draft_messages(parts) == draft_messages([whole])


def test_cantools_loads_it_strictly_and_reads_the_ramp():
    database = import_cantools().database.load_string(
        dbc_text(draft_messages([traffic()]), 'odd "name".log'), "dbc", strict=True
    )
    message = database.get_message_by_name("ID_100")
    assert message.cycle_time == 10 and message.length == 8
    assert message.get_signal_by_name("Checksum_7").comment.startswith("Guess: sum of the other")
    for k in (0, 17, 400):
        assert message.decode(engine(k))["Word_0"] == ramp(k)
        assert message.decode(engine(k))["Counter_6"] == k % 16
    assert database.get_message_by_name("ID_18FF1234").is_extended_frame


def toyota(can_id, data):
    """The sum of identifier bytes, length and data, as Toyota's cars have it in the last byte."""
    return (can_id >> 8) + (can_id & 255) + len(data) + 1 + sum(data) & 255


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("Toyota", lambda data: toyota(0x2E4, data)),
        ("J1850", lambda data: Crc8SaeJ1850.calc(data)),
        ("exclusive or", lambda data: int(np.bitwise_xor.reduce(list(data)))),
        ("and the identifier", lambda data: sum(data) + 0x2E4 & 255),
    ],
)
def test_checksums_are_named(name, function):
    rows = []
    for k in range(200):
        data = bytes([k * 37 & 255, 0x5A, k * k & 255])
        rows.append((1000 * k, 0x2E4, data + bytes([function(data)])))
    [draft] = draft_messages([table(rows)])
    assert name in draft.notes["Checksum_3"]
    assert sum(each.startswith("Checksum") for each in draft.notes) == 1


def test_words_that_repeat_are_no_checksum():
    """Each byte of a, b, a, b is the exclusive or of the others with a, b, a: by repetition."""
    rows = [(1000 * k, 0x0AA, ramp(37 * k).to_bytes(2, "big") * 4) for k in range(200)]
    [draft] = draft_messages([table(rows)])
    assert not [name for name in draft.notes if name.startswith("Checksum")]


def test_noise_is_neither_counter_nor_checksum():
    noise = np.random.default_rng(5).integers(0, 256, (500, 4))
    rows = [(1000 * k, 0x300, bytes(data.tolist())) for k, data in enumerate(noise)]
    [draft] = draft_messages([table(rows)])
    assert [s.name for s in draft.message.signals] == ["Byte_0", "Byte_1", "Byte_2", "Byte_3"]


def test_the_command_writes_a_file_that_decode_takes(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    lines = [
        f"({1_700_000_000 + row['t_us'] / 1e6:.6f}) can0 {row['can_id']:03X}#"
        f"{row['data'][: row['n_bytes']].tobytes().hex()}\n"
        for row in traffic()
        if row["can_id"] < 0x800
    ]
    (tmp_path / "x.log").write_text("".join(lines))
    code, out, err = run("dbc", "new", "--log", "x.log", "--out", "x.dbc")
    assert code == 0 and "2 messages, 4 signals, all of them guesses" in out, err
    assert run("dbc", "check", "x.dbc", "--log", "x.log")[0] == 0
    facts = json.loads(run("dbc", "new", "--log", "x.log", "--json")[1])
    assert [row["can_id"] for row in facts["messages"]] == ["100", "200"]
    assert run("dbc", "new", "--log", "x.log")[1].startswith('VERSION ""')
    assert run("decode", "x.log", "--dbc", "x.dbc", "--out", "out")[0] == 0
