"""What a row of drills shows: the share that passed, and how sure that is."""

from dataclasses import dataclass
from math import exp, lgamma, log, log1p

CONFIDENCE = 0.95
_STEPS = 60
"""Halvings of the interval from 0 to 1; more than a double tells apart."""


@dataclass(frozen=True, slots=True)
class Success:
    """Drills that passed among those that were run."""

    passed: int
    drills: int

    @property
    def ratio(self) -> float | None:
        """Share that passed; None without a drill."""
        return self.passed / self.drills if self.drills else None

    @property
    def at_least(self) -> float:
        """The share that is surpassed with 95 % confidence.

        Source: C. J. Clopper, E. S. Pearson, The use of confidence or fiducial limits illustrated
        in the case of the binomial, Biometrika 26 (1934), one-sided. 20 of 20 show more than
        86.1 %; it takes 59 of 59 to show more than 95 %.
        """
        if not self.passed:
            return 0.0
        low, high = 0.0, 1.0
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if _as_many_or_more(self.passed, self.drills, middle) < 1 - CONFIDENCE:
                low = middle
            else:
                high = middle
        return low


def _as_many_or_more(passed: int, drills: int, ratio: float) -> float:
    """Return the probability of so many successes or more; 0 < ratio < 1."""
    counts = range(passed, drills + 1)  # in logarithms: the coefficients exceed every float
    return sum(
        exp(_log_choose(drills, k) + k * log(ratio) + (drills - k) * log1p(-ratio)) for k in counts
    )


def _log_choose(total: int, chosen: int) -> float:
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)
