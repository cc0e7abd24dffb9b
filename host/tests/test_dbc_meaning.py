"""What attributes, ranges of selectors and letters of a DBC mean, by the DBC's own rules."""

import pytest

from stagelog.dbc import load_database
from stagelog.dbc.loader import _ranges

HEAD = 'VERSION ""\nBS_:\nBU_: ECU\n'


def loaded(folder, text):
    """Return the Database of a text (str or bytes) behind the usual head."""
    path = folder / "x.dbc"
    path.write_bytes(HEAD.encode() + (text if isinstance(text, bytes) else text.encode()))
    return load_database(path)


ATTRIBUTES = """BO_ 2566844672 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (0.125,0) [0|8031.875] "rpm" ECU
 SG_ Speed : 16|16@1+ (1,0) [0|1] "" ECU
BO_ 2566844673 Other: 8 ECU
 SG_ A : 0|8@1+ (1,0) [0|1] "" ECU
BO_ 2566844674 Third: 8 ECU
 SG_ B : 0|8@1+ (1,0) [0|1] "" ECU
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_ BO_ "GenMsgCycleTime" INT 0;
BA_DEF_DEF_ "VFrameFormat" "StandardCAN";
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "VFrameFormat" BO_ 2566844672 "J1939PG";
BA_ "VFrameFormat" BO_ 2566844673 3;
BA_ "VFrameFormat" BO_ 2566844674 4;
BA_ "GenMsgCycleTime" BO_ 2566844672 20.0;
BA_ "GenMsgCycleTime" BO_ 2566844673 "50";
"""


def test_attributes_of_a_damaged_dbc_keep_their_meaning(tmp_path):
    """The second Speed makes a repair necessary. An ENUM has four texts, 0 to 3: the value may be
    a text or its number, 4 is none of them. Numbers may be in quotes, and INT may have a point.
    """
    database = loaded(tmp_path, ATTRIBUTES)
    assert [(m.name, m.is_j1939, m.cycle_ms) for m in database.messages] == [
        ("Engine", True, 20),
        ("Other", True, 50),
        ("Third", False, None),
    ]
    assert [defect.line for defect in database.defects] == [6, 17]
    assert database.defects[1].what == 'attribute "VFrameFormat" cannot be 4'


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        ("0-3", "3-5", True),  # both are present while the selector is 3
        ("0-2", "3-5", False),
        ("1-1, 5-5", "4-6", True),
        ("1-1, 5-5", "5-5", True),
        ("1-1, 5-5", "2-4", False),
    ],
)
def test_signals_share_bits_where_their_ranges_meet(tmp_path, first, second, share):
    text = f"""BO_ 100 M: 8 ECU
 SG_ Sel M : 0|8@1+ (1,0) [0|1] "" ECU
 SG_ A m1 : 8|8@1+ (1,0) [0|1] "" ECU
 SG_ B m5 : 8|8@1+ (1,0) [0|1] "" ECU
SG_MUL_VAL_ 100 A Sel {first};
SG_MUL_VAL_ 100 B Sel {second};
"""
    defects = loaded(tmp_path, text).defects
    assert any("share bits" in defect.what for defect in defects) == share


def test_values_of_a_selector_become_ranges_without_what_lies_between():
    assert _ranges([7, 1, 2, 5, 3]) == ((1, 3), (5, 5), (7, 7))


def test_a_float_has_its_own_sign(tmp_path):
    """SIG_VALTYPE_ 1: an IEEE 754 float, whatever the sign behind @ says."""
    text = """BO_ 100 M: 8 ECU
 SG_ F : 0|32@1- (1,0) [0|1] "" ECU
 SG_ I : 32|32@1- (1,0) [0|1] "" ECU
SIG_VALTYPE_ 100 F : 1;
"""
    signals = {
        s.name: (s.is_float, s.is_signed) for s in loaded(tmp_path, text).messages[0].signals
    }
    assert signals == {"F": (True, False), "I": (False, True)}


def test_letters_of_windows_are_those_of_code_page_1252(tmp_path):
    """Byte 80 is the sign of the euro, 96 a dash; in ISO 8859-1 both are control characters."""
    text = b'BO_ 100 M: 8 ECU\n SG_ A : 0|8@1+ (1,0) [0|1] "\x80 \x96 \xb0C" ECU\n'
    database = loaded(tmp_path, text)
    assert database.encoding == "cp1252"
    assert database.messages[0].signals[0].unit == "\u20ac \u2013 \u00b0C"


def test_ranges_of_a_29_bit_message_are_its_own(tmp_path):
    """In a DBC bit 31 marks a 29-bit identifier: 2147483748 is 64 hex with it."""
    text = """BO_ 2147483748 M: 8 ECU
 SG_ Sel M : 0|8@1+ (1,0) [0|1] "" ECU
 SG_ A m1 : 8|8@1+ (1,0) [0|1] "" ECU
SG_MUL_VAL_ 2147483748 A Sel 1-1, 5-9;
"""
    (message,) = loaded(tmp_path, text).messages
    assert (message.can_id, message.is_ext) == (0x64, True)
    assert message.signals[1].selector_ranges == ((1, 1), (5, 9))


PROTOCOL = """BO_ 2566844672 Engine: 8 ECU
 SG_ A : 0|8@1+ (1,0) [0|1] "" ECU
BO_ {number} Long: {n_bytes} ECU
 SG_ B : 0|8@1+ (1,0) [0|1] "" ECU
BA_DEF_ "ProtocolType" STRING;
BA_DEF_DEF_ "ProtocolType" "";
BA_ "ProtocolType" "{protocol}";
"""


@pytest.mark.parametrize(
    ("protocol", "number", "n_bytes", "is_j1939"),
    [
        ("J1939", 100, 8, True),
        ("SAE J1939-71", 100, 8, True),
        ("j1939", 100, 8, True),
        ("CAN", 100, 8, False),
        ("CAN", 2566844673, 20, False),  # a length of CAN FD
        ("CAN", 2566844673, 43, True),  # no frame has 43 bytes: it comes in several
        ("CAN", 100, 43, False),  # J1939 has 29-bit identifiers only
    ],
)
def test_a_dbc_is_j1939_by_its_name_or_by_lengths(tmp_path, protocol, number, n_bytes, is_j1939):
    text = PROTOCOL.format(protocol=protocol, number=number, n_bytes=n_bytes)
    found = {m.name: m.is_j1939 for m in loaded(tmp_path, text).messages}
    assert found["Engine"] == is_j1939
