"""Build hook: a wheel carries slog as a package of its own; an editable install reads it in place.

Hatchling would copy a forced file into an editable install too, where it would hide the source.
"""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SlogHook(BuildHookInterface):
    """Add firmware/slog as `slog` to built wheels only."""

    def initialize(self, version, build_data):
        """Hatchling's hook; `version` is "standard" or "editable"."""
        if version == "standard":
            build_data["force_include"]["firmware/slog"] = "slog"
