"""Whether the generator kept up, in its worst moments: a mean would hide the peak of a sale."""

from collections.abc import Iterable, Sequence

from loadtests.histogram import Histogram, merged

WAKE_EVERY_S = 0.02
_BUSY_S = 10
_ENOUGH_FOR_P99 = 100


def busiest(samples: Sequence[tuple[float, float]]) -> float:
    """Return the cores that the generator used in its busiest ten seconds.

    Args:
        samples: (seconds of the run, CPU-seconds so far), about one a second.
    """
    worst, first = 0.0, 0
    for position, (at_s, used_s) in enumerate(samples):
        while first + 1 < position and samples[first + 1][0] <= at_s - _BUSY_S + 0.5:
            first += 1
        begun_s, begun_used_s = samples[first]
        whole = at_s - begun_s >= _BUSY_S - 0.5 or position == len(samples) - 1
        if whole and at_s > begun_s:
            worst = max(worst, (used_s - begun_used_s) / (at_s - begun_s))
    return worst


def worst_lateness(stages: Iterable[Histogram]) -> dict[str, float | None]:
    """Return how late journeys were started, or the generator woke.

    That of the worst stage of those with enough in it.
    """
    stages = list(stages)
    enough = [one.quantiles() for one in stages if one.total >= _ENOUGH_FOR_P99]
    return max([merged(stages).quantiles(), *enough], key=lambda row: row["p99_s"] or 0.0)
