"""Values that a frame of J1939 or NMEA 2000 itself says are none.

Oracle: SAE J1939-71, table of transmitted signal ranges, by hand:

    range             1 byte       2 bytes          4 bytes
    valid             00..FA       0000..FAFF       00000000..FAFFFFFF
    indicator, future FB..FD       FB00..FDFF       FB000000..FDFFFFFF
    error             FE           FE00..FEFF       FE000000..FEFFFFFF
    not available     FF           FF00..FFFF       FF000000..FFFFFFFF

discrete parameters of 2 bits: 10 error, 11 not available. Its SLOTs of 10, 12 and 24 bits end at
1003, 4015 and 16,449,535. NMEA 2000: the largest value of a field is "not available", one less
"out of range"; fields of 2 and 3 bits have the first only.
"""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode, find_origins, iter_decode, split
from stagelog.decode.missing import ERROR, NOT_AVAILABLE, RESERVED
from stagelog.model import EXT, FRAME

# EEC1 (0xF004) and ET1 (0xFEEE) of the standard; a group of the manufacturer (0xFF10); DM1
TRUCK = f"""VERSION ""
BU_: X
BO_ {0x0CF00400 | 1 << 31} EEC1: 8 X
 SG_ Byte : 0|8@1+ (1,-125) [0|0] "%" X
 SG_ Word : 8|16@1+ (0.125,0) [0|8031.875] "rpm" X
 SG_ Long : 24|32@1+ (1,0) [0|0] "" X
 SG_ Switch : 56|2@1+ (1,0) [0|3] "" X
 SG_ Mode : 58|4@1+ (1,0) [0|15] "" X
 SG_ Named : 62|2@1+ (1,0) [0|3] "" X
BO_ {0x18FEEE00 | 1 << 31} ET1: 8 X
 SG_ Ten : 0|10@1+ (1,0) [0|0] "" X
 SG_ Twelve : 10|12@1+ (1,0) [0|0] "" X
 SG_ Three : 24|24@1+ (1,0) [0|0] "" X
 SG_ Signed : 48|8@1- (1,0) [0|0] "" X
 SG_ Bit : 56|1@1+ (1,0) [0|0] "" X
BO_ {0x18FF1000 | 1 << 31} Own: 8 X
 SG_ Counter : 0|16@1+ (1,0) [0|0] "" X
BO_ {0x18FECA00 | 1 << 31} DM1: 8 X
 SG_ Fmi : 32|5@1+ (1,0) [0|31] "" X
BA_DEF_ "ProtocolType" STRING ;
BA_DEF_DEF_ "ProtocolType" "";
BA_ "ProtocolType" "J1939";
VAL_ {0x0CF00400 | 1 << 31} Named 0 "off" 1 "on" 2 "Error" 3 "fast" ;
VAL_ {0x0CF00400 | 1 << 31} Mode 15 "Not available" 14 "winter" ;
"""
EEC1, ET1, OWN, DM1 = 0x0CF00400, 0x18FEEE00, 0x18FF1000, 0x18FECA00


def frames_of(rows):
    """Return a frame table of [(identifier, 8 bytes)], one a millisecond."""
    table = np.zeros(len(rows), FRAME)
    for k, (can_id, data) in enumerate(rows):
        table[k] = (1000 * k, can_id, 0, EXT, 8, 8, 0)
        table["data"][k] = list(data)
    return table


@pytest.fixture
def truck(tmp_path):
    path = tmp_path / "truck.dbc"
    path.write_text(TRUCK)
    return compile_plan(load_database(path))


def bits(start, length, value):
    """Return the 8 bytes of an Intel signal with that raw value, all other bits 0."""
    return ((value & (1 << length) - 1) << start).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("can_id", "name", "start", "length", "valid", "special"),
    [
        (EEC1, "Byte", 0, 8, [0, 1, 0xFA], {0xFB: "r", 0xFD: "r", 0xFE: "e", 0xFF: "n"}),
        (EEC1, "Word", 8, 16, [0, 0xFF, 0xFAFF],
         {0xFB00: "r", 0xFDFF: "r", 0xFE00: "e", 0xFEFF: "e", 0xFF00: "n", 0xFFFF: "n"}),
        (EEC1, "Long", 24, 32, [0, 0xFFFF, 0xFAFFFFFF],
         {0xFB000000: "r", 0xFDFFFFFF: "r", 0xFE000000: "e", 0xFEFFFFFF: "e",
          0xFF000000: "n", 0xFFFFFFFF: "n"}),
        (EEC1, "Switch", 56, 2, [0, 1], {2: "e", 3: "n"}),
        (ET1, "Ten", 0, 10, [0, 1003], {1004: "r", 0x3F8: "e", 0x3FB: "e", 0x3FC: "n"}),
        (ET1, "Twelve", 10, 12, [0, 4015], {4016: "r", 0xFE0: "e", 0xFEF: "e", 0xFF0: "n"}),
        (ET1, "Three", 24, 24, [0, 16_449_535], {16_449_536: "r", 0xFE0000: "e", 0xFF0000: "n"}),
        (ET1, "Signed", 48, 8, [0, 127, -128, -1], {}),
        (ET1, "Bit", 56, 1, [0, 1], {}),
        (EEC1, "Named", 62, 2, [0, 1, 3], {2: "e"}),
        (EEC1, "Mode", 58, 4, [0, 13, 14], {15: "n"}),
        (OWN, "Counter", 0, 16, [0, 0xFE00, 0xFFFF], {}),
        (DM1, "Fmi", 32, 5, [0, 30, 31], {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["phys", "raw", "f32"])
def test_the_ranges_of_the_standard(truck, can_id, name, start, length, valid, special, mode):
    """Valid values and special ones alternate: places and kinds are those of their frames."""
    rows = [value for pair in zip(valid * 9, [*special, *[None] * 9]) for value in pair]  # noqa: B905
    rows = [value for value in rows if value is not None]
    table = frames_of([(can_id, bits(start, length, value)) for value in rows])
    [message] = decode(table, truck, mode).messages.values()
    signal = message.message.signal(name)
    wanted = [(k, v) for k, v in enumerate(rows) if v not in special]
    scale, offset = (1, 0) if mode == "raw" else (signal.scale, signal.offset)
    values = np.array([v * scale + offset for _, v in wanted])
    t_us, found = message.series(name)
    assert t_us.tolist() == [1000 * k for k, _ in wanted]
    assert found.tolist() == values.astype(np.float32 if mode == "f32" else np.float64).tolist()
    kinds = {"r": RESERVED, "e": ERROR, "n": NOT_AVAILABLE}
    told = [(k, kinds[special[v]]) for k, v in enumerate(rows) if v in special]
    missing = message.missing.get(name)
    rows_and_kinds = list(zip(missing.rows, missing.kinds, strict=True)) if missing else []
    assert rows_and_kinds == told
    assert np.isnan(message.dense(name)).sum() == len(told)


def test_chunks_counts_and_sources(truck):
    """Two sources, three tables: 4 frames of 0x21 without a value, 2 errors of 0x00."""
    rows = [(EEC1, bits(8, 16, 8000))] * 5 + [(EEC1 | 0x21, bits(8, 16, 0xFFFF))] * 4
    rows += [(EEC1, bits(8, 16, 0xFE12))] * 2
    table = frames_of(rows)
    parts = list(iter_decode([table[:4], table[4:8], table[8:]], truck))
    assert [p.missing for p in parts] == [
        {},
        {"EEC1.Word": {"not available": 3}},
        {"EEC1.Word": {"error": 2, "not available": 1}},
    ]
    whole = decode(table, truck)
    assert whole.n_decoded == 11 and whole["EEC1"].series("Word")[1].tolist() == [1000.0] * 5
    apart = split(whole, find_origins([whole]).names())
    assert apart["EEC1@sa21"].missing["Word"].rows.tolist() == [0, 1, 2, 3]
    assert apart["EEC1@sa00"].missing["Word"].counts() == {"error": 2}
    assert apart["EEC1@sa00"].missing["Word"].rows.tolist() == [5, 6]


# PGN 127488 (engine, rapid update: 0x1F200) and 129025 (position: 0x1F801)
BOAT = f"""VERSION ""
BU_: X
BO_ {0x09F20000 | 1 << 31} Engine: 8 X
 SG_ Instance : 0|8@1+ (1,0) [0|0] "" X
 SG_ Speed : 8|16@1+ (0.25,0) [0|0] "rpm" X
 SG_ Tilt : 40|8@1- (1,0) [0|0] "%" X
 SG_ Two : 48|2@1+ (1,0) [0|0] "" X
 SG_ Three : 50|3@1+ (1,0) [0|0] "" X
 SG_ Four : 53|4@1+ (1,0) [0|0] "" X
BO_ {0x09F80100 | 1 << 31} Position: 8 X
 SG_ Latitude : 0|32@1- (1E-007,0) [0|0] "deg" X
BO_ {0x0DF80500 | 1 << 31} Gnss: 43 X
 SG_ Latitude64 : 56|64@1- (1E-016,0) [0|0] "deg" X
"""


@pytest.mark.parametrize(
    ("can_id", "name", "start", "length", "valid", "special"),
    [
        (0x09F20000, "Speed", 8, 16, [0, 0xFB00, 65533], {65534: "e", 65535: "n"}),
        (0x09F20000, "Tilt", 40, 8, [0, 125, -1, -128], {126: "e", 127: "n"}),
        (0x09F20000, "Two", 48, 2, [0, 2], {3: "n"}),
        (0x09F20000, "Three", 50, 3, [0, 6], {7: "n"}),
        (0x09F20000, "Four", 53, 4, [0, 13], {14: "e", 15: "n"}),
        (0x09F80100, "Latitude", 0, 32, [0, -(1 << 31), 0x7FFFFFFD],
         {0x7FFFFFFE: "e", 0x7FFFFFFF: "n"}),
    ],
)  # fmt: skip
def test_the_ranges_of_nmea_2000(tmp_path, can_id, name, start, length, valid, special):
    path = tmp_path / "boat.dbc"
    path.write_text(BOAT)
    rows = [*valid, *special]
    table = frames_of([(can_id, bits(start, length, value)) for value in rows])
    [message] = decode(table, compile_plan(load_database(path)), "raw").messages.values()
    assert message.series(name)[1].tolist() == valid
    told = [{"e": ERROR, "n": NOT_AVAILABLE}[kind] for kind in special.values()]
    assert message.missing[name].kinds.tolist() == told


def write(folder, rows):
    lines = [f"({k}.000000) can0 {i:08X}#{data.hex()}\n" for k, (i, data) in enumerate(rows)]
    (folder / "x.log").write_text("".join(lines))


PLAIN = TRUCK[: TRUCK.index("BA_DEF_ ")]  # the same DBC without the word J1939
# EEC1, ET1 and CCVS1 of the engine and the speedometer: three groups that every truck has
TRAFFIC = [(EEC1 | 0x17, bits(8, 16, 0xFFFF)), (ET1, bytes(8)), (0x18FEF100, bytes(8))]


def test_the_protocol_comes_from_the_traffic(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.dbc").write_text(PLAIN)
    write(tmp_path, TRAFFIC)
    code, out, err = run("decode", "x.log", "--dbc", "x.dbc", "--out", "a")
    assert code == 0 and "the traffic is J1939: x.dbc is read so" in err
    assert "EEC1.Word has no value: 1 not available" in out
    eec1 = pq.read_table("a/EEC1.parquet")
    assert eec1["source"].to_pylist() == [0x17] and eec1["Word"].to_pylist() == [None]
    code, out, err = run("decode", "x.log", "--dbc", "x.dbc", "--out", "b", "--no-j1939", "--json")
    [session] = json.loads(out)["sessions"]
    assert (session["n_decoded"], session["missing"], err) == (1, [], "")
    # Two such groups are no proof: the switch says it then.
    write(tmp_path, TRAFFIC[:2])
    code, out, _ = run("decode", "x.log", "--dbc", "x.dbc", "--out", "c", "--json")
    assert json.loads(out)["sessions"][0]["n_decoded"] == 1
    code, out, _ = run("decode", "x.log", "--dbc", "x.dbc", "--out", "d", "--j1939", "--json")
    [session] = json.loads(out)["sessions"]
    assert session["n_decoded"] == 2
    assert session["missing"] == [{"signal": "EEC1.Word", "not_available": 1}]


def test_convert_plot_and_check_know_it_too(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.dbc").write_text(PLAIN)
    write(tmp_path, [*TRAFFIC, (EEC1, bits(8, 16, 8000))])
    code, out, err = run("convert", "x.log", "x.csv", "--dbc", "x.dbc", "--rate-Hz", 1)
    assert code == 0 and "the traffic is J1939" in err and "Word has no value: 1 not av" in out
    code, out, err = run("dbc", "check", "x.dbc", "--log", "x.log", "--json")
    facts = json.loads(out)["log"]
    assert facts["missing"] == [{"signal": "EEC1.Word", "not_available": 1}]
    assert facts["out_of_range"] == [] and "the traffic is J1939" in err
    code, out, _ = run("plot", "x.log", "--dbc", "x.dbc", "--strip", "Word", "--out", "x.svg")
    assert code == 0 and "1 sample" in out and "1 samples" not in out
    assert run("dbc", "check", "x.dbc", "--j1939")[0] == 2
    assert run("convert", "x.log", "y.log", "--j1939")[0] == 2
