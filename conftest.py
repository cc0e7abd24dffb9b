"""Tables that a test prints stand together below the progress, also with parallel processes.
Property tests take the time they take: none fails because the machine is busy.
"""

import gc
import os
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, settings

import areas

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
os.environ["STAGELOG_KEYS"] = os.devnull  # a folder that holds no key; tests name their own
os.environ["STAGELOG_CACHE"] = ""  # no test finds what another left in the user's folder


@pytest.fixture
def show(record_property) -> Callable[[str], None]:
    """A function: print a text, a table for instance, below the results of all tests."""
    return lambda text: record_property("shown", text)


def pytest_collection_modifyitems(config, items):
    """Start slow files of tests first where processes share the tests: none ends alone."""
    if hasattr(config, "workerinput"):
        place = cache(areas.start_order)
        items.sort(key=lambda item: place(item.nodeid.partition("::")[0]))


_frozen_for = []  # the file of tests for which garbage was last cleared


def pytest_runtest_setup(item):
    """Leave all that lives before a file of tests out of the collections of garbage in it.

    The firmware collects at each start of a session. Where a process has run thousands of tests
    that takes a second, and a campaign starts a hundred thousand sessions.
    """
    if _frozen_for != [item.path]:
        _frozen_for[:] = [item.path]
        gc.collect()
        gc.freeze()


def pytest_unconfigure():
    """Let the interpreter clear at its end what it would otherwise report as leaked."""
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter):
    """Print what tests have shown."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, text in report.user_properties:
                    if name == "shown":
                        terminalreporter.section(report.nodeid.rpartition("::")[2], sep="-")
                        terminalreporter.write_line(text)
