"""The nominal car: the vehicle of a profile and how it is simulated, as one."""

from dataclasses import fields, is_dataclass
from types import SimpleNamespace

from stagelog.profile import load_simulation


def nominal_car(profile):
    """Return the tables of a Profile with those of its [simulation] in them.

    profile  as load_profile returns it
    Raises   ProfileError if the [simulation] is missing or wrong.
    """
    return _both(profile, load_simulation(profile))


def _both(one, other):
    if other is None or not is_dataclass(one):
        return one if other is None else other
    made = {}
    for part in (one, other):
        for field in fields(part):
            name = field.name
            made[name] = _both(getattr(one, name, None), getattr(other, name, None))
    return SimpleNamespace(**made)
