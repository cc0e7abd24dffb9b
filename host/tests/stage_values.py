"""Values of signals over the time of a stage of a test, and the rows of a report's tables."""

import numpy as np

WHEELS = ("WhlSpdFL", "WhlSpdFR", "WhlSpdRL", "WhlSpdRR")


def during(start, end, inside, outside=0.0):
    return lambda t_s: np.where((t_s > start - 0.01) & (t_s < end - 0.01), inside, outside)


def rows_of(section, title, key):
    """Return the rows of one table by one column; the others beside it."""
    rows = next(table["rows"] for table in section["tables"] if table["title"] == title)
    return {row[key]: row for row in rows}
