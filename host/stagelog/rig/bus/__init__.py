"""The simulated CAN bus: nodes, frames, faults, and what everyone on it saw."""

from stagelog.rig.bus.bus import Bus, simulate

__all__ = ["Bus", "simulate"]
