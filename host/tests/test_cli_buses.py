"""A DBC for each bus: the same identifier means another thing on another bus."""

import json

import pyarrow.parquet as pq
import pytest

from stagelog.cli import main

DBC = 'BU_: E\nBO_ 256 {name}: 8 E\n SG_ {signal} : 0|16@1+ ({scale},0) [0|0] "" E\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Identifier 0x100 on two buses, 10 and 7 frames, the count in the first byte."""
    monkeypatch.chdir(tmp_path)
    for file, name, signal, scale in (("a", "Engine", "Speed", 0.25), ("b", "Brake", "Force", 2)):
        text = DBC.format(name=name, signal=signal, scale=scale)
        (tmp_path / f"{file}.dbc").write_text(text)
    lines = [f"({k}.000000) can0 100#{k:02X}00000000000000\n" for k in range(10)]
    lines += [f"({k}.500000) can1 100#{k:02X}00000000000000\n" for k in range(7)]
    (tmp_path / "x.log").write_text("".join(lines))
    return tmp_path


def run(words):
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    return ended.value.code or 0


@pytest.mark.parametrize("log", ["x.log", "x.slog"])
@pytest.mark.parametrize("names", [("can0", "can1"), ("0", "1"), ("bus0", "bus1")])
def test_each_bus_is_decoded_with_its_own_dbc(folder, capsys, log, names):
    """Count k is k / 4 on bus 0 and 2 k on bus 1; neither frame is read with the other DBC."""
    assert run("convert x.log x.slog") == 0
    first, second = names
    assert run(f"decode {log} --dbc {first}=a.dbc --dbc {second}=b.dbc --out out --json") == 0
    rows = json.loads(capsys.readouterr().out.split("known\n")[-1])["sessions"]
    counts = [(r["bus"], r["n_frames"], r["n_decoded"], r["n_unknown"]) for r in rows]
    assert counts == [(0, 17, 10, 0), (1, 17, 7, 0)]
    files = sorted(
        str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*.parquet")
    )
    assert [file.split("/")[-2:] for file in files] == [
        ["bus0", "Engine.parquet"],
        ["bus1", "Brake.parquet"],
    ]
    speed = pq.read_table(folder / "out" / files[0])["Speed"].to_pylist()
    force = pq.read_table(folder / "out" / files[1])["Force"].to_pylist()
    assert speed == [k / 4 for k in range(10)] and force == [2.0 * k for k in range(7)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--dbc a.dbc --dbc b.dbc", "say for which bus each is"),
        ("--dbc can0=a.dbc --dbc b.dbc", "give each bus one DBC"),
        ("--dbc can0=a.dbc --dbc 0=b.dbc", "give each bus one DBC"),
        ("--dbc can0=a.dbc --bus 0", "decode one bus at a time"),
        ("--dbc can0=a.dbc --signal Speed", "decode one bus at a time"),
    ],
)
def test_what_cannot_be_meant_is_usage(folder, capsys, options, says):
    assert run(f"decode x.log {options} --out out") == 2
    assert says in capsys.readouterr().err and not (folder / "out").exists()


def test_one_bus_alone_leaves_the_other_out(folder, capsys):
    assert run("decode x.log --dbc can1=b.dbc --out out") == 0
    assert "7 of 17 frames decoded, 7 values, 1 files in out/bus1" in capsys.readouterr().out
