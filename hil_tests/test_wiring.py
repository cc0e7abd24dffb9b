"""The steps of firmware/WIRING.md, typed on an emulated Pico that is blank and on a cable."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stagelog.rig.runtimes import find_runtime

COMMAND = str(Path(sys.executable).with_name("stagelog"))
SETTINGS = {"car": "C03", "flush_ms": 250, "buses": [{"bitrate_bps": 500000, "ids": None}]}


def stagelog(*words):
    """Run the command; return (exit code, stdout, stderr)."""
    done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(find_runtime("pico-1.25") is None, reason="no image: tools/runtimes pico-1.25")
@pytest.mark.parametrize("name", ["pico_mcp2515", "pico_pio", "pico_pio_dual"])
def test_a_blank_board_becomes_a_logger(tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    card = tmp_path / "card.img"
    code, _, text = stagelog("card", "prepare", card, "--size", "64MiB")
    assert code == 0, text
    (tmp_path / "car.json").write_text(json.dumps(SETTINGS))
    words = [COMMAND, "sim", "--target", "rp2040", "--blank", "--card", str(card), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as board:
        try:
            text = ""
            while not text.endswith("}\n"):
                text += board.stdout.readline()
            port = json.loads(text)["port"]
            settings = ("--settings", tmp_path / "car.json")
            code, _, text = stagelog("flash", port, "--board", name, *settings, "--yes")
            assert code == 0, text
            code, text, _ = stagelog("status", port, "--json")
            facts = json.loads(text)
            assert facts["car"] == "C03" and facts["state"] == "recording"
            assert facts["board"] == name and facts["blocks_free"] > 10_000
            names = (
                "--stop",
                "--event",
                "TEST",
                "--stage",
                "SS01",
                "--archive",
                tmp_path / "archive",
            )
            code, _, text = stagelog("download", port, *names)
            assert code == 0, text
            code, text, _ = stagelog("verify", tmp_path / "archive")
            assert code == 0 and "COMPLETE" in text, text
        finally:
            board.terminate()
