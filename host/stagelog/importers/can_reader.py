"""Goes on where python-can's readers of text stop, which is at the first bad line.

Owns the loop around them: the text is fed line by line, decoded without failing; at a line that a
reader rejects, the damage is counted and a new reader continues after it, fed with the header
again. Lines that a reader skips silently are counted, as remarks where the format has such lines,
as damage otherwise.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from stagelog.errors import InputError
from stagelog.importers.diagnostics import Diagnostics

if TYPE_CHECKING:
    import can

MAX_HEADER_LINES = 64
Numbered: TypeAlias = tuple[int, str]  # the number of a line, and its text


def split_header(
    lines: Iterable[Numbered], is_header: Callable[[str], bool]
) -> tuple[list[str], Iterator[Numbered]]:
    """Return (the lines of a log that stand before the first that is no header, the rest)."""
    lines = iter(lines)
    header: list[str] = []
    for line in lines:
        if not is_header(line[1]) or len(header) >= MAX_HEADER_LINES:
            return header, chain([line], lines)
        header.append(line[1])
    return header, lines


class Feed:
    """Lines of a log as the file that python-can reads; knows the current line.

    remark  what lines look like that carry no frame
    header  lines that every new reader gets first: of those with one key the last
    """

    def __init__(
        self,
        diagnostics: Diagnostics,
        remark: re.Pattern[str],
        header: Iterable[str],
        header_key: re.Pattern[str],
    ) -> None:
        logging.getLogger("can").setLevel(logging.ERROR)
        self.diagnostics = diagnostics
        self.remark = remark
        found = ((header_key.match(line), line) for line in header)
        self.header = list({key[0].lower(): line for key, line in found if key}.values())
        self.number = 0
        self.line = ""
        self.is_pending = False  # the current line has given no message yet
        self._lines: Iterator[Numbered] = iter(())
        self._again: list[str] = []

    def close(self) -> None:
        """Do nothing: a reader that stops at an error closes its file."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._again:
            return self._again.pop(0)
        self._settle()
        self.number, self.line = next(self._lines)
        self.is_pending = True
        return self.line

    def messages(
        self,
        lines: Iterable[Numbered],
        make_reader: Callable[[Any], Any],
        fits: "Callable[[can.Message, str, Any], bool]",
        first_channel: int = 0,
    ) -> "Iterator[can.Message]":
        """Yield the messages of some lines; `number` is that of the message's line meanwhile.

        fits           (message, line, reader) -> True if the message agrees with its line
        first_channel  number that python-can gives to the first bus
        """
        self._lines = iter(lines)
        is_over = False
        while not is_over:
            self._again = list(self.header)
            try:
                reader = make_reader(self)
                for message in reader:
                    is_good = _is_possible(message, first_channel)
                    if not (is_good and fits(message, self.line, reader)):
                        self._refuse()
                        continue
                    self.is_pending = False
                    message.channel = f"can{int(message.channel or 0) - first_channel}"
                    yield message
                is_over = True
            except Exception as error:  # whatever a reader raises for a line it cannot read
                if not self.is_pending:
                    source = self.diagnostics.source
                    raise InputError(f"{source}: damaged header: {error}") from None
                self._refuse()
        self._settle()

    def _settle(self) -> None:
        """Count the current line if no message came of it."""
        if not self.is_pending:
            return
        if self.remark.match(self.line):
            self.is_pending = False
            self.diagnostics.n_other += 1
        else:
            self._refuse()

    def _refuse(self) -> None:
        """Count the current line as damage."""
        self.is_pending = False
        self.diagnostics.add("not a frame", f"line {self.number}", self.line[:60])


def _is_possible(message: "can.Message", first_channel: int) -> bool:
    """Return whether CAN has such an identifier, and the log such a bus."""
    limit = 0x1FFFFFFF if message.is_extended_id else 0x7FF
    bus = int(str(message.channel or 0)) - first_channel
    return 0 <= message.arbitration_id <= limit and 0 <= bus < 256
