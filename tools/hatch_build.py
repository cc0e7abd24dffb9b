"""Build hook: a wheel has slog and detectors as packages; an editable install reads them in place.

Hatchling would copy a forced file into an editable install too, where it would hide the source.
"""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedPackagesHook(BuildHookInterface):
    """Add what firmware and host both run to built wheels only."""

    def initialize(self, version, build_data):
        """Hatchling's hook; `version` is "standard" or "editable"."""
        if version == "standard":
            for package in ("slog", "detectors"):
                build_data["force_include"][f"firmware/{package}"] = package
