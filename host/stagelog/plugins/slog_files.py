"""Session files, card images and what is left of them as log files of python-can.

Owns the mapping to messages: timestamps are from the epoch where the log has a wall clock,
channels are bus numbers. Fails with stagelog's InputError, UsageError and OutputError.
"""

import os
from collections.abc import Iterator
from typing import Any

from can import Message
from can.io.generic import MessageReader, MessageWriter

from stagelog.can_messages import frames_of, messages_of
from stagelog.importers.stream import BusNames
from stagelog.model import EARLIEST_US
from stagelog.pack import SlogSink

PIECE = 4096  # messages at once


def _path_of(file: Any) -> str:
    """Return the path of a path or of an open file."""
    return os.fspath(file if isinstance(file, (str, os.PathLike)) else file.name)


class SlogReader(MessageReader):
    """Iterates over the messages of a log; damage costs what is damaged only.

    session       start of the name of one session; all without
    diagnostics   what is wrong with the log, complete after the last message
    """

    def __init__(self, file: Any, session: str | None = None, **_: object) -> None:
        from stagelog.importers.slog import stream_slog

        self._stream = stream_slog(_path_of(file), session)
        self.diagnostics = self._stream.diagnostics

    def __iter__(self) -> Iterator[Message]:
        for frames in self._stream:
            for at in range(0, len(frames), PIECE):
                yield from messages_of(frames[at : at + PIECE])

    def stop(self) -> None:
        """Close the file."""
        self._stream.chunks = ()


class SlogWriter(MessageWriter):
    """Writes messages as one session file, which appears when the writer is stopped.

    Classic CAN and CAN FD of two channels; error frames are left out. An existing file is
    replaced, as python-can's writers do.
    """

    def __init__(self, file: Any, **_: object) -> None:
        self._sink = SlogSink(_path_of(file), from_epoch=None, overwrite=True)
        self._buses = BusNames([])
        self._messages: list[Message] = []
        self._is_open = True

    def on_message_received(self, msg: Message) -> None:
        """Take one message; UsageError for one that a session file cannot hold."""
        self._messages.append(msg)
        if len(self._messages) >= PIECE:
            self._flush()

    def _flush(self) -> None:
        messages, self._messages = self._messages, []
        if messages:
            if self._sink.from_epoch is None:  # python-can does not say what times count from
                self._sink.from_epoch = messages[0].timestamp * 1e6 >= EARLIEST_US
            self._sink.write(frames_of(messages, self._buses))

    def stop(self) -> None:
        """Write the file."""
        if self._is_open:
            self._is_open = False
            with self._sink:
                self._flush()
