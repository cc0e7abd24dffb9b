"""Parquet and CSV: read back by programs that are not ours, and compared with what was decoded."""

import csv
import json
import os

import numpy as np
import pytest

from stagelog.dbc import load_database
from stagelog.decode import compile_plan, decode, iter_decode
from stagelog.errors import InputError, OutputError
from stagelog.export import (
    CsvSink,
    McapSink,
    ParquetSink,
    ResampledCsvSink,
    files,
    load_parquet,
    parquet,
)
from stagelog.export.csv import digits_of, header_of
from stagelog.export.resample import Resampler, column_names
from stagelog.model import FRAME

DBC = """BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (0.25,0) [0|8000] "rpm" ECU
 SG_ Torque : 16|16@1- (0.1,-10) [0|0] "Nm" ECU
 SG_ State : 56|8@1+ (1,0) [0|0] "" ECU
BO_ 257 Temps: 4 ECU
 SG_ Sel M : 0|8@1+ (1,0) [0|0] "" ECU
 SG_ Oil m0 : 8|8@1+ (1,-40) [0|0] "degC" ECU
 SG_ Water m1 : 8|16@1+ (0.1,-40) [0|0] "degC" ECU
BO_ 258 Floats: 8 ECU
 SG_ F : 0|32@1- (1,0) [0|0] "=cmd()" ECU
 SG_ Wide : 32|32@1+ (1,0) [0|0] "" ECU
SIG_VALTYPE_ 258 F : 1;
CM_ SG_ 256 Speed "of the crankshaft";
VAL_ 256 State 0 "off" 1 "=1+1" ;
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(DBC)
    return load_database(path)


@pytest.fixture
def frames():
    rng = np.random.default_rng(4)
    n = 3000
    frames = np.zeros(n, FRAME)
    frames["t_us"] = np.cumsum(rng.integers(0, 900, n)) + 1_700_000_000_000_000
    frames["can_id"] = rng.choice([256, 257, 258], n)
    frames["n_bytes"] = 8
    frames["data"] = rng.integers(0, 256, (n, 8))
    frames["data"][frames["can_id"] == 257, 0] &= 3
    is_float = frames["can_id"] == 258
    values = rng.normal(0, 100, int(is_float.sum())).astype("<f4")
    frames["data"][is_float, :4] = values.view(np.uint8).reshape(-1, 4)
    return frames


def write(sink, frames, plan, n_chunks=3):
    with sink:
        for decoded in iter_decode(np.array_split(frames, n_chunks), plan, sink.mode):
            sink.write(decoded)
    return {p.name: p for p in sink.paths}


@pytest.mark.parametrize("form", ["tool", "archive"])
def test_parquet_comes_back_as_decoded(tmp_path, database, frames, form):
    plan = compile_plan(database)
    sink = ParquetSink(tmp_path / "out", form, database=database, metadata={"car": "C03"})
    paths = write(sink, frames, plan)
    assert paths.keys() == {"Engine.parquet", "Temps.parquet", "Floats.parquet"}
    for name, table in decode(frames, plan).messages.items():
        t_us, signals, facts = load_parquet(paths[f"{name}.parquet"])
        np.testing.assert_array_equal(t_us, table.t_us)
        for signal in table.signals:
            np.testing.assert_array_equal(signals[signal], table.dense(signal))
        assert (facts["form"], facts["message"], facts["car"]) == (form, name, "C03")
        assert facts["database_sha256"] == database.sha256


def test_duckdb_and_polars_read_the_tool_form(tmp_path, database, frames):
    duckdb = pytest.importorskip("duckdb")
    polars = pytest.importorskip("polars")
    plan = compile_plan(database)
    paths = write(ParquetSink(tmp_path), frames, plan)
    decoded = decode(frames, plan)
    torque = decoded["Engine"].signals["Torque"]
    query = (
        f"select count(*), max(Torque), sum(Torque), min(t_us) from '{paths['Engine.parquet']}'"
    )
    n, top, total, first = duckdb.sql(query).fetchall()[0]
    assert (n, top, first) == (len(torque), torque.max(), decoded["Engine"].t_us[0])
    assert total == pytest.approx(torque.sum())
    temps = polars.read_parquet(paths["Temps.parquet"])
    assert temps.columns == ["t_us", "bus", "Sel", "Oil", "Water"]
    assert temps["Oil"].null_count() == len(decoded["Temps"]) - len(
        decoded["Temps"].signals["Oil"]
    )
    np.testing.assert_array_equal(
        temps["Oil"].drop_nulls().to_numpy(), decoded["Temps"].signals["Oil"]
    )


def test_archive_form_holds_small_integers_and_what_they_mean(tmp_path, database, frames):
    pq = pytest.importorskip("pyarrow.parquet")
    paths = write(ParquetSink(tmp_path, "archive"), frames, compile_plan(database))
    schema = pq.read_schema(paths["Engine.parquet"])
    assert [(f.name, str(f.type)) for f in schema] == [
        ("t_us", "int64"),
        ("bus", "uint8"),
        ("Speed", "uint16"),
        ("Torque", "int16"),
        ("State", "uint8"),
    ]
    about = {k.decode(): v.decode() for k, v in schema.field("Speed").metadata.items()}
    about.pop("PARQUET:field_id", None)
    assert about == {
        "unit": "rpm",
        "scale": "0.25",
        "offset": "0",
        "minimum": "0",
        "maximum": "8000",
        "comment": "of the crankshaft",
    }
    choices = json.loads(schema.field("State").metadata[b"choices"])
    assert choices == {"0": "off", "1": "=1+1"}
    column = pq.ParquetFile(paths["Engine.parquet"]).metadata.row_group(0).column(2)
    assert "DELTA_BINARY_PACKED" in column.encodings and column.compression == "ZSTD"


def test_memory_is_bounded_by_row_groups(tmp_path, database, frames, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "MAX_BUFFER_BYTES", 20_000)
    paths = write(ParquetSink(tmp_path), frames, compile_plan(database), n_chunks=30)
    file = pq.ParquetFile(paths["Engine.parquet"])
    n = len(decode(frames, compile_plan(database))["Engine"])
    assert file.metadata.num_row_groups > 3 and file.metadata.num_rows == n


def test_nothing_is_left_of_a_failed_export(tmp_path, database, frames):
    plan = compile_plan(database)
    for sink in (ParquetSink(tmp_path / "o"), CsvSink(tmp_path / "o")):
        with pytest.raises(RuntimeError), sink:
            sink.write(decode(frames, plan))
            raise RuntimeError
        assert os.listdir(tmp_path / "o") == []


def test_an_existing_file_is_refused_or_replaced(tmp_path, database, frames):
    plan = compile_plan(database)
    for kind in (ParquetSink, CsvSink):
        write(kind(tmp_path), frames, plan)
        with pytest.raises(OutputError, match="exists") as error:
            write(kind(tmp_path), frames, plan)
        assert error.value.exit_code == 6
        write(kind(tmp_path, overwrite=True), frames[:100], plan)
    assert len(load_parquet(tmp_path / "Engine.parquet")[0]) < 100
    assert not [p for p in os.listdir(tmp_path) if p.endswith(".part")]


def test_a_place_that_cannot_be_written(tmp_path, database, frames):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write(ParquetSink(tmp_path / "file" / "out"), frames, compile_plan(database))


def test_foreign_parquet_is_refused(tmp_path):
    polars = pytest.importorskip("polars")
    polars.DataFrame({"t_us": [1]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="not written by stagelog"):
        load_parquet(tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(InputError, match="cannot read"):
        load_parquet(tmp_path / "y.parquet")


def test_csv_comes_back_as_decoded(tmp_path, database, frames):
    plan = compile_plan(database)
    paths = write(CsvSink(tmp_path), frames, plan)
    for name, table in decode(frames, plan).messages.items():
        with open(paths[f"{name}.csv"], encoding="utf-8-sig", newline="") as file:
            header, *lines = csv.reader(file)
        units = [table.message.signal(s).unit for s in table.signals]
        wanted = [header_of(s, u) for s, u in zip(table.signals, units, strict=True)]
        assert header == ["t_s", "bus", *wanted]
        assert [int(line[0].replace(".", "")) for line in lines] == table.t_us.tolist()
        for k, signal in enumerate(table.signals):
            values = np.array([float(line[k + 2] or "nan") for line in lines])
            np.testing.assert_allclose(values, table.dense(signal), rtol=0, atol=1e-9)


def test_csv_shows_the_digits_of_the_scale_and_no_formula(tmp_path, database, frames):
    paths = write(CsvSink(tmp_path, with_labels=True), frames, compile_plan(database))
    with open(paths["Engine.csv"], encoding="utf-8-sig", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["t_s", "bus", "Speed [rpm]", "Torque [Nm]", "State"]
    assert all(len(line[3].partition(".")[2]) == 1 for line in lines)
    states = {line[4] for line in lines}
    assert "'=1+1" in states and "off" in states and "7" in states
    assert header_of("=x", "") == "'=x" and header_of("a\nb", "") == "a b"


def wide_frames():
    """Two frames of a message with an unsigned and a signed integer of 64 bits.

    2^63 + 1 = 9223372036854775809 and -(2^62) - 1 = -4611686018427387905 are no float64; by hand
    -4611686018427387905 * 10 + 3 = -46116860184273879047.
    """
    frames = np.zeros(2, FRAME)
    frames["can_id"], frames["n_bytes"] = [512, 513], 8
    frames["data"][0] = np.array([2**63 + 1], "<u8").view(np.uint8)
    frames["data"][1] = np.array([-(2**62) - 1], "<i8").view(np.uint8)
    return frames


WIDE_DBC = """BU_: ECU
BO_ 512 Serial: 8 ECU
 SG_ Number : 0|64@1+ (1,0) [0|0] "" ECU
BO_ 513 Sum: 8 ECU
 SG_ Total : 0|64@1- (10,3) [0|0] "" ECU
"""


def test_integers_of_64_bits_keep_all_digits_in_csv_and_mcap(tmp_path):
    (tmp_path / "wide.dbc").write_text(WIDE_DBC)
    plan = compile_plan(load_database(tmp_path / "wide.dbc"))
    paths = write(CsvSink(tmp_path), wide_frames(), plan)
    assert (
        paths["Serial.csv"].read_text("utf-8-sig").splitlines()[1].endswith(",9223372036854775809")
    )
    assert (
        paths["Sum.csv"].read_text("utf-8-sig").splitlines()[1].endswith(",-46116860184273879047")
    )
    write(McapSink(tmp_path / "x.mcap", compression="none"), wide_frames(), plan)
    content = (tmp_path / "x.mcap").read_bytes()
    assert b'{"Number":9223372036854775809}' in content
    assert b'{"Total":-46116860184273879047}' in content


def test_digits_of():
    from stagelog.dbc import Signal

    def digits(scale, offset, is_float=False):
        return digits_of(Signal("S", 0, 8, scale=scale, offset=offset, is_float=is_float))

    assert [digits(1, 0), digits(0.25, 0), digits(0.1, -0.005), digits(100, 0)] == [0, 2, 3, 0]
    assert [digits(0.39215686274509803, 0), digits(1, 0, True)] == [None, None]


def test_resampled_holds_the_last_value_over_chunks(tmp_path, database):
    frames = np.zeros(6, FRAME)
    frames["t_us"] = [0, 100, 250, 1000, 1100, 2050]
    frames["can_id"] = [256, 256, 257, 256, 257, 257]
    frames["n_bytes"] = 8
    frames["data"][:, 0] = [4, 8, 0, 12, 1, 0]
    frames["data"][:, 1] = [0, 0, 50, 0, 60, 70]
    plan = compile_plan(database, ["Speed", "Oil"])
    parts = []
    for n_chunks in (1, 2, 6):
        resampler = Resampler(column_names(plan), 2000)  # every 500 us
        fed = [resampler.feed(decode(p, plan)) for p in np.array_split(frames, n_chunks)]
        parts.append((np.concatenate([f[0] for f in fed]), np.concatenate([f[1] for f in fed])))
    for t_us, values in parts:
        assert t_us.tolist() == [0, 500, 1000, 1500, 2000]
        assert values[:, 0].tolist() == [1, 2, 3, 3, 3]
        np.testing.assert_array_equal(values[:, 1], [np.nan, 10, 10, 10, 10])
    with ResampledCsvSink(tmp_path / "r.csv", plan, 2000) as sink:
        sink.write(decode(frames, plan))
    lines = (tmp_path / "r.csv").read_text("utf-8-sig").splitlines()
    assert lines[:3] == ["t_s,Speed [rpm],Oil [degC]", "0.000000,1.0,", "0.000500,2.0,10"]


def test_resampling_stops_where_times_jump(database):
    frames = np.zeros(2, FRAME)
    frames["can_id"], frames["n_bytes"] = 256, 8
    frames["t_us"] = [0, 1_700_000_000_000_000]
    plan = compile_plan(database, ["Speed"])
    with pytest.raises(InputError, match="times of the log jump"):
        Resampler(column_names(plan), 100).feed(decode(frames, plan))


def test_file_names_never_collide():
    names = files.FileNames()
    given = [names.of(n) for n in ("Engine", "engine", "../x", "CON", "", "Engine", "a" * 300)]
    assert given[0] == given[5] == "Engine"
    lower = [g.lower() for k, g in enumerate(given) if k != 5]
    assert len(set(lower)) == len(lower)
    assert all("/" not in g and 0 < len(g) <= 64 for g in given)
