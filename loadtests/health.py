"""Whether the generator kept up, in its worst moments: a mean would hide the peak of a sale."""

from collections import deque
from collections.abc import Iterable

from loadtests.histogram import Histogram, merged

WAKE_EVERY_S = 0.02
_BUSY_S = 10
_ENOUGH_FOR_P99 = 100


class Busiest:
    """The cores that the generator used in its busiest ten seconds.

    Attributes:
        ratio: so far; of a run that is shorter, its mean.
    """

    def __init__(self) -> None:
        self.ratio = 0.0
        self._worst = 0.0
        self._samples: deque[tuple[float, float]] = deque()

    def note(self, at_s: float, used_s: float) -> float:
        """Take in how many CPU-seconds were used up to a moment of the run; return the ratio."""
        samples = self._samples
        samples.append((at_s, used_s))
        while len(samples) > 1 and samples[1][0] <= at_s - _BUSY_S + 0.5:
            samples.popleft()
        begun_s, begun_used_s = samples[0]
        if at_s > begun_s:
            ratio = (used_s - begun_used_s) / (at_s - begun_s)
            whole = at_s - begun_s >= _BUSY_S - 0.5
            self._worst = max(self._worst, ratio) if whole else self._worst
            self.ratio = self._worst or ratio
        return self.ratio


def worst_lateness(stages: Iterable[Histogram]) -> dict[str, float | None]:
    """Return how late journeys were started, or the generator woke.

    That of the worst stage of those with enough in it.
    """
    stages = list(stages)
    enough = [one.quantiles() for one in stages if one.total >= _ENOUGH_FOR_P99]
    return max([merged(stages).quantiles(), *enough], key=lambda row: row["p99_s"] or 0.0)
