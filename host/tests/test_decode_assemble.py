"""Messages of several frames: NMEA 2000 fast packets and J1939 transport, put together.

Payloads are cut into frames here by hand, as the heads of the standards' frames say; the values of
whole payloads come from cantools, or are written out.
"""

import random

import numpy as np
import pytest

from stagelog.cli import main
from stagelog.dbc import load_database
from stagelog.dbc.late_tester import import_cantools
from stagelog.decode import compile_plan, decode, iter_decode
from stagelog.model import EXT, FRAME, SUSPECT

# PGN 129029 (0x1F805, 43 bytes, fast packet), PGN 65226 (0xFECA, DM1, 8 bytes or by transport),
# PGN 65260 (0xFEEC, vehicle identification, by transport), PGN 61184 to one address (0xEF00).
GNSS, DM1, VIN, TO_ONE = 0x0DF80523, 0x18FECA00, 0x18FEEC00, 0x18EF2503
TEXT = f"""VERSION ""
BU_: X
BO_ {GNSS | 1 << 31} Gnss: 43 X
 SG_ Sid : 0|8@1+ (1,0) [0|0] "" X
 SG_ Latitude : 56|48@1- (1e-16,0) [0|0] "deg" X
 SG_ Longitude : 120|48@1- (1e-16,0) [0|0] "deg" X
 SG_ Satellites : 264|8@1+ (1,0) [0|0] "" X
 SG_ Odd : 187|12@1+ (0.5,-10) [0|0] "" X
 SG_ Last : 336|8@1+ (1,0) [0|0] "" X
 SG_ Crossing : 311|18@1+ (1,0) [0|0] "" X
 SG_ Big : 207|20@0- (1,0) [0|0] "" X
BO_ {DM1 | 1 << 31} Dm1: 8 X
 SG_ Lamps : 0|16@1+ (1,0) [0|0] "" X
 SG_ Spn : 16|16@1+ (1,0) [0|0] "" X
BO_ {VIN | 1 << 31} Vin: 17 X
 SG_ First : 0|8@1+ (1,0) [0|0] "" X
 SG_ Last : 128|8@1+ (1,0) [0|0] "" X
BO_ {TO_ONE | 1 << 31} ToOne: 20 X
 SG_ Word : 144|16@1+ (1,0) [0|0] "" X
BO_ 256 Plain: 8 X
 SG_ Count : 0|16@1+ (1,0) [0|0] "" X
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("n2k") / "n2k.dbc"
    path.write_text(TEXT)
    return compile_plan(load_database(path))


def table(frames):
    """Return a frame table of [(bus, identifier, bytes)], one a millisecond."""
    rows = np.zeros(len(frames), FRAME)
    for k, (bus, can_id, data) in enumerate(frames):
        rows[k] = (1000 * k, can_id, bus, EXT * (can_id > 0x7FF), len(data), len(data), 0)
        rows["data"][k, : len(data)] = list(data)
    return rows


def fast(payload, counter=0, can_id=GNSS, bus=0):
    """Cut a payload: 6 bytes, then 7 each; the last frame is filled with 0xFF."""
    head = counter << 5
    frames = [bytes([head, len(payload)]) + payload[:6]]
    for number, at in enumerate(range(6, len(payload), 7), 1):
        frames.append(bytes([head | number]) + payload[at : at + 7])
    return [(bus, can_id, frame.ljust(8, b"\xff")) for frame in frames]


def transport(payload, pgn, source, to=0xFF, bus=0):
    """Cut a payload: the announcement (32 to all, 16 to one), then 7 bytes each from number 1."""
    n = -(-len(payload) // 7)
    kind = 32 if to == 0xFF else 16
    head = bytes([kind, len(payload), 0, n, 0xFF]) + pgn.to_bytes(3, "little")
    frames = [(bus, 0x18EC0000 | to << 8 | source, head)]
    for k in range(n):
        data = bytes([k + 1]) + payload[7 * k : 7 * k + 7]
        frames.append((bus, 0x18EB0000 | to << 8 | source, data.ljust(8, b"\xff")))
    return frames


def test_the_database_is_taken_as_j1939_by_its_lengths(plan, tmp_path):
    """43 bytes are no length of CAN FD; 64 are, so a 29-bit message of CAN FD stays what it is."""
    assert {m.message.name for m in plan.messages if m.message.is_j1939} == {
        "Gnss", "Dm1", "Vin", "ToOne"
    }  # fmt: skip
    text = (
        TEXT[: TEXT.index("BO_ ")] + 'BO_ 2566848512 Fd: 64 X\n SG_ S : 0|8@1+ (1,0) [0|0] "" X\n'
    )
    (tmp_path / "fd.dbc").write_text(text)
    assert not load_database(tmp_path / "fd.dbc").messages[0].is_j1939


@pytest.mark.parametrize("seed", range(5))
def test_a_fast_packet_has_the_values_of_its_payload(plan, seed):
    payload = random.Random(seed).randbytes(43)
    database = import_cantools().database.load_string(TEXT, "dbc")
    wanted = database.get_message_by_name("Gnss").decode(payload)
    found = decode(table(fast(payload, seed % 8)), plan)
    gnss = found["Gnss"]
    assert {name: values.tolist() for name, values in gnss.signals.items()} == {
        name: [value] for name, value in wanted.items()
    }
    # 6 bytes and 37 in sixes and sevens: 1 + 6 frames; the time is that of the last
    assert found.n_frames == found.n_decoded == 7 and gnss.t_us.tolist() == [6000]
    assert gnss.source.tolist() == [0x23] and not found.unknown


def test_packets_of_two_sources_two_buses_and_two_counters_may_interleave(plan):
    payloads = [bytes([k]) + bytes(42) for k in range(4)]
    kinds = ((GNSS, 0, 1), (GNSS | 0x40, 0, 1), (GNSS, 1, 1), (GNSS, 0, 2))
    cut = [fast(p, c, i, b) for p, (i, b, c) in zip(payloads, kinds, strict=True)]
    mixed = [frame for frames in zip(*cut, strict=True) for frame in frames]
    found = decode(table(mixed), plan)
    assert found["Gnss"].signals["Sid"].tolist() == [0, 1, 2, 3]
    assert found["Gnss"].source.tolist() == [0x23, 0x63, 0x23, 0x23]
    assert found["Gnss"].bus.tolist() == [0, 0, 1, 0] and found.n_decoded == 28


@pytest.mark.parametrize("lost", range(7))
def test_a_packet_without_one_of_its_frames_is_not_decoded(plan, lost):
    """Its other six frames count as incomplete, whichever is missing; the next one is read."""
    frames = fast(b"\x01" * 43, 1)
    del frames[lost]
    found = decode(table(frames + fast(b"\x02" * 43, 2)), plan)
    assert found["Gnss"].signals["Sid"].tolist() == [2]
    assert found.n_frames == 13 and found.n_decoded == 7
    assert found.incomplete == {GNSS: 6} and not found.unknown


def test_a_frame_that_comes_twice_spoils_its_packet_only(plan):
    frames = fast(b"\x01" * 43)
    frames.insert(3, frames[2])
    found = decode(table(frames + fast(b"\x02" * 43)), plan)
    assert found["Gnss"].signals["Sid"].tolist() == [2]
    assert found.n_frames == 15 and found.n_decoded + found.n_incomplete == 15


def test_transport_to_all_and_to_one(plan):
    """17 bytes are 3 frames, 20 are 3, each with one before them; single frames stay."""
    frames = transport(b"WDB9634031L123456", 0xFEEC, 0x11)
    frames += transport(bytes(range(20)), 0xEF00, 0x03, to=0x25)
    frames += [(0, 0x100, b"\x07\x00\x00\x00\x00\x00\x00\x00")]
    found = decode(table(frames), plan)
    assert found["Vin"].signals["First"].tolist() == [ord("W")]
    assert found["Vin"].signals["Last"].tolist() == [ord("6")] and found["Vin"].source[0] == 0x11
    assert found["ToOne"].signals["Word"].tolist() == [18 | 19 << 8]
    assert found["Plain"].signals["Count"].tolist() == [7]
    assert found.n_frames == found.n_decoded == 9


def test_a_message_may_come_in_one_frame_and_in_several(plan):
    """DM1 with one code fits into a frame, with three it is 14 bytes; times stay in order."""
    one = [(0, DM1, bytes([1, 0, 0xAA, 0, 0, 0, 0xFF, 0xFF]))]
    found = decode(table(one + transport(bytes([2, 0, 0xBB, *range(11)]), 0xFECA, 0) + one), plan)
    assert found["Dm1"].signals["Lamps"].tolist() == [1, 2, 1]
    assert found["Dm1"].signals["Spn"].tolist() == [0xAA, 0xBB, 0xAA]
    assert found["Dm1"].t_us.tolist() == [0, 3000, 4000] and found.n_decoded == 5


@pytest.mark.parametrize("frames", [
    transport(bytes(20), 0xFF12, 0x11),  # a PGN that the DBC does not have
    [(0, 0x18EBFF11, b"\x01" * 8)],  # data that nobody announced
    [(0, 0x18ECFF11, b"\x11" * 8)],  # clear to send, from the receiver
    [(0, 0x18ECFF11, b"\x20\x00")],  # a torn announcement
    [(0, 0x18ECFF11, bytes([32, 0, 2, 74, 255, 0xEC, 0xFE, 0]))],  # 512 bytes: too long to hold
])  # fmt: skip
def test_transport_that_is_not_for_us_is_left_as_it_is(plan, frames):
    found = decode(table(frames), plan)
    assert not found.messages and found.n_unknown == found.n_frames == len(frames)


def test_an_aborted_transport_is_not_decoded(plan):
    frames = transport(bytes(20), 0xEF00, 0x03, to=0x25)[:3]
    frames.append((0, 0x18EC2503, bytes([255, 3, 255, 255, 255, 0, 0xEF, 0])))
    found = decode(table(frames), plan)
    assert not found.messages and found.n_frames == 4
    assert (found.n_unknown, found.n_incomplete) == (1, 3)  # the abort itself, and what it ends


def test_a_frame_that_is_suspect_makes_its_packet_suspect(plan):
    frames = table(fast(b"\x01" * 43) + fast(b"\x02" * 43))
    frames["flags"][4] |= SUSPECT
    found = decode(frames, plan)
    assert found["Gnss"].signals["Sid"].tolist() == [2]
    assert (found.n_frames, found.n_decoded, found.n_suspect) == (14, 7, 7)
    both = decode(frames, plan, with_suspects=True)
    assert both["Gnss"].signals["Sid"].tolist() == [1, 2] and both.n_decoded == 14


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_log_in_pieces_gives_what_it_gives_in_one(plan, size):
    """Packets go over the ends of pieces; every frame counts once, the torn end as incomplete."""
    frames = []
    for k in range(20):
        frames += fast(bytes([k]) * 43, k % 8) + transport(bytes([k]) * 17, 0xFEEC, k)
    frames = table(frames + fast(bytes(43))[:4])
    pieces = [frames[at : at + size] for at in range(0, len(frames), size)]
    parts = list(iter_decode(pieces, plan))
    sids = [v for p in parts if "Gnss" in p.messages for v in p["Gnss"].signals["Sid"].tolist()]
    assert sids == list(range(20))
    assert sum(p.n_frames for p in parts) == len(frames) == 20 * 11 + 4
    assert sum(p.n_decoded for p in parts) == 220 and sum(p.n_incomplete for p in parts) == 4


def test_decode_of_a_boat(tmp_path, monkeypatch, capsys):
    """The command: 50 packets of 7 frames and 50 single frames in, 100 messages out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n2k.dbc").write_text(TEXT)
    lines, t = [], 0
    for k in range(50):
        for _, can_id, data in [*fast(bytes([k]) * 43, k % 8), (0, 0x100, bytes([k]) + bytes(7))]:
            name = f"{can_id:08X}" if can_id > 0x7FF else f"{can_id:03X}"
            lines.append(f"({t / 1000:.6f}) can0 {name}#{data.hex().upper()}\n")
            t += 1
    (tmp_path / "boat.log").write_text("".join(lines))
    with pytest.raises(SystemExit) as ended:
        main(["decode", "boat.log", "--dbc", "n2k.dbc", "--out", "out", "--csv"])
    assert not ended.value.code
    assert "400 of 400 frames decoded" in capsys.readouterr().out
    rows = (tmp_path / "out/Gnss.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) == 51 and rows[0].count("Latitude") == 1
