"""The decode engine beside the oracle: counts, short frames, J1939, selection, FD, batches."""

import tracemalloc

import numpy as np
import pytest

from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode, engine, iter_decode
from stagelog.decode.lookup import Lookup, pgn_key
from stagelog.errors import UsageError
from stagelog.model import ERR, EXT, FD, FRAME, FRAME_FD, RTR, SUSPECT

DBC = """BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
 SG_ Torque : 16|16@1- (0.1,-10) [0|0] "Nm" ECU
 SG_ State : 56|8@1+ (1,0) [0|0] "" ECU
BO_ 257 Temps: 4 ECU
 SG_ Sel M : 0|8@1+ (1,0) [0|0] "" ECU
 SG_ Oil m0 : 8|8@1+ (1,-40) [0|0] "degC" ECU
 SG_ Water m1 : 8|16@1+ (0.1,-40) [0|0] "degC" ECU
BO_ 2147483905 Long: 8 ECU
 SG_ Far : 0|8@1+ (1,0) [0|0] "" ECU
VAL_ 256 State 0 "off" 1 "on" ;
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(DBC)
    return load_database(path)


def frame_table(*rows, dtype=FRAME):
    """Return frames from (can_id, payload in hex, flags, bus)."""
    frames = np.zeros(len(rows), dtype)
    for k, row in enumerate(rows):
        can_id, payload, flags, bus = (*row, 0, 0)[:4] if len(row) < 4 else row
        data = bytes.fromhex(payload)
        frames[k]["t_us"], frames[k]["can_id"], frames[k]["flags"] = 10 * k, can_id, flags
        frames[k]["bus"], frames[k]["n_bytes"] = bus, len(data)
        frames["data"][k, : len(data)] = list(data)
    return frames


def test_values_times_and_buses(database):
    frames = frame_table(
        (0x100, "04 00 0a 00 00 00 00 01"),
        (0x101, "00 50"),
        (0x100, "08 00 f6 ff 00 00 00 00", 0, 3),
    )
    decoded = decode(frames, compile_plan(database))
    table = decoded["Engine"]
    assert table.t_us.tolist() == [0, 20]
    assert table.bus.tolist() == [0, 3]
    assert table.signals["Speed"].tolist() == [1.0, 2.0]
    assert table.signals["Torque"].tolist() == [10 * 0.1 - 10, -10 * 0.1 - 10]
    assert table.source is None and table.rows == {}
    assert list(decoded.messages) == ["Engine", "Temps"]
    t_us, values = decoded.series("Oil")
    assert (t_us.tolist(), values.tolist()) == ([10], [40.0])
    assert decoded.series("Engine.Speed")[1].tolist() == [1.0, 2.0]


def test_raw_values_have_the_smallest_type_and_labels(database):
    frames = frame_table((0x100, "04 00 f6 ff 00 00 00 01"), (0x100, "04 00 f6 ff 00 00 00 07"))
    table = decode(frames, compile_plan(database), "raw")["Engine"]
    assert {k: v.dtype.str for k, v in table.signals.items()} == {
        "Speed": "<u2",
        "Torque": "<i2",
        "State": "|u1",
    }
    assert table.signals["Torque"].tolist() == [-10, -10]
    assert table.labels("State").tolist() == ["on", "7"]


def test_everything_that_is_not_decoded_is_counted(database):
    frames = frame_table(
        (0x100, "00" * 8),
        (0x100, "", RTR),
        (0x100, "00" * 8, ERR),
        (0x100, "00" * 8, SUSPECT),
        (0x100, "00" * 8, EXT),
        (0x101, "00" * 4, EXT),
        (0x555, "00"),
        (0x555, "00"),
        (0x1FFFFFFF, "00", EXT),
        (0x100, "00" * 8, 0, 1),
    )
    decoded = decode(frames, compile_plan(database, buses=[0]))
    assert (decoded.n_frames, decoded.n_decoded) == (10, 2)
    assert decoded.messages.keys() == {"Engine", "Long"}
    assert (decoded.n_not_data, decoded.n_suspect, decoded.n_other_bus) == (2, 1, 1)
    assert decoded.unknown == {(0x555, False): 2, (0x100, True): 1, (0x1FFFFFFF, True): 1}
    n_all = decoded.n_decoded + decoded.n_unknown + decoded.n_not_data
    assert n_all + decoded.n_suspect + decoded.n_other_bus == decoded.n_frames
    assert decode(frames, compile_plan(database), with_suspects=True).n_decoded == 4


def test_short_frames_give_what_they_hold(database):
    frames = frame_table(
        (0x100, "04 00 0a 00 00 00 00 01"),
        (0x100, "08 00"),
        (0x100, "0c"),
        (0x100, ""),
        (0x100, "10 00 0a 00"),
        (0x101, ""),
        (0x101, "00"),
        (0x101, "01 ff"),
        (0x101, "00 29"),
    )
    decoded = decode(frames, compile_plan(database))
    table = decoded["Engine"]
    assert len(table) == 5
    assert table.series("Speed")[0].tolist() == [0, 10, 40]
    assert table.signals["Speed"].tolist() == [1, 2, 4]
    assert table.signals["State"].tolist() == [1]
    assert table.n_short == {"Speed": 2, "Torque": 3, "State": 4}
    assert np.isnan(table.dense("Speed")).tolist() == [False, False, True, True, False]
    temps = decoded["Temps"]
    assert temps.signals["Sel"].tolist() == [0, 1, 0]
    assert temps.series("Oil")[1].tolist() == [1.0]
    assert len(temps.signals["Water"]) == 0
    # without a selector value it is not known which signal is missing: only the selector counts
    assert temps.n_short == {"Sel": 1, "Oil": 1, "Water": 1}
    assert decoded.n_short == 12


def test_no_frames_and_no_messages(database):
    decoded = decode(np.empty(0, FRAME), compile_plan(database))
    assert decoded.messages == {} and decoded.n_frames == 0


def test_unknown_mode(database):
    with pytest.raises(UsageError, match="no decode mode"):
        decode(np.empty(0, FRAME), compile_plan(database), "text")


def test_selection(database):
    assert compile_plan(database).n_signals == 7
    assert compile_plan(database, ["Speed"]).n_signals == 1
    assert compile_plan(database, "Engine").n_signals == 3
    assert compile_plan(database, ["Engine.*", "Oil"]).n_signals == 4
    frames = frame_table((0x101, "01 00 02 00"), (0x100, "00" * 8))
    decoded = decode(frames, compile_plan(database, ["Water"]))
    assert {k: list(t.signals) for k, t in decoded.messages.items()} == {"Temps": ["Water"]}
    assert decoded.series("Water")[1].tolist() == [512 * 0.1 - 40]
    assert decoded.n_unknown == 1
    with pytest.raises(UsageError, match="did you mean Speed"):
        compile_plan(database, ["Sped"])


def test_j1939_matches_by_pgn_and_keeps_the_source(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(
        "BU_: ECU\n"
        f"BO_ {0x98F00400 | 0xFE} EEC1: 8 ECU\n"
        ' SG_ EngSpeed : 24|16@1+ (0.125,0) [0|0] "rpm" ECU\n'
        f"BO_ {0x98EA0000 | 0xFFFE} RQST: 3 ECU\n"
        ' SG_ Pgn : 0|24@1+ (1,0) [0|0] "" ECU\n'
        f"BO_ {0x98FEF100} CCVS1: 8 ECU\n"
        ' SG_ A : 0|8@1+ (1,0) [0|0] "" ECU\n'
        f"BO_ {0x98FEF127} CCVS2: 8 ECU\n"
        ' SG_ B : 0|8@1+ (1,0) [0|0] "" ECU\n'
        'BA_DEF_ "ProtocolType" STRING ;\nBA_ "ProtocolType" "J1939";\n'
    )
    plan = compile_plan(load_database(path))
    engine_data = "ff ff ff 40 1f ff ff ff"
    frames = frame_table(
        (0x0CF00400, engine_data, EXT),
        (0x18F00403, engine_data, EXT),
        (0x18F00500, engine_data, EXT),  # another PGN
        (0x18EA00F9, "ec fe 00", EXT),  # to address 0
        (0x18EA21F9, "ec fe 00", EXT),  # to address 0x21: the same PGN
        (0x18FEF103, "07", EXT),
        (0x18FEF127, "08", EXT),
    )
    decoded = decode(frames, plan)
    assert decoded["EEC1"].source.tolist() == [0x00, 0x03]
    assert decoded["EEC1"].signals["EngSpeed"].tolist() == [1000.0, 1000.0]
    assert decoded["RQST"].source.tolist() == [0xF9, 0xF9]
    assert decoded["CCVS1"].signals["A"].tolist() == [7]  # any source but that of CCVS2
    assert decoded["CCVS2"].signals["B"].tolist() == [8]
    assert decoded.unknown == {(0x18F00500, True): 1}


J1939_TWINS = (
    "BU_: ECU\n"
    f"BO_ {0x98F00400} EEC1_Engine: 8 ECU\n"  # bit 31 is the DBC's mark of 29 bits
    ' SG_ Rpm : 24|16@1+ (0.125,0) [0|0] "rpm" ECU\n'
    f"BO_ {0x98F00403} EEC1_Gearbox: 8 ECU\n"
    ' SG_ Rpm : 24|16@1+ (0.125,0) [0|0] "rpm" ECU\n'
    'BA_DEF_ "ProtocolType" STRING ;\nBA_ "ProtocolType" "J1939";\n'
)


@pytest.mark.parametrize("name", ["EEC1_Engine", "EEC1_Gearbox"])
def test_a_selection_never_changes_which_message_a_j1939_frame_belongs_to(tmp_path, name):
    # 0x0CF00400 is priority 3, PGN 0xF004 (61,444), source 0x00; 0x18F00403 is priority 6, the
    # same PGN, source 0x03. Word 0x1F40 is 8,000 * 0.125 = 1,000 rpm, 0x0FA0 is 500 rpm.
    path = tmp_path / "x.dbc"
    path.write_text(J1939_TWINS)
    database = load_database(path)
    frames = frame_table(
        (0x0CF00400, "ff ff ff 40 1f ff ff ff", EXT),
        (0x18F00403, "ff ff ff a0 0f ff ff ff", EXT),
        (0x0CF00400, "ff ff ff 40 1f ff ff ff", EXT),
        (0x0CF00400, "ff ff ff 40 1f ff ff ff", EXT),
    )
    wanted = {"EEC1_Engine": ([1000.0] * 3, [0, 0, 0]), "EEC1_Gearbox": ([500.0], [3])}[name]
    for plan in (compile_plan(database), compile_plan(database, [f"{name}.Rpm"])):
        table = decode(frames, plan)[name]
        assert (table.signals["Rpm"].tolist(), table.source.tolist()) == wanted


def test_pgn_key():
    assert pgn_key(0x18EA21F9) == 0x00EA0000
    assert pgn_key(0x18FEF127) == 0x00FEF100
    assert pgn_key(0x1DFEF127) == 0x01FEF100  # data page is part of the PGN
    assert pgn_key(0x18FEF127, 0xFF) == 0x00FEF127


@pytest.mark.parametrize("n", [3, 251, 252, 253, 700, 1500])
def test_lookup_finds_every_identifier_among_many(n):
    class Message:
        is_j1939 = False

        def __init__(self, can_id, is_ext):
            self.can_id, self.is_ext = can_id, is_ext

    rng = np.random.default_rng(n)
    extended = rng.choice(1 << 29, n, replace=False).tolist()
    standard = rng.choice(2048, min(n, 700), replace=False).tolist()
    messages = [Message(k, True) for k in extended] + [Message(k, False) for k in standard]
    lookup = Lookup(messages)
    frames = np.zeros(2 * len(messages), FRAME)
    frames["can_id"][: len(messages)] = [m.can_id for m in messages]
    frames["flags"][: len(messages)] = [EXT if m.is_ext else 0 for m in messages]
    frames["can_id"][len(messages) :] = rng.integers(0, 1 << 29, len(messages))
    frames["flags"][len(messages) :] = EXT
    codes = lookup.codes(frames, False)
    assert codes[: len(messages)].tolist() == list(range(len(messages)))
    known = set(extended)
    for can_id, code in zip(frames["can_id"].tolist(), codes.tolist(), strict=True):
        if can_id not in known and code < n:
            raise AssertionError(can_id)


def test_fd_payloads_and_signals_over_nine_bytes(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(
        "BU_: ECU\nBO_ 1 M: 64 ECU\n"
        ' SG_ Intel : 443|64@1+ (1,0) [0|0] "" ECU\n'
        ' SG_ Motorola : 4|64@0- (1,0) [0|0] "" ECU\n'
        ' SG_ Signed : 101|62@1- (1,0) [0|0] "" ECU\n'
        ' SG_ Unsigned : 230|63@0+ (1,0) [0|0] "" ECU\n'
        ' SG_ Last : 504|8@1+ (1,0) [0|0] "" ECU\n'
    )
    database = load_database(path)
    rng = np.random.default_rng(5)
    frames = np.zeros(50, FRAME_FD)
    frames["can_id"], frames["flags"], frames["n_bytes"] = 1, FD, 64
    frames["data"] = rng.integers(0, 256, (50, 64))
    table = decode(frames, compile_plan(database), "raw")["M"]
    for k in range(50):
        payload = frames["data"][k].tobytes()
        little, big = int.from_bytes(payload, "little"), int.from_bytes(payload, "big")
        assert table.signals["Intel"][k] == (little >> 443) & (2**64 - 1)
        motorola = (big >> (512 - 3 - 64)) & (2**64 - 1)
        assert table.signals["Motorola"][k] == motorola - (motorola >> 63 << 64)
        signed = (little >> 101) & (2**62 - 1)
        assert table.signals["Signed"][k] == signed - (signed >> 61 << 62)
        # bit 230 is the second from the top of byte 28
        assert table.signals["Unsigned"][k] == (big >> (512 - 28 * 8 - 1 - 63)) & (2**63 - 1)
        assert table.signals["Last"][k] == payload[63]
    # the same message in a table of classic frames holds none of them
    classic = frame_table((1, "00" * 8))
    assert decode(classic, compile_plan(database))["M"].n_short == {
        "Intel": 1,
        "Motorola": 1,
        "Signed": 1,
        "Unsigned": 1,
        "Last": 1,
    }


def test_what_cannot_be_decoded_is_named(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(
        'BU_: ECU\nBO_ 1 M: 8 ECU\n SG_ Wide : 0|72@1+ (1,0) [0|0] "" ECU\n'
        ' SG_ Ok : 0|8@1+ (1,0) [0|0] "" ECU\n'
    )
    plan = compile_plan(load_database(path))
    assert plan.left_out == {"M.Wide": "72 bits; at most 64 can be decoded"}
    assert plan.n_signals == 1


def many_frames(n, seed=3):
    rng = np.random.default_rng(seed)
    frames = np.zeros(n, FRAME)
    frames["t_us"] = np.arange(n)
    frames["can_id"] = rng.choice([0x100, 0x101, 0x102], n)
    frames["n_bytes"] = rng.choice([8, 8, 8, 1], n)
    frames["data"] = rng.integers(0, 256, (n, 8))
    frames["data"][:, 0] &= 1
    return frames


def test_chunks_of_any_size_give_the_same(database, monkeypatch):
    frames = many_frames(5000)
    plan = compile_plan(database)
    whole = decode(frames, plan)
    parts = list(iter_decode(np.array_split(frames, 7), plan))
    monkeypatch.setattr(engine, "CHUNK_FRAMES", 64)
    small = decode(frames, plan)
    for name, table in whole.messages.items():
        for signal in table.signals:
            t_us, values = table.series(signal)
            for other in (small[name].series(signal),):
                np.testing.assert_array_equal(other[0], t_us)
                np.testing.assert_array_equal(other[1], values)
            joined = [p[name].series(signal) for p in parts]
            np.testing.assert_array_equal(np.concatenate([j[0] for j in joined]), t_us)
            np.testing.assert_array_equal(np.concatenate([j[1] for j in joined]), values)
        assert small[name].n_short == table.n_short


def test_a_selector_of_many_values_costs_no_memory_per_value(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(
        'BU_: ECU\nBO_ 1 M: 8 ECU\n SG_ S M : 0|32@1+ (1,0) [0|0] "" ECU\n'
        ' SG_ U m0 : 32|8@1+ (1,0) [0|0] "" ECU\nSG_MUL_VAL_ 1 U S 5-4294967290;\n'
    )
    frames = frame_table((1, "05 00 00 00 2a"), (1, "04 00 00 00 2a"), (1, "ff ff ff ff 2a"))
    tracemalloc.start()
    decoded = decode(frames, compile_plan(load_database(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert decoded.series("U")[0].tolist() == [0]
    assert peak < 10_000_000  # 4,294,967,286 values
