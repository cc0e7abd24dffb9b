"""The edges campaign, short form (1,000 frames a case), and the controls that must fail."""

from unittest import mock

import pytest

from campaigns.engine.bus import edges
from campaigns.engine.bus.edges import BEYOND, WITHIN, is_good
from campaigns.engine.results import Tally
from stagelog.rig.bus.wave import acknowledged_bits
from stagelog.rig.runtimes import find_runtime

SEED = 20261120
BITS = "bits wrong, 1 in 10,000"

pytestmark = pytest.mark.skipif(
    find_runtime("pico-1.25") is None, reason="no image: tools/runtimes pico-1.25"
)


@pytest.fixture(autouse=True)
def few_frames(monkeypatch):
    monkeypatch.setattr(edges, "N_FRAMES", 1000)


@pytest.mark.parametrize("kind", [next(iter(WITHIN)), BITS])
def test_what_is_promised_is_kept(kind):
    assert edges.reproduce(SEED, f"{kind}:0") == []


def test_far_beyond_frames_are_lost_and_none_is_wrong():
    """Edges to recessive 300 ns late, the clock 0.5 % off, a jitter of 180 ns."""
    kind = next(kind for kind in BEYOND if "jitter 180" in kind)
    tally = Tally(SEED)
    edges.run_case(tally, kind, 0)
    assert not tally.findings and tally.worst[f"lost, {kind}"] > 0


def test_control_a_receiver_that_lets_a_bad_frame_pass_is_caught():
    """One frame more than was good, with its bits as they came."""
    hear = edges.hear

    def careless(*args):
        found, stamps, counts, starts_us = hear(*args)
        return [*found, found[-1]], stamps, {**counts, "crc": 0, "stuff": 0}, starts_us

    with mock.patch.object(edges, "hear", careless):
        found = edges.reproduce(SEED, f"{BITS}:0")
    assert {finding.invariant for finding in found} == {"C8", "C9"}


@pytest.mark.parametrize(
    ("at", "good"),
    [(1, False), (-10, False), (-9, True), (-8, False), (-3, False)],
    ids=["identifier", "CRC delimiter", "ACK slot", "ACK delimiter", "end of frame"],
)
def test_the_witness_knows_which_bits_matter(at, good):
    """ISO 11898-1, 10.4: a listener takes a frame whatever is in its ACK slot."""
    row = acknowledged_bits(0x2AA, 0, 2, b"\x55\xaa")
    row[at] ^= 1
    assert is_good(row) == good
