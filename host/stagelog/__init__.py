"""stagelog: know what a rally-raid car went through.

    drive = stagelog.open("C03.slog", dbc="d7xr.dbc")       see stagelog.api

Modules are imported when they are first used; nothing heavy is loaded here, so that the command
starts at once.
"""

__version__ = "0.1.0"
__all__ = ["open"]


def __getattr__(name: str) -> object:
    """Import what scripts use when it is asked for."""
    if name == "open":
        from stagelog.api import open_drive

        return open_drive
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
