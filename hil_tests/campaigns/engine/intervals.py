"""95 % intervals of shares and of counts, as the tables of scores show them."""

import math


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share, in per cent, by Wilson's score."""
    if not n:
        return 0.0, 100.0
    p, zz = hits / n, z * z / n
    middle = (p + zz / 2) / (1 + zz)
    half = z / (1 + zz) * math.sqrt(p * (1 - p) / n + zz / (4 * n))
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


def poisson_upper(n: int) -> float:
    """Return the upper end of the 95 % interval of a Poisson count (Byar's approximation)."""
    m = n + 1
    return m * (1 - 1 / (9 * m) + 1.96 / (3 * math.sqrt(m))) ** 3
