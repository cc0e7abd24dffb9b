"""The contract between logger and host: layouts, block codec, framing, messages, fault codes.

Pure and small: the same files run on CPython and on MicroPython, on the laptop and on the car.
SPEC.md draws every byte; a test holds its tables to the ones here.
"""
