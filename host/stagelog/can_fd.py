"""Settings that ask for CAN FD, and the error for a board that records none."""

from slog.settings import SettingsError, load
from stagelog.errors import UsageError


def wants_can_fd(settings: bytes | None) -> bool:
    """Return whether good settings name a `data_bitrate_bps` for a bus."""
    try:
        return any(bus.get("data_bitrate_bps") for bus in load(settings)["buses"])
    except SettingsError:
        return False


def no_can_fd(name: str, board: str) -> UsageError:
    """Return the error for such settings on a board that records no CAN FD."""
    return UsageError(
        f"{name}: its board {board} records no CAN FD, the settings name a data_bitrate_bps",
        "leave that entry out: frames of CAN FD count as errors then; or take a board with an"
        " MCP2518FD",
    )
