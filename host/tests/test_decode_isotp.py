"""Diagnostics put together from frames that are cut here by hand, as ISO 15765-2 says:

single frame   0L, L bytes           first   1L LL, 6 bytes
flow control   30 00 00              next    2N, 7 bytes, N from 1, after F comes 0
"""

import json

import numpy as np
import pytest

from stagelog.decode.isotp import Listener, service_text, summarize
from stagelog.model import EXT, FRAME
from stagelog.resources import dbc_path

DBC = dbc_path() / "d7xr.dbc"


def table(frames):
    rows = np.zeros(len(frames), FRAME)
    for k, (bus, can_id, data) in enumerate(frames):
        rows[k] = (1000 * k, can_id, bus, EXT * (can_id > 0x7FF), 8, 8, 0)
        rows["data"][k] = list(data.ljust(8, b"\xaa"))
    return rows


def cut(payload, can_id, bus=0):
    if len(payload) <= 7:
        return [(bus, can_id, bytes([len(payload)]) + payload)]
    head = bytes([0x10 | len(payload) >> 8, len(payload) & 255])
    frames = [(bus, can_id, head + payload[:6])]
    for number, at in enumerate(range(6, len(payload), 7), 1):
        frames.append((bus, can_id, bytes([0x20 | number % 16]) + payload[at : at + 7]))
    return frames


VIN = bytes([0x62, 0xF1, 0x90]) + b"WVWZZZ1JZXW000001"
REQUEST = bytes([0x22, 0xF1, 0x90])
FLOW = (0, 0x7E0, bytes([0x30, 0, 0]))


@pytest.mark.parametrize("length", [8, 13, 14, 20, 125, 126, 300, 4095])
def test_a_message_of_any_length_comes_back(length):
    payload = bytes(k * 7 & 255 for k in range(length))
    frames = table(cut(payload, 0x7E8))
    [message] = Listener().feed(frames)
    assert message == (1000 * (len(frames) - 1), 0, 0x7E8, False, payload)


def test_partners_and_buses_interleave_and_parts_come_in_several_tables():
    first = [*cut(REQUEST, 0x7E0), cut(VIN, 0x7E8)[0], FLOW, *cut(VIN, 0x7E8)[1:]]
    second = cut(VIN[::-1], 0x7E8, bus=1)
    third = cut(bytes(range(30)), 0x18DAF110)
    mixed = [frame for row in zip(first, second * 2, third * 2) for frame in row]  # noqa: B905
    mixed = mixed[: 3 * len(second)] + first[len(second) :] + third[len(second) :]
    listener = Listener()
    rows = table(mixed)
    found = [m for at in range(0, len(rows), 2) for m in listener.feed(rows[at : at + 2])]
    assert {(m.bus, m.can_id, m.is_ext, m.data) for m in found} == {
        (0, 0x7E0, False, REQUEST),
        (0, 0x7E8, False, VIN),
        (1, 0x7E8, False, VIN[::-1]),
        (0, 0x18DAF110, True, bytes(range(30))),
    }
    assert listener.n_lost == 0


def test_a_message_that_lacks_a_frame_is_lost_and_the_next_is_whole(capsys, caplog):
    broken = cut(VIN, 0x7E8)
    del broken[1]
    summary = summarize([table([*broken, *cut(VIN, 0x7E8)])])
    assert summary.n_messages == 1 and summary.n_lost == 1
    assert not caplog.records and not capsys.readouterr().err  # the library is silent


def test_other_identifiers_are_left_alone():
    frames = table([(0, can_id, b"\x02\x01\x0c") for can_id in (0x100, 0x7DE, 0x7F0, 0x18FEF100)])
    assert summarize([frames]).n_messages == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("01 0C", "01 current data (OBD)"),
        ("41 0C 1A F8", "41 answer: current data (OBD)"),
        ("22 F1 90", "22 read data by identifier"),
        ("7F 22 31", "7F refusal of 22"),
        ("BA 01", "BA service of the maker"),
    ],
)
def test_services_have_their_names(data, text):
    assert service_text(bytes.fromhex(data)) == text


def test_info_shows_diagnostics_and_protocol(tmp_path, run):
    frames = [(0, 0x7DF, b"\x02\x01\x0c"), (0, 0x7E8, b"\x04\x41\x0c\x1a\xf8")]
    frames += [*cut(REQUEST, 0x7E0), cut(VIN, 0x7E8)[0], FLOW, *cut(VIN, 0x7E8)[1:]]
    frames += [(1, 0x0CF00400, bytes(8)), (1, 0x18FEF100, bytes(8)), (1, 0x18FEEE00, bytes(8))]
    lines = [
        f"({k}.000000) can{bus} {i:0{8 if i > 0x7FF else 3}X}#{data.ljust(8, bytes(1)).hex()}\n"
        for k, (bus, i, data) in enumerate(frames)
    ]
    (tmp_path / "x.log").write_text("".join(lines))
    run("convert", tmp_path / "x.log", tmp_path / "x.slog")
    for log in ("x.log", "x.slog"):
        code, out, _ = run("info", tmp_path / log)
        assert code == 0
        assert "diagnostics (ISO-TP) on bus 0: 7E8 62 answer: read data by identifier, once" in out
        assert "diagnostics (ISO-TP) on bus 0: 7DF 01 current data (OBD), once" in out
        assert "bus 1: 3 frames" in out and "J1939, 3 groups, sources 00" in out
        facts = json.loads(run("info", tmp_path / log, "--json")[1])["logs"][0]
        found = facts if log == "x.log" else facts["sessions"][0]
        assert found["diagnostic_messages"]["n_messages"] == 4
        assert found["buses"][1]["protocol"] == "J1939, 3 groups, sources 00"


def test_info_of_a_dbc_says_what_it_holds(run):
    code, out, _ = run("info", DBC)
    # dbc/README.md: 35 messages, 240 signals
    assert code == 0 and "35 messages, 240 signals, DBC" in out
    facts = json.loads(run("info", DBC, "--json")[1])
    assert facts["logs"][0]["kind"] == "dbc" and facts["logs"][0]["n_signals"] == 240
