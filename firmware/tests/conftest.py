"""Property tests take the time they take: none fails because the machine is busy. Tests import
the helpers beside them, such as `hand_table`.
"""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parent))
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def target(tmp_path):
    """Return a logger in its simulated world, with a card of 512 blocks."""
    from stagelog.rig.target import SimTarget

    rig = SimTarget(tmp_path, card_blocks=512)
    yield rig
    rig.close()
