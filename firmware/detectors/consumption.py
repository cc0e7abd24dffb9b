"""What the next km will burn, and how sure that is, from what stretches of the way burned.

A stretch (`range_km`) is like the one before it, the more the shorter it is: a first-order
autoregression, of which mean, variance and covariance of neighbours are learned. Until then the
profile's plan counts. In metered ml per km; likeness in 1/1024.
"""

from detectors.airborne import root

_ONE = 1024
_MOST = 960  # likeness of neighbours
_PRIOR = 4  # stretches that the profile's word for the variation weighs
_WIDE = 3  # the plan's standard deviation is 3/8 of it
_P10 = 1312  # 1.281 sigma


class Consumption:
    """`add` one stretch after the other; then `ahead` is the mean of the next ones."""

    def __init__(self, plan, alike_m, stretch_m):
        self._plan = max(plan, 8)
        wide = self._plan * _WIDE // 8
        self._plan_var = wide * wide
        self._last = self._plan
        self._mean = 0  # 1/64 ml/km
        self._n = 0
        self._var = self._plan_var
        self._cov = self._plan_var * (alike_m * _ONE // (alike_m + stretch_m)) // _ONE

    def add(self, ml_km):
        """Take what a stretch burned."""
        self._n += 1
        before = self._last - self._mean // 64
        off = ml_km - self._mean // 64
        self._mean += (ml_km * 64 - self._mean) // self._n
        now = ml_km - self._mean // 64
        if self._n > 1:
            k = self._n - 1 + _PRIOR
            self._var += (off * now - self._var + k // 2) // k
            self._cov += (before * now - self._cov + k // 2) // k
        self._last = ml_km

    def ahead(self, n):
        """Return (ml/km, its variance) of the mean of the next `n` stretches."""
        var = max(self._var, 1)
        alike = min(max(self._cov * _ONE // var, 0), _MOST)
        lasting = var * (_ONE + alike) // (_ONE - alike)  # n times the variance of a long mean
        known = self._n * self._plan_var
        known = known * _ONE // (known + lasting)
        mean = self._plan + (self._mean // 64 - self._plan) * known // _ONE
        end = _power(alike, n)
        near = alike * (_ONE - end) // (_ONE - alike)
        square = alike * alike // _ONE
        both = square * (_ONE - end * end // _ONE) // (_ONE - square)
        by_last = near // n
        spread = (lasting // n) * max(n * _ONE - 2 * near + both, 0) // (n * _ONE)
        far = _ONE - by_last
        of_mean = self._plan_var * (_ONE - known) // _ONE * far // _ONE * far // _ONE
        ml_km = mean + (self._last - mean) * by_last // _ONE
        return max(ml_km, 1), spread + of_mean

    def ranges(self, left, left_sigma, scale, stretch_km):
        """Return (P50, P10) in 0.1 km of so many cl, known to so many.

        scale  true by metered, 1e-6
        """
        if left <= 0:
            return 0, 0
        ml_km, _ = self.ahead(_stretches(left, self.ahead(1)[0], stretch_km))
        p50 = p10 = 0
        n = _stretches(left, ml_km, stretch_km)
        for turn in (0, 1, 2):
            ml_km, var = self.ahead(n)
            true = max(ml_km * (scale // 100) // 10_000, 1)
            if not turn:
                p50 = left * 100 // true
            off = root(var) * _ONE // ml_km
            tank = left_sigma * _ONE // left
            off = root(off * off + tank * tank)
            p10 = left * 100 // (true + true * (off * _P10 // _ONE) // _ONE)
            n = max(p10 // (10 * stretch_km), 1)
        return p50, min(p10, p50)


def _power(x, n):
    """Return x to the nth in 1/1024."""
    result = _ONE
    while n:
        if n & 1:
            result = result * x // _ONE
        x = x * x // _ONE
        n >>= 1
    return result


def _stretches(left, ml_km, stretch_km):
    return max(left * 10 // (ml_km * stretch_km), 1)
