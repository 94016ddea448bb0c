"""Exact rank statistics of two samples: the test with ties, and the interval of the shift.

scipy's exact test of Mann and Whitney is wrong with ties, which percentiles of three digits have,
enumerates every permutation where it is right, and brings no interval. All of it follows from one
distribution, which a table gives in a moment.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, inf
from statistics import median


@dataclass(frozen=True, slots=True)
class Shift:
    """By how much one sample lies above the other: the estimate and its bounds."""

    estimate: float
    low: float
    high: float


def smallest_p(one: int, other: int) -> float:
    """Return the smallest p that a one-sided rank test of so many values can have."""
    return 1 / comb(one + other, one)


def p_greater(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Return the probability of ranks as high as the candidate's where both are of one kind.

    Source: H. B. Mann, D. R. Whitney, On a test of whether one of two random variables is
    stochastically larger than the other, Ann. Math. Statist. 18 (1947); with ties the ranks are
    means and the distribution is that of all ways to choose among them, B. Streitberg, J. Röhmel,
    Exact distributions for permutation and rank tests, Statistical Software Newsletter 12 (1986).

    Args:
        baseline, candidate: one value of each run, in any unit.
    """
    ordered = sorted([*baseline, *candidate])

    def doubled_rank(value: float) -> int:
        return bisect_left(ordered, value) + bisect_right(ordered, value) + 1

    ranks = tuple(doubled_rank(value) for value in ordered)
    chances = _chances(ranks, len(candidate))
    return min(1.0, sum(chances[sum(map(doubled_rank, candidate)) :]))


def dominance(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Return how often the candidate is above minus how often it is below, -1 to 1.

    Source: N. Cliff, Dominance statistics, Psychological Bulletin 114 (1993): his delta.
    """
    above = sum((c > b) - (c < b) for b in baseline for c in candidate)
    return above / (len(baseline) * len(candidate))


def shift(baseline: Sequence[float], candidate: Sequence[float], alpha: float) -> Shift:
    """Return the Hodges-Lehmann estimate of candidate minus baseline, and its bounds.

    Each bound is wrong with a probability of at most alpha. Too few values have none.

    Source: M. Hollander, D. A. Wolfe, E. Chicken, Nonparametric Statistical Methods, 3rd ed.
    (2014), 4.2 and 4.3: order statistics of the differences, counted off by the same test.
    """
    differences = sorted(c - b for b in baseline for c in candidate)
    off = _beyond(len(baseline), len(candidate), alpha)
    bounds = (differences[off - 1], differences[-off]) if off else (-inf, inf)
    return Shift(median(differences), *bounds)


def centre(baseline: Sequence[float], candidate: Sequence[float]) -> float:
    """Return the Hodges-Lehmann estimate of candidate minus baseline alone."""
    return median(c - b for b in baseline for c in candidate)


@lru_cache
def _beyond(one: int, other: int, alpha: float) -> int:
    """Return how many of the differences lie beyond a bound, counted with it; 0: no bound."""
    chances = _chances(tuple(range(1, one + other + 1)), other)
    least, seen, off = other * (other + 1) // 2, 0.0, 0
    while seen + chances[least + off] <= alpha:
        seen += chances[least + off]
        off += 1
    return off


@lru_cache
def _chances(ranks: tuple[int, ...], chosen: int) -> list[float]:
    """Return the probability of each sum of so many of the ranks, each choice equally likely.

    Args:
        ranks: whole numbers above 0.
        chosen: how many of them.
    """
    import numpy as np  # takes a fifth of a second, which other commands need not wait for

    ways = np.zeros((chosen + 1, sum(ranks) + 1))
    ways[0, 0] = 1
    end = 1  # of the sums so far
    for number, rank in enumerate(ranks, 1):
        rows, end = min(number, chosen), end + rank
        ways[1 : rows + 1, rank:end] += ways[:rows, : end - rank]
    found: list[float] = (ways[chosen] / comb(len(ranks), chosen)).tolist()
    return found
