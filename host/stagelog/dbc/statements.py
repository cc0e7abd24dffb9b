"""Cuts the text of a DBC file into statements, however broken, and remembers their lines.

Owns where a statement begins and ends. Knows nothing of what it says. Never raises; time is linear
in the text.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass

ENDED_BY_SEMICOLON = frozenset(
    "BA_ BA_DEF_ BA_DEF_DEF_ BA_DEF_DEF_REL_ BA_DEF_REL_ BA_DEF_SGTYPE_ BA_REL_ BA_SGTYPE_ "
    "BO_TX_BU_ CAT_ CAT_DEF_ CM_ ENVVAR_DATA_ EV_ EV_DATA_ SG_MUL_VAL_ SGTYPE_ SGTYPE_VAL_ "
    "SIG_GROUP_ SIG_TYPE_REF_ SIG_VALTYPE_ SIGTYPE_VALTYPE_ VAL_ VAL_TABLE_".split()
)
KEYWORDS = ENDED_BY_SEMICOLON | frozenset(("VERSION", "NS_", "BS_", "BU_", "BO_", "SG_"))
RESERVED = KEYWORDS | frozenset(
    "BU_BO_REL_ BU_EV_REL_ BU_SG_REL_ FILTER NS_DESC_".split()
)  # no name may be one of these
_INNER = frozenset(("BO_", "SG_", "BU_", "EV_"))

_TOKEN = re.compile(
    r'(?P<space>[^\S\n]+)|(?P<newline>\n)|(?P<remark>//[^\n]*)|(?P<text>"(?:\\"|[^"])*")'
    r'|(?P<open>")|(?P<end>;)|(?P<word>[^\s;"]+)'
)
_KEYWORD = re.compile(r"([A-Z][A-Z_]*)(:|$)")
# what a statement's first line looks like, even in the middle of a string whose end was forgotten
_CERTAIN = re.compile(
    r"[^\S\n]*(?:BO_\s+\d+\s+\S+\s*:|SG_\s+\S+(?:\s+[mM]\S*)?\s*:"
    r"|(?:VAL_|SIG_VALTYPE_|SG_MUL_VAL_|BO_TX_BU_|SIG_GROUP_)\s+\d+\s"
    r'|CM_\s+(?:(?:SG_|BO_)\s+\d|(?:BU_|EV_)\s+\w+\s+")|VAL_TABLE_\s+\w|BA_(?:DEF_|DEF_DEF_)?\s+"|BU_\s*:)'
)
_CERTAIN_LINE = re.compile(r"\n" + _CERTAIN.pattern)
_MORE_NAMES = re.compile(r"[\w,\t ]*(?:\n|$)")
# a signal, or a statement with its semicolon, alone on its line: the slow pass needs none of it
_CALM = r"[ !#-.0-:<-~]*"
_ENDED = "|".join(sorted(ENDED_BY_SEMICOLON, reverse=True))
_PLAIN = re.compile(
    rf'[ ]*(?P<statement>(?P<signal>SG_ ){_CALM}"[^\n"\\]*"{_CALM}'
    rf'|(?:{_ENDED}) {_CALM}(?:"[^\n"\\]*"{_CALM})*;)[ ]*\n'
)


@dataclass(slots=True)
class Statement:
    """Text of one statement with its line. `keyword` is "" for text that begins with none.

    is_torn   it had no end of its own: a `;` or a closing quote is missing
    """

    keyword: str
    text: str
    line: int
    is_torn: bool = False


def split_statements(text: str) -> list[Statement]:
    """Return the statements of a DBC text in their order; comments (`//`) belong to none."""
    return _Splitter(text).run()


class _Splitter:
    def __init__(self, text: str) -> None:
        self.text = text
        self.newlines = [match.start() for match in re.finditer("\n", text)]
        self.done: list[Statement] = []
        self.keyword: str | None = None  # of the open statement, None between statements
        self.pieces: list[str] = []
        self.start = 0

    def run(self) -> list[Statement]:
        text, at, fresh = self.text, 0, True
        while at < len(text):
            if fresh and self.keyword is None:
                at = self.take_plain(at)
                if at == len(text):
                    break
            match = _TOKEN.match(text, at)
            assert match is not None  # every character is of some token
            kind = match.lastgroup
            at = match.end()
            if kind == "newline":
                fresh = True
                if self.keyword == "" or not self._goes_on(at):
                    self.close()
            elif kind == "word":
                self.take_word(match, fresh)
            elif kind == "text":
                at = self.take_text(match)
            elif kind == "open":
                at = self.take_open_text(match.start())
            elif kind == "end" and self.keyword is not None:
                self.close(is_torn=self.keyword not in ENDED_BY_SEMICOLON and self.keyword != "")
            if kind not in ("newline", "space", "remark"):
                fresh = False
            if self.keyword is not None and kind in ("space", "newline", "remark"):
                self.pieces.append(" ")
        self.close(is_torn=self.keyword in ENDED_BY_SEMICOLON)
        return self.done

    def take_plain(self, at: int) -> int:
        """Take the plain statements that begin at `at`, whole; return where the next text begins.

        They are most of a file, and take a fifth of the time so.
        """
        while True:
            match = _PLAIN.match(self.text, at)
            if match is None:
                return at
            found = match["statement"]
            keyword, _, rest = found.partition(" ")
            if "  " in found:
                return at
            if match["signal"] and (
                "SG_" in rest or "BO_" in rest or _MORE_NAMES.match(self.text, match.end())
            ):
                return at
            line = bisect_right(self.newlines, match.start("statement") - 1) + 1
            self.done.append(Statement(keyword, found.removesuffix(";").rstrip(), line))
            at = match.end()

    def take_word(self, match: re.Match[str], fresh: bool) -> None:
        word = match[0]
        found = _KEYWORD.match(word)
        keyword = found[1] if found and found[1] in KEYWORDS else None
        if keyword and self._begins(keyword, match, fresh):
            self.close(is_torn=self.keyword in ENDED_BY_SEMICOLON)
            self.keyword, self.start = keyword, match.start()
        elif self.keyword is None:
            self.keyword, self.start = "", match.start()
        self.pieces.append(word)

    def take_text(self, match: re.Match[str]) -> int:
        """Take a quoted text, unless a statement certainly begins inside it: then its end was
        forgotten.
        """
        cut = _CERTAIN_LINE.search(match[0]) if "\n" in match[0] else None
        if cut:
            return self.take_open_text(match.start())
        if self.keyword is None:
            self.keyword, self.start = "", match.start()
        self.pieces.append(match[0])
        return match.end()

    def take_open_text(self, at: int) -> int:
        """Take a text without closing quote: it ends with its line."""
        end = self.text.find("\n", at)
        end = len(self.text) if end < 0 else end
        if self.keyword is None:
            self.keyword, self.start = "", at
        body = self.text[at + 1 : end].rstrip().removesuffix(";").rstrip()
        self.pieces.append('"' + body.replace('"', "'") + '"')
        self.close(is_torn=True)
        return end

    def close(self, is_torn: bool = False) -> None:
        if self.keyword is not None:
            line = bisect_right(self.newlines, self.start - 1) + 1
            self.done.append(Statement(self.keyword, "".join(self.pieces).strip(), line, is_torn))
        self.keyword, self.pieces = None, []

    def _begins(self, keyword: str, match: re.Match[str], fresh: bool) -> bool:
        """Return whether a keyword begins a statement here; else it belongs to the open one."""
        if self.keyword in (None, ""):
            return True
        if self.keyword == "NS_":
            rest = self.text[match.end() : self.text.find("\n", match.end()) + 1 or None]
            return not fresh or bool(rest.strip()) or match[0].endswith(":")
        if self.keyword in ENDED_BY_SEMICOLON:
            if keyword in _INNER:
                return fresh and _CERTAIN.match(self.text, match.start()) is not None
            return fresh
        return fresh or keyword in ("SG_", "BO_")

    def _goes_on(self, at: int) -> bool:
        """Return whether the open statement may continue on the line that begins at `at`."""
        if self.keyword in ("BO_", "SG_", "BU_"):
            return _MORE_NAMES.match(self.text, at) is not None
        if self.keyword == "VERSION":
            return len(self.pieces) < 3
        return self.keyword != "BS_"
