"""The error-budget policy: what happens when how much of a budget is spent.

Source: Google, The Site Reliability Workbook, appendix B, "Error Budget Policy", for the freeze;
the earlier levels are ours.
"""

from collections.abc import Sequence

from pydantic import Field

from alerting.windows import Severity
from storewatch.schema import Section

SPENT, EXHAUSTED = "ErrorBudgetSpent", "ErrorBudgetExhausted"


class PolicyLevel(Section):
    """What happens once a share of the budget is spent."""

    spent: float = Field(gt=0, le=10)
    """Share of the budget; 1 is all of it."""
    action: str = Field(min_length=1, pattern=r"^[^{}\n]+$")
    severity: Severity | None = Severity.TICKET
    """Who is told; null: nobody, it is a state and no alert."""
    freeze: bool = False
    """Whether releases wait."""

    @property
    def remaining(self) -> float:
        """The share that is left at this level."""
        return round(1 - self.spent, 12)

    @property
    def percent(self) -> str:
        """How much is spent, as people say it."""
        return f"{self.spent * 100:g}"


DEFAULT_POLICY = (
    PolicyLevel(spent=0.5, action="look for what spends it before it is gone"),
    PolicyLevel(spent=0.75, action="only releases that make the shop more reliable"),
    PolicyLevel(spent=1.0, action="releases are frozen", freeze=True),
)


def level_of(
    policy: Sequence[PolicyLevel], remaining: float, bad_events: float | None, events_min: int
) -> PolicyLevel | None:
    """Return the highest level that is reached, None below the first.

    Args:
        policy: the levels.
        remaining: share of the budget that is left.
        bad_events: how many there were in the period; None where they are not counted.
        events_min: with fewer bad events nothing is made of it.
    """
    if bad_events is not None and bad_events < events_min:
        return None
    reached = [level for level in policy if remaining <= level.remaining]
    return max(reached, key=lambda level: level.spent, default=None)
