"""The search for the rate at which a target breaks: up by steps, then halving the gap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.arrivals import Stage

Outcome = tuple[float, bool]
STEP = "step-"


@dataclass(frozen=True, slots=True)
class Ladder:
    """How a breaking point is looked for.

    Attributes:
        rate: the first rate, and that of the pauses.
        by: how much each step adds, until one breaks or there were `steps` of them.
        hold_s: of a step.
        pause_s: after each step, for the shop to get over it.
        precision_ratio: the search ends when what held and what broke are so close.
    """

    rate: float
    by: float
    steps: int
    hold_s: float
    pause_s: float
    precision_ratio: float

    def next_rate(self, outcomes: Sequence[Outcome]) -> float | None:
        """Return the rate to try next; None when the breaking point is known, or out of reach.

        Args:
            outcomes: rates so far, in order, and whether every target held.
        """
        held, broke = bracket(outcomes)
        if broke is None:
            return self.rate + len(outcomes) * self.by if len(outcomes) < self.steps else None
        low = held or 0.0
        if broke - low <= self.precision_ratio * max(broke, self.rate):
            return None
        return (low + broke) / 2

    def stages(self, number: int, rate: float) -> tuple[Stage, Stage]:
        """Return a step and the pause after it; the steps that held count in the end."""
        return (
            Stage(f"{STEP}{number}", self.hold_s, rate, rate, counts=False, may_break=True),
            Stage(
                f"pause-{number}", self.pause_s, self.rate, self.rate, counts=False, may_break=True
            ),
        )

    @property
    def longest_s(self) -> float:
        """Seconds that the search takes at most."""
        gap = max(self.by, self.rate)
        halvings = max(0, math.ceil(math.log2(gap / (self.precision_ratio * self.rate))))
        return (self.steps + halvings) * (self.hold_s + self.pause_s)


def bracket(outcomes: Sequence[Outcome]) -> tuple[float | None, float | None]:
    """Return the highest rate that held and the lowest that broke; None where there is none."""
    broke = min((rate for rate, held in outcomes if not held), default=None)
    below = [rate for rate, held in outcomes if held and (broke is None or rate < broke)]
    return max(below, default=None), broke
