"""What a repaired DBC means, statement by statement; expected values are read off the text.

SG_MUL_VAL_, VAL_, CM_, SIG_VALTYPE_ and BO_ as the DBC format has them.
"""

import pytest

from stagelog.dbc import load_database
from stagelog.dbc.repair import repair

HEAD = 'VERSION ""\nBS_:\nBU_: ECU\n'


@pytest.fixture
def load(tmp_path):
    """Return a function: text behind HEAD -> Database."""

    def call(text):
        path = tmp_path / "x.dbc"
        path.write_text(HEAD + text, encoding="utf-8")
        return load_database(path)

    return call


CHANGED = "BS_: 500\n"  # a bit rate is a defect, so the parser gets the text as it was repaired


def signals_of(database):
    (message,) = database.messages
    return {signal.name: signal for signal in message.signals}


def what(database):
    return [f"{defect.line}: {defect.what}" for defect in database.defects]


def test_signals_of_no_message_are_no_defect(load):
    """0xC0000000, 3221225472, is the message of signals that no message has."""
    found = load(
        "BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX\n"
        ' SG_ Free : 0|8@1+ (1,0) [0|0] "" ECU\n'
        'BO_ 1 A: 8 ECU\n SG_ X : 0|8@1+ (1,0) [0|0] "" ECU\n'
        'CM_ SG_ 3221225472 Free "nowhere";\nVAL_ 3221225472 Free 0 "off" ;\n'
    )
    assert what(found) == [] and [m.name for m in found.messages] == ["A"]


def test_what_names_an_identifier_of_two_messages_means_the_first(load):
    found = load(
        'BO_ 1 A: 8 ECU\n SG_ X : 0|8@1+ (1,0) [0|0] "" ECU\n'
        'BO_ 1 B: 8 ECU\n SG_ Y : 0|8@1+ (1,0) [0|0] "" ECU\n'
        'VAL_ 1 X 0 "off" 1 "on" ;\n'
    )
    assert signals_of(found)["X"].choices == {0: "off", 1: "on"}
    assert what(found) == ['6: message "B" has the identifier of "A" (line 4)']


MUXED = (
    'BO_ 1 A: 8 ECU\n SG_ S M : 0|4@1+ (1,0) [0|0] "" ECU\n SG_ X m3 : 8|8@1+ (1,0) [0|0] "" ECU\n'
)


def test_a_range_beyond_the_selector_selects_nothing(load):
    """Four bits hold 0 to 15: of 14-99 there are 14 and 15, of 200-300 none."""
    found = load(MUXED + "SG_MUL_VAL_ 1 X S 3-5, 14-99, 200-300;\n")
    assert signals_of(found)["X"].selector_ranges == ((3, 5), (14, 15))


def test_a_selector_that_is_selected_stays_a_selector(load):
    """T is written M, and SG_MUL_VAL_ says when it is there: m3M."""
    found = load(
        'BO_ 1 A: 8 ECU\n SG_ S M : 0|4@1+ (1,0) [0|0] "" ECU\n'
        ' SG_ T M : 8|8@1+ (1,0) [0|0] "" ECU\n SG_ U m2 : 16|8@1+ (1,0) [0|0] "" ECU\n'
        "SG_MUL_VAL_ 1 T S 3-3;\nSG_MUL_VAL_ 1 U T 2-2;\n"
    )
    signals = signals_of(found)
    assert signals["T"].is_selector and signals["U"].selector == "T"
    assert (signals["T"].selector, signals["T"].selector_ranges) == ("S", ((3, 3),))


def test_of_two_texts_for_one_value_the_first_stays(load):
    found = load(
        'BO_ 1 A: 8 ECU\n SG_ X : 0|8@1- (1,0) [0|0] "" ECU\n'
        ' SG_ Y : 900|0@1+ (1,0) [0|0] "" ECU\nVAL_ 1 X 0 "first" 0 "second" -1 "minus" ;\n'
    )
    assert signals_of(found)["X"].choices == {0: "first", -1: "minus"}


@pytest.mark.parametrize(
    ("kind", "length", "is_float", "defect"),
    [
        (1, 32, True, None),
        (2, 64, True, None),
        (0, 32, False, None),
        (3, 64, False, None),  # no type of the format
        (1, 64, False, '"X" is said to be a float of 32 bits and has 64'),
        (2, 32, False, '"X" is said to be a float of 64 bits and has 32'),
    ],
)
def test_a_float_is_one_of_the_two_lengths(load, kind, length, is_float, defect):
    found = load(
        f'BO_ 1 A: 8 ECU\n SG_ X : 0|{length}@1- (1,0) [0|0] "" ECU\nSIG_VALTYPE_ 1 X : {kind};\n'
    )
    assert signals_of(found)["X"].is_float == is_float
    assert [d.what for d in found.defects] == ([defect] if defect else [])


def test_ranges_of_a_message_that_is_left_out_are_left_out(load):
    """0x800 without bit 31 is read as 29 bits; then B has its identifier and is left out, with its
    selector S. A has an X of its own, which is always there.
    """
    found = load(
        'BO_ 2048 A: 8 ECU\n SG_ X : 0|8@1+ (1,0) [0|0] "" ECU\n'
        'BO_ 2147485696 B: 8 ECU\n SG_ S M : 0|4@1+ (1,0) [0|0] "" ECU\n'
        ' SG_ X m1 : 8|8@1+ (1,0) [0|0] "" ECU\nSG_MUL_VAL_ 2147485696 X S 1-2;\n'
    )
    assert (signals_of(found)["X"].selector, signals_of(found)["X"].selector_ranges) == (None, ())
    assert len(what(found)) == 2, what(found)


def test_a_comment_on_a_node_is_none_on_the_file():
    text = repair(
        HEAD + 'BO_ 1 A: 8 ECU\nCM_ BU_ ECU "of the node";\nCM_ EV_ Env "of a variable";\n'
        'CM_ "of the file";\nCM_ BO_ 1 "of A";\n'
    ).text
    comments = [line for line in text.splitlines() if line.startswith("CM_")]
    assert comments == ['CM_ "of the file";', 'CM_ BO_ 1 "of A";']


def test_a_node_that_is_named_twice_is_one():
    text = repair('VERSION ""\nBU_: ECU Dash ECU\nBO_ 1 A: 8 ECU\n').text
    assert "BU_: ECU Dash" in text.splitlines()


def test_a_message_of_a_gigabyte_is_cut(load):
    """J1939's transport has 255 packets of 7 bytes, 1,785. A table of a billion bytes needs some
    hundred GB.
    """
    found = load('BO_ 1 A: 1000000000 ECU\n SG_ X : 0|8@1+ (1,0) [0|0] "" ECU\n')
    assert what(found) == ['4: message "A" has 1,000,000,000 bytes']
    assert found.messages[0].n_bytes == 1785
    assert load('BO_ 1 A: 1785 ECU\n SG_ X : 0|8@1+ (1,0) [0|0] "" ECU\n').defects == ()


def test_a_scale_without_end_is_1_and_one_defect(load):
    found = load('BO_ 1 A: 8 ECU\n SG_ X : 0|8@1+ (1e999,5) [0|0] "" ECU\n')
    assert (signals_of(found)["X"].scale, signals_of(found)["X"].offset) == (1, 5)
    assert what(found) == ['5: signal "X" has scale "1e999"']


@pytest.mark.parametrize(
    ("mark", "selects"),
    [
        ("m3", (3, 3)),
        ("m0", (0, 0)),
        ("m00255", (255, 255)),
        ("m12", (12, 12)),
        ("m123", (123, 123)),
    ],
)
def test_the_value_of_a_mark_is_all_its_digits(load, mark, selects):
    found = load(
        CHANGED + 'BO_ 1 A: 8 ECU\n SG_ S M : 0|8@1+ (1,0) [0|0] "" ECU\n'
        f' SG_ X {mark} : 8|8@1+ (1,0) [0|0] "" ECU\n'
    )
    assert signals_of(found)["X"].selector_ranges == (selects,)


@pytest.mark.parametrize(
    ("number", "can_id"), [("0x1A", 26), ("0X7FF", 2047), ("26.0", 26), ("26.5", None)]
)
def test_an_identifier_in_another_form_is_the_same_number(load, number, can_id):
    """Hexadecimal, or with a fraction of zero; 26.5 is no identifier."""
    found = load(
        f'BO_ {number} A: 8 ECU\n SG_ X : 0|8@1+ (1,0) [0|0] "" ECU\n'
        'BO_ 5 B: 8 ECU\n SG_ Y : 0|8@1+ (1,0) [0|0] "" ECU\n'
    )
    assert {m.name: m.can_id for m in found.messages}.get("A") == can_id


@pytest.mark.parametrize(
    ("number", "is_ext", "defects"), [(0x7FF, False, 0), (0x800, True, 1), (0x60000900, True, 1)]
)
def test_an_identifier_of_11_bits_needs_no_flag(load, number, is_ext, defects):
    found = load(f'BO_ {number} A: 8 ECU\n SG_ X : 0|8@1+ (1,0) [0|0] "" ECU\n')
    (message,) = found.messages
    wanted = (number & 0x1FFFFFFF, is_ext, defects)
    assert (message.can_id, message.is_ext, len(found.defects)) == wanted


def test_text_that_begins_with_no_keyword_ends_at_its_semicolon():
    """It is reported once, as not understood, and has an end."""
    found = repair(HEAD + "BO_ 1 A: 8 ECU\nnonsense here ;\n")
    assert [d.what for d in found.defects] == ["not understood: nonsense here"]


def test_a_text_without_its_quote_ends_before_the_semicolon(load):
    found = load(
        'BO_ 1 A: 8 ECU\n SG_ X : 0|8@1+ (1,0) [0|0] "" ECU\nCM_ SG_ 1 X "no end ;\n'
        'CM_ BO_ 1 "of A";\n'
    )
    assert signals_of(found)["X"].comment == "no end" and found.messages[0].comment == "of A"


def test_a_signal_on_the_line_of_its_message_is_one(load):
    found = load(
        CHANGED
        + 'BO_ 1 A: 8 ECU SG_ X : 0|8@1+ (1,0) [0|0] "" ECU SG_ Y : 8|8@1+ (1,0) [0|0] "" ECU\n'
    )
    assert set(signals_of(found)) == {"X", "Y"}
