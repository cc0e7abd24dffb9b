"""L19: settings and firmware, cut at every operation on real littlefs: old or new, never
neither.
"""

import pytest

from campaigns.engine.power_cut import updates
from stagelog.rig.runtimes import find_runtime


def test_l19_an_update_leaves_the_old_or_the_new():
    runtime = find_runtime("unix64")
    if runtime is None:
        pytest.skip("no MicroPython: run tools/runtimes unix64")
    rows, findings = updates.run(1, runtime)
    assert not findings, "\n".join(map(str, findings))
    assert all(row.n_cases > 100 for row in rows)
