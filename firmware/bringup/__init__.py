"""The program that `stagelog bringup` sends to a board: it measures what was soldered.

It goes onto the board for the time of the bring-up only and is started at MicroPython's prompt; no
firmware image contains it. It works with the shipped drivers and the shipped application. The
controller is in configuration, loopback or listen-only mode: it sends nothing to a bus.
"""
