"""What a target of the parser campaign is: seeds, and what bytes must not do to a parser.

Owns the base class; the targets are in parser_blocks, parser_wire, parser_logs, parser_tables.
`run` raises Violation for a broken promise; any other exception that leaves it is one too. Targets
write into the folder that `prepare` is given and nowhere else.
"""

LETTERS = (
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b'"',
    b"'",
    b";",
    b":",
    b",",
    b"-1",
    b"1e308",
    b"\xff\xfe",
)


class Violation(Exception):
    """A promise is broken: which, and how."""

    def __init__(self, invariant, text):
        super().__init__(text)
        self.invariant = invariant


class Target:
    """One parser.

    words     pieces of its format that mutations insert
    share     executions in 100,000 of a campaign: many where they are cheap
    sources   files of the package and of the firmware whose change makes old counts void
    limit_s   time that one execution may take
    """

    name = ""
    words = ()
    share = 0
    sources = ()
    limit_s = 10

    def __init__(self):
        self._seeds = None
        self.path = None

    def prepare(self, folder):
        """Take a folder to write to."""
        self.path = folder / f"{self.name}.in"

    def seeds(self):
        """Return good inputs (bytes)."""
        if self._seeds is None:
            self._seeds = self.make_seeds()
        return self._seeds
