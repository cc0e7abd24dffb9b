"""Seeded noise without state: the same seed and place give the same value, in any order of calls.

Owns lattice noise over distance or time, white noise by chunk, and first-order filters of columns.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]  # float64, which NumPy's stubs do not always know
Columns: TypeAlias = dict[str, Array]
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def key(seed: int, *parts: str | int) -> int:
    """Return a 64-bit key for a seed and any texts or integers."""
    mixed = (seed * _GOLDEN) & (2**64 - 1)
    for part in parts:
        number = int.from_bytes(part.encode(), "little") if isinstance(part, str) else int(part)
        mixed = ((mixed ^ number % (2**64)) * _MIX_1) & (2**64 - 1)
        mixed ^= mixed >> 29
    return mixed


def lattice(seed_key: int, index: NDArray[np.int64]) -> Array:
    """Return uniform values in [-1, 1) for an int64 array of lattice indices (splitmix64)."""
    x = index.astype(np.int64).view(np.uint64) * np.uint64(_GOLDEN) + np.uint64(seed_key)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX_1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX_2)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def smooth(seed_key: int, x: Array, wavelength: float) -> Array:
    """Return smooth noise in [-1, 1) at places x: one lattice value each wavelength, rms 0.5."""
    u = np.asarray(x) / wavelength
    whole = np.floor(u)
    first = int(whole.min())
    nodes = lattice(seed_key, np.arange(first, int(whole.max()) + 2))
    i = (whole - first).astype(np.int64)
    f = u - whole
    low = nodes[i]
    return low + (nodes[i + 1] - low) * (f * f * (3.0 - 2.0 * f))


def generator(seed: int, *parts: str | int) -> np.random.Generator:
    """Return a NumPy generator for a seed and any texts or integers."""
    return np.random.default_rng(key(seed, *parts))


def low_pass(u: Array, dt_s: float, tau_s: float, start: Array | float) -> Array:
    """Return the first-order lag of columns u (n or n x m), one step dt_s each, from state start.

    Exact for constant input in each step; solved in blocks by scaled cumulative sums.
    """
    a = float(np.exp(-dt_s / tau_s))
    return decay(np.asarray(u, np.float64) * (1.0 - a), a, start)


def ring(
    u: Array, dt_s: float, Hz: float, damping: float, start: complex
) -> tuple[Array, complex]:
    """Return (y, state): a damped oscillation excited by u; state is complex, 0 at rest."""
    omega = 2.0 * np.pi * Hz
    a = np.exp((1j * np.sqrt(1.0 - damping**2) - damping) * omega * dt_s)
    z = decay(np.asarray(u, np.complex128), a, start)
    return z.imag, complex(z[-1])


def decay(u: NDArray[Any], a: complex, start: Any) -> NDArray[Any]:
    """Return x with x[n] = a x[n-1] + u[n] and x[-1] = start, for 0 < |a| < 1."""
    out = np.empty_like(u)
    block = max(1, int(-200.0 / np.log(abs(a))))
    state = np.asarray(start)
    for i in range(0, len(u), block):
        part = u[i : i + block]
        powers = a ** np.arange(1, len(part) + 1)
        if u.ndim > 1:
            powers = powers[:, None]
        out[i : i + block] = powers * (state + np.cumsum(part / powers, axis=0))
        state = out[i + len(part) - 1]
    return out
