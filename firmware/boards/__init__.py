"""Boards: which pin is what, and the objects the application works with. One file per board."""
