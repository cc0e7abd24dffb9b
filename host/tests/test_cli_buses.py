"""A DBC for each bus: the same identifier means another thing on another bus."""

import json

import pyarrow.parquet as pq
import pytest

import stagelog
from stagelog.cli import main
from stagelog.cli.watch import _values
from stagelog.importers import load_frames

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
    assert "7 of 17 frames decoded, 7 values, 1 file in out/bus1" in capsys.readouterr().out


WORDS = ("--dbc", "can0=a.dbc", "--dbc", "can1=b.dbc")


def test_convert_writes_the_signals_of_both_buses(folder, run):
    code, out, _ = run("convert", "x.log", "x.csv", *WORDS, "--rate-Hz", "1")
    assert code == 0 and "17 frames read, 17 values" in out
    rows = (folder / "x.csv").read_text(encoding="utf-8-sig").splitlines()
    assert rows[0] == "t_s,Speed,Force"
    # at 3.0 s: Speed 3 / 4 of bus 0; Force of bus 1 is that of 2.5 s, 2 times 2
    assert rows[4].split(",")[1:] == ["0.75", "4"]


def test_messages_of_one_name_get_their_bus(folder, run):
    (folder / "b.dbc").write_text(DBC.format(name="Engine", signal="Speed", scale=2))
    code, _, _ = run("convert", "x.log", "x.csv", *WORDS, "--rate-Hz", "1")
    head = (folder / "x.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert code == 0 and head == "t_s,Engine@bus0.Speed,Engine@bus1.Speed"


def test_a_bus_without_a_dbc_is_not_decoded(folder, run):
    code, out, _ = run("convert", "x.log", "x.csv", "--dbc", "can1=b.dbc", "--json")
    facts = json.loads(out)
    assert code == 0 and (facts["n_frames"], facts["n_decoded"]) == (17, 7)


def test_report_and_plot_take_a_dbc_for_each_bus(folder, run):
    code, out, err = run("report", "x.log", *WORDS, "--json")
    rows = json.loads(out)["sections"]["channels"]["tables"][0]["rows"]
    assert code == 0, err
    # 9 / 4 on bus 0, 2 times 6 on bus 1
    assert {(r["signal"], r["highest"]) for r in rows} == {("Speed", 2.25), ("Force", 12.0)}
    code, out, _ = run("plot", "x.log", *WORDS, "--strip", "Speed,Force", "--out", "x.svg")
    assert code == 0 and "2 signals, 17 samples" in out


def test_query_remembers_the_dbc_of_each_car(folder, run):
    """Three sessions of two cars: b.dbc for C04 leaves C03 as it was; a new one of C03 gets a.dbc
    without being told, an edit of a.dbc is taken up.
    """
    from stagelog.archive.facts import complete_session
    from stagelog.blocks import Identity, pack_session
    from stagelog.importers import load_frames
    from stagelog.replies import ListedSession

    frames = load_frames("x.log").frames

    def archive(car, boot):
        place = folder / f"archive/event=E/car={car}/stage=S1"
        place.mkdir(parents=True, exist_ok=True)
        identity = Identity(car[-2:] * 8, boot, 7)
        path = place / f"{identity.name}.slog"
        path.write_bytes(pack_session(frames, identity).tobytes())
        n_blocks = path.stat().st_size // 4096
        complete_session(path, listed(identity, n_blocks))

    def listed(identity, n_blocks):
        import dataclasses

        given = {
            "device_id": bytes.fromhex(identity.device_id), "boot": identity.boot,
            "nonce": identity.nonce, "n_blocks": n_blocks,
        }  # fmt: skip
        known = {f.name: 0 for f in dataclasses.fields(ListedSession)}
        return ListedSession(**(known | given))

    def values(view):
        code, out, err = run(
            "query", f"select car, count(*) as n from {view} group by all", "--json"
        )
        return {row["car"]: row["n"] for row in json.loads(out)["rows"]}, err

    archive("C03", 1)
    assert run("query", "--dbc", "can0=a.dbc")[0] in (0, 1)
    archive("C04", 1)
    _, _, err = run("query", "--dbc", "can1=b.dbc")
    assert "car C03 stays decoded with" in err and "--car C03" in err
    assert values("Engine")[0] == {"C03": 10} and values("Brake")[0] == {"C04": 7}
    archive("C03", 2)
    found, err = values("Engine")
    assert found == {"C03": 20} and "decoded, 1 message\n" in err  # of itself
    run("query", "--dbc", "can1=b.dbc", "--car", "C03")
    assert values("Brake")[0] == {"C03": 14, "C04": 7}
    assert run("query", "--car", "C03")[0] == 2


def test_dbc_check_takes_a_file_for_each_bus(folder, capsys):
    """Neither file describes the frames of the other bus; a defect names its file."""
    (folder / "b.dbc").write_text((folder / "b.dbc").read_text().replace("8 E", "2 E"))
    assert run("dbc check can0=a.dbc can1=b.dbc --log x.log --json") == 1
    log = json.loads(capsys.readouterr().out)["log"]
    assert log["unknown_ids"] == [] and log["absent_messages"] == []
    assert [(row["message"], row["n_longer"]) for row in log["lengths"]] == [("Brake", 7)]
    (folder / "b.dbc").write_text((folder / "b.dbc").read_text() + 'VAL_ 999 X 0 "a" ;\n')
    assert run("dbc check can0=a.dbc can1=b.dbc") == 1
    assert "b.dbc: VAL_ for message 999" in capsys.readouterr().out


def test_python_takes_a_file_for_each_bus(folder):
    drive = stagelog.open("x.log", dbc=["can0=a.dbc", "can1=b.dbc"])
    assert drive.signal("Speed").values.tolist() == [k / 4 for k in range(10)]
    assert drive.signal("Force").values.tolist() == [2.0 * k for k in range(7)]


def test_watch_takes_a_file_for_each_bus(folder):
    frames = load_frames("x.log").frames
    values = _values(("can0=a.dbc", "can1=b.dbc"), ()).entries(frames)
    found = {(row["bus"], row["signal"]) for row in values}
    assert found == {(0, "Engine.Speed"), (1, "Brake.Force")} and len(values) == 17


@pytest.mark.parametrize(("options", "code"), [("", 1), ("--dbc can0=a.dbc ", 0)])
def test_a_dbc_of_a_bus_without_frames_is_named(folder, capsys, options, code):
    """Exit 1 where nothing at all was decoded, and what the log holds instead."""
    assert run(f"decode x.log {options}--dbc can7=b.dbc --out out") == code
    said = capsys.readouterr().err
    assert "warning: no frame of bus 7, which b.dbc is for: the log has frames of bus 0, 1" in said
