"""What watch shows, from frames made here; with a logger: test_replay_watch.py."""

import json
import sys

import numpy as np
import pytest

from stagelog import listen
from stagelog.cli import watch
from stagelog.model import EXT, FRAME, RTR

DBC = """BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ EngSpd : 0|16@1+ (0.25,0) [0|0] "rpm" ECU
 SG_ Mode : 16|8@1+ (2,10) [0|0] "" ECU
 SG_ Ratio : 32|32@1- (1,0) [0|0] "" ECU
BO_ 512 Early: 8 ECU
 SG_ Oil : 0|8@1+ (1,-40) [0|0] "degC" ECU
SIG_VALTYPE_ 256 Ratio : 1 ;
VAL_ 256 Mode 0 "off" 3 "high" ;
"""
NAN = b"\0\0\xc0\x7f"  # 0x7FC00000, IEEE 754


def frames(*rows):
    """Return frames of (t_us, bus, can_id, flags, payload)."""
    made = np.zeros(len(rows), FRAME)
    for row, (t_us, bus, can_id, flags, data) in zip(made, rows, strict=True):
        row["t_us"], row["bus"], row["can_id"], row["flags"] = t_us, bus, can_id, flags
        row["dlc"] = row["n_bytes"] = len(data)
        row["data"][: len(data)] = np.frombuffer(data, np.uint8)
    return made


class Logger:
    """A logger whose frames come in the given tables, before Ctrl-C is pressed."""

    def __init__(self, *tables, n_skipped=0):
        self.tables = list(tables)
        self.n_skipped_blocks = n_skipped
        self.is_closed = False

    def read_frames(self, timeout_s):
        if not self.tables:
            raise KeyboardInterrupt
        return self.tables.pop(0)

    def close(self):
        self.is_closed = True


@pytest.fixture
def watched(run, monkeypatch, tmp_path):
    """Return a function: what `watch P` prints of a Logger."""
    (tmp_path / "car.dbc").write_text(DBC)

    def call(logger, *words):
        monkeypatch.setattr(listen, "open_live", lambda port: logger)
        return run("watch", "P", *(tmp_path / "car.dbc" if w == "DBC" else w for w in words))

    return call


TWO = (
    frames(
        (1_000, 0, 0x100, 0, b"\x10\0\3\0" + NAN), (2_500_000, 1, 0x18FEF100, EXT, b"\xab\x01")
    ),
    frames((3_000_000, 0, 0x100, RTR, b"")),
)


def test_frames_are_lines_until_ctrl_c(watched):
    logger = Logger(*TWO, n_skipped=1200)
    code, out, err = watched(logger)
    assert code == 0 and out.splitlines() == [
        "(0000000000.001000) can0 100#100003000000C07F",
        "(0000000002.500000) can1 18FEF100#AB01",
        "(0000000003.000000) can0 100#R0",
    ]
    assert err.startswith("1,200 blocks came too fast for the cable and are not shown")
    assert logger.is_closed
    assert watched(Logger(*TWO))[2] == ""


def test_frames_of_one_bus_as_json(watched):
    _, out, _ = watched(Logger(*TWO), "--bus", "1", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"t_us": 2_500_000, "bus": 1, "can_id": "18FEF100", "data": "AB01"}
    ]


def test_values_are_lines_in_the_order_of_time(watched):
    """Mode 3 is 3 * 2 + 10 = 16, "high"; 4 is 18 and has no text. Oil 100 is 60 degC."""
    tables = frames(
        (1_000_000, 0, 0x100, 0, b"\x10\0\3\0" + NAN),
        (1_500_000, 1, 0x200, 0, b"\x64" + bytes(7)),
        (2_000_000, 0, 0x100, 0, b"\x20\0\4\0" + bytes(4)),
    )
    _, out, _ = watched(Logger(tables), "--dbc", "DBC")
    assert out.splitlines() == [
        "1.000000 can0 Engine.EngSpd 4 rpm",
        "1.000000 can0 Engine.Mode high",
        "1.000000 can0 Engine.Ratio nan",
        "1.500000 can1 Early.Oil 60 degC",
        "2.000000 can0 Engine.EngSpd 8 rpm",
        "2.000000 can0 Engine.Mode 18",
        "2.000000 can0 Engine.Ratio 0",
    ]
    _, out, _ = watched(Logger(tables), "--dbc", "DBC", "--signal", "Ratio", "--json")
    values = [json.loads(line) for line in out.splitlines()]
    assert [(v["value"], v["text"]) for v in values] == [(None, "nan"), (0.0, "0")]
    _, out, _ = watched(Logger(tables), "--dbc", "DBC", "--bus", "1")
    assert out.splitlines() == ["1.500000 can1 Early.Oil 60 degC"]


def test_what_is_no_data_frame_of_a_message_leaves_its_value_alone(tmp_path):
    """Remote, 29 bits of the same number, too short for the second signal: one value changes."""
    (tmp_path / "car.dbc").write_text(DBC)
    view = watch._values((str(tmp_path / "car.dbc"),), ())
    view.take(frames((0, 0, 0x100, 0, b"\x10\0\3\0" + bytes(4))))
    view.take(
        frames(
            (1, 0, 0x100, RTR, b""),
            (2, 0, 0x100, EXT, b"\xff\xff\0\0" + bytes(4)),
            (3, 0, 0x101, 0, b"\xff\xff\0\0" + bytes(4)),
            (4, 0, 0x100, 0, b"\x18\0"),
        )
    )
    view.take(frames((5, 1, 0x100, 0, b"\x50\0\0\0" + bytes(4))))
    columns = [list(column.cells) for column in view.table().columns]
    rows = dict(zip(zip(*columns[:2], strict=True), zip(*columns[2:], strict=True), strict=True))
    assert rows[("Engine.EngSpd", "0")] == ("6", "rpm")
    assert rows[("Engine.Mode", "0")] == ("high", "")
    assert rows[("Engine.EngSpd", "1")] == ("20", "rpm")
    assert rows[("Engine.Mode", "1")] == ("off", "")


def test_the_table_of_frames_counts_each_identifier():
    """0x100 of 11 bits and of 29 bits, and of another bus, are three; a short payload is short.

    They stand by bus and identifier, however they came.
    """
    view = watch._Frames()
    view.take(frames((0, 1, 0x100, 0, b"\7"), (1, 0, 0x100, EXT, b"\xaa"), (2, 0, 0x7FF, 0, b"")))
    view.take(frames((3, 0, 0x100, 0, b"\1\2\3"), (4, 0, 0x100, 0, b"\xab\xcd")))
    columns = [list(column.cells) for column in view.table().columns]
    assert list(zip(*columns, strict=True)) == [
        ("0", "100", "2", "2", "AB CD"),
        ("0", "7FF", "1", "0", ""),
        ("0", "00000100", "1", "1", "AA"),
        ("1", "100", "1", "1", "07"),
    ]


def test_a_terminal_gets_a_table_unless_lines_are_asked_for(watched, monkeypatch):
    shown = []
    for name in ("_show_table", "_print_lines", "_print_json"):
        monkeypatch.setattr(watch, name, lambda *_, name=name: shown.append(name))
    watched(Logger())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for words in ((), ("--lines",), ("--json",), ("--lines", "--json")):
        watched(Logger(), *words)
    wanted = ["_print_lines", "_show_table", "_print_lines", "_print_json", "_print_json"]
    assert shown == wanted


def test_the_table_is_drawn_four_times_a_second(monkeypatch, capsys):
    """Frames come each 0.1 s for 1 s: drawn at 0.3, 0.6 and 0.9 s, 0.25 s after the last time."""
    import rich.live

    now = [0.0]
    drawn = []

    class Live:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, table, refresh):
            drawn.append((round(now[0], 1), table.row_count, refresh))

    class Clocked(Logger):
        def read_frames(self, timeout_s):
            now[0] += 0.1
            return super().read_frames(timeout_s)

    monkeypatch.setattr(rich.live, "Live", Live)
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    tables = [frames((k, 0, 0x100 + k, 0, b"\1")) for k in range(10)]
    watch._show_table(Clocked(*tables), watch._Frames(), lambda: now[0] > 0.95)
    assert drawn == [(0.3, 3, True), (0.6, 6, True), (0.9, 9, True)]


def test_a_duration_ends_it(watched, monkeypatch):
    """Of frames each 0.5 s, 1.2 s take three; without one, all until Ctrl-C."""
    now = [100.0]

    class Clocked(Logger):
        def read_frames(self, timeout_s):
            now[0] += 0.5
            return super().read_frames(timeout_s)

    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    tables = [frames((k, 0, 0x100, 0, b"\1")) for k in range(10)]
    assert len(watched(Clocked(*tables), "--duration", "1.2")[1].splitlines()) == 3
    assert len(watched(Clocked(*tables))[1].splitlines()) == 10
