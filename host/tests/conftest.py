"""The tests of the host run in a time zone that is not UTC: local time where UTC is meant fails.

Those of importers, exporters and the command line run twice, in Riyadh and in UTC: what a file
says must not depend on where the laptop stands.
"""

import os
import time

import pytest

ZONES = ("Asia/Riyadh", "UTC")
TWICE = (
    "test_api_convert",
    "test_cli_",
    "test_export_",
    "test_import_candump",
    "test_import_formats",
)


def pytest_generate_tests(metafunc):
    """Give the tests of the modules TWICE both zones."""
    if metafunc.module.__name__.rpartition(".")[2].startswith(TWICE):
        metafunc.parametrize("time_zone", ZONES, indirect=True, scope="module")


@pytest.fixture(autouse=True, scope="module")
def time_zone(request):
    """Set the time zone of this process and of those that it starts."""
    zone = getattr(request, "param", ZONES[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        if zone != "UTC" and time.timezone != -3 * 3600:  # no time zones on this machine
            patch.setenv("TZ", "<+03>-3")
            time.tzset()
        yield os.environ["TZ"]
    time.tzset()
