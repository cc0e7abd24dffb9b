"""The detectors compiled for this machine, where that was possible: the same events, faster.

The firmware's files stay the only source. `translate` makes one Cython source of them, with the
types that `inference` finds; `build` compiles it, as tools/setup does where there is a C compiler.
A module that was compiled from other sources than the present ones is not used: an edited detector
runs at once, uncompiled. STAGELOG_PURE=1 disables the compiled form.
"""

import functools
import hashlib
import importlib
import os
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stagelog.resources import firmware_path

__all__ = ["Form", "digest_of", "file_of", "find_form", "read_sources"]

NAME = "_detectors"  # of the compiled module, before the digest of its sources
FOLDER = Path(__file__).resolve().parent
_TRANSLATORS = (
    FOLDER / "inference.py",
    FOLDER / "translate.py",
    FOLDER.parents[1] / "flash" / "shrink.py",
)


class Watch(Protocol):
    """The time of the record that the detectors are at: low bits, and high bits, see slog."""

    lo: int
    hi: int


class Detectors(Protocol):
    """detectors.events.Events, or its compiled equal."""

    watch: Watch

    def scan(self, records: Any, first: int, n: int, t_high: int, /) -> object:
        """Take n records of 16 bytes; the buffer is bytes, or uint8[k] if compiled."""


class Form(NamedTuple):
    """`events` makes the detectors from a table, a receiver of (code, state, value, extra) and the
    entered volumes of refuels, see detectors.events.

    why   reason that it is not the compiled form, "" if it is
    """

    events: Callable[[Any, Callable[[int, int, int, int], None], list[int]], Detectors]
    is_compiled: bool
    why: str


def find_form(wants_compiled: bool = True) -> Form:
    """Return the compiled form of the detectors if there is one for these sources, or the pure."""
    from detectors.events import Events

    if not wants_compiled:
        return Form(Events, False, "not wanted")
    if os.environ.get("STAGELOG_PURE") == "1":
        return Form(Events, False, "STAGELOG_PURE is set")
    compiled, why = _compiled()
    return Form(Events, False, why) if compiled is None else Form(compiled, True, "")


def file_of(digest: str) -> Path:
    """Return where the module is that was compiled from the sources of a digest."""
    return FOLDER / f"{NAME}_{digest}{sysconfig.get_config_var('EXT_SUFFIX')}"


@functools.cache
def _compiled() -> tuple[Any, str]:
    """Return (the compiled class or None, why not)."""
    digest = digest_of(read_sources())
    if not file_of(digest).is_file():
        is_old = any(FOLDER.glob(f"{NAME}_*"))
        return None, "compiled from other sources" if is_old else "not compiled for this machine"
    try:
        module = importlib.import_module(f"{__name__}.{NAME}_{digest}")
    except ImportError as error:
        return None, f"the compiled form cannot be loaded: {error}"
    return module.Events, ""


def read_sources() -> dict[str, str]:
    """Return {module name: source} of the detectors and of slog, whose constants they use."""
    folder = firmware_path()
    return {
        f"{package}.{path.stem}": path.read_text(encoding="utf-8")
        for package in ("slog", "detectors")
        for path in sorted(Path(folder, package).glob("*.py"))
        if path.stem != "__init__"
    }


def digest_of(sources: dict[str, str]) -> str:
    """Return 16 hex digits that name sources and the files that translate them."""
    digest = hashlib.sha256()
    own = {path.name: path.read_text(encoding="utf-8") for path in _TRANSLATORS}
    for name, text in sorted({**own, **sources}.items()):
        digest.update(f"{name}\n{len(text)}\n{text}".encode())
    return digest.hexdigest()[:16]
