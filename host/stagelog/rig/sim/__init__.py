"""The simulated world around the logger application; the modules here run on CPython and on
MicroPython.

A listen-only logger never changes the bus, so the bus is simulated first (`stagelog.rig.bus`) and
played to it as a tape.
"""
