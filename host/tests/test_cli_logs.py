"""The verbs that read logs: what a user sees, the exit codes, one clear line for bad input."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from slog.layout import BLOCK_BYTES
from stagelog.archive import stage_folder, store_session
from stagelog.blocks import Identity, pack_session, read_log
from stagelog.card import prepare_raw
from stagelog.cli import VERBS
from stagelog.model import FRAME
from stagelog.resources import dbc_path

ALICE = Identity("e66038b7130f2e29", 12, 0x9F3C2A11)
T_UNIX_US = 1_768_658_602_120_000  # 2026-01-17 14:03:22.120 UTC
DBC = str(dbc_path() / "d7xr.dbc")


def session_blocks(n_frames=3000, can_id=0x100, identity=ALICE):
    frames = np.zeros(n_frames, FRAME)
    frames["t_us"] = 1_000_000 + np.arange(n_frames) * 1000
    frames["can_id"] = can_id
    frames["dlc"] = frames["n_bytes"] = 8
    frames["data"] = np.random.default_rng(1).integers(0, 256, (n_frames, 8))
    return pack_session(frames, identity, anchors=[(1_000_000, T_UNIX_US)])


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(session_blocks().tobytes())
    return path


@pytest.fixture
def damaged_log(tmp_path):
    blocks = session_blocks()
    blocks[3, 500] ^= 1
    path = tmp_path / "y.slog"
    path.write_bytes(blocks.tobytes())
    return path


def test_info_tells_who_when_and_what(run, log):
    code, out, _ = run("info", log, "--ids", "--events")
    assert code == 0
    assert ALICE.name in out and "2026-01-17 14:03:22 UTC" in out and "3,000 frames" in out
    assert "100" in out and "anchor" in out


def test_verify_of_a_whole_log_is_complete(run, log):
    code, out, _ = run("verify", log)
    assert code == 0
    assert "bus 0: 3,000 seen = 3,000 stored" in out and "COMPLETE" in out


def test_verify_explains_a_hole_in_words(run, damaged_log):
    code, out, _ = run("verify", damaged_log)
    assert code == 1
    assert "14:03:22.869 bus 0: 250 frames in 251 ms missing: block 4 damaged or missing" in out
    assert "INCOMPLETE: 250 frames are not here" in out
    assert "byte 12,288: the CRC of block 4 is wrong" in out


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_json_has_a_schema_and_plain_values(run, damaged_log, verb):
    _, out, _ = run(verb, damaged_log, "--json")
    facts = json.loads(out)
    assert facts["schema"] == f"stagelog.{verb}/1"
    assert facts["logs"][0]["path"] == str(damaged_log)


def test_verify_of_an_archive_folder_compares_the_digests(run, tmp_path, log):
    read = read_log(log)
    entry = store_session(read, read.sessions[0], stage_folder(tmp_path / "a", "X", "3", "S1"))
    code, out, _ = run("verify", tmp_path / "a")
    assert code == 0 and "COMPLETE" in out
    content = bytearray(entry.path.read_bytes())
    content[-1] ^= 1  # behind the records in use: no CRC covers it
    entry.path.write_bytes(content)
    code, out, _ = run("verify", tmp_path / "a")
    assert code == 1 and "SHA-256" in out
    entry.path.unlink()
    code, out, _ = run("verify", tmp_path / "a")
    assert code == 1 and "is missing" in out


def test_decode_writes_one_file_per_message(run, tmp_path):
    import pyarrow.parquet as pq

    from stagelog.dbc import load_database

    message = load_database(DBC).messages[0]
    path = tmp_path / "x.slog"
    path.write_bytes(session_blocks(can_id=message.can_id).tobytes())
    code, out, _ = run("decode", path, "--dbc", DBC, "--out", tmp_path / "out")
    assert code == 0 and "3,000 of 3,000 frames decoded" in out
    table = pq.read_table(tmp_path / "out" / f"{message.name}.parquet")
    assert table.num_rows == 3000 and table.column("t_us")[0].as_py() == 1_000_000
    code, _, err = run("decode", path, "--dbc", DBC, "--out", tmp_path / "out")
    assert code == 6 and "exists" in err
    code, out, _ = run("decode", path, "--dbc", DBC, "--out", tmp_path / "csv", "--csv", "--json")
    assert code == 0
    assert json.loads(out)["sessions"][0]["n_decoded"] == 3000
    assert (tmp_path / "csv" / f"{message.name}.csv").exists()


def test_decode_gives_every_session_of_a_log_a_folder(run, tmp_path):
    from stagelog.dbc import load_database

    message = load_database(DBC).messages[0]
    later = Identity(ALICE.device_id, 13, 0x1234ABCD)
    whole = [session_blocks(n, message.can_id, who) for n, who in ((700, ALICE), (500, later))]
    path = tmp_path / "x.slog"
    path.write_bytes(b"".join(blocks.tobytes() for blocks in whole))
    code, out, _ = run("decode", path, "--dbc", DBC, "--out", tmp_path / "out", "--csv", "--json")
    sessions = json.loads(out)["sessions"]
    assert code == 0 and [session["n_decoded"] for session in sessions] == [700, 500]
    for session, n in zip(sessions, (700, 500), strict=True):
        lines = (tmp_path / "out" / session["session"] / f"{message.name}.csv").read_text()
        assert len([line for line in lines.splitlines() if not line.startswith("#")]) == n + 1
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_decode_takes_logs_of_other_kinds(run, tmp_path):
    from stagelog.dbc import load_database

    message = load_database(DBC).messages[0]
    path = tmp_path / "drive.log"
    path.write_text(f"(1768658602.120000) can0 {message.can_id:03X}#0011223344556677\n" * 20)
    code, out, _ = run("decode", path, "--dbc", DBC, "--out", tmp_path / "out", "--json")
    (report,) = json.loads(out)["sessions"]
    assert code == 0 and (report["session"], report["n_decoded"]) == ("drive", 20)


def test_decode_that_finds_nothing_says_so(run, tmp_path):
    path = tmp_path / "x.slog"
    path.write_bytes(session_blocks(can_id=0x7EF).tobytes())
    code, out, _ = run("decode", path, "--dbc", DBC, "--out", tmp_path / "out")
    assert code == 1 and "3,000 frames are not in the DBC: 7EF" in out


def test_card_prepare_and_read(run, tmp_path):
    image = tmp_path / "card.img"
    code, out, _ = run("card", "prepare", image, "--size", "48MiB")
    assert code == 0 and "prepared" in out
    code, out, _ = run("card", "read", image)
    assert code == 0 and "0 sessions" in out
    code, _, err = run("card", "prepare", tmp_path / "b.img")
    assert code == 2 and "--size" in err
    code, _, err = run("card", "prepare", image, "--size", "12 parsec")
    assert code == 2 and "is not a size" in err


def test_card_read_copies_sessions_into_the_archive(run, tmp_path):
    image = tmp_path / "raw.img"
    prepare_raw(image, 64)
    blocks = session_blocks()
    blocks[:, 24:28] = (4 + np.arange(len(blocks), dtype="<u4")).view("u1").reshape(-1, 4)
    from stagelog.blocks import seal

    seal(blocks)
    with open(image, "r+b") as file:
        file.seek(4 * BLOCK_BYTES)
        file.write(blocks.tobytes())
    where = ("--archive", tmp_path / "a", "--event", "DAKAR26", "--car", "3", "--stage", "SS1")
    code, out, _ = run("card", "read", image, *where)
    assert code == 0
    path = tmp_path / "a" / "event=DAKAR26" / "car=C3" / "stage=SS1" / f"{ALICE.name}.slog"
    assert str(path) in out and path.read_bytes() == blocks.tobytes()
    code, _, err = run("card", "prepare", image, "--raw", "--size", "1MiB")
    assert code == 6 and "not released" in err


@pytest.mark.parametrize("verb", ["info", "verify", "decode"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"SL\x01" + bytes(100), "cut short"),
        (b"\x1f\x8b" + bytes(9000), "gzip"),
    ],
)
def test_bad_logs_give_one_line_and_exit_code_5(run, tmp_path, verb, content, says):
    path = tmp_path / "bad.slog"
    if content is not None:
        path.write_bytes(content)
    more = ("--dbc", DBC, "--out", tmp_path / "o") if verb == "decode" else ()
    code, out, err = run(verb, path, *more)
    assert code == 5 and not out
    assert err.startswith("stagelog: ") and err.count("\n") == 1 and says in err


def test_a_folder_without_logs_gives_one_line(run, tmp_path):
    code, _, err = run("verify", tmp_path)
    assert code == 5 and "holds no session file" in err


def test_help_lists_every_verb_that_is_there(run):
    code, out, _ = run("--help")
    assert code == 0
    for verb in ("info", "verify", "decode", "card", "sim"):
        assert VERBS[verb] in " ".join(out.split())
    code, out, _ = run("--version")
    assert code == 0 and out.startswith("stagelog 0.")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nope"], "No such command 'nope'; see 'stagelog --help'"),
        (["verify"], "Missing argument 'LOG'; see 'stagelog verify --help'"),
        (["verify", "x", "--what"], "No such option"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line_and_exit_code_2(run, args, says):
    code, _, err = run(*args)
    assert code == 2 and says in err and err.count("\n") == 1


def test_every_module_of_a_verb_is_in_the_list():
    import stagelog.cli

    folder = os.path.dirname(stagelog.cli.__file__)
    modules = {name[:-3] for name in os.listdir(folder) if name.endswith(".py")}
    assert {name for name in modules if not name.startswith("_")} <= set(VERBS)


def test_ctrl_c_is_exit_code_130(run, monkeypatch, log):
    import stagelog.accounts

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stagelog.accounts, "read_log", interrupted)
    code, _, err = run("info", log)
    assert code == 130 and "interrupted" in err


def test_a_full_disk_is_exit_code_6(run, monkeypatch, log):
    import stagelog.accounts

    def full(*_):
        raise OSError(28, "No space left on device", "out.parquet")

    monkeypatch.setattr(stagelog.accounts, "read_log", full)
    code, _, err = run("info", log)
    assert code == 6 and err == "stagelog: out.parquet: No space left on device\n"


def test_a_closed_pipe_is_no_traceback(log):
    command = f"{sys.executable} -m stagelog.cli info {log} --events | head -1"
    command = command.replace("-m stagelog.cli", "-c 'from stagelog.cli import main; main()'")
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_help_does_not_import_numpy():
    code = (
        "import sys\nfrom stagelog.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted(set(sys.modules) & {'numpy', 'construct', 'rich', 'serial', 'cantools'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
