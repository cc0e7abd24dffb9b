"""The bus campaign at the level of bits, short form, and the controls that must fail.

C1, C2, C8 and C9 of hil_tests/RELIABILITY.md; the others are of a controller, of a node that
sends, or of the application, which `test_bus_campaign` runs.
"""

from unittest import mock

import numpy as np
import pytest

from campaigns.engine.bus import pins
from campaigns.engine.results import Tally
from stagelog.rig.rp2040.receiver import Receiver, Record
from stagelog.rig.runtimes import find_runtime

SEED = 20261120

pytestmark = pytest.mark.skipif(
    find_runtime("pico-1.25") is None, reason="no image: tools/runtimes pico-1.25"
)


@pytest.mark.parametrize("kind", ["bit errors at the logger", "several at once"])
def test_what_a_node_of_another_make_hears_is_stored(kind):
    assert pins.reproduce(SEED, f"{kind}:0") == []


@pytest.mark.parametrize(
    ("edges_us", "is_torn"),
    [
        ([100, 102, 104, 112, 114], False),  # 500 kbit/s: 1, 1, 4, 1 bits
        ([100, 102.3, 104, 112.1, 114], False),  # an edge 300 ns late: 0.15 of a bit
        ([100, 102.5, 104, 112, 114], True),  # 0.25
        ([100, 102, 104, 105, 112], True),  # half a bit
        ([100.0, 110.05, 120.1, 130.15], False),  # a sender that is 0.5 % slow
    ],
)
def test_a_frame_is_torn_if_its_edges_are_no_whole_bits_apart(edges_us, is_torn):
    assert pins._is_torn(np.array(edges_us), 100, 2) == is_torn


@pytest.mark.parametrize(("n_lost", "invariants"), [(1, []), (2, ["C1"])])
def test_one_torn_frame_of_a_case_may_be_missed_and_is_a_figure(n_lost, invariants):
    take = Receiver.frames
    tally = Tally(SEED)
    with (
        mock.patch.object(Receiver, "frames", lambda self: take(self)[n_lost:]),
        mock.patch.object(pins, "_is_torn", lambda *args: True),
    ):
        pins.run_case(tally, "stuck dominant", 0)
    assert [finding.invariant for finding in tally.findings] == invariants
    tally.states["stuck dominant"] = 1
    (row,) = pins.rows(tally)
    assert row.worst.endswith(f", {n_lost} torn ones missed in all")


@pytest.mark.parametrize(
    ("change", "invariants"),
    [
        (lambda frames: frames[:50] + frames[51:], {"C1"}),
        (lambda frames: [frames[0]._replace(data=b"\1" * 8), *frames], {"C8"}),
        (lambda frames: [Record(r.t_us + 9, *r[1:]) for r in frames], {"C1", "C8"}),
    ],
    ids=["one is lost", "one was never sent", "stamps are late"],
)
def test_control_a_receiver_that_does_otherwise_is_caught(change, invariants):
    take = Receiver.frames
    with mock.patch.object(Receiver, "frames", lambda self: change(take(self))):
        found = pins.reproduce(SEED, "stuck dominant:0")
    assert {finding.invariant for finding in found} == invariants
