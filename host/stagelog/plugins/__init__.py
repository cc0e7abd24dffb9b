"""stagelog inside python-can: found by entry points, imported by python-can alone.

    can.message readers and writers   .slog: can.LogReader, can.Logger, can_player, can_logconvert
    can.interface                     can.Bus(interface="stagelog", channel=PORT), receive-only

These modules import python-can at once, as their classes are its classes; no other part of
stagelog imports them.
"""
