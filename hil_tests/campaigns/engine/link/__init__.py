"""Cables that lose and change bytes, loggers that reset, hosts that are killed."""
