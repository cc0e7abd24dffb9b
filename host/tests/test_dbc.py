"""The tolerant loader: what is whole is loaded, what is not is listed with its line."""

import random
import time
from pathlib import Path

import cantools
import pytest
from recorded_drives import DRIVES

from stagelog.dbc import Message, load_database
from stagelog.dbc.loader import decode_text
from stagelog.dbc.model import bits_of, last_byte
from stagelog.dbc.repair import repair
from stagelog.errors import InputError

ROOT = Path(__file__).parents[2]
EVIL = Path(__file__).parent / "evil" / "dbc"
HEAD = 'VERSION ""\nBS_:\nBU_: ECU\n'

# file -> (message names, number of signals, [(line, part of what is wrong, part of what was
# done)])
EVIL_FILES = {
    "bit_rate_in_bs": (["A"], 1, [(2, "bit rate", "without it")]),
    "encoding_cp1252": (["A"], 1, []),
    "encoding_utf8_mark": (["A"], 1, []),
    "encoding_utf16": (["A"], 1, [(0, "UTF-16", "as such")]),
    "zero_bytes": (["A"], 1, [(13, "zero bytes, 300 times", "taken out")]),
    "float_of_wrong_size": (["A"], 2, [(15, "float of 32 bits and has 24", "integer")]),
    "fragment": (["A"], 1, [(1, "imports _common.dbc", "not followed")]),
    "identifier_without_flag": (["EngTemp"], 1, [(11, "without the flag", "29 bits")]),
    "identifier_too_large": (
        ["A"],
        1,
        [(11, "more than 29 bits", "0x0"), (13, "not a message", "left"), (14, "outside", "left")],
    ),
    "number_without_leading_zero": (
        ["A"],
        2,
        [
            (12, 'scale ".25"', "0.25"),
            (12, 'offset "-.499"', "-0.499"),
            (12, 'minimum "-.5"', "-0.5"),
            (12, 'maximum ".5"', "0.5"),
            (13, 'maximum "1e999"', "0"),
        ],
    ),
    "names_that_are_none": (
        ["_2WD_State"],
        3,
        [
            (11, '"2WD State" starts with a digit', '"_2WD_State"'),
            (12, '"5V_Rail" starts with a digit', '"_5V_Rail"'),
            (13, '"Oil-Temp" is not an identifier', '"Oil_Temp"'),
            (14, '"FILTER"', '"_FILTER"'),
        ],
    ),
    "refers_to_nothing": (
        ["A"],
        1,
        [
            (13, '"Gone"', "left out"),
            (14, "message 2", "left out"),
            (15, '"Gone"', "left out"),
            (16, "message 2", "left out"),
            (17, '"Gone"', "left out"),
            (18, '"Gone"', "left out"),
            (19, '"Nowhere"', "left out"),
            (20, '"Nowhere"', "left out"),
            (21, '"GenMsgCycleTime" is not defined', "usual meaning"),
            (22, "message 2", "left out"),
        ],
    ),
    "shares_bits_and_does_not_fit": (
        ["A"],
        5,
        [
            (13, '"X" and "Y" of "A" share bits', "both decoded"),
            (14, "minimum 10 > maximum 0", "without limits"),
            (14, "does not fit into the 2 bytes", "3 bytes and more"),
            (14, '"X" and "Z"', "both decoded"),
            (14, '"Y" and "Z"', "both decoded"),
            (15, "does not fit", "9 bytes and more"),
            (15, "72 bits", "not decoded"),
            (16, "no place in a payload (0|0)", "left out"),
            (17, "scale 0", "read as 1"),
            (17, '"X" and "Flat"', "both decoded"),
        ],
    ),
    "said_twice": (
        ["A", "A_2"],
        3,
        [
            (13, '"X" is there twice, also on line 12', '"X_2"'),
            (14, '"A" is there twice, also on line 11', '"A_2"'),
            (16, '"B" has the identifier of "A" (line 11)', "left out"),
        ],
    ),
    "selector_missing": (
        ["A", "B", "C"],
        6,
        [
            (12, '"A" has no selector', "not known"),
            (16, 'second selector "T"', 'only "S"'),
            (19, 'mark "m" without a value', "selector"),
            (20, 'mark "0M"', '"m0M"'),
            (20, "selects in its turn", "selected only"),
        ],
    ),
    "value_is_infinite": (
        ["A"],
        1,
        [(13, "names 1e999", "left out"), (13, "names 0.5", "left out")],
    ),
    "frame_format_without_default": (["A"], 1, [(14, "message 7", "left out")]),
    "receivers_are_keywords": (["A", "B"], 2, [(14, '"Y" names no receiver', "without")]),
    "selector_range_of_billions": (["A"], 3, []),
    "quote_never_closed": (
        ["A", "B"],
        3,
        [
            (12, "no proper end", "as far"),
            (12, "names no receiver", "without"),
            (16, "end", "as far"),
        ],
    ),
    "semicolon_missing": (
        ["A"],
        1,
        [(line, "has no proper end", "as far as it goes") for line in (13, 14, 15, 16)],
    ),
    "lines_of_nonsense": (
        ["A"],
        2,
        [
            (13, "not understood: SG Y", "left out"),
            (14, "not a signal", "left out"),
            (15, '"W" names no unit', "without"),
            (16, "not understood: %$&/ what?", "left out"),
            (17, "not a message", "left out"),
            (18, "outside of a message", "left out"),
            (19, "not a message", "left out"),
            (20, "no value: 0 off", "left out"),
        ],
    ),
}


@pytest.mark.parametrize("name", EVIL_FILES)
def test_evil_file_loads_with_its_defects(name):
    names, n_signals, wanted = EVIL_FILES[name]
    database = load_database(EVIL / f"{name}.dbc")
    assert [m.name for m in database.messages] == names
    assert database.n_signals == n_signals
    found = [(d.line, d.what, d.done) for d in database.defects]
    assert len(found) == len(wanted), found
    for (line, what, done), (wanted_line, wanted_what, wanted_done) in zip(
        found, wanted, strict=True
    ):
        assert line == wanted_line
        assert wanted_what in what
        assert wanted_done in done


def test_every_evil_file_is_expected_somewhere():
    refused = {"nothing_in_it", "not_a_dbc"}
    assert {p.stem for p in EVIL.glob("*.dbc")} == set(EVIL_FILES) | refused


@pytest.mark.parametrize("name", ["nothing_in_it", "not_a_dbc"])
def test_a_file_without_any_message_is_refused(name):
    with pytest.raises(InputError, match="no message can be read"):
        load_database(EVIL / f"{name}.dbc")


def test_refusal_names_the_first_line_at_fault(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(HEAD + "BO_ what\n")
    with pytest.raises(InputError, match="line 4: not a message") as error:
        load_database(path)
    assert error.value.exit_code == 5


def test_repaired_parts_mean_what_they_should():
    message = load_database(EVIL / "identifier_without_flag.dbc").messages[0]
    assert (message.can_id, message.is_ext) == (419360257 & 0x1FFFFFFF, True)
    assert message.signals[0].choices == {255: "fault"}
    assert "as it stands in the file" in message.signals[0].comment
    assert load_database(EVIL / "refers_to_nothing.dbc").messages[0].cycle_ms == 20
    quoted = load_database(EVIL / "quote_never_closed.dbc")
    assert quoted.message("B").signal("Z").choices == {0: "off", 1: "on"}
    assert quoted.message("B").signal("Z").comment == "a comment\nover two lines with BO_ in it"
    signals = load_database(EVIL / "selector_range_of_billions.dbc").messages[0].signals
    assert [s.selector_ranges for s in signals] == [(), ((0, 4294967294),), ((7, 4294967295),)]
    units = {
        load_database(EVIL / f"encoding_{e}.dbc").messages[0].signals[0].unit
        for e in ("cp1252", "utf8_mark", "utf16")
    }
    assert units == {"\u00b0C"}


@pytest.mark.parametrize("recorded", DRIVES)
def test_sound_files_load_as_cantools_loads_them(recorded):
    path = recorded.dbc
    database = load_database(path)
    oracle = cantools.database.load_file(path)
    assert database.defects == ()
    assert len(database.messages) == len(oracle.messages)
    for ours, theirs in zip(database.messages, oracle.messages, strict=True):
        assert same(ours, theirs)
    # the repaired text of a sound file says the same too
    repaired = cantools.database.load_string(repair(path.read_text()).text, "dbc")
    for ours, theirs in zip(database.messages, repaired.messages, strict=True):
        assert same(ours, theirs)


def same(ours, theirs):
    assert (ours.name, ours.can_id, ours.is_ext) == (
        theirs.name,
        theirs.frame_id,
        theirs.is_extended_frame,
    )
    assert (ours.n_bytes, ours.cycle_ms) == (theirs.length, theirs.cycle_time or None)
    for a, b in zip(ours.signals, theirs.signals, strict=True):
        assert (a.name, a.start, a.length, a.scale, a.offset) == (
            b.name,
            b.start,
            b.length,
            b.scale,
            b.offset,
        )
        assert (a.is_motorola, a.is_signed) == (b.byte_order == "big_endian", b.is_signed)
        assert (a.selector, a.is_selector) == (b.multiplexer_signal, b.is_multiplexer)
        assert a.unit == (b.unit or "")
        assert (a.choices or {}) == {k: str(v) for k, v in (b.choices or {}).items()}
    return True


def test_extended_multiplexing(tmp_path):
    path = tmp_path / "x.dbc"
    path.write_text(
        HEAD + "BO_ 1 A: 8 ECU\n"
        ' SG_ S M : 0|8@1+ (1,0) [0|0] "" ECU\n'
        ' SG_ T m2M : 8|8@1+ (1,0) [0|0] "" ECU\n'
        ' SG_ U m0 : 16|8@1+ (1,0) [0|0] "" ECU\n'
        "SG_MUL_VAL_ 1 T S 2-2;\nSG_MUL_VAL_ 1 U T 0-3, 7-9;\n"
    )
    signals = load_database(path).messages[0].signals
    assert [(s.selector, s.selector_ranges, s.is_selector) for s in signals] == [
        (None, (), True),
        ("S", ((2, 2),), True),
        ("T", ((0, 3), (7, 9)), False),
    ]


def test_no_parser_is_made_to_list_more_than_256_selector_values():
    lines = [' SG_ S M : 0|16@1+ (1,0) [0|0] "" ECU', ' SG_ T m0 : 16|8@1+ (1,0) [0|0] "" ECU']
    lines.append("SG_MUL_VAL_ 1 T S 0-199, 300-399, 500-600, 700-800;")
    repaired = repair(HEAD + "BO_ 1 A: 8 ECU\n" + "\n".join(lines))
    assert "SG_MUL_VAL_ 1 T S 0-199, 300-355;" in repaired.text
    assert repaired.ranges[1, "T"] == ("S", ((0, 199), (300, 399), (500, 600), (700, 800)))


def test_hash_and_encoding_of_the_file(tmp_path):
    import hashlib

    database = load_database(ROOT / "dbc/d7xr.dbc")
    data = (ROOT / "dbc/d7xr.dbc").read_bytes()
    assert database.sha256 == hashlib.sha256(data).hexdigest()
    assert decode_text(b"\xb0C")[:2] == ("\u00b0C", "cp1252")
    assert decode_text("\u00b0C".encode())[:2] == ("\u00b0C", "utf-8")


KCD = """<?xml version="1.0"?>
<NetworkDefinition xmlns="http://kayak.2codeornot2code.org/1.0">
  <Document name="x"/>
  <Node id="1" name="ECU"/>
  <Bus name="b">
    <Message id="0x123" length="8" name="Engine">
      <Signal name="Speed" offset="8" length="16"><Value slope="0.25" unit="rpm"/></Signal>
    </Message>
  </Bus>
</NetworkDefinition>
"""


def test_other_kinds_go_through_cantools(tmp_path):
    path = tmp_path / "x.kcd"
    path.write_text(KCD)
    database = load_database(path)
    assert database.kind == "kcd"
    message = database.message("Engine")
    assert isinstance(message, Message)
    assert (message.can_id, message.signal("Speed").scale) == (0x123, 0.25)
    path.write_text(KCD[:200])
    with pytest.raises(InputError, match="not a KCD database"):
        load_database(path)


def test_absent_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_database(tmp_path / "no.dbc")


def test_bit_numbers_are_those_of_the_drawing():
    # Motorola, start 5, 4 bits: bits 5 4 3 2 of byte 0; start 1, 4 bits: 1 0 of byte 0, 7 6 of
    # byte 1
    assert list(bits_of(5, 4, True)) == [5, 4, 3, 2]
    assert list(bits_of(1, 4, True)) == [1, 0, 15, 14]
    assert list(bits_of(6, 4, False)) == [9, 8, 7, 6]
    assert (last_byte(1, 4, True), last_byte(6, 4, False), last_byte(7, 8, True)) == (1, 1, 0)


NASTY_TEXTS = {
    "one message, many signals": lambda n: (
        "BO_ 1 A: 64 ECU\n"
        + "".join(f' SG_ S{k} m{k} : 8|32@1+ (1,0) [0|0] "" ECU\n' for k in range(n // 40))
        + ' SG_ M0 M : 0|8@1+ (1,0) [0|0] "" ECU\n'
    ),
    "quotes": lambda n: 'CM_ "' * (n // 5),
    "one long line": lambda n: "BO_ 1 A: 8 ECU\n SG_ " + "x" * n,
    "brackets": lambda n: "BO_ 1 A: 8 ECU\n SG_ X : " + "(" * n,
    "spaces": lambda n: "VAL_ 1 X " + " " * n + "0",
    "pairs": lambda n: "VAL_ 1 X " + '0 "a" ' * (n // 6),
    "backslashes": lambda n: 'CM_ "' + '\\"' * (n // 2),
}


@pytest.mark.parametrize("name", NASTY_TEXTS)
def test_work_grows_in_proportion_to_a_nasty_text(name):
    """Processor time, so that a busy machine changes nothing: eight times the text may cost at
    most 40 times as much (quadratic work costs 64), unless it is next to nothing.
    """

    def cost_s(n):
        text = HEAD + NASTY_TEXTS[name](n)
        costs_s = []
        for _ in range(3):  # the least: a cache that is shared with others costs, too
            start_s = time.process_time()
            repair(text)
            costs_s.append(time.process_time() - start_s)
        return min(costs_s)

    whole_s = cost_s(200_000)
    assert whole_s < 0.1 or whole_s < 40 * cost_s(25_000)


def test_mutants_of_a_sound_file_load_or_are_refused(tmp_path):
    text = (ROOT / "dbc/d7xr.dbc").read_bytes()[:6000]
    rng = random.Random(7)
    words = [b'"', b";", b"\n", b"BO_ ", b"SG_ ", b"VAL_ ", b"1e999", b"-", b"\0", b"\xff", b"|@("]
    path = tmp_path / "x.dbc"
    n_loaded = 0
    for _ in range(60):
        data = bytearray(text)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                del data[at : at + rng.randint(1, 200)]
            elif kind == 2:
                data[at:at] = rng.choice(words)
            else:
                data[at:at] = data[at : at + rng.randint(1, 200)]
        path.write_bytes(data)
        try:
            database = load_database(path)
        except InputError:
            continue
        n_loaded += 1
        assert not any("as a whole" in d.what for d in database.defects), bytes(data)
    assert n_loaded > 50
