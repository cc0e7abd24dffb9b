"""The encoder against cantools: both byte orders, signs, multiplexing, floats, SNA, checksums."""

import cantools
import numpy as np
import pytest

from stagelog.car.encode import MessageEncoder, load_database, make_encoders
from stagelog.errors import InputError
from stagelog.resources import dbc_path

MIXED = """VERSION ""
BS_:
BU_: A
BO_ 291 Mixed: 8 A
 SG_ Intel12 : 12|12@1+ (0.5,-10) [0|0] "" A
 SG_ Moto12 : 36|12@0- (1,0) [0|0] "" A
 SG_ Odd3 : 1|3@1- (1,0) [0|0] "" A
 SG_ Moto15 : 55|15@0+ (0.25,3) [0|0] "" A
BO_ 292 Floats: 8 A
 SG_ Single : 7|32@0- (1,0) [0|0] "" A
 SG_ Other : 32|32@1- (1,0) [0|0] "" A
BO_ 293 Whole: 8 A
 SG_ Wide : 0|64@1+ (1,0) [0|0] "" A
SIG_VALTYPE_ 292 Single : 1;
SIG_VALTYPE_ 292 Other : 1;
"""


def payloads(words):
    return [bytes(row) for row in words.view(np.uint8).reshape(-1, 8)]


def random_values(encoder, n, rng, mux=None):
    return {
        s.name: rng.uniform(s.low, s.high, n)
        for s in encoder.signals.values()
        if s.name != encoder.mux and s.function == "Plain"
    }


@pytest.mark.parametrize("name", ["d7xr.dbc", "d7xr_mule.dbc"])
def test_encode_decodes_in_cantools_to_the_same_value(name):
    database, rng, n = load_database(dbc_path() / name), np.random.default_rng(3), 20
    for encoder in make_encoders(dbc_path() / name).values():
        mux = None
        if encoder.mux:
            mux = encoder.mux_values[np.arange(n) % len(encoder.mux_values)]
        values = random_values(encoder, n, rng)
        words = encoder.encode(values, n, mux, np.arange(n) + 250)
        message = database.get_message_by_name(encoder.name)
        for i, data in enumerate(payloads(words)):
            assert data[message.length :] == bytes(8 - message.length)
            decoded = message.decode(data[: message.length], decode_choices=False)
            for signal, value in decoded.items():
                layout = encoder.signals[signal]
                if signal in values:
                    wanted = values[signal][i]
                    assert abs(value - wanted) <= 0.51 * layout.scale, (encoder.name, signal)
                elif layout.function == "Counter":
                    assert value == (i + 250) % (1 << layout.length)


def test_encode_equals_cantools_when_layouts_are_awkward():
    database = cantools.database.load_string(MIXED, "dbc")
    rng, n = np.random.default_rng(5), 200
    for message in database.messages:
        encoder = MessageEncoder(message)
        values = {}
        for signal in message.signals:
            if signal.is_float:
                values[signal.name] = rng.normal(0, 1e6, n).astype(np.float32).astype(float)
                continue
            low = -(1 << (signal.length - 1)) if signal.is_signed else 0
            high = (1 << min(signal.length, 53)) - 1 + low
            raw = rng.integers(low, high, n, endpoint=True)
            values[signal.name] = raw * float(signal.scale) + float(signal.offset)
        got = payloads(encoder.encode(values, n))
        for i in range(n):
            row = {name: column[i] for name, column in values.items()}
            assert got[i] == message.encode(row, strict=False), (message.name, row)


def test_nan_becomes_not_available():
    encoders = make_encoders(dbc_path() / "d7xr.dbc")
    words = encoders["DMP_Pos"].encode({"DmpPosFR": np.array([np.nan, 100.0])}, 2)
    assert payloads(words)[0][2:4] == b"\xff\xff"
    assert payloads(words)[1][2:4] == (10000).to_bytes(2, "little")
    words = encoders["IMU_Accel"].encode({"AccX": np.array([np.nan])}, 1)
    assert payloads(words)[0][:2] == b"\x00\x80"


def test_values_beyond_the_range_are_clamped():
    encoder = make_encoders(dbc_path() / "d7xr.dbc")["DRV_Temp"]
    words = encoder.encode({"DiffOilTempF": np.array([-300.0, 9000.0])}, 2)
    low, high = (int.from_bytes(p[:2], "little") for p in payloads(words))
    assert (low, high) == (0, 3100)


def test_checksum_is_that_of_the_readme():
    encoder = make_encoders(dbc_path() / "d7xr.dbc")["ENG_1"]
    words = encoder.encode({"EngSpd": np.linspace(700, 6000, 40)}, 40, None, np.arange(40))
    for data in payloads(words):
        body = sum(data[:7]) + (data[7] & 0x0F)
        assert data[7] >> 4 == (body + 0x100) % 16


def test_multiplexed_signals_come_only_in_their_own_frames():
    encoder = make_encoders(dbc_path() / "d7xr.dbc")["TPMS"]
    values = {"TyrPresFL": np.full(4, 200.0), "TyrPresFR": np.full(4, 300.0)}
    mux = np.array([0, 1, 2, 0])
    first = [int.from_bytes(p[1:3], "little") for p in payloads(encoder.encode(values, 4, mux))]
    assert first == [2000, 3000, 0, 2000]


def test_a_long_message_is_refused():
    text = 'VERSION ""\nBS_:\nBU_: A\nBO_ 1 Long: 64 A\n SG_ X : 0|8@1+ (1,0) [0|0] "" A\n'
    message = cantools.database.load_string(text, "dbc").messages[0]
    with pytest.raises(InputError, match="64 bytes"):
        MessageEncoder(message)


def test_an_unreadable_dbc_is_an_input_error(tmp_path):
    (tmp_path / "bad.dbc").write_text("this is no DBC")
    for path in (tmp_path / "bad.dbc", tmp_path / "none.dbc"):
        with pytest.raises(InputError, match=str(path)):
            load_database(path)
