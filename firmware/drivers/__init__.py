"""Drivers: registers and pins, nothing of the application; a silent chip is an OSError."""
