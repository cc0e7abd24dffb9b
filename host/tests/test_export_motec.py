"""MoTeC .ld byte by byte, at the places that export/motec.py names; values worked out here.

Two messages: Engine, with a cycle of 100 ms, and Slow, seen twice, 4 s apart.
"""

import struct
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from stagelog.dbc import load_database
from stagelog.decode import compile_plan
from stagelog.decode.tables import Decoded, MessageTable
from stagelog.errors import OutputError
from stagelog.export.motec import MotecSink, header_bytes, ldx_text, rate_of

T0_US = 1_768_658_602_000_000  # date -u -d @1768658602: 2026-01-17 14:03:22, a Saturday
DBC = """BU_: E
BO_ 256 Engine: 8 E
 SG_ EngineSpeedOfTheCrank : 0|16@1+ (1,0) [0|0] "rpm" E
 SG_ Temperature : 16|8@1+ (1,0) [0|0] "°C" E
BO_ 257 Slow: 8 E
 SG_ S : 0|8@1+ (1,0) [0|0] "" E
 SG_ Never : 8|8@1+ (1,0) [0|0] "" E
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 1000;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 256 100;
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(DBC, encoding="cp1252")
    return compile_plan(load_database(path))


def decoded(plan, **given):
    """Return a Decoded; `given` are {message: (times in s, {signal: values})}."""
    messages = {p.message.name: p.message for p in plan.messages}
    tables = {}
    for name, (times_s, signals) in given.items():
        t_us = T0_US + np.round(np.array(times_s) * 1e6).astype(np.int64)
        values = {signal: np.array(some, np.float64) for signal, some in signals.items()}
        bus = np.zeros(len(t_us), np.uint8)
        tables[name] = MessageTable(messages[name], t_us, bus, None, values)
    return Decoded("phys", tables)


def text(data, at, n):
    return data[at : at + n].rstrip(b"\0").decode("ascii")


def u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


ENGINE = ([0.0, 0.1, 0.2], {"EngineSpeedOfTheCrank": [700, 710, 720], "Temperature": [90, 91, 92]})


def test_header_channels_and_data(tmp_path, plan):
    """Engine at 10 Hz, three values; Slow at 1 Hz as seen, from its first frame at 0.15 s on: one
    value, at 0 s. What never came has no channel.
    """
    about = {"driver": "L. Müller", "vehicle": "D7X-R", "venue": "SS03"}
    about |= {"event": "DAKAR26", "session": "run 1", "comment": "dry"}
    path = tmp_path / "x.ld"
    with MotecSink(path, plan, about=about, markers=[(T0_US + 1_500_000, "start")]) as sink:
        sink.write(decoded(plan, Engine=ENGINE, Slow=([0.15], {"S": [7]})))
    data = path.read_bytes()
    assert (u32(data, 0), u32(data, 8), u32(data, 36)) == (0x40, 11_336, 1_762)
    assert struct.unpack_from("<HHH", data, 64) == (1, 0x4240, 0xF)
    assert struct.unpack_from("<I8sHH", data, 70) == (0x1F44, b"ADL\0\0\0\0\0", 420, 0xADB0)
    assert u32(data, 86) == 3
    assert (text(data, 94, 16), text(data, 126, 16)) == ("17/01/2026", "14:03:22")
    places = {158: "L. M?ller", 222: "D7X-R", 350: "SS03", 1762: "DAKAR26", 1826: "run 1"}
    places |= {1890: "dry", 5078: "SS03", 8180: "D7X-R", 1572: "written by stagelog"}
    assert {at: text(data, at, 64) for at in places} == places
    assert struct.unpack_from("<H", data, 1762 + 64 + 64 + 1024) == (5078,)
    assert struct.unpack_from("<H", data, 5078 + 1098) == (8180,)
    first = 11_336 + 3 * 124
    assert u32(data, 12) == first
    rows = [struct.unpack_from("<IIIIHHHHhhhh32s8s12s", data, 11_336 + k * 124) for k in range(3)]
    heads = [row[:12] for row in rows]
    assert heads == [
        (0, 11_460, first, 3, 0x2EE1, 7, 4, 10, 0, 1, 1, 0),
        (11_336, 11_584, first + 12, 3, 0x2EE2, 7, 4, 10, 0, 1, 1, 0),
        (11_460, 0, first + 24, len(data[first + 24 :]) // 4, 0x2EE3, 7, 4, 10, 0, 1, 1, 0),
    ]
    names = [tuple(part.rstrip(b"\0").decode() for part in row[12:]) for row in rows]
    assert names[0] == ("EngineSpeedOfTheCrank", "EngineS", "rpm")
    assert names[1] == ("Temperature", "Tempera", "degC") and names[2] == ("S", "S", "")
    values = np.frombuffer(data, "<f4", -1, first).tolist()
    assert values[:6] == [700, 710, 720, 90, 91, 92] and set(values[6:]) == {7}
    details = ElementTree.parse(path.with_suffix(".ldx"))
    marker = details.find(".//Marker")
    assert (marker.get("Name"), marker.get("Time")) == ("start", "1500000")
    strings = {one.get("Id"): one.get("Value") for one in details.iter("String")}
    assert strings == about


def test_a_log_without_a_sample_has_no_channel(tmp_path, plan):
    with MotecSink(tmp_path / "x.ld", plan) as sink:
        sink.write(Decoded("phys"))
    data = (tmp_path / "x.ld").read_bytes()
    assert len(data) == 11_336 and (u32(data, 8), u32(data, 12), u32(data, 86)) == (0, 11_336, 0)
    assert (text(data, 94, 16), text(data, 126, 16)) == ("01/01/1970", "00:00:00")


def test_a_log_beyond_four_gigabytes_is_refused(tmp_path, plan):
    sink = MotecSink(tmp_path / "x.ld", plan)

    class Long:
        def __init__(self, n):
            self.n = n

        def __len__(self):
            return self.n

    # 2^32 bytes less the header and one channel are 1,073,738,959 values
    most = ((1 << 32) - 11_336 - 124) // 4
    for n in (most, most + 1):
        with pytest.raises(OutputError, match="more than 4 GiB"):
            sink._write_ld([SimpleNamespace(data=Long(n))])
    sink.release()


# cycle in the database, times in s: rate
RATES = {
    "as specified, of too few samples": (100, [0.0, 0.01, 0.02, 0.03], 10),
    "as seen, of five": (100, [0.0, 0.01, 0.02, 0.03, 0.04], 100),
    "as seen, without a cycle": (0, [0.0, 0.5], 2),
    "one sample and no cycle": (0, [0.0], 10),
    "none": (0, [], 10),
    "the usual step, not the mean": (0, [0.0, 0.02, 0.04, 0.06, 0.08, 9.0], 50),
    "a little slow is still that rate": (0, [0.0, 0.0098, 0.0196], 100),
    "faster than any": (0, [0.0, 0.0001, 0.0002], 1000),
    "between two takes the higher": (0, [0.0, 0.03, 0.06], 50),
    "slower than any": (0, [0.0, 60.0], 1),
    "all at one moment": (0, [0.0, 0.0, 0.0], 10),
}


@pytest.mark.parametrize("name", RATES)
def test_the_rate_of_a_message(name):
    cycle_ms, times_s, rate_Hz = RATES[name]
    message = SimpleNamespace(name="M", cycle_ms=cycle_ms or None)
    table = SimpleNamespace(t_us=np.round(np.array(times_s) * 1e6).astype(np.int64))
    table = type("Table", (), {"t_us": table.t_us, "__len__": lambda self: len(self.t_us)})()
    assert rate_of(message, SimpleNamespace(messages={"M": table})) == rate_Hz
    assert rate_of(SimpleNamespace(name="Other", cycle_ms=20), SimpleNamespace(messages={})) == 50


def test_texts_end_with_a_zero_byte():
    """64 bytes hold 63 characters."""
    data = header_bytes({"driver": "x" * 80, "vehicle": "y"}, 0, 1, 11_460)
    assert data[158:222] == b"x" * 63 + b"\0" and data[222:224] == b"y\0"
    assert u32(data, 8) == 11_336


def test_details_are_in_order_and_escaped():
    root = ElementTree.fromstring(ldx_text([(7, 'a "b"'), (9, "c")], 5, {"z": "<1>", "a": "2"}))
    assert [one.get("Time") for one in root.iter("Marker")] == ["2", "4"]
    assert [one.get("Name") for one in root.iter("Marker")] == ['a "b"', "c"]
    assert [(one.get("Id"), one.get("Value")) for one in root.iter("String")] == [
        ("a", "2"),
        ("z", "<1>"),
    ]
