"""Decoding against cantools: random layouts, the car's DBC and the real drive, value by value."""

import struct
from pathlib import Path

import numpy as np
import pytest
from cantools.database.can import Message as OracleMessage
from cantools.database.can import Signal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_drives import DRIVES, OWN, REAL, needs_real

from stagelog.dbc import Database, load_database
from stagelog.dbc import Message as OurMessage
from stagelog.dbc import Signal as OurSignal
from stagelog.decode import compile_plan, decode
from stagelog.importers.candump import read_candump
from stagelog.model import EXT, FD_LENGTHS, FRAME, FRAME_FD

ROOT = Path(__file__).parents[2]
NUMBERS = ["1", "0.1", "0.01", "0.25", "-1", "-0.5", "100", "0.0155168902", "2.155", "1e-3", "0.3"]
OFFSETS = ["0", "-40", "0.5", "100", "-98.85", "1e3"]


@st.composite
def layouts(draw):
    """Return (DBC text, payload length) of one message with random signals, perhaps
    multiplexed.
    """
    n_bytes = draw(st.sampled_from([1, 2, 3, 5, 7, 8, 8, 8, 12, 24, 64]))
    signals, values, types = [], [], []
    is_muxed = draw(st.booleans())
    if is_muxed:
        signals.append(' SG_ Sel M : 0|4@1+ (1,0) [0|0] "" ECU')
    for k in range(draw(st.integers(1, 6))):
        is_motorola = draw(st.booleans())
        kind = draw(st.sampled_from("uuussssfd"))
        room = n_bytes * 8
        length = {"f": 32, "d": 64}.get(kind) or draw(st.integers(1, min(64, room)))
        if length > room:
            continue
        first = draw(st.integers(0, room - length))  # as sent
        start = (first // 8) * 8 + 7 - first % 8 if is_motorola else first
        mark = f" m{draw(st.integers(0, 3))}" if is_muxed and draw(st.booleans()) else ""
        sign = "+" if kind == "u" else "-"
        numbers = f"({draw(st.sampled_from(NUMBERS))},{draw(st.sampled_from(OFFSETS))})"
        layout = f"{start}|{length}@{0 if is_motorola else 1}{sign}"
        signals.append(f' SG_ S{k}{mark} : {layout} {numbers} [0|0] "" ECU')
        if kind in "fd":
            types.append(f"SIG_VALTYPE_ 1 S{k} : {'fd'.index(kind) + 1};")
    text = f"BU_: ECU\nBO_ 1 M: {n_bytes} ECU\n" + "\n".join([*signals, *types, *values, ""])
    return text, n_bytes


def frames_of(payloads, can_id=1, flags=0):
    """Return a frame table of payloads of one identifier."""
    wide = any(len(p) > 8 for p in payloads)
    frames = np.zeros(len(payloads), FRAME_FD if wide else FRAME)
    frames["can_id"], frames["flags"] = can_id, flags
    frames["t_us"] = np.arange(len(payloads))
    for k, payload in enumerate(payloads):
        frames["n_bytes"][k] = len(payload)
        frames["data"][k, : len(payload)] = np.frombuffer(payload, np.uint8)
        frames["dlc"][k] = np.searchsorted(FD_LENGTHS, len(payload))
    return frames


def assert_same(value, wanted, signal):
    """Compare to the bit.

    Integers that float64 cannot hold are rounded, which is on the written list.
    """
    if isinstance(wanted, int):
        wanted = float(wanted)
    if wanted != wanted:
        assert value != value
    elif abs(wanted) > 2**53 and not signal.is_float:
        assert value == pytest.approx(wanted, rel=1e-15)
    else:
        assert value == wanted, signal


def oracle_values(message, oracle, payload):
    """Return name -> value by cantools.

    cantools cannot decode a message whose signals share bits, so each signal is decoded in a
    message of its own; which ones are present is then told by their selectors' raw values.
    """
    alone = {}
    for signal in oracle.signals:
        bare = Signal(
            signal.name,
            signal.start,
            signal.length,
            signal.byte_order,
            signal.is_signed,
            conversion=signal.conversion,
        )
        alone[signal.name] = OracleMessage(1, "M", oracle.length, [bare], strict=False)
    values = {}
    for signal in message.signals:
        if signal.selector:
            raw = alone[signal.selector].decode(payload, False, scaling=False)[signal.selector]
            if not any(low <= raw <= high for low, high in signal.selector_ranges):
                continue
        values[signal.name] = alone[signal.name].decode(payload, False)[signal.name]
    return values


def compare(table, frames, message, wanted_of):
    """Compare one table with `wanted_of(payload)`, value by value. Return the number of values."""
    at = dict.fromkeys(table.signals, 0)
    n = 0
    for k, frame in enumerate(frames):
        payload = bytes(frame["data"][: frame["n_bytes"]])
        for name, wanted in wanted_of(payload).items():
            rows = table.rows.get(name)
            j = at[name]
            assert rows is None or rows[j] == k
            assert_same(table.signals[name][j], wanted, message.signal(name))
            at[name] += 1
            n += 1
    assert at == {name: len(values) for name, values in table.signals.items()}
    return n


def by_message(oracle):
    """Return a function that lets cantools decode a whole message."""
    return lambda payload: oracle.decode(payload, decode_choices=False)


SETTINGS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(layout=layouts(), data=st.data())
def test_random_layouts_decode_as_cantools_decodes_them(tmp_path_factory, layout, data):
    text, n_bytes = layout
    path = tmp_path_factory.mktemp("d") / "x.dbc"
    path.write_text(text)
    database = load_database(path)
    if not database.messages[0].signals:
        return
    payload = st.binary(min_size=n_bytes, max_size=n_bytes)
    payloads = data.draw(st.lists(payload, min_size=1, max_size=6))
    frames = frames_of(payloads)
    plan = compile_plan(database)
    assert plan.n_signals == database.n_signals and not plan.left_out
    message, oracle = database.messages[0], database.cantools.messages[0]
    wanted = lambda payload: oracle_values(message, oracle, payload)  # noqa: E731
    compare(decode(frames, plan)["M"], frames, message, wanted)
    raw = decode(frames, plan, "raw")["M"]
    f32 = decode(frames, plan, "f32")["M"]
    phys = decode(frames, plan)["M"]
    for signal in message.signals:
        values = raw.signals[signal.name].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = values * float(signal.scale) + float(signal.offset)
            np.testing.assert_array_equal(scaled, phys.signals[signal.name])
            narrow = phys.signals[signal.name].astype(np.float32)
        np.testing.assert_array_equal(f32.signals[signal.name], narrow)


@SETTINGS
@given(layout=layouts(), data=st.data())
def test_what_cantools_encodes_is_decoded_to_it(tmp_path_factory, layout, data):
    text, n_bytes = layout
    path = tmp_path_factory.mktemp("d") / "x.dbc"
    path.write_text(text)
    database = load_database(path)
    if database.defects or not database.messages[0].signals:
        return  # signals that share bits cannot be encoded independently
    message, oracle = database.messages[0], database.cantools.messages[0]
    used = sorted({s.selector_ranges[0][0] for s in message.signals if s.selector} or {0})
    selected = data.draw(st.sampled_from(used))
    values = {}
    for signal in message.signals:
        if signal.selector and signal.selector_ranges[0][0] != selected:
            continue
        bits = data.draw(st.integers(0, (1 << signal.length) - 1))
        if signal.is_selector:
            bits = selected
        elif signal.is_signed and bits >> (signal.length - 1):
            bits -= 1 << signal.length
        elif signal.is_float:
            code = "<f" if signal.length == 32 else "<d"
            bits = struct.unpack(code, bits.to_bytes(signal.length // 8, "little"))[0]
            if bits != bits:
                bits = 0.0
        values[signal.name] = bits
    payload = oracle.encode(values, scaling=False, strict=False)
    table = decode(frames_of([payload]), compile_plan(database), "raw")["M"]
    assert {k: v[0].item() for k, v in table.signals.items() if len(v)} == values


def test_every_place_of_every_length_in_eight_bytes():
    """All starts, lengths and signs in both orders, by arithmetic on Python's integers."""
    rng = np.random.default_rng(9)
    payloads = [rng.bytes(8) for _ in range(12)] + [b"\xff" * 8, b"\0" * 8]
    signals, wanted = [], {}
    for length in range(1, 65):
        for first in range(65 - length):
            for is_motorola in (False, True):
                for is_signed in (False, True):
                    name = f"S{len(signals)}"
                    start = (first // 8) * 8 + 7 - first % 8 if is_motorola else first
                    layout = (name, start, length, is_motorola, is_signed)
                    signals.append(OurSignal(*layout))
                    wanted[name] = [expected(p, first, length, *layout[3:]) for p in payloads]
    message = OurMessage("M", 1, 8, tuple(signals))
    database = Database(Path("none"), "dbc", "", "", (message,))
    table = decode(frames_of(payloads), compile_plan(database), "raw")["M"]
    assert len(table.signals) == len(signals) == 4 * 2080
    for name, values in wanted.items():
        assert table.signals[name].tolist() == values, message.signal(name)


def expected(payload, first, length, is_motorola, is_signed):
    """Return the raw value at bit `first`, counted from the top (Motorola) or the bottom."""
    word = int.from_bytes(payload, "big" if is_motorola else "little")
    value = (word >> (64 - first - length if is_motorola else first)) & ((1 << length) - 1)
    return value - (1 << length) if is_signed and value >> (length - 1) else value


@st.composite
def nested_layouts(draw):
    """Return DBC text with selectors below selectors and ranges of values."""
    lines = [' SG_ A M : 0|3@1+ (1,0) [0|0] "" ECU', ' SG_ B m0M : 3|3@1+ (1,0) [0|0] "" ECU']
    low = draw(st.integers(0, 7))
    ranges = [f"SG_MUL_VAL_ 1 B A {low}-{draw(st.integers(low, 7))};"]
    for k in range(draw(st.integers(1, 6))):
        start, length = 6 + 9 * k, draw(st.integers(1, 9))
        lines.append(f' SG_ S{k} m0 : {start}|{length}@1- (0.5,1) [0|0] "" ECU')
        pairs = []
        for _ in range(draw(st.integers(1, 3))):
            low = draw(st.integers(0, 7))
            pairs.append(f"{low}-{draw(st.integers(low, 7))}")
        ranges.append(f"SG_MUL_VAL_ 1 S{k} {draw(st.sampled_from('AB'))} {', '.join(pairs)};")
    return "BU_: ECU\nBO_ 1 M: 8 ECU\n" + "\n".join([*lines, *ranges, ""])


@SETTINGS
@given(text=nested_layouts(), payloads=st.lists(st.binary(min_size=8, max_size=8), min_size=1))
def test_extended_multiplexing_decodes_as_in_cantools(tmp_path_factory, text, payloads):
    import cantools

    path = tmp_path_factory.mktemp("d") / "x.dbc"
    path.write_text(text)
    database = load_database(path)
    message, oracle = database.messages[0], database.cantools.messages[0]
    known = []
    for payload in payloads:
        try:
            oracle.decode(payload)
            known.append(payload)
        except cantools.database.errors.DecodeError:
            pass  # a selector value without signals: an error there, no value here
    if known:
        frames = frames_of(known)
        table = decode(frames, compile_plan(database))["M"]
        assert compare(table, frames, message, by_message(oracle))


def test_the_cars_dbc_value_by_value():
    database = load_database(ROOT / "dbc/d7xr.dbc")
    rng = np.random.default_rng(1)
    tables, oracles = [], {}
    for message, oracle in zip(database.messages, database.cantools.messages, strict=True):
        payloads = rng.integers(0, 256, (40, message.n_bytes), np.uint8)
        for signal in message.signals:
            if signal.is_selector:
                assert (
                    not signal.is_motorola
                    and signal.start < 8
                    and signal.start + signal.length <= 8
                )
                known = {r[0] for s in message.signals if s.selector for r in s.selector_ranges}
                mask = ((1 << signal.length) - 1) << signal.start
                chosen = rng.choice(sorted(known), len(payloads)).astype(np.uint8)
                payloads[:, 0] = payloads[:, 0] & (255 - mask) | chosen << signal.start
        flags = EXT if message.is_ext else 0
        tables.append(frames_of([bytes(p) for p in payloads], message.can_id, flags))
        oracles[message.name] = oracle
    frames = np.concatenate(tables)
    frames = frames[rng.permutation(len(frames))]
    decoded = decode(frames, compile_plan(database))
    assert decoded.n_decoded == len(frames) and not decoded.n_short
    n = 0
    for message in database.messages:
        mine = frames[frames["can_id"] == message.can_id]
        n += compare(decoded[message.name], mine, message, by_message(oracles[message.name]))
    assert n == decoded.n_values > 7000


def load(recorded):
    frames, diagnostics = read_candump(recorded.log)
    assert diagnostics.ok and len(frames) == recorded.n_frames
    return frames, load_database(recorded.dbc)


def test_own_drive_gives_the_reference_figures():
    """Figures of cantools: every line of the log through decode(), then min, max, fmean."""
    frames, database = load(OWN)
    decoded = decode(frames, compile_plan(database))
    assert (decoded.n_decoded, decoded.n_values, len(decoded.unknown)) == (37_340, 203_360, 0)
    for name, n, least, most, mean in (
        ("EngSpd", 2000, 229.5, 5697.25, 3168.649625),
        ("WhlSpdFL", 2000, 0.0, 118.83, 63.10764),
        ("CoolantTemp", 200, 88, 92, 90.075),
        ("DiffOilTempR", 200, 65.5, 67.0, 66.2555),
    ):
        values = decoded.series(name)[1]
        assert len(values) == n
        assert (values.min(), values.max()) == pytest.approx((least, most))
        assert values.mean() == pytest.approx(mean)


@needs_real
def test_real_drive_gives_the_reference_figures():
    frames, database = load(REAL)
    decoded = decode(frames, compile_plan(database))
    assert (decoded.n_decoded, len(decoded.unknown)) == (38015, 27)
    rpm = decoded.series("RPM")[1]
    assert (len(rpm), rpm.min(), rpm.max()) == (9030, 646, 6030)
    assert rpm.mean() == pytest.approx(2782.5559, abs=5e-5)
    speed = decoded.series("SPEED")[1]
    assert len(speed) == 4514
    assert (speed.max(), speed.mean()) == pytest.approx((35.999, 19.6761), abs=5e-4)
    coolant = decoded.series("COOLANT_TEMP")[1]
    assert (len(coolant), coolant.min(), coolant.max()) == (1806, 87, 95)


@pytest.mark.parametrize("recorded", DRIVES)
def test_recorded_drive_value_by_value(recorded):
    frames, database = load(recorded)
    frames = frames[:8000]
    decoded = decode(frames, compile_plan(database))
    n = 0
    for message, oracle in zip(database.messages, database.cantools.messages, strict=True):
        mine = frames[frames["can_id"] == message.can_id]
        if len(mine):
            n += compare(decoded[message.name], mine, message, by_message(oracle))
    assert n == decoded.n_values > 8000
