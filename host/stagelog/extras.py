"""Libraries that only some commands need and that extras of the package bring."""

import importlib
from types import ModuleType

from stagelog.errors import UsageError


def need(module: str, extra: str) -> ModuleType:
    """Import a library; raise UsageError with the extra to install if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise UsageError(
            f"this needs {name}, which is not installed", f'pip install "stagelog[{extra}]"'
        ) from None
