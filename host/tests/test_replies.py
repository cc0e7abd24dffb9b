"""The types of a logger's replies have the fields of the protocol's tables, in their order."""

from dataclasses import fields

import pytest
from made_replies import reply

from slog import messages as m
from stagelog.replies import BusCounts, BusStatus, Hello, ListedSession, Status


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (Hello, m.HELLO_REPLY),
        (Status, m.STATUS_REPLY),
        (ListedSession, m.LIST_REPLY),
        (BusCounts, m.BUS_REPLY),
    ],
)
def test_the_fields_are_those_of_the_table(kind, table):
    """All but the code of the answer, the first row of each table."""
    assert [field.name for field in fields(kind)] == [row[0] for row in table[1:]]
    assert table[0][0] == "status"


def test_a_status_is_also_given_bus_by_bus():
    names = ("stored", "dropped", "at_least", "bus_state", "tec", "rec", "doubts")
    one = {f"{name}0": n for n, name in enumerate(names, 1)}
    two = {f"{name}1": n for n, name in enumerate(names, 11)}
    both = reply(Status, m.STATUS_REPLY, n_buses=2, **one, **two)
    assert both.buses == [BusStatus(1, 2, 3, 4, 5, 6, 7), BusStatus(11, 12, 13, 14, 15, 16, 17)]
    assert both.buses[1].rec == 16 and both.buses[1].state == 14
    assert reply(Status, m.STATUS_REPLY, n_buses=1, **one, **two).buses == both.buses[:1]
