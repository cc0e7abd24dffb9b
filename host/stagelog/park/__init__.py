"""The service park: the fleet file, and many loggers at once.

    place, fleet     fleet.toml: event, cars, loggers, stages; what need not be typed
    fleet_checks     what contradicts what in it

Everything works through the functions of the single commands: download, archive, flash, report.
"""
