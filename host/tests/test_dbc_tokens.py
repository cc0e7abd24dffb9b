"""A DBC is cut into the tokens that cantools cuts it into; plain statements as any other."""

import json
import random
import subprocess
import sys

import pytest
import textparser

from stagelog.dbc import statements
from stagelog.dbc.late_tester import import_cantools
from stagelog.dbc.statements import split_statements
from stagelog.dbc.tokens import tokens_of
from stagelog.resources import dbc_path

# cantools' own, in a process in which nobody has replaced it
THEIRS = """
import json, sys
from cantools.database.can.formats.dbc.dbc_loader import DbcParser
found = []
for text in json.load(sys.stdin):
    try:
        found.append([(t.kind, t.value, t.offset) for t in DbcParser().tokenize(text)])
    except Exception as error:
        found.append(str(error))
json.dump(found, sys.stdout)
"""
PIECES = (
    *(" ", "\n", "\t", "\r\n", '// a remark; "\n', "//", '"a text"', '"say \\"no\\" // ;"', '"'),
    *("BO_", "SG_", "NS_DESC_", "CM_", "_x1", "9a", "12", "-3.5e-7", "+", "-", "1.", "0|8@1+"),
    *("(0.1,-40)", "[0|255]", ";", ":", ",", "@", "m3M", "\xe4", "?"),
)


def made_texts(n=300):
    rng = random.Random(1)
    return ["".join(rng.choices(PIECES, k=rng.randrange(1, 40))) for _ in range(n)]


def ours(text):
    try:
        return [[t.kind, t.value, t.offset] for t in tokens_of(text)]
    except textparser.TokenizeError as error:
        return str(error)


def test_tokens_are_those_of_cantools():
    texts = made_texts() + [path.read_text() for path in dbc_path().glob("*.dbc")]
    done = subprocess.run(
        [sys.executable, "-c", THEIRS], input=json.dumps(texts), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert len(theirs) == len(texts) > 300
    for text, wanted in zip(texts, theirs, strict=True):
        assert ours(text) == wanted, text


def test_the_parser_uses_them():
    import_cantools()
    loader = pytest.importorskip("cantools.database.can.formats.dbc.dbc_loader")
    found = loader.DbcParser().tokenize("BO_ 1")
    assert [type(t).__module__ for t in found[1:]] == ["stagelog.dbc.tokens"] * 2


TORN = ("\n", "  ", "\t", '"', ";", "SG_ ", "BO_ 1 a: 8 X", "//", '\\"', "\xa0", 'CM_ "x', "\x0c")


@pytest.mark.parametrize("seed", range(3))
def test_plain_statements_are_cut_as_any_other(monkeypatch, seed):
    """Pieces of DBCs, torn at random places: the quick way gives what the slow one does."""
    rng = random.Random(seed)
    texts = [path.read_text() for path in dbc_path().glob("*.dbc")]
    pieces = []
    for _ in range(60):
        whole = rng.choice(texts)
        at = rng.randrange(max(1, len(whole) - 3000))
        text = whole[at : at + 3000]
        for _ in range(rng.randrange(8)):
            k = rng.randrange(len(text) + 1)
            text = text[:k] + rng.choice(TORN) + text[k + rng.randrange(3) :]
        pieces.append(text)
    quick = [split_statements(text) for text in pieces]
    monkeypatch.setattr(statements._Splitter, "take_plain", lambda self, at: at)
    for text, found in zip(pieces, quick, strict=True):
        assert found == split_statements(text), text
