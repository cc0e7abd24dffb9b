"""Bytes that nobody meant, given to everything that reads bytes."""
