"""The error tree. An error says what, where and what now; its class carries the exit code.

Exceptions are for what we cannot do. An imperfect world (a gap, a lost frame, a defective DBC
line) is data, not an error.
"""


class StagelogError(Exception):
    """Base of every error a user may meet. `hint` says what to do now."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}; {self.hint}" if self.hint else text


class UsageError(StagelogError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class DeviceError(StagelogError):
    """No logger, two loggers, a port in use, a cable pulled, a device that does not answer."""

    exit_code = 3


class PortRefused(DeviceError):
    """Something answers on the port, and not to us: another key, another user."""


class PortBusy(PortRefused):
    """Another program holds the port."""


class ContractError(StagelogError):
    """The logger speaks another contract than this host."""

    exit_code = 4


class InputError(StagelogError):
    """A log, image, DBC or profile that cannot be read."""

    exit_code = 5


class OutputError(StagelogError):
    """A full disk, an output that exists, a folder that cannot be written."""

    exit_code = 6
