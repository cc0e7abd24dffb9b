"""The nominal car: the vehicle of a profile and how it is simulated, as one."""

from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any, TypeAlias

from stagelog.profile import load_simulation
from stagelog.profile.schema import Profile

# Each table has the attributes of the Profile's and of the Simulation's: no class has both.
NominalCar: TypeAlias = SimpleNamespace


def nominal_car(profile: Profile) -> NominalCar:
    """Return the tables of a Profile with those of its [simulation] in them.

    profile  as load_profile returns it
    Raises   ProfileError if the [simulation] is missing or wrong.
    """
    return _both(profile, load_simulation(profile))


def _both(one: Any, other: Any) -> Any:
    if other is None or not is_dataclass(one):
        return one if other is None else other
    made = {}
    for part in (one, other):
        for field in fields(part):
            name = field.name
            made[name] = _both(getattr(one, name, None), getattr(other, name, None))
    return SimpleNamespace(**made)
