"""Drivers: registers and pins, nothing of the application. Each raises OSError if its chip does not answer."""
