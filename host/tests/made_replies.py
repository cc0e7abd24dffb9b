"""Replies of a logger of which a test chooses some fields; the others are 0."""

from slog import messages as m


def reply(kind, table, **fields):
    """Return a reply of `stagelog.replies`, packed and read like one off the wire."""
    return kind.of(m.parse(table, m.build(table, fields))[0])
