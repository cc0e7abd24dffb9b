"""SPEC.md says what the code does: its tables, its settings, its recipes."""

import hashlib
import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slog import event_names, layout, messages, signal_table, table_names
from slog.framing import MAX_PAYLOAD, frame
from slog.settings import DEFAULTS, SettingsError, load
from stagelog.card import extent_layout

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "firmware" / "SPEC.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def spec_tables():
    path = str(ROOT / "tools" / "spec_tables")
    loader = importlib.machinery.SourceFileLoader("spec_tables", path)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("spec_tables", loader)
    )
    loader.exec_module(module)
    return module


def section(title):
    """Return the text of a section of SPEC.md."""
    start = SPEC.index(f"\n## {title}\n")
    end = SPEC.find("\n## ", start + 4)
    return SPEC[start : end if end > 0 else None]


def test_tables_are_those_of_the_code():
    command = [sys.executable, ROOT / "tools" / "spec_tables", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_changed_table_is_noticed(spec_tables):
    assert spec_tables.rewritten(SPEC) == SPEC
    for wrong in (SPEC.replace("| 36 | 4 | `stored0`", "| 40 | 4 | `stored0`"), SPEC[:9000]):
        try:
            assert spec_tables.rewritten(wrong) != wrong
        except SystemExit as missing:
            assert "has no place for" in str(missing.code)


def test_the_header_covers_64_bytes_and_a_record_16():
    assert layout.size(layout.BLOCK_HEADER) == layout.HEADER_BYTES == 64
    assert layout.size(layout.RECORD) == layout.RECORD_BYTES == 16
    assert 64 + 252 * 16 == layout.BLOCK_BYTES
    for _, name, _, table in layout.META:
        assert layout.size(table) == 8, name


def test_places_on_a_card_are_as_the_table_says():
    text = section("4 Medium")
    rows = re.findall(
        r"^\| (\d+) or more \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| all \|$", text, re.M
    )
    assert len(rows) == 4
    for row in rows:
        least, release_a, release_b, copy, first = map(int, row)
        for n in (least, least + 7):
            layout = extent_layout(n)
            assert layout[:3] == (release_a, release_b, copy)
            assert (layout.release_a, layout.release_b, layout.copy) == layout[:3]
            assert (layout.data_first, layout.data_end) == (first, n)
    assert extent_layout((1 << 13) - 1).copy == 48


def test_settings_are_as_the_table_says():
    rows = re.findall(r"^\| `(\w+)` \| `?(.*?)`? \| (.*) \|$", section("9 Settings"), re.M)
    documented = {name: json.loads(default) for name, default, _ in rows}
    assert documented == DEFAULTS
    assert load(json.dumps(documented).encode()) == DEFAULTS
    for rate in (125000, 250000, 500000, 1000000):
        load(json.dumps({"buses": [{"bitrate_bps": rate}]}).encode())
    for wrong in ({"flush_ms": 9}, {"flush_ms": 10001}, {"car": "x" * 9}, {"what": 1}):
        with pytest.raises(SettingsError):
            load(json.dumps(wrong).encode())


def test_the_contract_hash_follows_its_recipe():
    digest = hashlib.sha256(b"stagelog 1")

    def add(title, table):
        digest.update(title.encode())
        for name, code, unit, _ in table:
            digest.update(f"|{name} {code} {unit}".encode())

    for table in (layout.BLOCK_HEADER, layout.RECORD, layout.SIGNATURE, layout.RELEASE):
        add("", table)
    for kind, name, _, table in layout.META:
        add(f"meta {kind} {name}", table)
    for kind, name, request, reply in messages.MESSAGES:
        add(f"ask {kind} {name}", request)
        add(f"answer {kind} {name}", reply)
    for code, name, unit, _, extra_unit, _, states in (*event_names.EVENTS, *event_names.KINDS):
        digest.update(f"event {code} {name} {unit} {extra_unit}".encode())
        for state, word in sorted(states.items()):
            digest.update(f"|{state} {word} ".encode())
    digest.update(b"summary")
    for name, unit, _, extra_unit, _ in event_names.SUMMARY_ITEMS:
        digest.update(f"|{name} {unit} {extra_unit}".encode())
    digest.update(b"signal table 3")
    for tag, (name, _, columns) in sorted(table_names.SECTIONS.items()):
        digest.update(f"section {tag} {name}".encode())
        for row, unit, _ in (*columns, *table_names.ROWS.get(tag, ())):
            digest.update(f"|{row} {unit} ".encode())
    for role, name, n, unit in table_names.ROLES:
        digest.update(f"|role {role} {name} {n} {unit}".encode())
    assert digest.digest()[:8] == messages.contract_hash()


def test_numbers_in_the_text_are_those_of_the_code():
    assert f"{MAX_PAYLOAD} bytes at most" in SPEC
    assert frame(1, 2, b"")[0] == frame(1, 2, b"")[-1] == 0
    assert f'"SLST" | version u8, {signal_table.VERSION} |' in SPEC
    assert "0x4C53" in SPEC and layout.MAGIC.to_bytes(2, "little") == b"SL"
