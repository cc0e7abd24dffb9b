"""The scenarios by name: the 28 of the domain notes, the demo's stage, and the scoring corpus.

Each is a function of (scale, rng): scale 1 is the real length of the day; rng, drawn from the
seed, is used only by the corpus, whose drives differ in kind from seed to seed.
"""

from stagelog.car.noise import generator
from stagelog.car.scenarios import corpus, days, faults, trials, troubles
from stagelog.car.story import Maker, Scenario
from stagelog.errors import UsageError

_MAKERS: dict[str, Maker] = {
    maker.__name__: maker
    for module in (days, trials, faults, troubles, corpus)
    for maker in module.SCENARIOS
}


def find_scenario(name: str, scale: float = 1.0, seed: int = 1) -> Scenario:
    """Return the Scenario of a name; raises UsageError with the list of those that are."""
    if name not in _MAKERS:
        known = ", ".join(_MAKERS)
        raise UsageError(f"no scenario is called {name!r}", hint=f"there are: {known}")
    return _MAKERS[name](scale, generator(seed, "scenario", name))


def list_scenarios() -> list[Scenario]:
    """Return all scenarios, those of the domain notes in the order of their numbers first."""
    made = [find_scenario(name) for name in _MAKERS]
    return sorted(made, key=lambda s: (s.number == 0, s.number))
