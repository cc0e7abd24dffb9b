"""What a user notices: starts, words, options that would do nothing, answers of SQL."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stagelog.blocks import Identity, pack_session
from stagelog.card import prepare_raw
from stagelog.cli import main
from stagelog.dbc import load_database
from stagelog.errors import InputError, OutputError, UsageError
from stagelog.model import FRAME
from stagelog.query import Archive

ROOT = Path(__file__).resolve().parents[2]
DBC = ROOT / "dbc/d7xr.dbc"
LOG = ROOT / "host/examples/drive.log.gz"


@pytest.fixture
def call(capsys):
    """Run the command; return (exit code, stdout, stderr)."""

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return (ended.value.code or 0, *capsys.readouterr())

    return run


def session(n_frames=600, boot=3):
    frames = np.zeros(n_frames, FRAME)
    frames["t_us"], frames["can_id"] = np.arange(n_frames) * 1000, 0x100
    frames["dlc"] = frames["n_bytes"] = 8
    return pack_session(frames, Identity("0b" * 8, boot, 9), anchors=[(0, 1_768_658_602_000_000)])


def test_a_dbc_is_read_without_what_python_can_needs():
    """Cantools imports python-can, and that asammdf and pandas: a second, for an unused tester."""
    text = (
        "import sys; from stagelog.dbc import load_database\n"
        "from stagelog.decode.doctor import check_database\n"
        "check_database(load_database(sys.argv[1]))\n"
        "print([name for name in ('can', 'asammdf', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", text, DBC], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_the_tester_of_cantools_is_there_for_who_uses_it():
    text = (  # python-can does without asammdf, and starts three seconds earlier
        "import sys; sys.modules['asammdf'] = None\n"
        "from stagelog.dbc.late_tester import import_cantools as get\n"
        "tester = get().tester; import cantools\n"
        "import can; assert cantools.tester is tester\n"
        "assert issubclass(tester.Listener, can.Listener)"
    )
    subprocess.run([sys.executable, "-c", text], check=True)


def test_a_dbc_of_500_kB_takes_less_than_a_second_or_two(tmp_path):
    """1,200 messages of 6 signals, 484,526 bytes: 0.9 s of one core that nobody else uses."""
    lines = ['VERSION ""', "BU_: A B"]
    for m in range(1200):
        lines.append(f"BO_ {m + 1} Msg{m}: 8 A")
        conversion = '(0.25,-40) [-40|215] "degC" B'
        lines += [f" SG_ Signal_{m}_{s} : {10 * s}|10@1+ {conversion}" for s in range(6)]
    text = (
        "import sys, time; from pathlib import Path; from stagelog.dbc import load_database\n"
        "Path('big.dbc').write_text(sys.stdin.read())\n"
        "found = load_database('big.dbc'); print(len(found.messages), time.process_time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    n_messages, cpu_s = done.stdout.split()
    assert n_messages == "1200" and float(cpu_s) < 2.0  # two: other work on the same core


def test_a_dbc_that_comes_with_stagelog_has_a_name(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_database("d7xr").sha256 == load_database(DBC).sha256
    code, out, _ = call("decode", LOG, "--dbc", "d7xr", "--out", "out")
    assert code == 0 and "37,340 of 37,340 frames decoded" in out
    with pytest.raises(InputError, match="by name there are: .*d7xr"):
        load_database("d7xs")
    (tmp_path / "d7xr").write_text('BU_: E\nBO_ 1 Mine: 8 E\n SG_ S : 0|8@1+ (1,0) [0|0] "" E\n')
    assert [m.name for m in load_database("d7xr").messages] == [
        "Mine"
    ]  # a file of that name first


def test_frames_that_were_not_asked_for_are_not_called_unknown(call, tmp_path):
    """ENG_1 comes every 10 ms: 2,000 of 37,340 frames in 20 s; 35,340 are of other messages."""
    words = ("decode", LOG, "--dbc", DBC, "--out", tmp_path / "out", "--signal", "EngSpd")
    code, out, _ = call(*words)
    assert code == 0 and "2,000 of 37,340 frames decoded" in out
    assert "35,340 frames are not asked for" in out and "not in the DBC" not in out


REFUSED = [
    f"decode {LOG} --dbc {DBC} --out out --raw --csv",
    "sim --duration 3",
    "query --view ENG_1 select",
    "card read card.img --event E1",
    "card read card.img --stage S1",
    "flash PORT --sha256 0 --yes",
    "flash PORT --chip esp32 --yes",
    "flash --settings car.json --base x.uf2 --yes",
]


@pytest.mark.parametrize("words", REFUSED)
def test_an_option_that_would_do_nothing_is_refused(call, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    prepare_raw("card.img", 64)
    (tmp_path / "archive").mkdir()
    (tmp_path / "car.json").write_text("{}")
    (tmp_path / "x.uf2").write_bytes(b"")
    code, _, error = call(*words.split())
    assert code == 2 and error.count("\n") == 1 and "; " in error, error


def test_settings_are_checked_before_anything_is_written(call, tmp_path, monkeypatch):
    """Neither MicroPython nor the firmware: the board is not touched, and nobody is asked."""
    monkeypatch.chdir(tmp_path)
    touched = []
    for name in ("base_image.checked_image", "flash"):
        monkeypatch.setattr(f"stagelog.flash.{name}", lambda *_, **__: touched.append(1))
    (tmp_path / "car.json").write_text('{"buses": [{"bitrate_bps": 123}]}')
    (tmp_path / "x.uf2").write_bytes(b"")
    words = ("flash", "PORT", "--base", "x.uf2", "--settings", "car.json", "--yes")
    code, _, error = call(*words)
    assert code == 5 and "car.json" in error and not touched


def test_verify_of_an_archive_names_each_file_and_goes_on_after_a_bad_one(call, tmp_path):
    for car, content in (("C01", session().tobytes()), ("C02", b"junk " * 2000)):
        folder = tmp_path / f"event=E/car={car}/stage=S"
        folder.mkdir(parents=True)
        (folder / "x.slog").write_bytes(content)
    (tmp_path / "event=E/car=C03/stage=S").mkdir(parents=True)
    (tmp_path / "event=E/car=C03/stage=S/y.slog").write_bytes(session(boot=4).tobytes())
    code, out, _ = call("verify", tmp_path)
    assert code == 1
    for line in ("car=C01/stage=S/x.slog:", "car=C02/stage=S/x.slog:", "car=C03/stage=S/y.slog:"):
        assert line in out
    assert out.count("600 frames in") == 2 and "INCOMPLETE: " in out and "3 logs: " in out


def test_card_read_sorts_as_download_does(call, tmp_path):
    """Event and stage "unsorted"; the car is the board's id, for a card does not name the car."""
    blocks = session()
    prepare_raw(tmp_path / "card.img", 64)
    content = bytearray((tmp_path / "card.img").read_bytes())
    blocks[:, 24:28] = (4 + np.arange(len(blocks), dtype="<u4")).view("u1").reshape(-1, 4)
    from stagelog.blocks import seal

    seal(blocks)
    content[4 * 4096 : (4 + len(blocks)) * 4096] = blocks.tobytes()
    (tmp_path / "card.img").write_bytes(content)
    assert call("card", "read", tmp_path / "card.img", "--archive", tmp_path / "a")[0] == 0
    [found] = (tmp_path / "a").rglob("*.slog")
    folders = found.relative_to(tmp_path / "a").parts[:-1]
    assert folders == ("event=unsorted", f"car=C{'0b' * 8}", "stage=unsorted")


def test_simulated_loggers_are_boards_of_their_own():
    from stagelog.cli.sim import _device_id

    ids = {_device_id(car, seed) for car in ("C01", "C02", "C03") for seed in (1, 2)}
    assert len(ids) == 6 and all(len(bytes.fromhex(one)) == 8 for one in ids)
    assert _device_id("C01", 1) == _device_id("C01", 1)


@pytest.fixture
def archive(tmp_path):
    with Archive(tmp_path) as opened:
        yield opened


def test_a_time_with_a_zone_is_a_time_in_the_zone_of_the_session(archive):
    """Paris is an hour before UTC in winter, two in summer."""
    archive.sql("set TimeZone = 'Europe/Paris'")
    zoned = "timestamptz '2026-{}-01 12:00:00+00'"
    _, [(winter, summer, none, other)] = archive.rows(
        f"select {zoned.format('01')}, {zoned.format('07')}, null::timestamptz, 'x'"
    )
    assert winter.isoformat() == "2026-01-01T13:00:00+01:00"
    assert summer.isoformat() == "2026-07-01T14:00:00+02:00"
    assert none is None and other == "x"
    _, rows = archive.rows(
        "select timestamp '2026-01-01 12:00:00' at time zone 'America/Lima' as t"
    )
    assert rows[0][0] == datetime.datetime(2026, 1, 1, 17, tzinfo=datetime.UTC)  # Lima is UTC-5


@pytest.mark.parametrize(
    "sql", ["selekt 1", "select nothing", "select 1 from nowhere", "select 'x'::int"]
)
def test_wrong_sql_is_usage(archive, call, tmp_path, sql):
    with pytest.raises(UsageError, match="the query fails"):
        archive.rows(sql)
    assert call("query", "--archive", tmp_path, sql)[0] == 2


def test_a_query_that_cannot_write_is_no_fault_of_the_sql(archive, tmp_path):
    with pytest.raises((OutputError, InputError)):
        archive.rows(f"copy (select 1) to '{tmp_path}/no/x.csv'")


def test_what_is_no_number_is_null_in_json(call, tmp_path):
    code, out, _ = call(
        "query", "--archive", tmp_path, "--json", "select 'nan'::double as a, 1.5 as b"
    )
    assert code == 0 and json.loads(out)["rows"] == [{"a": None, "b": "1.5"}]
    code, out, _ = call(
        "query", "--archive", tmp_path, "--json", "select [1.5::double, 'inf'::double] a"
    )
    assert json.loads(out)["rows"] == [{"a": [1.5, None]}]
