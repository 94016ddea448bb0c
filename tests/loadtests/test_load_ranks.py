"""Rank statistics against published tables, a published example, and scipy's slower ways."""

import random
from math import inf

import pytest
from scipy import stats

from loadtests.ranks import dominance, p_greater, shift, smallest_p

# Source: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, examples 4.1, 4.3 and 4.4:
# permeability of a membrane at term, and in the weeks 12 to 26.
AT_TERM = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
EARLIER = [1.15, 0.88, 0.90, 0.74, 1.21]


def apart(runs: int, inversions: int) -> tuple[list[float], list[float]]:
    """Return two samples of distinct values with so many pairs in which the candidate is less."""
    baseline, candidate = list(map(float, range(runs))), [runs + 1.0 + n for n in range(runs)]
    for number in range(runs):
        taken = min(runs, inversions)
        inversions -= taken
        candidate[number] -= 1.5 + taken + number if taken else 0
    return baseline, sorted(candidate)


# Source: Mann and Whitney (1947), table I: the probability of U or less for two samples of n.
@pytest.mark.parametrize(
    ("runs", "inversions", "published"),
    [
        *((3, 0, 0.050), (4, 0, 0.014), (4, 1, 0.029)),
        *((5, 0, 0.004), (5, 1, 0.008), (5, 2, 0.016), (5, 3, 0.028), (5, 4, 0.048)),
        *((6, 0, 0.001), (6, 3, 0.008), (6, 5, 0.021)),
    ],
)
def test_the_probabilities_are_those_of_the_published_table(
    runs: int, inversions: int, published: float
) -> None:
    baseline, candidate = apart(runs, inversions)
    assert sum(c < b for b in baseline for c in candidate) == inversions
    assert p_greater(baseline, candidate) == pytest.approx(published, abs=0.0005)


def test_the_published_example_has_its_published_p_estimate_and_interval() -> None:
    found = shift(AT_TERM, EARLIER, 0.025)
    assert p_greater(EARLIER, AT_TERM) == pytest.approx(0.1272, abs=0.00005)
    assert (found.estimate, found.low, found.high) == pytest.approx((-0.305, -0.76, 0.15))
    assert dominance(AT_TERM, EARLIER) == pytest.approx(2 * 15 / 50 - 1)


# Source: tables of critical values of U, one-sided 5 %: as many differences lie beyond the bound.
@pytest.mark.parametrize(("runs", "critical"), [(5, 4), (8, 15), (10, 27), (20, 138)])
def test_the_interval_counts_off_the_published_critical_values(runs: int, critical: int) -> None:
    chance = random.Random(runs)
    baseline, candidate = ([chance.random() for _ in range(runs)] for _ in range(2))
    differences = sorted(c - b for b in baseline for c in candidate)
    found = shift(baseline, candidate, 0.05)
    assert (found.low, found.high) == (differences[critical], differences[-critical - 1])


@pytest.mark.parametrize("runs", [5, 9, 30])
def test_without_ties_the_test_is_that_of_scipy(runs: int) -> None:
    chance = random.Random(runs)
    one, other = ([chance.random() for _ in range(runs)] for _ in range(2))
    exact = stats.mannwhitneyu(other, one, alternative="greater", method="exact")
    assert p_greater(one, other) == pytest.approx(float(exact.pvalue), rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_with_ties_the_test_is_that_of_every_permutation(seed: int) -> None:
    chance = random.Random(seed)
    one, other = ([chance.choice([57, 58, 59, 60]) for _ in range(6)] for _ in range(2))
    every = stats.PermutationMethod(n_resamples=1_000)
    exact = stats.mannwhitneyu(other, one, alternative="greater", method=every)
    assert p_greater(one, other) == pytest.approx(float(exact.pvalue), rel=1e-9)


def test_runs_that_are_all_the_same_tell_nothing() -> None:
    assert p_greater([57.0] * 5, [57.0] * 5) == 1.0
    assert dominance([57.0] * 5, [57.0] * 5) == 0.0


def test_four_runs_a_side_can_never_fail_a_two_sided_test_at_98_percent() -> None:
    assert 2 * smallest_p(4, 4) > 0.02
    assert 2 * smallest_p(5, 5) < 0.02


def test_two_runs_a_side_have_no_interval() -> None:
    found = shift([1.0, 2.0], [3.0, 4.0], 0.05)
    assert (found.estimate, found.low, found.high) == (2.0, -inf, inf)
