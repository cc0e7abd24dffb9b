"""L19: settings and firmware, cut at every operation on real littlefs: old or new, never
neither.
"""

import pytest

from campaigns.engine.power_cut import updates
from campaigns.engine.results import Tally
from stagelog.rig.runtimes import find_runtime


def test_l19_an_update_leaves_the_old_or_the_new():
    if find_runtime("unix64") is None:
        pytest.skip("no MicroPython: run tools/runtimes unix64")
    tally = Tally(1)
    updates.run(tally)
    assert not tally.findings, "\n".join(map(str, tally.findings))
    assert all(row.n_cases > 100 for row in updates.rows(tally))
