"""The link campaign, short form: T1 to T12 through bad cables, resets, kills and full disks.

T8    recording meanwhile: test_asleep and `kills.overwritten` record while they fetch
T13   names from the logger: host/tests/test_archive.py and the parser campaign
T14   hostile bytes: the parser campaign, on CPython and MicroPython; here whole frames
T15   another contract: host/tests/test_ports.py
"""

import pytest

from stagelog.rig.faults import controls, kills, links

SEED = 20261120
CASES = (
    (links.unplug, 20, "T1 T5 T6"),
    (links.truncation, 24, "T4"),
    (links.garbage, 12, "T10"),
    (links.device_reset, 3, "T7"),
    (links.two_loggers, 2, "T7"),
    (links.hostile, 2000, "T2 T12"),
    (kills.killed, 33, "T6"),
    (kills.disk_full, 23, "T6"),
    (kills.overwritten, 3, "T7"),
    (kills.asleep, 1, "T9"),
)


@pytest.mark.parametrize("name", links.RATED)
def test_t01_t03_t11_no_wrong_file_through_a_bad_cable(name):
    rows, findings = links.rated(name)(SEED, 2)
    assert not findings, "\n".join(map(str, findings))
    assert rows[0].n_cases == 2


@pytest.mark.parametrize(
    "run, n_cases", [case[:2] for case in CASES], ids=[case[0].__name__ for case in CASES]
)
def test_transfer_survives(run, n_cases):
    _, findings = run(SEED, n_cases)
    assert not findings, "\n".join(map(str, findings))


def test_control_a_resume_without_identity_is_caught():
    assert controls.run_control("resume without identity").findings
