"""Where a row of measurements changed its level: change points by ranks.

The row is asked for the stretch that differs most from the rest, by the normal scores of its ranks,
and the answer is compared with those of the same values in random order. Then each part is asked
again. Ranks, because a run that was disturbed is an outlier; their normal scores, because with bare
ranks the newest five of forty runs cannot stand out; random order, because no formula is right for
rows of ten; stretches and not only places, because a release that was slow and was repaired hides
from a search for one place.

Source: A. B. Olshen, E. S. Venkatraman, R. Lucito, M. Wigler, Circular binary segmentation for the
analysis of array-based DNA copy number data, Biostatistics 5 (2004), stretches, random order and
pruning; J. Besag, P. Clifford, Sequential Monte Carlo p-values, Biometrika 78 (1991), an early end;
B. L. van der Waerden, Order tests for the two-sample problem and their power, Indagationes
Mathematicae 14 (1952), normal scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log, sqrt
from statistics import median
from typing import TYPE_CHECKING, Any

from loadtests.ranks import centre, p_greater

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A history is looked at after each run, so a look must be wrong less often than a comparison.
ALPHA = 0.01
# As many runs as a comparison needs on each side; fewer have no level.
SHORTEST = 5
_ORDERS = 9_999  # random ones, so that p of ten runs, 2 in 252 at least, is surely below the limit
# A few orders show what is surely no change: where p is ALPHA, 5 of 499 are as strong, and 25 are
# nine deviations from that.
_FIRST_ORDERS, _SURELY_NONE = 499, 0.05
_EXACT = 60  # values of which the exact test takes no time
_BATCH = 250  # orders at a time: what they need stays in the processor's cache
_SEED = 2004  # the same history has the same answer


@dataclass(frozen=True, slots=True)
class Change:
    """A place at which the level changed.

    Attributes:
        index: of the first value of the new level.
        ratio: new level over old, by the Hodges-Lehmann estimate.
        before, after: medians of the stretches on both sides, up to the next changes.
        p: of a row without any change that would be parted as well.
    """

    index: int
    ratio: float
    before: float
    after: float
    p: float


def find_changes(values: Sequence[float]) -> list[Change]:
    """Return the changes in a row of values, in order.

    Args:
        values: positive, in the order in which they were measured, in any unit.
    """
    found = _pruned(values, dict(_parted(values, 0)))
    changes = []
    for index, before, after in _levels(values, sorted(found)):
        by = centre([log(v) for v in before], [log(v) for v in after])
        changes.append(Change(index, exp(by), median(before), median(after), found[index]))
    return changes


def _parted(values: Sequence[float], offset: int) -> Iterator[tuple[int, float]]:
    """Yield index and p of the places that part the values, each part looked at again."""
    if len(values) < 2 * SHORTEST or len(set(values)) == 1:
        return
    (start, end), p = _strongest(values)
    if p > ALPHA:
        return
    edges = [0, *(edge for edge in (start, end) if 0 < edge < len(values)), len(values)]
    yield from ((offset + edge, p) for edge in edges[1:-1])
    for begun, ended in pairwise(edges):
        yield from _parted(values[begun:ended], offset + begun)


def _pruned(values: Sequence[float], found: dict[int, float]) -> dict[int, float]:
    """Return the places that part levels: a stretch has two edges, and one may be chance."""
    kept = dict(found)
    while kept:
        sure = {
            index: _p_of_two(before, after)
            for index, before, after in _levels(values, sorted(kept))
        }
        weakest = max(sure, key=lambda index: sure[index])
        if sure[weakest] <= ALPHA:
            break
        del kept[weakest]
    return kept


def _p_of_two(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the two-sided p of Mann and Whitney's test; of many values by the normal law."""
    if len(before) + len(after) <= _EXACT:
        return 2 * min(p_greater(before, after), p_greater(after, before))
    from scipy import stats

    return float(stats.mannwhitneyu(before, after, method="asymptotic").pvalue)


def _levels(
    values: Sequence[float], places: Sequence[int]
) -> Iterator[tuple[int, Sequence[float], Sequence[float]]]:
    """Yield each place with the values before and after it, up to the next places."""
    edges = [0, *places, len(values)]
    for before, index, after in zip(edges, edges[1:], edges[2:], strict=False):
        yield index, values[before:index], values[index:after]


def _strongest(values: Sequence[float]) -> tuple[tuple[int, int], float]:
    """Return begin and end of the stretch that differs most from the rest, and its p."""
    import numpy as np  # these two take two seconds, which other commands need not wait for
    from scipy import stats

    scores = stats.norm.ppf((stats.rankdata(values) - 0.5) / len(values))
    scores -= scores.mean()

    def strength(rows: "NDArray[np.float64]", axis: int = -1) -> Any:
        assert axis in (-1, rows.ndim - 1)
        return np.max([found.max(axis=-1) for _, found in _strengths(rows)], axis=0)

    def p_of(orders: int) -> float:
        tested = stats.permutation_test(
            (scores,),
            strength,
            permutation_type="pairings",
            vectorized=True,
            alternative="greater",
            n_resamples=orders,
            batch=_BATCH,
            rng=np.random.default_rng(_SEED),
        )
        return float(tested.pvalue)

    best = max(
        (float(one), stretch)
        for stretches, found in _strengths(scores)
        for stretch, one in zip(stretches, found, strict=True)
    )
    p = p_of(_FIRST_ORDERS)
    return best[1], p if p > _SURELY_NONE else p_of(_ORDERS)


def _strengths(
    rows: "NDArray[np.float64]",
) -> Iterator[tuple[list[tuple[int, int]], "NDArray[np.float64]"]]:
    """Yield begin and end of stretches, and how much each differs from the rest.

    First those from the beginning, whose rest goes to the end, then those in the middle, by size.
    What is left beside a stretch has a level, too, and so is not shorter than one.

    Source: the deviation of a sum of k of n values drawn without replacement goes with
    sqrt(k (n - k)); what else it has is the same for all stretches and orders.

    Args:
        rows: scores less their mean; the last axis is the order.
    """
    import numpy as np

    length = rows.shape[-1]
    sums = rows.cumsum(axis=-1)  # at i - 1 what came before i
    first = range(SHORTEST, length - SHORTEST + 1)
    weights = np.array([1 / sqrt(size * (length - size)) for size in first])
    whole = np.abs(sums[..., SHORTEST - 1 : length - SHORTEST]) * weights
    yield [(0, end) for end in first], whole
    for size in range(SHORTEST, length - 2 * SHORTEST + 1):
        starts = range(SHORTEST, length - size - SHORTEST + 1)
        before = sums[..., starts.start - 1 : starts.stop - 1]
        inside = sums[..., starts.start + size - 1 : starts.stop + size - 1] - before
        yield [(one, one + size) for one in starts], np.abs(inside) * weights[size - SHORTEST]
