"""The detectors: what the car does, found in its CAN frames by a signal table.

The same files run on the car and on the host, over the frames of a log: same events on both sides.
They import slog alone.
"""
