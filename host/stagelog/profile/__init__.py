"""The car profile: every number of the car that stagelog uses, read from TOML and checked.

profile = stagelog.profile.load_profile("d7xr")     a shipped one, or the path of your own
load_short_profile(path)                            roles, ranges and limits only: profile.short
"""

from stagelog.profile.reading import (
    ProfileError,
    dbc_file,
    load_profile,
    load_simulation,
    place_of,
)

__all__ = ["ProfileError", "dbc_file", "load_profile", "load_simulation", "place_of"]
