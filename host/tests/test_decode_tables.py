"""Tables of decoded signals: what belongs to which row, and what is counted."""

import numpy as np
import pytest

from stagelog.dbc import Signal
from stagelog.dbc.model import Message
from stagelog.decode.tables import Decoded, MessageTable


def table(name="Engine", source=None, **signals):
    """Return a table of three frames; signal B is absent from the second."""
    given = {"A": np.array([1, 2, 3]), "B": np.array([10, 30])} | signals
    made = tuple(
        Signal(key, 0, 8, choices={1: "one", 30: "thirty"} if key in "AB" else None)
        for key in given
    )
    message = Message(name, 256, 8, signals=made)
    t_us, bus = np.array([100, 200, 300]), np.array([0, 1, 0], np.uint8)
    return MessageTable(message, t_us, bus, source, given, {"B": np.array([0, 2])}, {"B": 1})


def test_a_signal_has_the_times_of_its_own_rows():
    one = table()
    assert [part.tolist() for part in one.series("A")] == [[100, 200, 300], [1, 2, 3]]
    assert [part.tolist() for part in one.series("B")] == [[100, 300], [10, 30]]
    np.testing.assert_array_equal(one.dense("B"), [10, np.nan, 30])
    assert one.dense("A").tolist() == [1, 2, 3] and one.dense("A").dtype == np.float64
    assert one.labels("A").tolist() == ["one", "2", "3"]
    assert one.labels("B").tolist() == ["10", "thirty"]
    assert len(one) == 3 and one.name == "Engine"


def test_what_is_known_of_frames_keeps_its_name_unless_a_signal_has_it():
    assert list(table().of_frames()) == ["t_us", "bus"]
    source = np.array([3, 4, 5], np.uint8)
    found = table(source=source, bus=np.array([7, 8, 9])).of_frames()
    assert {key: values.tolist() for key, values in found.items()} == {
        "t_us": [100, 200, 300],
        "frame_bus": [0, 1, 0],
        "source": [3, 4, 5],
    }


def test_counts_of_all_tables():
    """3 + 2 values in each; 1 + 1 values of short frames; 5 + 2 unknown frames."""
    whole = Decoded("phys", {"Engine": table(), "Other": table("Other")})
    whole.unknown = {(0x7AA, False): 5, (0x7AA, True): 2}
    assert (whole.n_values, whole.n_short, whole.n_unknown) == (10, 2, 7)
    assert whole["Other"].name == "Other"
    assert whole.series("A")[1].tolist() == [1, 2, 3]
    whole.messages["Other"].signals["A"] = np.array([7, 8, 9])
    assert whole.series("Other.A")[1].tolist() == [7, 8, 9]
    assert whole.series("Engine.A")[1].tolist() == [1, 2, 3]
    for name in ("C", "Nobody.A", "Engine.C"):
        with pytest.raises(KeyError):
            whole.series(name)
