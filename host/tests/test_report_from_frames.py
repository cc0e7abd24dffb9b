"""From frames to the JSON of the report: frames are encoded by cantools, numbers worked out here.

The log: 60 s of a car at 72 km/h, 1.2 km. Its session file goes through reader, decoder, detectors
and report; nothing of them has made an expected value.
"""

import json

import cantools
import numpy as np
import pytest

from stagelog.blocks import Identity, pack_session, read_log
from stagelog.cli import main
from stagelog.model import FRAME
from stagelog.resources import dbc_path

SECONDS = 60
START_US = 5_000_000  # of the logger's clock, where the log begins
START_UNIX_US = 1_769_000_000_000_000  # date -u -d @1769000000: 2026-01-21 12:53:20
WHEELS = {f"WhlSpd{w}": 72.0 for w in ("FL", "FR", "RL", "RR")}


def tyres(t_s):
    """Each 0.5 s another wheel: FL, FR, RL, RR and two spares; FL loses 9.5 kPa at 30 s."""
    index = round(t_s * 2) % 6
    kPa = [220.0 if t_s < 30 else 210.5, 221.5, 222.0, 223.0, 200.0, 200.0][index]
    wheel = ("FL", "FR", "RL", "RR", "S1", "S2")[index]
    return {"TpmsIdx": index, f"TyrPres{wheel}": kPa, f"TyrTemp{wheel}": 40.0 + index}


def diffs(t_s):
    """Front 95 degC, up with 10 degC a second to 125.5 at 20 s, down from 40 s on; rear 80.3.

    Of samples each 0.1 s those from 19.5 s, 120.5 degC, to 40.5 s are above the limit of 120.
    """
    away_s = max(20 - t_s, t_s - 40, 0)
    return {"DiffOilTempF": max(125.5 - 10 * away_s, 95.0), "DiffOilTempR": 80.3}


# message: (cycle in ms, what it carries at a time)
SENT = {
    "WHL_Speed": (10, lambda t_s: WHEELS),
    "DRV_Temp": (100, diffs),
    "TPMS": (500, tyres),
    "PDM_Sys": (100, lambda t_s: {"BattVolt": 13.5}),
    "ENG_1": (10, lambda t_s: {"EngSpd": 3000.0, "EngTrqAct": 400.0}),
    "ENG_Press": (50, lambda t_s: {"EngOilPres": 380.5, "CrankcasePres": -1.25}),
    "ENG_Temp": (100, lambda t_s: {"CoolantTemp": 91.0, "EngOilTemp": 101.0}),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    database = cantools.database.load_file(dbc_path() / "d7xr.dbc", strict=False)
    rows = []
    for name, (cycle_ms, values) in SENT.items():
        message = database.get_message_by_name(name)
        rest = {s.name: 0 if s.minimum is None else max(s.minimum, 0) for s in message.signals}
        cache = {}
        for at_ms in range(0, SECONDS * 1000 + 1, cycle_ms):
            given = values(at_ms / 1000)
            key = tuple(given.items())
            if key not in cache:
                cache[key] = message.encode(rest | given, strict=False, scaling=True)
            rows.append((START_US + at_ms * 1000, message.frame_id, cache[key]))
    rows.sort(key=lambda row: row[0])
    frames = np.zeros(len(rows), FRAME)
    for k, (t_us, can_id, data) in enumerate(rows):
        frames[k]["t_us"], frames[k]["can_id"] = t_us, can_id
        frames[k]["dlc"] = frames[k]["n_bytes"] = len(data)
        frames[k]["data"][: len(data)] = np.frombuffer(data, np.uint8)
    anchors = [(START_US, START_UNIX_US)]
    path = tmp_path_factory.mktemp("frames") / "C07.slog"
    path.write_bytes(pack_session(frames, Identity("0a" * 8, 4, 7), anchors=anchors).tobytes())
    return path


@pytest.fixture(scope="module")
def facts(log):
    import contextlib
    import io

    out = io.StringIO()
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(out):
        main(["report", str(log), "--title", "C07", "--json"])
    assert ended.value.code == 0
    return json.loads(out.getvalue())


def rows_of(facts, section, key, number=-1):
    return {row[key]: row for row in facts["sections"][section]["tables"][number]["rows"]}


def test_head(facts):
    assert facts["schema"] == "stagelog.report/3" and facts["title"] == "C07"
    assert facts["subtitle"] == ("2026-01-21 12:53 UTC, 1.0 min recorded, profile D7X-R no. 1")
    summary = facts["summary"]
    assert summary["distance_km"] == pytest.approx(1.2, abs=0.01)
    assert summary["mean_moving_kmh"] == pytest.approx(72, abs=0.2)
    assert summary["highest_kmh"] == pytest.approx(72, abs=0.1)


def test_frames_are_counted(facts):
    """Each message n times in 60 s and once more at the end."""
    n = 2 * 6001 + 3 * 601 + 1201 + 121
    (row,) = rows_of(facts, "health", "bus").values()
    assert (row["seen_frames"], row["stored_frames"], row["held_here_frames"]) == (n, n, n)
    assert (row["dropped_frames"], row["missing_frames"], row["level"]) == (0, 0, "good")
    assert f"1 min 00 s in one key cycle, {n:,} frames" in facts["sections"]["health"]["lines"]


def test_values_come_out_in_their_units(facts):
    tyre = rows_of(facts, "tyres", "tyre")
    assert (tyre["TyrPresFL"]["start_kPa"], tyre["TyrPresFL"]["end_kPa"]) == (220.0, 210.5)
    assert tyre["TyrPresFL"]["lowest_at_km"] == pytest.approx(0.6, abs=0.002)
    assert (tyre["TyrPresFR"]["highest_kPa"], tyre["TyrPresFR"]["hottest_degC"]) == (221.5, 41)
    assert (tyre["TyrPresRR"]["lowest_kPa"], tyre["TyrPresRR"]["hottest_degC"]) == (223.0, 43)
    engine = rows_of(facts, "engine", "signal")
    crankcase = engine["CrankcasePres"]
    assert (crankcase["lowest"], crankcase["highest"], crankcase["unit"]) == (-1.25, -1.25, "kPa")
    assert engine["EngOilTemp"]["mean"] == pytest.approx(101.0)
    battery = rows_of(facts, "electrics", "signal")["BattVolt"]
    assert battery["lowest"] == 13.5 and battery["unit"] == "V"
    # 400 Nm at 3,000 rpm: 400 * 3000 * 2 pi / 60e3 = 125.66 kW
    assert (
        "highest power over 0.5 s 126 kW by the ECU's torque (limit 291 kW)"
        in (facts["sections"]["engine"]["lines"])
    )


def test_an_exceedance_is_found_judged_and_measured(facts):
    """Above the limit from 19.5 s to 40.6 s: a warning after the debounce of 10 s, at 29.5 s."""
    (row,) = facts["sections"]["exceedances"]["tables"][0]["rows"]
    named = (row["signal"], row["severity"], row["limit"])
    assert named == ("DiffOilTempF", "warning", 120.0)
    assert row["t_s"] == pytest.approx(29.5, abs=0.3)
    assert row["at_km"] == pytest.approx(0.59, abs=0.01)
    assert row["for_s"] == pytest.approx(21.1, abs=0.3) and row["worst"] == 125.5
    # An alarm says one thing a minute at most: its end at 45.6 s is not said in this log.
    assert row["after"] == 95.0 and not row["ended"]
    assert (row["speed_kmh"], row["engine_rpm"]) == (72, 3000)
    why = [reason["why"] for reason in facts["verdict"]["reasons"]]
    wanted = "Differentials and transfer box: DiffOilTempF warning (125.5 degC, limit > 120 degC)"
    assert any(one.startswith(wanted + "; first at km 0.6") for one in why)
    assert facts["verdict"]["level"] == "warn"
    over = rows_of(facts, "life", "signal", 0)["DiffOilTempF"]
    assert over["over_warning_min"] == pytest.approx(21.1 / 60, abs=1e-5)
    assert over["over_critical_min"] == 0.0


def on_bus(log, path, bus):
    """Write the frames of a log again, as of another bus."""
    frames = np.concatenate(list(read_log(log).sessions[0].iter_frames()))
    frames["bus"] = bus
    path.write_bytes(pack_session(frames, Identity("0a" * 8, 4, 7)).tobytes())
    return path


def test_the_detectors_watch_the_bus_that_is_named(run, log, tmp_path):
    """The same drive on bus 1: without a word its alarm is not found, with --bus 1 it is."""
    other = on_bus(log, tmp_path / "bus1.slog", 1)
    for words, n in (((), 0), (("--bus", "1"), 1)):
        found = json.loads(run("report", other, "--json", *words)[1])["sections"]
        assert len(found["exceedances"]["tables"][0]["rows"]) == n, words
    (row,) = found["exceedances"]["tables"][0]["rows"]
    assert (row["signal"], row["severity"]) == ("DiffOilTempF", "warning")
    assert row["t_s"] == pytest.approx(29.5, abs=0.3)


def test_a_third_bus_is_not_the_first(run, log, tmp_path):
    """A foreign log may have a bus 2: the detectors watch it only where it is named."""
    stream = tmp_path / "two.log"
    assert run("convert", on_bus(log, tmp_path / "x.slog", 0), stream)[0] == 0
    stream.write_text(stream.read_text().replace("can0", "can2"))
    for words, n in (((), 0), (("--bus", "2"), 1)):
        found = json.loads(run("report", stream, "--json", *words)[1])["sections"]
        assert len(found["exceedances"]["tables"][0]["rows"]) == n, words
