"""Firmware onto a board: build it, install it into the other slot, confirm it."""
