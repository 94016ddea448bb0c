"""The Universal Scalability Law: fitted to loads, with intervals, and with an end to what it says.

Source: N. J. Gunther, Guerrilla Capacity Planning (Springer 2007), chapters 4 to 6.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Source: Gunther, chapter 5: half a dozen loads; three parameters leave three degrees of freedom.
MINIMUM_LOADS = 6
# Of the variance of throughput; below, the law does not describe this system.
MINIMUM_R2 = 0.9
# A curve fitted up to N says nothing beyond this many times N: beta shows where coherency costs
# more than contention, and the data have seen that for the loads that were run only. It is the
# step that a load test can check next.
EXTRAPOLATION = 2.0
_CONFIDENCE = 0.95
_TINY, _TOLERANCE = 1e-9, 1e-3


@dataclass(frozen=True, slots=True)
class Point:
    """One load: how many visits were in the shop, and how many a second it finished."""

    concurrency: float
    per_s: float


@dataclass(frozen=True, slots=True)
class Usl:
    """X(N) = gamma N / (1 + alpha (N - 1) + beta N (N - 1)).

    Attributes:
        gamma: throughput per second of a visit that is alone.
        alpha: contention, the share that is done one after the other.
        beta: coherency, the cost of each pair.
    """

    gamma: float
    alpha: float
    beta: float

    def at(self, concurrency: float) -> float:
        """Return the throughput per second."""
        rest = concurrency - 1
        slowed = 1 + self.alpha * rest + self.beta * concurrency * rest
        return self.gamma * concurrency / max(slowed, _TINY)

    @property
    def peak(self) -> float:
        """The concurrency with the highest throughput; infinite without coherency.

        Source: Gunther, equation 4.33: sqrt((1 - alpha) / beta).
        """
        return math.sqrt((1 - self.alpha) / self.beta) if self.beta > 0 else math.inf

    def highest(self, concurrency: float) -> float:
        """Return the highest throughput with this concurrency or less."""
        return self.at(min(self.peak, concurrency))


@dataclass(frozen=True, slots=True)
class Interval:
    """A value, and between what it lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The law of some points.

    Attributes:
        law: with the least squares.
        r2: share of the variance of throughput that it explains.
        largest: the largest concurrency that was measured.
        capacity: highest throughput per second with at most `largest`; nothing is extrapolated.
        peak: concurrency of the highest throughput; None where the data show none.
        no_peak: why there is none, "" when there is.
    """

    law: Usl
    r2: float
    largest: float
    gamma: Interval
    alpha: Interval
    beta: Interval
    capacity: Interval
    peak: Interval | None
    no_peak: str

    @property
    def limit(self) -> float:
        """The largest concurrency of which the fit says anything."""
        return EXTRAPOLATION * self.largest

    def at(self, concurrency: float) -> float:
        """Return the throughput per second.

        Raises:
            ValueError: the data do not carry that far.
        """
        if not 0 < concurrency <= self.limit:
            raise ValueError(
                f"a concurrency of {concurrency:.4g} is outside of what the data carry: above 0,"
                f" up to {self.limit:.4g}, {EXTRAPOLATION:g} times the largest that was measured"
            )
        return self.law.at(concurrency)


class _Squares:
    """Least squares over parameters that are all about 1: gamma, alpha and beta in units."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points
        self.largest = max(one.concurrency for one in points)
        self.scale = max(one.per_s for one in points)
        self._gamma = max(one.per_s / one.concurrency for one in points)

    def law(self, parameters: Sequence[float]) -> Usl:
        gamma, alpha, beta = parameters
        return Usl(gamma * self._gamma, alpha, beta / self.largest)

    def residuals(self, parameters: Any) -> list[float]:
        law = self.law(parameters.tolist())  # one by one, an array's own numbers are slow
        return [(law.at(one.concurrency) - one.per_s) / self.scale for one in self._points]

    def sum(self, parameters: Any) -> float:
        return sum(one * one for one in self.residuals(parameters))


_BOUNDS = ((0.0, 10.0), (0.0, 1.0), (0.0, 10.0))
_STARTS = ((1.0, 0.01, 0.01), (1.0, 0.2, 0.0), (1.0, 0.02, 0.5), (1.0, 0.9, 0.1))


def fit(points: Sequence[Point]) -> Fit:
    """Fit the law by non-linear least squares and return it with its intervals.

    The intervals are those of the profile likelihood: all laws whose squares are less than the F
    distribution allows, so that they respect bounds and need no symmetry. With a parameter at its
    bound they are too wide rather than too narrow (the limit is then a mixture of chi-squares),
    where those from a covariance are wrong and a bootstrap is inconsistent.

    Source: D. Bates and D. Watts, Nonlinear Regression Analysis (Wiley 1988), 6.1; S. Self and
    K.-Y. Liang, JASA 82 (1987); D. Andrews, Econometrica 68 (2000).

    Args:
        points: at least `MINIMUM_LOADS`, each with a concurrency and a throughput above 0.

    Raises:
        ValueError: there are fewer.
    """
    if len(points) < MINIMUM_LOADS:
        raise ValueError(f"{len(points)} loads; a fit needs {MINIMUM_LOADS} or more")
    squares = _Squares(points)
    solution = _least(squares)
    law = squares.law(solution.x.tolist())
    intervals = _Intervals(squares, solution, len(points))
    beta = intervals.of(lambda one: one.beta)
    no_peak = _no_peak(law, beta, squares.largest)
    return Fit(
        law=law,
        r2=_r2(points, law),
        largest=squares.largest,
        gamma=intervals.of(lambda one: one.gamma),
        alpha=intervals.of(lambda one: one.alpha),
        beta=beta,
        capacity=intervals.of(lambda one: one.highest(squares.largest)),
        peak=None if no_peak else _peak(intervals.of(_bend)),
        no_peak=no_peak,
    )


def _bend(law: Usl) -> float:
    """Return beta / (1 - alpha): finite and smooth where the peak, its root's inverse, is not."""
    return law.beta / max(1 - law.alpha, _TINY)


def _peak(bend: Interval) -> Interval:
    value, low, high = (
        1 / math.sqrt(one) if one else math.inf for one in (bend.value, bend.high, bend.low)
    )
    return Interval(value, low, high)


def _no_peak(law: Usl, beta: Interval, largest: float) -> str:
    """Return why no peak can be stated, "" when one can."""
    if beta.low <= _TINY / largest:
        return "throughput was not seen to fall with more load: the interval of beta includes 0"
    if law.peak > EXTRAPOLATION * largest:
        return (
            f"the law would peak at a concurrency of {law.peak:.4g}, beyond"
            f" {EXTRAPOLATION * largest:.4g}, {EXTRAPOLATION:g} times the largest that was measured"
        )
    return ""


def _least(squares: _Squares) -> Any:
    """Return the solution with the least squares; several starts, since there may be valleys."""
    from scipy.optimize import least_squares  # importing it takes longer than most commands

    low, high = zip(*_BOUNDS, strict=True)
    found = [
        least_squares(squares.residuals, start, bounds=(low, high), method="dogbox", xtol=1e-12)
        for start in _STARTS
    ]
    return min(found, key=lambda one: float(one.cost))


class _Intervals:
    """Profile likelihood intervals of what follows from the law."""

    def __init__(self, squares: _Squares, solution: Any, points: int) -> None:
        from scipy.linalg import pinvh
        from scipy.stats import f

        self._squares, self._best = squares, solution.x
        self._spread = pinvh(solution.jac.T @ solution.jac)
        free = points - len(self._best)
        least = max(squares.sum(self._best), points * _TINY**2)
        self._allowed = least * (1 + float(f.ppf(_CONFIDENCE, 1, free)) / free)

    def of(self, what: Callable[[Usl], float]) -> Interval:
        """Return the interval of a value: the lowest and highest of all laws that are allowed."""
        value = what(self._squares.law(self._best.tolist()))
        return Interval(value, self._end(what, value, -1), self._end(what, value, 1))

    def _end(self, what: Callable[[Usl], float], value: float, sign: int) -> float:
        from scipy.optimize import approx_fprime, minimize

        squares, scale = self._squares, abs(value) or 1.0

        def wanted(parameters: Any) -> float:
            return -sign * what(squares.law(parameters.tolist())) / scale

        ends = [value]
        edge = self._edge(-self._spread @ approx_fprime(self._best, wanted))
        for start in (edge, self._best):
            found = minimize(
                wanted,
                start,
                bounds=_BOUNDS,
                constraints={"type": "ineq", "fun": self._room},
                method="SLSQP",
                options={"maxiter": 200, "ftol": 1e-7},
            )
            allowed = self._room(found.x) > -_TOLERANCE
            ends.append(what(squares.law((found.x if allowed else start).tolist())))
            if allowed and found.success:
                break
        return max(ends) if sign > 0 else min(ends)

    def _room(self, parameters: Any) -> float:
        """Return how far below what is allowed the squares are; negative when they are not."""
        return 1 - self._squares.sum(parameters) / self._allowed

    def _edge(self, direction: Any) -> Any:
        """Return the last allowed parameters in a direction, where the search has its footing.

        At the least squares themselves the constraint has no slope, and searches go astray.
        """
        low, high = zip(*_BOUNDS, strict=True)
        near, far = 0.0, 1.0
        length = math.sqrt(float(direction @ direction)) or 1.0
        while far - near > _TOLERANCE:
            middle = (near + far) / 2
            there = (self._best + direction / length * middle).clip(low, high)
            near, far = (middle, far) if self._room(there) >= 0 else (near, middle)
        return (self._best + direction / length * near).clip(low, high)


def _r2(points: Sequence[Point], law: Usl) -> float:
    mean = sum(one.per_s for one in points) / len(points)
    spread = sum((one.per_s - mean) ** 2 for one in points)
    missed = sum((one.per_s - law.at(one.concurrency)) ** 2 for one in points)
    return 1 - missed / spread if spread else 0.0
