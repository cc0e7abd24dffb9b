"""Imports cantools without python-can, which takes a second and is needed by cantools.tester only.

`cantools/__init__.py` imports its tester, that imports python-can, that imports every reader of
logs and with them asammdf and pandas. Here the tester is loaded when somebody uses it.
"""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from stagelog.dbc.tokens import use_in

_TESTER = "cantools.tester"


class _LateTester:
    """A finder for one module, whose code runs at the first use of one of its names."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if name != _TESTER:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def import_cantools() -> ModuleType:
    """Return the package cantools."""
    if "cantools" not in sys.modules:
        finder: Any = _LateTester()
        sys.meta_path.insert(0, finder)
        try:
            importlib.import_module("cantools")
        finally:
            sys.meta_path.remove(finder)
    use_in(sys.modules["cantools"])
    return sys.modules["cantools"]
