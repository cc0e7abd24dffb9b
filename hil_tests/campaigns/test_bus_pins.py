"""The bus campaign at the level of bits, short form, and the controls that must fail.

C1, C2, C8 and C9 of hil_tests/RELIABILITY.md; the others are of a controller, of a node that
sends, or of the application, which `test_bus_campaign` runs.
"""

from unittest import mock

import pytest

from campaigns.engine.bus import pins
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
