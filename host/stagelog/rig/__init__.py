"""The rig: a CAN bus, cards, controllers and whole loggers to try the firmware on, simulated or
emulated.
"""
