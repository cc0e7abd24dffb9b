"""Tests import the helpers beside them, such as `hand_table`."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def target(tmp_path):
    """Return a logger in its simulated world, with a card of 512 blocks."""
    from stagelog.rig.target import SimTarget

    rig = SimTarget(tmp_path, card_blocks=512)
    yield rig
    rig.close()


@pytest.fixture(scope="session")
def make():
    """Return the module golden/make.py, which makes logs with the firmware's ring and store."""
    path = Path(__file__).parent / "golden" / "make.py"
    spec = importlib.util.spec_from_file_location("make_golden", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
