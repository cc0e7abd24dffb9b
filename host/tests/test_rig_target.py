"""The three targets of the hardware-in-the-loop suite answer the same questions."""

import inspect

import pytest

from stagelog.rig.hardware import HardwareTarget
from stagelog.rig.rp2040.target import Rp2040Target
from stagelog.rig.target import CAPABILITIES, METHODS, SimTarget, Target

# What a rig of a kind can have at most; a bench has power where its file names a switch.
ABLE = {
    SimTarget: SimTarget.capabilities,
    Rp2040Target: frozenset(CAPABILITIES),
    HardwareTarget: frozenset(("bench", "power")),
}
COMMON = [name for name, member in vars(Target).items() if inspect.isfunction(member)]
VALUES = [name for name, member in vars(Target).items() if isinstance(member, property)]


def parameters(cls, name):
    return list(inspect.signature(getattr(cls, name)).parameters)


@pytest.mark.parametrize("cls", ABLE, ids=lambda cls: cls.name)
def test_a_target_has_what_the_protocol_says(cls):
    assert {"play", "send", "run_for", "close"} <= set(COMMON)
    for name in (name for name in COMMON if not name.startswith("_")):
        assert parameters(cls, name) == parameters(Target, name), name
    written = inspect.getsource(cls)
    for name in (*Target.__annotations__, *VALUES):
        assert hasattr(cls, name) or f"self.{name} = " in written, name


@pytest.mark.parametrize("cls", ABLE, ids=lambda cls: cls.name)
def test_a_capability_comes_with_its_methods(cls):
    assert set(METHODS) <= set(CAPABILITIES)
    for capability in ABLE[cls] & METHODS.keys():
        for name in METHODS[capability]:
            assert parameters(cls, name) == parameters(Rp2040Target, name), name


def test_a_link_without_cable_takes_all_bytes():
    """The firmware writes as `boards` do: buffer, first byte, number of bytes."""
    from stagelog.rig.sim.models import NoLink

    assert NoLink().write(bytearray(b"abcd"), 1, 2) == 2
